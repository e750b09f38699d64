"""What one of a thing costs by itself, in CPU time, here and now: to weigh counts by.

Each price is the least of several passes in a process where nothing else runs; of a context switch,
between two threads that share a CPU: between two CPUs it is several times that, most of which is waking
an idle one. Under load things cost more (caches, the GIL): a price is a floor.
"""

import concurrent.futures
import os
import resource
import threading
import time
from collections.abc import Callable
from typing import Final

import torch

_PASSES: Final = 20
_HAND_OVERS: Final = 5
_SWITCHES: Final = 200


def of_locks() -> dict[str, float]:
    """Row of the ledger → CPU seconds: locks and what is made of them, and context switches."""
    lock = threading.Lock()

    def take() -> None:
        lock.acquire()
        lock.release()

    return {
        "lock_acquisitions": _least_s(take),
        "locks_made": _least_s(threading.Lock),
        "events_made": _least_s(threading.Event),
        "conditions_made": _least_s(threading.Condition),
        "futures_made": _least_s(concurrent.futures.Future),
        "switches_voluntary": _switch_s(),
    }


def of_operations() -> dict[str, float]:
    """Row of the ledger → CPU seconds: a torch operation that hardly does anything."""
    row = torch.zeros(8)
    with torch.no_grad():
        price_s = _least_s(row.clone)
    return {"torch_calls_actors": price_s, "torch_calls_server": price_s}


def _least_s(call: Callable[[], object]) -> float:
    """Time a call, less the loop around it, over several passes; the least, in seconds."""
    empty_s, full_s = 1.0, 1.0
    for _ in range(_PASSES):
        empty_s = min(empty_s, _pass_s(_nothing))
        full_s = min(full_s, _pass_s(call))
    return max(1e-9, full_s - empty_s)


def _pass_s(call: Callable[[], object], times: int = 200) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def _nothing() -> None:
    pass


def _switch_s() -> float:
    """CPU seconds of a thread's going to sleep and being woken: two threads hand locks on."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    try:
        if cpus:
            os.sched_setaffinity(0, {min(cpus)})
        return min(_hand_over_s() for _ in range(_HAND_OVERS))
    finally:
        if cpus:
            os.sched_setaffinity(0, cpus)


def _hand_over_s() -> float:
    here, there = threading.Lock(), threading.Lock()
    here.acquire()
    there.acquire()

    def answer() -> None:
        for _ in range(_SWITCHES):
            there.acquire()
            here.release()

    other = threading.Thread(target=answer)
    other.start()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    began = time.process_time()
    for _ in range(_SWITCHES):
        there.release()
        here.acquire()
    took_s = time.process_time() - began
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before
    other.join()
    return took_s / max(1, switches)
