"""What is recommended: known cases, ties, needs, and what a race changes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slotbench.compute import advice, forecast, transport_costs
from slotbench.compute.advice import Arm, Basis
from slotbench.compute.transport_costs import TransportCost
from slotbench.records import (
    Batching,
    Choice,
    Leaf,
    Model,
    Observation,
    Raced,
    ThinkTime,
    Window,
    Workload,
)

FREE = TransportCost(*[1e-9] * 5)
"""A transport that costs as good as nothing: what the literature's cases are about."""
FITTED = transport_costs.load()
NO_THINK, NO_MODEL = ThinkTime(), Model()


def basis(
    num_slots: int = 64,
    *,
    think: ThinkTime = NO_THINK,
    model: Model = NO_MODEL,
    costs: dict[str, TransportCost] | None = None,
    max_latency_s: float | None = None,
    shape: tuple[int, ...] = (8,),
) -> Basis:
    leaves = (Leaf("observation", shape, "float32"),)
    workload = Workload(num_slots, Observation(leaves), think, model, Batching(), Window())
    fitted = FITTED if costs is None else replace(FITTED, costs=costs)
    return Basis(workload, forecast.nominal(workload, 4), fitted, 1.0, True, max_latency_s)


def exponential(num_slots: int, think_ms: float, batch_ms: float, row_ms: float) -> Basis:
    return basis(
        num_slots,
        think=ThinkTime("exponential", think_ms),
        model=Model(latency_ms=batch_ms, latency_per_item_ms=row_ms),
        costs={"threading": FREE, "slot": FREE},
    )


# ---- known cases: rows per millisecond by a discrete-event simulation of others


@pytest.mark.parametrize(
    ("num_slots", "think", "a", "b", "star", "greedy", "best_m", "best", "whole"),
    [
        (8, 1.0, 0.3, 0.15, 3.7, 3.75, None, None, 1.88),
        (32, 1.0, 1.0, 0.01, 17, 11.45, None, None, 5.98),
        (64, 0.2, 2.0, 0.02, 60, 12.13, 60, 16.13, 15.13),
        (64, 5.0, 20.0, 0.1, 53, 1.37, 53, 1.61, 1.28),
        (32, 5.0, 0.5, 0.05, 3.9, 5.25, 4, 5.36, 1.43),
    ],
)
def test_the_cases_of_the_literature(
    num_slots: int,
    think: float,
    a: float,
    b: float,
    star: float,
    greedy: float,
    best_m: int | None,
    best: float | None,
    whole: float,
) -> None:
    """n* and the rates under a minimum of 1, of n* and of all, without a timeout, within 4 %."""
    one = exponential(num_slots, think, a, b)

    def rate(least: int) -> float:
        rule = Batching(least, num_slots, 60_000.0)
        return advice.told(one, "threading", rule).per_s / 1e3

    assert advice.balance(one) == pytest.approx(star, rel=0.03)
    assert rate(1) == pytest.approx(greedy, rel=0.04)
    assert rate(num_slots) == pytest.approx(whole, rel=0.04)
    if best_m is not None:
        assert rate(best_m) == pytest.approx(best, rel=0.04)


def test_a_policy_that_is_slower_than_a_step_gets_a_minimum_of_about_the_balance() -> None:
    """64 environments of 5 ms, 20 ms and 0.1 ms a row: about 53 beats greedy and all alike."""
    rule = advice.best_rule(exponential(64, 5.0, 20.0, 0.1), "threading")
    assert rule.min_batch_size == 53


def test_environments_that_are_slower_than_the_policy_get_no_minimum() -> None:
    """Within δ of the best, and simpler."""
    rule = advice.best_rule(exponential(32, 50.0, 1.0, 0.0), "threading")
    assert rule == Batching(1, 32, 10.0)


def test_a_minimum_has_the_time_that_it_takes_to_fill() -> None:
    """Two cycles, where the usual 10 ms would end it."""
    rules = advice.rules(exponential(64, 100.0, 20.0, 0.1))
    assert {rule.timeout_ms for rule in rules if rule.min_batch_size > 1} == {10.0, 253.0}
    assert {rule.timeout_ms for rule in rules if rule.min_batch_size == 1} == {10.0}


