"""Every contender over the baseline, cell by cell: what comparisons say, as a frame."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import comparison, losses, metrics
from slotbench.compute.comparison import ComparisonRow
from slotbench.frames._place import tidy

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_COLUMNS: Final = (
    *("contender", "metric", "is_baseline", "is_floor", "num_trials"),
    *("value", "value_low", "value_high", "ratio", "ratio_low", "ratio_high", "verdict"),
    *("noise_floor", "can_resolve", "mean_batch_size", "bound_per_s"),
)


def ratios_frame(
    stored: "StoredRun",
    *,
    baseline: str | None = None,
    threshold: float | None = None,
    metric: str | Sequence[str] = "throughput",
) -> "pd.DataFrame":
    """One row per cell, contender and metric, as in a comparison.

    Columns: the place; contender, metric, is_baseline, is_floor, num_trials; value with
    value_low and value_high, its t interval, in the metric's unit; ratio to the baseline
    with ratio_low and ratio_high; verdict; noise_floor and can_resolve of cell and metric;
    mean_batch_size; bound_per_s, what think time and service time allow, NaN for other metrics
    than throughput. NaN or None where there is no such number. The attribute "confidence" is that of
    every interval: 0.95, and above where the run looked more than once.

    Raises:
        SlotbenchError: no such contender or metric, or a threshold outside 0 to 1.
    """
    names = (metric,) if isinstance(metric, str) else tuple(metric)
    compared = comparison.compare(
        stored.run, stored.trials, metrics=names, threshold=threshold, baseline=baseline
    )
    bounds = losses.bounds(stored.run, stored.trials, stored.calibrations)
    rows = [_row(row, bounds[row.cell]) for row in compared.rows]
    frame = tidy(
        stored,
        rows,
        ("cell", *_COLUMNS),
        baseline=compared.baseline,
        threshold=compared.thresholds[compared.metrics[0]],
    )
    numbers = [name for name in _COLUMNS if name.startswith(("value", "ratio", "bound"))]
    frame = frame.astype(dict.fromkeys((*numbers, "noise_floor"), "float64"))
    frame.attrs["confidence"] = compared.confidence
    frame.attrs["units"] = {name: metrics.get(name).unit for name in compared.metrics}
    return frame


def _row(row: ComparisonRow, bound_per_s: float | None) -> dict[str, Any]:
    return {
        **numbers_of(row),
        "is_baseline": row.is_baseline,
        "mean_batch_size": row.mean_batch_size,
        "bound_per_s": bound_per_s if row.metric == "throughput" else None,
    }


def numbers_of(row: ComparisonRow) -> dict[str, Any]:
    """What frames have of a row of one run, whatever it is divided by."""
    ratio = row.ratio
    return {
        "cell": row.cell,
        "contender": row.contender,
        "metric": row.metric,
        "is_floor": row.is_floor,
        "num_trials": row.num_trials,
        "value": row.value,
        "value_low": row.value_low,
        "value_high": row.value_high,
        "ratio": None if ratio is None else ratio.point,
        "ratio_low": None if ratio is None else ratio.low,
        "ratio_high": None if ratio is None else ratio.high,
        "verdict": row.verdict,
        "noise_floor": row.noise_floor,
        "can_resolve": row.can_resolve,
    }
