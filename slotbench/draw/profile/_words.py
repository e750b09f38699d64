"""The texts around a profile's numbers, each in one place."""

from typing import Final

from slotbench.compute import ledger
from slotbench.compute.ledger import Row

ROUND_TRIP: Final = "= round trip"

PHASE_TEXTS: Final = {
    "write": "the actor hands its request in, until the server can see it",
    "server busy": "it lies ready; whoever serves is at other work",
    "wait for batch": "others are waited for, on purpose, to fill the batch",
    "signal → server awake": "the batch is due; the server's thread does not run yet",
    "drain": "the server takes the batch's requests",
    "collate": "they become the policy's input, in memory",
    "forward": "the model runs",
    "resolve": "from the model's return until this request's reply is handed over",
    "wake → actor running": "the reply is there; its actor does not run yet, or waits its turn "
    "where actors wake each other in a chain",
}
"""Phase → what happens in it; `slotbench.compute.phases` says where exactly it begins."""

ROUND_TRIP_TEXT: Final = "from the submit to the reply: the sum of the phases"

ABOUT_PROBES: Final = (
    "Times and counts are per request. The phases' times have the stamps' own cost in them, "
    "which stands beside each contender; throughput is without probes. No comparison uses a "
    "trial of a profile."
)

ABOUT_PRICES: Final = (
    "comes to: a time itself; of a count, the difference × the CPU time that one costs by "
    "itself on this machine, which is not what contention for it costs"
)

ABOUT_LOCKS: Final = (
    "acquisitions, waits and time waited are per request, all threads together, of locks that "
    "count and so are slower than the real ones; a signal is there to be waited for"
)

VIEWER: Final = "https://ui.perfetto.dev"
"""Opens a timeline, in the browser, without sending it anywhere."""


def phase_legend() -> tuple[tuple[str, str], ...]:
    """Every phase and the round trip, with what each means."""
    return (*PHASE_TEXTS.items(), (ROUND_TRIP, ROUND_TRIP_TEXT))


def ledger_legend() -> tuple[tuple[str, str], ...]:
    """Every row of the ledger, with what exactly is counted."""
    return tuple((row_title(row), row.summary) for row in ledger.ROWS)


def row_title(row: Row) -> str:
    """A row's title where the row before does not stand above it."""
    if row.name == "lock_waits":
        return "lock acquisitions that had to wait"
    return row.title.removeprefix("… ")
