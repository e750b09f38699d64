"""One page that says what the records say, needs nothing else, and hides nothing."""

import base64
import csv
import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import pytest

from slotbench import plots, report
from slotbench.errors import RecordError, SlotbenchError
from slotbench.records import Finding, Skipped
from slotbench.report import _svg
from slotbench.store import StoredRun
from tests.slotbench.support import grids, twins
from tests.slotbench.support.pages import Page


@pytest.fixture(scope="module")
def stored() -> StoredRun:
    """A grid with one of everything that is to be said."""
    cells = [grids.cell(n, ms) for n in (4, 64) for ms in (0.0, 1.0)]
    found = {
        (cells[0].name, "slot"): Finding("lost_reply", "INVALID", "1 <lost>", "check it"),
        (cells[1].name, "slot"): Finding("steal", "DISTURBED", "20 %", "run when quieter"),
    }
    return grids.small_grid(findings=found, skipped=(Skipped("m:f", "not installed"),))


@pytest.fixture(scope="module")
def page(stored: StoredRun) -> Page:
    return Page(report.render([stored]))


def test_the_page_needs_no_network(stored: StoredRun) -> None:
    """No address but the namespaces of SVG, no script, no external picture or font."""
    text = report.render([stored])
    assert set(re.findall(r"https?://[^\s\"'<>)]+", text)) <= {
        *("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"),
    }
    found = Page(text)
    assert not found.of("script")
    assert not found.of("img")
    assert not found.of("link")
    assert "url(http" not in text
    assert "@import" not in text


def test_ids_are_unique_and_references_lead_somewhere(page: Page) -> None:
    """Of a page with dozens of pictures that each have ids of their own."""
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(set(ids)) == len(ids)
    for _, attrs in page.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            for target in (attrs.get(name) or "").split():
                assert target in ids
        for name in ("href", "xlink:href"):
            target = attrs.get(name) or ""
            assert target[:1] != "#" or target[1:] in ids
        for target in re.findall(r"url\(#([^)]+)\)", str(attrs)):
            assert target in ids


def test_the_answer_comes_first(page: Page) -> None:
    """Before anything that it rests on."""
    order = [
        *("slot: in none of 4 cells", "What was measured", "What was left out"),
        *("Throughput", "Every cell in full", "How to reproduce it"),
    ]
    places = [page.text.index(text) for text in order]
    assert places == sorted(places)


def test_contenders_in_sentences_are_set_as_code() -> None:
    """Whole labels, also at a sentence's end; a floor's name is a word there."""
    from slotbench.report._html import _marked

    labels = ["slot", "slot[preallocate]", "torchrl.slot", "threading"]
    shown = str(
        _marked("slot[preallocate] over <slot>, torchrl.slot and threading.", labels)
    )
    assert shown == (
        "<code>slot[preallocate]</code> over &lt;<code>slot</code>&gt;, "
        "<code>torchrl.slot</code> and <code>threading</code>."
    )


def test_every_plot_is_there_with_words_and_data(page: Page, stored: StoredRun) -> None:
    """A title and a description for those who do not see it; the numbers as CSV."""
    for name in plots.available("run"):
        is_shown = plots.get(name).title.replace("the baseline", "threading") in page.text
        assert is_shown == (name != "latency_vs_load")  # no open loop is in it
    pictures = [svg for svg in page.of("svg") if svg.get("role") == "img"]
    assert len(pictures) == len(page.of("figure")) >= 15
    assert all(svg["aria-labelledby"] for svg in pictures)
    links = [a for a in page.of("a") if (a.get("href") or "").startswith("data:text/csv")]
    assert len(links) == len(pictures)
    data = base64.b64decode((links[0]["href"] or "").partition("base64,")[2]).decode()
    rows = list(csv.DictReader(io.StringIO(data)))
    plot = plots.get("throughput")
    first = plot.split(plot.frame(stored))[0].frame
    assert [float(row["value"]) for row in rows] == pytest.approx(list(first["value"]))


