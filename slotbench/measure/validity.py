"""Which numbers mean what they say: the rules that mark a trial INVALID.

A rule looks at the evidence of one trial and returns what it found, or nothing. It never
looks at whether the result is welcome.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from slotbench.records import Finding, TrialMeasurement

MAX_RECORDER_SHARE: Final = 0.25
"""Of the mean time between two replies of the whole trial. Stamps and the id check are paid
by every contender alike, so they pull ratios towards 1: at a quarter, a contender that is
2× the baseline reads 1.75×. Above that, the harness is what is measured. A cell with one
actor and no model is the dearest: there the server's part falls on a single row."""

MAX_CLOCK_DISAGREEMENT: Final = 0.01
"""Between perf_counter and the system's clock over the trial, as MLPerf's loadgen allows;
but never stricter than `CLOCK_STEP_S`."""

CLOCK_STEP_S: Final = 0.02
"""Two readings of two clocks, with a preemption between them, may differ by this."""


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
        filled_in_warmup: an actor's room for stamps ran out before the window began.
    """

    measurement: TrialMeasurement
    identity_problems: tuple[str, ...]
    stuck_actors: tuple[int, ...]
    settle_s: float
    server_ended: bool
    wall_s: float
    perf_counter_s: float
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
    if evidence.measurement.num_replies == 0:
        return "no reply returned inside the window"
    return ""


def _server(evidence: Evidence) -> str:
    return "" if evidence.server_ended else "the server's thread did not end on shutdown"


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason for INVALID."""

    name: str
    detail: Callable[[Evidence], str]
    remedy: str


INVALID_RULES: Final = (
    Rule("wrong_reply", _wrong_reply, "the transport mixes up replies; do not use it"),
    Rule(
        "lost_reply", _lost_reply, "the transport or server drops replies; see the stacks"
    ),
    Rule("counts", _counts, "the transport loses or doubles requests; do not use it"),
    Rule("recorder", _recorder, "measure a slower cell, or fewer actors"),
    Rule("clock", _clock, "the clock was set or the machine suspended; run again"),
    Rule("window", _no_window, "raise window.max_requests or window.max_measure_s"),
    Rule("server", _server, "the server hangs on shutdown; see the stacks"),
)


def judge(evidence: Evidence) -> tuple[Finding, ...]:
    """Apply every rule, in the order above."""
    findings = ((rule, rule.detail(evidence)) for rule in INVALID_RULES)
    return tuple(
        Finding(rule.name, "INVALID", detail, rule.remedy)
        for rule, detail in findings
        if detail
    )
