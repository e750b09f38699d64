"""What no transport can exceed: the throughput that think time and service time leave.

N actors each think for Z, then wait for a batch that takes S(n) = a + b·n for n rows. With a
mean batch of n at most N/(Z + S(n)) requests a second can be made and n/S(n) can be served;
both meet at the root n* of b·n² + (Z + a - b·N)·n - a·N = 0, clamped to what a batch may
hold: X* = min(N/(Z + S(n*)), n*/S(n*)).

Nominal: Z, a and b are those that the scenario asks for. A sleep that lasts longer than it
should, and threads that wait for a processor, are losses below this bound, not part of it.

Source: the asymptotic bounds of closed queueing networks (Denning and Buzen, "The
Operational Analysis of Queueing Network Models", ACM Computing Surveys 10, 1978), with a
server whose service time depends on the batch.
"""

import math
from typing import Final

from slotbench.records import Workload

_MS: Final = 1e-3


def of_workload(workload: Workload) -> float | None:
    """Requests per second that the workload's nominal times allow.

    Returns:
        None where a time is not known beforehand (a real network or environment), and where
        there is none to wait for: only the floor bounds that.
    """
    model, think = workload.model, workload.think_time
    if model.kind not in {"sleep", "spin"} or workload.environment is not None:
        return None
    return requests_per_s(
        workload.num_slots,
        max_batch_size=workload.batching.max_batch_size,
        think_s=0.0 if think.distribution == "none" else think.mean_ms * _MS,
        batch_s=model.latency_ms * _MS,
        row_s=model.latency_per_item_ms * _MS,
    )


def requests_per_s(
    num_slots: int, *, max_batch_size: int, think_s: float, batch_s: float, row_s: float
) -> float | None:
    """X*, requests per second.

    Args:
        num_slots: N.
        max_batch_size: rows that a batch may hold.
        think_s: Z, mean.
        batch_s: a, seconds a batch takes whatever it holds.
        row_s: b, seconds that each row adds.

    Returns:
        None where nothing takes any time.

    Raises:
        ValueError: no slot or no room in a batch, or a time below 0.
    """
    if num_slots < 1 or max_batch_size < 1 or min(think_s, batch_s, row_s) < 0.0:
        raise ValueError("slots and batch are at least 1, times at least 0")
    rows = min(
        max(_balance(num_slots, think_s, batch_s, row_s), 1.0), max_batch_size, num_slots
    )
    service_s = batch_s + row_s * rows
    made = num_slots / (think_s + service_s) if think_s + service_s > 0 else math.inf
    served = rows / service_s if service_s > 0 else math.inf
    found = min(made, served)
    return None if math.isinf(found) else found


def _balance(num_slots: int, think_s: float, batch_s: float, row_s: float) -> float:
    """The mean batch at which requests are made as fast as they are served."""
    linear = think_s + batch_s - row_s * num_slots
    if row_s == 0.0:
        return batch_s * num_slots / linear if linear > 0 else float(num_slots)
    root = math.sqrt(linear * linear + 4.0 * row_s * batch_s * num_slots)
    return (root - linear) / (2.0 * row_s)
