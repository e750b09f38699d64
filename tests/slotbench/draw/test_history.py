"""A history in words: what changed with which run, every run's number, nothing more."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from matplotlib.figure import Figure

from slotbench import frames, plots
from slotbench.compute import history as followed
from slotbench.compute.history import History
from slotbench.draw import Screen, units
from slotbench.draw import history as words
from slotbench.errors import SlotbenchError
from slotbench.report import _history
from slotbench.store import StoredRun
from tests.slotbench.support import histories
from tests.slotbench.support.pages import Page

STEP = [2.0] * 6 + [1.6] * 6


def ask(stored: Sequence[StoredRun], metric: str = "throughput", **options: Any) -> History:
    return followed.history([(one.run, one.trials) for one in stored], metric, **options)


@pytest.fixture(scope="module")
def step() -> History:
    """Twelve runs, of which the seventh lost a fifth."""
    return ask(histories.runs(STEP), notes=("left out: r13, which is interrupted",))


@pytest.mark.parametrize("name", ["text", "md", "html"])
def test_formats_for_people_say_what_changed_with_which_run(
    name: str, step: History
) -> None:
    """Verdict, size, run and commit, the last run before it; every run; what was left out."""
    text = _history.render(step) if name == "html" else words.render(step, name)
    flat = " ".join((Page(text).text if name == "html" else text).replace("\\", "").split())

    assert "1 change in 1 series of 12 runs: 1 worse. At its newest level worse than at its best before: slot 0.80× [0.80, 0.80]." in flat  # fmt: skip
    assert "▼ slot slower 0.80× [0.80, 0.80]: since" in flat
    assert (
        ": since 20250107T030405Z-synthetic-000006 (0000000000), after 0000000000" in flat
    )
    assert "left out: r13, which is interrupted" in flat
    for number in range(12):
        assert f"{number:06x}" in flat
    assert "Quick CPU, CPUs: 2, Python 3.11.7, torch 2.13.0" in flat
    spread = step.series[0].partition.spread
    assert spread
    assert f"between runs: slot ±{units.percent(math.expm1(spread))}" in flat


def test_runs_of_one_second_stay_in_the_order_of_the_series() -> None:
    """In table and plot, whatever their ids; also where a series lacks one of them."""
    stored = []
    for number, one in enumerate(histories.runs(STEP)):
        record = dataclasses.replace(
            one.run,
            run_id=f"20250101T030405Z-synthetic-{15 - number:06x}",
            created_at="2025-01-01T03:04:05+00:00",
        )
        kept = [t for t in one.trials if number != 3 or t.contender != "slot"]
        stored.append(dataclasses.replace(one, run=record, trials=tuple(kept)))
    found = ask(stored, chosen=followed.Chosen(contenders=("slot", "floor")))
    ids = [one.run.run_id for one in stored]

    (table,) = words.tables(found)
    assert [row[0] for row in table.rows] == [run_id[-6:] for run_id in ids]
    (facet,) = plots.of_history().split(frames.history_frame(found))
    lines = plots.of_history().draw(facet.frame, Figure().add_subplot()).get_lines()
    floor = next(line for line in lines if line.get_label() == "floor")
    assert list(floor.get_xdata()) == list(range(12))


def test_a_flat_history_says_so() -> None:
    """And nothing of changes."""
    text = words.render(ask(histories.runs([2.0] * 8)))
    assert text.startswith("No change in 1 series of 8 runs")
    assert "▼" not in text.partition("A number is")[0]


@pytest.mark.parametrize("count", [1, 3])
def test_a_short_history_is_shown_as_such(count: int) -> None:
    """One run is a table of one row; what it takes is said."""
    text = words.render(ask(histories.runs([2.0] * count)))
    assert "and no workload 4 times on one machine: too few to tell a change" in text
    assert "no change is looked for in fewer than 4 runs" in text
    assert text.count("2025-01-0") == count + (1 if count == 1 else 2)


def test_many_short_cells_are_counted_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The table of a cell that was searched stays; CSV has them all."""
    long, short = histories.runs([2.0] * 8), histories.runs([2.0] * 2, name="other")
    monkeypatch.setattr(words, "MAX_SHORT", 0)
    history = ask([*long, *short])
    text = words.render(history)
    assert "1 cell with fewer than 4 runs not shown: choose some" in text
    assert len(list(words.tables(history))) == 1
    assert "other" in words.render(history, "csv")


def test_a_change_by_one_run_is_not_confirmed() -> None:
    """It is said to be."""
    text = words.render(ask(histories.runs([2.0] * 11 + [1.2])))
    assert "one run alone: not confirmed yet" in " ".join(text.split())


def test_a_change_is_named_with_its_place_where_there_are_several() -> None:
    """Two scenarios of the same cell."""
    stored = histories.runs(STEP) + histories.runs(STEP, name="other")
    (first, second) = words.changes(ask(stored))
    assert " in synthetic, num_slots=8" in first
    assert " in other, num_slots=8" in second


