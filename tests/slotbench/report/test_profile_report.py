"""A profile's chapter says what its record says, needs nothing else, and hides nothing."""

import base64
import csv
import dataclasses
import io
import re
from pathlib import Path

import pytest

from slotbench import plots, report
from slotbench.compute import ledger
from slotbench.compute.phases import PHASES
from slotbench.errors import RecordError, SlotbenchError
from slotbench.records import Skipped, ToolFinding
from slotbench.report import _svg
from slotbench.store import StoredProfile, StoredRun
from tests.slotbench.support import altered, grids, profiles
from tests.slotbench.support.pages import Page

CELLS = (grids.cell(16), grids.cell(16, 1.0))
LAZY = "torchrl.slot[collate=lazy_stack]"


@pytest.fixture(scope="module")
def stored() -> StoredProfile:
    """Two cells, in one of which a pass failed; files of tools; what was skipped."""
    made = profiles.stored(
        CELLS,
        timelines=("timeline-1.json", "timeline-2.json"),
        skipped=(Skipped("m:f", "not installed"),),
        tools=[
            ToolFinding(
                "flame", CELLS[0].name, "slot", ("a b.svg", "c.json"), "cut <short>"
            ),
            ToolFinding("memory", "", "", (), "memray is not installed"),
        ],
    )
    return altered.failed(made, LAZY, cell=CELLS[1].name, error="hung <after> 30 s")


@pytest.fixture(scope="module")
def text(stored: StoredProfile) -> str:
    return report.render([stored])


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_needs_no_network(text: str) -> None:
    """It names the viewer of timelines, and loads nothing."""
    assert set(re.findall(r"https?://[^\s\"'<>),]+", text)) <= {
        *("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"),
        "https://ui.perfetto.dev",
    }
    found = Page(text)
    assert not found.of("script")
    assert not found.of("img")
    assert not found.of("link")


def test_ids_are_unique_and_references_lead_somewhere(page: Page) -> None:
    """As in a report of a run."""
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(set(ids)) == len(ids)
    for _, attrs in page.tags:
        for target in (attrs.get("aria-labelledby") or "").split():
            assert target in ids
        for target in re.findall(r"url\(#([^)]+)\)", str(attrs)):
            assert target in ids


def test_the_answer_comes_first_and_what_it_rests_on_in_order(page: Page) -> None:
    """Words, machine, plot, tables, files, how to reproduce it."""
    order = [
        *("Synthetic: profile", "slot answers in 780 µs where threading takes 2.16 ms"),
        *("What was measured", "The life of a request", "Every cell in full"),
        *("contenders", "phases of a request, mean time", "ledger, per request", "claims"),
        *("from threading to slot: phases", "locks of threading", "Timelines and tools"),
        "How to reproduce it",
    ]
    place = 0
    for one in order:
        place = page.text.index(one, place)


def test_what_was_profiled_on_what_is_said(page: Page) -> None:
    """Grid, passes, rounds, machine; text of a record is text, not markup."""
    for said in (
        "num_slots 16; model.latency_ms 0.0, 1.0",
        "120 recorded, 120 planned: 2 cells × 4 contenders × 5 passes (plain, phases, locks, "
        "operations, gil) × 3 rounds",
        "2026-11-28T00:00:00+00:00, in 1 min 40 s",
        "x86 <fast>",
        "skipped: m:f (not installed)",
        "No comparison uses a trial of a profile.",
    ):
        assert said in page.text


def test_the_plot_is_there_with_words_and_data(page: Page, stored: StoredProfile) -> None:
    """One picture a cell, and nothing that is drawn of runs."""
    pictures = [svg for svg in page.of("svg") if svg.get("role") == "img"]
    assert len(pictures) == len(page.of("figure")) == 2
    assert "the stamps add 41.1 µs" in page.text
    assert "Throughput" not in page.text
    links = [a for a in page.of("a") if (a.get("href") or "").startswith("data:text/csv")]
    data = base64.b64decode((links[0]["href"] or "").partition("base64,")[2]).decode()
    rows = list(csv.DictReader(io.StringIO(data)))
    plot = plots.get("phases")
    first = plot.split(plot.frame(stored))[0].frame
    assert [float(row["time_s"]) for row in rows] == pytest.approx(list(first["time_s"]))
    for place, name in enumerate(PHASES, start=1):
        assert f"{place} {name}" in page.text