@pytest.mark.parametrize("num_slots", [1, 2, 3, 1025, 16_384])
def test_every_rule_can_be_kept(num_slots: int) -> None:
    """At least one, at most all, no minimum above the maximum, none twice."""
    rules = advice.rules(exponential(num_slots, 1.0, 1.0, 0.0))
    assert len(set(rules)) == len(rules)
    for rule in rules:
        assert 1 <= rule.min_batch_size <= rule.max_batch_size <= num_slots


def test_where_nothing_takes_time_there_is_no_balance() -> None:
    """And yet a forecast."""
    one = basis(4)
    assert advice.balance(one) is None
    assert advice.told(one, "slot", Batching(1, 4)).per_s > 0


def test_a_latency_that_can_be_kept_is_kept() -> None:
    """At the price of throughput: a minimum of n* has a p99 of 67 ms, greedy one of 53."""
    free = exponential(64, 5.0, 20.0, 0.1)
    within = replace(free, max_latency_s=0.060)
    kept, best = advice.best_rule(within, "threading"), advice.best_rule(free, "threading")
    assert (kept.min_batch_size, best.min_batch_size) == (1, 53)
    [one] = advice.choices(within, ["threading"], [kept])
    assert one.is_fast_enough
    assert one.latency_p99_s <= 0.060
    [other] = advice.choices(within, ["threading"], [best])
    assert not other.is_fast_enough


def test_a_latency_that_cannot_is_approached() -> None:
    """And said not to be kept."""
    never = replace(exponential(64, 5.0, 20.0, 0.1), max_latency_s=0.001)
    tried = advice.rules(never)
    found = advice.choices(never, ["threading"], tried)
    place = advice.recommended(found, ["threading"], tried)
    nearest = min(found, key=lambda one: one.latency_p99_s)
    assert not nearest.is_fast_enough
    assert found[place] == nearest
    assert advice.best_rule(never, "threading") == nearest.batching


def test_a_tail_is_longer_than_simulated() -> None:
    """By the median of the recorded errors of its regime."""
    one, rule = basis(16, model=Model(latency_ms=20.0)), Batching(1, 16)
    [found] = advice.choices(one, ["slot"], [rule])
    tail = advice.error_of(FITTED.errors, "latency_p99", "policy", True).median
    simulated = advice.told(one, "slot", rule)
    assert tail > 1
    assert found.latency_p99_s == pytest.approx(simulated.latency_p99_s * tail)


# ---- who is tried


def test_preallocation_is_tried_where_rows_are_large() -> None:
    """And TorchRL's where it is installed, simplest contenders first."""
    assert advice.contenders(32, has_torchrl=False) == ("slot", "threading", "slot[inline]")
    large = advice.contenders(28_224, has_torchrl=True)
    assert large == (*advice.OURS, *advice.TORCHRL)


def test_rules_that_come_to_the_same_are_one() -> None:
    """At most 64 of 8 is at most 8 of 8."""
    one = basis(8, think=ThinkTime("exponential", 50.0), model=Model(latency_ms=1.0))
    assert advice.tried_rules(one, ["slot", advice.TORCHRL[0]]) == (Batching(1, 8, 10.0),)


# ---- who is recommended


def choice(
    contender: str, per_s: float, raced: Raced | None = None, **changes: Any
) -> Choice:
    found = Choice(
        contender=contender,
        batching=RULE,
        per_s=per_s,
        low=per_s * 0.8,
        high=per_s * 1.2,
        mean_batch_size=4.0,
        latency_p99_s=0.01,
        limit="policy",
        is_fast_enough=True,
        needs=advice.NEEDS.get(contender, ""),
        raced=raced,
    )
    return replace(found, **changes)


RULE = Batching(1, 8)
LABELS = ("slot", "threading", "slot[inline]", "torchrl.slot")


def test_of_equals_the_simplest_is_recommended() -> None:
    """Within 3 %; beyond, the better one."""
    near = [choice("threading", 1029.0), choice("slot", 1000.0)]
    far = [choice("threading", 1031.0), choice("slot", 1000.0)]
    assert advice.recommended(near, LABELS, [RULE]) == 1
    assert advice.recommended(far, LABELS, [RULE]) == 0


