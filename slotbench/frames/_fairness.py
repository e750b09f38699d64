"""Whether every actor was served alike."""

from typing import TYPE_CHECKING, Any, Final

from slotbench.frames._latencies import first_arms
from slotbench.frames._place import tidy

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_COLUMNS: Final = (
    *("contender", "least_share", "most_share", "replies_per_actor", "num_trials"),
)


def fairness_frame(
    stored: "StoredRun", *, baseline: str | None = None, threshold: float | None = None
) -> "pd.DataFrame":
    """One row per cell and contender, floors included.

    Columns: the place; contender; least_share and most_share, the replies of the actor with
    the fewest and of the one with the most, over an actor's mean (1 is fair), each the mean
    over trials of the trial's own; replies_per_actor, that mean itself; num_trials. With few
    replies an actor, shares differ from 1 by chance: one reply more is 1/replies_per_actor.
    """
    groups: dict[tuple[str, str], list[tuple[int, ...]]] = {}
    for trial in first_arms(stored):
        if trial.measurement is not None and any(trial.measurement.replies_per_actor):
            key = (trial.cell, trial.contender)
            groups.setdefault(key, []).append(trial.measurement.replies_per_actor)
    rows = [_row(cell, contender, replies) for (cell, contender), replies in groups.items()]
    return tidy(stored, rows, ("cell", *_COLUMNS), baseline=baseline, threshold=threshold)


def _row(cell: str, contender: str, replies: list[tuple[int, ...]]) -> dict[str, Any]:
    means = [sum(one) / len(one) for one in replies]
    both = list(zip(replies, means, strict=True))
    return {
        "cell": cell,
        "contender": contender,
        "least_share": sum(min(one) / mean for one, mean in both) / len(both),
        "most_share": sum(max(one) / mean for one, mean in both) / len(both),
        "replies_per_actor": sum(means) / len(means),
        "num_trials": len(both),
    }
