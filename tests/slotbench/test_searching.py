"""A search measures what it must, records every trial, and goes on from its record."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slotbench import contenders, searching, store
from slotbench.compute import slo_answer
from slotbench.errors import ContenderError, RecordError, ScenarioError, SlotbenchError
from slotbench.records import PERCENTILES, GymEnvironment, Limit, Load, SloPlan, ThinkTime
from slotbench.store.folder import SloFolder
from tests.slotbench.support.slos import (
    P99_2MS,
    SimulatedExecutor,
    knee_per_s,
    scenario,
    search,
)


@pytest.fixture(scope="module")
def found(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[store.StoredSlo, SimulatedExecutor]:
    """A search of two contenders whose knees are known."""
    executor = SimulatedExecutor()
    stored = search(tmp_path_factory.mktemp("results"), executor=executor)
    return stored, executor


def test_every_contender_has_an_interval_that_holds_its_knee(
    found: tuple[store.StoredSlo, SimulatedExecutor],
) -> None:
    stored, executor = found
    assert (stored.state, stored.notes) == ("complete", ())
    assert len(stored.trials) == len(executor.specs)
    searches = slo_answer.searched(stored.record, stored.trials)
    assert [one.contender for one in searches] == ["threading", "slot"]
    for one in searches:
        assert one.search.ending == "interval"
        assert one.low_per_s < knee_per_s(one.contender) < one.high_per_s
        # It is near, too: a spread of 5 % does not need a factor.
        assert one.high_per_s < 1.5 * one.low_per_s
    (lead,) = slo_answer.leads(searches)
    assert (lead.leader, lead.other) == ("slot", "threading")
    assert 1.3 < lead.ratio < 2.0
    low, high = slo_answer.share_of_best(searches[0], searches)
    assert low is not None
    assert high is not None
    assert low < 0.5 < high < 1.0


def test_a_step_has_a_worker_of_its_own_and_the_same_seed_for_all(
    found: tuple[store.StoredSlo, SimulatedExecutor],
) -> None:
    """Trials of one load are of several workers; the order within a step is drawn."""
    _, executor = found
    steps: dict[int, list[int]] = {}
    for place, spec in enumerate(executor.specs):
        steps.setdefault(spec.round, []).append(place)
    for places in steps.values():
        assert len({executor.workers[place] for place in places}) == 1
        assert len({executor.specs[place].seed for place in places}) == 1
        assert len({executor.specs[place].contender.label for place in places}) == len(
            places
        )
    assert len({executor.workers[places[0]] for places in steps.values()}) == len(steps)
    both = [places for places in steps.values() if len(places) == 2]
    firsts = {executor.specs[places[0]].contender.label for places in both}
    assert firsts == {"threading", "slot"}


def test_the_first_trial_is_a_closed_loop_and_all_others_poisson(
    found: tuple[store.StoredSlo, SimulatedExecutor],
) -> None:
    stored, executor = found
    by_load = [spec.workload.load for spec in executor.specs]
    assert by_load[:2] == [Load(), Load()]
    assert {load.arrivals for load in by_load[2:]} == {"poisson"}
    for one, spec in zip(stored.trials[2:], executor.specs[2:], strict=True):
        assert one.load_per_s == pytest.approx(8 * spec.workload.load.per_actor_per_s)
        assert spec.workload.window.min_requests == 2 * 459


def test_a_given_start_needs_no_closed_loop(tmp_path: Path) -> None:
    executor = SimulatedExecutor()
    plan = replace(P99_2MS, from_per_s=500.0)
    stored = search(tmp_path, "slot", plan=plan, executor=executor)
    assert executor.specs[0].workload.load.is_open
    (one,) = slo_answer.searched(stored.record, stored.trials)
    assert one.low_per_s < knee_per_s("slot") < one.high_per_s


def test_what_is_broken_off_goes_on_as_it_would_have(tmp_path: Path) -> None:
    """Resumed after Ctrl-C, a search tries the loads that it would have tried."""
    whole = search(tmp_path / "whole")
    executor = SimulatedExecutor(fails_at=21, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "cut", executor=executor)
    (path,) = store.all_runs(tmp_path / "cut", ("slo",))
    cut = store.read_slo(path)
    assert (cut.state, len(cut.trials)) == ("interrupted", 21)
    assert f"slotbench slo --resume {path}" in cut.notes[0]
    # The last step was cut short: its other contender goes first in a step of its own.
    searching.resume_search(path, SimulatedExecutor(), allow_different=True)  # type: ignore[arg-type]
    resumed = store.read_slo(path)
    assert resumed.state == "complete"
    assert resumed.trials[:21] == cut.trials
    assert len(resumed.record.resumptions) == 1
    for ours, theirs in zip(
        slo_answer.searched(resumed.record, resumed.trials),
        slo_answer.searched(whole.record, whole.trials),
        strict=True,
    ):
        assert ours.search.ending == theirs.search.ending == "interval"
        assert ours.low_per_s < knee_per_s(ours.contender) < ours.high_per_s
    with pytest.raises(RecordError, match="is complete: there is nothing to resume"):
        searching.resume_search(path, SimulatedExecutor())  # type: ignore[arg-type]


def test_a_half_written_line_is_cut_away_before_it_goes_on(tmp_path: Path) -> None:
    executor = SimulatedExecutor(fails_at=9, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, executor=executor)
    (path,) = store.all_runs(tmp_path, ("slo",))
    with (path / "searched.jsonl").open("a") as file:
        file.write('{"load_index": 3, "load_p')
    assert len(store.read_slo(path).trials) == 9
    searching.resume_search(path, SimulatedExecutor(), allow_different=True)  # type: ignore[arg-type]
    assert store.read_slo(path).state == "complete"


def test_a_budget_ends_a_search_that_says_what_it_knows(tmp_path: Path) -> None:
    """No step begins that would not end in time."""
    stored = search(tmp_path, plan=replace(P99_2MS, budget_s=0.5))
    assert (stored.state, stored.trials) == ("out of time", ())
    assert "ran out of its budget" in stored.notes[0]
    searching.resume_search(
        stored.path,
        SimulatedExecutor(),  # type: ignore[arg-type]
        budget_s=1e6,
        allow_different=True,
    )
    assert store.read_slo(stored.path).state == "complete"


def test_a_budget_knows_the_window_of_the_load_that_is_next(tmp_path: Path) -> None:
    """918 requests at 100/s take some 10 s; a closed loop's window is 1 s."""
    plan = replace(P99_2MS, from_per_s=100.0, budget_s=8.0)
    stored = search(tmp_path, "slot", plan=plan)
    assert (stored.state, stored.trials) == ("out of time", ())
    made = searching.prepare(scenario("slot"), plan)
    slow, fast = (
        searching.estimate_s(made, replace(plan, from_per_s=rate, budget_s=None))
        for rate in (100.0, 5000.0)
    )
    assert slow > 2.0 * fast


