"""Exact percentiles of one trial's samples, and when there are too few for them.

Percentiles are written 0 to 100 everywhere in slotbench.
"""

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

CLAIM_CONFIDENCE: Final = 0.99
"""How sure one must be that the largest sample reaches the percentile."""


@functools.cache
def min_samples(percent: float) -> int:
    """Smallest sample in which a percentile may be claimed with 99 % confidence.

    Of n independent samples all lie below the percentile with probability pⁿ; the
    smallest n with pⁿ ≤ 1 % is ⌈ln 0.01 / ln p⌉: 7 for p50, 44 for p90, 459 for p99 and
    4 603 for p99.9. Below the median the sides change roles. 0 and 100 are the extremes
    of the sample itself and claim nothing: they need one.

    Samples of a queue are not independent, so this is a lower bound.

    Args:
        percent: 0 to 100.

    Raises:
        ValueError: ``percent`` is outside 0 to 100.

    Source: MLPerf LoadGen's early stopping, with no observation over the limit.
    """
    share = float(max(_share(percent), 1 - _share(percent)))
    if share == 1.0:
        return 1
    return math.ceil(math.log(1.0 - CLAIM_CONFIDENCE) / math.log(share))


def rank(num_samples: int, percent: float) -> int:
    """Rank of the nearest-rank percentile: ⌈percent/100 · n⌉, counted from 1, at least 1.

    Exact: 99.9 % of 1 000 is 999, where floating point makes it 1 000.

    Raises:
        ValueError: ``percent`` is outside 0 to 100.
    """
    return max(1, math.ceil(_share(percent) * num_samples))


def nearest_rank(
    sorted_values: Sequence[float] | npt.NDArray[Any], percent: float
) -> float | None:
    """Smallest sample that at least ``percent`` % of the samples do not exceed.

    It is always one of the samples, in their unit; nothing is interpolated.

    Args:
        sorted_values: the samples in rising order.
        percent: 0 to 100.

    Returns:
        None where there are fewer than `min_samples`.

    Raises:
        ValueError: ``percent`` is outside 0 to 100.

    Source: Hyndman and Fan, "Sample Quantiles in Statistical Packages", The American
    Statistician 50 (1996), definition 1; numpy calls it ``inverted_cdf``.
    """
    num_samples = len(sorted_values)
    wanted = rank(num_samples, percent)
    if num_samples < min_samples(percent):
        return None
    return float(np.asarray(sorted_values[wanted - 1]))


@functools.cache
def _share(percent: float) -> Fraction:
    if not 0 <= percent <= 100:
        raise ValueError(f"a percentile is between 0 and 100, not {percent}")
    # By way of its text: the float 99.9 is a little more than 99.9.
    return Fraction(str(float(percent))) / 100


MIN_SAMPLES: Final = {percent: min_samples(percent) for percent in (50.0, 90.0, 99.0, 99.9)}
"""`min_samples` of the percentiles that a trial's record keeps."""
