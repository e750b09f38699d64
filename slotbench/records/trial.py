"""One contender, once, in a process of its own: what to do, and what came of it.

Times are integers of nanoseconds of ``time.perf_counter_ns`` unless the name says
otherwise; ``_s`` fields are durations in seconds.
"""

from dataclasses import dataclass
from typing import Literal

from slotbench.records.contender import Contender
from slotbench.records.workload import Workload


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """All that `slotbench.measure.trial.run_trial` needs.

    Attributes:
        trial_id: unique in its run.
        round: from 0; with ``cell`` it names the block.
        attempt: from 0; a block measured again whole counts up.
        position: place of the trial in its block's shuffled order, from 0.
        arm: 0, or `BASELINE_REPEAT` for the baseline's second trial in the block.
        seed: the same for every trial of a block, so that all see the same think times.
        deadline_s: after which a trial that has not ended is killed and recorded failed.
    """

    trial_id: str
    round: int
    cell: str
    attempt: int
    position: int
    arm: int
    contender: Contender
    workload: Workload
    seed: int
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, or worth knowing, about one trial.

    Attributes:
        rule: short name of the rule that spoke.
        severity: "INVALID": the number is not what it claims, and is never used.
            "DISTURBED": the machine interfered. "warning": everything else.
        detail: what was seen, with numbers.
        remedy: what to do about it.
    """

    rule: str
    severity: Literal["INVALID", "DISTURBED", "warning"]
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in buckets whose width is at most 1/64 of their lower edge (error ≤ 0.8 %).

    Attributes:
        buckets: (index, count) of the buckets that hold something, by rising index; see
            `slotbench.compute.histogram` for the edges.
    """

    buckets: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """What an open loop adds: of the requests whose intended start is in the window.

    The latencies of `TrialMeasurement` are then of these requests, from the intended start to the reply,
    also where that came after the window. One that had not even been submitted a moment after the window,
    since its slot was busy with earlier ones, is in them with its age at that moment, which its
    latency exceeds.

    Attributes:
        num_intended: requests due in the window.
        num_unanswered: of them, those that were never answered.
        call_p50_s, call_p99_s: submit → reply alone, without the wait for a busy slot.
        late_mean_s, late_p99_s: how long after its intended start, or after the slot was free if
            that was later, a request was submitted: the generator's own delay.
        late: the same, in nanoseconds.
        free_p50_s, free_p99_s: latency less the generator's delay.
    """

    num_intended: int
    num_unanswered: int
    call_p50_s: float | None
    call_p99_s: float | None
    late_mean_s: float | None
    late_p99_s: float | None
    late: Histogram
    free_p50_s: float | None
    free_p99_s: float | None


@dataclass(frozen=True, slots=True)
class DeviceTimes:
    """Where a batch's time went on the policy's device, by events there, not by the host's clock.

    Means over the latest batches of the window, in seconds.

    Attributes:
        num_batches: that they are of: all of the window, where these are not too many to keep marks of.
        forward_s: the policy, from its call, or from when the observation was there, until its last
            kernel had ended; with what the device waited for the host to launch the next.
        staging_s: the observation's way to the device, once it began; None where the contender's own
            server brings it there, and the outputs back.
        returning_s: the outputs' way to the host; None likewise.
        pinned_by: whose the pinned memory is in which batches lay before they were copied, so that copies
            did not wait for the host: the transport built them in it, the harness copied them into
            it, or the contender's own server saw to it.
    """

    num_batches: int
    forward_s: float
    staging_s: float | None
    returning_s: float | None
    pinned_by: Literal["transport", "harness", "server"]