def test_no_minimum_is_simpler_than_one() -> None:
    """Of the same contender."""
    least = Batching(4, 8)
    found = [choice("slot", 1010.0, batching=least), choice("slot", 1000.0)]
    assert advice.recommended(found, LABELS, [least, RULE]) == 1


def test_what_needs_something_is_beside_and_never_recommended() -> None:
    """Beyond δ alone, and of each contender the best."""
    found = [
        choice("slot[inline]", 2000.0),
        choice("slot[inline]", 1900.0, batching=Batching(4, 8)),
        choice("slot", 1000.0),
    ]
    assert advice.recommended(found, LABELS, [RULE]) == 2
    assert advice.beside(found, 2) == (0,)
    assert advice.beside([choice("slot[inline]", 1020.0), choice("slot", 1000.0)], 1) == ()


def arm(*per_s: float, latency_p99_s: float | None = 0.005) -> Arm:
    return Arm("cell", dict(enumerate(per_s)), latency_p99_s, 4.0)


def race(
    arms: dict[str, Arm], *, needs: str = "", max_latency_s: float | None = None
) -> tuple[tuple[Choice, ...], int, int]:
    """Choices, the forecast's place and the recommended one: the forecast is for slot."""
    found = [choice("slot", 1000.0), choice("threading", 900.0, needs=needs)]
    by_rule = {(label, RULE): one for label, one in arms.items()}
    marked, place = advice.with_race(found, 0, by_rule, max_latency_s)
    return marked, place, advice.followed(marked, place)


def test_a_race_that_shows_another_one_better_is_followed() -> None:
    """By ratios paired by round: 10 % above, however the rounds scatter together."""
    found, place, chosen = race(
        {"slot": arm(1000, 1200, 800), "threading": arm(1105, 1320, 878)}
    )
    assert (found[place].contender, found[chosen].contender) == ("slot", "threading")
    raced = found[chosen].raced
    assert raced is not None
    assert raced.ratio == pytest.approx(1.1, rel=0.01)
    assert raced.ratio_low is not None
    assert raced.ratio_low > 1.03
    assert found[place].raced is not None
    assert found[place].raced.ratio is None


def test_the_race_says_of_each_choice_what_it_is_to_the_recommended_one() -> None:
    """Over that one, not over the forecast's; and how many rounds would decide."""
    arms = {"slot": arm(1000, 1200, 800), "threading": arm(1105, 1320, 878)}
    found, _, chosen = race(arms)
    by_rule = {(label, RULE): one for label, one in arms.items()}
    [mine, other] = advice.over_chosen(found, chosen, by_rule)
    assert (mine.contender, other.contender) == ("threading", "slot")
    assert mine.raced is not None
    assert mine.raced.over is None
    assert other.raced is not None
    assert other.raced.over == pytest.approx(1 / 1.1, rel=0.01)
    assert other.raced.more_rounds == 0
    assert advice.verdict(other.raced) == "slower"


@pytest.mark.parametrize(
    ("rival", "verdict", "more"),
    [
        (arm(1000, 1201, 799), "equivalent", {0}),
        (arm(890, 1200, 700), "inconclusive", set(range(1, 1000))),
        (arm(1100, 1200, 790), "inconclusive", set(range(1, 1000))),  # stands first
        (arm(890), "inconclusive", {None}),  # one round gives no interval
        (arm(890, 1068), "slower", {None}),
    ],
)
def test_what_a_race_cannot_tell_is_inconclusive(
    rival: Arm, verdict: str, more: set[int | None]
) -> None:
    """And only an interval within ±δ is equivalent."""
    arms = {"slot": arm(1000, 1200, 800), "threading": rival}
    found, place, _ = race(arms)
    by_rule = {(label, RULE): one for label, one in arms.items()}
    [raced] = [
        one.raced
        for one in advice.over_chosen(found, place, by_rule)
        if one.contender == "threading"
    ]
    assert raced is not None
    assert advice.verdict(raced) == verdict
    assert raced.more_rounds in more


