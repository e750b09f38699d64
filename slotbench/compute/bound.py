"""What no transport can exceed: the throughput that think time and service time leave.

N actors each think for Z, then wait for a batch that takes S(n) = a + b·n for n rows. With a
mean batch of n at most N/(Z + S(n)) requests a second can be made and n/S(n) can be served;
both meet at the root n* of b·n² + (Z + a - b·N)·n - a·N = 0, clamped to what a batch may
hold: X* = min(N/(Z + S(n*)), n*/S(n*)).

Nor can more be computed than there are processors, or than one thread at a time may compute
that holds the GIL: X <= C/(CPU seconds of a request), X <= 1/(seconds that a request holds the GIL).
In an open loop nobody thinks, and no more is served than is offered: X <= load.
Z, a and b are best calibrated (`slotbench.compute.demands`): a sleep ends late, and a measured
trial's own times are longer for the contention that the bound is to show.

Source: the asymptotic bounds of closed queueing networks (Denning and Buzen, "The
Operational Analysis of Queueing Network Models", ACM Computing Surveys 10, 1978), with a
server whose service time depends on the batch.
"""

import math
from dataclasses import dataclass
from typing import Literal

from slotbench.compute import arrivals
from slotbench.compute.demands import Demands
from slotbench.records import Workload

Limit = Literal["times", "GIL", "processors", "load"]
"""What the bound comes from: think time and service time; what holds the GIL; what computes; what
an open loop offers."""


@dataclass(frozen=True, slots=True)
class Bound:
    """X*, and what it comes from.

    Attributes:
        per_s: requests per second.
        limit: the least of the limits.
    """

    per_s: float
    limit: Limit


def of_demands(workload: Workload, demands: Demands) -> Bound | None:
    """The bound of a cell with these demands.

    Returns:
        None where nothing takes any time.
    """
    largest = min(workload.num_slots, workload.batching.max_batch_size)
    found: list[Bound] = []
    times = requests_per_s(
        workload.num_slots,
        max_batch_size=workload.batching.max_batch_size,
        think_s=demands.think_s,
        batch_s=demands.service.batch_s,
        row_s=demands.service.row_s,
    )
    if times is not None:
        found.append(Bound(times, "times"))
    if demands.think_gil_s > 0.0:
        found.append(Bound(1.0 / demands.think_gil_s, "GIL"))
    # A request's share of a batch is least in the largest one.
    cpu_s = demands.think_cpu_s + demands.service_cpu.of(largest) / largest
    if cpu_s > 0.0 and demands.num_cpus is not None:
        found.append(Bound(demands.num_cpus / cpu_s, "processors"))
    if workload.load.is_open:
        offered_per_s = arrivals.offered_per_s(workload.load, workload.num_slots)
        found.append(Bound(offered_per_s, "load"))
    return min(found, key=lambda one: one.per_s, default=None)


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
