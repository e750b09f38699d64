"""Schedules: their rates, that they are drawn and drawn again alike, and what they are distributed like."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from slotbench.compute import arrivals, think_times
from slotbench.records import Load

S = 1_000_000_000
RATES = st.floats(0.01, 1_000_000)
SEEDS = st.integers(0, 2**40)


@given(st.sampled_from(["constant", "poisson"]), RATES, SEEDS, st.integers(0, 300))
def test_a_schedule_is_its_seeds_alone_and_never_goes_back(
    kind: str, rate: float, seed: int, number: int
) -> None:
    """Drawn twice it is the same; a longer one begins like a shorter one."""
    load = Load(kind, rate)  # type: ignore[arg-type]
    starts_ns = arrivals.starts_ns(load, seed, number)

    assert starts_ns.dtype == np.int64
    assert len(starts_ns) == number
    assert (np.diff(starts_ns) >= 0).all()
    assert (starts_ns >= 0).all()
    assert (arrivals.starts_ns(load, seed, number + 5)[:number] == starts_ns).all()


@given(RATES, SEEDS)
def test_a_constant_schedule_keeps_its_rate_to_the_nanosecond(
    rate: float, seed: int
) -> None:
    """The k-th request is k/rate after the first: rounding does not add up."""
    starts_ns = arrivals.starts_ns(Load("constant", rate), seed, 1000)
    expected = np.arange(1000) * (S / rate)

    assert starts_ns[0] <= S / rate + 1
    # A double holds 10¹⁷ ns, the end of the slowest of these schedules, to 16 ns.
    assert np.abs(starts_ns - starts_ns[0] - expected).max() <= 1 + expected[-1] * 1e-15


def test_actors_do_not_ask_in_lockstep() -> None:
    """Phases of 500 actors are uniform over one gap, and differ between blocks."""
    load = Load("constant", 100.0)

    def phases(seed: int) -> list[int]:
        seeds = [think_times.actor_seed(seed, index) for index in range(500)]
        return [int(arrivals.starts_ns(load, one, 1)[0]) for one in seeds]

    assert stats.kstest(np.array(phases(7)) / (S / 100), "uniform").pvalue > 0.01
    assert phases(7) == phases(7)
    assert phases(7) != phases(8)


def test_gaps_of_a_poisson_schedule_are_exponential() -> None:
    """The first counts from the common start like any other."""
    starts_ns = arrivals.starts_ns(Load("poisson", 250.0), 3, 5000)
    gaps_s = np.diff(starts_ns, prepend=0) / S

    assert stats.kstest(gaps_s, "expon", args=(0, 1 / 250)).pvalue > 0.01
    # Not merely the right shape: one gap says nothing of the next.
    assert abs(np.corrcoef(gaps_s[1:], gaps_s[:-1])[0, 1]) < 0.05


def test_actors_together_are_a_poisson_process() -> None:
    """From the start on: counts of 10 ms have mean and variance alike, gaps are exponential."""
    load = Load("poisson", 50.0)
    seeds = [think_times.actor_seed(11, index) for index in range(64)]
    merged_ns = np.sort(
        np.concatenate([arrivals.starts_ns(load, one, 400) for one in seeds])
    )
    merged_ns = merged_ns[merged_ns < 5 * S]
    counts = np.bincount(merged_ns // (S // 100), minlength=500)

    assert stats.kstest(np.diff(merged_ns) / S, "expon", args=(0, 1 / 3200)).pvalue > 0.01
    assert counts.mean() == pytest.approx(32, rel=0.03)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("kind", ["constant", "poisson"])
@pytest.mark.parametrize("rate", [0.1, 30.0, 2000.0])
def test_enough_reaches_past_the_horizon(kind: str, rate: float) -> None:
    """For each of 300 actors, with a share of room to spare that falls as they ask more."""
    load = Load(kind, rate)  # type: ignore[arg-type]
    number = arrivals.enough(load, 3.0)

    assert all(arrivals.starts_ns(load, seed, number)[-1] > 3 * S for seed in range(300))
    assert number < 3 * rate + 6 * (3 * rate) ** 0.5 + 20


def test_what_is_offered_is_all_actors_together() -> None:
    """Nothing is offered in the closed loop, and nothing can be scheduled."""
    assert arrivals.offered_per_s(Load("constant", 20.0), 16) == 320.0
    assert arrivals.offered_per_s(Load(), 16) == 0.0
    for load in (Load(), Load("poisson", 0.0)):
        with pytest.raises(ValueError, match="no schedule"):
            arrivals.starts_ns(load, 1, 10)
