"""Intervals against scipy and a printed example; verdicts against simulation."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from slotbench.compute.statistics import (
    Better,
    RatioEstimate,
    blocks_to_decide,
    geometric_mean,
    mean,
    noise_floor,
    p_worse,
    paired_log_ratio,
    verdict,
    welch_log_ratio,
)

SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
"""Student (1908): hours of sleep gained, second drug less first, of ten patients."""

SLEEP_FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
"""Student (1908): hours of sleep gained by either drug."""

POSITIVE = st.floats(1e-6, 1e6)
LOGS = st.lists(st.floats(-9, 9), min_size=2, max_size=15)


def estimate(low: float | None, high: float | None, pairs: int = 5) -> RatioEstimate:
    """An interval and its middle, from nowhere."""
    point = math.sqrt(low * high) if low and high else 1.0
    return RatioEstimate(point, low, high, pairs, 0.1 if low else None)


def test_students_sleep_data_give_the_printed_interval() -> None:
    """R prints for ``t.test(Pair(extra.1, extra.2) ~ 1)``, page ``?sleep``: mean of the
    differences 1.58, 95 percent interval 0.7001142 to 2.4598858.
    """  # noqa: D205
    found = paired_log_ratio([math.exp(hours) for hours in SLEEP], [1.0] * 10)
    assert found.low is not None
    assert found.high is not None
    assert math.log(found.point) == pytest.approx(1.58, abs=1e-9)
    assert math.log(found.low) == pytest.approx(0.7001142, abs=5e-8)
    assert math.log(found.high) == pytest.approx(2.4598858, abs=5e-8)
    assert found.num_pairs == 10


@given(
    st.lists(st.tuples(POSITIVE, POSITIVE), min_size=2, max_size=20),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_the_interval_is_scipys(
    pairs: list[tuple[float, float]], confidence: float
) -> None:
    """ttest_rel on the logs has the same interval."""
    above, below = map(np.array, zip(*pairs, strict=True))
    found = paired_log_ratio(above.tolist(), below.tolist(), confidence)
    if found.log_sd is None or found.log_sd < 1e-9:
        return  # scipy divides by a spread of nothing
    expected: Any = stats.ttest_rel(np.log(above), np.log(below)).confidence_interval(
        confidence
    )
    assert found.low is not None
    assert found.high is not None
    if found.low > 0 and math.isfinite(found.high):
        assert math.log(found.low) == pytest.approx(expected.low, rel=1e-6, abs=1e-8)
        assert math.log(found.high) == pytest.approx(expected.high, rel=1e-6, abs=1e-8)


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=2, max_size=20))
def test_swapping_the_sides_inverts_the_ratio(pairs: list[tuple[float, float]]) -> None:
    """A over B and B over A say the same."""
    above, below = zip(*pairs, strict=True)
    one, other = paired_log_ratio(above, below), paired_log_ratio(below, above)
    assert one.point * other.point == pytest.approx(1.0)
    if one.low and other.high and math.isfinite(other.high):
        assert one.low * other.high == pytest.approx(1.0)


def test_drift_between_blocks_cancels() -> None:
    """A machine ten times slower in the last block than in the first changes nothing."""
    drift = np.geomspace(1, 10, 8)
    above, below = np.full(8, 110.0), np.full(8, 100.0)
    found = paired_log_ratio((above * drift).tolist(), (below * drift).tolist())
    assert found.point == pytest.approx(1.1)
    assert found.low == pytest.approx(1.1)


def test_one_pair_has_no_interval() -> None:
    """One pair gives a point, no interval, no spread, and no verdict."""
    found = paired_log_ratio([3.0], [2.0])
    assert found.point == pytest.approx(1.5)
    assert (found.low, found.high, found.num_pairs, found.log_sd) == (None, None, 1, None)
    assert verdict(found, 0.03, "higher") == "inconclusive"
    assert blocks_to_decide(found, 0.03) is None
    assert noise_floor(found) is None


def test_no_spread_gives_an_interval_without_width() -> None:
    """Pairs that all have the same ratio give that ratio at both ends."""
    found = paired_log_ratio([2.0, 4.0, 8.0], [1.0, 2.0, 4.0])
    assert found.log_sd == pytest.approx(0.0, abs=1e-12)
    assert found.low == pytest.approx(2.0)
    assert found.high == pytest.approx(2.0)
    assert verdict(found, 0.03, "higher") == "faster"


def test_two_wild_pairs_give_an_infinite_end_and_no_error() -> None:
    """An interval beyond what a float holds ends at infinity, and decides nothing."""
    found = paired_log_ratio([1e300, 1e-300], [1e-300, 1e300])
    assert found.high == math.inf
    assert noise_floor(found) == math.inf
    assert verdict(found, 0.03, "higher") == "inconclusive"
    assert blocks_to_decide(found, 0.03) is None


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ([], []),
        ([1.0], [1.0, 2.0]),
        ([0.0, 1.0], [1.0, 1.0]),
        ([1.0, 1.0], [-1.0, 1.0]),
        ([math.nan, 1.0], [1.0, 1.0]),
        ([math.inf, 1.0], [1.0, 1.0]),
    ],
)
def test_what_has_no_ratio_is_refused(above: list[float], below: list[float]) -> None:
    """No pairs, unequal lengths, zero, negative, NaN and infinity are ValueErrors."""
    with pytest.raises(ValueError, match=r"pair|positive"):
        paired_log_ratio(above, below)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, math.nan])
def test_a_confidence_lies_between_0_and_1(confidence: float) -> None:
    """Anything else is a ValueError."""
    with pytest.raises(ValueError, match="confidence"):
        paired_log_ratio([1.0, 2.0], [1.0, 2.0], confidence)


def test_the_noise_floor_is_half_the_width() -> None:
    """[0.98, 0.98 * 1.02²] has a half-width of 2 %, wherever its middle lies."""
    assert noise_floor(estimate(0.98, 0.98 * 1.02**2)) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("low", "high", "better", "expected"),
    [
        (1.04, 1.10, "higher", "faster"),
        (1.04, 1.10, "lower", "slower"),
        (0.80, 0.90, "higher", "slower"),
        (0.80, 0.90, "lower", "faster"),
        (0.80, 0.90, "neither", "different"),
        (0.99, 1.02, "higher", "equivalent"),
        (1.001, 1.02, "higher", "equivalent"),
        (1 / 1.03, 1.03, "lower", "equivalent"),
        (0.97, 1.02, "higher", "inconclusive"),  # 0.97 is below 1/1.03
        (1.001, 1.04, "higher", "faster"),
        (0.90, 1.04, "higher", "inconclusive"),
        (1.0, 1.10, "higher", "inconclusive"),
    ],
)
def test_verdicts(low: float, high: float, better: Better, expected: str) -> None:
    """Equivalence is asked first, then whether 1 is excluded, then the good direction."""
    assert verdict(estimate(low, high), 0.03, better) == expected


@pytest.mark.parametrize("threshold", [-0.01, math.nan, math.inf])
def test_a_threshold_is_not_negative(threshold: float) -> None:
    """Anything but a finite number from 0 is a ValueError."""
    with pytest.raises(ValueError, match="threshold"):
        verdict(estimate(1.0, 1.1), threshold, "higher")


@given(
    st.lists(st.tuples(POSITIVE, POSITIVE), min_size=2, max_size=12),
    st.sampled_from([0.0, 0.03, 0.2]),
)
def test_a_verdict_turns_with_the_direction(
    pairs: list[tuple[float, float]], threshold: float
) -> None:
    """What is faster where more is better is slower where less is better."""
    above, below = zip(*pairs, strict=True)
    found = paired_log_ratio(above, below)
    turned = {"faster": "slower", "slower": "faster"}
    high, low = verdict(found, threshold, "higher"), verdict(found, threshold, "lower")
    assert low == turned.get(high, high)


@pytest.mark.parametrize(
    ("mean", "log_sd"),
    list(itertools.product([0.0, 0.01, 0.02, 0.05, -0.04], [0.02, 0.05, 0.1])),
)
def test_blocks_to_decide_are_just_enough(mean: float, log_sd: float) -> None:
    """With as many more blocks of the same mean and spread there is a verdict; one fewer
    leaves none.
    """  # noqa: D205

    def after(number: int) -> RatioEstimate:
        half = stats.t.ppf(0.975, number - 1) * log_sd / math.sqrt(number)
        return RatioEstimate(
            math.exp(mean), math.exp(mean - half), math.exp(mean + half), number, log_sd
        )

    now = after(4)
    more = blocks_to_decide(now, 0.03)
    if verdict(now, 0.03, "higher") != "inconclusive":
        assert more == 0
        return
    assert more is not None
    assert verdict(after(4 + more), 0.03, "higher") != "inconclusive"
    assert verdict(after(4 + more - 1), 0.03, "higher") == "inconclusive"


def test_what_takes_more_than_1000_blocks_is_not_in_sight() -> None:
    """A spread of e² around no difference is not decided in 1 000 blocks."""
    found = paired_log_ratio([math.exp(2), math.exp(-2)], [1.0, 1.0])
    assert blocks_to_decide(found, 0.01) is None


REPLICATIONS = 4000


def simulated(
    true_ratio: float, log_sd: float, pairs: int, seed: int
) -> list[RatioEstimate]:
    """Estimates from blocks that share a disturbance far larger than the spread."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.5, (REPLICATIONS, pairs))
    noise = rng.normal(0, log_sd / math.sqrt(2), (2, REPLICATIONS, pairs))
    below = np.exp(shared + noise[0])
    above = true_ratio * np.exp(shared + noise[1])
    return [paired_log_ratio(a, b) for a, b in zip(above, below, strict=True)]


