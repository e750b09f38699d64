"""The same questions asked of this machine: real runs whose truth is known.

``self_aa`` races a transport against itself, ``self_planted`` one against itself made slower.
Both are ordinary runs, recorded as any other, that anybody can look at again.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from slotbench import scenario, session, store
from slotbench.compute import comparison
from slotbench.compute.metrics import get as get_metric
from slotbench.measure import runner
from slotbench.measure.executor import LocalExecutor
from slotbench.measure.runner import Progress
from slotbench.records import (
    MachinePart,
    PlantedInterval,
    RepeatedInterval,
    RunRecord,
    Scenario,
    TrialRecord,
)
from slotbench.store import StoredRun

SCENARIOS: Final = ("self_aa", "self_planted")

SLOWDOWN: Final = "slowdown"
"""Option of `slotbench.selftest.planted.transport`."""

_METRIC: Final = "throughput"


def load(rounds: int | None = None) -> tuple[Scenario, Scenario]:
    """Read the two scenarios.

    Args:
        rounds: in place of the scenarios' own.

    Raises:
        ScenarioError: a file in ``./scenarios`` of the same name is none.
    """
    repeated, planted = (scenario.load(name, rounds=rounds) for name in SCENARIOS)
    return repeated, planted


def estimate_s(scenarios: Sequence[Scenario]) -> float:
    """Estimate how long their runs take, in seconds."""
    return sum(runner.estimate_s(one) for one in scenarios)


def measure(
    scenarios: tuple[Scenario, Scenario],
    results_dir: Path,
    *,
    command: Sequence[str] = (),
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> MachinePart:
    """Run both scenarios and judge them.

    Args:
        scenarios: as `load` gives them.
        results_dir: where the runs' folders are made.
        command: the command line, for the runs' records.
        on_progress: told what the run is at.

    Raises:
        RecordError: the results folder cannot be written.
        WorkerError: no worker process comes up.
    """
    stored = []
    for one in scenarios:
        with LocalExecutor(one) as executor:
            path = session.run_scenario(
                one, executor, results_dir, command=command, on_progress=on_progress
            )
        stored.append(store.read(path))
    return judge(*stored)


def judge(repeated: StoredRun, planted: StoredRun) -> MachinePart:
    """Say what two recorded runs found of what is known.

    Args:
        repeated: a run of ``self_aa``.
        planted: a run of ``self_planted``.
    """
    again = _repeated(repeated.run, repeated.trials)
    found = _planted(planted.run, planted.trials)
    num_planted = len(planted.run.scenario.contenders) - 1
    wanted = len(repeated.run.scenario.cells)
    wanted += num_planted * len(planted.run.scenario.cells)
    return MachinePart(
        run_ids=(repeated.run.run_id, planted.run.run_id),
        repeated=again,
        planted=found,
        num_missing=wanted - len(again) - len(found),
    )


def _repeated(
    run: RunRecord, trials: Sequence[TrialRecord]
) -> tuple[RepeatedInterval, ...]:
    """A/A: the baseline's second arm over its first, cell by cell."""
    base = comparison.baseline_label(run.scenario.contenders, None)
    pairing = comparison.pair(run, trials, base)
    found = []
    for cell in run.scenario.cells:
        one = pairing.repeat(cell.name, get_metric(_METRIC))
        if one is not None and one.low is not None and one.high is not None:
            found.append(
                RepeatedInterval(cell.name, one.point, one.low, one.high, one.num_pairs)
            )
    return tuple(found)


def _planted(run: RunRecord, trials: Sequence[TrialRecord]) -> tuple[PlantedInterval, ...]:
    contenders = {one.label: one for one in run.scenario.contenders}
    slots = {cell.name: cell.workload.num_slots for cell in run.scenario.cells}
    found = []
    for row in comparison.compare(run, trials, metrics=(_METRIC,)).rows:
        ratio = row.ratio
        if ratio is None or ratio.low is None or ratio.high is None:
            continue
        found.append(
            PlantedInterval(
                cell=row.cell,
                slowdown=float(contenders[row.contender].options.get(SLOWDOWN, 0.0)),
                point=ratio.point,
                low=ratio.low,
                high=ratio.high,
                num_pairs=ratio.num_pairs,
                mean_batch_size=row.mean_batch_size or 0.0,
                num_slots=slots[row.cell],
                verdict=str(row.verdict),
            )
        )
    return tuple(found)
