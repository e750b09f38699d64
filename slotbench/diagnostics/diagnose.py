"""Puts a diagnosis together: measures part by part, in fresh processes. Prints and records nothing."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from slotbench.diagnostics import advice, facts, noise
from slotbench.diagnostics.facts import Facts
from slotbench.errors import SlotbenchError, WorkerError
from slotbench.measure import budget, runner
from slotbench.measure.executor import LocalExecutor
from slotbench.measure.runner import Progress
from slotbench.measure.zygote import Task
from slotbench.records import (
    DIAGNOSIS_SCHEMA_VERSION,
    Diagnosis,
    NoiseFloor,
    Primitive,
    PrimitiveRun,
    Timers,
)
from slotbench.store import environment

MIN_ROUNDS: Final = 3
"""Two pairs leave the spread within a factor of 70: that resolves nothing."""

_DEADLINE_S: Final = 120.0
"""Of one task; the longest takes a few seconds on a quiet machine."""

_WORKER_START_S: Final = 3.5
"""Imports of torch and tensordict, without torchrl's, in a fresh process on 2 cores."""

_NUM_PRIMITIVES: Final = 22
_VALUE_PASSES: Final = 2
"""Passes that find out how many operations make a value come to about two values."""

_ELSEWHERE_S: Final = 3.0
"""Facts, recorder, checks of the contender."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: of the A/A run.
        processes: in which the primitives are measured.
        num_values, value_s: of each primitive in each process; see `primitives.run`.
        num_waits: of each kind and length.
        fresh_workers: every round and every process of primitives has a worker of its own, and
            so a memory layout of its own; else one serves all.
        max_attempts: at a block of the A/A run that the machine disturbs.
    """

    rounds: int
    processes: int
    num_values: int
    value_s: float
    num_waits: int
    fresh_workers: bool
    max_attempts: int

    @property
    def is_quick(self) -> bool:
        """Whether it is less than is usual."""
        return not self.fresh_workers


FULL: Final = Plan(
    rounds=12,
    processes=5,
    num_values=3,
    value_s=0.02,
    num_waits=100,
    fresh_workers=True,
    max_attempts=runner.MAX_ATTEMPTS,
)
"""What is told from it is as rough as 12 pairs are; a minute and a half on two cores."""

QUICK: Final = Plan(
    rounds=5,
    processes=3,
    num_values=3,
    value_s=0.005,
    num_waits=44,
    fresh_workers=False,
    max_attempts=1,
)
"""Under 20 s."""


def planned(*, quick: bool, rounds: int | None = None) -> Plan:
    """The usual plan, or a quick one; with another number of rounds.

    Raises:
        SlotbenchError: fewer than `MIN_ROUNDS` rounds.
    """
    plan = QUICK if quick else FULL
    if rounds is None:
        return plan
    if rounds < MIN_ROUNDS:
        raise SlotbenchError(
            f"a noise floor needs at least {MIN_ROUNDS} rounds, and not {rounds}: fewer tell "
            "next to nothing of the spread"
        )
    return replace(plan, rounds=rounds)


def estimate_s(plan: Plan, contender: str = noise.CONTENDER) -> float:
    """Estimate how long a diagnosis takes.

    Raises:
        ContenderError: see `diagnose`.
    """
    scenario = noise.scenario(contender, plan.rounds)
    num_starts = 1 + (plan.rounds - 1 + plan.processes) * plan.fresh_workers
    # Each block is the contender twice, without a calibration: no bound is asked for.
    trials_s = sum(budget.estimate_trial_s(cell.workload) for cell in scenario.cells)
    run_s = 2 * plan.rounds * trials_s
    values_s = plan.value_s * (plan.num_values + _VALUE_PASSES) * _NUM_PRIMITIVES
    waits_s = plan.num_waits * 3 * 0.0064
    return (
        num_starts * _WORKER_START_S
        + run_s
        + plan.processes * values_s
        + waits_s
        + _ELSEWHERE_S
    )


