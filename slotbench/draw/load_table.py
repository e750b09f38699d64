"""Latency under load as words in columns: response time beside service time, and who was late."""

from collections.abc import Sequence
from typing import Final

from slotbench.compute.loads import LoadPoint
from slotbench.draw import units
from slotbench.draw.cell_table import CellTable

_HEADER: Final = (
    *("contender", "offered", "served", "p50 latency", "p99 latency"),
    *("p50 call", "p99 call", "p99 late", "never submitted", "backlog"),
)
_LEFT: Final = frozenset({0, 9})
SATURATED: Final = "grows"

LEGEND: Final = (
    "latency: from the moment a request was due to its reply, over all requests due in the window; "
    "call: from its submission, without the wait for its slot; late: how long the harness took to "
    "submit it though its slot was free. Where the backlog grows, replies fall behind what is due, "
    "and latency is as long as the window lets it become. Where throughput is lost is not asked of "
    "these cells: up to that point they serve what they are offered."
)


def tables(points: Sequence[LoadPoint]) -> tuple[CellTable, ...]:
    """A table a cell, in the order of the points."""
    cells = dict.fromkeys(point.cell for point in points)
    return tuple(
        CellTable(
            name=cell,
            header=_HEADER,
            rows=tuple(_row(point) for point in points if point.cell == cell),
            notes=(),
            left=_LEFT,
        )
        for cell in cells
    )


def _row(point: LoadPoint) -> tuple[str, ...]:
    unanswered = point.unanswered_share
    return (
        point.contender,
        units.value(point.offered_per_s, "requests/s"),
        units.value(point.served_per_s, "requests/s"),
        *(
            units.value(value_s, "s")
            for value_s in (
                *(point.latency_p50_s, point.latency_p99_s),
                *(point.call_p50_s, point.call_p99_s),
                point.late_p99_s,
            )
        ),
        units.percent(unanswered) if unanswered else "",
        SATURATED if point.is_saturated else "",
    )
