"""Ratios of trials, paired or of two runs, their intervals, and what may be said about them.

The trial is the sample: one number a trial, one pair a block. Everything happens on the
logarithm, where a ratio of 2 and one of 1/2 are equally far from 1.

Source: reference study, simulations 2.10: t on the logs of process means keeps its 5 %
where pooled tests over samples raise up to 96 % false alarms and a percentile bootstrap
over ten processes 8 to 14 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Better = Literal["higher", "lower", "neither"]
"""Which way of a metric is good."""

Verdict = Literal[
    "faster", "slower", "equivalent", "inconclusive", "different", "limit", "drift"
]
"""What a comparison says; "different" only for a metric without a good direction, "limit"
only of the floor, which bounds the race and does not run in it, "drift" only of the
baseline between two runs, which nothing is there to be held against."""

CONFIDENCE: Final = 0.95
"""Of every interval, unless a caller says otherwise."""

MIN_PAIRS_TO_EXTRAPOLATE: Final = 3
"""Two pairs give the spread one degree of freedom: its 95 % interval spans a factor of 70."""

MAX_MORE_BLOCKS: Final = 1000
"""Beyond this many more blocks nobody waits: `blocks_to_decide` says None."""

_MAX_EXPONENT: Final = 709.0


@dataclass(frozen=True, slots=True)
class RatioEstimate:
    """Candidate over baseline, from pairs; or one run over another, from two samples.

    Attributes:
        point: geometric mean of the pairs' ratios; ratio of the samples' geometric means.
        low: lower end of the interval; None where one pair alone gives no interval.
        high: upper end; None likewise.
        num_pairs: sample size; of two samples, the smaller one's.
        log_sd: standard deviation of the pairs' log ratios; None for one pair, and for
            two samples, which have one each.
        log_se: standard error of the logarithm of ``point``; None without an interval.
        degrees: of freedom of ``log_se``; None likewise.
    """

    point: float
    low: float | None
    high: float | None
    num_pairs: int
    log_sd: float | None
    log_se: float | None = None
    degrees: float | None = None


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean of trials, in their unit, with its interval.

    Attributes:
        mean: arithmetic.
        low: lower end of the interval; None where one trial alone gives no interval.
        high: upper end; None likewise.
        num_trials: sample size.
    """

    mean: float
    low: float | None
    high: float | None
    num_trials: int


def mean(values: Sequence[float], confidence: float = CONFIDENCE) -> Mean:
    """Average trials, with the t interval of the mean.

    Args:
        values: at least one.
        confidence: of the interval.

    Raises:
        ValueError: no values, or a confidence outside 0 to 1.

    Source: Student, "The Probable Error of a Mean", Biometrika 6 (1908).
    """
    _check_confidence(confidence)
    if not values:
        raise ValueError("a mean needs at least one value")
    count = len(values)
    point = math.fsum(values) / count
    if count == 1:
        return Mean(point, None, None, 1)
    variance = math.fsum((value - point) ** 2 for value in values) / (count - 1)
    half = float(_t_quantile(np.array([count - 1.0]), confidence)[0]) * math.sqrt(
        variance / count
    )
    return Mean(point, point - half, point + half, count)


def geometric_mean(values: Sequence[float]) -> float | None:
    """Exponential of the mean logarithm: the mean whose ratios are means of ratios.

    Args:
        values: 0 or more each.

    Returns:
        0 where one value is 0; None for no values.
    """
    if not values:
        return None
    if 0.0 in values:
        return 0.0
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def paired_log_ratio(
    candidate: Sequence[float], baseline: Sequence[float], confidence: float = CONFIDENCE
) -> RatioEstimate:
    """Ratio of candidate to baseline with a paired t interval on the logarithms.

    What a block does to both of its trials (a busy neighbour, a drifting clock) cancels.

    Args:
        candidate: one positive number a block.
        baseline: the baseline's numbers, of the same blocks in the same order.
        confidence: of the two-sided interval, between 0 and 1.

    Raises:
        ValueError: no pairs, unequal lengths, a value that is not positive and finite,
            or a confidence outside 0 to 1.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908).
    """
    above, below = np.asarray(candidate, float), np.asarray(baseline, float)
    if above.ndim != 1 or above.shape != below.shape:
        raise ValueError(f"{above.size} values cannot be paired with {below.size}")
    if above.size == 0:
        raise ValueError("no pairs, no ratio")
    both = np.concatenate((above, below))
    if not (np.isfinite(both).all() and (both > 0).all()):
        raise ValueError("a ratio needs positive finite values")
    _check_confidence(confidence)
    logs = np.log(above) - np.log(below)
    mean, num_pairs = float(logs.mean()), int(logs.size)
    if num_pairs < 2:
        return RatioEstimate(_exp(mean), None, None, num_pairs, None)
    log_sd = float(logs.std(ddof=1))
    log_se = log_sd / math.sqrt(num_pairs)
    low, high = _interval(mean, log_se, num_pairs - 1, confidence)
    return RatioEstimate(
        _exp(mean), low, high, num_pairs, log_sd, log_se=log_se, degrees=num_pairs - 1
    )


