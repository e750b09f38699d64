"""The loop over trials: rounds, blocks, workers, and where the time went."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from slotbench.errors import ContenderError, ScenarioError
from slotbench.measure import design
from slotbench.measure.executor import Executor
from slotbench.records import Accounting, Scenario, Skipped, TrialRecord, TrialSpec

WORKER_START_S: Final = 7.0
"""Imports of torch, tensordict and torchrl in a fresh process, on 2 cores; for estimates."""

TRIAL_OVERHEAD_S: Final = 0.06
"""Fork, build, last replies, shutdown; for estimates."""


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
    """Estimate how long a run takes, windows that are prolonged excepted."""
    num_arms = len(design.arms(scenario.contenders))
    observed_s = sum(
        num_arms
        * (
            cell.workload.window.warmup_s
            + cell.workload.window.measure_s
            + TRIAL_OVERHEAD_S
        )
        for cell in scenario.cells
    )
    return scenario.rounds * (WORKER_START_S + observed_s)


def admit(scenario: Scenario, executor: Executor) -> tuple[Scenario, tuple[Skipped, ...]]:
    """Make every environment, policy and contender once, before anything is recorded.

    Returns:
        The scenario with the contenders that can race, and those that are skipped.

    Raises:
        ScenarioError: an environment or policy cannot be made.
        ContenderError: a contender that is not optional cannot be made.
    """
    workloads = [cell.workload for cell in scenario.cells]
    for workload in {
        (w.environment and w.environment.id, w.model.kind): w for w in workloads
    }.values():
        problem = executor.check(None, workload)
        if problem:
            raise ScenarioError(f"scenario {scenario.name!r}: {problem}")
    racing, skipped = [], []
    for contender in scenario.contenders:
        problem = executor.check(contender, workloads[0])
        if not problem:
            racing.append(contender)
        elif contender.optional:
            skipped.append(Skipped(contender.label, problem))
        else:
            raise ContenderError(problem)
    return replace(scenario, contenders=tuple(racing)), tuple(skipped)


def run(
    scenario: Scenario,
    executor: Executor,
    on_trial: Callable[[TrialRecord], None],
    on_progress: Callable[[Progress], None],
    *,
    worker_start_s: float = 0.0,
) -> Accounting:
    """Run every trial of the scenario, in the order of its design.

    Args:
        scenario: its contenders have been admitted.
        executor: its worker is up: it serves the first round.
        on_trial: given each record as its trial ends, before the next begins. What it
            raises ends the run.
        on_progress: told before each trial, and at the end.
        worker_start_s: what starting the first worker took.

    Returns:
        Where the time went.
    """
    num_trials = design.describe(scenario).num_trials
    began = time.perf_counter() - worker_start_s
    observed_s = 0.0
    num_done = 0
    for round_index, blocks in enumerate(design.rounds(scenario)):
        if round_index > 0:
            on_progress(
                Progress(
                    num_done,
                    num_trials,
                    f"round {round_index + 1}: starting a fresh worker",
                )
            )
            worker_start_s += executor.start_worker()
        for spec in (spec for block in blocks for spec in block):
            on_progress(Progress(num_done, num_trials, _describe(spec)))
            record = executor.run(spec)
            on_trial(record)
            num_done += 1
            if record.measurement is not None:
                observed_s += record.measurement.warmup_s + record.measurement.window_s
    on_progress(Progress(num_done, num_trials, "done"))
    return Accounting(time.perf_counter() - began, observed_s, worker_start_s)


def _describe(spec: TrialSpec) -> str:
    return f"round {spec.round + 1}, {spec.cell}: {spec.contender.label}"