def diagnose(
    plan: Plan,
    *,
    contender: str = noise.CONTENDER,
    command: Sequence[str] = (),
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Diagnosis:
    """Diagnose this machine.

    Args:
        plan: how much is measured.
        contender: whose noise floor is measured.
        command: the command line, for the record.
        on_progress: told what it is at.

    Raises:
        ContenderError: the contender is misspelt, not installed, or cannot be made.
        WorkerError: no worker process comes up, or a part of the diagnosis fails in it.
    """
    began = time.perf_counter()
    scenario = noise.scenario(contender, plan.rounds)
    on_progress(Progress(0, 0, "looking at the machine"))
    here = environment.collect(scenario.contenders)
    known = facts.read(here)
    with LocalExecutor(scenario) as executor:
        sitting = _Sitting(plan, executor, on_progress)
        sitting.tell("starting a worker: importing torch, tensordict, …")
        executor.start_worker()
        sitting.tell("timers")
        timers = sitting.do("timers:timers", num_waits=plan.num_waits)
        sitting.step("what the recorder costs")
        recorder = sitting.do("recorder:costs")
        sitting.step("the noise floor")
        floor = noise.measure(
            scenario,
            executor,
            sitting.trials,
            fresh_workers=plan.fresh_workers,
            max_attempts=plan.max_attempts,
        )
        primitives = sitting.primitives(scenario.seed)
    known = with_measured(known, timers, floor)
    return Diagnosis(
        schema_version=DIAGNOSIS_SCHEMA_VERSION,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        is_quick=plan.is_quick,
        environment=here,
        timers=timers,
        noise=floor,
        resolvable=noise.resolvable(floor),
        recorder=recorder,
        primitives=primitives,
        advice=advice.advise(known),
        command=tuple(command),
        total_s=time.perf_counter() - began,
    )


def with_measured(known: Facts, timers: Timers, floor: NoiseFloor) -> Facts:
    """Add what only measuring tells."""
    over_s = next(
        (w.over_p50_s for w in timers.waits if (w.kind, w.asked_s) == ("sleep", 0.001)),
        None,
    )
    return replace(
        known,
        steal_ratio=floor.steal_ratio,
        foreign_ratio=floor.foreign_ratio,
        disturbed_ratio=floor.num_disturbed / floor.num_trials
        if floor.num_trials
        else None,
        clock_read_s=timers.read_s,
        sleep_over_s=over_s,
    )


@dataclass(slots=True)
class _Sitting:
    """A diagnosis while it is made: a step is a trial, or a part in a process of its own."""

    plan: Plan
    executor: LocalExecutor
    on_progress: Callable[[Progress], None]
    num_done: int = 0
    num_trials: int = 0

    def do(self, function: str, **arguments: Any) -> Any:
        """Call a function of this package in a process of its own; return what it gave."""
        outcome = self.executor.do(
            Task(f"slotbench.diagnostics.{function}", arguments, _DEADLINE_S)
        )
        if outcome.error:
            error = WorkerError(f"the doctor's {function} failed: {outcome.error}")
            if outcome.stacks:
                error.add_note(f"In the process that ran it:\n{outcome.stacks}")
            raise error
        return outcome.value

    def primitives(self, seed: int) -> tuple[Primitive, ...]:
        """Measure every primitive in every process, each time in another order."""
        plans = self.do("primitives:described")
        names = [name for name, _, _ in plans]
        runs: dict[str, list[PrimitiveRun]] = {name: [] for name in names}
        for index in range(self.plan.processes):
            doing = f"primitives, process {index + 1}"
            if self.plan.fresh_workers:
                self.tell(f"{doing}: starting a fresh worker")
                self.executor.start_worker()
            self.tell(doing)
            found = self.do(
                "primitives:measure",
                names=names,
                seed=seed + index,
                num_values=self.plan.num_values,
                value_s=self.plan.value_s,
            )
            for name, run in found.items():
                runs[name].append(run)
            self.step(doing)
        return tuple(
            Primitive(name, group, operation, tuple(runs[name]))
            for name, group, operation in plans
        )

    def trials(self, state: Progress) -> None:
        """Tell of the A/A run's trials, as steps among the others."""
        self.num_done += state.num_done - self.num_trials
        self.num_trials = state.num_done
        left = state.num_trials - state.num_done
        total = self.num_done + left + self.plan.processes
        self.on_progress(Progress(self.num_done, total, f"noise floor: {state.doing}"))

    def step(self, doing: str) -> None:
        """A step is done; the next is being made."""
        self.num_done += 1
        self.tell(doing)

    def tell(self, doing: str) -> None:
        total = 2 + self.plan.processes + (self.num_trials or 4 * self.plan.rounds)
        self.on_progress(Progress(self.num_done, total, doing))
