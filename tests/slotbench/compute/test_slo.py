"""A load is decided by replicated trials, and the whole answer is right as often as it says."""

import math
import random
from dataclasses import replace

import pytest
from scipy import stats

from slotbench.compute import slo
from slotbench.compute.slo import Ladder, Tried
from slotbench.records import Finding, Limit, SloPlan, SloTrial
from tests.slotbench.conftest import build_trial
from tests.slotbench.support.slos import P99_2MS, measured

LIMITS = P99_2MS.limits
NUM_SEARCHES = 120


def tried_trial(
    p99_s: float | None, *, num_unanswered: int = 0, **changes: object
) -> Tried:
    trial = replace(
        build_trial("slot"), measurement=measured(p99_s, 1000.0, num_unanswered), **changes
    )
    return slo.tried(SloTrial(10, 1000.0, trial), LIMITS)


def searched(
    seed: int,
    *,
    spread: float,
    slow: float = 0.0,
    is_corrected: bool = True,
    looks: tuple[int, ...] | None = None,
) -> tuple[bool, int]:
    """Search where latency is known at every load; is the knee inside, and after how many trials?

    A share ``slow`` of processes is three times as slow as the others.
    """
    chance = random.Random(seed)
    plan = replace(P99_2MS, looks=looks or P99_2MS.looks)
    capacity = 5000.0
    knee = capacity * math.exp(chance.uniform(-1.5, 0.2))
    steps = slo.ladder(plan, capacity, 100.0)
    alpha = slo.level(plan, steps, 1) if is_corrected else 1.0 - plan.confidence
    made: list[tuple[int, Tried]] = []
    while (state := slo.search(made, steps, plan, alpha)).next_index is not None:
        load = slo.load_per_s(state.next_index, plan.precision)
        # Latency as the load itself: of all curves that rise the flattest that is likely.
        margin = math.log(load / knee) + chance.gauss(0.0, spread)
        if slow and chance.random() < slow:
            margin += math.log(3.0)
        made.append((state.next_index, Tried((slo.cut(margin),))))
    low = state.held.load_per_s if state.held else 0.0
    high = state.failed.load_per_s if state.failed else math.inf
    # Where the geometric mean over processes meets the limit.
    return low < knee / 3.0**slow < high, len(made)


def coverage(**options: object) -> float:
    found = [searched(seed, **options) for seed in range(NUM_SEARCHES)]  # type: ignore[arg-type]
    return sum(is_right for is_right, _ in found) / NUM_SEARCHES


@pytest.mark.parametrize("spread", [0.05, 0.3])
def test_the_interval_holds_the_knee_as_often_as_it_says(spread: float) -> None:
    """At least 95 % of searches, whether trials differ by 5 or by 30 %."""
    found = [searched(seed, spread=spread) for seed in range(NUM_SEARCHES)]
    assert sum(is_right for is_right, _ in found) >= 0.95 * NUM_SEARCHES
    most = (slo.max_points(slo.ladder(P99_2MS, 5000.0, 100.0))) * P99_2MS.looks[-1]
    assert max(number for _, number in found) <= most


def test_a_rare_slow_process_does_not_hide_behind_a_few_that_agree() -> None:
    """One in ten is three times as slow: four trials are mostly of the others, and agree."""
    assert coverage(spread=0.03, slow=0.1) >= 0.95


def test_without_the_correction_it_does_not() -> None:
    """So the test above can tell: each test at 5 % leaves too few searches right."""
    assert coverage(spread=0.3, is_corrected=False) < 0.92


@pytest.mark.parametrize(
    ("values", "decision"),
    [
        ([-0.7] * 3, "open"),
        ([-0.70, -0.69, -0.71, -0.68], "holds"),
        ([0.70, 0.69, 0.71, 0.68], "fails"),
        ([-0.7, -0.1, -0.4, 0.2], "open"),
        # The sixth shows that six more would not decide, either.
        ([-0.7, 0.6, -0.4, 0.5, -0.3, 0.3], "undecided"),
        # 16 times as sure at six as at four.
        ([-0.30, -0.20, -0.25, -0.35, -0.22, -0.28], "holds"),
    ],
)
def test_a_load_is_decided_by_its_trials_together(
    values: list[float], decision: str
) -> None:
    assert slo.decide([(value,) for value in values], (4, 6, 8, 12), 1e-3) == decision


def test_one_trial_never_decides() -> None:
    """However far it is from the limit."""
    one = [(math.log(slo.MAX_FACTOR),)]
    assert slo.decide(one, P99_2MS.looks, 0.05) == "open"


