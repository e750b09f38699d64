"""Where one cell's throughput went, as words in columns: from the bound down to each contender."""

from collections.abc import Iterable, Sequence
from typing import Final

from slotbench.compute.comparison import Comparison
from slotbench.compute.demands import MAX_MISFIT_RATIO, ServiceTime
from slotbench.compute.losses import Loss, Yardsticks
from slotbench.compute.statistics import RatioEstimate
from slotbench.draw import looks, units
from slotbench.draw.cell_table import CellTable

_HEADER: Final = (
    *("step", "throughput", "lost to", "ratio"),
    *("adds to a cycle", "mean batch", "largest loss"),
)
_LEFT: Final = frozenset({0, 2, 6})

_LIMITS: Final = {
    "times": "think time and service time",
    "GIL": "what an actor does itself, one at a time under the GIL",
    "processors": "the processors",
    "load": "what is offered",
}
"""What a bound comes from, in words."""

_WITH_COLLECTOR: Final = {
    "transport": "collector and transport",
    "waking and transport": "waking, collector and transport",
}

_APART: Final = " · actors in processes of their own"

_LEGEND: Final = (
    "bound: what no transport can exceed; free transport: the batching rule simulated with a "
    "transport that costs nothing; floor: bare threads and locks without a payload. A ratio is the "
    "step above over this one, a contender's the floor over it, with its {interval}; below 1 it is "
    "ahead of that step. Adds to a cycle: how much longer than with a free transport it takes an actor "
    "from one request to the next. Largest loss: the one whose interval lies above the others'; "
    "undecided where they overlap or one is missing; a contender that passes the floor loses nothing to it."
)


def legend(comparison: Comparison) -> str:
    """What the rows and columns mean."""
    return _LEGEND.format(interval=looks.interval(comparison))


def tables(losses: Sequence[Loss]) -> tuple[CellTable, ...]:
    """A table a cell, in the order of the losses.

    One more for contenders whose actors are processes, and for each other interpreter.
    """
    groups: dict[tuple[str, str, bool], list[Loss]] = {}
    for loss in losses:
        of = loss.yardsticks
        groups.setdefault((loss.cell, of.python, of.is_one_process), []).append(loss)
    return tuple(map(_table, groups.values()))


def _table(losses: Sequence[Loss]) -> CellTable:
    yardsticks = losses[0].yardsticks
    return CellTable(
        name=yardsticks.cell
        + (f" · {yardsticks.python}" if yardsticks.python else "")
        + ("" if yardsticks.is_one_process else _APART),
        header=_HEADER,
        rows=(*_yardsticks(yardsticks), *map(_row, losses)),
        notes=tuple(_notes(yardsticks)),
        left=_LEFT,
    )


def _yardsticks(of: Yardsticks) -> Iterable[tuple[str, ...]]:
    if of.bound_per_s is not None:
        yield ("bound", _per_s(of.bound_per_s), "", "", "", "", "")
        batch = units.value(of.free_batch_size, "rows")
        yield (
            *("free transport", _per_s(of.free_per_s), "batching", _ratio(of.batching)),
            *("", batch, ""),
        )
    if of.floor_per_s is not None:
        waking = () if of.waking is None else ("waking", _ratio(of.waking))
        yield ("floor", _per_s(of.floor_per_s), *(waking or ("", "")), "", "", "")


def _row(loss: Loss) -> tuple[str, ...]:
    if loss.transport is not None:
        lost = "transport", _ratio(loss.transport)
    elif loss.overhead is not None:
        lost = "waking and transport", _ratio(loss.overhead)
    else:
        lost = "", ""
    if loss.is_collected and lost[0]:
        lost = _WITH_COLLECTOR[lost[0]], lost[1]
    added = "" if loss.added_s is None else units.signed(loss.added_s, "s")
    batch = units.value(loss.mean_batch_size, "rows")
    return (
        *(loss.contender, _per_s(loss.measured_per_s), *lost),
        *(added, batch, loss.verdict or _undecided(loss)),
    )


def _undecided(loss: Loss) -> str:
    """Nothing to decide where there is no step above but one."""
    return "undecided" if loss.yardsticks.bound_per_s is not None else ""


def _notes(of: Yardsticks) -> Iterable[str]:
    demands = of.demands
    if of.is_one_process and not of.has_gil:
        yield "without a GIL: actors compute at once, as far as there are processors"
    if of.failure:
        yield f"a calibration failed: {of.failure}"
    if demands is None:
        yield (
            "no bound: nobody thinks and the policy takes no time, or there is no calibration of a "
            "real one"
        )
        return
    times = f"Z = {units.seconds(demands.think_s)}, S(n) = {_service(demands.service)}"
    if demands.source == "nominal":
        yield (
            f"nominal: {times}, as the scenario asks for them, without a calibration of this cell; "
            "that a sleep ends late is then in what waking loses"
        )
    else:
        yield f"{times}, mean of {units.count(of.num_calibrations, 'calibration')}"
    if demands.on_device is not None:
        # Both lines with what they leave over: a forward and its way there and back differ in kind.
        yield (
            f"on the device the forward alone takes {_service(demands.on_device)}, residual "
            f"{units.percent(demands.on_device.residual_ratio)}; S(n), residual "
            f"{units.percent(demands.service.residual_ratio)}, is the host's whole call: with the batch's "
            "way there and back, for which a client waits, too"
        )
    if of.num_disturbed:
        whose = units.count(of.num_disturbed, "calibration")
        what = "used all the same, for want of others: read with care"
        yield f"the machine disturbed {whose}, {what if of.uses_disturbed else 'left out'}"
    if of.limit is not None:
        yield f"what limits the bound: {_LIMITS[of.limit]}"
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
