"""The loop over trials: rounds, blocks, workers, and where the time went."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from slotbench.compute import arrivals, blocks
from slotbench.contenders import python_of
from slotbench.errors import ContenderError, ScenarioError
from slotbench.measure import budget, design, lanes
from slotbench.measure.backlog import Backlog
from slotbench.measure.cluster import Cluster, Member
from slotbench.measure.executor import Executor
from slotbench.measure.lanes import Attempt
from slotbench.records import (
    CalibrationRecord,
    Cell,
    Contender,
    RunRecord,
    Scenario,
    Skipped,
    TrialRecord,
    TrialSpec,
    Workload,
)

MAX_ATTEMPTS: Final = 3
"""At a block that the machine disturbs."""

MAX_REPEATED_SHARE: Final = 0.25
"""Of a run's blocks: what repeats may add to its length."""


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
    return budget.estimate_run_s(scenario, _in_block(scenario))


def estimate_rest_s(planned: RunRecord, recorded: Sequence[TrialRecord]) -> float:
    """Estimate how long the rest of a run takes that was broken off."""
    left = unfinished(planned, recorded)
    workloads = {cell.name: cell.workload for cell in planned.scenario.cells}
    blocks_s = sum(
        budget.estimate_block_s(workloads[cell], _in_block(planned.scenario))
        for _, cells in left
        for cell in cells
    )
    return len(left) * budget.WORKER_START_S + blocks_s


def _in_block(scenario: Scenario) -> list[Contender]:
    """The contender of each of a block's trials."""
    return [contender for contender, _ in design.arms(scenario.contenders)]


def admit(
    scenario: Scenario, executor: Executor | Cluster
) -> tuple[Scenario, tuple[Skipped, ...]]:
    """Make every environment, policy and contender once, before anything is recorded.

    Returns:
        The scenario with the contenders that can race, and those that are skipped.

    Raises:
        ScenarioError: an environment or policy cannot be made, or a schedule is too long.
        ContenderError: a contender that is not optional cannot be made.
    """
    for cell in scenario.cells:
        _check_schedule(scenario.name, cell)
    workloads: list[Workload] = []
    for workload in (cell.workload for cell in scenario.cells):
        # Cells that differ in nothing that is made here need no check of their own.
        key = _made_of(workload)
        if key not in map(_made_of, workloads):
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


def _made_of(workload: Workload) -> tuple[object, ...]:
    """What of a workload decides whether its environment and policy can be made."""
    return workload.device, workload.environment, workload.model, workload.observation


def _check_schedule(name: str, cell: Cell) -> None:
    """Refuse an open loop that is due to ask more often than there is to be room for samples."""
    workload, most = cell.workload, cell.workload.window.max_requests
    if not workload.load.is_open:
        return
    offered_per_s = arrivals.offered_per_s(workload.load, workload.num_slots)
    due = math.ceil(offered_per_s * sum(budget.window_s(workload)))
    if due > most:
        raise ScenarioError(
            f"scenario {name!r}: in cell {cell.name!r} some {due} requests are due in a trial, and "
            f"window.max_requests is {most}; raise it, or lower load.per_actor_per_s"
        )


def run(
    planned: RunRecord,
    executor: Executor | Cluster,
    on_trial: Callable[[TrialRecord], None],
    on_progress: Callable[[Progress], None],
    *,
    recorded: Sequence[TrialRecord] = (),
    on_calibration: Callable[[CalibrationRecord], None] | None = None,
) -> float:
    """Run every trial of the run, in the order of its design, but for what is recorded.

    A block in which the machine interfered (DISTURBED) is measured again whole at the end of
    its round: ``planned.max_attempts`` times at most in all, and over the run for at most
    `MAX_REPEATED_SHARE` of its blocks, or one. So a run that meets a busy machine stays finite.

    On a cluster each node takes the next block as soon as it has none, and measures it whole. One that
    is broken off since its node is lost is measured again, as another attempt, on another.

    Args:
        planned: its contenders have been admitted.
        executor: its worker is up: it serves the first round.
        on_trial: given each record as its trial ends, before the next begins there. What it
            raises ends the run. Threads, for this and the other two: on a cluster those of its nodes,
            one at a time.
        on_progress: told before each trial, and at the end.
        recorded: trials of earlier sittings. Blocks that these hold whole, and that owe no
            repeat, are not measured; one that was broken off is, from its beginning.
        on_calibration: given what each block's calibrations found, one of every interpreter that its
            contenders run in, before its first trial; None makes none.

    Returns:
        Seconds of calibration, warm-up and measurement, over all trials of this sitting.

    Raises:
        ClusterError: no node of the cluster is left.
    """
    owed = blocks.owed_blocks(planned, recorded)
    left = unfinished(planned, recorded)
    repeats_left = _repeats_left(planned, recorded)
    repeats_left -= sum(
        owed[index, cell].is_repeat for index, cells in left for cell in cells
    )
    backlog = Backlog(
        left,
        owed,
        size=blocks.block_size(planned),
        max_attempts=planned.max_attempts,
        num_repeats=repeats_left,
    )
    sitting = _Sitting(planned, backlog, on_trial, on_progress, on_calibration)
    if isinstance(executor, Cluster):
        lanes.serve(executor, backlog, sitting.measure_on_node)
    else:
        sitting.measure_all(executor)
    on_progress(Progress(backlog.num_done, backlog.num_trials, "done"))
    return backlog.observed_s


