"""From stamps to a trial's numbers: pure arithmetic on arrays, no clock, no thread."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slotbench.compute import histogram
from slotbench.compute.percentiles import nearest_rank
from slotbench.measure import intended
from slotbench.measure.columns import Column
from slotbench.measure.intended import Scheduled
from slotbench.measure.machine import MachineUse
from slotbench.measure.on_device import DeviceLog
from slotbench.records import DeviceTimes, TrialMeasurement

NUM_SLICES: Final = 10
"""Of the window, for `TrialMeasurement.replies_per_slice`."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Clock at one end of the window; what the trial's processes had used: the difference counts."""

    at_ns: int
    cpu_s: float
    voluntary: int
    involuntary: int


@dataclass(frozen=True, slots=True)
class Observed:
    """All that a trial recorded.

    Attributes:
        origin_ns: the common start of the actors.
        begin, end: the two ends of the window.
        actors: by actor, when each replied request was submitted and replied.
        batches: when each batch's forward began and ended, and its size.
        num_frames: steps that a consumer was handed in the window; None where there is none.
        machine: what it did in the window besides.
        intended: by actor, when each request of its schedule was due, also those that came to
            nothing; () in the closed loop.
        given_up_ns: until when those due in the window were waited for, in an open loop.
        device: marks of the latest batches, where the policy computes on a device.
    """

    origin_ns: int
    begin: Moment
    end: Moment
    actors: Sequence[tuple[Column, Column]]
    batches: tuple[Column, Column, Column]
    num_submitted: int
    num_replied: int
    num_served: int
    sent_ns: int
    joined_ns: int
    recorder_cost_s: float
    num_frames: int | None = None
    machine: MachineUse = field(default_factory=MachineUse)
    intended: Sequence[Column] = ()
    given_up_ns: int = 0
    device: DeviceLog | None = None


def summarise(observed: Observed) -> TrialMeasurement:
    """Compute the window's numbers.

    A reply counts if it returned in (begin, end]; a batch, if its forward began there; a
    think time, if its reply counts. The latencies of an open loop are of what was due in it
    (`slotbench.measure.intended`), and there is no think time.
    """
    begin, end = observed.begin, observed.end

    def inside(at_ns: Column) -> NDArray[np.bool_]:
        return (at_ns > begin.at_ns) & (at_ns <= end.at_ns)

    counted = [inside(replied) for _, replied in observed.actors]
    latencies_ns = np.sort(
        np.concatenate(
            [(r - s)[c] for (s, r), c in zip(observed.actors, counted, strict=True)]
        )
    )
    open_loop = None
    if observed.intended:
        latencies_ns, open_loop = intended.of_window(
            [
                Scheduled(due, *stamps)
                for due, stamps in zip(observed.intended, observed.actors, strict=True)
            ],
            begin_ns=begin.at_ns,
            end_ns=end.at_ns,
            given_up_ns=observed.given_up_ns,
        )
    thinks_ns = np.concatenate(
        [
            (s[1:] - r[:-1])[c[:-1]]
            for (s, r), c in zip(observed.actors, counted, strict=True)
        ]
    )
    replied_ns = np.concatenate(
        [r[c] for (_, r), c in zip(observed.actors, counted, strict=True)]
    )
    slices_ns = np.linspace(begin.at_ns, end.at_ns, NUM_SLICES + 1)[1:-1]
    per_slice = np.bincount(np.searchsorted(slices_ns, replied_ns), minlength=NUM_SLICES)
    batch_begin_ns, batch_end_ns, batch_size = observed.batches
    began = inside(batch_begin_ns)
    sizes, size_counts = np.unique(batch_size[began], return_counts=True)
    return TrialMeasurement(
        window_s=_s(end.at_ns - begin.at_ns),
        warmup_s=_s(begin.at_ns - observed.origin_ns),
        startup_s=_s(observed.origin_ns - observed.sent_ns),
        teardown_s=_s(observed.joined_ns - end.at_ns),
        num_submitted=observed.num_submitted,
        num_replied=observed.num_replied,
        num_served=observed.num_served,
        num_replies=len(replied_ns),
        num_batches=int(began.sum()),
        num_rows=int(batch_size[began].sum()),
        latency_mean_s=_mean_s(latencies_ns),
        latency_p50_s=_percentile_s(latencies_ns, 50),
        latency_p90_s=_percentile_s(latencies_ns, 90),
        latency_p99_s=_percentile_s(latencies_ns, 99),
        latency_p999_s=_percentile_s(latencies_ns, 99.9),
        latency_max_s=_s(int(latencies_ns[-1])) if len(latencies_ns) else None,
        latency=histogram.count(latencies_ns),
        batch_sizes=tuple(
            (int(n), int(k)) for n, k in zip(sizes, size_counts, strict=True)
        ),
        replies_per_actor=tuple(int(c.sum()) for c in counted),
        think_mean_s=None if observed.intended else _mean_s(thinks_ns),
        forward_mean_s=_mean_s((batch_end_ns - batch_begin_ns)[began]),
        recorder_cost_s=observed.recorder_cost_s,
        cpu_s=end.cpu_s - begin.cpu_s,
        context_switches_voluntary=end.voluntary - begin.voluntary,
        context_switches_involuntary=end.involuntary - begin.involuntary,
        num_cpus=observed.machine.num_cpus,
        steal_s=observed.machine.steal_s,
        foreign_cpu_s=observed.machine.foreign_cpu_s,
        throttled_s=observed.machine.throttled_s,
        replies_per_slice=tuple(per_slice.tolist()),
        num_frames=observed.num_frames,
        open_loop=open_loop,
        device=None if observed.device is None else device_times(observed.device, began),
    )


def device_times(log: DeviceLog, began: NDArray[np.bool_]) -> DeviceTimes | None:
    """Mean times of those batches that began in the window, as far as there are marks of them.

    Args:
        log: of the latest batches.
        began: of all stamped batches, in their order, whether they began in the window.

    Returns:
        None where there is none.
    """
    counted = began[log.first : log.first + len(log.forward_s)]
    if not counted.any():
        return None

    def mean_s(times_s: NDArray[np.float64]) -> float:
        # Where the log of stamps was full, later batches have marks and no stamps.
        return float(times_s[: len(counted)][counted].mean())

    return DeviceTimes(
        num_batches=int(counted.sum()),
        forward_s=mean_s(log.forward_s),
        staging_s=None if log.staging_s is None else mean_s(log.staging_s),
        returning_s=None if log.returning_s is None else mean_s(log.returning_s),
        pinned_by=log.pinned_by,
    )


def _s(duration_ns: int) -> float:
    return int(duration_ns) / 1e9


def _mean_s(durations_ns: Column) -> float | None:
    return float(durations_ns.mean()) / 1e9 if len(durations_ns) else None


def _percentile_s(sorted_ns: Column, percent: float) -> float | None:
    value_ns = nearest_rank(sorted_ns, percent)
    return None if value_ns is None else _s(int(value_ns))
