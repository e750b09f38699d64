"""Columns of int64 that one thread fills, one item at a time."""

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.int64]


def reserve(length: int) -> memoryview:
    """Reserve room for so many integers.

    The kernel gives pages as they are first written to, one per 512 items: reserving costs
    a trial's start nothing, and filling costs a few nanoseconds an item.
    """
    return np.zeros(length, np.int64).data


def first(n: int, column: memoryview) -> Column:
    """Copy the first n items."""
    return np.frombuffer(column, np.int64)[:n].copy()
