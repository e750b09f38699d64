"""Timing short things in this process: the least of several passes, and what a stretch used up.

A pass that was interrupted tells of the machine, not of what is timed; so where the price of a
thing is wanted, the least of several counts. Where its variation is, `used` gives one stretch as it
was.
"""

import contextlib
import itertools
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

_PASSES: Final = 20
_CALLS: Final = 200


@dataclass(frozen=True, slots=True)
class Used:
    """What one stretch of work used up, all threads of the process together.

    Attributes:
        wall_s: from its begin to its end.
        cpu_s: CPU time.
        voluntary: context switches of threads that went to sleep.
        involuntary: of threads that were made to leave their CPU.
    """

    wall_s: float
    cpu_s: float
    voluntary: int
    involuntary: int


def used(work: Callable[[], object]) -> Used:
    """Do the work once and say what the process used up meanwhile.

    Source: getrusage(2), ``ru_nvcsw`` and ``ru_nivcsw``.
    """
    before = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = time.process_time()
    began = time.perf_counter()
    work()
    wall_s = time.perf_counter() - began
    cpu_s = time.process_time() - cpu_s
    after = resource.getrusage(resource.RUSAGE_SELF)
    return Used(
        wall_s, cpu_s, after.ru_nvcsw - before.ru_nvcsw, after.ru_nivcsw - before.ru_nivcsw
    )


def least_s(timed_pass: Callable[[], float], for_s: float, min_passes: int = 5) -> float:
    """Repeat a pass for a while; return the least time that it gave, in seconds.

    Args:
        timed_pass: returns its own time, in seconds per whatever it counts.
        for_s: how long at least.
        min_passes: where one pass is dear.
    """
    until = time.perf_counter() + for_s
    least = min(timed_pass() for _ in range(min_passes))
    while time.perf_counter() < until:
        least = min(least, timed_pass())
    return least


def call_s(call: Callable[[], object]) -> float:
    """Time a call, less the loop around it, over several passes; the least, in seconds."""
    empty_s, full_s = 1.0, 1.0
    for _ in range(_PASSES):
        empty_s = min(empty_s, _pass_s(_nothing))
        full_s = min(full_s, _pass_s(call))
    return max(1e-9, full_s - empty_s)


def there_and_back(
    give_there: Callable[[], object],
    take_there: Callable[[], object],
    give_back: Callable[[], object],
    take_back: Callable[[], object],
    times: int,
) -> Used:
    """Hand over between this thread and another, there and back, so many times.

    The other thread is started, and has answered once, before anything is counted.

    Args:
        give_there: called here; wakes the other thread.
        take_there: called there; sleeps until `give_there` was called.
        give_back: called there.
        take_back: called here; sleeps until `give_back` was called.
        times: round trips that count, at least one.
    """

    def answer() -> None:
        for _ in itertools.repeat(None, times + 1):
            take_there()
            give_back()

    def ask() -> None:
        for _ in itertools.repeat(None, times):
            give_there()
            take_back()

    other = threading.Thread(target=answer, daemon=True)
    other.start()
    give_there()
    take_back()
    spent = used(ask)
    other.join()
    return spent


def lock_there_and_back(times: int) -> Used:
    """`there_and_back` by two raw locks, each released by the one and acquired by the other thread."""
    there, back = threading.Lock(), threading.Lock()
    there.acquire()
    back.acquire()
    return there_and_back(there.release, there.acquire, back.release, back.acquire, times)


@contextlib.contextmanager
def on_one_cpu() -> Iterator[None]:
    """Keep this thread, and those that it starts, on one CPU, where the system allows to choose."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    try:
        if cpus:
            os.sched_setaffinity(0, {min(cpus)})
        yield
    finally:
        if cpus:
            os.sched_setaffinity(0, cpus)


def _pass_s(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(_CALLS):
        call()
    return (time.perf_counter() - began) / _CALLS


def _nothing() -> None:
    pass
