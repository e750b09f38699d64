"""The loop over trials: rounds, blocks, workers, and where the time went."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from slotbench.errors import ContenderError, ScenarioError
from slotbench.measure import budget, design
from slotbench.measure.executor import Executor
from slotbench.records import Scenario, Skipped, TrialRecord, TrialSpec, Workload


@dataclass(frozen=True, slots=True)
class Progress:
    """What the run is at.

    Attributes:
        num_done, num_trials: trials.
        doing: one line for people.
    """

    num_done: int
    num_trials: int
    doing: str


def estimate_s(scenario: Scenario) -> float:
    """Estimate how long a run takes."""
    return budget.estimate_run_s(scenario, len(design.arms(scenario.contenders)))


def admit(scenario: Scenario, executor: Executor) -> tuple[Scenario, tuple[Skipped, ...]]:
    """Make every environment, policy and contender once, before anything is recorded.

    Returns:
        The scenario with the contenders that can race, and those that are skipped.

    Raises:
        ScenarioError: an environment or policy cannot be made.
        ContenderError: a contender that is not optional cannot be made.
    """
    workloads: list[Workload] = []
    for workload in (cell.workload for cell in scenario.cells):
        # Cells that differ in nothing that is made here need no check of their own.
        key = (workload.environment, workload.model, workload.observation)
        if key not in [(w.environment, w.model, w.observation) for w in workloads]:
            workloads.append(workload)
    for workload in workloads:
        problem = executor.check(None, workload)
        if problem:
            raise ScenarioError(f"scenario {scenario.name!r}: {problem}")
    racing, skipped = [], []
    for contender in scenario.contenders:
        problem = executor.check(contender, workloads[0])
        if not problem:
            racing.append(contender)
            continue
        if contender.label not in problem:
            problem = f"contender {contender.label!r} cannot be made: {problem}"
        if not contender.optional:
            raise ContenderError(problem)
        skipped.append(Skipped(contender.label, problem))
    return replace(scenario, contenders=tuple(racing)), tuple(skipped)


def run(
    scenario: Scenario,
    executor: Executor,
    on_trial: Callable[[TrialRecord], None],
    on_progress: Callable[[Progress], None],
) -> float:
    """Run every trial of the scenario, in the order of its design.

    Args:
        scenario: its contenders have been admitted.
        executor: its worker is up: it serves the first round.
        on_trial: given each record as its trial ends, before the next begins. What it
            raises ends the run.
        on_progress: told before each trial, and at the end.

    Returns:
        Seconds of warm-up and measurement, over all trials.
    """
    num_trials = design.describe(scenario).num_trials
    observed_s = 0.0
    num_done = 0
    for round_index, blocks in enumerate(design.rounds(scenario)):
        if round_index > 0:
            starting = f"round {round_index + 1}: starting a fresh worker"
            on_progress(Progress(num_done, num_trials, starting))
            executor.start_worker()
        for spec in (spec for block in blocks for spec in block):
            on_progress(Progress(num_done, num_trials, _describe(spec)))
            record = executor.run(spec)
            on_trial(record)
            num_done += 1
            if record.measurement is not None:
                observed_s += record.measurement.warmup_s + record.measurement.window_s
    on_progress(Progress(num_done, num_trials, "done"))
    return observed_s


def _describe(spec: TrialSpec) -> str:
    return f"round {spec.round + 1}, {spec.cell}: {spec.contender.label}"