def test_the_test_is_students() -> None:
    """Where scipy's own one-sided t test of the same values has its p, the decision turns."""
    values = [-0.31, -0.2, -0.45, -0.12, -0.33, -0.27]
    p = stats.ttest_1samp(values, 0.0, alternative="less").pvalue
    counted = [(value,) for value in values]
    assert slo.decide(counted, (6,), p * 1.001) == "holds"
    assert slo.decide(counted, (6,), p * 0.999) == "undecided"


def test_every_limit_must_hold_and_one_can_fail() -> None:
    """Failing has half of the level each, holding the whole: all must hold at once."""
    under, over = (-0.7, -0.69, -0.71, -0.68), (0.7, 0.69, 0.71, 0.68)
    assert slo.decide(list(zip(under, under, strict=True)), (4,), 1e-3) == "holds"
    assert slo.decide(list(zip(under, over, strict=True)), (4,), 1e-3) == "fails"
    flat = (-0.1, 0.1, -0.1, 0.1)
    assert slo.decide(list(zip(under, flat, strict=True)), (4,), 1e-3) == "undecided"
    p = stats.ttest_1samp(over, 0.0, alternative="greater").pvalue
    assert slo.decide(list(zip(under, over, strict=True)), (4,), 1.5 * p) == "undecided"


def test_an_invalid_or_failed_trial_says_nothing() -> None:
    late = Finding("generator", "INVALID", "late", "")
    assert tried_trial(1e-3, findings=(late,)).margins is None
    assert tried_trial(1e-3, status="failed").margins is None
    assert tried_trial(None).margins is None  # too few requests for a p99
    calm = tried_trial(1e-3)
    assert calm.margins == (pytest.approx(math.log(0.5)),)
    assert calm.values_s == (1e-3,)


def test_a_queue_that_grows_is_an_overload() -> None:
    """Whatever its percentile reads; one that Little's law explains is none."""
    assert tried_trial(1e-3, num_unanswered=150).margins == (math.log(slo.MAX_FACTOR),)
    assert tried_trial(1e-3, num_unanswered=150).is_overloaded
    assert not tried_trial(1e-3, num_unanswered=9).is_overloaded
    # 1 000/s with a mean of 60 ms: some 60 are waiting at any moment.
    assert not tried_trial(180e-3, num_unanswered=60).is_overloaded


def test_disturbed_trials_are_made_again_a_few_times() -> None:
    plan = replace(P99_2MS, looks=(4,))
    steps = Ladder(0.05, 100, 90, 110)
    one = Tried((-0.5,), is_disturbed=True, values_s=(1e-3,))
    made = [(100, one)] * slo.MAX_DISTURBED
    (point,) = slo.search(made, steps, plan, 0.01).points
    assert (point.num_trials, point.num_disturbed, point.decision) == (0, 3, "open")
    (point,) = slo.search([*made, *[(100, one)] * 4], steps, plan, 0.01).points
    assert (point.num_trials, point.decision) == (4, "holds")
    assert point.num_disturbed_counted == 4


def test_a_load_of_which_no_trial_can_be_made_is_given_up() -> None:
    """And nothing above it is tried."""
    made = [(100, Tried(None))] * slo.MAX_UNUSABLE
    found = slo.search(made, Ladder(0.05, 100, 70, 130), P99_2MS, 0.01)
    assert found.points[0].decision == "unmade"
    assert found.next_index == 100 - Ladder(0.05, 100, 70, 130).stride


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"findings": (Finding("generator", "INVALID", "late", ""),)}, "generator"),
        ({"findings": (Finding("clock", "INVALID", "was set", ""),)}, "other"),
        ({"findings": (Finding("lost_reply", "INVALID", "3 actors", ""),)}, "contender"),
        ({"status": "failed", "error": "it died"}, "contender"),
        ({}, ""),
    ],
)
def test_whose_doing_it_is_that_a_trial_has_no_numbers(
    changes: dict[str, object], cause: str
) -> None:
    found = tried_trial(1e-3, **changes)
    assert found.cause == cause
    assert bool(found.problem) == bool(cause)
    made = [(100, found)] * slo.MAX_UNUSABLE
    (point,) = slo.search(made, STEPS, P99_2MS, 0.01).points
    assert (point.cause, point.problem) == (found.cause, found.problem)


STEPS = Ladder(0.05, 100, 72, 130)


