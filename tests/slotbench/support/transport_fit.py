"""Fits what transports cost to the recorded runs, and says how far forecasts made of it are off.

``python -m tests.slotbench.support.transport_fit`` writes slotbench/compute/transport_costs.json; some
ten minutes. With ``--errors`` the costs stay as they are. Errors are of runs that the costs were not fitted to: one is left out at a time.
"""

import dataclasses
import functools
import json
import math
import statistics
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.optimize import least_squares

import slotbench
from slotbench.compute import comparison, forecast
from slotbench.compute.demands import Demands, ServiceTime
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.statistics import geometric_mean
from slotbench.compute.transport_costs import TransportCost
from slotbench.compute.workloads import observation_bytes
from slotbench.records import ForecastError, Workload

ROOT: Final = Path(__file__).parents[3]
FILE: Final = ROOT / "slotbench/compute/transport_costs.json"
REFERENCE: Final = "grid"
"""The run whose pace is 1."""
RUNS: Final = ("limits", "limits_first", "grid", "losses", "wakeups", "quickstart")
CONTENDERS: Final = (
    "slot",
    "slot[preallocate]",
    "slot[inline]",
    "threading",
    "torchrl.slot[collate=lazy_stack]",
    "torchrl.threading[collate=lazy_stack]",
    "torchrl.slot",
)
PACED_AT: Final = 16
"""Actors of the cells that tell a run's pace: every run has some."""

_START: Final = TransportCost(2e-5, 1.5e-4, 4e-5, 3e-7, 2e-6)
_BOUNDS_S: Final = (1e-9, 1e-2)


@dataclass(frozen=True, slots=True)
class Case:
    """One contender in one cell of a recorded run."""

    run: str
    cell: str
    workload: Workload
    demands: Demands
    contender: str
    per_s: float
    latency_p99_s: float | None


@functools.cache
def cases(run: str) -> tuple[Case, ...]:
    """Read a run: its cells and the contenders that are fitted.

    A sleep ends late: recorded think times and policies that sleep took as much longer as the
    calibrations of ``losses`` say, at every pace.
    """
    stored = slotbench.load(ROOT / "results/reference" / run).stored
    pairing = comparison.pair(stored.run, stored.trials, "")
    num_cpus = int(stored.run.environment["cpu_affinity_count"])
    think_late_s, policy_late_s = lateness()
    p99: dict[tuple[str, str], list[float]] = {}
    for trial in stored.trials:
        if trial.measurement is not None and trial.measurement.latency_p99_s is not None:
            p99.setdefault((trial.cell, trial.contender), []).append(
                trial.measurement.latency_p99_s
            )
    found = []
    for cell in stored.run.scenario.cells:
        demands = forecast.nominal(cell.workload, num_cpus)
        if cell.workload.model.latency_ms:
            service = demands.service
            late = ServiceTime(service.batch_s + policy_late_s, service.row_s)
            demands = replace(demands, service=late)
        if demands.think_s and cell.workload.think_time.mode == "idle":
            demands = replace(
                demands, think_s=demands.think_s + think_late_s, excess_s=think_late_s
            )
        for contender in CONTENDERS:
            if contender not in {one.label for one in stored.run.scenario.contenders}:
                continue
            values = pairing.values(cell.name, contender, get_metric("throughput"))
            tail = p99.get((cell.name, contender))
            found.append(
                Case(
                    run,
                    cell.name,
                    cell.workload,
                    demands,
                    contender,
                    geometric_mean(tuple(values.values())),
                    statistics.median(tail) if tail else None,
                )
            )
    return tuple(found)


@functools.cache
def lateness() -> tuple[float, float]:
    """How much later than asked a think time and a policy that sleep end, seconds: medians."""
    stored = slotbench.load(ROOT / "results/reference/losses").stored
    cells = {cell.name: cell.workload for cell in stored.run.scenario.cells}
    thinks, policies = [], []
    for one in stored.calibrations:
        workload = cells[one.cell]
        think = workload.think_time
        if think.distribution != "none" and think.mode == "idle":
            thinks.append(one.think_excess_s - one.work_s)
        policies += [
            point.median_s - workload.model.latency_ms / 1e3 for point in one.service
        ]
    return statistics.median(thinks), statistics.median(policies)


