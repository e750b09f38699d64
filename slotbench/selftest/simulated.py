"""Trials that never ran: an executor with a simulated clock, and contenders of known speed.

It draws what a trial's actors would have stamped; everything after that is the real thing.
No wall clock is read, so one seed gives one run, byte for byte.
"""

import math
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from slotbench.compute import validity
from slotbench.measure import budget
from slotbench.measure.machine import MachineUse
from slotbench.measure.outcomes import identity
from slotbench.measure.summary import Moment, Observed, summarise
from slotbench.records import (
    Batching,
    CalibrationRecord,
    Cell,
    Contender,
    Leaf,
    Model,
    Observation,
    Scenario,
    ThinkTime,
    TrialRecord,
    TrialSpec,
    Window,
    Workload,
)
from slotbench.selftest.noise import LATENCY_S, Machine, Noise, latencies_s, process_log

SLOWDOWN: Final = "slowdown"
"""Option of a synthetic contender: how much longer than the baseline's its requests take."""

NUM_ACTORS: Final = 4
WARMUP_S: Final = 0.1
WINDOW_S: Final = 1.0
NUM_REPLIES: Final = round(NUM_ACTORS * WINDOW_S / LATENCY_S)
"""Of the baseline in a window, without noise: 800, enough for a p99."""

TRIAL_S: Final = 0.08 + WARMUP_S + WINDOW_S
"""Simulated length of a trial; the first part is what trials take besides."""

THRESHOLD: Final = 0.03
"""δ of the verdicts: what a scenario has that names none."""

_SETTLE_S: Final = 3.0
_RECORDER_S: Final = 1e-6
_ORIGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_ORIGIN_NS: Final = 1_000_000_000
_CPU_SHARE: Final = 0.5


def contender(slowdown: float | None) -> Contender:
    """A synthetic contender; None is the baseline."""
    if slowdown is None:
        return Contender("synthetic", "synthetic", {}, "reference", baseline=True)
    label = f"synthetic[{SLOWDOWN}={slowdown!r}]"
    return Contender(label, "synthetic", {SLOWDOWN: slowdown}, "reference")


def scenario(
    noise: Noise, slowdowns: tuple[float, ...], *, rounds: int, num_cells: int, seed: int
) -> Scenario:
    """A scenario of synthetic contenders; its cells differ in their names alone.

    Args:
        noise: names it.
        slowdowns: a contender each, beside the baseline.
        rounds: blocks of each cell.
        num_cells: at least 1.
        seed: of the order of trials.
    """
    workload = Workload(
        num_slots=NUM_ACTORS,
        observation=Observation((Leaf("observation", (8,), "float32"),)),
        think_time=ThinkTime(),
        model=Model(latency_ms=LATENCY_S * 1e3),
        batching=Batching(max_batch_size=1),
        window=Window(warmup_s=WARMUP_S, measure_s=WINDOW_S, min_requests=100),
    )
    return Scenario(
        name="selftest",
        title=f"Self-test: {noise.name}",
        question="Is what was put in found again?",
        source="",
        text="",
        overrides=(),
        cells=tuple(
            Cell(f"copy={number}", {"copy": number}, workload)
            for number in range(num_cells)
        ),
        contenders=(contender(None), *map(contender, slowdowns)),
        rounds=rounds,
        seed=seed,
        threshold=THRESHOLD,
    )


