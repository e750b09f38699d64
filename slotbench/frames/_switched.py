"""What an option is worth: the same contender with it on, over it off."""

from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import answers
from slotbench.frames._place import tidy

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_COLUMNS: Final = ("off", "contender", "ratio", "ratio_low", "ratio_high", "verdict")


def switched_frame(
    stored: "StoredRun", *, baseline: str | None = None, threshold: float | None = None
) -> "pd.DataFrame":
    """One row per cell and contender that was raced with and without preallocation.

    Columns: the place; off, the label without; contender, the label with it; ratio of their
    throughputs, on over off, paired by block, with ratio_low and ratio_high; verdict. Empty
    where no contender was raced both ways.

    Args:
        stored: the run.
        baseline: plays no part here but in the attributes.
        threshold: δ of the verdicts; the scenario's where None.
    """
    found = answers.switched(stored.run, stored.trials, threshold=threshold)
    rows: list[dict[str, Any]] = [
        {
            "cell": row.cell,
            "off": one.off,
            "contender": one.on,
            "ratio": None if row.ratio is None else row.ratio.point,
            "ratio_low": None if row.ratio is None else row.ratio.low,
            "ratio_high": None if row.ratio is None else row.ratio.high,
            "verdict": row.verdict,
        }
        for one in found
        for row in one.rows
    ]
    frame = tidy(stored, rows, ("cell", *_COLUMNS), baseline=baseline, threshold=threshold)
    return frame.astype(dict.fromkeys(("ratio", "ratio_low", "ratio_high"), "float64"))