@pytest.mark.parametrize(
    "other",
    [
        arm(1020, 1220, 815),  # shown above, but not by δ
        arm(1500, 1000, 900),  # above δ, but not shown
        arm(800, 900, 700),
        arm(),  # every trial failed
    ],
)
def test_a_race_that_does_not_is_not(other: Arm) -> None:
    """The forecast's choice stays."""
    found, place, chosen = race({"slot": arm(1000, 1200, 800), "threading": other})
    assert chosen == place
    assert found[chosen].contender == "slot"


def test_what_needs_something_is_not_followed_but_named() -> None:
    """However fast it was."""
    found, place, chosen = race(
        {"slot": arm(1000, 1200, 800), "threading": arm(2000, 2400, 1600)}, needs="luck"
    )
    assert chosen == place
    assert [found[i].contender for i in advice.beside(found, chosen)] == ["threading"]


def test_a_race_may_find_another_latency() -> None:
    """What was raced beyond the limit is not followed, and is no longer called fast enough."""
    slow = arm(2000, 2400, 1600, latency_p99_s=0.050)
    found, place, chosen = race(
        {"slot": arm(1000, 1200, 800), "threading": slow}, max_latency_s=0.020
    )
    assert chosen == place
    assert {one.contender: one.is_fast_enough for one in found} == {
        "slot": True,
        "threading": False,
    }


def test_what_was_not_raced_comes_last() -> None:
    """The forecast's choice is found again wherever it goes."""
    found, place, chosen = race({"threading": arm(1000, 1200, 800)})
    assert [one.contender for one in found] == ["threading", "slot"]
    assert place == chosen == 1


# ---- intervals


def test_the_interval_is_that_of_recorded_errors() -> None:
    """Of the regime, wider where the pace of the machine is not known, and never above the bound."""
    known = basis(16, model=Model(latency_ms=20.0))
    [one] = advice.choices(known, ["slot"], [Batching(1, 16)])
    [wider] = advice.choices(
        replace(known, is_pace_known=False), ["slot"], [Batching(1, 16)]
    )
    error = advice.error_of(FITTED.errors, "throughput", "policy", True)
    bound_per_s = 16 / 0.020
    assert one.low == one.per_s * error.low
    assert one.high == wider.high == pytest.approx(bound_per_s)
    assert one.high < one.per_s * error.high
    assert wider.low < one.low < one.per_s < one.high


def test_no_forecast_is_above_what_nothing_can_exceed() -> None:
    """Think times of a long tail that were drawn have a mean of their own, here a lower one."""
    long = ThinkTime("lognormal", 1000.0, sigma=2.15)
    found = basis(64, think=long, model=Model(latency_ms=0.5))
    [one] = advice.choices(found, ["slot"], [Batching(1, 64)])
    assert advice.told(found, "slot", Batching(1, 64)).per_s > 64.0 > one.per_s * 0.999
    assert one.high <= 64.0


def test_a_regime_of_one_run_is_no_surer_than_the_policys() -> None:
    """Environments that limit were recorded once: its scatter alone would be too little."""
    think = advice.error_of(FITTED.errors, "throughput", "think", True)
    policy = advice.error_of(FITTED.errors, "throughput", "policy", True)
    assert think.num_runs == 1
    assert think.low <= policy.low
    assert think.high >= policy.high


@settings(max_examples=20, deadline=None)
@given(
    num_slots=st.integers(1, 40),
    think_ms=st.floats(0.0, 20.0),
    policy_ms=st.floats(0.0, 20.0),
)
def test_a_recommendation_is_within_delta_of_all_that_was_tried(
    num_slots: int, think_ms: float, policy_ms: float
) -> None:
    """But for those that need something; and nothing exceeds the bound by more than chance."""
    think = ThinkTime("exponential", think_ms) if think_ms else ThinkTime()
    one = basis(num_slots, think=think, model=Model(latency_ms=policy_ms))
    labels = advice.contenders(32, has_torchrl=False)
    tried = advice.tried_rules(one, labels)
    found = advice.choices(one, labels, tried)
    mine = found[advice.recommended(found, labels, tried)]
    assert not mine.needs
    most = max(other.per_s for other in found if not other.needs)
    assert mine.per_s * (1 + advice.DELTA) >= most
    cycle_s = (think_ms + policy_ms) / 1e3
    if cycle_s:
        assert mine.per_s <= num_slots / cycle_s * 1.05
