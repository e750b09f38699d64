"""What contenders make of what they are offered."""

from typing import TYPE_CHECKING, Final

from slotbench.compute import loads
from slotbench.frames._place import tidy

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_COLUMNS: Final = (
    *("contender", "offered_per_s", "served_per_s", "latency_p50_s", "latency_p99_s"),
    *("latency_p50_low_s", "latency_p50_high_s", "latency_p99_low_s", "latency_p99_high_s"),
    *("call_p50_s", "call_p99_s", "late_p99_s", "unanswered_share"),
    *("is_saturated", "num_trials", "num_overloaded"),
)
_NUMBERS: Final = tuple(name for name in _COLUMNS if name.endswith(("_s", "_share")))


def loads_frame(
    stored: "StoredRun", *, baseline: str | None = None, threshold: float | None = None
) -> "pd.DataFrame":
    """One row per cell of an open loop and contender, floors included; no row for closed loops.

    Columns: the place; contender; offered_per_s, of all actors together, and served_per_s;
    latency_p50_s and latency_p99_s, from the intended start, geometric means over trials, with
    the t interval of each (95 %, or surer where the run looked more than once) as …_low_s and
    …_high_s, NaN for one trial; call_p50_s and call_p99_s, from the actual start; late_p99_s, the generator's own delay; unanswered_share of
    what was due; is_saturated, whether the backlog grew in half of the trials or more; num_trials
    and num_overloaded.
    """
    rows = [loads.flat(point) for point in loads.points(stored.run, stored.trials)]
    frame = tidy(stored, rows, ("cell", *_COLUMNS), baseline=baseline, threshold=threshold)
    return frame.astype(dict.fromkeys(_NUMBERS, "float64"))
