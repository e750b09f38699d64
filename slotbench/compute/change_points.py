"""Where a series of measurements changes its level: known errors inside runs, an unknown one between them.

Each point is a run: a value with the standard error that the run's own trials give it. Runs of the same code
differ by more than that (another memory layout, another neighbour), by a spread τ that only the series itself
tells. A series is cut into segments of constant level by weighted least squares, all cuts considered
(optimal partitioning, Jackson et al. 2005), and a cut is kept only if the levels beside it differ by
Student's t, with τ estimated inside the segments (Paule and Mandel 1982) and as many degrees of freedom as these leave, and that for
all positions that a cut could have had, and all series that were searched. So a flat history is marked in at most
5 % of cases, whatever τ is (``tests/slotbench/compute/test_change_points.py``).

Not by ``ruptures``: its costs know no errors of points and no segment of one run, and what a penalty finds
would have to be tested all the same; of the library one loop would be left.

Sources: Jackson et al., "An algorithm for optimal partitioning of data on an interval", IEEE Signal Processing
Letters 12 (2005); Paule and Mandel, "Consensus values and weighting factors", Journal of Research of the
National Bureau of Standards 87 (1982).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from slotbench.compute import statistics
from slotbench.compute.statistics import CONFIDENCE, RatioEstimate

MIN_POINTS: Final = 4
"""Fewer leave too little to tell a change from the spread between runs."""

ALPHA: Final = 1.0 - CONFIDENCE
"""Chance, at most, that anything is marked in a history without a change."""

MAX_CHANGES: Final = 12
"""In one series; a run in three at most, too."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """One point of a series.

    Attributes:
        log_value: natural logarithm of what was measured.
        variance: of one trial's logarithm, or one pair's; None where one alone gives none.
        count: trials or pairs behind it.
    """

    log_value: float
    variance: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Points of one level, from ``begin`` up to, not including, ``end``.

    Attributes:
        log_level: their mean, weighted by what is known of each.
        log_se: its standard error, the spread between runs included.
    """

    begin: int
    end: int
    log_level: float
    log_se: float

    @property
    def level(self) -> float:
        """Exponential of ``log_level``: in the unit of the series."""
        return math.exp(self.log_level)


@dataclass(frozen=True, slots=True)
class Cut:
    """A change of level.

    Attributes:
        at: the first point after it.
        size: the level after it over the one before, with its 95 % interval. That of a change
            that was looked for and found lies, on average, a bit too far from 1.
        p_value: of "no change", for every position that a cut in this series could have had and
            every series left to be searched (Holm).
        is_confirmed: whether there are two runs on each side.
    """

    at: int
    size: RatioEstimate
    p_value: float
    is_confirmed: bool


@dataclass(frozen=True, slots=True)
class Partition:
    """A series cut into segments.

    Attributes:
        segments: at least one.
        cuts: between them, in order.
        spread: τ, standard deviation between runs on the logarithm, within the segments; None for a
            series that is too short to be searched.
    """

    segments: tuple[Segment, ...]
    cuts: tuple[Cut, ...]
    spread: float | None

    def over(self, segment: Segment, other: Segment) -> RatioEstimate:
        """The level of one of the segments over another's, with its 95 % interval, as if they were neighbours.

        Args:
            segment: of ``segments``, of which there are fewer than points.
            other: likewise.
        """
        degrees = self.segments[-1].end - len(self.segments)
        return statistics.log_interval(
            segment.log_level - other.log_level,
            math.hypot(segment.log_se, other.log_se),
            degrees,
        )


def search(series: Sequence[Sequence[Measured]], alpha: float = ALPHA) -> list[Partition]:
    """Cut every series, so that the chance of any false cut in all of them is at most ``alpha``.

    Args:
        series: points in order of time; each series has at least one.
        alpha: between 0 and 1.

    Returns:
        A partition a series, in the same order.
    """
    known = [(_values(points), _variances(points)) for points in series]
    searched = [i for i, (values, _) in enumerate(known) if values.size >= MIN_POINTS]
    found: dict[int, Partition] = {}
    # Holm's step-down: each series with a cut leaves the others a wider level.
    while left := [i for i in searched if i not in found]:
        cut = {i: _partition(*known[i], len(left), alpha) for i in left}
        new = {i: partition for i, partition in cut.items() if partition.cuts}
        if not new:
            break
        found |= new
    return [
        found.get(i) or _uncut(values, variances, is_searched=i in searched)
        for i, (values, variances) in enumerate(known)
    ]


def _values(points: Sequence[Measured]) -> Array:
    return np.array([point.log_value for point in points])


def _variances(points: Sequence[Measured]) -> Array:
    """Squared standard error of every point: its own, but no less than all runs' spread would give it.

    Few trials tell little of their own spread: a run must not count for much because they happened to agree.
    """
    told = [(p.variance, p.count - 1) for p in points if p.variance is not None]
    degrees = sum(count for _, count in told)
    pooled = sum(variance * count for variance, count in told) / degrees if degrees else 0.0
    return np.array([max(pooled, p.variance or 0.0) / p.count for p in points])