def work_s() -> float:
    """What an actor does beside its think time, as calibrated in ``losses``, at a pace of 1."""
    stored = slotbench.load(ROOT / "results/reference/losses").stored
    return statistics.median(one.work_s for one in stored.calibrations) / pace("losses")


@functools.cache
def pace(run: str) -> float:
    """How much longer the recorder's own work took in a run than in the reference, same contenders."""
    costs, reference = _recorder_s(run), _recorder_s(REFERENCE)
    return geometric_mean(
        [costs[label] / reference[label] for label in costs if label in reference]
    )


@functools.cache
def _recorder_s(run: str) -> Mapping[str, float]:
    stored = slotbench.load(ROOT / "results/reference" / run).stored
    small = {
        cell.name
        for cell in stored.run.scenario.cells
        if cell.workload.num_slots == PACED_AT
        and len(cell.workload.observation.leaves) == 1
    }
    found: dict[str, list[float]] = {}
    for trial in stored.trials:
        if trial.cell in small and trial.measurement and trial.contender != "floor":
            cost_s = trial.measurement.recorder_cost_s
            found.setdefault(trial.contender, []).append(cost_s)
    return {label: statistics.median(values) for label, values in found.items()}


def recorded() -> dict[str, Any]:
    """What the file holds of the runs themselves: their ids, and how late sleeps ended."""
    think_late_s, policy_late_s = lateness()
    return {
        "run_ids": {
            run: slotbench.load(ROOT / "results/reference" / run).record.run_id
            for run in RUNS
        },
        "think_late_s": float(f"{think_late_s:.3g}"),
        "policy_late_s": float(f"{policy_late_s:.3g}"),
    }


def residuals(found: Iterable[Case], cost: TransportCost) -> list[float]:
    """Log of forecast over measured."""
    return [
        math.log(
            forecast.of_contender(
                one.workload, one.demands, one.contender, cost, pace=pace(one.run)
            ).per_s
            / one.per_s
        )
        for one in found
    ]


def robust(errors: Iterable[float]) -> float:
    """The loss that is minimised: squares of small errors, the length of large ones (soft L1)."""
    return math.fsum(2 * 0.01 * (math.sqrt(1 + (e / 0.1) ** 2) - 1) for e in errors)


def fit(
    found: list[Case], start: TransportCost = _START, *, max_steps: int = 15
) -> TransportCost:
    """Least squares of relative errors, in the logarithms of the costs."""
    result = least_squares(
        lambda logs: residuals(found, _cost(logs)),
        np.log(dataclasses.astuple(start)),
        bounds=np.log(_BOUNDS_S),
        loss="soft_l1",
        f_scale=0.1,
        diff_step=0.02,  # the simulation is a staircase in small
        max_nfev=max_steps,
    )
    return _cost(result.x)


def _cost(logs: Iterable[float]) -> TransportCost:
    # Three digits are in the file, and are what is tested.
    return TransportCost(*(float(f"{math.exp(x):.3g}") for x in logs))


@dataclass(frozen=True, slots=True)
class Error:
    """Of one forecast, measured over forecast."""

    run: str
    regime: str
    throughput: float
    latency_p99: float | None


def errors_of(
    held_out: Mapping[str, Mapping[str, TransportCost]], assumed_pace: float | None
) -> list[Error]:
    """Forecast every run with costs fitted to the others.

    Args:
        held_out: run → contender → costs.
        assumed_pace: of every run; None is each run's own.
    """
    found = []
    for run, costs in held_out.items():
        for one in cases(run):
            if one.contender not in costs:
                continue
            speed = pace(run) if assumed_pace is None else assumed_pace
            cost = costs[one.contender]
            told = forecast.of_contender(
                one.workload, one.demands, one.contender, cost, pace=speed
            )
            shares = forecast.shares(one.workload, one.demands, told, cost, pace=speed)
            tail = one.latency_p99_s
            found.append(
                Error(
                    run,
                    shares.regime,
                    one.per_s / told.per_s,
                    None if tail is None else tail / told.latency_p99_s,
                )
            )
    return found


