"""What is said of an open loop, and what is not: throughput there is what was offered."""

import dataclasses
import json

import pytest

from slotbench.compute import answers, bound, comparison, loads, losses
from slotbench.compute.demands import Demands, ServiceTime
from slotbench.draw import answer as answer_words
from slotbench.draw import as_json, load_table, loss_table, page
from slotbench.records import Load
from slotbench.store import StoredRun
from tests.slotbench.conftest import build_workload
from tests.slotbench.support import grids


@pytest.fixture(scope="module")
def stored() -> StoredRun:
    return grids.open_grid(("threading", "slot", "floor"))


def compared(stored: StoredRun) -> comparison.Comparison:
    made = comparison.compare(stored.run, stored.trials)
    return dataclasses.replace(made, loads=loads.points(stored.run, stored.trials))


def test_points_are_of_usable_first_trials(stored: StoredRun) -> None:
    """Geometric means over five rounds; an INVALID trial's latency is not in them."""
    wrong = dataclasses.replace(grids.OVERLOAD, rule="generator", severity="INVALID")
    first = stored.trials[0]
    assert first.measurement is not None
    spoilt = dataclasses.replace(
        first,
        findings=(wrong,),
        measurement=dataclasses.replace(first.measurement, latency_p99_s=1.0),
    )
    before, *_ = loads.points(stored.run, stored.trials)
    after, *_ = loads.points(stored.run, (spoilt, *stored.trials[1:]))

    assert (before.contender, before.offered_per_s, before.num_trials) == (
        "threading",
        1000.0,
        5,
    )
    assert before.latency_p99_s == pytest.approx(4e-3, rel=0.01)
    assert after.num_trials == 4
    assert after.latency_p99_s == pytest.approx(4e-3, rel=0.02)


def test_of_latencies_beyond_saturation_no_verdict_is_made() -> None:
    """Lower limits both: withheld. One of them: it is slower by at least so much, and never faster."""
    stored = grids.open_grid(("threading", "slot"))
    rows = {
        (row.cell, row.metric): row
        for row in comparison.compare(stored.run, stored.trials).rows
        if row.contender == "slot"
    }
    light, full, beyond = (cell.name for cell in stored.run.scenario.cells)
    # At 100 000 a second both are behind, at 10 000 neither.
    assert rows[light, "latency_p99"].verdict == "equivalent"
    assert rows[full, "latency_p99"].verdict == "equivalent"
    assert rows[beyond, "latency_p99"].ratio is not None
    assert rows[beyond, "latency_p99"].verdict == "inconclusive"
    assert rows[beyond, "latency_p99"].more_blocks is None
    assert rows[beyond, "throughput"].verdict == "faster"


@pytest.mark.parametrize(
    ("saturated", "factor", "said"),
    [("slot", 3.0, "slower"), ("slot", 0.3, "inconclusive"), ("threading", 0.3, "faster")],
)
def test_a_lower_limit_is_higher_or_says_nothing(
    saturated: str, factor: float, said: str
) -> None:
    """Of one side beyond saturation, in a cell that the other carries."""
    stored = grids.open_grid(("threading", "slot"))
    cell = stored.run.scenario.cells[0].name
    trials = []
    for trial in stored.trials:
        measured = trial.measurement
        if trial.contender == "slot" and measured is not None and measured.latency_p99_s:
            longer_s = factor * measured.latency_p99_s
            measured = dataclasses.replace(measured, latency_p99_s=longer_s)
        found = (grids.OVERLOAD,) if trial.contender == saturated else ()
        trials.append(dataclasses.replace(trial, measurement=measured, findings=found))
    rows = comparison.compare(stored.run, trials, metrics=["latency_p99"]).rows
    (row,) = (one for one in rows if one.contender == "slot" and one.cell == cell)

    assert row.verdict == said


def test_where_every_cell_is_open_latency_is_compared_first(stored: StoredRun) -> None:
    """The opening speaks of it; a mixed run, and a closed one, are about throughput."""
    made = compared(stored)
    assert made.metrics == ("latency_p99", "latency_p50", "throughput")
    assert (
        "p99 latency" in page.page(made).opening or "equivalent" in page.page(made).opening
    )

    closed = grids.small_grid()
    assert comparison.compare(closed.run, closed.trials).metrics[0] == "throughput"
    mixed = [*closed.run.scenario.cells, *stored.run.scenario.cells]
    assert comparison.default_metrics(mixed) == comparison.DEFAULT_METRICS


