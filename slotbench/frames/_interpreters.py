"""What each contender gains or loses in another interpreter."""

from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import comparison, interpreters
from slotbench.compute.interpreters import InterpreterRow
from slotbench.frames._place import tidy
from slotbench.frames._ratios import numbers_of

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_COLUMNS: Final = (
    *(
        "contender",
        "bare_label",
        "python",
        "first_python",
        "metric",
        "is_floor",
        "num_trials",
    ),
    *("value", "value_low", "value_high", "ratio", "ratio_low", "ratio_high", "verdict"),
    *("noise_floor", "can_resolve"),
)


def interpreters_frame(
    stored: "StoredRun", *, baseline: str | None = None, threshold: float | None = None
) -> "pd.DataFrame":
    """One row per cell, contender, interpreter and metric; none where no contender ran in two.

    Columns: the place; contender, and bare_label, its label without the interpreter; python, as the option names it,
    "" for the run's own, and first_python, that of what it is divided by; metric, is_floor, num_trials; value
    with its t interval; ratio, to the same contender in first_python, with ratio_low and ratio_high, NaN where it
    is that one itself; verdict; noise_floor and can_resolve of cell and metric, of the scenario's baseline,
    which alone ran twice. Metrics are those of a comparison. ``baseline`` is for the attributes alone. See
    `slotbench.compute.interpreters`.
    """
    compared = comparison.compare(
        stored.run, stored.trials, threshold=threshold, baseline=baseline
    )
    found = interpreters.compare(stored.run, stored.trials, compared.thresholds)
    frame = tidy(
        stored,
        [_row(one) for one in found],
        ("cell", *_COLUMNS),
        baseline=baseline,
        threshold=threshold,
    )
    numbers = [name for name in _COLUMNS if name.startswith(("value", "ratio"))]
    frame = frame.astype(dict.fromkeys((*numbers, "noise_floor"), "float64"))
    frame.attrs["confidence"] = compared.confidence
    return frame


def _row(found: InterpreterRow) -> dict[str, Any]:
    return {
        "bare_label": found.bare_label,
        "python": found.python,
        "first_python": found.first_python,
        **numbers_of(found.row),
    }