def test_values_have_their_unit() -> None:
    """Of an absolute history."""
    text = words.render(ask(histories.runs([2.0] * 5), "latency_p50", is_absolute=True))
    assert " ms" in text
    assert "threading" in text


def test_only_the_newest_runs_are_rows_of_a_table() -> None:
    """Thirty of them: ten are said not to be shown; a CSV has all."""
    found = ask(histories.runs([2.0] * 30))
    (table,) = words.tables(found)

    assert len(table.rows) == words.MAX_RUNS
    assert table.rows[-1][0] == f"{29:06x}"
    assert table.notes[0].startswith("10 earlier runs not shown")
    assert len(words.render(found, "csv").splitlines()) == 31


@pytest.mark.parametrize("width", [24, 60, 100])
def test_no_line_is_wider_than_the_screen(width: int, step: History) -> None:
    """Whatever the ids of runs."""
    text = words.render(step, "text", Screen(width))
    assert max(map(len, text.splitlines())) <= width


def test_json_keeps_every_number(step: History) -> None:
    """Points, levels and changes to the last digit."""
    read = json.loads(words.render(step, "json"))
    (series,), (one,) = read["series"], step.series

    assert (read["schema"], read["schema_version"]) == ("slotbench.history", 1)
    assert [point["value"] for point in series["points"]] == [p.value for p in one.points]
    (change,) = series["changes"]
    assert change["ratio"] == one.changes[0].cut.size.point
    assert change["run_id"] == one.points[6].run_id
    assert [segment["num_runs"] for segment in series["segments"]] == [6, 6]
    assert series["is_regressed"] is True


def test_csv_is_the_frame(step: History) -> None:
    """A row a run, the change in the row of the run that came with it."""
    rows = list(csv.DictReader(io.StringIO(words.render(step, "csv"))))
    frame = frames.history_frame(step)

    assert list(rows[0]) == list(frame.columns)
    assert [float(row["value"]) for row in rows] == list(frame["value"])
    assert [row["verdict"] for row in rows] == [""] * 6 + ["slower"] + [""] * 5
    assert {row["segment"] for row in rows[:6]} == {"1"}


def test_changes_have_a_frame_of_their_own(step: History) -> None:
    """The run, the one before it, the size."""
    (row,) = frames.changes_frame(step).to_dict("records")
    assert (row["number"], row["verdict"], row["is_confirmed"]) == (7, "slower", True)
    assert row["after_run_id"] == step.series[0].points[5].run_id
    assert row["change"] == step.series[0].changes[0].cut.size.point


def test_another_format_is_refused(step: History) -> None:
    """What there is is named."""
    with pytest.raises(SlotbenchError, match="a history is text, md, json, csv or html"):
        words.render(step, "xml")


def test_the_plot_has_runs_levels_and_the_change(step: History) -> None:
    """A mark a run, a line a segment at its level, the size where it changed; in words, too."""
    plot, frame = plots.of_history(), frames.history_frame(step)
    (facet,) = plot.split(frame)
    ax = plot.draw(facet.frame, Figure().add_subplot())
    lines = ax.get_lines()
    marks = next(line for line in lines if line.get_label() == "slot")

    assert list(marks.get_xdata()) == list(range(12))
    assert list(marks.get_ydata()) == list(frame["value"])
    levels = [line.get_ydata()[0] for line in lines if len(line.get_xdata()) == 2 and line.get_ydata()[0] > 1.1]  # fmt: skip
    assert levels == pytest.approx([segment.level for segment in step.series[0].partition.segments])  # fmt: skip
    assert [text.get_text() for text in ax.texts] == ["▼ 0.80×"]
    assert "slower 0.80× with 20250107T030405Z-synthetic-000006" in plot.describe(
        facet.frame
    )


def test_a_facet_is_a_cell_of_one_scenario_and_machine() -> None:
    """Named by what tells it from the others."""
    stored = histories.runs(STEP[:4]) + histories.runs(STEP[:4], name="other")
    facets = plots.of_history().split(frames.history_frame(ask(stored)))
    assert [facet.title.partition(",")[0] for facet in facets] == ["synthetic", "other"]


def test_the_page_needs_no_network_and_escapes_what_it_is_given() -> None:
    """A machine's name is text; the plot has its data."""
    stored = histories.runs(
        STEP, environment={"cpu_model_name": "<script>alert(1)</script>"}
    )
    page = Page(_history.render(ask(stored)))

    assert "<script>alert(1)</script>" in page.text
    assert not page.of("script")
    pictures = [svg for svg in page.of("svg") if svg.get("role") == "img"]
    assert len(pictures) == len(page.of("figure")) == 1


def test_a_history_without_intervals_is_drawn() -> None:
    """One round a run."""
    stored = []
    for one in histories.runs([2.0] * 4):
        first = tuple(trial for trial in one.trials if trial.round == 0)
        stored.append(dataclasses.replace(one, trials=first))
    found = ask(stored)
    assert found.series[0].points[0].low is None
    assert "2.0" in words.render(found)
    assert _history.render(found)
