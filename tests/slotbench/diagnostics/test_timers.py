"""What is said of clock and waits, by clocks whose steps are known."""

import itertools

import numpy as np
import pytest

from slotbench.diagnostics import timers


def test_the_smallest_step_is_found_among_larger_ones() -> None:
    """A clock that stands still, then moves by 300, 40 or 1 000 ns: 40."""
    steps = itertools.chain([0, 300, 0, 40, 1000], itertools.repeat(500))
    now_ns = itertools.accumulate(steps)

    assert timers.step_ns(lambda: next(now_ns), num_reads=6) == 40


def test_a_coarse_clock_is_read_until_it_moves() -> None:
    """It stands still for 250 reads and then goes on by 15 ms, as some systems' do."""
    now_ns = itertools.accumulate([*[0] * 250, 15_000_000, *[0] * 100])

    assert timers.step_ns(lambda: next(now_ns), num_reads=100) == 15_000_000


def test_an_overshoot_is_what_a_wait_took_beyond_what_was_asked() -> None:
    """Waits of 1 ms that take 1.05, 1.2 and 0.99 ms."""
    now_ns = 0
    took_ns = iter([1_050_000, 1_200_000, 990_000])

    def wait(asked_s: float) -> None:
        nonlocal now_ns
        assert asked_s == 0.001
        now_ns += next(took_ns)

    found = timers.overshoots_ns(wait, 0.001, 3, clock=lambda: now_ns)

    assert found == [50_000, 200_000, -10_000]


def test_median_and_90_percent_are_numpys() -> None:
    """Of 100 overshoots, by the definition that interpolates nothing; of 20, no 90th percentile."""
    over_ns = np.random.default_rng(1).integers(1, 10**6, 100).tolist()
    found = timers.summarise("lock", 0.001, over_ns)

    for percent, value_s in ((50, found.over_p50_s), (90, found.over_p90_s)):
        expected = np.percentile(over_ns, percent, method="inverted_cdf") / 1e9
        assert value_s == pytest.approx(expected)
    assert timers.summarise("lock", 0.001, over_ns[:20]).over_p90_s is None


def test_no_wait_of_this_machine_ends_early() -> None:
    """Sleeps and timeouts of every length: the kernel promises at least what was asked."""
    found = timers.timers(num_waits=44)

    assert {(wait.kind, wait.asked_s) for wait in found.waits} == set(
        itertools.product(("sleep", "lock", "condition"), timers.ASKED_S)
    )
    assert all(wait.num_waits == 44 and wait.over_p50_s > 0 for wait in found.waits)
    assert 0 < found.claimed_s <= found.step_s
    assert found.read_s > 0
