"""A run goes on with what is not decided, to planned looks, and ends where nothing is left to wait for."""

import math
from dataclasses import replace
from typing import Any

import pytest

from slotbench.compute import comparison
from slotbench.errors import SlotbenchError
from slotbench.measure import design, runner, until_decided
from slotbench.measure.runner import Progress
from slotbench.records import (
    RunRecord,
    Sequential,
    TrialRecord,
    TrialSpec,
)
from tests.slotbench.conftest import build_run, build_trial
from tests.slotbench.support import grids
from tests.slotbench.support.scripted import TRIAL_S, ScriptedExecutor, noisy

CLEAR = noisy({"num_slots=1": {"slot": 2.0}, "num_slots=2": {"slot": 1.05}})
"""One cell that is decided at once, and one that takes a while."""


def planned(
    labels: tuple[str, ...] = ("threading", "slot"), rounds: int = 5, **options: Any
) -> RunRecord:
    run = build_run(labels, slots=(1, 2), rounds=rounds, status="running")
    return replace(
        run,
        design=design.draw(run.scenario),
        sequential=until_decided.plan(run.scenario, **options),
        max_attempts=3,
    )


def measure(
    run: RunRecord,
    executor: ScriptedExecutor,
    recorded: tuple[TrialRecord, ...] = (),
    plans: list[RunRecord] | None = None,
    told: list[Progress] | None = None,
) -> tuple[RunRecord, list[TrialRecord]]:
    trials = list(recorded)
    kept = [] if plans is None else plans
    heard = [] if told is None else told
    executor.start_worker()
    ended, _ = until_decided.run(
        run,
        executor,
        trials.append,
        heard.append,
        on_plan=kept.append,
        elapsed_s=lambda: executor.elapsed_s,
        recorded=recorded,
    )
    return ended, trials


def cells_by_round(run: RunRecord) -> list[set[str]]:
    return [{name for name, _ in blocks} for blocks in run.design.blocks]


def stops(run: RunRecord) -> dict[str, tuple[int, str]]:
    assert run.sequential is not None
    return {one.cell: (one.rounds, one.reason) for one in run.sequential.stopped}


def test_only_undecided_cells_get_more_rounds() -> None:
    """In whole blocks, the baseline twice, each round by a fresh worker; all trials count."""
    executor = ScriptedExecutor(CLEAR)
    ended, trials = measure(planned(), executor)

    assert ended.sequential is not None
    assert ended.sequential.looks == (5, 7, 10, 14, 20)
    assert stops(ended)["num_slots=1"] == (5, "decided")
    number, reason = stops(ended)["num_slots=2"]
    assert (number in {7, 10, 14, 20}, reason) == (True, "decided")
    assert cells_by_round(ended) == [{"num_slots=1", "num_slots=2"}] * 5 + [
        {"num_slots=2"}
    ] * (number - 5)
    assert ended.design.rounds == number
    assert len(trials) == ended.design.num_trials == (10 + number - 5) * 3
    assert len(executor.workers) == number
    found = comparison.compare(ended, trials, metrics=["throughput"])
    rows = {r.cell: r for r in found.rows if r.contender == "slot"}
    assert rows["num_slots=1"].num_trials == 5
    assert rows["num_slots=2"].ratio is not None
    assert rows["num_slots=2"].ratio.num_pairs == number
    assert {r.verdict for r in rows.values()} == {"faster"}


def test_verdicts_are_looked_at_nowhere_but_at_planned_looks() -> None:
    """A cell that would be decided at round 6 gets its seventh."""
    for seed in range(20):
        speed = noisy({"num_slots=1": {"slot": 1.04 + 0.003 * seed}}, sd=0.02)
        ended, _ = measure(planned(), ScriptedExecutor(speed))
        assert ended.sequential is not None
        assert {one.rounds for one in ended.sequential.stopped} <= {5, 7, 10, 14, 20}


def test_intervals_have_the_level_of_all_looks_by_every_metric() -> None:
    """And so has what was not gated: the stopping looked at others."""
    ended, trials = measure(planned(), ScriptedExecutor(CLEAR))
    compared = comparison.compare(ended, trials)
    assert ended.sequential is not None
    assert compared.confidence == ended.sequential.confidence > 0.98
    usual = comparison.compare(replace(ended, sequential=None), trials)
    for one, other in zip(compared.rows, usual.rows, strict=True):
        if one.ratio is None or other.ratio is None:
            continue
        assert one.ratio.low is not None
        assert other.ratio.low is not None
        assert one.ratio.low < other.ratio.low
        assert (one.noise_floor or 0.0) > (other.noise_floor or 0.0)
        assert (one.value_low or 0.0) < (other.value_low or 0.0)


