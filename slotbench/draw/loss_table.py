"""Where one cell's throughput went, as words in columns: from the bound down to each contender."""

from collections.abc import Iterable, Sequence
from typing import Final

from slotbench.compute.demands import MAX_MISFIT_RATIO, ServiceTime
from slotbench.compute.losses import Loss, Yardsticks
from slotbench.compute.statistics import RatioEstimate
from slotbench.draw import units
from slotbench.draw.cell_table import CellTable

_HEADER: Final = (
    *("step", "throughput", "lost to", "ratio"),
    *("adds to a cycle", "mean batch", "largest loss"),
)
_LEFT: Final = frozenset({0, 2, 6})

_LIMITS: Final = {
    "times": "think time and service time",
    "GIL": "what an actor and the policy do while they hold the GIL",
    "processors": "the processors",
}
"""What a bound comes from, in words."""

LEGEND: Final = (
    "bound: what no transport can exceed; free transport: the batching rule simulated with a "
    "transport that costs nothing; floor: bare threads and locks without a payload. A ratio is the "
    "step above over this one, a contender's the floor over it, with its 95 % interval; below 1 it is "
    "ahead of that step."
)


def tables(losses: Sequence[Loss]) -> tuple[CellTable, ...]:
    """A table a cell, in the order of the losses."""
    cells = dict.fromkeys(loss.cell for loss in losses)
    return tuple(_table([loss for loss in losses if loss.cell == name]) for name in cells)


def _table(losses: Sequence[Loss]) -> CellTable:
    yardsticks = losses[0].yardsticks
    return CellTable(
        name=yardsticks.cell,
        header=_HEADER,
        rows=(*_yardsticks(yardsticks), *map(_row, losses)),
        notes=tuple(_notes(yardsticks)),
        left=_LEFT,
    )


def _yardsticks(of: Yardsticks) -> Iterable[tuple[str, ...]]:
    if of.bound_per_s is not None:
        yield ("bound", _per_s(of.bound_per_s), "", "", "", "", "")
        batch = units.value(of.policy_batch_size, "rows")
        yield (
            *("free transport", _per_s(of.policy_per_s), "batching", _ratio(of.batching)),
            *("", batch, ""),
        )
    if of.floor_per_s is not None:
        waking = () if of.waking is None else ("waking", _ratio(of.waking))
        yield ("floor", _per_s(of.floor_per_s), *(waking or ("", "")), "", "", "")


def _row(loss: Loss) -> tuple[str, ...]:
    if loss.transport is not None:
        lost = "transport", _ratio(loss.transport)
    elif loss.whole is not None:
        lost = "waking and transport", _ratio(loss.whole)
    else:
        lost = "", ""
    added = "" if loss.added_s is None else units.signed(loss.added_s, "s")
    batch = units.value(loss.mean_batch_size, "rows")
    return (
        *(loss.contender, _per_s(loss.measured_per_s), *lost),
        *(added, batch, loss.verdict or ""),
    )


def _notes(of: Yardsticks) -> Iterable[str]:
    demands = of.demands
    if demands is None:
        yield (
            "no bound: nothing but the transport is there to wait for, or how long it takes is not "
            "known"
        )
        return
    times = f"Z = {units.seconds(demands.think_s)}, S(n) = {_service(demands.service)}"
    if demands.source == "nominal":
        yield f"{times}, as the scenario asks for them: the run has no calibration of this cell"
    else:
        yield f"{times}, mean of {units.count(of.num_calibrations, 'calibration')}"
    if of.limit is not None:
        yield f"the bound is that of {_LIMITS[of.limit]}"
    if demands.service.misfit_ratio > MAX_MISFIT_RATIO:
        yield (
            "the policy's time is no line in the batch size (off by up to "
            f"{units.percent(demands.service.misfit_ratio)}): bound and free transport are approximate"
        )


def _service(service: ServiceTime) -> str:
    batch = units.seconds(service.batch_s)
    return batch if service.row_s == 0.0 else f"{batch} + {units.seconds(service.row_s)}·n"


def _per_s(number: float | None) -> str:
    return units.value(number, "requests/s")


def _ratio(ratio: RatioEstimate | None) -> str:
    if ratio is None:
        return units.MISSING
    shown = units.ratio(ratio.point)
    if ratio.low is None or ratio.low == ratio.high:
        return shown
    return f"{shown} {units.interval(ratio.low, ratio.high)}"