def test_a_page_shows_latency_beside_the_call(stored: StoredRun) -> None:
    """Without being asked; and the command that says it again asks for nothing more."""
    shown = page.page(compared(stored))
    (section,) = shown.sections
    assert section.name == "loads"
    assert [len(table.rows) for table in section.tables] == [3, 3, 3]
    last = {row[0]: row for row in section.tables[-1].rows}
    assert last["slot"][1:3] == ("100 000/s", "40 000/s")
    assert last["slot"][8:] == ("60 %", load_table.SATURATED)
    assert section.tables[0].rows[0][8:] == ("", "")
    assert "''" not in shown.commands[-1]


def test_json_has_the_points(stored: StoredRun) -> None:
    """A row per cell and contender; null for a closed loop."""
    document = json.loads(as_json.render(compared(stored)))
    assert len(document["loads"]) == 9
    assert document["loads"][0]["latency_p99_low_s"] < document["loads"][0]["latency_p99_s"]
    closed = grids.small_grid()
    assert json.loads(as_json.render(compared(closed)))["loads"] is None


def test_no_throughput_is_lost_in_an_open_loop(stored: StoredRun) -> None:
    """No table of losses; the bound is what is offered, or what can be served."""
    assert losses.losses(stored.run, stored.trials) == ()
    assert loss_table.tables(losses.losses(stored.run, stored.trials)) == ()
    # 10 actors and a policy of 1 ms: batches of 10 serve 10 000 a second.
    bounds = losses.bounds(stored.run, stored.trials)
    assert [round(one or 0) for one in bounds.values()] == [1000, 10_000, 10_000]


@pytest.mark.parametrize(
    ("rate", "expected"), [(500.0, (4000, "load")), (5000.0, (8000, "times"))]
)
def test_the_bound_is_the_lesser_of_load_and_capacity(
    rate: float, expected: tuple[float, str]
) -> None:
    """8 actors, a policy of 1 ms."""
    workload = dataclasses.replace(build_workload(8), load=Load("constant", rate))
    nothing = ServiceTime(0.0, 0.0)
    times = Demands(0.0, 0.0, 0.0, ServiceTime(1e-3, 0.0), nothing, 0.0, 2, "nominal")
    found = bound.of_demands(workload, times)

    assert found is not None
    assert (found.per_s, found.limit) == (pytest.approx(expected[0]), expected[1])


def test_no_contender_is_recommended_for_serving_what_it_was_offered(
    stored: StoredRun,
) -> None:
    """Though slot serves twice as much beyond saturation; the answer says where to look."""
    found = answers.answer(stored.run, stored.trials)
    said = answer_words.sentences(found, compared(stored))

    assert found.leader is None
    assert [one.about for one in said[:2]] == ["Under load", "Who keeps up"]
    assert said[0].text == page.page(compared(stored)).opening
    assert said[1].text == (
        "Of the loads offered: threading up to 10 000/s, slot up to 10 000/s and floor up to 10 000/s."
    )


def test_of_a_mixed_run_closed_cells_alone_are_answered() -> None:
    """Slot is twice as fast in the closed cell; what it is offered does not count against that."""
    cells = [grids.cell(8, 1.0), grids.open_cell(100.0)]
    rates = {(cells[0].name, "threading"): 1000.0, (cells[0].name, "slot"): 2000.0}
    rates |= {(cells[1].name, who): 1000.0 for who in ("threading", "slot")}
    run = grids.opened(grids.stored(rates, cells, labels=("threading", "slot")))
    found = answers.answer(run.run, run.trials)

    assert found.leader is not None
    assert found.leader.label == "slot"
    assert {row.cell for row in found.leader.rows} == {cells[0].name}
    assert found.typical == cells[0]
    made = comparison.compare(run.run, run.trials)
    text = " ".join(one.text for one in answer_words.sentences(found, made))
    assert "At 8 actors and a 1 ms policy, slot serves 2.00×" in text
    assert "2 cells" not in text