@pytest.mark.parametrize("stop_after", [4, 15, 29, 30, 31, 33, 36, 40])
def test_a_resumed_run_comes_to_the_same_end(stop_after: int) -> None:
    """Wherever it was broken off: between rounds, in a block, at a look."""
    whole, whole_trials = measure(planned(), ScriptedExecutor(CLEAR))

    plans = [planned()]
    kept: list[TrialRecord] = []
    executor = ScriptedExecutor(CLEAR, stop_after)
    executor.start_worker()
    with pytest.raises(KeyboardInterrupt):
        until_decided.run(
            plans[0],
            executor,
            kept.append,
            lambda _: None,
            on_plan=plans.append,
            elapsed_s=lambda: 0.0,
        )
    again, trials = measure(plans[-1], ScriptedExecutor(CLEAR), tuple(kept))

    assert again.design == whole.design
    assert stops(again) == stops(whole)
    verdicts = [
        [row.verdict for row in comparison.compare(*one, metrics=["throughput"]).rows]
        for one in ((again, trials), (whole, whole_trials))
    ]
    assert verdicts[0] == verdicts[1]


def test_a_round_is_planned_before_it_begins() -> None:
    """A kill leaves a plan that holds every trial there is."""
    plans: list[RunRecord] = []
    executor = ScriptedExecutor(CLEAR)
    sizes: list[int] = []
    run = planned()
    executor.start_worker()

    def keep(grown: RunRecord) -> None:
        plans.append(grown)
        sizes.append(len(executor.specs))

    until_decided.run(
        run,
        executor,
        lambda _: None,
        lambda _: None,
        on_plan=keep,
        elapsed_s=lambda: 0.0,
    )
    for grown, num_run in zip(plans[:-1], sizes, strict=False):
        assert grown.design.num_trials == num_run + 3
    assert plans[-1].sequential is not None
    assert plans[-1].sequential.ended == "decided"


def test_a_contender_that_always_fails_is_not_waited_for() -> None:
    """The others are; its cell is not called decided."""

    def speed(spec: TrialSpec) -> float | None:
        return None if spec.contender.label == "broken" else CLEAR(spec)

    ended, _ = measure(planned(("threading", "slot", "broken")), ScriptedExecutor(speed))
    assert stops(ended)["num_slots=1"] == (5, "no numbers")
    assert stops(ended)["num_slots=2"][1] == "no numbers"
    assert ended.sequential is not None
    assert ended.sequential.ended == "no numbers"


def test_what_cannot_be_decided_is_given_up_before_the_last_look() -> None:
    """Noise of 30 % leaves nothing to hope for in 40 rounds; the plan goes on where there is hope."""
    speed = noisy({"num_slots=1": {"slot": 2.0}}, sd=0.3)
    ended, _ = measure(planned(max_rounds=40), ScriptedExecutor(speed))
    number, reason = stops(ended)["num_slots=2"]
    assert (number < 40, reason) == (True, "no prospect")


def test_the_rounds_are_bounded() -> None:
    """What is undecided at the last look stays so; the design holds no round beyond."""
    speed = noisy({name: {"slot": 1.03} for name in ("num_slots=1", "num_slots=2")}, 0.02)
    ended, _ = measure(planned(max_rounds=7), ScriptedExecutor(speed))
    assert set(stops(ended).values()) == {(7, "max rounds")}
    assert ended.design.rounds == 7


def test_the_budget_ends_a_run_between_looks() -> None:
    """Before a round that would exceed it; what is decided by then is called so."""
    run = planned()
    assert run.sequential is not None
    # Ten blocks of three trials; after that three trials a round.
    run = replace(run, sequential=replace(run.sequential, budget_s=36 * TRIAL_S))
    hard = noisy({"num_slots=1": {"slot": 2.0}, "num_slots=2": {"slot": 1.03}}, 0.02)
    ended, trials = measure(run, ScriptedExecutor(hard))
    assert ended.sequential is not None
    assert ended.sequential.ended == "budget"
    assert stops(ended)["num_slots=1"] == (5, "decided")
    assert stops(ended)["num_slots=2"][1] == "budget"
    assert len(trials) * TRIAL_S <= 36 * TRIAL_S
    assert ended.design.rounds > 5