class SimulatedExecutor:
    """An `slotbench.measure.executor.Executor` whose trials take no time.

    Args:
        planned: what is going to be run, which says how long the run would take.
        noise: of the machine, its processes and their requests.
        random: source of every draw.

    Attributes:
        worker_start_s: simulated seconds spent starting workers so far.
        now_s: the simulated clock, since the run began.
    """

    def __init__(self, planned: Scenario, noise: Noise, random: Generator) -> None:
        self.worker_start_s = 0.0
        self.now_s = 0.0
        self._noise = noise
        self._random = random
        self._round_began_s = 0.0
        num_trials = len(planned.cells) * (len(planned.contenders) + 1)
        round_s = num_trials * TRIAL_S
        run_s = planned.rounds * (budget.WORKER_START_S + round_s)
        self._machine = Machine(noise, random, run_s=run_s, round_s=round_s)

    def start_worker(self) -> None:
        """Let the time of a worker's start pass."""
        self.worker_start_s += budget.WORKER_START_S
        self.now_s += budget.WORKER_START_S
        self._round_began_s = self.now_s

    def check(self, contender: Contender | None, workload: Workload) -> str:  # noqa: ARG002  # an executor's signature
        """Find nothing wrong with a synthetic contender."""
        return ""

    def calibrate(self, spec: TrialSpec) -> CalibrationRecord:
        """Nobody asks: a simulated machine has no policy to time."""
        return CalibrationRecord(
            spec.round,
            spec.cell,
            spec.attempt,
            status="failed",
            started_at=_ORIGIN.isoformat(),
            duration_s=0.0,
            error="simulated: there is nothing to calibrate",
        )

    def close(self) -> None:
        """Do nothing: there is no worker."""

    def run(self, spec: TrialSpec) -> TrialRecord:
        """Draw a trial's stamps, and make its record as a real trial does."""
        observed = self._observe(float(spec.contender.options.get(SLOWDOWN, 0.0)))
        measurement = summarise(observed)
        ended_s = (observed.joined_ns - _ORIGIN_NS) / 1e9
        evidence = validity.Evidence(
            measurement=measurement,
            identity_problems=(),
            stuck_actors=(),
            settle_s=_SETTLE_S,
            server_ended=True,
            wall_s=ended_s,
            perf_counter_s=ended_s,
            window=spec.workload.window,
            filled_in_warmup=False,
        )
        started = _ORIGIN + timedelta(seconds=self.now_s)
        self.now_s += TRIAL_S
        return TrialRecord(
            **identity(spec),
            status="ok",
            started_at=started.isoformat(timespec="milliseconds"),
            duration_s=TRIAL_S,
            measurement=measurement,
            findings=validity.judge(evidence),
        )

    def _observe(self, slowdown: float) -> Observed:
        """Draw what a process of this contender would have recorded now."""
        log_factor = process_log(self._noise, self._random)
        log_factor += self._machine.log_at(self.now_s, self._round_began_s)
        factor = (1.0 + slowdown) * math.exp(log_factor)
        begin_ns = _ORIGIN_NS + round(WARMUP_S * 1e9)
        end_ns = begin_ns + round(WINDOW_S * 1e9)
        submitted_ns, replied_ns = self._stamps_ns(factor, end_ns)
        # An actor stops at its first reply after the window's end.
        counts = (submitted_ns <= end_ns).sum(axis=1).tolist()
        actors = [
            (submitted[:count], replied[:count])
            for submitted, replied, count in zip(
                submitted_ns, replied_ns, counts, strict=True
            )
        ]
        begun = np.concatenate([submitted for submitted, _ in actors])
        ended = np.concatenate([replied for _, replied in actors])
        num_requests = len(begun)
        return Observed(
            origin_ns=_ORIGIN_NS,
            begin=Moment(begin_ns, _CPU_SHARE * WARMUP_S, 0, 0),
            end=Moment(end_ns, _CPU_SHARE * (WARMUP_S + WINDOW_S), num_requests, 0),
            actors=actors,
            # Each request is a batch of its own, whose forward is all that it takes.
            batches=(begun, ended, np.ones(num_requests, np.int64)),
            num_submitted=num_requests,
            num_replied=num_requests,
            num_served=num_requests,
            sent_ns=_ORIGIN_NS - 20_000_000,
            joined_ns=int(ended.max()),
            recorder_cost_s=_RECORDER_S,
            machine=MachineUse(num_cpus=NUM_ACTORS, steal_s=0.0, foreign_cpu_s=0.0),
        )

    def _stamps_ns(
        self, factor: float, until_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw when requests were submitted and replied, ``[NUM_ACTORS, n]`` each.

        Every actor's last reply is later than ``until_ns``.
        """
        latency_ns = LATENCY_S * factor * 1e9
        # The actors' first requests are spread over one latency.
        starts_ns = _ORIGIN_NS + np.arange(NUM_ACTORS) * (latency_ns / NUM_ACTORS)
        until_s = (until_ns - _ORIGIN_NS) / 1e9
        num_requests = int(1.1 * until_s / (LATENCY_S * factor)) + 20
        while True:
            taken_s = latencies_s(self._noise, self._random, NUM_ACTORS, num_requests)
            taken_ns = (taken_s * (factor * 1e9)).astype(np.int64)
            replied_ns = taken_ns.cumsum(axis=1)
            replied_ns += starts_ns.astype(np.int64)[:, None]
            if replied_ns[:, -1].min() > until_ns:
                return replied_ns - taken_ns, replied_ns
            num_requests *= 2