def welch_log_ratio(
    head: Sequence[float], base: Sequence[float], confidence: float = CONFIDENCE
) -> RatioEstimate:
    """Ratio of two runs that share no block: Welch's t interval on logarithms.

    The runs need not be of one length nor of one spread. What the machine did to one of
    them and not to the other is in the ratio, and not in its interval.

    Args:
        head: one logarithm a trial: of its value, or of its ratio to its block's baseline.
        base: the same of the other run.
        confidence: of the two-sided interval, between 0 and 1.

    Returns:
        exp(mean of head - mean of base); without an interval where a run has one trial.

    Raises:
        ValueError: no numbers on one side, one that is not finite, or a confidence
            outside 0 to 1.

    Source: Welch, "The generalization of 'Student's' problem when several different
    population variances are involved", Biometrika 34 (1947); degrees of freedom after
    Satterthwaite, Biometrics Bulletin 2 (1946).
    """
    samples = np.asarray(head, float), np.asarray(base, float)
    if any(sample.ndim != 1 or sample.size == 0 for sample in samples):
        raise ValueError("a run without numbers has no ratio")
    if not all(np.isfinite(sample).all() for sample in samples):
        raise ValueError("a ratio needs finite logarithms")
    _check_confidence(confidence)
    mean = float(samples[0].mean() - samples[1].mean())
    num_pairs = min(sample.size for sample in samples)
    if num_pairs < 2:
        return RatioEstimate(_exp(mean), None, None, num_pairs, None)
    above, below = (float(sample.var(ddof=1)) / sample.size for sample in samples)
    free_above, free_below = (sample.size - 1 for sample in samples)
    log_se = math.sqrt(above + below)
    degrees = float(free_above + free_below)
    if log_se > 0.0:
        # The usual quotient divided by (above + below)², whose squares would underflow.
        share = above / (above + below)
        degrees = 1.0 / (share**2 / free_above + (1.0 - share) ** 2 / free_below)
    low, high = _interval(mean, log_se, degrees, confidence)
    return RatioEstimate(
        _exp(mean), low, high, num_pairs, None, log_se=log_se, degrees=degrees
    )


def noise_floor(repeat: RatioEstimate) -> float | None:
    """Smallest difference that a cell can show: half-width of an A/A interval.

    Args:
        repeat: the baseline's second trials over its first ones; between two runs what
            is the same baseline in both, head over base.

    Returns:
        As a ratio less 1 (0.02 is 2 %); None without an interval.
    """
    if repeat.low is None or repeat.high is None:
        return None
    if repeat.low == 0.0 or math.isinf(repeat.high):
        return math.inf
    return math.expm1((math.log(repeat.high) - math.log(repeat.low)) / 2)


def verdict(estimate: RatioEstimate, threshold: float, better: Better) -> Verdict:
    """What the interval allows to say.

    Inside [1/(1+δ), 1+δ] the two are equivalent, also where the interval excludes 1: a
    difference below δ does not matter. Otherwise an interval that excludes 1 decides.
    Everything else, and a single pair, is inconclusive.

    Args:
        estimate: candidate over baseline.
        threshold: δ, at least 0 (0.03 is 3 %).
        better: the metric's good direction.

    Raises:
        ValueError: the threshold is negative or not finite.
    """
    _check_threshold(threshold)
    if estimate.low is None or estimate.high is None:
        return "inconclusive"
    if estimate.low >= 1 / (1 + threshold) and estimate.high <= 1 + threshold:
        return "equivalent"
    if estimate.low <= 1.0 <= estimate.high:
        return "inconclusive"
    if better == "neither":
        return "different"
    return "faster" if (estimate.low > 1.0) == (better == "higher") else "slower"


def p_worse(estimate: RatioEstimate, threshold: float, better: Better) -> float | None:
    """One-sided p-value of "not worse than δ", by Student's t on the logarithm.

    Below (1 - confidence) / 2 exactly where the two-sided interval lies wholly beyond δ on
    the bad side of the metric.

    Args:
        estimate: candidate over baseline.
        threshold: δ, at least 0.
        better: the metric's good direction.

    Returns:
        None without an interval, and for a metric without a good direction.

    Raises:
        ValueError: the threshold is negative or not finite.
    """
    _check_threshold(threshold)
    if better == "neither" or estimate.log_se is None or estimate.degrees is None:
        return None
    # Turned so that more is better: worse is then below -δ for every metric.
    log_gain = _log(estimate.point) * (1.0 if better == "higher" else -1.0)
    distance = log_gain + math.log1p(threshold)
    if estimate.log_se == 0.0:
        return 0.0 if distance < 0.0 else 1.0
    from scipy import special

    return float(special.stdtr(estimate.degrees, distance / estimate.log_se))