@pytest.mark.parametrize(
    ("decisions", "following"),
    [
        ({}, 100),
        ({100: "open"}, 100),
        ({100: "holds"}, 115),
        ({100: "holds", 115: "holds"}, 130),
        ({100: "holds", 115: "holds", 130: "holds"}, None),
        ({100: "fails"}, 85),
        ({100: "fails", 85: "fails"}, 72),
        ({100: "fails", 85: "fails", 72: "fails"}, None),
        ({100: "holds", 115: "fails"}, 107),
        ({100: "holds", 101: "fails", 115: "fails"}, None),
        # Beside what is undecided: first below it, then above.
        ({100: "holds", 107: "undecided", 115: "fails"}, 103),
        ({100: "holds", 106: "holds", 107: "undecided", 115: "fails"}, 111),
        ({106: "holds", 107: "undecided", 108: "fails"}, None),
        ({100: "undecided"}, 85),
        ({100: "undecided", 85: "holds"}, 115),
        ({100: "undecided", 85: "holds", 115: "fails"}, 92),
        # None holds: up as well as down, and near to the lowest that fails.
        ({100: "undecided", 85: "undecided", 72: "undecided"}, 115),
        ({100: "undecided", 72: "undecided", 115: "fails"}, 107),
        ({100: "undecided", 72: "undecided", 107: "undecided", 115: "fails"}, 111),
        ({72: "undecided", 114: "unmade", 115: "fails"}, None),
        # A wall: not above it, but up to it.
        ({100: "holds", 115: "unmade"}, 107),
        ({114: "holds", 115: "unmade"}, None),
    ],
)
def test_what_is_tried_next(
    decisions: dict[int, slo.Decision], following: int | None
) -> None:
    assert slo.next_index(decisions, STEPS) == following


def test_every_search_ends() -> None:
    """Whatever is decided of its loads, after no more of them than its level allows for."""
    for seed in range(3000):
        chance = random.Random(seed)
        knee = chance.randrange(60, 140)
        decisions: dict[int, slo.Decision] = {}
        while (index := slo.next_index(decisions, STEPS)) is not None:
            assert index not in decisions
            sure: slo.Decision = "holds" if index < knee else "fails"
            unsure: slo.Decision = chance.choice(["undecided", "unmade"])
            decisions[index] = unsure if chance.random() < 0.3 else sure
        assert len(decisions) <= slo.max_points(STEPS)


def test_a_ladder_begins_at_half_of_the_closed_loop() -> None:
    steps = slo.ladder(P99_2MS, 8000.0, 100.0)
    assert slo.load_per_s(steps.first, 0.05) == pytest.approx(4000.0, rel=0.03)
    assert slo.load_per_s(steps.highest, 0.05) == pytest.approx(32000.0, rel=0.03)
    assert slo.load_per_s(steps.lowest, 0.05) == pytest.approx(4000 / 2**5, rel=0.2)
    given = slo.ladder(replace(P99_2MS, from_per_s=300.0), None, 200.0)
    assert slo.load_per_s(given.first, 0.05) == pytest.approx(300.0, rel=0.03)
    assert slo.load_per_s(given.lowest, 0.05) == pytest.approx(200.0, rel=0.03)


def test_the_level_is_shared_by_everything_that_is_tested() -> None:
    steps = slo.ladder(P99_2MS, 8000.0, 100.0)
    whole = slo.level(P99_2MS, steps, 3) * 3 * slo.max_points(steps) * len(P99_2MS.looks)
    assert whole == pytest.approx(0.05)


def test_latency_that_falls_where_load_rises_is_told() -> None:
    """As where a batch waits for its timeout at low load; the interval assumes that it does not."""
    made = [(85, Tried((0.5 + x,), values_s=(3e-3,))) for x in (0.0, 0.01, 0.02, 0.03)]
    made += [(100, Tried((-0.5 + x,), values_s=(1e-3,))) for x in (0.0, 0.01, 0.02, 0.03)]
    ((low, high),) = slo.search(made, STEPS, P99_2MS, 0.001).contradictions
    assert (low.load_index, high.load_index) == (85, 100)
    turned = [(185 - index, one) for index, one in made]
    assert slo.search(turned, STEPS, P99_2MS, 0.001).contradictions == ()


def test_limits_are_held_against_their_own_percentiles() -> None:
    limits = (Limit(50.0, 1e-3), Limit(90.0, 1e-3), Limit(99.0, 1e-3))
    trial = replace(build_trial("slot"), measurement=measured(4e-3, 1000.0))
    found = slo.tried(SloTrial(1, 1.0, trial), limits)
    assert found.margins == pytest.approx((0.0, math.log(2.0), math.log(4.0)))


def test_a_plan_of_more_precision_has_a_finer_ladder() -> None:
    plan = SloPlan(LIMITS, precision=0.1)
    steps = slo.ladder(plan, 8000.0, 100.0)
    assert steps.stride == 8
    assert slo.load_per_s(10, 0.1) == 2.594
