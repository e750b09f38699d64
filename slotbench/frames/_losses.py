"""Where throughput went: from the bound by way of the floor to what was measured."""

from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import answers
from slotbench.compute.answers import Loss
from slotbench.compute.statistics import RatioEstimate
from slotbench.frames._place import tidy

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_COLUMNS: Final = (
    *("contender", "bound_per_s", "floor_per_s", "measured_per_s"),
    *("batching", "batching_low", "batching_high"),
    *("transport", "transport_low", "transport_high", "verdict"),
)


def losses_frame(
    stored: "StoredRun", *, baseline: str | None = None, threshold: float | None = None
) -> "pd.DataFrame":
    """One row per cell and contender, without floors.

    Columns: the place; contender; bound_per_s, floor_per_s and measured_per_s, requests per
    second; batching, bound over floor: what batching and waking threads cost, with its
    interval (the floor's); transport, floor over measured: what the transport costs, with its
    interval, paired by block; verdict, "passes the floor", or "batching" or "transport" where
    that is shown to be the larger loss. NaN or None where the bound is not known or no floor was raced.
    """
    frame = tidy(
        stored,
        [_row(loss) for loss in answers.losses(stored.run, stored.trials)],
        ("cell", *_COLUMNS),
        baseline=baseline,
        threshold=threshold,
    )
    numbers = [name for name in _COLUMNS if name not in {"contender", "verdict"}]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def _row(loss: Loss) -> dict[str, Any]:
    return {
        "cell": loss.cell,
        "contender": loss.contender,
        "bound_per_s": loss.bound_per_s,
        "floor_per_s": loss.floor_per_s,
        "measured_per_s": loss.measured_per_s,
        **_estimate("batching", loss.batching),
        **_estimate("transport", loss.transport),
        "verdict": loss.verdict,
    }


def _estimate(name: str, ratio: RatioEstimate | None) -> dict[str, float | None]:
    return {
        name: None if ratio is None else ratio.point,
        f"{name}_low": None if ratio is None else ratio.low,
        f"{name}_high": None if ratio is None else ratio.high,
    }
