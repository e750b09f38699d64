"""Two JSON files for github-action-benchmark, which draws a chart over commits.

The action has one direction a call, so there is a file for metrics whose higher values are
better and one for the others; a metric without a good direction is in neither. A value is
the geometric mean over trials, as in a comparison.

Source: the action's README, "customBiggerIsBetter" and "customSmallerIsBetter".
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from slotbench.exports._rendered import Rendered
from slotbench.exports._trials import UsableTrial, account, usable_trials

if TYPE_CHECKING:
    from slotbench.compute.metrics import Metric
    from slotbench.records import RunRecord
    from slotbench.store import StoredRun

SUMMARY: Final = "two JSON files, for a chart over commits"
DEFAULT_NAME: Final = "{run_id}"

_ENDS: Final = {
    "higher": "-bigger-is-better.json",
    "lower": "-smaller-is-better.json",
}


def render(stored: "StoredRun") -> Rendered:
    """Both files, also where one is an empty list."""
    from slotbench.compute import metrics

    groups: dict[tuple[str, str], list[UsableTrial]] = {}
    trials = usable_trials(stored)
    for trial in trials:
        groups.setdefault((trial.record.cell, trial.record.contender), []).append(trial)
    known = [metrics.get(name) for name in metrics.available()]
    files = {}
    for better, end in _ENDS.items():
        entries = [
            entry
            for (cell, contender), group in groups.items()
            for metric in known
            if metric.better == better
            for entry in _entries(stored.run, cell, contender, metric, group)
        ]
        text = json.dumps(entries, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        files[end] = text.encode("utf-8", "replace")
    return Rendered(files, (account(stored, len(trials)),))


def _entries(
    run: "RunRecord",
    cell: str,
    contender: str,
    metric: "Metric",
    group: Sequence[UsableTrial],
) -> list[dict[str, Any]]:
    """The one entry of a metric, or none where no trial has a value."""
    from slotbench.compute import sequential
    from slotbench.compute.statistics import geometric_mean

    values = [metric.value(trial.measurement) for trial in group]
    found = [value for value in values if value is not None]
    mean = geometric_mean(found)
    if mean is None:
        return []
    spread = _range(found, sequential.confidence_of(run))
    number = "1 trial" if len(found) == 1 else f"{len(found)} trials"
    return [
        {
            "name": f"{cell} / {contender} / {metric.name}",
            "unit": metric.unit,
            "value": mean,
            **({"range": spread} if spread else {}),
            "extra": f"{metric.label}, geometric mean of {number}\nrun {run.run_id}",
        }
    ]


def _range(values: Sequence[float], confidence: float) -> str:
    """Half-width of the t interval of the mean: "± 2.31%"; "" where there is none.

    The interval lies on the logarithm. It is told as one share of the mean, which is what
    a reader can hold against the next commit's.
    """
    from slotbench.compute.statistics import noise_floor, paired_log_ratio

    if 0.0 in values:
        return ""
    # A ratio to 1 is the value itself.
    half_width = noise_floor(paired_log_ratio(values, [1.0] * len(values), confidence))
    return "" if half_width is None else f"± {half_width * 100:.3g}%"
