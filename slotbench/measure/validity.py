"""Which numbers mean what they say: the rules that mark a trial INVALID.

A rule looks at the evidence of one trial and returns what it found, or nothing. It never
looks at whether the result is welcome.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from slotbench.records import Finding, TrialMeasurement, Window

MAX_RECORDER_SHARE: Final = 0.5
"""Of the mean time between two replies of the whole trial, the cost measured through the
contender's own collate. It pulls ratios towards 1 (at a half, a contender that is 2× the
baseline reads 1.5×), and against contenders that pay dearly for one leaf more: TorchRL's
default collate most. Typical is 0.05 to 0.1. Not lower, because the cost itself is timed in
milliseconds on a machine that may be disturbed just then: at a quarter, one honest trial in
a hundred was INVALID."""

MIN_REPLIES_PER_ACTOR: Final = 2
"""On average. With fewer, latencies are those of the start, and what is slower than the
window is not in it at all (Little's law: N = X·R fails)."""

MAX_CLOCK_DISAGREEMENT: Final = 0.01
"""Between perf_counter and the system's clock over the trial, as MLPerf's loadgen allows;
but never stricter than `CLOCK_STEP_S`."""

CLOCK_STEP_S: Final = 0.02
"""Two readings of two clocks, with a preemption between them, may differ by this."""


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


def _recorder(evidence: Evidence) -> str:
    measured = evidence.measurement
    share = measured.recorder_cost_s * measured.num_replies / measured.window_s
    if share <= MAX_RECORDER_SHARE:
        return ""
    return (
        f"recording cost {measured.recorder_cost_s * 1e6:.2f} µs a request, "
        f"{share:.0%} of the time between two replies"
    )


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
    num_actors = len(measured.replies_per_actor)
    if measured.num_replies < MIN_REPLIES_PER_ACTOR * num_actors:
        return (
            f"{measured.num_replies} replies to {num_actors} actors in {measured.window_s:.3g} s: "
            "the window is no longer than what was in flight"
        )
    return ""


def _short_window(evidence: Evidence) -> str:
    measured, window = evidence.measurement, evidence.window
    if measured.window_s < 0.9 * window.measure_s:
        return f"room for samples ran out after {measured.window_s:.3g} s of {window.measure_s:g} s"
    if measured.num_replies < window.min_requests:
        return f"{measured.num_replies} replies, {window.min_requests} were asked for"
    return ""


def _server(evidence: Evidence) -> str:
    return "" if evidence.server_ended else "the server's thread did not end on shutdown"


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that may be wrong with a trial.

    Attributes:
        detail: what was seen; "" where all is well.
    """

    name: str
    severity: Literal["INVALID", "warning"]
    detail: Callable[[Evidence], str]
    remedy: str


RULES: Final = (
    Rule(
        "wrong_reply",
        "INVALID",
        _wrong_reply,
        "the transport mixes up replies; do not use it",
    ),
    Rule(
        "lost_reply",
        "INVALID",
        _lost_reply,
        f"the transport or server drops replies; {_STACKS}",
    ),
    Rule(
        "counts",
        "INVALID",
        _counts,
        "the transport loses or doubles requests; do not use it",
    ),
    Rule("recorder", "INVALID", _recorder, "measure a slower cell, or more actors"),
    Rule(
        "clock", "INVALID", _clock, "the clock was set or the machine suspended; run again"
    ),
    Rule(
        "window", "INVALID", _no_window, "raise window.max_requests or window.max_measure_s"
    ),
    Rule("server", "INVALID", _server, f"the server hangs on shutdown; {_STACKS}"),
    Rule(
        "short_window",
        "warning",
        _short_window,
        "raise window.max_requests or max_measure_s",
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