def test_no_load_holds_and_every_load_holds(tmp_path: Path) -> None:
    plan = SloPlan((Limit(99.0, 0.1e-3),))
    stored = search(tmp_path / "none", "slot", plan=plan)
    (one,) = slo_answer.searched(stored.record, stored.trials)
    assert (one.search.ending, one.search.held) == ("none holds", None)
    assert one.search.points[0].values_s[0] == pytest.approx(0.5e-3, rel=0.2)

    plan = SloPlan((Limit(99.0, 2e-3),), from_per_s=20.0)
    slow = replace(scenario("slot"), cells=scenario("slot").cells)
    made = searching.prepare(slow, plan)
    path = searching.search_scenario(made, SimulatedExecutor(), tmp_path / "all", plan)  # type: ignore[arg-type]
    stored = store.read_slo(path)
    (one,) = slo_answer.searched(stored.record, stored.trials)
    assert (one.search.ending, one.search.failed) == ("all hold", None)


def test_a_generator_that_is_late_ends_the_search_there(tmp_path: Path) -> None:
    """INVALID trials never count: the load is not shown to fail."""
    executor = SimulatedExecutor(invalid_above_per_s=4500.0)
    stored = search(tmp_path, "slot", executor=executor)
    (one,) = slo_answer.searched(stored.record, stored.trials)
    assert one.search.failed is None
    assert one.search.held is not None
    assert one.search.held.load_per_s < 4500.0
    assert one.search.unmade is not None
    assert one.search.unmade.load_per_s > 4500.0
    assert one.problem == "generator: late by 3 ms"


