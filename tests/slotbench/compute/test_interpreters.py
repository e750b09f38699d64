"""Contenders of several interpreters in one run: each has limits and a floor of its own."""

import dataclasses
import json

import pytest

from slotbench import contenders, draw, frames
from slotbench.api import Run
from slotbench.compute import (
    between,
    blocks,
    comparison,
    environment_diff,
    interpreters,
    losses,
    predictions,
)
from slotbench.draw import Screen, loss_table, page, validity
from slotbench.plots import plot_loss
from slotbench.records import ThinkTime
from slotbench.store import StoredRun
from tests.slotbench.support import grids
from tests.slotbench.support.calibrations import calibration

FREE = "python3.14t"
RATES = {
    "slot": 450.0,
    f"slot[python={FREE}]": 800.0,
    "floor": 480.0,
    f"floor[python={FREE}]": 900.0,
}


@pytest.fixture
def raced() -> StoredRun:
    """8 actors with 2 ms to compute each: 500/s under the GIL, and 1 000/s without on 2 processors."""
    place = grids.cell(8, 1.0)
    think = ThinkTime("constant", 2.0, mode="work")
    place = dataclasses.replace(
        place, workload=dataclasses.replace(place.workload, think_time=think)
    )
    rates = {(place.name, label): rate for label, rate in RATES.items()}
    stored = grids.stored(rates, [place], labels=tuple(RATES))
    who = tuple(
        contenders.parse(label, baseline=label == "slot") for label in stored_labels(stored)
    )
    scenario = dataclasses.replace(stored.run.scenario, contenders=who)
    python = {one.label: contenders.python_of(one) for one in who}
    trials = tuple(
        dataclasses.replace(one, is_gil_enabled=python[one.contender] != FREE)
        for one in stored.trials
    )
    made = tuple(
        calibration(
            place.name,
            number,
            python=name,
            is_gil_enabled=name != FREE,
            work_s=0.0,
            think_excess_s=0.0,
        )
        for number in range(5)
        for name in ("", FREE)
    )
    run = dataclasses.replace(stored.run, scenario=scenario)
    return dataclasses.replace(stored, run=run, trials=trials, calibrations=made)


def stored_labels(stored: StoredRun) -> list[str]:
    return [who.label for who in stored.run.scenario.contenders]


def test_each_interpreter_has_a_floor_and_a_bound_of_its_own(raced: StoredRun) -> None:
    """The GIL bounds the one, processors the other."""
    found = losses.losses(raced.run, raced.trials, raced.calibrations)
    ours, free = (loss.yardsticks for loss in found)

    assert (ours.python, ours.has_gil, ours.limit) == ("", True, "GIL")
    assert (free.python, free.has_gil, free.limit) == (FREE, False, "processors")
    assert (ours.num_calibrations, free.num_calibrations) == (5, 5)
    assert (ours.bound_per_s, free.bound_per_s) == pytest.approx((500.0, 1000.0))
    assert (ours.floor_per_s, free.floor_per_s) == pytest.approx((480.0, 900.0), rel=0.01)
    assert ours.is_one_process
    assert free.is_one_process


def test_a_cells_bound_is_the_highest_of_its_interpreters(raced: StoredRun) -> None:
    """No contender of the cell can exceed it."""
    (bound,) = losses.bounds(raced.run, raced.trials, raced.calibrations).values()

    assert bound == pytest.approx(1000.0)


def test_a_calibration_that_failed_harms_its_own_interpreter_alone(
    raced: StoredRun,
) -> None:
    made = tuple(
        dataclasses.replace(one, status="failed", error="it raised")
        if one.python == FREE
        else one
        for one in raced.calibrations
    )
    found = losses.losses(raced.run, raced.trials, made)

    assert [x.yardsticks.num_calibrations for x in found] == [5, 0]
    assert [x.yardsticks.failure for x in found] == ["", "it raised"]


def test_each_interpreter_has_a_table_and_a_plot(raced: StoredRun) -> None:
    """With its name, and a word where there was no GIL."""
    found = losses.losses(raced.run, raced.trials, raced.calibrations)
    ours, free = loss_table.tables(found)
    frame = frames.losses_frame(raced)

    assert free.name == f"{ours.name} · {FREE}"
    assert "without a GIL" in free.notes[0]
    assert "without a GIL" not in "".join(ours.notes)
    assert list(frame["python"]) == ["", FREE]
    assert list(frame["has_gil"]) == [True, False]
    facets = plot_loss.split(frame)
    assert [facet.title for facet in facets] == [ours.name, free.name]
    assert [list(facet.frame["contender"]) for facet in facets] == [
        ["slot"],
        [f"slot[python={FREE}]"],
    ]


