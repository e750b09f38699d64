"""How throughput scales with the number of actors: Gunther's law, fitted to each contender.

The Universal Scalability Law is X(N) = λN / (1 + σ(N-1) + κN(N-1)): λ, what one actor would get
alone; σ, contention, the share of the work that is done one at a time; κ, coherency, what every pair of
actors costs each other, by which throughput falls again beyond N = √((1-σ)/κ). A negative
σ is more than linear scaling: here of batching, by which a policy's call serves many actors.

It is fitted by least squares on the logarithm of throughput over cells that differ in num_slots
alone, and is a summary of what was measured, not a model of why. Under a GIL one thread runs Python
at a time: σ is then mostly the share of a request that holds the GIL, the server's serial work among
it, and only to a part locks. Nothing is said beyond the slot counts that were measured.

Intervals come from a jackknife over rounds: the fit without each round in turn, pseudo-values, and
Student's t on them. Rounds are few, and a percentile bootstrap of five of them covers the truth in 76 to
88 % of cases at a nominal 95 %, this in 94 to 98 % (``tests/slotbench/compute/test_scalability.py``
simulates both).

Sources: Gunther, "Guerrilla Capacity Planning", Springer (2007), chapter 5; pseudo-values: Tukey,
"Bias and confidence in not quite large samples", Annals of Mathematical Statistics 29 (1958).
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from slotbench.compute import comparison, statistics
from slotbench.compute.comparison import Pairing
from slotbench.compute.metrics import get as get_metric
from slotbench.errors import SlotbenchError
from slotbench.records import Cell, Contender, RunRecord, TrialRecord

METRIC: Final = "throughput"

MIN_SLOT_COUNTS: Final = 4
"""Three constants go through any three points."""

MAX_MISFIT_RATIO: Final = 0.1
"""Beyond this the law is no summary of what was measured, and nothing is concluded from its constants."""

Array = npt.NDArray[np.float64]

Difference = Literal["higher", "lower", "not decided", "no fit"]

_SLOTS: Final = "num_slots"
_LEAST: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A constant with its 95 % interval.

    Attributes:
        point: inf for a peak that the fit does not have.
        low, high: None for one round, which gives no interval; ``high`` may be inf.
    """

    point: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """Cells that differ in num_slots alone.

    Attributes:
        name: what they have in common of what their grid names; "" where there is no more.
        cells: by rising num_slots.
    """

    name: str
    cells: tuple[Cell, ...]

    @property
    def slots(self) -> tuple[int, ...]:
        """The slot counts."""
        return tuple(cell.workload.num_slots for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Law:
    """One contender over the cells of one row.

    Attributes:
        row: name of the row.
        cells: their names, by rising num_slots: those in which the contender has a number.
        slots: their slot counts.
        measured: throughput in each of them, requests per second: geometric mean over the rounds used, with
            its t interval.
        num_rounds: that have a number in every one of these cells.
        rate: λ, requests per second.
        contention: σ, above -1.
        coherency: κ, 0 or more. Its interval is of the fit that may have any κ, cut at 0: so it may have a
            width where the point is 0, too, and is [0, 0] where that fit's lies wholly below.
        peak_slots: √((1-σ)/κ), inf where κ is 0; 1 where σ is 1 or more.
        peak_per_s: throughput there; None where that is beyond the slot counts measured.
        misfit_ratio: the largest distance of a cell from the law, as a ratio less 1.
        contention_over: σ less the baseline's, paired by rounds; None for the baseline itself, and
            without two rounds that both have.
        coherency_over: κ less the baseline's, likewise, of the fits that may have any κ.
        contention_difference, coherency_difference: what their intervals allow to say; "no fit" where
            the contender's law or the baseline's is off by more than `MAX_MISFIT_RATIO`: intervals are
            of the scatter between rounds, and know nothing of a wrong law. None where there is no
            interval.
    """

    row: str
    contender: str
    cells: tuple[str, ...]
    slots: tuple[int, ...]
    measured: tuple[Estimate, ...]
    num_rounds: int
    rate: Estimate
    contention: Estimate
    coherency: Estimate
    peak_slots: Estimate
    peak_per_s: Estimate | None
    misfit_ratio: float
    contention_over: Estimate | None = None
    coherency_over: Estimate | None = None
    contention_difference: Difference | None = None
    coherency_difference: Difference | None = None

    @property
    def fits(self) -> bool:
        """Whether the law is within `MAX_MISFIT_RATIO` of every cell."""
        return self.misfit_ratio <= MAX_MISFIT_RATIO

    @property
    def is_superlinear(self) -> bool:
        """Whether σ is shown to be below 0: more than linear, which batching can do and locks cannot."""
        return self.contention.high is not None and self.contention.high < 0.0


@dataclass(frozen=True, slots=True)
class Scalability:
    """What a run says of scaling.

    Attributes:
        baseline: label that the others are held against.
        laws: by row and contender.
        missing: rows, and contenders in a row, that have too few slot counts, in words.
    """

    baseline: str
    laws: tuple[Law, ...]
    missing: tuple[str, ...]

    def of(self, labels: Set[str]) -> "Scalability":
        """The same without the laws of all but these contenders."""
        return dataclasses.replace(
            self, laws=tuple(law for law in self.laws if law.contender in labels)
        )


def scalability(
    run: RunRecord, trials: Sequence[TrialRecord], *, baseline: str | None = None
) -> Scalability:
    """Fit the law to every contender, in every row of cells that differ in num_slots alone.

    Cells of an open loop are left out: their throughput is what was offered. Of a run until decided the
    rounds before its first look count: how many more a cell got, the results decided.

    Args:
        run: its plan.
        trials: its trials, all attempts.
        baseline: label that constants are held against; the scenario's where None.

    Raises:
        SlotbenchError: no such baseline.
        RecordError: the trials are not this run's.
    """
    scenario = run.scenario
    base = comparison.baseline_label(scenario.contenders, baseline)
    if run.sequential is not None:
        trials = [one for one in trials if one.round < run.sequential.looks[0]]
    pairing = comparison.pair(run, trials, base)
    contenders = comparison.in_order(scenario.contenders, base)
    laws: list[Law] = []
    missing: list[str] = []
    for row in rows(scenario.cells):
        if len(row.cells) < MIN_SLOT_COUNTS:
            missing.append(_too_few(row.name or "the cells", row.slots))
            continue
        found, lacking = _of_row(row, contenders, pairing, base)
        laws += found
        missing += lacking
    return Scalability(base, tuple(laws), tuple(missing))


def require(found: Scalability, run_id: str) -> None:
    """Refuse a run of which nothing can be fitted.

    Raises:
        SlotbenchError: with what is missing.
    """
    if not found.laws:
        why = (
            found.missing[0] if found.missing else "no two cells differ in num_slots alone"
        )
        raise SlotbenchError(
            f"{run_id} tells nothing of scaling: {why}; measure at least {MIN_SLOT_COUNTS} slot "
            "counts, as with --set num_slots=1,4,16,64"
        )


def rows(cells: Sequence[Cell]) -> tuple[Row, ...]:
    """Rows of at least two cells, in the scenario's order."""
    found: list[tuple[str, list[Cell]]] = []
    for cell in cells:
        if _SLOTS not in cell.coordinates or cell.workload.load.is_open:
            continue
        name = ", ".join(
            f"{axis}={_written(value)}"
            for axis, value in cell.coordinates.items()
            if axis != _SLOTS
        )
        for known, members in found:
            if known == name and all(_differ_in_slots_alone(cell, x) for x in members):
                members.append(cell)
                break
        else:
            found.append((name, [cell]))
    return tuple(
        Row(name, tuple(sorted(members, key=lambda x: x.workload.num_slots)))
        for name, members in found
        if len(members) > 1
    )


def law_per_s(
    slots: npt.ArrayLike, rate: float, contention: float, coherency: float
) -> Array:
    """Throughput that the law gives.

    Args:
        slots: N.
        rate: λ, requests per second.
        contention: σ.
        coherency: κ.

    Returns:
        Requests per second, of the same shape.
    """
    number = np.asarray(slots, float)
    return rate * number / _load(number, contention, coherency)


def flat(law: Law) -> dict[str, Any]:
    """One law as plain fields; a constant has its ends as ``…_low`` and ``…_high``.

    None is missing, also an end or a peak that is not finite.
    """
    return {
        "row": law.row,
        "contender": law.contender,
        "num_rounds": law.num_rounds,
        "slots": list(law.slots),
        "measured_per_s": [one.point for one in law.measured],
        **_ends("rate_per_s", law.rate),
        **_ends("contention", law.contention),
        **_ends("coherency", law.coherency),
        **_ends("peak_slots", law.peak_slots),
        **_ends("peak_per_s", law.peak_per_s),
        "misfit_ratio": law.misfit_ratio,
        "is_superlinear": law.is_superlinear,
        **_ends("contention_over", law.contention_over),
        "contention_difference": law.contention_difference,
        **_ends("coherency_over", law.coherency_over),
        "coherency_difference": law.coherency_difference,
    }


@dataclass(frozen=True, slots=True)
class _Fit:
    """λ as its logarithm, σ and κ, of a fit that keeps κ at 0 or more; and κ of one that does not."""

    log_rate: float
    contention: float
    coherency: float
    free_coherency: float


@dataclass(frozen=True, slots=True)
class _Measured:
    """One contender over a row.

    Attributes:
        cells: names of those in which it has numbers.
        slots: float, as many.
        logs: round → logarithm of throughput in each of them.
    """

    cells: tuple[str, ...]
    slots: Array
    logs: dict[int, Array]

    def left_out(self, rounds: Sequence[int]) -> tuple[_Fit, list[_Fit]]:
        """The fit of these rounds, and the fits without each of them; none of one round."""
        together = np.array([self.logs[number] for number in rounds])
        whole = _fit(self.slots, together.mean(axis=0))
        if len(rounds) < 2:
            return whole, []
        return whole, [
            _fit(self.slots, np.delete(together, place, axis=0).mean(axis=0))
            for place in range(len(rounds))
        ]


def _of_row(
    row: Row, contenders: Sequence[Contender], pairing: Pairing, base: str
) -> tuple[list[Law], list[str]]:
    measured = {who.label: _measured(row, who.label, pairing) for who in contenders}
    laws, missing = [], []
    for label, mine in measured.items():
        if len(mine.cells) < MIN_SLOT_COUNTS or not mine.logs:
            where = f"{label} in {row.name}" if row.name else label
            missing.append(_too_few(where, [int(number) for number in mine.slots]))
            continue
        laws.append(_law(row, label, mine))
    by_label = {law.contender: law for law in laws}
    if base not in by_label:
        return laws, missing
    return [
        law
        if law.contender == base
        else _held_against(by_label[base], measured[base], law, measured[law.contender])
        for law in laws
    ], missing


def _measured(row: Row, label: str, pairing: Pairing) -> _Measured:
    metric = get_metric(METRIC)
    kept: list[tuple[Cell, dict[int, float]]] = []
    for cell in row.cells:
        values = pairing.values(cell.name, label, metric)
        above = {number: value for number, value in values.items() if value > 0.0}
        if above:
            kept.append((cell, above))
    rounds = set.intersection(*(set(values) for _, values in kept)) if kept else set()
    return _Measured(
        tuple(cell.name for cell, _ in kept),
        np.array([cell.workload.num_slots for cell, _ in kept], float),
        {r: np.log([values[r] for _, values in kept]) for r in sorted(rounds)},
    )


def _law(row: Row, label: str, mine: _Measured) -> Law:
    rounds = list(mine.logs)
    whole, others = mine.left_out(rounds)
    log_means = np.mean([mine.logs[number] for number in rounds], axis=0)
    fitted = law_per_s(
        mine.slots, math.exp(whole.log_rate), whole.contention, whole.coherency
    )
    log_rate = _jackknife(whole.log_rate, [fit.log_rate for fit in others])
    free = _jackknife(whole.free_coherency, [fit.free_coherency for fit in others])
    return Law(
        row=row.name,
        contender=label,
        cells=mine.cells,
        slots=tuple(int(number) for number in mine.slots),
        measured=tuple(
            _log_mean([float(mine.logs[number][place]) for number in rounds])
            for place in range(len(mine.cells))
        ),
        num_rounds=len(rounds),
        rate=_exponential(log_rate),
        contention=_jackknife(whole.contention, [fit.contention for fit in others]),
        coherency=_not_negative(whole.coherency, free),
        peak_slots=_peak(whole, others),
        peak_per_s=_peak_per_s(whole, others, float(mine.slots[-1])),
        misfit_ratio=float(np.expm1(np.abs(np.log(fitted) - log_means).max())),
    )


def _held_against(base: Law, below: _Measured, law: Law, mine: _Measured) -> Law:
    """The law with its constants' differences; as it is where the two do not share cells and two rounds."""
    shared = [number for number in mine.logs if number in below.logs]
    if base.cells != law.cells or len(shared) < 2:
        return law
    contention, coherency = _differences(mine, below, shared)
    is_fit = law.fits and base.fits
    return dataclasses.replace(
        law,
        contention_over=contention,
        coherency_over=coherency,
        contention_difference=_said(contention) if is_fit else "no fit",
        coherency_difference=_said(coherency) if is_fit else "no fit",
    )


def _said(over: Estimate) -> Difference | None:
    if over.low is None or over.high is None:
        return None
    if over.low > 0.0:
        return "higher"
    return "lower" if over.high < 0.0 else "not decided"


def _differences(
    mine: _Measured, against: _Measured, rounds: Sequence[int]
) -> tuple[Estimate, Estimate]:
    """Both constants less the baseline's: a round is left out of both at once."""
    (whole, others), (base, base_others) = mine.left_out(rounds), against.left_out(rounds)
    pairs = list(zip(others, base_others, strict=True))
    return (
        _jackknife(
            whole.contention - base.contention,
            [one.contention - other.contention for one, other in pairs],
        ),
        _jackknife(
            whole.free_coherency - base.free_coherency,
            [one.free_coherency - other.free_coherency for one, other in pairs],
        ),
    )


def _fit(slots: Array, logs: Array) -> _Fit:
    """Least squares on the logarithm; where the best κ is below 0, the best with κ = 0."""
    free = _least_squares(slots, logs, num_free=3)
    if free[2] >= 0.0:
        log_rate, contention, coherency = map(float, free)
        return _Fit(log_rate, contention, coherency, coherency)
    best = _least_squares(slots, logs, num_free=2)
    return _Fit(float(best[0]), float(best[1]), 0.0, float(free[2]))


def _least_squares(slots: Array, logs: Array, num_free: int) -> Array:
    """Logarithm of λ, σ and, of three, κ."""
    from scipy import optimize

    def whole(constants: Array) -> tuple[float, float, float]:
        return constants[0], constants[1], constants[2] if num_free == 3 else 0.0

    def residuals(constants: Array) -> Array:
        log_rate, contention, coherency = whole(constants)
        # What no law can be, a load of 0 or less, is so far off that no step goes there.
        load = np.maximum(_load(slots, contention, coherency), _LEAST)
        return np.asarray(log_rate + np.log(slots) - np.log(load) - logs)

    def slope(constants: Array) -> Array:
        _, contention, coherency = whole(constants)
        load = np.maximum(_load(slots, contention, coherency), _LEAST)
        columns = (np.ones_like(slots), -(slots - 1) / load, -slots * (slots - 1) / load)
        return np.stack(columns[:num_free], axis=1)

    start = _start(slots, logs, num_free)
    found = optimize.least_squares(residuals, start, jac=slope, method="lm", x_scale="jac")
    return np.asarray(found.x)


def _start(slots: Array, logs: Array, num_free: int) -> Array:
    """N/X is linear in 1/λ, σ/λ and κ/λ: their least squares, or no contention where these are no law."""
    terms = np.stack([1 / slots, (slots - 1) / slots, slots - 1][:num_free], axis=1)
    weights = np.exp(logs)[:, None]
    first, *others = np.linalg.lstsq(terms * weights, np.ones_like(slots), rcond=None)[0]
    if first > 0.0:
        ratios = [other / first for other in others]
        if (_load(slots, *ratios, *([0.0] * (3 - num_free))) > 0.0).all():
            return np.array([-math.log(first), *ratios])
    return np.array([logs[0] - math.log(slots[0]), *([0.0] * (num_free - 1))])


def _load(slots: Array, contention: float, coherency: float) -> Array:
    return 1.0 + contention * (slots - 1) + coherency * slots * (slots - 1)


def _jackknife(whole: float, others: Sequence[float]) -> Estimate:
    """The estimate of all rounds, with the t interval of the pseudo-values' mean around it."""
    count = len(others)
    if count < 2:
        return Estimate(whole, None, None)
    pseudo = [count * whole - (count - 1) * other for other in others]
    spread = statistics.mean(pseudo)
    if spread.low is None or spread.high is None:
        return Estimate(whole, None, None)
    half = (spread.high - spread.low) / 2
    return Estimate(whole, whole - half, whole + half)


def _log_mean(logs: Sequence[float]) -> Estimate:
    spread = statistics.mean(logs)
    return _exponential(Estimate(spread.mean, spread.low, spread.high))


def _exponential(logarithm: Estimate) -> Estimate:
    ends = (logarithm.low, logarithm.high)
    low, high = (None if end is None else math.exp(min(end, 700.0)) for end in ends)
    return Estimate(math.exp(logarithm.point), low, high)


def _not_negative(point: float, free: Estimate) -> Estimate:
    """κ, with the interval of the free fit cut at 0."""
    if free.low is None or free.high is None:
        return Estimate(point, None, None)
    return Estimate(point, max(0.0, free.low), max(0.0, free.high))


def _peak(whole: _Fit, others: Sequence[_Fit]) -> Estimate:
    """By κ/(1-σ), the inverse of the peak's square, which is 0 where there is no peak."""
    if whole.contention >= 1.0:
        return Estimate(1.0, None, None)
    square = _jackknife(_inverse_square(whole), [_inverse_square(fit) for fit in others])
    # The larger the inverse, the earlier the peak.
    low, high = (
        None if end is None else _peak_at(end) for end in (square.high, square.low)
    )
    return Estimate(_peak_at(whole.coherency / (1.0 - whole.contention)), low, high)


def _inverse_square(fit: _Fit) -> float:
    return fit.free_coherency / max(1.0 - fit.contention, _LEAST)


def _peak_at(inverse_square: float) -> float:
    return max(1.0, inverse_square**-0.5) if inverse_square > 0.0 else math.inf


def _peak_per_s(whole: _Fit, others: Sequence[_Fit], most: float) -> Estimate | None:
    """Throughput at the peak, of fits whose peak, where it is beyond ``most``, is taken there."""
    if _slots_at_peak(whole) > most:
        return None

    def log_highest(fit: _Fit) -> float:
        at = np.array([min(_slots_at_peak(fit), most)])
        per_s = law_per_s(at, math.exp(fit.log_rate), fit.contention, fit.coherency)
        return math.log(float(per_s[0]))

    return _exponential(_jackknife(log_highest(whole), [log_highest(x) for x in others]))


def _slots_at_peak(fit: _Fit) -> float:
    if fit.contention >= 1.0:
        return 1.0
    return _peak_at(fit.coherency / (1.0 - fit.contention))


def _differ_in_slots_alone(cell: Cell, other: Cell) -> bool:
    """Whether each field is the same, or in both the cell's own num_slots: a rule for all actors."""
    one, two = cell.workload, other.workload
    if one.num_slots == two.num_slots:
        return False
    fields = zip(
        _leaves(dataclasses.asdict(one)), _leaves(dataclasses.asdict(two)), strict=False
    )
    return all(
        mine == theirs or (mine[0] == theirs[0] and (mine[1], theirs[1]) == (one.num_slots, two.num_slots))
        for mine, theirs in fields
    )  # fmt: skip


def _leaves(value: Any, name: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{name}.{key}")
    else:
        yield name, value


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _too_few(what: str, slots: Sequence[int]) -> str:
    known = ", ".join(map(str, slots)) or "none"
    count = MIN_SLOT_COUNTS - len(slots)
    if count <= 0:
        return f"{what}: no round has a number at every slot count ({known})"
    more = f"{count} more is" if count == 1 else f"{count} more are"
    return f"{what}: the law needs {MIN_SLOT_COUNTS} slot counts and there are {len(slots)} ({known}): {more} missing"


def _ends(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    found = (
        (None, None, None)
        if estimate is None
        else (estimate.point, estimate.low, estimate.high)
    )
    names = (name, f"{name}_low", f"{name}_high")
    return {
        key: value if value is not None and math.isfinite(value) else None
        for key, value in zip(names, found, strict=True)
    }
