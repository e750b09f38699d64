"""A folder of pyperf files, one a contender: ``python -m pyperf compare_to A.json B.json``.

A benchmark is a cell, a run of it one trial with one value: the window over its replies, in
seconds per step. ``loops`` is the number of replies and ``inner_loops`` is 1, so that pyperf's
raw value is the window. With one value a trial pyperf's t test is one over trials; it also
wants as many values on both sides, so a cell keeps the rounds in which every contender has
one. pyperf knows no pairs and no threshold: the verdict is `slotbench compare`'s.

Source: pyperf 2.10, whose own checks decide which of the environment's fields are taken.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from slotbench.errors import RecordError
from slotbench.exports._pyperf import accepted, suite
from slotbench.exports._rendered import Rendered
from slotbench.exports._text import file_names
from slotbench.exports._trials import UsableTrial, account, started_at, usable_trials

if TYPE_CHECKING:
    from slotbench.records import RunRecord, Scalar
    from slotbench.store import StoredRun

SUMMARY: Final = "a file a contender, for python -m pyperf compare_to"
DEFAULT_NAME: Final = "{run_id}-pyperf"

_PERCENTILES: Final = ("latency_p50", "latency_p90", "latency_p99", "latency_p999")
"""Metadata in float seconds: ``pyperf convert --extract-metadata latency_p99`` compares them."""


def render(stored: "StoredRun") -> Rendered:
    """One file a contender that has a value in some cell.

    Raises:
        RecordError: no cell has a round in which every contender has a value.
    """
    trials = usable_trials(stored)
    kept = _balanced(trials)
    if not kept:
        raise RecordError(
            f"{stored.run.run_id} has no round in which every contender gave a number, and "
            "pyperf needs as many of each: export it as csv"
        )
    shared = _shared_metadata(stored.run)
    names = file_names(contender.label for contender in stored.run.scenario.contenders)
    files = {}
    for label, name in names.items():
        mine = [trial for trial in kept if trial.record.contender == label]
        if mine:
            files[f"/{name}.json"] = _file(mine, shared)
    left_out = {
        "usable, in a round in which another contender has no value": len(trials)
        - len(kept)
    }
    return Rendered(files, (account(stored, len(kept), left_out),))


def _balanced(trials: Iterable[UsableTrial]) -> list[UsableTrial]:
    """Keep the rounds in which every contender has a value, cell by cell.

    A contender without any value in a cell is not in that cell's files, and does not keep
    the others out of theirs.
    """
    with_value = [trial for trial in trials if _step_s(trial) is not None]
    rounds: dict[str, dict[str, set[int]]] = {}
    for trial in with_value:
        of_cell = rounds.setdefault(trial.record.cell, {})
        of_cell.setdefault(trial.record.contender, set()).add(trial.record.round)
    shared = {cell: set.intersection(*found.values()) for cell, found in rounds.items()}
    return [
        trial for trial in with_value if trial.record.round in shared[trial.record.cell]
    ]


def _step_s(trial: UsableTrial) -> float | None:
    """Seconds per step; None without a reply or a window, where pyperf takes no value."""
    measured = trial.measurement
    if measured.num_replies <= 0 or measured.window_s <= 0:
        return None
    return measured.window_s / measured.num_replies


def _file(trials: Sequence[UsableTrial], shared: "dict[str, Scalar]") -> bytes:
    """One contender's suite, its cells in the scenario's order."""
    import pyperf

    cells: dict[str, list[Any]] = {}
    for trial in trials:
        run = pyperf.Run(
            [_step_s(trial)],
            metadata={**shared, **_metadata(trial)},
            collect_metadata=False,
        )
        cells.setdefault(trial.record.cell, []).append(run)
    return suite(list(cells.values()))


def _metadata(trial: UsableTrial) -> dict[str, Any]:
    record, measured = trial.record, trial.measurement
    started = started_at(record.started_at, f"trial {record.trial_id}")
    percentiles = {name: getattr(measured, f"{name}_s") for name in _PERCENTILES}
    return {
        "name": " ".join(record.cell.split()),
        "unit": "second",
        "loops": measured.num_replies,
        "inner_loops": 1,
        "contender": record.contender,
        "trial_id": record.trial_id,
        "round": record.round,
        "trial_seed": record.seed,
        # pyperf's own dates have no zone, and it cannot order them beside one that has.
        "date": started.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" "),
        "duration": record.duration_s,
        **{name: value for name, value in percentiles.items() if value is not None},
    }


def _shared_metadata(run: "RunRecord") -> "dict[str, Scalar]":
    """The run's environment, as far as pyperf takes it, and what the run is."""
    return {
        **accepted(run.environment),
        "run_id": run.run_id,
        "scenario": run.scenario.name,
        "seed": run.design.seed,
    }
