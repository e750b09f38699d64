"""What a search tried: each trial at its load."""

from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import slo, slo_answer
from slotbench.frames._place import tidy
from slotbench.records import SloTrial

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredSlo

_COLUMNS: Final = (
    *("contender", "percent", "limit_s", "load_per_s", "per_actor_per_s", "latency_s"),
    *(
        "is_usable",
        "is_disturbed",
        "is_overloaded",
        "decision",
        "held_per_s",
        "failed_per_s",
    ),
    *("trial_id", "step"),
)
_NUMBERS: Final = tuple(name for name in _COLUMNS if name.endswith("_s"))


def slo_frame(stored: "StoredSlo", *, baseline: str | None = None) -> "pd.DataFrame":
    """One row per cell, contender, limit and trial of the open loop.

    Columns: the place; contender; percent and limit_s, one of the search's limits; load_per_s, offered
    by all actors together, and per_actor_per_s; latency_s, the trial's own percentile, from the intended
    start; is_usable, neither failed nor INVALID; is_disturbed; is_overloaded, requests came faster
    than they were answered; decision of the load, "holds", "fails", "undecided", "unmade" or "open";
    held_per_s and failed_per_s, the contender's interval, the same in all its rows; trial_id; step.
    NaN where there is no such number.
    """
    record = stored.record
    found = {
        (one.cell, one.contender): one for one in slo_answer.searched(record, stored.trials)
    }
    slots = {cell.name: cell.workload.num_slots for cell in record.scenario.cells}
    rows = []
    for one in stored.trials:
        if one.load_index is None or one.load_per_s is None:
            continue
        searched = found[one.trial.cell, one.trial.contender]
        decisions = {point.load_index: point.decision for point in searched.search.points}
        held, failed = searched.search.held, searched.search.failed
        shared: dict[str, Any] = {
            "cell": one.trial.cell,
            "contender": one.trial.contender,
            "load_per_s": one.load_per_s,
            "per_actor_per_s": one.load_per_s / slots[one.trial.cell],
            # None of a search whose closed loop has no numbers: it does not know where it is.
            "decision": decisions.get(one.load_index, "open"),
            "held_per_s": None if held is None else held.load_per_s,
            "failed_per_s": None if failed is None else failed.load_per_s,
            "trial_id": one.trial.trial_id,
            "step": one.trial.round,
        }
        rows += [{**shared, **row} for row in _of_limits(one, stored)]
    frame = tidy(stored, rows, ("cell", *_COLUMNS), baseline=baseline)
    frame = frame.astype(dict.fromkeys(_NUMBERS, "float64"))
    frame.attrs["units"] = {
        name: "requests/s" if name.endswith("_per_s") else "s" for name in _NUMBERS
    }
    return frame


def _of_limits(one: SloTrial, stored: "StoredSlo") -> list[dict[str, Any]]:
    limits = stored.record.plan.limits
    said, measured = slo.tried(one, limits), one.trial.measurement
    return [
        {
            "percent": limit.percent,
            "limit_s": limit.limit_s,
            "latency_s": None
            if measured is None
            else slo.percentile(measured, limit.percent),
            "is_usable": said.margins is not None,
            "is_disturbed": said.is_disturbed,
            "is_overloaded": said.is_overloaded,
        }
        for limit in limits
    ]