@dataclass(frozen=True, slots=True)
class TrialMeasurement:
    """What was counted and timed inside the measured window, and around it.

    "Reply" means one that returned to its actor inside the window.

    Attributes:
        window_s: length of the window as it was.
        warmup_s: length of the warm-up as it was.
        startup_s: from the executor's sending of the spec to the common start of actors.
        teardown_s: from the window's end until every thread was joined.
        num_submitted, num_replied, num_served: over the whole trial: requests handed to
            the transport, replies that returned, rows that the model was given.
        num_replies: replies in the window.
        num_batches: batches whose forward began in the window.
        num_rows: rows in those batches.
        latency_p50_s … latency_max_s: submit → reply, exact order statistics of the
            window's replies (nearest rank), but in an open loop see `OpenLoop`; None with too few samples (p99 needs 459,
            p99.9 needs 4 603).
        latency: the same latencies in nanoseconds.
        batch_sizes: how many batches had each size.
        replies_per_actor: replies in the window, by actor.
        think_mean_s: mean time between a reply and the actor's next request; None in an open
            loop, where it waits for its schedule.
        forward_mean_s: mean time that the model took per batch, its wrapper included.
        recorder_cost_s: measured cost, per request, of stamps and of the id check, through
            this contender's own collate.
        cpu_s: CPU time of the process, and of those that its contender consists of, in the
            window.
        context_switches_voluntary, context_switches_involuntary: of them, in the window.
        num_cpus: CPUs that the process could use; None before schema version 2.
        steal_s: CPU time, over these CPUs and the window, that the hypervisor gave to
            others. This and the next two are None where the system does not say.
        foreign_cpu_s: CPU time that other processes and the kernel's interrupts took there.
        throttled_s: how long the control group's CPU quota held threads back.
        replies_per_slice: replies in each tenth of the window; empty before version 2.
        num_frames: steps that a collector handed to whoever iterates over it, in the window;
            None where there is no collector, and before version 4.
        open_loop: None in the closed loop.
        device: None where the policy computes on the CPU, or in a process whose events no other can read.
    """

    window_s: float
    warmup_s: float
    startup_s: float
    teardown_s: float
    num_submitted: int
    num_replied: int
    num_served: int
    num_replies: int
    num_batches: int
    num_rows: int
    latency_mean_s: float | None
    latency_p50_s: float | None
    latency_p90_s: float | None
    latency_p99_s: float | None
    latency_p999_s: float | None
    latency_max_s: float | None
    latency: Histogram
    batch_sizes: tuple[tuple[int, int], ...]
    replies_per_actor: tuple[int, ...]
    think_mean_s: float | None
    forward_mean_s: float | None
    recorder_cost_s: float
    cpu_s: float
    context_switches_voluntary: int
    context_switches_involuntary: int
    num_cpus: int | None = None
    steal_s: float | None = None
    foreign_cpu_s: float | None = None
    throttled_s: float | None = None
    replies_per_slice: tuple[int, ...] = ()
    num_frames: int | None = None
    open_loop: OpenLoop | None = None
    device: DeviceTimes | None = None


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """What came of one trial; one line of trials.jsonl.

    Attributes:
        contender: label of the contender.
        status: "failed": there are no numbers; ``error`` says why.
        started_at: ISO 8601, UTC, for people.
        duration_s: from the executor's sending of the spec to the record's arrival.
        measurement: None where the trial failed.
        findings: also of a trial that has numbers.
        error: one line; "" where status is "ok".
        stacks: of every thread, where the trial hung or raised; "" otherwise.
        node: label of the node of the cluster that it ran on; "" where there is none.
        is_gil_enabled: whether Python's threads excluded each other when the trial ended; None where
            it could not tell, and before version 6.
    """

    trial_id: str
    round: int
    cell: str
    attempt: int
    position: int
    arm: int
    contender: str
    seed: int
    status: Literal["ok", "failed"]
    started_at: str
    duration_s: float
    measurement: TrialMeasurement | None = None
    findings: tuple[Finding, ...] = ()
    error: str = ""
    stacks: str = ""
    node: str = ""
    is_gil_enabled: bool | None = None

    @property
    def is_invalid(self) -> bool:
        """Whether the numbers, if there are any, must not be used."""
        return any(finding.severity == "INVALID" for finding in self.findings)

    @property
    def is_disturbed(self) -> bool:
        """Whether the machine interfered, so that its block is worth another attempt."""
        return any(finding.severity == "DISTURBED" for finding in self.findings)
