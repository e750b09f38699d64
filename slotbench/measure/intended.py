"""What an open loop's window holds: the requests that were due in it, each from its intended start.

Pure arithmetic on stamps. A closed loop counts replies; where requests come by a schedule that would
leave out, of all requests, those that waited longest (coordinated omission).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slotbench.compute import histogram
from slotbench.compute.percentiles import nearest_rank
from slotbench.measure.columns import Column
from slotbench.records import OpenLoop


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The stamps of one actor, nanoseconds.

    Attributes:
        intended: when each request of its schedule was due, rising.
        submitted, replied: of the first of them; the others were not answered.
    """

    intended: Column
    submitted: Column
    replied: Column


def of_window(
    actors: Sequence[Scheduled], *, begin_ns: int, end_ns: int, given_up_ns: int
) -> tuple[Column, OpenLoop]:
    """Count the requests whose intended start is in (begin, end].

    Args:
        actors: all of a trial's.
        begin_ns: of the window,
        end_ns: and its end.
        given_up_ns: until when those that were not answered had been waited for; then is the age
            that they count with.

    Returns:
        The latencies in nanoseconds, sorted, and everything else.
    """
    latencies, lates, calls, ages = [], [], [], []
    for actor in actors:
        n = len(actor.replied)
        is_due = (actor.intended > begin_ns) & (actor.intended <= end_ns)
        counts, intended = is_due[:n], actor.intended[:n]
        # The slot is free from the reply before on; a request that waits for that is not late.
        free_ns = intended.copy()
        free_ns[1:] = np.maximum(intended[1:], actor.replied[:-1])
        latencies.append((actor.replied - intended)[counts])
        lates.append((actor.submitted - free_ns)[counts])
        calls.append((actor.replied - actor.submitted)[counts])
        ages.append(given_up_ns - actor.intended[n:][is_due[n:]])
    latency_ns, late_ns = np.concatenate(latencies), np.concatenate(lates)
    call_ns, age_ns = np.sort(np.concatenate(calls)), np.concatenate(ages)
    all_ns = np.sort(np.concatenate((latency_ns, age_ns)))
    without_ns = np.sort(np.concatenate((latency_ns - late_ns, age_ns)))
    return all_ns, OpenLoop(
        num_intended=len(all_ns),
        num_unanswered=len(age_ns),
        call_p50_s=_percentile_s(call_ns, 50),
        call_p99_s=_percentile_s(call_ns, 99),
        late_mean_s=float(late_ns.mean()) / 1e9 if len(late_ns) else None,
        late_p99_s=_percentile_s(np.sort(late_ns), 99),
        late=histogram.count(late_ns),
        free_p50_s=_percentile_s(without_ns, 50),
        free_p99_s=_percentile_s(without_ns, 99),
    )


def _percentile_s(sorted_ns: Column, percent: float) -> float | None:
    value_ns = nearest_rank(sorted_ns, percent)
    return None if value_ns is None else int(value_ns) / 1e9
