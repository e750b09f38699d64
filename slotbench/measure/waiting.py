"""Spending a given time: asleep, computing in Python, or computing without the GIL.

And sleeping until a given moment, unless somebody says stop before.
"""

import ctypes
import sys
import threading
import time
import zlib
from collections.abc import Callable
from typing import Final, Literal

_NOGIL_CHUNK: Final = bytes(32 * 1024)
"""zlib.crc32 drops the GIL above 5 KiB (CPython's zlibmodule.c); one chunk is ~10 µs."""

_PR_SET_TIMERSLACK: Final = 29
"""linux/prctl.h."""

Mode = Literal["idle", "busy", "busy_nogil", "work"]


def sleep(duration_s: float) -> None:
    """Sleep; not at all for zero, since ``time.sleep(0)`` would give the GIL away."""
    if duration_s > 0:
        time.sleep(duration_s)


def spin(duration_s: float) -> None:
    """Compute until so much time has passed, and hold the GIL where there is one.

    Time passes for all: who waits for the GIL meanwhile has less left to compute.
    """
    deadline = time.perf_counter() + duration_s
    while time.perf_counter() < deadline:
        pass


def spin_nogil(duration_s: float) -> None:
    """Compute without the GIL, as numpy, torch and physics engines do, in ~10 µs steps."""
    deadline = time.perf_counter() + duration_s
    while time.perf_counter() < deadline:
        zlib.crc32(_NOGIL_CHUNK)


def work(duration_s: float) -> None:
    """Compute for so much CPU time of this thread, and hold the GIL where there is one.

    As an environment written in Python does, which has as much to compute whoever computes beside it: under
    the GIL it takes n threads n times as long.
    """
    deadline = time.thread_time() + duration_s
    while time.thread_time() < deadline:
        pass


def by_mode(mode: Mode) -> Callable[[float], None]:
    """Return the function that spends a duration, in seconds, in this way."""
    return {"idle": sleep, "busy": spin, "busy_nogil": spin_nogil, "work": work}[mode]


class WakingStop:
    """A ``threading.Event`` to be set once, which wakes those that sleep meanwhile.

    An Event's own ``wait`` takes two locks, and one more that it makes, around the sleep: some
    microseconds of Python after every awakening, in every actor. Here each sleeper has a raw lock.

    Threads: ``sleeper`` by the main thread, before anybody may ``set``; the rest by all.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._first = threading.Lock()
        self._gates: list[threading.Lock] = []

    def sleeper(self) -> Callable[[float], object]:
        """Return a sleep, in seconds, for one thread; it returns at once when `set` was called."""
        gate = threading.Lock()
        gate.acquire()
        self._gates.append(gate)
        acquire = gate.acquire

        def sleep(duration_s: float) -> None:
            if acquire(timeout=min(duration_s, threading.TIMEOUT_MAX)):
                gate.release()  # Stopped: nobody is to sleep here any more.

        return sleep

    def is_set(self) -> bool:
        """Whether it is."""
        return self._event.is_set()

    def set(self) -> None:
        """Stop, and wake all sleepers."""
        self._event.set()
        if self._first.acquire(blocking=False):
            for gate in self._gates:
                gate.release()

    def wait(self, timeout: float) -> bool:
        """Wait until it is set, for at most so many seconds; return whether it is."""
        return self._event.wait(timeout)


def exact_timers() -> None:
    """Let this thread's sleeps end when they are over, not up to 50 µs later.

    Linux gives a thread's timers that slack to wake several threads at once; of a request that takes
    100 µs it would be a third. Elsewhere, and where the kernel refuses, nothing happens: what sleeps
    then take too long is measured like everything else (`slotbench.records.OpenLoop`).

    Source: prctl(2), PR_SET_TIMERSLACK, which is of the calling thread alone.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)
