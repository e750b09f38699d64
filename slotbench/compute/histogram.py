"""Log-linear histogram of latencies: what a trial's record keeps of a million samples.

A value below 128 has a bucket of its own. Above, every power of two is cut into 64 equal
buckets, so a bucket is at most 1/64 of its lower edge wide and its middle is at most
1/128 (0.8 %) away from anything in it. Index and edges are integer arithmetic: the same
value falls into the same bucket on every machine.

Source: the layout of HdrHistogram (Gil Tene, hdrhistogram.org) with 64 sub-buckets.
"""

from collections import Counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from slotbench.compute.percentiles import min_samples, rank
from slotbench.records import Histogram

MAX_NS: Final = 2**62
"""Largest value that has a bucket; 146 years in nanoseconds."""

_SUB_BITS: Final = 6


def count(latencies_ns: npt.NDArray[np.integer[Any]]) -> Histogram:
    """Counts latencies into buckets.

    Args:
        latencies_ns: integers of nanoseconds from 0 to `MAX_NS`, in any order and shape.

    Raises:
        TypeError: the array does not hold integers.
        ValueError: a value is negative or above `MAX_NS`.
    """
    values = np.asarray(latencies_ns).ravel()
    if values.size == 0:
        return Histogram()
    if values.dtype.kind not in "iu":
        raise TypeError(f"latencies are integers of nanoseconds, not {values.dtype}")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > MAX_NS:
        raise ValueError(f"latencies go from {low} to {high} ns; 0 to 2**62 can be kept")
    values = values.astype(np.int64, copy=False)
    # As a float, 2**60 - 1 is 2**60 and seems a bit longer. That is harmless: shifted by one
    # more, the last values below a power of two end in the same bucket, 63 + 64 = 127.
    bit_length = np.frexp(values)[1]
    shift = np.maximum(bit_length.astype(np.int64) - (_SUB_BITS + 1), 0)
    counts = np.bincount((shift << _SUB_BITS) + (values >> shift))
    filled = np.flatnonzero(counts)
    return Histogram(tuple(zip(filled.tolist(), counts[filled].tolist(), strict=True)))


def edges_ns(index: int) -> tuple[int, int]:
    """Edges of a bucket: it holds the integers v with ``low <= v < high``.

    Args:
        index: as in `Histogram.buckets`.

    Raises:
        ValueError: there is no such bucket.
    """
    if index < 0:
        raise ValueError(f"bucket {index} does not exist: the first is 0")
    shift = max((index >> _SUB_BITS) - 1, 0)
    low = (index - (shift << _SUB_BITS)) << shift
    if low > MAX_NS:
        raise ValueError(f"bucket {index} lies above 2**62 ns")
    return low, low + (1 << shift)


def percentile_ns(histogram: Histogram, percent: float) -> float | None:
    """Nearest-rank percentile of the counted latencies, at most 0.8 % off.

    Args:
        histogram: of one trial, unless you say that trials were merged.
        percent: 0 to 100.

    Returns:
        Middle of the bucket that holds the percentile, in nanoseconds; None where the
        samples are too few for it, as in `percentiles.nearest_rank`.

    Raises:
        ValueError: ``percent`` is outside 0 to 100.
    """
    total = sum(number for _, number in histogram.buckets)
    wanted = rank(total, percent)
    if total < min_samples(percent):
        return None
    seen = 0
    for index, number in histogram.buckets:
        seen += number
        if seen >= wanted:
            low, high = edges_ns(index)
            return (low + high - 1) / 2
    raise AssertionError("a rank within the total lies in some bucket")


def merge(*histograms: Histogram) -> Histogram:
    """One histogram with the counts of all: as if the latencies had been counted together.

    Say so wherever a merged percentile is shown: requests of one trial resemble each
    other, and pooling them over trials hides how much trials differ.
    """
    counts: Counter[int] = Counter()
    for histogram in histograms:
        for index, number in histogram.buckets:
            counts[index] += number
    return Histogram(tuple(sorted(counts.items())))
