"""Where throughput goes: from the bound by way of a free transport and the floor to what was measured.

Three losses, each a ratio, whose product is bound over measured:

- **batching**: bound over free transport: what the batching rule, and how think times fall, cost
  a transport that costs nothing (`slotbench.compute.simulation`);
- **waking**: free transport over floor: what bare threads and locks cost;
- **transport**: floor over contender: what it costs beside that.

A ratio may be below 1. The floor carries no payload, so that where making requests is most of
the time it passes a free transport that has to; a transport can gather more than the rule asks
for; and a calibration that the machine disturbed is too slow. Bound and free transport are of
each round's own calibration, so that what a round does to all of a block cancels here, too.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal

from slotbench.compute import (
    blocks,
    bound,
    comparison,
    demands,
    sequential,
    simulation,
    statistics,
)
from slotbench.compute.bound import Limit
from slotbench.compute.comparison import FLOOR, Pairing
from slotbench.compute.demands import Demands
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.simulation import Simulated
from slotbench.compute.statistics import RatioEstimate
from slotbench.contenders import actors_of, python_of, pythons, shares_gil
from slotbench.records import (
    CalibrationRecord,
    Cell,
    Histogram,
    RunRecord,
    TrialRecord,
    Workload,
)

METRIC: Final = "throughput"

LossVerdict = Literal["batching", "waking", "transport", "passes the floor"]
"""Which of a contender's losses is shown to be the largest, or that the transport is none."""


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """What a cell's contenders are held against.

    Attributes:
        cell: its name.
        num_slots: N.
        has_gil: the actors of these contenders share a GIL: they are in one process, which starts with one.
            Where a contender's module turns it on, what that costs is among the contender's losses.
        demands: mean over the rounds; None where a time is not known, or where there is nothing
            to wait for: only the floor bounds that.
        num_calibrations: behind it; 0 where it is nominal.
        num_disturbed: calibrations that the machine interfered with,
        uses_disturbed: which are among these all the same, for fewer than two others are left.
        failure: why a calibration failed; "" where none did.
        bound_per_s: X*, geometric mean over the rounds; None where ``demands`` is.
        limit: of the bound of the mean demands; None likewise.
        free_per_s: what a free transport serves, likewise.
        free_batch_size: its rows per batch, likewise.
        floor_per_s: bare threads and locks; None where no floor was raced, and where the policy computes
            on a device: the floor's batches make no way there and back.
        batching: bound over free transport; its interval is that of the calibrations.
        waking: free transport over floor, paired by block; None without a floor.
        is_one_process: the actors are threads of one process. Where they are processes, threads' floor is
            no yardstick of theirs.
        python: the interpreter that they run in, as contenders' option; "" is the run's own. Calibrations and
            floor are those of that interpreter.
    """

    cell: str
    num_slots: int
    has_gil: bool = True
    demands: Demands | None = None
    num_calibrations: int = 0
    num_disturbed: int = 0
    uses_disturbed: bool = False
    failure: str = ""
    bound_per_s: float | None = None
    limit: Limit | None = None
    free_per_s: float | None = None
    free_batch_size: float | None = None
    floor_per_s: float | None = None
    batching: RatioEstimate | None = None
    waking: RatioEstimate | None = None
    is_one_process: bool = True
    python: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """Where one contender's throughput went in one cell.

    Attributes:
        cell, contender: names.
        yardsticks: of the cell.
        is_collected: TorchRL's collector is around the transport, and its share is in the loss.
        measured_per_s: the contender's own.
        mean_batch_size: its rows per batch.
        transport: floor over contender, paired by block; below 1 the transport is ahead of the
            floor, which wakes actors in a row. None without a floor to hold it against.
        overhead: free transport over contender: waking and transport together, paired by block;
            None where the free transport's is not known.
    """

    cell: str
    contender: str
    yardsticks: Yardsticks
    is_collected: bool
    measured_per_s: float
    mean_batch_size: float | None
    transport: RatioEstimate | None
    overhead: RatioEstimate | None

    @property
    def added_s(self) -> float | None:
        """Seconds that the transport adds to an actor's cycle of think, request and reply."""
        free = self.yardsticks.free_per_s
        if free is None:
            return None
        return self.yardsticks.num_slots * (1.0 / self.measured_per_s - 1.0 / free)

    @property
    def verdict(self) -> LossVerdict | None:
        """What the intervals show; None where they overlap, or one is missing.

        A contender that is shown to be above the floor loses nothing to it: what is then left
        to the bound is not the floor's to explain.
        """
        transport = self.transport
        if transport is None or transport.low is None or transport.high is None:
            return None
        if transport.high < 1.0:
            return "passes the floor"
        found: dict[LossVerdict, RatioEstimate | None] = {
            "batching": self.yardsticks.batching,
            "waking": self.yardsticks.waking,
            "transport": transport,
        }
        for name, loss in found.items():
            others = [other for key, other in found.items() if key != name]
            if loss is not None and all(_is_above(loss, other) for other in others):
                return name
        return None


