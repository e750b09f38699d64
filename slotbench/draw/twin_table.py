"""A real environment and its twin, as words in columns: who is predicted, and how ranks compare."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from slotbench.compute.comparison import Comparison
from slotbench.compute.statistics import RatioEstimate
from slotbench.compute.twins import MARGIN, Prediction
from slotbench.draw import looks, units
from slotbench.draw.cell_table import CellTable
from slotbench.records import ThinkTime, Workload

_LEFT: Final = frozenset({0, 4, 7})
_LIBRARIES: Final = {"gymnasium": "", "envpool": " of EnvPool"}
_MODES: Final = {
    "idle": "asleep",
    "busy": "computing under the GIL",
    "busy_nogil": "computing without the GIL",
    "work": "computing a given amount under the GIL",
}


def legend(comparison: Comparison) -> str:
    """What the columns mean, in one line."""
    low, high = units.interval(1 / (1 + MARGIN), 1 + MARGIN)[1:-1].split(", ")
    return (
        "real: the cell that steps the environment; twin: the one that thinks instead. Twin/real "
        f"is paired by round, with its {looks.interval(comparison)}: inside "
        f"[{low}, {high}] the twin predicts the real throughput, wholly outside it does not. Ranks: "
        f"whether both cells say the same of a contender against {comparison.baseline} (faster, "
        "slower, equivalent); not decided where one of them is inconclusive."
    )


def tables(comparison: Comparison) -> tuple[CellTable, ...]:
    """A table for each real cell and twin of it, in the order of the predictions."""
    pairs = groupby(comparison.twins, key=lambda one: (one.cell, one.twin))
    return tuple(_table(comparison, list(said)) for _, said in pairs)


def _table(comparison: Comparison, said: Sequence[Prediction]) -> CellTable:
    workloads = {cell.name: cell.workload for cell in comparison.cells}
    first, base = said[0], comparison.baseline
    return CellTable(
        name=_name(workloads[first.cell], workloads[first.twin]),
        header=(
            *("contender", "real", "twin", "twin/real", "verdict"),
            *(f"real vs {base}", f"twin vs {base}", "ranks"),
        ),
        rows=tuple(map(_row, said)),
        notes=tuple(_notes(said)),
        left=_LEFT,
    )


def _row(one: Prediction) -> tuple[str, ...]:
    is_ranked = one.ranking is not None
    return (
        one.contender,
        units.value(one.real_per_s, "requests/s"),
        units.value(one.twin_per_s, "requests/s"),
        _ratio(one.ratio),
        one.verdict or "",
        _ratio(one.real_ratio) if is_ranked else "",
        _ratio(one.twin_ratio) if is_ranked else "",
        one.ranking or "",
    )


def _notes(said: Sequence[Prediction]) -> Iterable[str]:
    judged = [one.verdict for one in said if one.verdict is not None]
    ranked = [one.ranking for one in said if one.ranking is not None]
    if judged:
        total = units.count(len(judged), "contender")
        yield f"throughput predicted: {judged.count('predicts')} of {total}"
    if ranked:
        total = units.count(len(ranked), "contender")
        yield f"ranked alike: {ranked.count('agrees')} of {total}"
    if said[0].fitted is not None:
        fitted = said[0].fitted
        yield (
            f"as the environment was calibrated: mean_ms = {units.significant(fitted.mean_s * 1e3)}, "
            f"sigma = {units.significant(fitted.sigma)}, of "
            f"{units.count(fitted.num_calibrations, 'calibration')}"
        )
    yield f"real: {said[0].cell}"
    yield f"twin: {said[0].twin}"


def _name(real: Workload, twin: Workload) -> str:
    """What tells a pair from another, in few words: names of such cells are long."""
    actors = units.count(real.num_slots, "actor")
    return f"{environment(real)}, {actors}: a twin that {thinks(twin.think_time)}"


def environment(real: Workload) -> str:
    """Id of the environment, and its library where that is not Gymnasium; "" for a synthetic cell."""
    one = real.environment
    return "" if one is None else f"{one.id}{_LIBRARIES[one.library]}"


def thinks(think: ThinkTime) -> str:
    """What a twin does instead of stepping an environment, as a predicate."""
    if think.distribution == "none":
        return "does not think"
    shape = f", σ {think.sigma:g}" if think.distribution == "lognormal" else ""
    time = units.seconds(think.mean_ms / 1e3)
    return f"thinks {time} ({think.distribution}{shape}), {_MODES[think.mode]}"


def _ratio(ratio: RatioEstimate | None) -> str:
    if ratio is None:
        return units.MISSING
    shown = units.ratio(ratio.point)
    if ratio.low is None or ratio.low == ratio.high:
        return shown
    return f"{shown} {units.interval(ratio.low, ratio.high)}"