def test_every_table_of_every_cell_is_there(page: Page) -> None:
    """Also percentiles, all rows of the ledger with what they count, and what failed."""
    for title in (
        *("phases of a request, percentiles", "ledger, per request", "claims"),
        *("from threading to slot: ledger", "locks of slot"),
    ):
        assert page.text.count(title) >= 2
    for row in ledger.ROWS:
        assert row.summary in page.text
    assert f"{LAZY}: phases, round 2: failed: hung <after> 30 s" in page.text
    assert "Without numbers to be used: 3 trials, see problems." in page.text
    marked = [td for td in page.of("td") if "failed" in (td.get("class") or "")]
    assert len(marked) == 2  # a claim that does not hold, in each cell


def test_files_are_linked_from_where_the_page_lies(stored: StoredProfile) -> None:
    """By default from the profile's own folder; no name is an address of another kind."""
    beside = Page(report.render([stored])).of("a")
    addresses = {a["href"] for a in beside if not (a["href"] or "").startswith("data:")}
    assert {"timeline-1.json", "timeline-2.json", "a%20b.svg", "c.json"} <= addresses
    away = Page(report.render([stored], page_dir=Path("reports")))
    assert f"../results/{stored.profile.profile_id}/timeline-1.json" in {
        a["href"] for a in away.of("a")
    }
    assert (
        "flame of slot in num_slots=16, model.latency_ms=0.0: a b.svg, c.json: cut <short>"
        in (away.text)
    )
    assert "memory: memray is not installed" in away.text
    odd = dataclasses.replace(
        stored,
        profile=dataclasses.replace(stored.profile, timelines=("javascript:alert(1)",) * 2),
    )
    assert 'href="javascript:' not in report.render([odd])


def test_it_says_how_to_reproduce_it(page: Page, stored: StoredProfile) -> None:
    """The command as recorded, and those that show it again."""
    assert "slotbench profile quickstart # commit not known" in page.text
    for command in ("show", "report"):
        assert f"slotbench {command} {stored.profile.profile_id}" in page.text


def test_colours_are_the_pages(text: str) -> None:
    """No ink and no phase's colour is left fixed, so that a page can be dark."""
    svgs = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)).lower()
    for color in _svg._COLORS:
        assert color not in svgs
    for variable in ("--orange", "--sky", "--amber", "--purple"):
        assert f"var({variable})" in svgs
    boxes = re.findall(r'<svg class="swatch".*?</svg>', text)
    assert len(boxes) == len(set(boxes)) == 9


def test_the_same_profile_gives_the_same_page(stored: StoredProfile, text: str) -> None:
    """So that a report can be kept under version control."""
    assert report.render([stored]) == text


def test_one_cell_answers_question_by_question() -> None:
    """Why, what the probes cost, what is claimed."""
    found = Page(report.render([profiles.stored([grids.cell(16)])]))
    place = 0
    for said in ("Why", "explains 40 %", "Probes", "The stamps' own cost", "Claims"):
        place = found.text.index(said, place)


def test_another_baseline_is_held_against_the_fastest(stored: StoredProfile) -> None:
    """In words, tables and plot."""
    found = Page(report.render([stored], baseline=LAZY))
    assert f"slot answers in 780 µs where {LAZY} takes 1.79 ms" in found.text
    assert f"from {LAZY} to slot: phases" in found.text


def one_cell() -> tuple[StoredRun, StoredProfile]:
    """A run and a profile of one cell: what is told apart here is the same of many."""
    place = CELLS[0]
    rates = {(place.name, label): 1e3 for label in ("threading", "slot")}
    run = grids.stored(rates, [place], labels=("threading", "slot"))
    return run, profiles.stored(CELLS[:1])


def test_nothing_is_compared_with_a_profile() -> None:
    """Between runs only, whatever stands between them."""
    run, stored = one_cell()
    head = dataclasses.replace(
        run, run=dataclasses.replace(run.run, run_id="20260101T000000Z-head-000000")
    )
    for recorded in ([run, stored], [stored, run], [stored, stored]):
        found = Page(report.render(recorded))
        assert len(found.of("article")) == 2
        assert "Between the runs" not in found.text
        ids = [attrs["id"] for _, attrs in found.tags if attrs.get("id")]
        assert len(set(ids)) == len(ids)
    found = Page(report.render([stored, run, stored, head]))
    between = found.text.partition("Between the runs")[2].strip()
    assert between.startswith(
        f"From {run.run.run_id} to 20260101T000000Z-head-000000: Head"
    )
    assert found.text.count("From 20") == 1
    said = report.render([stored, run, stored, head], "md")
    assert said.count("From 20") == 1
    assert said.startswith("# Synthetic: profile and 3 more\n\n- From 2025")