def losses(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    calibrations: Sequence[CalibrationRecord] = (),
) -> tuple[Loss, ...]:
    """Where throughput went, of every contender but floors, by cell.

    Cells of an open loop are left out: below saturation they serve what is offered, and nothing is
    lost; above, latency tells.

    Args:
        run: its plan.
        trials: its trials, all attempts.
        calibrations: the run's, all attempts; where a cell has none its nominal times are used.

    Raises:
        RecordError: the trials are not this run's.
    """
    pairing = comparison.pair(run, trials, "")
    limits = _limits_of(run, trials, calibrations)
    gilless = blocks.pythons_without_gil(run, trials)
    return tuple(
        loss
        for cell in run.scenario.cells
        if not cell.workload.load.is_open
        for loss in _of_cell(run, pairing, limits[cell.name], cell, gilless)
    )


def bounds(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    calibrations: Sequence[CalibrationRecord] = (),
) -> dict[str, float | None]:
    """Cell → X*, requests per second; None where it is not known, or nothing takes time.

    Of several interpreters the highest: no contender of the cell can exceed it.

    Args:
        run: its plan.
        trials: its trials, all attempts.
        calibrations: as of `losses`.
    """
    limits = _limits_of(run, trials, calibrations)
    found: dict[str, float | None] = {}
    for name, by_python in limits.items():
        of = [
            statistics.geometric_mean([one.bound.per_s for one in rounds.by_round.values()])
            for rounds in by_python.values()
        ]
        known = [per_s for per_s in of if per_s is not None]
        found[name] = max(known) if len(known) == len(of) else None
    return found


def _limits_of(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    calibrations: Sequence[CalibrationRecord],
) -> "dict[str, dict[str, _Rounds]]":
    """Cell → interpreter → what its limits are known from."""
    counted = blocks.counted_calibrations(run, trials, calibrations)
    seeds: dict[str, dict[int, int]] = {}
    for trial in trials:
        seeds.setdefault(trial.cell, {})[trial.round] = trial.seed
    return {
        cell.name: {
            python: replace(
                _rounds(
                    cell, counted.get((cell.name, python), {}), seeds.get(cell.name, {})
                ),
                confidence=sequential.confidence_of(run),
            )
            for python in pythons(run.scenario.contenders)
        }
        for cell in run.scenario.cells
    }


def flat(loss: Loss) -> dict[str, Any]:
    """One contender in one cell as plain fields: times in seconds, rates per second.

    A ratio has its ends as ``…_low`` and ``…_high``. None is missing, also an end that is not
    finite.
    """
    of, found = loss.yardsticks, loss.yardsticks.demands
    there = None if found is None else found.on_device
    return {
        "cell": loss.cell,
        "contender": loss.contender,
        "python": of.python,
        "is_one_process": of.is_one_process,
        "has_gil": of.has_gil,
        "bound_per_s": of.bound_per_s,
        "limit": of.limit,
        "free_per_s": of.free_per_s,
        "free_batch_size": of.free_batch_size,
        "floor_per_s": of.floor_per_s,
        "measured_per_s": loss.measured_per_s,
        "mean_batch_size": loss.mean_batch_size,
        **statistics.ends("batching", of.batching),
        **statistics.ends("waking", of.waking),
        **statistics.ends("transport", loss.transport),
        **statistics.ends("overhead", loss.overhead),
        "added_s": loss.added_s,
        "verdict": loss.verdict,
        "think_s": None if found is None else found.think_s,
        "batch_s": None if found is None else found.service.batch_s,
        "row_s": None if found is None else found.service.row_s,
        "misfit_ratio": None if found is None else found.service.misfit_ratio,
        "residual_ratio": None if found is None else found.service.residual_ratio,
        "device_batch_s": None if there is None else there.batch_s,
        "device_row_s": None if there is None else there.row_s,
        "device_residual_ratio": None if there is None else there.residual_ratio,
        "source": None if found is None else found.source,
        "num_calibrations": of.num_calibrations,
        "num_disturbed": of.num_disturbed,
    }