def summary(
    held_out: Mapping[str, Mapping[str, TransportCost]], assumed_pace: float
) -> list[ForecastError]:
    """Percentiles of the errors, by metric, regime and whether the pace was known."""
    rows = []
    for is_known in (True, False):
        found = errors_of(held_out, None if is_known else assumed_pace)
        for metric in ("throughput", "latency_p99"):
            for regime in ("transport", "policy", "think"):
                of = [
                    (one.run, getattr(one, metric))
                    for one in found
                    if one.regime == regime and getattr(one, metric) is not None
                ]
                low, median, high = np.percentile([v for _, v in of], [2.5, 50, 97.5])
                rows.append(
                    ForecastError(
                        metric=metric,
                        regime=regime,
                        is_pace_known=is_known,
                        num_runs=len({run for run, _ in of}),
                        num_values=len(of),
                        low=round(float(low), 3),
                        median=round(float(median), 3),
                        high=round(float(high), 3),
                    )
                )
    return rows


def covered(found: Iterable[Case]) -> dict[str, list[float]]:
    """From where to where the recorded cells go: actors, bytes, leaves, think time and policy, ms."""
    found = list(found)
    values: dict[str, list[float]] = {
        "num_slots": [one.workload.num_slots for one in found],
        "observation_bytes": [
            observation_bytes(one.workload.observation.leaves) for one in found
        ],
        "num_leaves": [len(one.workload.observation.leaves) for one in found],
        "think_ms": [one.workload.think_time.mean_ms for one in found],
        "policy_ms": [one.workload.model.latency_ms for one in found],
    }
    return {name: [min(numbers), max(numbers)] for name, numbers in values.items()}


def make() -> dict[str, Any]:
    """The file's content."""
    known = json.loads(FILE.read_text(encoding="utf-8"))["costs"] if FILE.exists() else {}
    every = [case for run in RUNS for case in cases(run)]
    costs, held_out = {}, {run: {} for run in RUNS}
    for label in CONTENDERS:
        own = [case for case in every if case.contender == label]
        start = TransportCost(**known[label]) if label in known else _START
        costs[label] = fit(own, start)
        sys.stderr.write(f"{label}: {costs[label]}\n")
        for run in {case.run for case in own}:
            others = [case for case in own if case.run != run]
            # Only "limits" and "grid" hold some contenders: what one lacks the other cannot tell.
            if others:
                held_out[run][label] = fit(others, costs[label], max_steps=4)
    paces = {run: round(pace(run), 3) for run in RUNS}
    assumed = round(geometric_mean(list(paces.values())), 3)
    return {
        "costs": {label: dataclasses.asdict(cost) for label, cost in costs.items()},
        "work_s": float(f"{work_s():.3g}"),
        "paces": paces,
        "assumed_pace": assumed,
        "covered": covered(every),
        **recorded(),
        "held_out": {
            run: {label: dataclasses.asdict(cost) for label, cost in by_label.items()}
            for run, by_label in held_out.items()
        },
        "errors": [dataclasses.asdict(one) for one in summary(held_out, assumed)],
    }


def with_errors(known: Mapping[str, Any]) -> dict[str, Any]:
    """The file's content with its errors computed anew."""
    held_out = {
        run: {label: TransportCost(**cost) for label, cost in by_label.items()}
        for run, by_label in known["held_out"].items()
    }
    errors = summary(held_out, known["assumed_pace"])
    found = [dataclasses.asdict(one) for one in errors]
    return {**known, **recorded(), "errors": found}


if __name__ == "__main__":
    known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    content = with_errors(known) if sys.argv[1:] == ["--errors"] else make()
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
