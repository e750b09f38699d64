"""What think time and service time really are, measured without any transport.

A calibration is a trial of its own: one actor with a policy at its elbow, then the policy
alone, in a process that does nothing else. What a bound is made of must not come from a
measured trial, where threads wait for each other and every time is longer.
"""

from dataclasses import dataclass, field
from typing import Literal

from slotbench.records.trial import Histogram


@dataclass(frozen=True, slots=True)
class ServicePoint:
    """What the policy takes for batches of one size.

    Attributes:
        batch_size: rows.
        median_s: of a call, with the harness's own id echo and stamps; the median, so that a call
            which something interrupted does not count for the policy's own.
        cpu_s: CPU time of the process per call.
        num_calls: timed.
        device_s: median time of the forward alone, between two events on the policy's device; None where
            that is the CPU.
    """

    batch_size: int
    median_s: float
    cpu_s: float
    num_calls: int
    device_s: float | None = None


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """One calibration of one cell, made before a block; one line of calibrations.jsonl.

    Attributes:
        round, cell, attempt: name the attempt at a block that it stands before.
        status: "failed": there are no numbers; ``error`` says why.
        started_at: ISO 8601, UTC, for people.
        duration_s: from the executor's sending to the record's arrival.
        think: times between a reply and the actor's next request, in nanoseconds: the
            environment, the making of the request, and the harness's check of the reply.
        think_mean_s: their mean; None where the calibration failed.
        think_excess_s: median of how much longer they were than the think times drawn for them:
            what waiting, the request and the check of the reply take beside; None for a real
            environment, whose time is what it is.
        think_cpu_s: CPU time of the actor and of its environment's own threads per such time;
            None likewise.
        work_s: median time of what an actor does beside its think time, alone: making the
            request, checking the reply; it holds the GIL. None for a real environment.
        service: one point a batch size, by rising size; empty where it failed.
        observed_s: what it took in the process, imports left out.
        num_cpus: CPUs that the process could use.
        steal_s, foreign_cpu_s: over these CPUs and that time, as of a trial's window.
        is_gil_enabled: whether Python's threads exclude each other there.
        error: one line; "" where status is "ok".
        node: label of the node of the cluster that it ran on; "" where there is none.
        python: option ``python`` of the contenders that it is for; "" is the run's own.
    """

    round: int
    cell: str
    attempt: int
    status: Literal["ok", "failed"]
    started_at: str
    duration_s: float
    think: Histogram = field(default_factory=Histogram)
    think_mean_s: float | None = None
    think_excess_s: float | None = None
    think_cpu_s: float | None = None
    work_s: float | None = None
    service: tuple[ServicePoint, ...] = ()
    observed_s: float = 0.0
    num_cpus: int = 1
    steal_s: float | None = None
    foreign_cpu_s: float | None = None
    is_gil_enabled: bool = True
    error: str = ""
    node: str = ""
    python: str = ""
