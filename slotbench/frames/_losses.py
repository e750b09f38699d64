"""Where throughput went: from the bound by way of a free transport and the floor to what was measured."""

from typing import TYPE_CHECKING, Final

from slotbench.compute import losses
from slotbench.frames._place import tidy

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_RATIOS: Final = ("batching", "waking", "transport", "overhead")
_TEXTS: Final = ("contender", "python", "limit", "source", "verdict")
_TRUTHS: Final = ("is_one_process", "has_gil")
_COLUMNS: Final = (
    *("contender", "python", "is_one_process", "has_gil"),
    *("bound_per_s", "free_per_s", "floor_per_s", "measured_per_s"),
    *(name + end for name in _RATIOS for end in ("", "_low", "_high")),
    *("added_s", "mean_batch_size", "free_batch_size", "verdict"),
    *("limit", "think_s", "batch_s", "row_s", "misfit_ratio", "residual_ratio"),
    *("device_batch_s", "device_row_s", "device_residual_ratio", "source"),
    *("num_calibrations", "num_disturbed"),
)


def losses_frame(
    stored: "StoredRun", *, baseline: str | None = None, threshold: float | None = None
) -> "pd.DataFrame":
    """One row per cell and contender, without floors.

    Columns: the place; contender; python, the interpreter that it runs in, "" is the run's own; is_one_process,
    whether its actors are threads of one; has_gil, whether they share a GIL that their Python starts with; bound_per_s, free_per_s (a free transport under the batching
    rule), floor_per_s and measured_per_s, requests per second. Ratios with their intervals:
    batching, bound over free; waking, free over floor; transport, floor over measured; overhead,
    free over measured: waking and transport together. added_s, how much longer than with a free
    transport an actor's cycle takes, seconds;
    mean_batch_size and free_batch_size; verdict, the loss that is shown to be the largest, or
    "passes the floor". limit, of the bound; think_s, batch_s, row_s: Z, a and b; misfit_ratio,
    residual_ratio: the largest and the root-mean-square distance of the calibrated times from that line,
    as shares; device_batch_s, device_row_s, device_residual_ratio: the same of the forward alone, as a
    device's own events time it; source, "calibrated" or "nominal"; num_calibrations behind them, num_disturbed by the machine. NaN or None where a number is not known or no
    floor was raced. See `slotbench.compute.losses`.
    """
    found = losses.losses(stored.run, stored.trials, stored.calibrations)
    frame = tidy(
        stored,
        [losses.flat(loss) for loss in found],
        ("cell", *_COLUMNS),
        baseline=baseline,
        threshold=threshold,
    )
    numbers = [
        name
        for name in _COLUMNS
        if name not in {*_TEXTS, *_TRUTHS, "num_calibrations", "num_disturbed"}
    ]
    return frame.astype(dict.fromkeys(numbers, "float64"))
