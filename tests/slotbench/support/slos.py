"""A server whose latency at every load is known: what a search must find is then known, too."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from slotbench import contenders, searching
from slotbench.records import (
    Cell,
    Contender,
    Finding,
    Histogram,
    Limit,
    OpenLoop,
    Scenario,
    SloPlan,
    TrialMeasurement,
    TrialRecord,
    TrialSpec,
    Window,
    Workload,
)
from slotbench.store import StoredSlo, read_slo
from tests.slotbench.conftest import build_measurement, build_trial, build_workload

BASE_S = 0.5e-3
"""p99 without load; it is twice that at half of the capacity."""

P99_2MS = SloPlan((Limit(99.0, 2e-3),))
CAPACITY_PER_S = {"slot": 8000.0, "threading": 4000.0}


def scenario(*labels: str, num_cells: int = 1) -> Scenario:
    """A scenario of these contenders, before it is made an open loop."""
    workload = replace(
        build_workload(8),
        window=Window(measure_s=1.0, min_requests=100, max_measure_s=10.0),
    )
    cells = tuple(
        Cell(f"num_slots={8 + i}", {"num_slots": 8 + i}, replace(workload, num_slots=8 + i))
        for i in range(num_cells)
    )
    raced = tuple(
        contenders.parse(label, baseline=place == 0) for place, label in enumerate(labels)
    )
    return Scenario("small", "Small", "Q?", "", "text", (), cells, raced, 3, 7, 0.03)


def knee_per_s(label: str, limit_s: float = 2e-3) -> float:
    """The load at which the p99 of `SimulatedExecutor` is the limit."""
    return CAPACITY_PER_S[label] * (1.0 - BASE_S / limit_s)


def measured(
    p99_s: float | None, load_per_s: float, num_unanswered: int = 0
) -> TrialMeasurement:
    """One second in an open loop."""
    due = round(load_per_s)
    open_loop = OpenLoop(
        num_intended=due,
        num_unanswered=num_unanswered,
        call_p50_s=p99_s,
        call_p99_s=p99_s,
        late_mean_s=0.0,
        late_p99_s=0.0,
        late=Histogram(),
        free_p50_s=p99_s,
        free_p99_s=p99_s,
    )
    return replace(
        build_measurement(max(1.0, load_per_s - num_unanswered)),
        latency_mean_s=None if p99_s is None else p99_s / 3.0,
        latency_p50_s=None if p99_s is None else p99_s / 4.0,
        latency_p90_s=None if p99_s is None else p99_s / 2.0,
        latency_p99_s=p99_s,
        open_loop=open_loop,
    )


@dataclass
class SimulatedExecutor:
    """An executor whose trials take no time.

    Attributes:
        spread: standard deviation of a process's logarithm.
        invalid_above_per_s: the generator is late beyond this load.
        disturbed: steps in which the machine interferes.
        fails_at: trial, counted from 0, in whose place ``error`` is raised.
        failing: contenders whose trials fail.
        fails_above_per_s: trials of an open loop beyond this load fail.
        p99_of: p99 in seconds by load and chance, in place of that of a server with a capacity.
        problem: why no contender can be made; "" where they can.
    """

    spread: float = 0.05
    seed: int = 1
    invalid_above_per_s: float = math.inf
    disturbed: Sequence[int] = ()
    fails_at: int = -1
    error: BaseException | None = None
    failing: Sequence[str] = ()
    fails_above_per_s: float = math.inf
    p99_of: Callable[[float, random.Random], float] | None = None
    problem: str = ""
    specs: list[TrialSpec] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)
    worker_start_s: float = 0.0
    num_workers: int = 0

    def __enter__(self) -> "SimulatedExecutor":
        return self

    def __exit__(self, *exc_info: object) -> None: ...

    def start_worker(self) -> None:
        self.num_workers += 1

    def check(self, contender: Contender | None, workload: Workload) -> str:
        return self.problem if contender else ""

    def calibrate(self, spec: TrialSpec) -> object:
        raise AssertionError(f"nobody calibrates {spec.trial_id}")

    def close(self) -> None: ...

    def run(self, spec: TrialSpec) -> TrialRecord:
        if len(self.specs) == self.fails_at and self.error is not None:
            raise self.error
        self.specs.append(spec)
        self.workers.append(self.num_workers)
        label = spec.contender.label
        trial = replace(
            build_trial(label, cell=spec.cell, round=spec.round),
            trial_id=spec.trial_id,
            seed=spec.seed,
            position=spec.position,
        )
        if label in self.failing:
            return replace(trial, status="failed", measurement=None, error="it died")
        findings = ()
        if spec.round in self.disturbed:
            findings = (Finding("steal", "DISTURBED", "20 % stolen", "wait"),)
        capacity = CAPACITY_PER_S[label]
        if not spec.workload.load.is_open:
            return replace(trial, measurement=build_measurement(capacity))
        load = spec.workload.load.per_actor_per_s * spec.workload.num_slots
        if load > self.fails_above_per_s:
            return replace(trial, status="failed", measurement=None, error="it died")
        if self.p99_of is not None:
            p99_s = self.p99_of(load, random.Random(f"{self.seed}/{spec.trial_id}"))
            return replace(trial, measurement=measured(p99_s, load))
        if load > self.invalid_above_per_s:
            findings = (Finding("generator", "INVALID", "late by 3 ms", "fewer actors"),)
        # A process's own luck: what it is called decides, not when it is asked.
        luck = random.Random(f"{self.seed}/{spec.trial_id}").gauss(0.0, self.spread)
        busy = load / capacity
        if busy >= 1.0:
            measurement = measured(0.3, load, num_unanswered=round(load - capacity) + 200)
        else:
            p99_s = BASE_S / (1.0 - busy) * math.exp(luck)
            measurement = measured(p99_s, load)
        if spec.round in self.disturbed:
            # What interferes is worth a factor, so that counting it shows.
            assert measurement.latency_p99_s is not None
            measurement = replace(
                measurement, latency_p99_s=10.0 * measurement.latency_p99_s
            )
        return replace(trial, measurement=measurement, findings=findings)


def search(
    folder: Path,
    *labels: str,
    plan: SloPlan = P99_2MS,
    executor: SimulatedExecutor | None = None,
    num_cells: int = 1,
) -> StoredSlo:
    """A whole search of simulated trials, recorded and read back."""
    made = searching.prepare(
        scenario(*(labels or ("threading", "slot")), num_cells=num_cells), plan
    )
    path = searching.search_scenario(
        made,
        executor or SimulatedExecutor(),  # type: ignore[arg-type]
        folder,
        plan,
        command=("slotbench", "slo", "small", "--p99", "2ms"),
    )
    return read_slo(path)
