"""Whether synthetic cells predict those that step a real environment."""

from typing import TYPE_CHECKING, Final

from slotbench.compute import twins
from slotbench.frames._place import tidy

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_RATIOS: Final = ("ratio", "real_ratio", "twin_ratio")
_FITTED: Final = ("fitted_mean_s", "fitted_sigma")
_ENDS: Final = tuple(name + end for name in _RATIOS for end in ("", "_low", "_high"))
_COLUMNS: Final = (
    *("twin", "contender", "real_per_s", "twin_per_s", *_ENDS),
    *("verdict", "real_verdict", "twin_verdict", "ranking"),
    *_FITTED,
)


def twins_frame(
    stored: "StoredRun", *, baseline: str | None = None, threshold: float | None = None
) -> "pd.DataFrame":
    """One row per real cell, twin and contender; none where a run has no twins.

    Columns: the place, of the real cell; twin, name of the synthetic cell; contender; real_per_s
    and twin_per_s, requests per second. Ratios with their intervals: ratio, twin over real;
    real_ratio and twin_ratio, over the baseline, each inside its own cell. verdict, "predicts",
    "does not predict" or "not decided"; real_verdict and twin_verdict, of the ratios over the
    baseline; ranking, whether these two say the same: "agrees", "differs" or "not decided". fitted_mean_s
    and fitted_sigma, constants of a lognormal think time like the environment's. NaN
    or None where something is not known. See `slotbench.compute.twins`.
    """
    found = twins.predictions(
        stored.run,
        stored.trials,
        stored.calibrations,
        baseline=baseline,
        threshold=threshold,
    )
    frame = tidy(
        stored,
        [twins.flat(one) for one in found],
        ("cell", *_COLUMNS),
        baseline=baseline,
        threshold=threshold,
    )
    return frame.astype(
        dict.fromkeys(("real_per_s", "twin_per_s", *_ENDS, *_FITTED), "float64")
    )
