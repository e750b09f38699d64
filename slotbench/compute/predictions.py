"""Predictions of cells that were measured: how good a simulation with fitted costs was there.

Nothing that a prediction is made of comes from the trials that it is held against: think time and S(n)
are calibrated beside them, alone in a process, or are what the scenario asks for and how late sleeps end
elsewhere; a transport's cost was fitted to other runs. The machine's pace is that of calibrations, too,
where a run has any with few leaves; of the runs that costs were fitted to it is how much longer their
recorder's own work took.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from slotbench.compute import (
    blocks,
    comparison,
    demands,
    forecast,
    sequential,
    transport_costs,
)
from slotbench.compute.demands import Demands, ServiceTime
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.statistics import geometric_mean
from slotbench.compute.transport_costs import Fitted, TransportCost
from slotbench.contenders import python_of, shares_gil
from slotbench.records import (
    CalibrationRecord,
    Cell,
    CheckedPrediction,
    CheckedRun,
    Histogram,
    RunRecord,
    TrialRecord,
    Workload,
)

MARGIN: Final = 0.2
"""Predictions within a factor of 1.2 of what was measured are called right."""

_FEW_LEAVES: Final = 4
"""Of an observation, up to which making a request tells the pace, whose yardstick has one; bytes do not matter:
they are not copied there."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one cell without its trials.

    Attributes:
        demands: of think time and policy, without any transport's cost.
        is_calibrated: whether they were measured beside the trials.
        thinks: calibrated times of a real environment, in nanoseconds.
        seed: of its first block.
    """

    demands: Demands
    is_calibrated: bool
    thinks: Histogram | None
    seed: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How much slower than the reference machine a run's was; and whether that was measured."""

    factor: float
    is_known: bool


def check(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    calibrations: Sequence[CalibrationRecord] = (),
    on_row: Callable[[int], None] = lambda _: None,
) -> tuple[CheckedRun, tuple[CheckedPrediction, ...]]:
    """Predict every contender with a fitted cost in every cell of a run.

    Args:
        run: its plan.
        trials: its trials, all attempts.
        calibrations: the run's, all attempts.
        on_row: is told how many predictions are made, each time one is.

    Returns:
        The run, and its predictions by cell and contender: none of cells whose times are not known.

    Raises:
        RecordError: the trials are not this run's.
    """
    fitted = transport_costs.load()
    costs = fitted.held_out.get(run.run_id, fitted.costs)
    pace = pace_of(run, trials, calibrations, fitted)
    measured = _Measured.of(run, trials)
    known = known_of(run, trials, calibrations, fitted, pace)
    gilless = blocks.pythons_without_gil(run, trials)
    found: list[CheckedPrediction] = []
    left_out = 0
    for cell in run.scenario.cells:
        for who in run.scenario.contenders:
            values = measured.values(cell.name, who.label)
            if who.name == comparison.FLOOR or not geometric_mean(tuple(values.values())):
                continue
            cost = costs.get(who.label)
            # A transport's costs were fitted where there is a GIL.
            is_alike = shares_gil(who) and python_of(who) not in gilless
            if cost is None or cell.name not in known or not is_alike:
                left_out += 1
                continue
            of = known[cell.name]
            found.append(_checked(run, cell, who.label, values, measured, of, cost, pace))
            on_row(len(found))
    checked = CheckedRun(
        name=run.scenario.name,
        run_id=run.run_id,
        is_held_out=run.run_id in fitted.held_out,
        pace=pace.factor,
        is_pace_known=pace.is_known,
        num_left_out=left_out,
    )
    return checked, tuple(found)


def pace_of(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    calibrations: Sequence[CalibrationRecord],
    fitted: Fitted,
) -> Pace:
    """A run's pace: as fitted, else by its calibrations, else assumed."""
    names = {run_id: name for name, run_id in fitted.run_ids.items()}
    if run.run_id in names:
        return Pace(fitted.paces[names[run.run_id]], is_known=True)
    by_cell = blocks.counted_calibrations(run, trials, calibrations)
    works_s: dict[int, list[float]] = {}
    for cell in run.scenario.cells:
        works_s.setdefault(len(cell.workload.observation.leaves), []).extend(
            one.work_s for one in by_cell.get((cell.name, ""), {}).values() if one.work_s
        )
    fewest = min((number for number, found in works_s.items() if found), default=None)
    if fewest is None or fewest > _FEW_LEAVES:
        return Pace(fitted.assumed_pace, is_known=False)
    return Pace(statistics.median(works_s[fewest]) / fitted.work_s, is_known=True)