def test_a_contender_that_fails_ends_alone(tmp_path: Path) -> None:
    executor = SimulatedExecutor(failing=("threading",))
    stored = search(tmp_path, executor=executor)
    bad, good = slo_answer.searched(stored.record, stored.trials)
    assert (bad.search.ending, bad.num_trials) == ("not found", 3)
    assert bad.problem == "failed: it died"
    assert good.search.ending == "interval"


def test_disturbed_trials_do_not_count(tmp_path: Path) -> None:
    """They read ten times as slow, and are made again."""
    executor = SimulatedExecutor(disturbed=range(2, 5))
    stored = search(tmp_path, "slot", executor=executor)
    (one,) = slo_answer.searched(stored.record, stored.trials)
    assert sum(point.num_disturbed for point in one.search.points) == 3
    assert one.low_per_s < knee_per_s("slot") < one.high_per_s


def test_cells_are_searched_together(tmp_path: Path) -> None:
    stored = search(tmp_path, "slot", num_cells=2)
    searches = slo_answer.searched(stored.record, stored.trials)
    assert [one.cell for one in searches] == ["num_slots=8", "num_slots=9"]
    assert all(one.search.ending == "interval" for one in searches)


def test_cells_that_differ_in_load_alone_are_one() -> None:
    (cell,) = scenario("slot").cells
    loads = [
        replace(
            cell,
            name=f"num_slots=8, load.per_actor_per_s={rate}",
            coordinates={"num_slots": 8, "load.per_actor_per_s": rate},
            workload=replace(cell.workload, load=Load("constant", rate)),
        )
        for rate in (1.0, 2.0)
    ]
    made = searching.prepare(replace(scenario("slot"), cells=tuple(loads)), P99_2MS)
    assert [one.name for one in made.cells] == ["num_slots=8"]
    assert made.cells[0].workload.load == Load("poisson", 0.0)
    constant = searching.prepare(scenario("slot"), P99_2MS, arrivals="constant")
    assert constant.cells[0].workload.load.arrivals == "constant"


def test_a_window_is_long_against_its_limits() -> None:
    made = searching.prepare(scenario("slot"), SloPlan((Limit(99.0, 0.3),)))
    window = made.cells[0].workload.window
    assert window.measure_s == window.max_measure_s == pytest.approx(15.0 / 0.99)


@pytest.mark.parametrize("percent", PERCENTILES)
def test_an_overload_of_a_few_percent_is_seen_at_every_percentile(percent: float) -> None:
    """One server, first come first served, at 1.025 times its capacity: the queue grows evenly."""
    limit = Limit(percent, 0.05)
    window = searching.prepare(scenario("slot"), SloPlan((limit,))).cells[0].workload.window
    capacity, load = 1000.0, 1025.0
    due_s = np.arange(1, round(window.measure_s * load)) / load
    replied_s = np.arange(1, len(due_s) + 1) / capacity
    assert np.percentile(replied_s - due_s, percent) > limit.limit_s


def test_what_cannot_be_searched_is_refused() -> None:
    base = scenario("slot")
    (cell,) = base.cells

    def changed(**workload: object) -> object:
        other = replace(cell, workload=replace(cell.workload, **workload))  # type: ignore[arg-type]
        return replace(base, cells=(other,))

    with pytest.raises(ScenarioError, match=r"think_time\.distribution=none"):
        searching.prepare(changed(think_time=ThinkTime("constant", 1.0)), P99_2MS)  # type: ignore[arg-type]
    with pytest.raises(ScenarioError, match="real environment"):
        searching.prepare(changed(environment=GymEnvironment("CartPole-v1")), P99_2MS)  # type: ignore[arg-type]
    processes = replace(base, contenders=(contenders.parse("slot@collector"),))
    with pytest.raises(ContenderError, match="no threads of ours"):
        searching.prepare(processes, P99_2MS)
    many = scenario("slot", "threading", num_cells=9)
    with pytest.raises(SlotbenchError, match=r"18 searches .* keep to 16"):
        searching.prepare(many, P99_2MS)
    assert len(searching.prepare(many, P99_2MS, contenders=("slot",)).contenders) == 1


