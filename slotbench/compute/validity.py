"""Which numbers mean what they say: every rule that marks a trial, in one table.

A rule looks at the evidence of one trial and returns what it found, or nothing. It never
looks at whether the result is welcome: a DISTURBED block is measured again, and choosing by
outcome would bias what is kept.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from slotbench.compute import metrics, percentiles
from slotbench.records import Finding, TrialMeasurement, Window

Severity = Literal["INVALID", "DISTURBED", "warning"]

MAX_RECORDER_SHARE: Final = 0.5
"""Of the mean time between two replies of the whole trial, the cost measured through the
contender's own collate. It pulls ratios towards 1 (at a half, a contender that is 2× the
baseline reads 1.5×), and against contenders that pay dearly for one leaf more: TorchRL's
default collate most. Typical is 0.05 to 0.1. Not lower, because the cost itself is timed in
milliseconds on a machine that may be disturbed just then: at a quarter, one honest trial in
a hundred was INVALID."""

WARN_RECORDER_SHARE: Final = 0.25
"""One honest trial in a hundred has more (the reference run of `limits`)."""

MIN_REPLIES_PER_ACTOR: Final = 2
"""On average. With fewer, latencies are those of the start, and what is slower than the
window is not in it at all (Little's law: N = X·R fails)."""

WANTED_REPLIES_PER_ACTOR: Final = 5
"""What a window is prolonged for: with fewer, what was in flight at its two ends is a good
part of it."""

MAX_GENERATOR_SHARE: Final = 0.1
"""Of an open loop's p50 or p99 latency, what is only the generator's own delay,"""

MAX_GENERATOR_S: Final = 50e-6
"""and at least so much: a thread that sleeps alone, with exact timers, goes on 22 to 26 µs late in half
of all cases and 46 to 70 in one of a hundred (1 500 sleeps of 0.2 and of 1 ms, 2 virtual CPUs that
others used, too). No generator that leaves the processors to what it measures does much better."""

MAX_BACKLOG_SHARE: Final = 0.05
"""By which replies may fall behind what is due in an open loop's window, and one an actor: a queue
that is long but stable holds as much at the window's end as at its begin."""

MAX_UNANSWERED_SHARE: Final = 0.01
"""Of what was due in an open loop's window, what was never submitted: of so much p99 is made, which
is then a lower limit."""

MIN_POISSON_SDS: Final = 4.0
"""Standard deviations by which a Poisson process's counts must differ to be called unsteady."""

MAX_CLOCK_DISAGREEMENT: Final = 0.01
"""Between perf_counter and the system's clock over the trial, as MLPerf's loadgen allows;
but never stricter than `CLOCK_STEP_S`."""

CLOCK_STEP_S: Final = 0.02
"""Two readings of two clocks, with a preemption between them, may differ by this."""

MAX_STEAL_SHARE: Final = 0.1
"""Of the CPUs' time in the window."""

MAX_FOREIGN_SHARE: Final = 0.1
"""Of the CPUs' time in the window, and at least `TICKS_S`."""

TICKS_S: Final = 0.05
"""What ``/proc/stat``, which counts in ticks of 10 ms, may be off in a short window."""

MAX_THROTTLED_SHARE: Final = 0.01
"""Of the window."""

MAX_INVOLUNTARY_SHARE: Final = 0.6
"""Of all context switches: threads that fight for the GIL are preempted in 10 to 25 % of them,
on a single core in up to 55 % (the reference runs)."""

MIN_INVOLUNTARY_PER_S: Final = 200.0
"""Below, nobody was kept from running for long."""

MAX_FRAMES_DIFFERENCE: Final = 0.1
"""Between a collector's steps and the frames that it hands on, in relation to the steps: a buffer
that fills, or empties, in the window."""

MAX_HALVES_DIFFERENCE: Final = 0.3
"""Of replies, between the window's halves, in relation to their mean."""

MIN_UNSTEADY_REPLIES_PER_ACTOR: Final = 20
"""Replies come in batches; with fewer, a batch more in one half is a difference."""


_STACKS: Final = "its record in trials.jsonl has the stacks of all threads"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the rules look at.

    Attributes:
        measurement: the trial's numbers.
        identity_problems: what each actor's id check found, at most one an actor.
        stuck_actors: actors that still waited for a reply when the settling time ran out.
        settle_s: the settling time.
        server_ended: whether the server's thread ended when it was told to.
        wall_s, perf_counter_s: length of the trial by two clocks.
        window: as the scenario asked for it.
        filled_in_warmup: an actor's room for stamps ran out before the window began.
        buffered_frames: steps that a collector may hold back while it works as it should.
        has_spinning_locks: whether this build of Python tries a lock that is taken again before it sleeps.
        unasked_gil: what turned the GIL on in a Python built without it, "" if that is not known; None
            where it is off, was asked for, or is all that this Python has.
    """

    measurement: TrialMeasurement
    identity_problems: tuple[str, ...]
    stuck_actors: tuple[int, ...]
    settle_s: float
    server_ended: bool
    wall_s: float
    perf_counter_s: float
    window: Window
    filled_in_warmup: bool
    buffered_frames: int = 0
    has_spinning_locks: bool = False
    unasked_gil: str | None = None


def _wrong_reply(evidence: Evidence) -> str:
    problems = evidence.identity_problems
    more = f" (and {len(problems) - 1} more actors)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}" if problems else ""


def _lost_reply(evidence: Evidence) -> str:
    stuck = evidence.stuck_actors
    if not stuck:
        return ""
    some = ", ".join(map(str, stuck[:5])) + (", …" if len(stuck) > 5 else "")
    return f"{len(stuck)} actor(s) ({some}) had no reply {evidence.settle_s:g} s after the window"


def _counts(evidence: Evidence) -> str:
    counts = evidence.measurement
    if evidence.stuck_actors and counts.num_served <= counts.num_submitted:
        return ""  # said by lost_reply
    if counts.num_submitted == counts.num_replied == counts.num_served:
        return ""
    return (
        f"{counts.num_submitted} requests submitted, {counts.num_served} rows served by "
        f"the model, {counts.num_replied} replies returned"
    )


def _recorder(above: float, up_to: float) -> Callable[[Evidence], str]:
    def detail(evidence: Evidence) -> str:
        measured = evidence.measurement
        share = measured.recorder_cost_s * measured.num_replies / measured.window_s
        if not above < share <= up_to:
            return ""
        return (
            f"recording cost {measured.recorder_cost_s * 1e6:.2f} µs a request, "
            f"{share:.0%} of the time between two replies"
        )

    return detail


def _clock(evidence: Evidence) -> str:
    difference_s = abs(evidence.wall_s - evidence.perf_counter_s)
    allowed_s = max(CLOCK_STEP_S, MAX_CLOCK_DISAGREEMENT * evidence.perf_counter_s)
    if difference_s <= allowed_s:
        return ""
    return (
        f"perf_counter says {evidence.perf_counter_s:.3f} s, the system clock "
        f"{evidence.wall_s:.3f} s"
    )


def _no_window(evidence: Evidence) -> str:
    if evidence.filled_in_warmup:
        return "room for samples ran out before the warm-up ended"
    measured = evidence.measurement
    if measured.open_loop is not None:
        due = measured.open_loop.num_intended
        if due and measured.num_replies:
            return ""
        what = "no reply came" if due else "no request was due"
        return f"{what} in the window of {measured.window_s:.3g} s"
    num_actors = len(measured.replies_per_actor)
    if measured.num_replies < MIN_REPLIES_PER_ACTOR * num_actors:
        return (
            f"{measured.num_replies} replies to {num_actors} actors in {measured.window_s:.3g} s: "
            "the window is no longer than what was in flight"
        )
    return ""


def _generator(evidence: Evidence) -> str:
    measured, of = evidence.measurement, evidence.measurement.open_loop
    if of is None:
        return ""
    for name, shown_s, without_s in (
        ("p50", measured.latency_p50_s, of.free_p50_s),
        ("p99", measured.latency_p99_s, of.free_p99_s),
    ):
        if shown_s is None or without_s is None:
            continue
        own_s = shown_s - without_s
        if own_s > max(MAX_GENERATOR_SHARE * shown_s, MAX_GENERATOR_S):
            return (
                f"{own_s * 1e6:.0f} µs of the {name} latency of {shown_s * 1e6:.0f} µs passed "
                "before the request was submitted, with a free slot"
            )
    return ""


def _overload(evidence: Evidence) -> str:
    measured, of = evidence.measurement, evidence.measurement.open_loop
    if of is None or not measured.num_replies:
        return ""  # no reply at all is no window
    behind = of.num_intended - measured.num_replies
    allowed = MAX_BACKLOG_SHARE * of.num_intended
    if behind <= max(allowed, len(measured.replies_per_actor)):
        if of.num_unanswered <= MAX_UNANSWERED_SHARE * of.num_intended:
            return ""
        return (
            f"{of.num_unanswered} of {of.num_intended} requests that were due were never submitted: "
            "they waited longer than is counted"
        )
    return (
        f"{of.num_intended} requests were due and {measured.num_replies} answered in "
        f"{measured.window_s:.3g} s: the backlog grows, and with it every latency"
    )


def _frames(evidence: Evidence) -> str:
    measured = evidence.measurement
    if measured.num_frames is None:
        return ""
    apart = abs(measured.num_frames - measured.num_replies)
    allowed = max(MAX_FRAMES_DIFFERENCE * measured.num_replies, evidence.buffered_frames)
    if apart <= allowed:
        return ""
    return (
        f"{measured.num_replies} steps were taken and {measured.num_frames} frames collected in "
        f"{measured.window_s:.3g} s"
    )


def _short_window(evidence: Evidence) -> str:
    measured, window = evidence.measurement, evidence.window
    if measured.window_s < 0.9 * window.measure_s:
        return f"room for samples ran out after {measured.window_s:.3g} s of {window.measure_s:g} s"
    if measured.open_loop is not None:
        due = measured.open_loop.num_intended
        is_few = due < window.min_requests
        return f"{due} requests due, {window.min_requests} were asked for" if is_few else ""
    if measured.num_replies < window.min_requests:
        return f"{measured.num_replies} replies, {window.min_requests} were asked for"
    return ""


def _few_replies(evidence: Evidence) -> str:
    measured = evidence.measurement
    if measured.open_loop is not None:
        return ""  # each request that is due counts whole
    num_actors = len(measured.replies_per_actor)
    wanted = WANTED_REPLIES_PER_ACTOR * num_actors
    if not MIN_REPLIES_PER_ACTOR * num_actors <= measured.num_replies < wanted:
        return ""  # fewer still is INVALID
    return (
        f"{measured.num_replies} replies to {num_actors} actors: "
        "what was in flight at the window's ends is a good part of it"
    )


def _percentile(evidence: Evidence) -> str:
    measured, of = evidence.measurement, evidence.measurement.open_loop
    found, what = measured.num_replies, "replies"
    if of is not None:
        found, what = of.num_intended, "requests due"
    needed = {
        name: percentiles.MIN_SAMPLES[percent]
        for name, percent in _PERCENTILES.items()
        if found < percentiles.MIN_SAMPLES[percent]
    }
    if not needed:
        return ""
    some = " and ".join(
        f"{metrics.get(name).label} ({count})" for name, count in needed.items()
    )
    return f"{found} {what} are too few for {some}: n/a"


_PERCENTILES: Final = {"latency_p50": 50.0, "latency_p99": 99.0}
"""Metric → percentile. p99.9 needs 4 603 replies and is no metric."""


def _server(evidence: Evidence) -> str:
    return "" if evidence.server_ended else "the server's thread did not end on shutdown"


def _steal(evidence: Evidence) -> str:
    taken = _share_of_cpus(evidence, evidence.measurement.steal_s)
    if taken <= MAX_STEAL_SHARE:
        return ""
    return f"the hypervisor gave {taken:.0%} of the CPUs' time to others"


def _foreign_load(evidence: Evidence) -> str:
    foreign_s = evidence.measurement.foreign_cpu_s
    taken = _share_of_cpus(evidence, foreign_s)
    if taken <= MAX_FOREIGN_SHARE or (foreign_s or 0.0) <= TICKS_S:
        return ""
    return f"other processes used {taken:.0%} of the CPUs' time"


def _throttling(evidence: Evidence) -> str:
    measured = evidence.measurement
    held_s = measured.throttled_s or 0.0
    if held_s <= MAX_THROTTLED_SHARE * measured.window_s:
        return ""
    return f"the CPU quota held threads back for {held_s:.3g} s of a window of {measured.window_s:.3g} s"


def _preempted(evidence: Evidence) -> str:
    """Not judged of a free-threaded build: it tries a lock that is taken 40 times, with sched_yield(2) between.

    Also where its GIL is on. Linux counts each of these as an involuntary switch (CPython's
    ``Python/lock.c``, MAX_SPIN_COUNT).
    """
    measured = evidence.measurement
    involuntary = measured.context_switches_involuntary
    switches = involuntary + measured.context_switches_voluntary
    if (
        evidence.has_spinning_locks
        or involuntary < MIN_INVOLUNTARY_PER_S * measured.window_s
    ):
        return ""
    if involuntary <= MAX_INVOLUNTARY_SHARE * switches:
        return ""
    return (
        f"{involuntary / switches:.0%} of {switches} context switches were involuntary: "
        "more threads wanted to run than there are CPUs"
    )


def _unsteady(evidence: Evidence) -> str:
    measured = evidence.measurement
    slices, num_actors = measured.replies_per_slice, len(measured.replies_per_actor)
    total = sum(slices)
    if total < MIN_UNSTEADY_REPLIES_PER_ACTOR * num_actors or not total:
        return ""
    first = sum(slices[: len(slices) // 2])
    allowed = MAX_HALVES_DIFFERENCE * total / 2
    if measured.open_loop is not None:
        allowed = max(allowed, MIN_POISSON_SDS * math.sqrt(total))
    if abs(total - 2 * first) <= allowed:
        return ""
    return f"{first} replies in the window's first half, {total - first} in its second"


def _gil_back(evidence: Evidence) -> str:
    if evidence.unasked_gil is None:
        return ""
    what = f"module {evidence.unasked_gil}" if evidence.unasked_gil else "a module"
    return f"{what} turned the GIL on in a free-threaded Python"


def _share_of_cpus(evidence: Evidence, used_s: float | None) -> float:
    """Return the share of the CPUs' time in the window; 0 where it is not known."""
    measured = evidence.measurement
    if used_s is None or not measured.num_cpus or measured.window_s <= 0:
        return 0.0
    return used_s / (measured.num_cpus * measured.window_s)


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that may be wrong with a trial.

    Attributes:
        severity: "INVALID": the number is not what it claims, and is never used.
            "DISTURBED": the machine interfered; the block is measured again. "warning":
            the number stands.
        threshold: what it takes, for people.
        why: what it would do to the number.
        detail: what was seen; "" where all is well.
        remedy: what to do about it.
    """

    name: str
    severity: Severity
    threshold: str
    why: str
    detail: Callable[[Evidence], str]
    remedy: str


RULES: Final = (
    Rule(
        "wrong_reply",
        "INVALID",
        "any reply whose id is not its request's",
        "a transport that answers with anything at all is fast",
        _wrong_reply,
        "the transport mixes up replies; do not use it",
    ),
    Rule(
        "lost_reply",
        "INVALID",
        "any actor without a reply some seconds after the window",
        "requests that are never answered cost nothing",
        _lost_reply,
        f"the transport or server drops replies; {_STACKS}",
    ),
    Rule(
        "counts",
        "INVALID",
        "requests submitted, rows served and replies returned are not the same number",
        "what was served twice, or not at all, was counted",
        _counts,
        "the transport loses or doubles requests; do not use it",
    ),
    Rule(
        "recorder",
        "INVALID",
        f"recording takes over {MAX_RECORDER_SHARE:.0%} of the time between two replies",
        "the harness would be measured, and ratios be pulled towards 1",
        _recorder(MAX_RECORDER_SHARE, math.inf),
        "measure a slower cell, or more actors",
    ),
    Rule(
        "clock",
        "INVALID",
        f"two clocks differ by over {MAX_CLOCK_DISAGREEMENT:.0%} of the trial and {CLOCK_STEP_S * 1e3:g} ms",
        "durations of a clock that was set mean nothing",
        _clock,
        "the clock was set or the machine suspended; run again",
    ),
    Rule(
        "window",
        "INVALID",
        f"no window, or under {MIN_REPLIES_PER_ACTOR} replies an actor in it",
        "latencies would be those of the start, and the slowest requests not be seen at all",
        _no_window,
        "raise window.max_requests or window.max_measure_s",
    ),
    Rule(
        "generator",
        "INVALID",
        f"over {MAX_GENERATOR_SHARE:.0%} of an open loop's p50 or p99 latency, and over "
        f"{MAX_GENERATOR_S * 1e6:.0f} µs, is the harness's own delay with a free slot",
        "the harness, which woke late, would be measured; a wait for a busy slot is the transport's",
        _generator,
        "fewer actors, more CPUs or a quieter machine: actors must get to run when they are due",
    ),
    Rule(
        "frames",
        "INVALID",
        f"steps and frames collected differ by over {MAX_FRAMES_DIFFERENCE:.0%}, and by more than "
        "batches and chunks hold back",
        "a buffer that fills or empties would be counted as speed",
        _frames,
        "raise window.max_measure_s, or lower the collector's frames_per_batch",
    ),
    Rule(
        "server",
        "INVALID",
        "the server's thread has not ended some seconds after it was told to",
        "a server that hangs may have hung before",
        _server,
        f"the server hangs on shutdown; {_STACKS}",
    ),
    Rule(
        "steal",
        "DISTURBED",
        f"the hypervisor gave over {MAX_STEAL_SHARE:.0%} of the CPUs' time to others",
        "the machine was slower than it is",
        _steal,
        "run when the host is quieter, or on a machine with CPUs of its own",
    ),
    Rule(
        "foreign_load",
        "DISTURBED",
        f"other processes used over {MAX_FOREIGN_SHARE:.0%} of the CPUs' time",
        "they took CPU time and caches from the trial",
        _foreign_load,
        "stop what else runs, or keep it off these CPUs (taskset)",
    ),
    Rule(
        "throttling",
        "warning",
        f"a CPU quota held threads back for over {MAX_THROTTLED_SHARE:.0%} of the window",
        "all stand still until the quota's next period: tails and throughput are the quota's",
        _throttling,
        "raise the container's CPU limit, or set num_slots and threads to fit it",
    ),
    Rule(
        "overload",
        "warning",
        f"in an open loop, replies fall behind what is due by over {MAX_BACKLOG_SHARE:.0%}, and by "
        f"over one an actor; or over {MAX_UNANSWERED_SHARE:.0%} of it is never submitted",
        "beyond saturation latency is as long as the window lets it become",
        _overload,
        "read its throughput, not its latency; or lower load.per_actor_per_s",
    ),
    Rule(
        "recorder_share",
        "warning",
        f"recording takes over {WARN_RECORDER_SHARE:.0%} of the time between two replies",
        "differences look smaller than they are",
        _recorder(WARN_RECORDER_SHARE, MAX_RECORDER_SHARE),
        "true ratios are further from 1; measure a slower cell to see them",
    ),
    Rule(
        "short_window",
        "warning",
        "under window.min_requests replies, or under 90 % of window.measure_s",
        "it is shorter than the scenario asks for",
        _short_window,
        "raise window.max_requests or max_measure_s",
    ),
    Rule(
        "few_replies",
        "warning",
        f"under {WANTED_REPLIES_PER_ACTOR} replies an actor",
        "what was in flight when the window began or ended weighs too much",
        _few_replies,
        "raise window.max_measure_s",
    ),
    Rule(
        "percentile",
        "warning",
        " or ".join(
            f"under {percentiles.MIN_SAMPLES[percent]} replies for p{percent:g}"
            for percent in _PERCENTILES.values()
        ),
        "a percentile of too few samples is one sample's luck: it is n/a",
        _percentile,
        "raise window.min_requests",
    ),
    Rule(
        "unsteady",
        "warning",
        f"replies in the window's halves differ by over {MAX_HALVES_DIFFERENCE:.0%}",
        "one number for a rate that changes; warm-up may not have ended",
        _unsteady,
        "raise window.warmup_s or measure_s; look at replies_per_slice in its record",
    ),
    Rule(
        "preempted",
        "warning",
        f"over {MAX_INVOLUNTARY_SHARE:.0%} of context switches are involuntary, but for free-threaded builds",
        "threads waited for a CPU, not for the transport",
        _preempted,
        "fewer busy actors, torch_threads = 1, or more CPUs",
    ),
    Rule(
        "gil_back",
        "warning",
        "a free-threaded Python ends the trial with the GIL on, and neither -X gil=1 nor PYTHON_GIL=1 "
        "asked for it",
        "it is a trial with a GIL, under the name of one without",
        _gil_back,
        "use a version of that module for free-threaded Python, do without it, or, if it is known to be "
        "safe, start that Python with -X gil=0; to race with the GIL say so: -X gil=1",
    ),
)


def judge(evidence: Evidence) -> tuple[Finding, ...]:
    """Apply every rule, in the order above."""
    findings = ((rule, rule.detail(evidence)) for rule in RULES)
    return tuple(
        Finding(rule.name, rule.severity, detail, rule.remedy)
        for rule, detail in findings
        if detail
    )