def known_of(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    calibrations: Sequence[CalibrationRecord],
    fitted: Fitted,
    pace: Pace,
) -> Mapping[str, Known]:
    """What is known of each cell in the run's own interpreter.

    A cell whose times are not, or of an open loop, is not there.
    """
    by_cell = blocks.counted_calibrations(run, trials, calibrations)
    seeds: dict[str, int] = {}
    for trial in trials:
        seeds.setdefault(trial.cell, trial.seed)
    num_cpus = _num_cpus(run)
    found: dict[str, Known] = {}
    for cell in run.scenario.cells:
        if cell.workload.load.is_open:
            continue  # the simulation's actors are a closed loop
        own = quiet(by_cell.get((cell.name, ""), {}).values())
        seed = seeds.get(cell.name, 1)
        calibrated = [
            one
            for one in (_of_calibration(cell.workload, x) for x in own)
            if one is not None
        ]
        if calibrated:
            mean = _without_request(
                cell.workload, demands.mean(calibrated), own, pace.factor * fitted.work_s
            )
            thinks = own[0].think if cell.workload.environment is not None else None
            found[cell.name] = Known(mean, True, thinks, seed)
            continue
        is_known = cell.workload.model.kind in {"sleep", "spin"}
        if is_known and cell.workload.environment is None:
            nominal = late(cell.workload, num_cpus, fitted)
            found[cell.name] = Known(nominal, False, None, seed)
    return found


def quiet(calibrations: Iterable[CalibrationRecord]) -> list[CalibrationRecord]:
    """Those that gave numbers, without what the machine disturbed where there are two others."""
    own = [one for one in calibrations if one.status == "ok"]
    undisturbed = [one for one in own if not demands.is_disturbed(one)]
    return undisturbed if len(undisturbed) >= demands.ENOUGH_QUIET else own


def late(workload: Workload, num_cpus: int | None, fitted: Fitted) -> Demands:
    """What a scenario asks for, with sleeps that end as late as recorded elsewhere."""
    found = forecast.nominal(workload, num_cpus)
    if workload.model.latency_ms:
        service = found.service
        found = replace(
            found,
            service=ServiceTime(service.batch_s + fitted.policy_late_s, service.row_s),
        )
    if found.think_s and workload.think_time.mode == "idle":
        late_s = fitted.think_late_s
        found = replace(found, think_s=found.think_s + late_s, excess_s=late_s)
    return found


def share_right(rows: Iterable[CheckedPrediction], margin: float = MARGIN) -> float | None:
    """Share of predictions within a factor of 1 + margin of what was measured; None of none."""
    right = [1.0 / (1.0 + margin) <= one.ratio <= 1.0 + margin for one in rows]
    return sum(right) / len(right) if right else None


def worst(rows: Iterable[CheckedPrediction]) -> CheckedPrediction | None:
    """The prediction that is farthest off, up or down; None of none."""
    return max(rows, key=lambda one: abs(math.log(one.ratio)), default=None)


def flat(one: CheckedPrediction) -> dict[str, Any]:
    """One prediction as plain fields, with the ratios that its numbers make; None is missing."""
    import dataclasses

    fields = dataclasses.asdict(one)
    for name in ("batch_size", "latency_p50", "latency_p99"):
        unit = "" if name == "batch_size" else "_s"
        measured = fields[f"measured_{name}{unit}"]
        fields[f"{name}_ratio"] = (
            fields[f"predicted_{name}{unit}"] / measured if measured else None
        )
    return fields


