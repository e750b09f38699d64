"""The machine's noise floor: a real A/A run of one contender, judged by the real comparison.

Trials are made as a run's are: fresh processes, randomised blocks, DISTURBED blocks measured again.
Nothing is recorded in the results folder. What so many rounds can tell apart follows from how much a
block's two trials of the same contender differ.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from slotbench import contenders
from slotbench.compute import blocks, comparison, power
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.statistics import RatioEstimate
from slotbench.errors import ContenderError, WorkerError
from slotbench.measure import design, runner
from slotbench.measure.executor import Executor
from slotbench.measure.runner import Progress
from slotbench.records import (
    SCHEMA_VERSION,
    CalibrationRecord,
    CellNoise,
    Contender,
    NoiseFloor,
    Resolvable,
    RunRecord,
    Scenario,
    TrialRecord,
    TrialSpec,
    Workload,
)
from slotbench.records.diagnosis import DELTA
from slotbench.scenario import loads

CONTENDER: Final = "slot"
ROUNDS_SHOWN: Final = (5, 10, 20)
METRICS: Final = comparison.DEFAULT_METRICS

_MAX_REMARKS: Final = 3

_SCENARIO: Final = """
title = "The noise floor of this machine"
question = "How far does a contender differ from itself?"
num_slots = 16

[window]
warmup_s = 0.12
measure_s = 0.3
max_measure_s = 2

[grid]
model.latency_ms = [0, 1]

[[contenders]]
name = "slot"
baseline = true
"""
"""The quickstart's cells and windows."""


def scenario(contender: str, rounds: int) -> Scenario:
    """The A/A run as a scenario.

    Raises:
        ContenderError: it is misspelt, or the floor, which is no contender.
    """
    planned = loads(_SCENARIO, name="doctor", rounds=rounds)
    one = contenders.parse(contender, baseline=True)
    if one.name == comparison.FLOOR:
        raise ContenderError(
            "contender floor: nobody is compared with it; name a transport, such as slot"
        )
    if reason := contenders.missing_requirement(one):
        raise ContenderError(f"contender {one.label}: {reason}")
    return replace(planned, contenders=(one,))


def measure(
    planned: Scenario,
    executor: Executor,
    on_progress: Callable[[Progress], None],
    *,
    fresh_workers: bool = True,
    max_attempts: int = runner.MAX_ATTEMPTS,
) -> NoiseFloor:
    """Run every block and judge it.

    Args:
        planned: one contender, the baseline.
        executor: its worker is up; it serves the first round.
        on_progress: told before each trial.
        fresh_workers: every round has a worker of its own, as a run's has; else one serves all.
        max_attempts: at a block that the machine disturbs; see `runner.run`.

    Raises:
        ContenderError, ScenarioError: the contender cannot be made.
        WorkerError: no worker comes up, or no trial gave a number.
    """
    runner.admit(planned, executor)
    run = RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id="doctor",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        status="complete",
        scenario=planned,
        scenario_sha256="",
        skipped=(),
        design=design.draw(planned),
        environment={},
        command=(),
        max_attempts=max_attempts,
    )
    trials: list[TrialRecord] = []
    by = executor if fresh_workers else _OneWorker(executor)
    runner.run(run, by, trials.append, on_progress)
    if all(trial.measurement is None for trial in trials):
        raise WorkerError(
            f"no trial of {planned.contenders[0].label} gave a number: {trials[0].error}"
        )
    return judge(run, trials, planned.rounds if fresh_workers else 1)


