"""The clock that everything is timed with, and how punctual waits are.

Synthetic models and environments sleep, and servers wait with a timeout: what these take beyond what
was asked is in every latency, and differs between machines by more than most transports do.
"""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from slotbench.compute import percentiles
from slotbench.measure import timing
from slotbench.records import Timers, Wait
from slotbench.records.diagnosis import WaitKind

ASKED_S: Final = (0.0001, 0.001, 0.005)
"""What think times and policies ask for: below a timer's slack, one of a small policy, and of a large one."""

_READS: Final = 20_000

Clock = Callable[[], int]


def timers(num_waits: int) -> Timers:
    """Look at ``time.perf_counter_ns`` and at waits, in this process.

    Args:
        num_waits: of every kind and length.
    """
    info = time.get_clock_info("perf_counter")
    lock, condition = threading.Lock(), threading.Condition()
    lock.acquire()

    def wait_for_lock(asked_s: float) -> None:
        lock.acquire(timeout=asked_s)

    def wait_for_condition(asked_s: float) -> None:
        with condition:
            condition.wait(asked_s)

    ways: dict[WaitKind, Callable[[float], None]] = {
        "sleep": time.sleep,
        "lock": wait_for_lock,
        "condition": wait_for_condition,
    }
    return Timers(
        clock=info.implementation,
        claimed_s=info.resolution,
        step_s=step_ns(time.perf_counter_ns) / 1e9,
        read_s=timing.call_s(time.perf_counter_ns),
        waits=tuple(
            summarise(kind, asked_s, overshoots_ns(way, asked_s, num_waits))
            for kind, way in ways.items()
            for asked_s in ASKED_S
        ),
    )


def step_ns(clock: Clock, num_reads: int = _READS) -> int:
    """Find the smallest step above 0 between two reads that follow each other, in nanoseconds.

    A clock that does not move within so many reads is read on until it does. What is read faster
    than it steps shows its step; what is not, the time of a read.

    Args:
        clock: in nanoseconds, never going back.
        num_reads: how often it is looked at, and once more.
    """
    steps: set[int] = set()
    while not steps:
        # By starmap no line of Python stands between two reads.
        reads = itertools.starmap(clock, itertools.repeat((), num_reads + 1))
        steps = {after - before for before, after in itertools.pairwise(list(reads))} - {0}
    return min(steps)


def overshoots_ns(
    wait: Callable[[float], object],
    asked_s: float,
    num_waits: int,
    clock: Clock = time.perf_counter_ns,
) -> list[int]:
    """Time waits, and give what each took beyond what was asked, in nanoseconds.

    Args:
        wait: given seconds, returns when they are over.
        asked_s: how long each should be.
        num_waits: at least one.
        clock: in nanoseconds.
    """
    over = []
    asked_ns = round(asked_s * 1e9)
    for _ in range(num_waits):
        began = clock()
        wait(asked_s)
        over.append(clock() - began - asked_ns)
    return over


def summarise(kind: WaitKind, asked_s: float, over_ns: Sequence[int]) -> Wait:
    """Give median and 90th percentile of what waits took too long; None of too few of them."""
    p50_ns, p90_ns = (percentiles.nearest_rank(sorted(over_ns), p) for p in (50, 90))
    return Wait(
        kind=kind,
        asked_s=asked_s,
        num_waits=len(over_ns),
        over_p50_s=None if p50_ns is None else p50_ns / 1e9,
        over_p90_s=None if p90_ns is None else p90_ns / 1e9,
    )