def blocks_to_decide(
    estimate: RatioEstimate, threshold: float, confidence: float = CONFIDENCE
) -> int | None:
    """About how many more blocks until the verdict is no longer inconclusive.

    Assumes that mean and spread stay as they are, which is as likely too hopeful as not.

    Args:
        estimate: candidate over baseline, so far.
        threshold: δ, at least 0.
        confidence: of the interval in ``estimate``.

    Returns:
        0 where it is decided; None where it takes more than `MAX_MORE_BLOCKS`, or where
        fewer than `MIN_PAIRS_TO_EXTRAPOLATE` pairs tell next to nothing of the spread.

    Raises:
        ValueError: a threshold below 0 or a confidence outside 0 to 1.
    """
    _check_threshold(threshold)
    _check_confidence(confidence)
    if estimate.log_sd is None or estimate.num_pairs < MIN_PAIRS_TO_EXTRAPOLATE:
        return None
    if verdict(estimate, threshold, "neither") != "inconclusive":
        return 0
    num_pairs = estimate.num_pairs + np.arange(1, MAX_MORE_BLOCKS + 1)
    half = _t_quantile(num_pairs - 1, confidence) * estimate.log_sd / np.sqrt(num_pairs)
    distance = abs(math.log(estimate.point))
    is_decided = (half < distance) | (distance + half <= math.log1p(threshold))
    return int(np.argmax(is_decided)) + 1 if is_decided.any() else None


def log_interval(
    log_ratio: float, log_se: float, degrees: float, confidence: float = CONFIDENCE
) -> RatioEstimate:
    """A ratio of which logarithm and standard error are known, with its t interval.

    Args:
        log_ratio: natural logarithm.
        log_se: its standard error, 0 or more.
        degrees: of freedom, above 0.
        confidence: of the two-sided interval, between 0 and 1.

    Returns:
        With ``num_pairs`` one more than the degrees of freedom, rounded down.

    Raises:
        ValueError: a confidence outside 0 to 1.
    """
    _check_confidence(confidence)
    low, high = _interval(log_ratio, log_se, degrees, confidence)
    return RatioEstimate(
        _exp(log_ratio), low, high, int(degrees) + 1, None, log_se=log_se, degrees=degrees
    )


def p_different(log_ratio: float, log_se: float, degrees: float) -> float:
    """Two-sided p-value of "the ratio is 1", by Student's t on the logarithm."""
    if log_se == 0.0:
        return 1.0 if log_ratio == 0.0 else 0.0
    from scipy import special

    return 2.0 * float(special.stdtr(degrees, -abs(log_ratio) / log_se))


def ends(name: str, ratio: RatioEstimate | None) -> dict[str, float | None]:
    """A ratio as plain fields: ``name``, ``name_low`` and ``name_high``.

    None is missing, also an end that is not finite.
    """
    found = (None, None, None) if ratio is None else (ratio.point, ratio.low, ratio.high)
    names = (name, f"{name}_low", f"{name}_high")
    return {
        key: value if value is not None and math.isfinite(value) else None
        for key, value in zip(names, found, strict=True)
    }


def _interval(
    mean: float, log_se: float, degrees: float, confidence: float
) -> tuple[float, float]:
    half = float(_t_quantile(np.asarray([degrees]), confidence)[0]) * log_se
    return _exp(mean - half), _exp(mean + half)


def _t_quantile(
    degrees: npt.NDArray[np.number[Any]], confidence: float
) -> npt.NDArray[np.float64]:
    """Student's t that a two-sided interval of this confidence needs."""
    from scipy import special  # 0.3 s to import; scipy.stats takes 1.3 s

    return np.asarray(special.stdtrit(degrees, 0.5 + confidence / 2), np.float64)


def _exp(exponent: float) -> float:
    return math.exp(exponent) if exponent < _MAX_EXPONENT else math.inf


def _log(ratio: float) -> float:
    return math.log(ratio) if ratio > 0.0 else -math.inf


def _check_threshold(threshold: float) -> None:
    if not 0.0 <= threshold < math.inf:
        raise ValueError(f"a threshold is 0 or more, not {threshold}")


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"a confidence is between 0 and 1, not {confidence}")