def _partition(values: Array, variances: Array, num_series: int, alpha: float) -> Partition:
    """The finest partition of which every cut holds."""
    most = min(MAX_CHANGES, (values.size - 1) // 3)
    spread = _spread_of_neighbours(values, variances)
    for ends in reversed(
        _best(values, 1.0 / (variances + spread + _tiny(values)), most + 1)
    ):
        segments, between = _segments(values, variances, ends)
        cuts = _cuts(segments, values.size, num_series)
        if all(cut.p_value < alpha for cut in cuts):
            return Partition(tuple(segments), tuple(cuts), math.sqrt(between))
    return _uncut(values, variances, is_searched=True)


def _uncut(values: Array, variances: Array, *, is_searched: bool) -> Partition:
    segments, between = _segments(values, variances, (values.size,))
    return Partition(tuple(segments), (), math.sqrt(between) if is_searched else None)


def _best(values: Array, weights: Array, most: int) -> list[tuple[int, ...]]:
    """For 2 to ``most`` segments the ends of those of the least weighted squares.

    A segment inside has two points at least; the first and the last may have one.
    """
    count = values.size
    sums = [
        np.concatenate([[0.0], np.cumsum(weights * values**power)]) for power in range(3)
    ]

    def cost(begin: int, end: int) -> float:
        weight, first, second = (float(total[end] - total[begin]) for total in sums)
        return second - first**2 / weight

    costs = np.full((count + 1, count + 1), np.inf)
    for begin in range(count):
        for end in range(begin + 1, count + 1):
            if end - begin > 1 or begin == 0 or end == count:
                costs[begin, end] = cost(begin, end)
    least = costs[0].copy()
    previous: list[npt.NDArray[np.intp]] = []
    found = []
    for _ in range(2, most + 1):
        through = least[:, None] + costs
        previous.append(through.argmin(axis=0))
        least = through.min(axis=0)
        if not math.isfinite(least[count]):
            break
        ends = [count]
        for step in reversed(previous):
            ends.append(int(step[ends[-1]]))
        found.append(tuple(reversed(ends)))
    return found


def _segments(
    values: Array, variances: Array, ends: Sequence[int]
) -> tuple[list[Segment], float]:
    """Levels with their errors, and the variance between runs that the segments leave."""
    bounds = list(zip((0, *ends[:-1]), ends, strict=True))
    between = _between(values, variances, bounds)
    weights = 1.0 / (variances + between + _tiny(values))
    segments = []
    for begin, end in bounds:
        inside = weights[begin:end]
        level = float(np.average(values[begin:end], weights=inside))
        segments.append(Segment(begin, end, level, float(inside.sum()) ** -0.5))
    return segments, between


def _between(values: Array, variances: Array, bounds: Sequence[tuple[int, int]]) -> float:
    """The τ² with which squared residuals are as large as their degrees of freedom say; 0 if less are."""
    degrees = values.size - len(bounds)
    if degrees < 1:
        return 0.0
    floor = _tiny(values)

    def excess(between: float) -> float:
        weights = 1.0 / (variances + between + floor)
        total = 0.0
        for begin, end in bounds:
            part, inside = values[begin:end], weights[begin:end]
            total += float((inside * (part - np.average(part, weights=inside)) ** 2).sum())
        return total - degrees

    if excess(0.0) <= 0.0:
        return 0.0
    from scipy import optimize

    most = float(np.ptp(values)) ** 2 * values.size + floor
    return float(optimize.brentq(excess, 0.0, most))


def _spread_of_neighbours(values: Array, variances: Array) -> float:
    """A first τ², of which the cuts do not depend much: neighbours differ by it, but for a few that do by a change."""
    squares = np.diff(values) ** 2
    return max(0.0, float(np.median(squares)) / (2 * 0.4549) - float(np.median(variances)))


def _cuts(segments: Sequence[Segment], num_points: int, num_series: int) -> list[Cut]:
    degrees = num_points - len(segments)
    # Two cuts can stand in more places than one: each of several must be surer. That the square is
    # enough, and little more than that, is of a simulation: flat histories of 12 to 40 runs.
    positions = (num_points - 1) * (len(segments) - 1) ** 2 * num_series
    found = []
    for before, after in itertools.pairwise(segments):
        log_se = math.hypot(before.log_se, after.log_se)
        log_size = after.log_level - before.log_level
        size = statistics.log_interval(log_size, log_se, degrees)
        p_value = statistics.p_different(log_size, log_se, degrees)
        found.append(
            Cut(
                at=after.begin,
                size=size,
                p_value=min(1.0, p_value * positions),
                is_confirmed=min(x.end - x.begin for x in (before, after)) > 1,
            )
        )
    return found


def _tiny(values: Array) -> float:
    """Keeps equal values from having a weight without end."""
    return 1e-18 * (1.0 + float(np.abs(values).max()) ** 2)