def test_the_floor_is_no_transport_to_be_searched(tmp_path: Path) -> None:
    """It is left out, which is said once; where a record has it, it neither leads nor is the best."""
    given = scenario("threading", "slot", "floor")
    made = searching.prepare(given, P99_2MS)
    assert [one.label for one in made.contenders] == ["threading", "slot"]
    assert [one.label for one in searching.left_out(given)] == ["floor"]
    assert searching.left_out(given, ("slot",)) == ()
    with pytest.raises(ContenderError, match="no transport"):
        searching.prepare(given, P99_2MS, contenders=("floor",))
    stored = search(tmp_path)
    threading, slot = slo_answer.searched(stored.record, stored.trials)
    best = replace(slot, contender="floor")
    assert slo_answer.leads((threading, best)) == ()
    assert slo_answer.share_of_best(best, (threading, best)) == (None, None)
    assert slo_answer.share_of_best(threading, (threading, best))[1] == 1.0


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (SloPlan(()), "needs a limit"),
        (SloPlan((Limit(99.0, 1e-3), Limit(99.0, 2e-3))), "one limit"),
        (SloPlan((Limit(99.0, 60.0),)), "between 0 and 10 s"),
        (replace(P99_2MS, precision=0.001), "--precision"),
        (replace(P99_2MS, from_per_s=0.1), "--from"),
        (replace(P99_2MS, budget_s=0.0), "--budget"),
        (replace(P99_2MS, budget_s=math.nan), "--budget"),
        (replace(P99_2MS, from_per_s=math.nan), "--from"),
    ],
)
def test_a_plan_that_no_search_can_follow_is_refused(plan: SloPlan, said: str) -> None:
    with pytest.raises(SlotbenchError, match=said):
        searching.check_plan(plan)


def test_a_search_is_no_run(found: tuple[store.StoredSlo, SimulatedExecutor]) -> None:
    """So no comparison can find one, however it is named."""
    path = found[0].path
    assert store.all_runs(path.parent) == []
    assert store.kind_of(path) == "slo"
    assert store.find("small", path.parent, ("run", "slo")) == path
    with pytest.raises(RecordError, match="there is no run in"):
        store.find(None, path.parent)
    # By its name it is found, to be refused with what it is.
    for name in (path.name, path.name[-6:]):
        assert store.find(name, path.parent) == path
    with SloFolder(path), pytest.raises(RecordError, match="before the search is resumed"):
        SloFolder(path)
    with pytest.raises(RecordError, match="but an SLO search: 'slotbench show"):
        store.read(path)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("slo.json", '"schema_version": 1', '"schema_version": 2', "upgrade slotbench"),
        ("slo.json", '"limit_s": 0.002', '"limit_s": 0.0', "is no limit"),
        ("slo.json", '"precision": 0.05', '"precision": 0.0', "plan.precision"),
        ("slo.json", '"confidence": 0.95', '"confidence": 1.0', "plan.confidence"),
        ("slo.json", '"max_measure_s": 10.0', '"max_measure_s": 0.0', "max_measure_s"),
        ("slo.json", '"limits": [', '"limits": [{"percent": 99, "limit_s": 1},', "has two"),
        ("searched.jsonl", '"load_index":170', '"load_index":1000000000000', "load_index"),
        ("searched.jsonl", '"load_index":170', '"load_index":171', "load_index 171"),
        ("searched.jsonl", '"window_s":1.0', '"window_s":0.0', "without length"),
        ("searched.jsonl", '"contender":"slot"', '"contender":"x"', "no contender 'x'"),
        ("searched.jsonl", '"load_index":null', '"load_index":7', "load_index"),
    ],
)
def test_damage_is_said_with_its_place(
    found: tuple[store.StoredSlo, SimulatedExecutor],
    tmp_path: Path,
    file: str,
    old: str,
    new: str,
    said: str,
) -> None:
    for name in ("slo.json", "searched.jsonl"):
        text = (found[0].path / name).read_text()
        if name == file:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
    with pytest.raises(RecordError, match=said):
        store.read_slo(tmp_path)