@dataclass(frozen=True, slots=True)
class _Round:
    """One round's limits."""

    workload: Workload
    demands: Demands
    bound: bound.Bound
    seed: int
    thinks: Histogram | None

    @property
    def free(self) -> Simulated:
        """What a free transport serves; simulated when it is asked for."""
        return _simulated(_Hashed(self.workload), self.demands, self.seed, self.thinks)


@dataclass(frozen=True, slots=True)
class _Rounds:
    """What a cell's limits are known from.

    Attributes:
        by_round: round → its limits; of nominal ones where nothing is calibrated.
        is_nominal: whether they are; ``by_round`` is empty where not even these are known.
        num_disturbed: calibrations that the machine interfered with.
        uses_disturbed: whether they are among ``by_round``, for lack of others.
        failure: why a calibration failed; "" where none did.
        confidence: of every interval.
    """

    by_round: Mapping[int, _Round]
    is_nominal: bool
    num_disturbed: int = 0
    uses_disturbed: bool = False
    failure: str = ""
    confidence: float = statistics.CONFIDENCE

    def of_processes(self) -> "_Rounds":
        """The same for actors that are processes: each computes under a GIL of its own."""
        apart = {}
        for number, one in self.by_round.items():
            found = replace(one.demands, think_gil_s=0.0)
            limits = _limits(one.workload, found, one.seed, one.thinks)
            if limits is not None:
                apart[number] = limits
        return replace(self, by_round=apart)

    def over(self, values: Mapping[int, float]) -> RatioEstimate | None:
        """The free transport over these, paired by round; None where there is no pair."""
        free = {n: self.by_round[n].free.per_s for n in values if n in self.by_round}
        return comparison.paired(free, values, self.confidence)


def _rounds(
    cell: Cell, calibrations: Mapping[int, CalibrationRecord], seeds: Mapping[int, int]
) -> _Rounds:
    """Take a cell's calibrations, by round, for what they are worth.

    Args:
        cell: of the run.
        calibrations: the last one of each round, of the attempt that counts.
        seeds: round → its trials' seed.
    """
    failure = next((x.error for x in calibrations.values() if x.status == "failed"), "")
    usable = {n: one for n, one in calibrations.items() if one.status == "ok"}
    quiet = {n: one for n, one in usable.items() if not demands.is_disturbed(one)}
    used = quiet if len(quiet) >= demands.ENOUGH_QUIET else usable
    found = {}
    for number, one in sorted(used.items()):
        known = demands.calibrated(cell.workload, one)
        limits = _limits(cell.workload, known, seeds.get(number, 0), one.think)
        if limits is not None:
            found[number] = limits
    num_disturbed = len(usable) - len(quiet)
    if found:
        return _Rounds(found, False, num_disturbed, used is not quiet, failure)
    known = demands.nominal(cell.workload)
    nominal = {n: _limits(cell.workload, known, seed, None) for n, seed in seeds.items()}
    by_round = {n: one for n, one in sorted(nominal.items()) if one is not None}
    return _Rounds(by_round, True, failure=failure)


def _limits(
    workload: Workload, found: Demands | None, seed: int, thinks: Histogram | None
) -> _Round | None:
    limit = None if found is None else bound.of_demands(workload, found)
    if found is None or limit is None:
        return None
    return _Round(workload, found, limit, seed, thinks)


