"""How throughput scales with the number of actors: what was measured, and the law through it."""

from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import scalability
from slotbench.compute.scalability import Law
from slotbench.frames._place import tidy

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_CONSTANTS: Final = ("rate_per_s", "contention", "coherency", "peak_slots", "peak_per_s")
_OVER: Final = ("contention_over", "coherency_over")
_NUMBERS: Final = (
    *("measured_per_s", "measured_per_s_low", "measured_per_s_high"),
    *("law_per_s", "linear_per_s"),
    *(name + end for name in (*_CONSTANTS, *_OVER) for end in ("", "_low", "_high")),
    "misfit_ratio",
)
_COLUMNS: Final = (
    *("row", "contender", "num_rounds", *_NUMBERS, "is_superlinear"),
    *("contention_difference", "coherency_difference"),
)


def scalability_frame(
    stored: "StoredRun", *, baseline: str | None = None, threshold: float | None = None
) -> "pd.DataFrame":
    """One row per cell and contender, of cells that stand in a row of at least four slot counts.

    Columns: the place; row, what the cells of a row have in common; contender; num_rounds;
    measured_per_s with its t interval, law_per_s and linear_per_s, requests per second: measured, as the
    fitted law has it, and so many times what one actor gets. The same for all cells of a row: rate_per_s (λ),
    contention (σ), coherency (κ), peak_slots, peak_per_s, each with …_low and …_high; misfit_ratio;
    is_superlinear; contention_over and coherency_over, less the baseline's, with their ends and
    contention_difference and coherency_difference: "higher", "lower", "not decided" or "no fit". NaN
    or None where there is no such number, such as a peak that the fit does not have. See
    `slotbench.compute.scalability`. A row per law:
    ``frame.drop_duplicates(["row", "contender"])``.

    Args:
        stored: the run.
        baseline: label that constants are held against; None is the scenario's.
        threshold: plays no part here but in the attributes.
    """
    found = scalability.scalability(stored.run, stored.trials, baseline=baseline)
    rows = [row for law in found.laws for row in _rows(law)]
    frame = tidy(stored, rows, ("cell", *_COLUMNS), baseline=baseline, threshold=threshold)
    return frame.astype(dict.fromkeys(_NUMBERS, "float64"))


def _rows(law: Law) -> list[dict[str, Any]]:
    constants = law.rate.point, law.contention.point, law.coherency.point
    fitted = scalability.law_per_s(law.slots, *constants)
    same = scalability.flat(law)
    return [
        same
        | {
            "cell": cell,
            "measured_per_s": measured.point,
            "measured_per_s_low": measured.low,
            "measured_per_s_high": measured.high,
            "law_per_s": float(at),
            "linear_per_s": law.rate.point * slots,
        }
        for cell, slots, measured, at in zip(
            law.cells, law.slots, law.measured, fitted, strict=True
        )
    ]