def test_titles_and_footer_say_what_is_reported() -> None:
    """Runs, profiles, or both."""
    run, stored = one_cell()
    for recorded, title, sources in (
        ([run], "Synthetic", "recorded runs"),
        ([stored], "Synthetic: profile", "recorded profiles"),
        (
            [run, stored],
            "Synthetic and 1 more profile",
            "recorded runs and recorded profiles",
        ),
        ([stored, run, run], "Synthetic: profile and 2 more runs", "recorded runs and"),
    ):
        found = report.render(recorded)
        assert f"<title>{title}</title>" in found
        assert f"from {sources}" in found


def test_markdown_says_the_same_without_the_plot(stored: StoredProfile) -> None:
    """Answer, facts, phases, every cell, links, how to reproduce it."""
    text = report.render([stored], "md")
    assert text.startswith("# Synthetic: profile\n\nWhich is faster?\n\n- **num\\_slots=16")
    for said in (
        "explains 40 %",
        "| wake → actor running |",
        "#### num\\_slots=16, model.latency\\_ms=1.0",
        "| 2 | slot | 7.00 µs | 4.00 µs | 196 µs |",
        "| **locks** |  |  |  |  |",
        "| server busy | 555 µs | 4.00 µs | -551 µs | \\[-578, -524\\] µs | 39.9 % |",
        "- flame of slot in num\\_slots=16, model.latency\\_ms=0.0: [a b.svg](a%20b.svg), "
        "[c.json](c.json): cut \\<short\\>",
        "round 2: failed: hung \\<after\\> 30 s",
        "timelines open in https://ui.perfetto.dev",
        "slotbench profile quickstart",
    ):
        assert said in text
    assert "<svg" not in text
    assert text.endswith("</sub>\n")


@pytest.mark.parametrize("format_name", ["html", "md"])
def test_labels_are_texts(format_name: str) -> None:
    """Whatever signs they are made of, and however long they are."""
    label = f"m:f[a=<b>&amp;|`x`_y_,c={'0123456789' * 20}]"
    cells = [grids.cell(16, x="<i>")]
    stored = altered.renamed(
        profiles.stored(cells), {"slot": label, "threading": "<script>"}
    )
    text = report.render([stored], format_name)
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "<i>" not in text.replace("\\<i\\>", "")
    if format_name == "html":
        assert label in Page(text).text
    else:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()}
        assert widths  # every table is parsed: no row has more cells than its header
        for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
            counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(counts) == 1


def test_a_poor_profile_is_reported() -> None:
    """One round, one contender, failures alone: words and reasons remain."""
    everything = ("plain", "phases", "locks", "operations", "gil")
    one = profiles.stored([grids.cell(16)], labels=("slot",))
    for stored, said in (
        (profiles.stored(rounds=1), "Only one round has numbers of both"),
        (one, "Only slot was profiled: there is no difference to explain."),
        (altered.failed(one, "slot", passes=everything), "No contender has numbers here"),
        (dataclasses.replace(one, notes=("it was <killed>",)), "it was <killed>"),
    ):
        assert said in Page(report.render([stored])).text
        assert report.render([stored], "md")


def test_a_large_grid_shows_a_few_pictures_and_every_table() -> None:
    """And says how to see the others."""
    cells = [grids.cell(n, ms) for n in (1, 4, 16, 64) for ms in (0.0, 1.0, 5.0)]
    stored = profiles.stored(cells, labels=("threading", "slot"), rounds=1)
    found = Page(report.render([stored]))
    assert len(found.of("figure")) == 4
    assert (
        f"4 of 12 cells; any other: slotbench plot {stored.profile.profile_id} phases"
        in (found.text)
    )
    assert found.text.count("phases of a request, mean time") == 12


def test_what_cannot_be_reported_is_refused(stored: StoredProfile) -> None:
    """In one line."""
    with pytest.raises(SlotbenchError, match="no contender 'nope' in this profile"):
        report.render([stored], baseline="nope")
    with pytest.raises(SlotbenchError, match="a profile has no verdicts: leave it out"):
        report.render([stored], threshold=0.05)
    with pytest.raises(RecordError, match="holds no trials yet"):
        report.render([profiles.stored(rounds=0)])
    assert report.render([grids.small_grid(), stored], "md", threshold=0.05)
