"""Latency over percentiles: from the median to what one request in a thousand exceeds."""

from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import blocks, histogram
from slotbench.compute.statistics import geometric_mean
from slotbench.frames._place import tidy
from slotbench.records import Histogram, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

PERCENTS: Final = (
    10.0,
    25.0,
    50.0,
    75.0,
    90.0,
    95.0,
    98.0,
    99.0,
    99.5,
    99.9,
    99.95,
    99.99,
)
_COLUMNS: Final = (
    *("contender", "percent", "latency_s", "latency_min_s", "latency_max_s", "num_trials"),
)


def latencies_frame(
    stored: "StoredRun", *, baseline: str | None = None, threshold: float | None = None
) -> "pd.DataFrame":
    """One row per cell, contender and percentile, floors included.

    Columns: the place; contender; percent, 0 to 100; latency_s, the geometric mean over trials
    of each trial's own percentile; latency_min_s and latency_max_s, the least and the largest of
    them; num_trials behind it. A percentile of which a trial has too few samples is not in
    that trial's part; no row where none has enough. Trials are never pooled.
    """
    groups: dict[tuple[str, str], list[Histogram]] = {}
    for trial in first_arms(stored):
        if trial.measurement is not None and trial.measurement.latency.buckets:
            key = (trial.cell, trial.contender)
            groups.setdefault(key, []).append(trial.measurement.latency)
    rows = [
        row
        for (cell, contender), histograms in groups.items()
        for row in _rows(cell, contender, histograms)
    ]
    frame = tidy(stored, rows, ("cell", *_COLUMNS), baseline=baseline, threshold=threshold)
    frame.attrs["units"] = {name: "s" for name in _COLUMNS if name.endswith("_s")}
    return frame


def first_arms(stored: "StoredRun") -> list[TrialRecord]:
    """The trials that a comparison's values rest on."""
    return [
        trial
        for trial in blocks.counted_trials(stored.run, stored.trials)
        if trial.arm == 0 and blocks.is_usable(trial)
    ]


def _rows(cell: str, contender: str, histograms: list[Histogram]) -> list[dict[str, Any]]:
    rows = []
    for percent in PERCENTS:
        found = [histogram.percentile_ns(one, percent) for one in histograms]
        values = [value * 1e-9 for value in found if value is not None]
        if values:
            rows.append(
                {
                    "cell": cell,
                    "contender": contender,
                    "percent": percent,
                    "latency_s": geometric_mean(values),
                    "latency_min_s": min(values),
                    "latency_max_s": max(values),
                    "num_trials": len(values),
                }
            )
    return rows
