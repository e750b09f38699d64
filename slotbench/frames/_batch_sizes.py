"""How large batches were."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from slotbench.frames._latencies import first_arms
from slotbench.frames._place import tidy

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_COLUMNS: Final = ("contender", "batch_size", "batch_share", "row_share", "num_trials")


def batch_sizes_frame(
    stored: "StoredRun", *, baseline: str | None = None, threshold: float | None = None
) -> "pd.DataFrame":
    """One row per cell, contender and batch size that occurred, floors included.

    Columns: the place; contender; batch_size, rows; batch_share, the share of batches that had
    this size, and row_share, the share of rows that were served in such, 0 to 1, each the mean
    over trials of the trial's own; num_trials.
    """
    groups: dict[tuple[str, str], list[tuple[tuple[int, int], ...]]] = {}
    for trial in first_arms(stored):
        if trial.measurement is not None and trial.measurement.batch_sizes:
            key = (trial.cell, trial.contender)
            groups.setdefault(key, []).append(trial.measurement.batch_sizes)
    rows = [
        row
        for (cell, contender), counted in groups.items()
        for row in _rows(cell, contender, counted)
    ]
    return tidy(stored, rows, ("cell", *_COLUMNS), baseline=baseline, threshold=threshold)


def _rows(
    cell: str, contender: str, counted: list[tuple[tuple[int, int], ...]]
) -> list[dict[str, Any]]:
    batches: dict[int, float] = defaultdict(float)
    served: dict[int, float] = defaultdict(float)
    for sizes in counted:
        num_batches = sum(number for _, number in sizes)
        num_rows = sum(size * number for size, number in sizes)
        for size, number in sizes:
            batches[size] += number / num_batches / len(counted)
            served[size] += size * number / num_rows / len(counted)
    return [
        {
            "cell": cell,
            "contender": contender,
            "batch_size": size,
            "batch_share": batches[size],
            "row_share": served[size],
            "num_trials": len(counted),
        }
        for size in sorted(batches)
    ]