def test_a_page_of_open_loops_is_about_latency_under_load() -> None:
    """Who keeps up to which load, before the plot; a table beside it, no recommendation, no losses."""
    text = Page(report.render([grids.open_grid(("threading", "slot"))])).text
    order = [
        *("Under load", "Who keeps up", "threading up to 10 000/s", "What was measured"),
        *("Latency under load", "Every cell in full"),
    ]
    places = [text.index(one) for one in order]

    assert places == sorted(places)
    assert "p99 latency (solid) and p50 (dashed)" in text
    assert "Where the backlog grows, replies fall behind" in text
    assert "Where the loss goes" not in text
    assert "Whichever suits you" not in text


def test_what_was_left_out_is_said_with_its_reason(page: Page) -> None:
    """INVALID, DISTURBED, skipped; text of a record is text, not markup."""
    assert "lost_reply" in page.text
    assert "1 <lost>" in page.text
    assert "run when quieter" in page.text
    assert "skipped: m:f (not installed)" in page.text
    assert "x86 <fast>" in page.text


def test_it_says_how_to_reproduce_it(stored: StoredRun) -> None:
    """The commands, and the scenario as it was run."""
    run = dataclasses.replace(
        stored.run,
        scenario=dataclasses.replace(stored.run.scenario, text='title = "A <b> & c"\n'),
    )
    found = Page(report.render([dataclasses.replace(stored, run=run)]))
    assert "slotbench run synthetic" in found.text
    assert f"slotbench report {run.run_id}" in found.text
    assert 'title = "A <b> & c"' in found.text


def test_colours_are_the_pages(stored: StoredRun) -> None:
    """No contender's or ink's colour is left fixed, so that a page can be dark."""
    text = report.render([stored])
    svgs = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)).lower()
    for color in _svg._COLORS:
        assert color not in svgs
    assert "currentcolor" in svgs
    assert "var(--blue)" in svgs
    assert "prefers-color-scheme: dark" in text
    for variable in set(re.findall(r"var\((--[a-z]+)\)", text)):
        assert f"{variable}:" in text


def test_the_same_run_gives_the_same_page(stored: StoredRun) -> None:
    """So that a report can be kept under version control."""
    assert report.render([stored]) == report.render([stored])


def test_a_large_grid_shows_a_few_cells_of_plots_of_one_cell() -> None:
    """And says how to see the others."""
    cells = [grids.cell(n, ms) for n in (1, 4, 16, 64) for ms in (0.0, 1.0, 5.0)]
    rates = {(c.name, x): 1e3 for c in cells for x in ("threading", "slot")}
    stored = grids.stored(rates, cells, labels=("threading", "slot"), rounds=2)
    found = Page(report.render([stored]))

    run_id = stored.run.run_id
    assert f"4 of 12 cells; any other: slotbench plot {run_id} latency" in found.text


def test_several_runs_stand_behind_each_other(stored: StoredRun) -> None:
    """Each with its own answer; what changed from the first, or why that is not said."""
    head = grids.small_grid()
    head = dataclasses.replace(
        head, run=dataclasses.replace(head.run, run_id="20260101T000000Z-head-000000")
    )
    other = grids.stored(
        {(grids.cell(2).name, "threading"): 1.0},
        [grids.cell(2)],
        labels=("threading", "slot"),
    )
    other = dataclasses.replace(
        other, run=dataclasses.replace(other.run, run_id="20260102T000000Z-other-000000")
    )
    found = Page(report.render([stored, head, other]))

    assert len(found.of("article")) == 3
    assert "to 20260101T000000Z-head-000000: Head against base by ratios" in found.text
    assert "other-000000 nothing is compared: " in found.text
    ids = [attrs["id"] for _, attrs in found.tags if attrs.get("id")]
    assert len(set(ids)) == len(ids)


