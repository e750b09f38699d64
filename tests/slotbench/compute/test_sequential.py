"""Looks are planned, and their level is that of all of them: against tables, simulation and Student's t."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from slotbench.compute import sequential
from slotbench.records import MAX_SEQUENTIAL_ROUNDS

POCOCK = {2: 2.178, 3: 2.289, 4: 2.361, 5: 2.413, 10: 2.555}
"""Looks → the bound of a 5 % test, for normal statistics and equal steps; Jennison and Turnbull, "Group
Sequential Methods with Applications to Clinical Trials" (2000), table 2.1."""


@pytest.mark.parametrize(("number", "bound"), POCOCK.items())
def test_of_many_pairs_the_level_is_pococks(number: int, bound: float) -> None:
    """With 300 pairs a step Student's t is as good as normal."""
    level = 1.0 - sequential.nominal_confidence([300 * k for k in range(1, number + 1)])
    assert stats.norm.isf(level / 2) == pytest.approx(bound, abs=0.003)


def share_that_cross(looks: tuple[int, ...], level: float, number: int = 200_000) -> float:
    """Of simulated normal samples: those that a t test finds to differ from 0 at any look."""
    random = np.random.default_rng(1)
    samples = random.standard_normal((number, looks[-1]))
    sums, squares = samples.cumsum(axis=1), (samples**2).cumsum(axis=1)
    has_crossed = np.zeros(number, bool)
    for look in looks:
        mean = sums[:, look - 1] / look
        variance = (squares[:, look - 1] - look * mean**2) / (look - 1)
        bound = stats.t.isf(level / 2, look - 1)
        has_crossed |= np.abs(mean) > bound * np.sqrt(variance / look)
    return float(has_crossed.mean())


@pytest.mark.parametrize(
    "looks", [(2, 3, 7), (3, 4, 6, 8, 12), (5, 7, 10, 14, 20), (8, 30)], ids=str
)
def test_few_pairs_and_unequal_steps_keep_five_percent(looks: tuple[int, ...]) -> None:
    """Where the normal's level would let up to 6 % pass; five standard errors allow for chance."""
    level = 1.0 - sequential.nominal_confidence(looks)
    share = share_that_cross(looks, level)
    assert share == pytest.approx(0.05, abs=5 * (0.05 * 0.95 / 200_000) ** 0.5)


@pytest.mark.parametrize("level", [0.3, 0.01])
def test_the_crossing_chance_is_that_of_simulated_samples(level: float) -> None:
    """At other levels, too."""
    looks = (5, 7, 10, 14, 20)
    share = share_that_cross(looks, level)
    error = (share * (1 - share) / 200_000) ** 0.5
    assert sequential.crossing(looks, level) == pytest.approx(share, abs=5 * error)


def test_a_level_is_that_of_its_looks_alone() -> None:
    """Looking after every round at the level of five looks lets more than 6 % pass."""
    level = 1.0 - sequential.nominal_confidence((5, 7, 10, 14, 20))
    assert sequential.crossing(tuple(range(5, 21)), level) > 0.06
    assert sequential.crossing((5, 7, 10, 14, 20), 0.05) > 0.13


def test_the_longest_run_that_may_be_asked_for_has_a_level() -> None:
    """Many looks, and many pairs between the last ones: still between one look's and Bonferroni's."""
    looks = sequential.looks(sequential.MIN_FIRST_LOOK, MAX_SEQUENTIAL_ROUNDS)
    level = 1.0 - sequential.nominal_confidence(looks)
    assert 0.05 / len(looks) < level < 0.01
    assert 0.045 < sequential.crossing(looks, level) < 0.055


def test_one_look_costs_nothing() -> None:
    """Its level is its own."""
    assert sequential.nominal_confidence((7,)) == 0.95
    assert sequential.crossing((7,), 0.01) == 0.01
    assert (
        sequential.family_p_value((), 0.01) == sequential.family_p_value((7,), 0.01) == 0.01
    )


@given(st.floats(1e-9, 0.4999), st.floats(1e-9, 0.4999))
def test_p_values_of_all_looks_keep_their_order(one: float, other: float) -> None:
    """They are larger than those of one look, and never more than Bonferroni's."""
    looks = (5, 7, 10)
    low, high = sorted((one, other))
    first, second = (sequential.family_p_value(looks, p) for p in (low, high))
    assert first <= second
    assert low <= first <= min(0.5, 3.0 * low * 1.000001)


def test_a_p_value_is_significant_exactly_where_the_interval_is() -> None:
    """2.5 % of all looks is the half of what one look's interval leaves out."""
    looks = (5, 7, 10, 14, 20)
    limit = (1.0 - sequential.nominal_confidence(looks)) / 2
    assert sequential.family_p_value(looks, 0.999 * limit) < 0.025
    assert sequential.family_p_value(looks, 1.001 * limit) > 0.025


@given(st.integers(1, 50), st.integers(0, 200))
def test_looks_go_from_the_first_round_to_the_last(first: int, more: int) -> None:
    """Each later than the one before, and none so late that half as many more would have done."""
    looks = sequential.looks(first, first + more)
    assert (looks[0], looks[-1]) == (first, first + more)
    steps = itertools.pairwise(looks)
    assert all(before < now <= max(before + 1, 1.75 * before) for before, now in steps)


@pytest.mark.parametrize("looks", [(), (1, 2), (3, 3), (5, 4)])
def test_looks_that_do_not_rise_are_refused(looks: tuple[int, ...]) -> None:
    """From two pairs on there is a spread."""
    with pytest.raises(ValueError, match="rising"):
        sequential.nominal_confidence(looks)
