"""How small a difference a number of rounds can show: power of the paired t test on logarithms.

All of it follows from one number, the standard deviation of the log ratios of a block's pairs,
which A/A trials tell. That number is itself an estimate, of few pairs a rough one: `sd_interval`
says how rough, and whoever shows an effect shows it for both ends.

Effects and half-widths are ratios less 1 (0.02 is 2 %), as δ and the noise floor are; inside they are
logarithms. Source: Student's t and its noncentral form, as in R's ``power.t.test`` (type "paired",
strict = FALSE: a significant difference of the wrong sign is no find).
"""

import math
from typing import Final

from slotbench.compute.statistics import CONFIDENCE

POWER: Final = 0.8
"""Share of runs that find an effect which is called resolvable; the convention of the field (Cohen,
"Statistical Power Analysis for the Behavioral Sciences", 1988, 2.4)."""

MAX_ROUNDS: Final = 10_000
"""Beyond this nobody waits: `rounds_needed` says None."""


def half_width(log_sd: float, rounds: int, confidence: float = CONFIDENCE) -> float | None:
    """Half-width of the paired interval that so many rounds give, t·sd/√R, as a ratio less 1.

    A measured difference smaller than this leaves the verdict open.

    Args:
        log_sd: standard deviation of the log ratio of a block's two trials.
        rounds: R, blocks of a cell.
        confidence: of the two-sided interval.

    Returns:
        None for fewer than two rounds, which give no interval.

    Raises:
        ValueError: a standard deviation below 0, or a confidence outside 0 to 1.
    """
    _check(log_sd, confidence)
    if rounds < 2:
        return None
    return _as_ratio(_t(rounds, confidence) * log_sd / math.sqrt(rounds))


def smallest_effect(
    log_sd: float, rounds: int, power: float = POWER, confidence: float = CONFIDENCE
) -> float | None:
    """The true difference that this share of runs of so many rounds finds, as a ratio less 1.

    Larger than `half_width`: of an effect just as large as that, only half of all runs would see more.

    Args:
        log_sd: see `half_width`.
        rounds: R.
        power: share of runs whose interval excludes "no difference" on the right side.
        confidence: of that interval.

    Returns:
        None for fewer than two rounds.

    Raises:
        ValueError: a standard deviation below 0, or a share outside 0 to 1.
    """
    _check(log_sd, confidence, power)
    if rounds < 2:
        return None
    from scipy import special

    critical = _t(rounds, confidence)
    noncentrality = float(special.nctdtrinc(rounds - 1, 1.0 - power, critical))
    return _as_ratio(noncentrality * log_sd / math.sqrt(rounds))


def power_of(
    effect: float, log_sd: float, rounds: int, confidence: float = CONFIDENCE
) -> float:
    """The share of runs of so many rounds that find an effect; inverse of `smallest_effect`.

    Args:
        effect: the true difference, as a ratio less 1, above 0.
        log_sd: see `half_width`.
        rounds: R; with fewer than two nothing is found.
        confidence: of the interval that must exclude "no difference".

    Raises:
        ValueError: an effect or standard deviation that is none, or a confidence outside 0 to 1.
    """
    _check(log_sd, confidence)
    _check_effect(effect)
    if rounds < 2:
        return 0.0
    if log_sd == 0.0:
        return 1.0
    from scipy import special

    noncentrality = math.log1p(effect) * math.sqrt(rounds) / log_sd
    found = 1.0 - special.nctdtr(rounds - 1, noncentrality, _t(rounds, confidence))
    # NaN far out, where nothing is left to be missed.
    return 1.0 if math.isnan(found) else float(found)


def rounds_needed(
    effect: float, log_sd: float, power: float = POWER, confidence: float = CONFIDENCE
) -> int | None:
    """The fewest rounds with which an effect is found in this share of runs.

    Args:
        effect: the true difference, as a ratio less 1, above 0.
        log_sd: see `half_width`.
        power: wanted.
        confidence: of the interval that must exclude "no difference".

    Returns:
        At least 2; None where it takes more than `MAX_ROUNDS`.

    Raises:
        ValueError: an effect or standard deviation that is none, or a share outside 0 to 1.
    """
    _check(log_sd, confidence, power)
    _check_effect(effect)
    low, high = 1, 2
    while power_of(effect, log_sd, high, confidence) < power:
        if high >= MAX_ROUNDS:
            return None
        low, high = high, min(2 * high, MAX_ROUNDS)
    while high - low > 1:
        middle = (low + high) // 2
        if power_of(effect, log_sd, middle, confidence) < power:
            low = middle
        else:
            high = middle
    return high


def sd_interval(
    log_sd: float, num_pairs: int, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """Interval of a standard deviation that was estimated from so many pairs, by chi-square.

    Args:
        log_sd: as estimated (n - 1 below the fraction).
        num_pairs: n.
        confidence: two-sided.

    Returns:
        None for fewer than two pairs.

    Raises:
        ValueError: a standard deviation below 0, or a confidence outside 0 to 1.

    Assumes that the logarithms are about normal; of heavy tails the interval is too narrow.
    Source: NIST/SEMATECH e-Handbook of Statistical Methods, 7.2.3.1.
    """
    _check(log_sd, confidence)
    if num_pairs < 2:
        return None
    from scipy import special

    degrees, tail = num_pairs - 1, (1.0 - confidence) / 2
    above, below = special.chdtri(degrees, [tail, 1.0 - tail])
    return log_sd * math.sqrt(degrees / above), log_sd * math.sqrt(degrees / below)


def _t(rounds: int, confidence: float) -> float:
    from scipy import special

    return float(special.stdtrit(rounds - 1, 0.5 + confidence / 2))


def _as_ratio(logarithm: float) -> float:
    # Two rounds of a wild machine: a ratio that no float holds is as good as none.
    return math.expm1(logarithm) if logarithm < 700.0 else math.inf


def _check(log_sd: float, *shares: float) -> None:
    if not 0.0 <= log_sd < math.inf:
        raise ValueError(f"a standard deviation is 0 or more, not {log_sd}")
    for share in shares:
        if not 0.0 < share < 1.0:
            raise ValueError(f"a confidence and a power are between 0 and 1, not {share}")


def _check_effect(effect: float) -> None:
    if not 0.0 < effect < math.inf:
        raise ValueError(f"an effect is above 0, not {effect}")