def band(rate: float) -> tuple[float, float]:
    """Where a share of all replications lies but once in 10 000 times."""
    low, high = stats.binom.interval(0.9999, REPLICATIONS, rate)
    return low / REPLICATIONS, high / REPLICATIONS


@pytest.mark.parametrize("pairs", [2, 5, 12])
def test_95_percent_of_intervals_cover_the_true_ratio(pairs: int) -> None:
    """In 4 000 seeded replications coverage stays within its binomial band."""
    found = simulated(1.2, 0.05, pairs, seed=11 + pairs)
    covered = np.mean([e.low <= 1.2 <= e.high for e in found])  # type: ignore[operator]
    low, high = band(0.95)
    assert low <= covered <= high


def test_identical_contenders_are_told_apart_in_5_percent() -> None:
    """False alarms at δ = 0 are as many as the confidence allows, not more nor fewer."""
    said = [verdict(e, 0.0, "higher") for e in simulated(1.0, 0.05, 5, seed=5)]
    low, high = band(0.05)
    assert low <= np.mean([v in {"faster", "slower"} for v in said]) <= high


def test_a_difference_of_the_threshold_is_called_equivalent_in_2_5_percent_at_most() -> (
    None
):
    """Two one-sided tests at the edge of ±δ err on one side of a 95 % interval."""
    said = [verdict(e, 0.03, "higher") for e in simulated(1.03, 0.02, 8, seed=8)]
    assert np.mean([v == "equivalent" for v in said]) <= band(0.025)[1]


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([], None),
        ([4.0], 4.0),
        ([2.0, 8.0], 4.0),
        ([1e-300, 1e300], 1.0),
        ([3.0, 0.0], 0.0),
    ],
)
def test_geometric_mean(values: list[float], mean: float | None) -> None:
    """It is the n-th root of the product, without overflow; nothing has no mean."""
    got = geometric_mean(values)

    assert got == (mean if mean is None else pytest.approx(mean))