def test_markdown_says_the_same_without_plots(stored: StoredRun) -> None:
    """Answer, what was left out, every cell, how to reproduce."""
    text = report.render([stored], "md")

    assert text.startswith("# Synthetic\n\nWhich is faster?\n")
    assert "- **Use.** slot: in none of 4 cells is any" in text
    assert "| INVALID | `lost_reply` |" in text
    assert (
        text.count("#### num\\_slots=") == 8
    )  # every cell in full, and where its loss goes
    assert "<svg" not in text
    assert text.endswith("</sub>\n")


def test_markdown_of_a_record_stays_in_its_place(stored: StoredRun) -> None:
    """A command that holds a fence, a question that looks like a heading."""
    scenario = dataclasses.replace(stored.run.scenario, question="# pwned")
    command = ("slotbench", "run", "a\n```\n# pwned")
    run = dataclasses.replace(stored.run, scenario=scenario, command=command)
    text = report.render([dataclasses.replace(stored, run=run)], "md")

    assert "\n# pwned" not in text
    assert "\n\\# pwned" in text
    assert text.count("\n````\n") == 2


def test_a_run_of_invalid_trials_is_reported() -> None:
    """Its plots are left out, its reasons are not."""
    cells = [grids.cell(n, ms) for n in (4, 64) for ms in (0.0, 1.0)]
    wrong = Finding("lost_reply", "INVALID", "1 lost", "check it")
    everywhere = {(c.name, label): wrong for c in cells for label in grids.LABELS}
    stored = grids.small_grid(rounds=1, findings=everywhere)
    found = Page(report.render([stored]))
    assert "lost_reply" in found.text


def test_options_reach_every_part(stored: StoredRun) -> None:
    """Another baseline and threshold, in the tables, the plots and the words."""
    found = Page(report.render([stored], baseline="torchrl.slot", threshold=0.5))
    assert "more than 50 % faster" in found.text
    assert "vs torchrl.slot" in found.text
    assert "Ratios to torchrl.slot." in found.text


def test_a_run_that_was_broken_off_is_reported_as_one(stored: StoredRun) -> None:
    """With what is missing."""
    run = dataclasses.replace(stored.run, status="running")
    broken = dataclasses.replace(
        stored, run=run, trials=stored.trials[:40], notes=("it was killed",)
    )
    found = Page(report.render([broken]))
    assert "it was killed" in found.text
    assert "The run was killed" in found.text


def test_a_run_of_failures_is_reported() -> None:
    """No number at all: words and reasons remain."""
    place = grids.cell()
    run = grids.stored({(place.name, "slot"): 1.0}, [place], labels=("threading", "slot"))
    failed = [
        dataclasses.replace(t, status="failed", measurement=None, error="hung after 30 s")
        for t in run.trials
    ]
    found = Page(report.render([dataclasses.replace(run, trials=tuple(failed))]))
    assert "No trial gave a number to use." in found.text
    assert "hung after 30 s" in found.text


@pytest.mark.parametrize(
    ("runs", "options", "message"),
    [
        (1, {"format_name": "pdf"}, "unknown format 'pdf': it is html or md"),
        (0, {}, "a report needs at least one run"),
        (1, {"baseline": "nope"}, "no contender 'nope'"),
    ],
)
def test_what_cannot_be_reported_is_refused(
    runs: int, options: dict[str, Any], message: str, stored: StoredRun
) -> None:
    """In one line."""
    with pytest.raises(SlotbenchError, match=message):
        report.render([stored] * runs, **options)


def test_a_run_without_trials_has_no_report(stored: StoredRun) -> None:
    """There is nothing in it to read."""
    with pytest.raises(RecordError, match="holds no trials yet"):
        report.render([dataclasses.replace(stored, trials=(), path=Path("results/x"))])


def test_twins_have_a_section_where_there_are_any(stored: StoredRun) -> None:
    """On the page and in Markdown, without being asked for."""
    pair = twins.pair()
    title = "Real environments and their twins"

    assert title in report.render([pair], "html")
    assert f"### {title}" in report.render([pair], "md")
    assert title not in report.render([stored], "html")
