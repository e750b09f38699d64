"""Where a series changes its level, and how often it is said to when it does not."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats

from slotbench.compute import change_points
from slotbench.compute.change_points import Measured, Partition


def measured(
    generator: np.random.Generator,
    levels: Sequence[float],
    *,
    within: float,
    between: float,
) -> list[Measured]:
    """A run of five trials a level; both are standard deviations of logarithms."""
    found = []
    for level in levels:
        trials = generator.normal(generator.normal(level, between), within, 5)
        found.append(Measured(float(trials.mean()), float(trials.var(ddof=1)), 5))
    return found


def exact(values: Sequence[float], variance: float | None = 1e-4) -> list[Measured]:
    return [Measured(value, variance, 5) for value in values]


def one(points: Sequence[Measured], **options: Any) -> Partition:
    (partition,) = change_points.search([points], **options)
    return partition


@pytest.mark.parametrize("between", [0.0, 0.01, 0.05])
def test_a_flat_history_is_marked_in_at_most_one_of_twenty(between: float) -> None:
    """Three series of twelve runs, 200 times, whatever runs of one level differ by."""
    generator = np.random.default_rng(3)
    count = 200
    marked = 0
    for _ in range(count):
        series = [
            measured(generator, [0.0] * 12, within=0.02, between=between) for _ in range(3)
        ]
        marked += any(found.cuts for found in change_points.search(series))
    assert marked / count <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / count)


def test_a_change_of_a_tenth_is_found_where_it_is() -> None:
    """In the sixth run of twelve, nine times of ten, with an interval that mostly holds it."""
    generator = np.random.default_rng(4)
    found, held = 0, 0
    for _ in range(60):
        levels = [0.0] * 6 + [math.log(1.1)] * 6
        cuts = one(measured(generator, levels, within=0.02, between=0.01)).cuts
        if [cut.at for cut in cuts] == [6]:
            found += 1
            size = cuts[0].size
            assert size.low is not None
            assert size.high is not None
            held += size.low <= 1.1 <= size.high
    assert found >= 54
    assert held >= 0.85 * found


def test_the_test_is_students_where_only_runs_differ() -> None:
    """Trials without spread: τ is all there is, and the cut's p-value that of SciPy's t test, corrected."""
    values = [0.0, 0.02, -0.01, 0.01, 0.30, 0.32, 0.29, 0.31]
    partition = one(exact(values, variance=0.0))
    test = scipy.stats.ttest_ind(values[4:], values[:4])
    interval = test.confidence_interval(0.95)

    (cut,) = partition.cuts
    assert cut.at == 4
    assert cut.p_value == pytest.approx(7 * test.pvalue)
    assert (cut.size.low, cut.size.high) == pytest.approx(
        (math.exp(interval.low), math.exp(interval.high))
    )
    pooled = math.sqrt((np.var(values[:4], ddof=1) + np.var(values[4:], ddof=1)) / 2)
    assert partition.spread == pytest.approx(pooled)


def test_no_partition_is_better_than_the_best() -> None:
    """Of all that are allowed: inside two points at least, at the ends one."""
    generator = np.random.default_rng(5)
    for _ in range(5):
        values = generator.normal(0.0, 1.0, 8)
        weights = generator.uniform(0.5, 2.0, 8)

        def cost(
            ends: Sequence[int], values: Any = values, weights: Any = weights
        ) -> float:
            total = 0.0
            for begin, end in itertools.pairwise((0, *ends)):
                part, inside = values[begin:end], weights[begin:end]
                mean = np.average(part, weights=inside)
                total += float((inside * (part - mean) ** 2).sum())
            return total

        for ends in change_points._best(values, weights, 4):
            allowed = [
                (*inner, 8)
                for inner in itertools.combinations(range(1, 8), len(ends) - 1)
                if all(b - a > 1 for a, b in itertools.pairwise(inner))
            ]
            assert ends in allowed
            assert cost(ends) == pytest.approx(min(map(cost, allowed)))


def test_two_changes_are_two() -> None:
    """Up, and back down."""
    values = [0.0, 0.01, -0.01, 0.0, 0.2, 0.21, 0.19, 0.2, 0.0, 0.01, 0.0, -0.01]
    partition = one(exact(values))

    assert [cut.at for cut in partition.cuts] == [4, 8]
    assert [cut.size.point > 1 for cut in partition.cuts] == [True, False]
    assert [(s.begin, s.end) for s in partition.segments] == [(0, 4), (4, 8), (8, 12)]


def test_one_run_at_the_end_is_not_confirmed_yet() -> None:
    """A second one like it confirms."""
    values = [0.0, 0.01, -0.01, 0.0, 0.01, -0.01, 0.0, 0.3]
    assert [cut.is_confirmed for cut in one(exact(values)).cuts] == [False]
    assert [cut.is_confirmed for cut in one(exact([*values, 0.31])).cuts] == [True]


def test_an_odd_run_in_the_middle_is_no_change() -> None:
    """The level before it is the level after it."""
    values = [0.0, 0.01, -0.01, 0.0, 0.3, 0.01, -0.01, 0.0, 0.01, 0.0]
    assert one(exact(values)).cuts == ()


def test_a_run_that_knows_little_counts_for_little() -> None:
    """Its trials differ by 50 %: the level of its segment is hardly moved."""
    points = exact([0.0, 0.001, -0.001, 0.0, 0.0, 0.001])
    points[2] = Measured(0.2, 0.25, 5)
    (segment,) = one(points).segments
    assert abs(segment.log_level) < 0.01


def test_trials_that_happen_to_agree_do_not_count_for_more() -> None:
    """A run whose five trials are equal has the spread of the others."""
    points = exact([0.0, 0.02, -0.02, 0.01])
    variances = change_points._variances([*points, Measured(0.0, 0.0, 5)])
    assert variances[-1] == pytest.approx(1e-4 * 4 / 5 / 5)
    assert change_points._variances([Measured(0.0, None, 1)] * 2).tolist() == [0.0, 0.0]


def test_too_short_a_series_is_not_searched() -> None:
    """Three runs, however far apart; four are enough where they agree."""
    short = one(exact([0.0, 0.0, 2.0]))
    assert (short.cuts, short.spread, len(short.segments)) == ((), None, 1)
    assert one(exact([0.0, 0.0, 2.0, 2.0], variance=1e-8)).cuts


def test_more_series_ask_for_more_certainty() -> None:
    """What is marked alone is not among a hundred flat ones; a change beyond doubt is."""
    weak = [0.0, 0.02, -0.02, 0.01, -0.01, 0.062, 0.05, 0.07, 0.045, 0.06]
    strong = [0.0, 0.02, -0.02, 0.01, -0.01, 0.56, 0.55, 0.57, 0.54, 0.56]
    flat = exact([0.0, 0.02, -0.02, 0.01, -0.01, 0.0, 0.01, -0.01, 0.02, 0.0])
    for values, is_marked in ((weak, False), (strong, True)):
        assert one(exact(values)).cuts
        first, *others = change_points.search([exact(values), *[flat] * 100])
        assert bool(first.cuts) is is_marked
        assert not any(found.cuts for found in others)


def test_equal_values_are_one_level() -> None:
    """No error at all, and a step of such values is a change."""
    assert one(exact([0.1] * 8, variance=0.0)).cuts == ()
    assert [cut.at for cut in one(exact([0.1] * 4 + [0.2] * 4, variance=0.0)).cuts] == [4]
