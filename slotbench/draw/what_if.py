"""Predictions under what is supposed: what to choose, a row a combination, what was assumed.

As JSON they are their record: `slotbench.store.document`.
"""

import dataclasses
import shlex
from collections.abc import Iterator
from typing import Final

from slotbench.compute.what_if import AXES, NO_TRANSPORT, Axis
from slotbench.compute.workloads import observation_bytes
from slotbench.draw import told, units
from slotbench.draw.screen import PAPER, Screen
from slotbench.draw.table import Table
from slotbench.draw.told import Told, check_format
from slotbench.records import PredictedRow, WhatIf
from slotbench.records.prediction import PredictedLimit

__all__ = ["check_format", "fragment", "render", "sentences", "show"]

_LIMITS: Final[dict[PredictedLimit, str]] = {
    "think time": "the environments: more of an actor's time goes to stepping than to anything else",
    "policy": "the policy: its servers are busy most of the time",
    "GIL": "the GIL: the environments' Python holds it most of the time",
    "processors": "the processors: environments compute most of what these can",
    "transport": "the transport: more time goes to its Python than to anything else",
    "batching rule": "the batching rule: nothing else is in use for half of the time, actors wait for "
    "batches to fill or for the ones before",
}
_ALONE: Final = "the policy: a reply takes no less, however idle its servers are"
"""Where there are more servers than actors keep busy."""
_MOSTLY_BUSY: Final = 0.5
_MODES: Final = {
    "idle": "they wait, or run elsewhere: no processor and no GIL is theirs",
    "busy": "they compute and hold the GIL",
    "busy_nogil": "they compute without the GIL",
}
_COLUMNS: Final = (
    "Requests/s: predicted. Bound: share of what no transport and no batching rule can exceed with so many "
    "servers. Batch: mean rows. p50, p99: from request to reply. Busy: of servers. "
    "{timeouts}Limit: what most of the time goes to. ◀: {best}."
)
_TIMEOUTS: Final = "Timeouts: batches whose gathering the timeout ended. "
_MOST_SAID: Final = 3
"""Sentences on what to choose; the table marks them all."""


def render(record: WhatIf, name: str, screen: Screen = PAPER) -> str:
    """The prediction in a format, ending in one line feed.

    Raises:
        SlotbenchError: no such format.
    """
    check_format(name)
    if name == "json":
        from slotbench.store import document

        return document(record).decode("utf-8")
    if name == "csv":
        marked = set(record.best)
        return told.as_csv(
            [
                {**dataclasses.asdict(one), "is_best": place in marked}
                for place, one in enumerate(record.rows)
            ]
        )
    return told.as_md(_told(record)) if name == "md" else show(record, screen)


def show(record: WhatIf, screen: Screen = PAPER) -> str:
    """As text."""
    return told.as_text(_told(record), screen)


def fragment(record: WhatIf) -> str:
    """As an HTML fragment."""
    return told.as_fragment(_told(record))


def _told(record: WhatIf) -> Told:
    return Told(
        tuple(sentences(record)),
        (table(record),),
        (("supposed", tuple(_supposed(record))),),
        shlex.join(record.command),
    )


def sentences(record: WhatIf) -> list[str]:
    """What to choose, and what to expect of it."""
    said = [_chosen(record, record.rows[place]) for place in record.best[:_MOST_SAID]]
    if len(record.best) > _MOST_SAID:
        said.append(
            f"The best of {len(record.best)} situations are marked ◀; the first "
            f"{_MOST_SAID} are said here."
        )
    slow = [place for place in record.best if not record.rows[place].is_fast_enough]
    if slow and record.max_latency_s is not None:
        said.append(
            f"Nothing tried keeps 99 % of replies within {units.seconds(record.max_latency_s)} in "
            f"{len(slow)} of {units.count(len(record.best), 'situation')}: what comes nearest is marked."
        )
    return [*said, *record.notes]


def _chosen(record: WhatIf, one: PredictedRow) -> str:
    between = ""
    if one.low is not None and one.high is not None:
        between = f" ({units.significant(one.low)} to {units.significant(one.high)})"
    who = (
        "a transport that costs nothing" if one.transport == NO_TRANSPORT else one.transport
    )
    of_bound = units.whole_percent(one.per_s / one.bound_per_s)
    steps = ""
    if any(axis.field in record.axes for axis in AXES if axis.is_given):
        given = [x for x in AXES if x.is_given and x.field in record.axes]
        shown = [f"{x.heading} {_shown(x, one)}" for x in given if x.field != "num_envs"]
        steps = f" ({', '.join(shown)})" if shown else ""
    return (
        f"{units.count(one.num_envs, 'environment')}{steps}: {units.significant(one.per_s)} "
        f"requests/s{between}, {units.significant(one.per_s / one.num_envs)} each, with {who}, "
        f"{_servers(one)}, batches of {units.whole(one.min_batch_size)} to "
        f"{units.whole(one.max_batch_size)}"
        + (f" and a timeout of {one.timeout_ms:g} ms" if one.min_batch_size > 1 else "")
        + f"; {of_bound} of the bound. What limits it is {_limit(one)}."
    )


def _limit(one: PredictedRow) -> str:
    if one.limit == "policy" and one.busy_ratio < _MOSTLY_BUSY:
        return _ALONE
    return _LIMITS[one.limit]


def _servers(one: PredictedRow) -> str:
    if one.num_servers == 1:
        return "one server"
    how = "of one queue" if one.queues == "shared" else "with a queue and a process each"
    return f"{units.whole(one.num_servers)} servers {how}"