class _Hashed:
    """A workload as a key: by its text, since tables of options have no hash."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self._text = repr(workload)

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashed) and self._text == other._text


@lru_cache(maxsize=4096)
def _simulated(
    workload: _Hashed, found: Demands, seed: int, thinks: Histogram | None
) -> Simulated:
    """A report asks for the same cells several times."""
    return simulation.of_cell(workload.workload, found, seed=seed, thinks=thinks)


def _of_cell(
    run: RunRecord,
    pairing: Pairing,
    limits: "Mapping[str, _Rounds]",
    cell: Cell,
    gilless: frozenset[str],
) -> Iterable[Loss]:
    """Losses of a cell.

    Args:
        run: its plan.
        pairing: of its trials.
        limits: interpreter → what the cell's limits are known from there.
        cell: of the run.
        gilless: interpreters that ran without a GIL.
    """
    metric = get_metric(METRIC)
    contenders = run.scenario.contenders
    # Its S(n) is slept on the host: it knows nothing of a batch's way to a device and back.
    on_host = cell.workload.device == "cpu"
    floors: dict[str, Mapping[int, float]] = {
        python_of(who): pairing.values(cell.name, who.label, metric)
        for who in contenders
        if who.name == FLOOR and on_host
    }
    # Made only where there is such a contender: a simulation each round.
    of: dict[tuple[str, bool], tuple[_Rounds, Mapping[int, float], Yardsticks]] = {}
    for who in contenders:
        values = pairing.values(cell.name, who.label, metric)
        measured = statistics.geometric_mean(tuple(values.values()))
        if who.name == FLOOR or not measured:
            continue
        python, is_one_process = python_of(who), shares_gil(who)
        group = python, is_one_process
        if group not in of:
            rounds = limits[python]
            own = rounds if is_one_process else rounds.of_processes()
            below: Mapping[int, float] = floors.get(python, {}) if is_one_process else {}
            yardsticks = replace(
                _yardsticks(cell, own, below),
                has_gil=is_one_process and python not in gilless,
                is_one_process=is_one_process,
                python=python,
            )
            of[group] = own, below, yardsticks
        own, below, yardsticks = of[group]
        yield Loss(
            cell=cell.name,
            contender=who.label,
            yardsticks=yardsticks,
            is_collected=actors_of(who) == "collector",
            measured_per_s=measured,
            mean_batch_size=pairing.mean_batch_size(cell.name, who.label),
            transport=pairing.paired(below, values),
            overhead=own.over(values),
        )


def _yardsticks(cell: Cell, rounds: _Rounds, floor: Mapping[int, float]) -> Yardsticks:
    floor_per_s = statistics.geometric_mean(tuple(floor.values())) or None
    num_slots = cell.workload.num_slots
    found = list(rounds.by_round.values())
    if not found:
        return Yardsticks(
            cell.name, num_slots, floor_per_s=floor_per_s, failure=rounds.failure
        )
    mean = demands.mean([one.demands for one in found])
    limit = bound.of_demands(cell.workload, mean)
    return Yardsticks(
        cell=cell.name,
        num_slots=num_slots,
        demands=mean,
        num_calibrations=0 if rounds.is_nominal else len(found),
        num_disturbed=rounds.num_disturbed,
        uses_disturbed=rounds.uses_disturbed,
        failure=rounds.failure,
        bound_per_s=statistics.geometric_mean([one.bound.per_s for one in found]),
        limit=None if limit is None else limit.limit,
        free_per_s=statistics.geometric_mean([one.free.per_s for one in found]),
        free_batch_size=math.fsum(one.free.mean_batch_size for one in found) / len(found),
        floor_per_s=floor_per_s,
        batching=comparison.paired(
            {number: one.bound.per_s for number, one in rounds.by_round.items()},
            {number: one.free.per_s for number, one in rounds.by_round.items()},
            rounds.confidence,
        ),
        waking=rounds.over(floor) if floor_per_s else None,
    )


def _is_above(loss: RatioEstimate, other: RatioEstimate | None) -> bool:
    """Whether the interval of the first lies above that of the second."""
    return (
        other is not None
        and loss.low is not None
        and other.high is not None
        and loss.low > other.high
    )
