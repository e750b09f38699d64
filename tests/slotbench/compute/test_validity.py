"""Every rule speaks when it should, and only then."""

from dataclasses import replace
from typing import Any

import pytest

from slotbench.compute.validity import RULES, Evidence, Severity, judge
from slotbench.records import Histogram, OpenLoop, TrialMeasurement, Window

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


OPEN = OpenLoop(
    num_intended=1000,
    num_unanswered=0,
    call_p50_s=1e-3,
    call_p99_s=1e-3,
    late_mean_s=2e-5,
    late_p99_s=5e-5,
    late=Histogram(),
    free_p50_s=1e-3,
    free_p99_s=1e-3,
)


def open_loop(measurement: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Changes to a sound trial's measurement that make it an open loop's."""
    return {"open_loop": replace(OPEN, **changes), "think_mean_s": None} | (
        measurement or {}
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
    assert judge(evidence({"num_frames": 800}, buffered_frames=200)) == ()


NUM_CPUS = 4
INVALID = [
    ("wrong_reply", evidence(identity_problems=("a", "b")), "a (and 1 more actors)"),
    (
        "lost_reply",
        evidence({"num_replied": 1299}, stuck_actors=(1,)),
        "1 actor(s) (1) had no reply 3 s after the window",
    ),
    (
        "frames",
        evidence({"num_frames": 800}, buffered_frames=199),
        "1000 steps were taken and 800 frames collected in 1 s",
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
        evidence(
            {"num_replies": 500, "replies_per_actor": (1,) * 500},
            window=Window(min_requests=1),
        ),
        "500 replies to 500 actors in 1 s: the window is no longer than what was in flight",
    ),
    (
        "window",
        evidence(open_loop({"num_replies": 0})),
        "no reply came in the window of 1 s",
    ),
    (
        "generator",
        evidence(open_loop({"latency_p50_s": 1.2e-3}, free_p50_s=1.0e-3)),
        "200 µs of the p50 latency of 1200 µs passed before the request was submitted, "
        "with a free slot",
    ),
    (
        "generator",
        evidence(open_loop({"latency_p99_s": 4e-3}, free_p99_s=3.5e-3)),
        "500 µs of the p99 latency of 4000 µs passed before the request was submitted, "
        "with a free slot",
    ),
    (
        "server",
        evidence(server_ended=False),
        "the server's thread did not end on shutdown",
    ),
]
DISTURBED = [
    (
        "steal",
        evidence({"steal_s": 0.5, "num_cpus": NUM_CPUS}),
        "the hypervisor gave 12% of the CPUs' time to others",
    ),
    (
        "foreign_load",
        evidence({"foreign_cpu_s": 1.0, "num_cpus": NUM_CPUS}),
        "other processes used 25% of the CPUs' time",
    ),
]
WARNINGS = [
    (
        "throttling",
        evidence({"throttled_s": 0.02}),
        "the CPU quota held threads back for 0.02 s of a window of 1 s",
    ),
    (
        "recorder_share",
        evidence({"recorder_cost_s": 3e-4}),
        "recording cost 300.00 µs a request, 30% of the time between two replies",
    ),
    (
        "short_window",
        evidence({"window_s": 0.2}),
        "room for samples ran out after 0.2 s of 1 s",
    ),
    (
        "short_window",
        evidence({"num_replies": 490}),
        "490 replies, 500 were asked for",
    ),
    (
        "short_window",
        evidence(open_loop(num_intended=499), window=Window(min_requests=500)),
        "499 requests due, 500 were asked for",
    ),
    (
        "overload",
        evidence(open_loop(num_intended=1053)),
        "1053 requests were due and 1000 answered in 1 s: the backlog grows, and with it every latency",
    ),
    (
        "overload",
        evidence(open_loop(num_intended=1001, num_unanswered=11)),
        "11 of 1001 requests that were due were never submitted: they waited longer than is counted",
    ),
    (
        "percentile",
        evidence(open_loop(num_intended=300), window=Window(min_requests=1)),
        "300 requests due are too few for p99 latency (459): n/a",
    ),
    (
        "few_replies",
        evidence({"replies_per_actor": (3, 4) * 150}),
        "1000 replies to 300 actors: what was in flight at the window's ends is a good part of it",
    ),
    (
        "percentile",
        evidence({"num_replies": 300}, window=Window(min_requests=1)),
        "300 replies are too few for p99 latency (459): n/a",
    ),
    (
        "unsteady",
        evidence({"replies_per_slice": (140,) * 5 + (60,) * 5}),
        "700 replies in the window's first half, 300 in its second",
    ),
    (
        "preempted",
        evidence({"context_switches_voluntary": 100, "context_switches_involuntary": 300}),
        "75% of 400 context switches were involuntary: "
        "more threads wanted to run than there are CPUs",
    ),
    (
        "gil_back",
        evidence(unasked_gil="envpool"),
        "module envpool turned the GIL on in a free-threaded Python",
    ),
    (
        "gil_back",
        evidence(unasked_gil=""),
        "a module turned the GIL on in a free-threaded Python",
    ),
]


def test_yields_of_a_lock_that_spins_are_no_preemption() -> None:
    """Whatever its GIL is: the build decides whether locks spin."""
    switches = {"context_switches_voluntary": 100, "context_switches_involuntary": 300}
    judged = judge(evidence(switches, has_spinning_locks=True))

    assert "preempted" not in {one.rule for one in judged}


@pytest.mark.parametrize(
    ("severity", "rule", "case", "detail"),
    [
        (severity, *tripped)
        for severity, cases in (
            ("INVALID", INVALID),
            ("DISTURBED", DISTURBED),
            ("warning", WARNINGS),
        )
        for tripped in cases
    ],
)
def test_each_rule_says_what_it_saw(
    severity: Severity, rule: str, case: Evidence, detail: str
) -> None:
    """Exactly the rule that is tripped speaks, with the numbers and a remedy."""
    (finding,) = judge(case)

    assert (finding.rule, finding.severity, finding.detail) == (rule, severity, detail)
    assert finding.remedy


def test_every_rule_has_been_tripped() -> None:
    """The tables above leave none out."""
    tripped = [(name, case) for name, case, _ in (*INVALID, *DISTURBED, *WARNINGS)]

    assert {rule.name for rule in RULES} == {name for name, _ in tripped}


def test_every_rule_explains_itself() -> None:
    """Names are unique; what it takes, why and what to do are said without a full stop."""
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        for text in (rule.threshold, rule.why, rule.remedy):
            assert text
            assert text == text.strip().rstrip(".")


@pytest.mark.parametrize(
    "measured",
    [
        {"steal_s": 0.4, "num_cpus": NUM_CPUS},
        {"foreign_cpu_s": 0.4, "num_cpus": NUM_CPUS},
        {"foreign_cpu_s": 0.05, "num_cpus": 1, "window_s": 0.4},  # ticks of a short window
        {"throttled_s": 0.01},
        {"recorder_cost_s": 2.5e-4},
        {"replies_per_slice": (114,) * 5 + (86,) * 5},
        {"replies_per_slice": (30, 0) * 1, "replies_per_actor": (1, 1)},  # lumps of a batch
        {"context_switches_voluntary": 200, "context_switches_involuntary": 300},
        {"context_switches_voluntary": 0, "context_switches_involuntary": 199},
        # A tenth of what is shown is the generator's own, and what any generator's is.
        open_loop({"latency_p50_s": 2.0e-3}, free_p50_s=1.81e-3),
        open_loop({"latency_p99_s": 1.5e-4}, free_p99_s=1.0e-4),
        # Too few for a percentile, or for a queue of one an actor to be a backlog.
        open_loop({"latency_p99_s": None}, free_p99_s=None),
        open_loop(num_intended=1052),
        open_loop({"replies_per_actor": (1,) * 1000}, num_intended=2000),
        # Of a Poisson process 40 % more in one half of 100 are no trend; nor is one an actor few.
        open_loop({"replies_per_slice": (12,) * 5 + (8,) * 5}),
        open_loop({"replies_per_actor": (1,) * 1000}),
    ],
)
def test_a_rule_does_not_speak_below_its_threshold(measured: dict[str, Any]) -> None:
    """At the threshold itself all is well."""
    asked = Window(measure_s=measured.get("window_s", 1.0), min_requests=500)

    assert judge(evidence(measured, window=asked)) == ()


def test_what_a_machine_does_not_say_disturbs_nothing() -> None:
    """Elsewhere than on Linux nothing is known of steal, load and quotas."""
    unknown = {"num_cpus": 2, "steal_s": None, "foreign_cpu_s": None, "throttled_s": None}

    assert judge(evidence(unknown)) == ()


def test_short_trials_get_no_stricter_clock_check_than_scheduling_allows() -> None:
    """10 ms between the two clocks of a 0.1 s trial is a preemption, not a wrong clock."""
    assert judge(evidence(wall_s=0.11, perf_counter_s=0.1)) == ()