def test_an_interpreter_has_no_gil_whatever_a_module_did(raced: StoredRun) -> None:
    """A trial in which one turned it on says nothing of the others, nor of the bound; silence is no proof."""
    assert blocks.pythons_without_gil(raced.run, raced.trials) == {FREE}
    last = max(n for n, one in enumerate(raced.trials) if FREE in one.contender)
    for said in (True, None):
        changed = list(raced.trials)
        changed[last] = dataclasses.replace(changed[last], is_gil_enabled=said)
        assert blocks.pythons_without_gil(raced.run, changed) == {FREE}
        _, free = losses.losses(raced.run, changed, raced.calibrations)
        assert (free.yardsticks.has_gil, free.yardsticks.limit) == (False, "processors")
    silent = [dataclasses.replace(one, is_gil_enabled=None) for one in raced.trials]
    assert blocks.pythons_without_gil(raced.run, silent) == set()


def test_nothing_is_predicted_without_a_gil(raced: StoredRun) -> None:
    """Costs of transports were fitted under one."""
    checked, found = predictions.check(raced.run, raced.trials, raced.calibrations)
    gilless = [dataclasses.replace(one, is_gil_enabled=False) for one in raced.trials]
    of_none, none = predictions.check(raced.run, gilless, raced.calibrations)

    assert [one.contender for one in found] == ["slot"]
    assert (checked.num_left_out, of_none.num_left_out) == (1, 2)
    assert none == ()


def test_trials_say_whether_they_had_a_gil(raced: StoredRun) -> None:
    """In the frame, which is the CSV's, too, and in what is shown of the run."""
    environment = {
        f"{FREE}.python_version": "3.14.7",
        f"{FREE}.torch_version": "2.13.0",
    }
    run = dataclasses.replace(
        raced.run, environment={**raced.run.environment, **environment}
    )
    shown = validity.show_run(dataclasses.replace(raced, run=run))
    frame = frames.trials_frame(raced)

    assert set(frame["is_gil_enabled"][frame["contender"].str.contains(FREE)]) == {False}
    assert set(frame["is_gil_enabled"][~frame["contender"].str.contains(FREE)]) == {True}
    assert f"{FREE}: Python 3.14.7 · torch 2.13.0 · GIL off in 10 trials" in shown
    assert "the run's own: Python 3.11 · GIL on in 15 trials" in shown


def test_names_with_an_interpreter_are_shown_whole(raced: StoredRun) -> None:
    """Where they take at most a third of the screen."""
    trials = tuple(
        dataclasses.replace(one, trial_id=f"r{number}")
        for number, one in enumerate(raced.trials)
    )
    shown = validity.show_run(dataclasses.replace(raced, trials=trials), Screen(100))
    narrow = validity.show_run(dataclasses.replace(raced, trials=trials), Screen(90))

    for form in (shown, narrow):
        assert form.count(f" slot[python={FREE}] ") == 5
        assert form.count("slot (again)") == 5
        assert max(map(len, form.splitlines())) <= 100


def test_a_run_under_the_gil_alone_says_nothing_of_it() -> None:
    """It goes without saying; earlier records do not know."""
    stored = grids.small_grid()
    on = tuple(dataclasses.replace(one, is_gil_enabled=True) for one in stored.trials)
    for trials in (stored.trials, on):
        shown = validity.show_run(dataclasses.replace(stored, trials=trials))
        assert "GIL" not in shown
    off = tuple(dataclasses.replace(one, is_gil_enabled=False) for one in stored.trials)
    shown = validity.show_run(dataclasses.replace(stored, trials=off))
    assert "the run's own: Python 3.11 · GIL off in" in shown


@pytest.mark.parametrize(
    ("fact", "forbids"),
    [
        ("python_version", True),
        ("gil_enabled", True),
        ("torch_version", True),
        ("numpy_version", False),
    ],
)
def test_facts_of_another_interpreter_weigh_as_much_as_ours(
    fact: str, forbids: bool
) -> None:
    ours, other = (
        environment_diff.differences({name: "1"}, {name: "2"})[0]
        for name in (fact, f"{FREE}.{fact}")
    )

    assert (other.forbids, other.why) == (ours.forbids, ours.why) == (forbids, ours.why)
    assert other.name == f"{FREE}.{fact}"


def test_a_checkouts_commit_is_not_slotbenchs() -> None:
    """Only facts of interpreters are named behind a dot as ours are."""
    (found,) = environment_diff.differences(
        {"../base.git_commit": "1"}, {"../base.git_commit": "2"}
    )

    assert found.why == "another setting"