def table(record: WhatIf) -> Table:
    """A row a combination: first what has several values, then what comes of it."""
    axes = [axis for axis in AXES if axis.field in _columns(record)]
    marked = set(record.best)
    has_interval = any(one.low is not None for one in record.rows)
    header = [axis.heading for axis in axes] or ["envs"]
    header += ["requests/s", *(["between"] if has_interval else []), "bound", "batch"]
    has_timeouts = any(one.timeout_ratio > 0 for one in record.rows)
    header += ["p50", "p99", "busy", *(["timeouts"] if has_timeouts else []), "limit"]
    rows = []
    for place, one in enumerate(record.rows):
        shown = [_shown(axis, one) for axis in axes] or [units.whole(one.num_envs)]
        mark = " ◀" if place in marked else ""
        slow = "" if one.is_fast_enough else " !"
        shown += [
            f"{units.significant(one.per_s)}{mark}",
            *([_between(one)] if has_interval else []),
            units.whole_percent(one.per_s / one.bound_per_s),
            units.significant(one.mean_batch_size),
            units.seconds(one.latency_p50_s),
            f"{units.seconds(one.latency_p99_s)}{slow}",
            units.whole_percent(one.busy_ratio),
            *([units.whole_percent(one.timeout_ratio)] if has_timeouts else []),
            one.limit,
        ]
        rows.append(tuple(shown))
    best = "best for what is given; of what is within 3 %, the fewest servers"
    notes = [_COLUMNS.format(best=best, timeouts=_TIMEOUTS if has_timeouts else "")]
    if has_interval:
        notes.append("Between: where 95 % of measurements of such forecasts were.")
    if record.max_latency_s is not None:
        notes.append(f"!: p99 above {units.seconds(record.max_latency_s)}.")
    return Table("what if", tuple(header), tuple(rows), tuple(notes), max(1, len(axes)))


def _columns(record: WhatIf) -> tuple[str, ...]:
    """What was given several values; and n*, where it is another in each row."""
    least = {one.min_batch_size for one in record.rows if one.is_balanced}
    return (*record.axes, *(("min_batch_size",) if len(least) > 1 else ()))


def _between(one: PredictedRow) -> str:
    if one.low is None or one.high is None:
        return units.MISSING
    return f"[{units.significant(one.low)}, {units.significant(one.high)}]"


def _shown(axis: Axis, one: PredictedRow) -> str:
    value = getattr(one, axis.field)
    if axis.field == "min_batch_size" and one.is_balanced:
        return f"{units.whole(value)} = n*"
    if isinstance(value, str):
        return value
    if axis.field == "timeout_ms" and one.min_batch_size == 1:
        return units.MISSING
    return units.whole(value) if axis.kind is int else f"{value:.4g}"


def _supposed(record: WhatIf) -> Iterator[str]:
    """What all rows have in common."""
    one, axes = record.rows[0], set(_columns(record))
    alone = {"step_ms", "step_distribution", "step_sigma"}
    if not alone & axes:
        yield f"environments: {_step(one)}; {_MODES[one.step_mode]}"
    else:
        yield f"environments: {_MODES[one.step_mode]}"
    if not {"reset_every", "reset_ms"} & axes and one.reset_every:
        yield (
            f"every {units.whole(one.reset_every)} steps a reset of "
            f"{units.seconds(one.reset_ms / 1e3)}, not all at once"
        )
    if (
        not {"policy_ms", "policy_per_item_ms", "policy_distribution", "policy_sigma"}
        & axes
    ):
        yield f"policy: {_policy(one)}; it lets the GIL go"
    if not {"min_batch_size", "max_batch_size"} & axes:
        most = max(x.max_batch_size for x in record.rows)
        yield f"batches of {units.whole(one.min_batch_size)} to {units.whole(most)}"
    if "timeout_ms" not in axes and any(x.min_batch_size > 1 for x in record.rows):
        yield f"a timeout of {one.timeout_ms:g} ms, from when the oldest could have been taken"
    yield from _where(record)


def _where(record: WhatIf) -> Iterator[str]:
    rows = record.rows
    if any(x.transport != NO_TRANSPORT for x in rows):
        size = observation_bytes(record.leaves)
        number = len(record.leaves)
        leaves = "1 leaf" if number == 1 else f"{number} leaves"
        yield f"observation: {units.size(size)} in {leaves}"
    shared = [x for x in rows if x.queues == "shared" and x.num_servers > 1]
    if shared:
        yield "servers of one queue: one gathers at a time, the others serve or wait for their turn"
    if any(x.queues == "own" for x in rows):
        yield "queues of their own: equal shares of the actors, in processes with a GIL each"
    cpus = record.num_cpus
    yield "processors: " + ("as many as wanted" if cpus is None else str(cpus))


def _step(one: PredictedRow) -> str:
    if one.step_ms == 0.0:
        return "a step takes no time"
    spread = {
        "constant": "always the same",
        "exponential": "exponential",
        "lognormal": f"lognormal, sigma {units.significant(one.step_sigma)}",
    }[one.step_distribution]
    return f"a step takes {units.seconds(one.step_ms / 1e3)} on average ({spread})"


def _policy(one: PredictedRow) -> str:
    if one.policy_ms == one.policy_per_item_ms == 0.0:
        return "takes no time"
    text = (
        f"{units.seconds(one.policy_ms / 1e3)} a batch and "
        f"{units.seconds(one.policy_per_item_ms / 1e3)} a row"
    )
    if one.policy_distribution == "constant":
        return text
    sigma = f", sigma {units.significant(one.policy_sigma)}" * (one.policy_sigma > 0)
    return f"{text} on average ({one.policy_distribution}{sigma})"
