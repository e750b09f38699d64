"""What one of a thing costs by itself, in CPU time, here and now: to weigh counts by.

Each price is the least of several passes in a process where nothing else runs; of a context switch,
between two threads that share a CPU: between two CPUs it is several times that, most of which is waking
an idle one. Under load things cost more (caches, the GIL): a price is a floor.
"""

import concurrent.futures
import threading
from typing import Final

import torch

from slotbench.measure import timing

_HAND_OVERS: Final = 5
_SWITCHES: Final = 200


def of_locks() -> dict[str, float]:
    """Row of the ledger → CPU seconds: locks and what is made of them, and context switches."""
    lock = threading.Lock()

    def take() -> None:
        lock.acquire()
        lock.release()

    return {
        "lock_acquisitions": timing.call_s(take),
        "locks_made": timing.call_s(threading.Lock),
        "events_made": timing.call_s(threading.Event),
        "conditions_made": timing.call_s(threading.Condition),
        "futures_made": timing.call_s(concurrent.futures.Future),
        "switches_voluntary": _switch_s(),
    }


def of_operations() -> dict[str, float]:
    """Row of the ledger → CPU seconds: a torch operation that hardly does anything."""
    row = torch.zeros(8)
    with torch.no_grad():
        price_s = timing.call_s(row.clone)
    return {"torch_calls_actors": price_s, "torch_calls_server": price_s}


def _switch_s() -> float:
    """CPU seconds of a thread's going to sleep and being woken: two threads hand locks on."""
    with timing.on_one_cpu():
        spent = [timing.lock_there_and_back(_SWITCHES) for _ in range(_HAND_OVERS)]
    return min(one.cpu_s / max(1, one.voluntary) for one in spent)
