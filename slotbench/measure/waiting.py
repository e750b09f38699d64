"""Spending a given time: asleep, computing under the GIL, or computing without it."""

import time
import zlib
from collections.abc import Callable
from typing import Final, Literal

_NOGIL_CHUNK: Final = bytes(32 * 1024)
"""zlib.crc32 drops the GIL above 5 KiB (CPython's zlibmodule.c); one chunk is ~10 µs."""

Mode = Literal["idle", "busy", "busy_nogil"]


def sleep(duration_s: float) -> None:
    """Sleep; not at all for zero, since ``time.sleep(0)`` would give the GIL away."""
    if duration_s > 0:
        time.sleep(duration_s)


def spin(duration_s: float) -> None:
    """Compute and hold the GIL, as an environment written in Python does."""
    deadline = time.perf_counter() + duration_s
    while time.perf_counter() < deadline:
        pass


def spin_nogil(duration_s: float) -> None:
    """Compute without the GIL, as numpy, torch and physics engines do, in ~10 µs steps."""
    deadline = time.perf_counter() + duration_s
    while time.perf_counter() < deadline:
        zlib.crc32(_NOGIL_CHUNK)


def by_mode(mode: Mode) -> Callable[[float], None]:
    """Return the function that spends a duration, in seconds, in this way."""
    return {"idle": sleep, "busy": spin, "busy_nogil": spin_nogil}[mode]
