"""The loop over trials: rounds, blocks, workers, and where the time went."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from slotbench.compute import blocks
from slotbench.errors import ContenderError, ScenarioError
from slotbench.measure import budget, design
from slotbench.measure.executor import Executor
from slotbench.records import (
    RunRecord,
    Scenario,
    Skipped,
    TrialRecord,
    TrialSpec,
    Workload,
)

MAX_ATTEMPTS: Final = 3
"""At a block that the machine disturbs, in one sitting."""

MAX_REPEATED_SHARE: Final = 0.25
"""Of a sitting's blocks, rounded up: what repeats may add to its length."""


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
    """Estimate how long a run takes in which no block is measured again."""
    return budget.estimate_run_s(scenario, len(design.arms(scenario.contenders)))


def estimate_rest_s(planned: RunRecord, recorded: Sequence[TrialRecord]) -> float:
    """Estimate how long the rest of a run takes that was broken off."""
    left = unfinished(planned, recorded)
    workloads = {cell.name: cell.workload for cell in planned.scenario.cells}
    blocks_s = sum(
        budget.estimate_trial_s(workloads[cell]) for _, cells in left for cell in cells
    )
    return len(left) * budget.WORKER_START_S + blocks.block_size(planned) * blocks_s


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
    planned: RunRecord,
    executor: Executor,
    on_trial: Callable[[TrialRecord], None],
    on_progress: Callable[[Progress], None],
    *,
    recorded: Sequence[TrialRecord] = (),
    max_attempts: int = MAX_ATTEMPTS,
) -> float:
    """Run every trial of the run, in the order of its design, but for what is recorded.

    A block in which the machine interfered (DISTURBED) is measured again whole at the end of
    its round, `max_attempts` times at most and over the run for at most
    `MAX_REPEATED_SHARE` of its blocks. So a run that meets a busy machine stays finite.

    Args:
        planned: its contenders have been admitted.
        executor: its worker is up: it serves the first round.
        on_trial: given each record as its trial ends, before the next begins. What it
            raises ends the run.
        on_progress: told before each trial, and at the end.
        recorded: trials of an earlier sitting. Blocks that these hold whole are not
            measured again; one that was broken off is, from its beginning.
        max_attempts: how often a block is measured in this sitting; 1 repeats none.

    Returns:
        Seconds of warm-up and measurement, over all trials of this sitting.
    """
    left = unfinished(planned, recorded)
    next_attempts = blocks.next_attempts(recorded)
    size = blocks.block_size(planned)
    repeats_left = math.ceil(MAX_REPEATED_SHARE * sum(len(cells) for _, cells in left))
    num_trials = size * sum(len(cells) for _, cells in left)
    observed_s = 0.0
    num_done = 0
    for number, (round_index, cells) in enumerate(left):
        if number > 0:
            starting = f"round {round_index + 1}: starting a fresh worker"
            on_progress(Progress(num_done, num_trials, starting))
            executor.start_worker()
        queue = deque(
            (cell, 1, next_attempts.get((round_index, cell), 0)) for cell in cells
        )
        while queue:
            cell, times, attempt = queue.popleft()
            is_disturbed = False
            for spec in design.block(
                planned.scenario, planned.design, round_index, cell, attempt
            ):
                on_progress(Progress(num_done, num_trials, _describe(spec)))
                record = executor.run(spec)
                on_trial(record)
                num_done += 1
                is_disturbed = is_disturbed or record.is_disturbed
                if record.measurement is not None:
                    observed_s += record.measurement.warmup_s + record.measurement.window_s
            if is_disturbed and times < max_attempts and repeats_left > 0:
                queue.append((cell, times + 1, attempt + 1))
                repeats_left -= 1
                num_trials += size
    on_progress(Progress(num_done, num_trials, "done"))
    return observed_s


def unfinished(
    planned: RunRecord, recorded: Sequence[TrialRecord]
) -> list[tuple[int, list[str]]]:
    """Return the rounds that are left to measure, each with its cells in their order."""
    finished = blocks.finished_blocks(planned, recorded)
    left = [
        (index, [cell for cell, _ in cells if (index, cell) not in finished])
        for index, cells in enumerate(planned.design.blocks)
    ]
    return [(index, cells) for index, cells in left if cells]


def _describe(spec: TrialSpec) -> str:
    again = f", attempt {spec.attempt + 1}" if spec.attempt else ""
    return f"round {spec.round + 1}{again}, {spec.cell}: {spec.contender.label}"