def test_each_contender_is_held_against_itself_in_the_first_interpreter(
    raced: StoredRun,
) -> None:
    """Not against the run's baseline, and by the comparison's own statistics."""
    compared = comparison.compare(raced.run, raced.trials)
    found = interpreters.compare(raced.run, raced.trials, compared.thresholds)
    by_floor = comparison.compare(raced.run, raced.trials, baseline="floor")

    rates = [one for one in found if one.row.metric == "throughput"]
    assert [(x.bare_label, x.python, x.first_python, x.row.contender) for x in rates] == [
        ("slot", "", "", "slot"),
        ("slot", FREE, "", f"slot[python={FREE}]"),
        ("floor", "", "", "floor"),
        ("floor", FREE, "", f"floor[python={FREE}]"),
    ]
    slot, faster, floor, limit = (one.row for one in rates)
    assert (slot.is_baseline, slot.ratio, slot.verdict) == (True, None, None)
    assert faster.ratio is not None
    assert faster.ratio.point == pytest.approx(800 / 450, rel=0.01)
    assert faster.verdict == "faster"
    assert (floor.is_baseline, limit.verdict) == (True, "limit")
    by_label = {row.contender: row for row in by_floor.rows if row.metric == "throughput"}
    assert limit.ratio == by_label[limit.contender].ratio
    # The baseline alone ran twice: its noise floor is the cell's.
    assert {one.row.noise_floor for one in rates} == {compared.rows[0].noise_floor}


def test_the_first_interpreter_is_the_baselines(raced: StoredRun) -> None:
    """Wherever the scenario has it; another baseline that is compared with changes nothing."""
    who = raced.run.scenario.contenders[::-1]
    turned = dataclasses.replace(
        raced.run, scenario=dataclasses.replace(raced.run.scenario, contenders=who)
    )
    found = interpreters.compare(turned, raced.trials, {"throughput": 0.03})

    assert {one.first_python for one in found} == {""}
    assert [one.row.contender for one in found if one.row.is_baseline] == ["floor", "slot"]


def test_contenders_that_differ_in_more_than_the_interpreter_are_not_held_together(
    raced: StoredRun,
) -> None:
    """Nor is there anything to say of a run in one interpreter."""
    other = contenders.parse(f"slot[preallocate,python={FREE}]")
    who = (*raced.run.scenario.contenders[:1], other)
    run = dataclasses.replace(
        raced.run, scenario=dataclasses.replace(raced.run.scenario, contenders=who)
    )
    assert interpreters.compare(run, (), {"throughput": 0.03}) == ()
    stored = grids.small_grid()
    assert interpreters.compare(stored.run, stored.trials, {"throughput": 0.03}) == ()


def test_other_interpreters_have_a_section_of_every_form(raced: StoredRun) -> None:
    """Also where contenders are chosen; a run in one interpreter has none."""
    shown = Run(raced).compare()
    (section,) = (one for one in page.page(shown).sections if one.name == "interpreters")
    (table,) = section.tables

    assert table.header[:5] == (
        *("contender", "interpreter", "throughput", "vs the run's own", "verdict"),
    )
    assert [row[:2] for row in table.rows] == [
        ("slot", "the run's own"),
        ("slot", FREE),
        ("floor", "the run's own"),
        ("floor", FREE),
    ]
    assert [row[4] for row in table.rows] == ["baseline", "faster", "baseline", "limit"]
    assert "that of slot" in section.legend
    for form in ("text", "md", "html", "github"):
        assert "Other interpreters" in draw.render(shown, form)
    rows = json.loads(draw.render(shown, "json"))["interpreters"]
    assert len(rows) == 4 * len(shown.metrics)
    assert rows[len(shown.metrics)]["ratio"] == pytest.approx(800 / 450, rel=0.01)
    narrowed = between.narrow(shown, [f"slot[python={FREE}]"])
    assert isinstance(narrowed, comparison.Comparison)
    assert {one.bare_label for one in narrowed.interpreters} == {"slot"}
    plain = Run(grids.small_grid()).compare()
    assert json.loads(draw.render(plain, "json"))["interpreters"] is None
    assert "Other interpreters" not in draw.render(plain, "text")


def test_other_interpreters_in_python_and_in_words(raced: StoredRun) -> None:
    """A frame with a row each, and a sentence composed of the verdicts."""
    frame = Run(raced).interpreters
    rates = frame[frame["metric"] == "throughput"]

    assert list(frame.columns[:4]) == list(frames.PLACE)
    assert list(rates["bare_label"]) == ["slot", "slot", "floor", "floor"]
    assert list(rates["ratio"].isna()) == [True, False, True, False]
    assert Run(grids.small_grid()).interpreters.empty
    said = Run(raced).answers["Other interpreters"]
    assert said == (
        f"The same contender, slot in {FREE} over the run's own: more requests in 1 of 1 (1.78×)."
    )
    assert "Other interpreters" not in Run(grids.small_grid()).answers
