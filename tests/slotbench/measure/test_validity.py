"""Every INVALID rule speaks when it should, and only then."""

from dataclasses import replace
from typing import Any

import pytest

from slotbench.measure.validity import RULES, Evidence, judge
from slotbench.records import Histogram, TrialMeasurement, Window

SOUND = TrialMeasurement(
    window_s=1.0,
    warmup_s=0.3,
    startup_s=0.03,
    teardown_s=0.01,
    num_submitted=1300,
    num_replied=1300,
    num_served=1300,
    num_replies=1000,
    num_batches=100,
    num_rows=1000,
    latency_mean_s=1e-3,
    latency_p50_s=1e-3,
    latency_p90_s=1e-3,
    latency_p99_s=1e-3,
    latency_p999_s=None,
    latency_max_s=2e-3,
    latency=Histogram(),
    batch_sizes=((10, 100),),
    replies_per_actor=(500, 500),
    think_mean_s=1e-5,
    forward_mean_s=1e-4,
    recorder_cost_s=1e-6,
    cpu_s=0.9,
    context_switches_voluntary=10,
    context_switches_involuntary=1,
)


def evidence(measurement: dict[str, Any] | None = None, **changes: Any) -> Evidence:
    sound = Evidence(
        measurement=replace(SOUND, **(measurement or {})),
        identity_problems=(),
        stuck_actors=(),
        settle_s=3.0,
        server_ended=True,
        wall_s=1.30,
        perf_counter_s=1.31,
        window=Window(measure_s=1.0, min_requests=500),
        filled_in_warmup=False,
    )
    return replace(sound, **changes)


def test_a_sound_trial_has_no_findings() -> None:
    """No rule speaks about a trial that is in order."""
    assert judge(evidence()) == ()


@pytest.mark.parametrize(
    ("rule", "case", "detail"),
    [
        ("wrong_reply", evidence(identity_problems=("a", "b")), "a (and 1 more actors)"),
        (
            "lost_reply",
            evidence({"num_replied": 1299}, stuck_actors=(1,)),
            "1 actor(s) (1) had no reply 3 s after the window",
        ),
        (
            "counts",
            evidence({"num_served": 1301}),
            "1300 requests submitted, 1301 rows served by the model, 1300 replies returned",
        ),
        (
            "counts",
            evidence({"num_served": 1299}),
            "1300 requests submitted, 1299 rows served by the model, 1300 replies returned",
        ),
        (
            "recorder",
            evidence({"recorder_cost_s": 6e-4}),
            "recording cost 600.00 µs a request, 60% of the time between two replies",
        ),
        (
            "clock",
            evidence(wall_s=10.0, perf_counter_s=10.2),
            "perf_counter says 10.200 s, the system clock 10.000 s",
        ),
        (
            "window",
            evidence(filled_in_warmup=True),
            "room for samples ran out before the warm-up ended",
        ),
        (
            "window",
            evidence({"num_replies": 3}, window=Window(min_requests=1)),
            "3 replies to 2 actors in 1 s: the window is no longer than what was in flight",
        ),
        (
            "server",
            evidence(server_ended=False),
            "the server's thread did not end on shutdown",
        ),
    ],
)
def test_each_rule_says_what_it_saw(rule: str, case: Evidence, detail: str) -> None:
    """Exactly the rule that is tripped speaks, with the numbers and a remedy."""
    (finding,) = judge(case)

    assert (finding.rule, finding.severity, finding.detail) == (rule, "INVALID", detail)
    assert finding.remedy


@pytest.mark.parametrize(
    ("case", "detail"),
    [
        (evidence({"window_s": 0.2}), "room for samples ran out after 0.2 s of 1 s"),
        (evidence({"num_replies": 400}), "400 replies, 500 were asked for"),
    ],
)
def test_a_window_shorter_than_asked_is_a_warning(case: Evidence, detail: str) -> None:
    """The numbers stand; the record says that they are of less than was asked for."""
    (finding,) = judge(case)

    assert (finding.rule, finding.severity, finding.detail) == (
        "short_window",
        "warning",
        detail,
    )


def test_every_rule_has_been_tripped() -> None:
    """The table above leaves none out."""
    tripped = {
        "wrong_reply",
        "lost_reply",
        "counts",
        "recorder",
        "clock",
        "window",
        "server",
    }

    assert {rule.name for rule in RULES if rule.severity == "INVALID"} == tripped


def test_short_trials_get_no_stricter_clock_check_than_scheduling_allows() -> None:
    """10 ms between the two clocks of a 0.1 s trial is a preemption, not a wrong clock."""
    assert judge(evidence(wall_s=0.11, perf_counter_s=0.1)) == ()
