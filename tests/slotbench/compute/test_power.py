"""How small an effect a number of rounds shows, against R's printed values, scipy and a simulation."""

import math

import numpy as np
import pytest
import scipy.stats

from slotbench.compute import power


def test_power_is_what_r_prints() -> None:
    """power.t.test(delta = 0.5, sd = 0.3088401, n = 10, type = "one.sample"): 0.9947832.

    Printed at https://rstudio-pubs-static.s3.amazonaws.com/192099_28c04db257554fae8551c3f7d8f9fb37.html
    """
    found = power.power_of(math.expm1(0.5), 0.3088401, 10)

    assert found == pytest.approx(0.9947832, abs=5e-8)


def test_rounds_are_what_r_prints() -> None:
    """power.t.test(delta = 10, sd = 10·√2, power = 0.85, type = "paired"): n = 19.96892.

    Dalgaard, "Introductory Statistics with R", 2nd edition (2008), 8.3.
    """
    assert power.rounds_needed(math.expm1(0.1), 0.1 * math.sqrt(2), power=0.85) == 20


@pytest.mark.parametrize("rounds", [2, 3, 5, 10, 20, 100])
@pytest.mark.parametrize("log_sd", [0.001, 0.03, 0.5])
def test_the_smallest_effect_is_found_in_80_percent_by_scipy(
    rounds: int, log_sd: float
) -> None:
    """At the effect, scipy's noncentral t puts 80 % beyond Student's critical value."""
    effect = power.smallest_effect(log_sd, rounds)
    assert effect is not None
    critical = scipy.stats.t.ppf(0.975, rounds - 1)
    noncentrality = math.log1p(effect) / (log_sd / math.sqrt(rounds))

    assert scipy.stats.nct.sf(critical, rounds - 1, noncentrality) == pytest.approx(0.8)
    assert power.power_of(effect, log_sd, rounds) == pytest.approx(0.8)


def test_a_simulation_finds_the_effect_as_often_as_is_said() -> None:
    """20 000 runs of 8 blocks, judged by scipy's own t test: 80 % find it, within 4 standard errors."""
    log_sd, rounds, num_runs = 0.04, 8, 20_000
    effect = power.smallest_effect(log_sd, rounds)
    assert effect is not None
    drawn = np.random.default_rng(1).normal(math.log1p(effect), log_sd, (num_runs, rounds))
    tested = scipy.stats.ttest_1samp(drawn, 0.0, axis=1)
    found = np.mean((tested.pvalue < 0.05) & (tested.statistic > 0))

    assert abs(found - 0.8) < 4 * math.sqrt(0.8 * 0.2 / num_runs)


def test_the_half_width_is_that_of_the_paired_interval() -> None:
    """Log ratios with exactly that standard deviation: scipy's interval has that half-width."""
    logs = np.array([-1.0, 0.0, 1.0, 2.0, -2.0])
    logs *= 0.03 / logs.std(ddof=1)
    low, high = scipy.stats.t.interval(0.95, 4, logs.mean(), scipy.stats.sem(logs))

    found = power.half_width(0.03, 5)
    assert found == pytest.approx(math.expm1((high - low) / 2))


@pytest.mark.parametrize("effect", [0.01, 0.03, 0.2])
def test_the_rounds_needed_are_the_fewest(effect: float) -> None:
    """With one round fewer the effect is found less often than wanted."""
    rounds = power.rounds_needed(effect, 0.05)
    assert rounds is not None
    assert power.power_of(effect, 0.05, rounds) >= 0.8
    assert power.power_of(effect, 0.05, rounds - 1) < 0.8


def test_what_nobody_waits_for_is_none() -> None:
    """An effect of a thousandth beside a spread of a half needs over 10 000 rounds."""
    assert power.rounds_needed(0.001, 0.5) is None


def test_the_interval_of_the_sd_is_chi_squares() -> None:
    """NIST/SEMATECH 7.2.3.1's formula by scipy's quantiles; and it covers the truth 95 % of times."""
    low, high = power.sd_interval(0.02, 12) or (0.0, 0.0)
    assert low == pytest.approx(0.02 * math.sqrt(11 / scipy.stats.chi2.ppf(0.975, 11)))
    assert high == pytest.approx(0.02 * math.sqrt(11 / scipy.stats.chi2.ppf(0.025, 11)))

    sds = np.random.default_rng(2).normal(0.0, 0.02, (4000, 5)).std(axis=1, ddof=1)
    ends = np.array([power.sd_interval(float(sd), 5) for sd in sds])
    covered = np.mean((ends[:, 0] <= 0.02) & (ends[:, 1] >= 0.02))
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


def test_one_round_shows_nothing() -> None:
    """No interval, no effect, no power; of one pair no spread's interval."""
    assert power.half_width(0.02, 1) is None
    assert power.smallest_effect(0.02, 1) is None
    assert power.power_of(0.5, 0.02, 1) == 0.0
    assert power.sd_interval(0.02, 1) is None


def test_without_noise_two_rounds_show_everything() -> None:
    """A spread of 0: any effect is found."""
    assert power.half_width(0.0, 5) == 0.0
    assert power.smallest_effect(0.0, 5) == 0.0
    assert power.rounds_needed(0.001, 0.0) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: power.half_width(-0.1, 5),
        lambda: power.half_width(math.nan, 5),
        lambda: power.smallest_effect(0.1, 5, power=1.0),
        lambda: power.rounds_needed(0.0, 0.1),
        lambda: power.power_of(math.inf, 0.1, 5),
        lambda: power.sd_interval(0.1, 5, confidence=0.0),
    ],
)
def test_what_is_no_spread_share_or_effect_is_refused(call: object) -> None:
    """A ValueError, as the other statistics raise."""
    with pytest.raises(ValueError, match="not"):
        call()  # type: ignore[operator]