@dataclass(frozen=True, slots=True)
class _Measured:
    """What was measured of a run.

    Attributes:
        pairing: of its trials.
        latencies_s: (cell, contender) → p50 and p99 of each trial that counts and has them.
    """

    pairing: comparison.Pairing
    latencies_s: Mapping[tuple[str, str], tuple[list[float], list[float]]]

    @classmethod
    def of(cls, run: RunRecord, trials: Sequence[TrialRecord]) -> "_Measured":
        found: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
        for trial in filter(blocks.is_usable, blocks.counted_trials(run, trials)):
            measured = trial.measurement
            if measured is None:
                continue
            halves, tails = found.setdefault((trial.cell, trial.contender), ([], []))
            for some, value in (
                (halves, measured.latency_p50_s),
                (tails, measured.latency_p99_s),
            ):
                if value is not None:
                    some.append(value)
        return cls(comparison.pair(run, trials, ""), found)

    def values(self, cell: str, contender: str) -> Mapping[int, float]:
        return self.pairing.values(cell, contender, get_metric("throughput"))

    def latency_s(self, cell: str, contender: str, which: int) -> float | None:
        values = self.latencies_s.get((cell, contender), ([], []))[which]
        return statistics.median(values) if values else None


def _checked(  # noqa: PLR0917  # all that a row is made of
    run: RunRecord,
    cell: Cell,
    label: str,
    values: Mapping[int, float],
    measured: _Measured,
    known: Known,
    cost: TransportCost,
    pace: Pace,
) -> CheckedPrediction:
    told = forecast.of_contender(
        cell.workload,
        known.demands,
        label,
        cost,
        pace=pace.factor,
        seed=known.seed,
        thinks=known.thinks,
    )
    shares = forecast.shares(cell.workload, known.demands, told, cost, pace=pace.factor)
    confidence = sequential.confidence_of(run)
    ratio = comparison.paired(dict.fromkeys(values, told.per_s), values, confidence)
    measured_per_s = geometric_mean(tuple(values.values())) or math.nan
    return CheckedPrediction(
        run=run.run_id,
        cell=cell.name,
        contender=label,
        num_slots=cell.workload.num_slots,
        regime=shares.regime,
        is_calibrated=known.is_calibrated,
        predicted_per_s=told.per_s,
        measured_per_s=measured_per_s,
        ratio=told.per_s / measured_per_s,
        ratio_low=None if ratio is None else ratio.low,
        ratio_high=None if ratio is None else ratio.high,
        predicted_batch_size=told.mean_batch_size,
        measured_batch_size=measured.pairing.mean_batch_size(cell.name, label),
        predicted_latency_p50_s=told.latency_p50_s,
        measured_latency_p50_s=measured.latency_s(cell.name, label, 0),
        predicted_latency_p99_s=told.latency_p99_s,
        measured_latency_p99_s=measured.latency_s(cell.name, label, 1),
    )


def _num_cpus(run: RunRecord) -> int | None:
    count = run.environment.get("cpu_affinity_count")
    return count if isinstance(count, int) else None


def _of_calibration(workload: Workload, one: CalibrationRecord) -> Demands | None:
    """As calibrated, also where nothing is asked to take any time."""
    if demands.is_timed(workload):
        return demands.calibrated(workload, one)
    return None


def _without_request(
    workload: Workload,
    found: Demands,
    calibrations: Sequence[CalibrationRecord],
    request_s: float,
) -> Demands:
    """Take making and checking a request out of a think time: a transport's cost holds them.

    Args:
        workload: of the cell.
        found: as calibrated.
        calibrations: that it is the mean of.
        request_s: what it takes where a calibration does not say, of a real environment.
    """
    works_s = [one.work_s for one in calibrations if one.work_s is not None]
    work_s = statistics.median(works_s) if works_s else request_s
    think_s = max(0.0, found.think_s - work_s)
    if workload.environment is None:
        # Computing is taken at its word, as in `forecast.nominal`, which costs are fitted with.
        mode = workload.think_time.mode
        return replace(
            found,
            think_s=think_s,
            think_cpu_s=0.0 if mode == "idle" else think_s,
            think_gil_s=think_s if mode in {"busy", "work"} else 0.0,
            excess_s=found.excess_s - work_s,
        )
    # How much of a real environment's computing holds the GIL is not known: all of it is taken to.
    cpu_s = min(think_s, max(0.0, found.think_cpu_s - work_s))
    return replace(
        found,
        think_s=think_s,
        think_cpu_s=cpu_s,
        think_gil_s=cpu_s,
        excess_s=found.excess_s - work_s,
    )
