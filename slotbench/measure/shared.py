"""Memory that a trial's processes have in common: columns of stamps, and a flag.

All of it is anonymous memory of the trial's process, made before it forks, so that children have
it without a name in any file system and it ends with them.

Assumes: an aligned store of 8 bytes, or of one, is seen by another process whole and after the
stores before it, as on x86-64 and, for what a process does before it ends or sends a message, on
every machine.
"""

import mmap
import sys
import time
from typing import Final

from slotbench.measure.columns import Column

_ITEM_BYTES: Final = 8
_TEXT_BYTES: Final = 32 * 1024


def reserve(length: int) -> memoryview:
    """Reserve shared room for so many integers, as `slotbench.measure.columns.reserve` does."""
    return memoryview(mmap.mmap(-1, max(1, length) * _ITEM_BYTES)).cast("q")


def num_filled(column: memoryview | Column) -> int:
    """Count the items that a column holds: it is filled in order, and none is 0.

    By halving: a look at some twenty places, also while another process writes on.
    """
    low, high = 0, len(column)
    while low < high:
        middle = (low + high) // 2
        if column[middle]:
            low = middle + 1
        else:
            high = middle
    return low


class SharedText:
    """A text that one process says once, and others read; "" until then, cut where it is too long.

    Threads: one says it, any read it.
    """

    def __init__(self) -> None:
        self._bytes = mmap.mmap(-1, _ITEM_BYTES + _TEXT_BYTES)

    def say(self, text: str) -> None:
        """Say it."""
        said = text.encode(errors="replace")[-_TEXT_BYTES:]  # a traceback's end says most
        self._bytes[_ITEM_BYTES : _ITEM_BYTES + len(said)] = said
        self._bytes[:_ITEM_BYTES] = len(said).to_bytes(_ITEM_BYTES, sys.byteorder)

    def read(self) -> str:
        """Read it."""
        length = int.from_bytes(self._bytes[:_ITEM_BYTES], sys.byteorder)
        return self._bytes[_ITEM_BYTES : _ITEM_BYTES + length].decode(errors="replace")


class SharedFlag:
    """What ``threading.Event`` is to threads, for the processes of a trial; waiting is looking.

    Threads: any, of any process.
    """

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Set it, once and for all."""
        self._byte[0] = 1

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._byte[0] != 0

    def wait(self, timeout_s: float, *, step_s: float = 0.02) -> bool:
        """Look every ``step_s`` until it is set, for at most so long; return whether it is."""
        deadline = time.monotonic() + timeout_s
        while not self.is_set():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(left_s, step_s))
        return True
