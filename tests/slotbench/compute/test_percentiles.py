"""Percentiles against numpy, a hand-worked table and the definition itself."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench.compute.percentiles import MIN_SAMPLES, min_samples, nearest_rank, rank


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 7), (90, 44), (95, 90), (99, 459), (99.9, 4603)]
)
def test_smallest_samples_agree_with_the_printed_table(
    percent: float, expected: int
) -> None:
    """The formula gives LoadGen's column "no observation over the limit"."""
    assert min_samples(percent) == expected


def test_the_table_of_smallest_samples_holds_what_records_keep() -> None:
    """Every percentile of a trial's record is in MIN_SAMPLES."""
    assert MIN_SAMPLES == {50.0: 7, 90.0: 44, 99.0: 459, 99.9: 4603}


@pytest.mark.parametrize("percent", [50, 90, 99, 99.9])
def test_the_smallest_sample_is_the_smallest(percent: float) -> None:
    """With that many samples all lie below in at most 1 % of cases; with one less, more."""
    share, number = percent / 100, min_samples(percent)
    assert share**number <= 0.01 < share ** (number - 1)


def test_small_percentiles_mirror_large_ones() -> None:
    """p1 is as hard to claim as p99, and the extremes claim nothing."""
    assert min_samples(1) == min_samples(99)
    assert min_samples(0) == min_samples(100) == 1


@pytest.mark.parametrize(
    ("percent", "number"), [(50, 7), (90, 44), (99, 459), (99.9, 4603)]
)
def test_too_few_samples_give_none(percent: float, number: int) -> None:
    """One sample fewer than the smallest gives None, not a guess."""
    assert nearest_rank(np.arange(number), percent) is not None
    assert nearest_rank(np.arange(number - 1), percent) is None


def test_worked_example() -> None:
    """Of 1 … 10, the median is the fifth: nothing is interpolated."""
    assert nearest_rank(list(range(1, 11)), 50) == 5.0
    assert nearest_rank(list(range(1, 12)), 50) == 6.0


def test_rank_is_exact_where_floating_point_is_not() -> None:
    """99.9 % of 10 000 is rank 9 990; 0.999 * 10_000 rounds up in floating point."""
    assert rank(10_000, 99.9) == 9990
    assert rank(1000, 99.9) == 999
    assert rank(100, 7) == 7


@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=300),
    st.sampled_from([0, 1, 10, 25, 50, 75, 90, 100]),
)
def test_it_is_the_smallest_sample_that_covers_the_share(
    values: list[int], percent: int
) -> None:
    """At least percent % of the samples do not exceed it, and no smaller sample does that."""
    ordered = sorted(values)
    found = nearest_rank(ordered, percent)
    if found is None:
        assert len(values) < min_samples(percent)
        return
    need = Fraction(percent, 100) * len(values)
    assert sum(value <= found for value in values) >= need
    num_below = sum(value < found for value in values)
    assert num_below < need or num_below == 0


@pytest.mark.parametrize("percent", [50, 75, 90, 99])
def test_it_agrees_with_numpy(percent: int) -> None:
    """The method ``inverted_cdf`` picks the same sample."""
    values = np.sort(np.random.default_rng(7).lognormal(size=1237))
    expected = float(np.percentile(values, percent, method="inverted_cdf"))
    assert nearest_rank(values, percent) == expected


@pytest.mark.parametrize("percent", [-0.1, 100.1, math.nan])
def test_a_percentile_lies_between_0_and_100(percent: float) -> None:
    """Anything else is a ValueError, also with too few samples."""
    with pytest.raises(ValueError, match="between 0 and 100"):
        nearest_rank([], percent)