def judge(run: RunRecord, trials: Sequence[TrialRecord], num_workers: int) -> NoiseFloor:
    """Say how far the run's one contender differs from itself.

    Args:
        run: its plan.
        trials: of all attempts.
        num_workers: see `NoiseFloor`.
    """
    (contender,) = run.scenario.contenders
    compared = comparison.compare(run, trials, metrics=METRICS)
    pairing = comparison.pair(run, trials, contender.label)
    remarks = dict.fromkeys(
        f"{problem.kind}: {problem.detail}"
        for problem in blocks.find_problems(run, trials)
        if problem.kind != "warning"
    )
    return NoiseFloor(
        contender=contender.label,
        num_actors=run.scenario.cells[0].workload.num_slots,
        num_rounds=run.design.rounds,
        num_workers=num_workers,
        num_trials=len(trials),
        num_disturbed=sum(trial.is_disturbed for trial in trials),
        num_invalid=sum(trial.is_invalid for trial in trials),
        num_failed=sum(trial.status == "failed" for trial in trials),
        remarks=tuple(remarks)[:_MAX_REMARKS],
        steal_ratio=_cpu_share(trials, "steal_s"),
        foreign_ratio=_cpu_share(trials, "foreign_cpu_s"),
        cells=tuple(
            _cell_noise(row, pairing.repeat(row.cell, get_metric(row.metric)))
            for row in compared.rows
        ),
    )


def resolvable(
    noise: NoiseFloor, rounds: Sequence[int] = ROUNDS_SHOWN
) -> tuple[Resolvable, ...]:
    """What so many rounds of each cell can tell apart, by each metric.

    A cell of which fewer than two pairs are known is left out.
    """
    return tuple(
        found
        for cell in noise.cells
        for number in rounds
        for found in _resolvable(cell, number)
    )


def _cell_noise(row: comparison.ComparisonRow, repeat: RatioEstimate | None) -> CellNoise:
    log_sd = None if repeat is None else repeat.log_sd
    num_pairs = 0 if repeat is None else repeat.num_pairs
    ends = None if log_sd is None else power.sd_interval(log_sd, num_pairs)
    return CellNoise(
        cell=row.cell,
        metric=row.metric,
        value=row.value,
        num_pairs=num_pairs,
        ratio=None if repeat is None else repeat.point,
        low=None if repeat is None else _finite(repeat.low),
        high=None if repeat is None else _finite(repeat.high),
        noise_floor=_finite(row.noise_floor),
        log_sd=log_sd,
        log_sd_low=None if ends is None else ends[0],
        log_sd_high=None if ends is None else ends[1],
        rounds_needed=None if log_sd is None else power.rounds_needed(DELTA, log_sd),
    )


def _resolvable(cell: CellNoise, rounds: int) -> Iterator[Resolvable]:
    sds = [cell.log_sd, cell.log_sd_low, cell.log_sd_high]
    halves = [None if sd is None else power.half_width(sd, rounds) for sd in sds]
    effects = [None if sd is None else power.smallest_effect(sd, rounds) for sd in sds]
    numbers = [x for x in (*halves, *effects) if x is not None and math.isfinite(x)]
    if len(numbers) == len(halves) + len(effects):
        yield Resolvable(cell.cell, cell.metric, rounds, *numbers)


def _cpu_share(trials: Sequence[TrialRecord], field: str) -> float | None:
    """Share of the CPU time of all windows; None where no trial knows it."""
    spent_s = available_s = 0.0
    for trial in trials:
        measured = trial.measurement
        taken_s = None if measured is None else getattr(measured, field)
        if measured is None or taken_s is None or measured.num_cpus is None:
            continue
        spent_s += taken_s
        available_s += measured.window_s * measured.num_cpus
    return spent_s / available_s if available_s > 0 else None


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else number


@dataclass(slots=True)
class _OneWorker:
    """An executor whose worker, once up, stays: saves its imports in every round."""

    by: Executor

    worker_start_s: float = 0.0

    def start_worker(self) -> None:
        """Keep the one that is there."""

    def check(self, contender: Contender | None, workload: Workload) -> str:
        return self.by.check(contender, workload)

    def run(self, spec: TrialSpec) -> TrialRecord:
        return self.by.run(spec)

    def calibrate(self, spec: TrialSpec) -> CalibrationRecord:
        return self.by.calibrate(spec)

    def close(self) -> None:
        self.by.close()
