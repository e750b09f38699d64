"""Spending a given time: asleep, computing under the GIL, or computing without it."""

import time
import zlib
from collections.abc import Callable
from typing import Final, Literal

import numpy as np

from slotbench.records import ThinkTime

_NOGIL_CHUNK: Final = bytes(32 * 1024)
"""zlib.crc32 drops the GIL above 5 KiB (CPython's zlibmodule.c); one chunk is ~10 µs."""

_NUM_THINK_TIMES: Final = 1024
"""Think times drawn per actor before the trial; they are used round and round."""

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


def think_times_s(think: ThinkTime, seed: int) -> list[float]:
    """Draw an actor's think times.

    Returns:
        1024 durations in seconds; empty where there is no think time. Lognormal ones
        have mean ``mean_ms``: the underlying normal's mean is ln(mean) - sigma²/2.
    """
    mean_s = think.mean_ms / 1e3
    if think.distribution == "none":
        return []
    rng = np.random.default_rng(seed)
    match think.distribution:
        case "constant":
            return [mean_s] * _NUM_THINK_TIMES
        case "exponential":
            drawn = rng.exponential(mean_s, _NUM_THINK_TIMES)
        case "lognormal":
            location = np.log(mean_s) - think.sigma**2 / 2
            drawn = rng.lognormal(location, think.sigma, _NUM_THINK_TIMES)
    return [float(duration_s) for duration_s in drawn]