def test_time_of_earlier_sittings_is_spent_too() -> None:
    """Each from its beginning to its last trial's end, without the pauses between."""
    from slotbench.records import Resumption

    trials = [
        replace(build_trial(round=n), started_at=f"2025-01-02T0{n}:00:10+00:00")
        for n in (3, 9)
    ]
    again = Resumption("2025-01-02T09:00:00+00:00", 1, {}, ())
    run = replace(planned(), created_at="2025-01-02T02:59:50+00:00", resumptions=(again,))
    assert until_decided.spent_s(run, trials) == pytest.approx(20 + 1.4 + 10 + 1.4)
    assert until_decided.spent_s(run, trials[:1]) == pytest.approx(20 + 1.4)


def test_a_resumed_run_has_no_new_budget() -> None:
    """What the first sitting took is gone: 65 minutes of 66, and a round takes longer than one."""
    run = planned()
    assert run.sequential is not None
    run = replace(
        run,
        created_at="2025-01-02T02:00:00+00:00",
        sequential=replace(run.sequential, budget_s=66 * 60.0),
    )
    trials: list[TrialRecord] = []
    runner.run(run, ScriptedExecutor(CLEAR), trials.append, lambda _: None)
    ended, after = measure(run, ScriptedExecutor(CLEAR), tuple(trials))
    assert stops(ended)["num_slots=2"] == (5, "budget")
    assert len(after) == len(trials)


def test_a_disturbed_block_of_a_later_round_is_measured_again_whole() -> None:
    """By the rules of any run; the repeat counts, and the look waits for it."""
    executor = ScriptedExecutor(CLEAR)
    executor.disturbs = lambda spec: spec.round == 6 and spec.attempt == 0
    ended, trials = measure(planned(), executor)
    again = [one for one in trials if one.attempt == 1]
    assert {(one.round, one.cell) for one in again} == {(6, "num_slots=2")}
    assert len(again) == 3
    assert stops(ended)["num_slots=2"][1] == "decided"


def test_what_a_look_has_judged_is_not_measured_again() -> None:
    """Though later rounds allow more repeats, a resumption leaves blocks before the look alone."""
    executor = ScriptedExecutor(CLEAR)
    executor.disturbs = lambda spec: spec.round < 5
    plans: list[RunRecord] = []
    ended, trials = measure(planned(), executor, plans=plans)
    assert runner.unfinished(ended, trials) == []
    assert runner.unfinished(replace(ended, sequential=None), trials) != []


def test_progress_counts_up_to_the_next_look() -> None:
    """The total grows at looks, and what is done never shrinks."""
    told: list[Progress] = []
    _, trials = measure(planned(), ScriptedExecutor(CLEAR), told=told)
    done = [one.num_done for one in told]
    assert done == sorted(done)
    assert told[-1].num_done == told[-1].num_trials == len(trials)
    totals = dict.fromkeys(one.num_trials for one in told)
    assert list(totals)[:2] == [30, 36]  # five rounds of two cells, then two of one


@pytest.mark.parametrize(
    ("options", "rounds", "said"),
    [
        ({"max_rounds": 5}, 5, "--max-rounds is 5"),
        ({}, 4, "give --rounds 5 or more"),
        ({"budget_s": math.nan}, 5, "--budget is nan s: it must be above 0"),
        ({"budget_s": math.inf}, 5, "--budget is inf s: it must be above 0"),
        ({"budget_s": 1.0}, 5, "--budget is 1 s"),
        ({"metrics": ["mean_batch_size"]}, 5, "no good direction"),
        ({"thresholds": {"latency_p99": 0.1}}, 5, "add --metric latency_p99"),
    ],
)
def test_a_plan_that_cannot_be_kept_is_refused(
    options: dict[str, Any], rounds: int, said: str
) -> None:
    """In one line that says what to change."""
    with pytest.raises(SlotbenchError, match=said):
        planned(rounds=rounds, **options)


def test_an_open_loop_is_decided_by_its_tail() -> None:
    """Throughput is what is offered there; beside a closed loop it is throughput."""
    loop = grids.open_grid().run.scenario
    opened = until_decided.plan(replace(loop, rounds=5))
    assert opened.metrics == ("latency_p99",)
    mixed = replace(loop, rounds=5, cells=(*loop.cells, grids.cell()))
    assert until_decided.plan(mixed).metrics == ("throughput",)


def test_every_metric_asked_for_has_its_threshold() -> None:
    """Its own, or the scenario's; verdicts of a comparison use them, too."""
    run = planned(metrics=["throughput", "latency_p99"], thresholds={"latency_p99": 0.2})
    assert isinstance(run.sequential, Sequential)
    assert run.sequential.thresholds == {"throughput": 0.03, "latency_p99": 0.2}
    ended, trials = measure(run, ScriptedExecutor(CLEAR))
    assert comparison.compare(ended, trials).thresholds == {
        "throughput": 0.03,
        "latency_p50": 0.03,
        "latency_p99": 0.2,
    }