def test_students_sleep_data_give_the_printed_welch_interval() -> None:
    """R prints for ``t.test(extra ~ group, data = sleep)``, page ``?t.test``: means 0.75 and
    2.33, t = -1.8608, df = 17.776, p = 0.07939, 95 percent interval -3.3654832 to 0.2054832.
    """  # noqa: D205
    found = welch_log_ratio(SLEEP_FIRST, SLEEP_SECOND)
    assert found.low is not None
    assert found.high is not None
    assert found.degrees is not None
    assert found.log_se is not None
    assert math.log(found.point) == pytest.approx(0.75 - 2.33, abs=1e-9)
    assert math.log(found.low) == pytest.approx(-3.3654832, abs=5e-8)
    assert math.log(found.high) == pytest.approx(0.2054832, abs=5e-8)
    assert found.degrees == pytest.approx(17.776, abs=5e-4)
    assert math.log(found.point) / found.log_se == pytest.approx(-1.8608, abs=5e-5)
    assert p_worse(found, 0.0, "higher") == pytest.approx(0.07939 / 2, abs=5e-6)


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")  # scipy, of no spread
@given(LOGS, LOGS, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_welchs_interval_is_scipys(
    head: list[float], base: list[float], confidence: float
) -> None:
    """ttest_ind with unequal variances has the same interval and degrees of freedom."""
    found = welch_log_ratio(head, base, confidence)
    if found.log_se is None or found.log_se < 1e-6:
        return  # scipy divides by a spread of nothing
    test: Any = stats.ttest_ind(head, base, equal_var=False)
    expected = test.confidence_interval(confidence)
    assert found.low is not None
    assert found.high is not None
    assert found.degrees == pytest.approx(test.df, rel=1e-6)
    assert math.log(found.point) == pytest.approx(np.mean(head) - np.mean(base), abs=1e-9)
    if found.low > 0.0 and math.isfinite(found.high):
        assert math.log(found.low) == pytest.approx(expected.low, rel=1e-6, abs=1e-6)
        assert math.log(found.high) == pytest.approx(expected.high, rel=1e-6, abs=1e-6)


@given(LOGS)
def test_a_sample_against_itself_is_1(logs: list[float]) -> None:
    """The ratio is exactly 1, and its interval holds 1."""
    found = welch_log_ratio(logs, logs)
    assert found.point == 1.0
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 1.0 <= found.high


def test_welch_without_spread_has_no_width() -> None:
    """Two constant samples have a ratio with both ends on it; one spread counts alone."""
    still = welch_log_ratio([1.0, 1.0, 1.0], [0.0, 0.0])
    assert (still.low, still.high) == (pytest.approx(math.e), pytest.approx(math.e))
    assert still.degrees == 3.0
    tiny = welch_log_ratio([1e-200, -1e-200, 0.0], [0.0, 0.0])
    assert tiny.degrees in {2.0, 3.0}
    one = welch_log_ratio([0.1, -0.1, 0.0], [0.0] * 9)
    assert one.degrees == pytest.approx(2.0)


def test_welch_needs_two_trials_a_side_for_an_interval() -> None:
    """One trial of a run gives a point and no verdict."""
    found = welch_log_ratio([0.5], [0.0, 0.2, 0.1])
    assert found.point == pytest.approx(math.exp(0.4))
    assert (found.low, found.high, found.log_se, found.degrees) == (None,) * 4
    assert verdict(found, 0.03, "higher") == "inconclusive"
    assert p_worse(found, 0.03, "higher") is None


@pytest.mark.parametrize(
    ("head", "base", "message"),
    [([], [1.0], "numbers"), ([1.0], [], "numbers"), ([math.inf, 1.0], [1.0], "finite")],
)
def test_welch_refuses_what_has_no_logarithm(
    head: list[float], base: list[float], message: str
) -> None:
    """An empty side and a number that is none are ValueErrors."""
    with pytest.raises(ValueError, match=message):
        welch_log_ratio(head, base)


def test_welch_covers_the_true_ratio_where_spreads_and_sizes_differ() -> None:
    """5 trials of a wide spread against 20 of a narrow one: 95 %, where pooling has less."""
    rng = np.random.default_rng(3)
    heads = rng.normal(math.log(1.2), 0.20, (REPLICATIONS, 5))
    bases = rng.normal(0.0, 0.02, (REPLICATIONS, 20))
    found = [welch_log_ratio(h, b) for h, b in zip(heads, bases, strict=True)]
    covered = np.mean([e.low <= 1.2 <= e.high for e in found])  # type: ignore[operator]
    low, high = band(0.95)
    assert low <= covered <= high


@given(
    st.lists(st.tuples(POSITIVE, POSITIVE), min_size=2, max_size=12),
    st.sampled_from([0.0, 0.03, 0.2]),
    st.sampled_from(["higher", "lower"]),
)
def test_p_is_below_a_fortieth_where_the_interval_lies_beyond(
    pairs: list[tuple[float, float]], threshold: float, better: Better
) -> None:
    """One-sided 2.5 % and two-sided 95 % decide alike, on the metric's bad side."""
    above, below = zip(*pairs, strict=True)
    found = paired_log_ratio(above, below)
    p_value = p_worse(found, threshold, better)
    assert p_value is not None
    assert found.low is not None
    assert found.high is not None
    edge = 1 / (1 + threshold) if better == "higher" else 1 + threshold
    end = found.high if better == "higher" else found.low
    if abs(math.log(end or 5e-324) - math.log(edge)) > 1e-9:
        assert (p_value < 0.025) == ((end < edge) == (better == "higher"))


def test_p_is_scipys_against_the_threshold() -> None:
    """ttest_1samp of the log ratios against -log(1 + δ), one-sided, has the same p."""
    above, below = [0.95, 0.97, 0.92, 0.96], [1.0, 1.0, 1.01, 0.99]
    logs = np.log(np.array(above) / np.array(below))
    expected = stats.ttest_1samp(logs, -math.log(1.03), alternative="less").pvalue
    found = paired_log_ratio(above, below)
    assert p_worse(found, 0.03, "higher") == pytest.approx(expected)
    turned = paired_log_ratio(below, above)
    assert p_worse(turned, 0.03, "lower") == pytest.approx(expected)


def test_p_without_direction_or_spread() -> None:
    """No good side, no p; no spread, no doubt."""
    still = paired_log_ratio([0.9, 0.9], [1.0, 1.0])
    assert p_worse(still, 0.03, "neither") is None
    assert p_worse(still, 0.03, "higher") == 0.0
    assert p_worse(still, 0.03, "lower") == 1.0


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20),
    st.floats(0.5, 0.999),
)
def test_the_interval_of_a_mean_is_scipys(values: list[float], confidence: float) -> None:
    found = mean(values, confidence)
    assert found.num_trials == len(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-6)
    spread = float(np.std(values, ddof=1))
    if spread == 0.0:
        assert found.low == found.high == found.mean
        return
    low, high = stats.t.interval(
        confidence, len(values) - 1, np.mean(values), spread / math.sqrt(len(values))
    )
    assert found.low == pytest.approx(low, rel=1e-6, abs=1e-6)
    assert found.high == pytest.approx(high, rel=1e-6, abs=1e-6)


def test_the_interval_of_a_mean_is_the_one_that_r_prints() -> None:
    """R's ``?sleep``, as above: 1.58, 0.7001142 to 2.4598858."""
    found = mean(SLEEP)
    assert found.mean == pytest.approx(1.58)
    assert (found.low, found.high) == (
        pytest.approx(0.7001142, abs=1e-7),
        pytest.approx(2.4598858, abs=1e-7),
    )


def test_one_value_has_a_mean_and_no_interval() -> None:
    assert (mean([2.0]).mean, mean([2.0]).low, mean([2.0]).high) == (2.0, None, None)
    with pytest.raises(ValueError, match="at least one value"):
        mean([])