@dataclass(frozen=True, slots=True)
class _Sitting:
    """What is to be measured, and who is told of it."""

    planned: RunRecord
    backlog: Backlog
    on_trial: Callable[[TrialRecord], None]
    on_progress: Callable[[Progress], None]
    on_calibration: Callable[[CalibrationRecord], None] | None

    def measure_all(self, executor: Executor) -> None:
        """Measure every block here, each round in a fresh worker."""
        number = 0
        while (block := self.backlog.take("")) is not None:
            if block.number != number:
                number = block.number
                self._tell(f"round {block.round + 1}: starting a fresh worker")
                executor.start_worker()
            attempt = Attempt(block)
            self.measure(attempt, executor)
            self.backlog.carried_through(block, is_disturbed=attempt.is_disturbed)

    def measure_on_node(self, attempt: Attempt, member: Member) -> None:
        """Measure a block on a node."""
        self.measure(attempt, member, f"{member.label}: ")

    def measure(self, attempt: Attempt, executor: Executor, where: str = "") -> None:
        """Measure a block, from its calibration on; the attempt says how far it has come."""
        block, backlog = attempt.block, self.backlog
        specs = design.block(
            self.planned.scenario,
            self.planned.design,
            block.round,
            block.cell,
            block.attempt,
        )
        if self.on_calibration is not None:
            for spec in _one_of_each_python(specs):
                attempt.doing = "the calibration"
                self._tell(f"{where}{_place(spec)}: think time and service time")
                calibration = executor.calibrate(spec)
                with backlog.lock:
                    self.on_calibration(calibration)
                    backlog.observed_s += calibration.duration_s
        for spec in specs:
            attempt.doing = spec.contender.label
            self._tell(where + _describe(spec))
            record = executor.run(spec)
            with backlog.lock:
                self.on_trial(record)
                attempt.num_recorded += 1
                attempt.is_disturbed = attempt.is_disturbed or record.is_disturbed
                backlog.num_done += 1
                if record.measurement is not None:
                    measured = record.measurement
                    backlog.observed_s += measured.warmup_s + measured.window_s

    def _tell(self, doing: str) -> None:
        with self.backlog.lock:
            done = self.backlog.num_done
            self.on_progress(Progress(done, self.backlog.num_trials, doing))


def unfinished(
    planned: RunRecord, recorded: Sequence[TrialRecord]
) -> list[tuple[int, list[str]]]:
    """Return the rounds that are left to measure, each with its cells in their order.

    Of the blocks that owe a repeat alone, as many as the run may still repeat; of a run until
    decided none that was judged at a look since when the plan has grown.
    """
    settled = _num_settled(planned)
    owed = {
        block: found
        for block, found in blocks.owed_blocks(planned, recorded).items()
        if block[0] >= settled
    }
    repeats_left = _repeats_left(planned, recorded)
    left: dict[int, list[str]] = {}
    for (index, cell), block in owed.items():
        if block.is_repeat:
            repeats_left -= 1
            if repeats_left < 0:
                continue
        left.setdefault(index, []).append(cell)
    return list(left.items())


def _num_settled(planned: RunRecord) -> int:
    """Rounds that a look has judged: measured again, they could unsay what it found."""
    looks = () if planned.sequential is None else planned.sequential.looks
    return max((n for n in looks if n < len(planned.design.blocks)), default=0)


def _repeats_left(planned: RunRecord, recorded: Sequence[TrialRecord]) -> int:
    num_blocks = sum(map(len, planned.design.blocks))
    allowed = max(1, math.floor(MAX_REPEATED_SHARE * num_blocks))
    return allowed - blocks.num_repeats(planned, recorded)


def _one_of_each_python(specs: Sequence[TrialSpec]) -> list[TrialSpec]:
    """The first trial of every interpreter: think time and service time are its own."""
    firsts: dict[str, TrialSpec] = {}
    for spec in specs:
        firsts.setdefault(python_of(spec.contender), spec)
    return list(firsts.values())


def _describe(spec: TrialSpec) -> str:
    return f"{_place(spec)}: {spec.contender.label}"


def _place(spec: TrialSpec) -> str:
    again = f", attempt {spec.attempt + 1}" if spec.attempt else ""
    return f"round {spec.round + 1}{again}, {spec.cell}"
