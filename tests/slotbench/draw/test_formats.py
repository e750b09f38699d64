"""The four formats on small synthetic runs."""

import csv
import io
import json
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len

from slotbench import draw
from slotbench.compute.comparison import Comparison, compare
from slotbench.draw.as_json import document
from slotbench.draw.screen import Screen
from slotbench.errors import SlotbenchError
from slotbench.records import Cell, Skipped

BASE = [1000.0, 1001.0, 999.0, 1000.5, 999.5]
LONG = "torchrl.slot[collate=lazy_stack,preallocate]@torchrl"
LABELS = ["threading", "slot", LONG, "broken", "floor"]

MakeComparison = Callable[..., Comparison]


@pytest.fixture
def comparison(make_run: Any, make_trials: Any, make_trial: Any) -> Comparison:
    """Two cells: a winner, a long name, an INVALID contender, a floor; one is noisy."""
    run = make_run(
        LABELS, slots=(1, 8), skipped=[Skipped("torchrl.threading", "not installed")]
    )
    trials = make_trials(
        {
            "threading": BASE,
            "slot": [1.5 * value for value in BASE],
            LONG: [800.0, 1300.0, 900.0, 1200.0, 1000.0],
            "floor": [7 * value for value in BASE],
        },
        cells=["num_slots=1"],
    )
    trials += make_trials(
        {"threading": BASE, "slot": [*BASE[:4], None]},
        cells=["num_slots=8"],
        repeat=[1100.0, 900.0, 1000.0, 1200.0, 950.0],
    )
    trials += [
        make_trial("broken", 1e3, cell=cell, round=number, invalid="reply_lost")
        for cell in ("num_slots=1", "num_slots=8")
        for number in range(5)
    ]
    return compare(run, trials)


GOLDEN = """\
Against threading, in the one cell: slot serves more requests (1.50×). The floor (no payload) stands
at 7.00×.
run 20250102T030405-synthetic-abc123 · complete · 5 rounds · baseline threading · δ 3 %

num_slots=8
contender  throughput        vs threading  verdict   mean batch       p50 latency       p99 latency
threading     1 000/s                      baseline        4.00           4.00 ms           10.0 ms
slot          1 500/s  1.50× [1.50, 1.50]  faster          4.00  2.67 ms  0.67× ▲  6.67 ms  0.67× ▲
floor         7 000/s  7.00× [7.00, 7.00]  limit           4.00   571 µs  0.14×    1.43 ms  0.14×
  noise floor: throughput 0.136 %, p50 latency 0.136 %, p99 latency 0.136 %

▲ faster  ▼ slower  = equivalent (within ±3 %)  ? inconclusive; [low, high] is the 95 % interval of
the ratio over blocks
"""


def test_text_golden(make_run: Any, make_trials: Any) -> None:
    """A small run reads exactly like this on 100 columns."""
    found = compare(
        make_run(["threading", "slot", "floor"]),
        make_trials(
            {
                "threading": BASE,
                "slot": [1.5 * value for value in BASE],
                "floor": [7 * value for value in BASE],
            }
        ),
    )
    assert draw.render(found, "text") == GOLDEN


def test_the_formats_of_the_folder_are_found() -> None:
    """Discovery goes by file name; every format ends in one newline."""
    assert {"csv", "json", "md", "text"} <= set(draw.available())


@pytest.mark.parametrize("name", draw.available())
def test_every_format_ends_in_one_newline(name: str, comparison: Comparison) -> None:
    """So that a shell and a file both look right."""
    text = draw.render(comparison, name)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("name", draw.available())
def test_every_format_draws_an_empty_run(name: str, make_run: Any) -> None:
    """No trial at all is drawn as missing, not as a traceback."""
    assert draw.render(compare(make_run(), []), name)


def test_an_unknown_format_offers_the_nearest(comparison: Comparison) -> None:
    """One line that names what was meant."""
    with pytest.raises(
        SlotbenchError, match=r"^unknown format 'jsn': did you mean json\?$"
    ):
        draw.render(comparison, "jsn")


@pytest.mark.parametrize("width", [200, 130, 100, 80, 60, 40])
def test_text_never_cuts(width: int, comparison: Comparison) -> None:
    """No ellipsis at any width, no line beyond it, and every number of every contender."""
    text = draw.render(comparison, "text", Screen(width))
    assert "…" not in text
    assert max(map(cell_len, text.splitlines())) <= width
    joined = "".join(text.split())
    for needed in (*LABELS, "1.50×[1.50,1.50]", "INVALID:reply_lost", "7000/s", "n/a"):
        assert "".join(needed.split()) in joined


@pytest.mark.parametrize("width", [200, 100, 60])
def test_a_contenders_name_is_never_broken_over_lines(
    width: int, comparison: Comparison
) -> None:
    """A label that fits the screen stands whole in its table, ready to be copied."""
    lines = draw.render(comparison, "text", Screen(width)).splitlines()
    assert any(line.startswith(LONG) for line in lines)


def test_all_cells_have_the_same_layout(comparison: Comparison) -> None:
    """The cell with the widest table decides for all."""
    for width in (140, 100, 60):
        text = draw.render(comparison, "text", Screen(width))
        assert len(re.findall(r"^threading$", text, re.MULTILINE)) in {0, 2}


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (200, r"slot +1 500/s  1\.50× \[1\.50, 1\.50\]  faster +4\.00 .*"),
        (110, r"   +1 500/s  1\.50× \[1\.50, 1\.50\]  faster +4\.00 .*"),
        (60, r"  throughput 1 500/s; vs threading 1\.50× \[1\.50, 1\.50\]"),
    ],
)
def test_the_widest_layout_that_fits_is_taken(
    width: int, line: str, comparison: Comparison
) -> None:
    """Columns, then names above columns, then words; no row is folded to fit."""
    lines = draw.render(comparison, "text", Screen(width)).splitlines()
    assert any(re.fullmatch(line, found) for found in lines)
    assert (LONG in lines) == (width < 200)


def test_text_says_what_cannot_be_resolved(comparison: Comparison) -> None:
    """The noisy cell says so, the quiet one does not."""
    quiet, noisy = draw.render(comparison, "text", Screen(200)).split("num_slots=8\n")
    assert "cannot resolve" not in quiet
    assert re.search(r"cannot resolve 3 % here in throughput, p50 latency", noisy)


def test_text_names_what_was_left_out(comparison: Comparison) -> None:
    """INVALID with its rule, failed with its error, skipped with its reason."""
    text = draw.render(comparison, "text", Screen(200))
    assert "broken: 0 trials counted, 5 INVALID (reply_lost)" in text
    assert "slot: 4 trials counted, 1 failed" in text
    assert "hung after 30 s" in text
    assert "→ check the transport" in text
    assert "skipped: torchrl.threading (not installed)" in text


def test_text_says_what_a_verdict_would_take(comparison: Comparison) -> None:
    """An undecided contender has a number of rounds beside it."""
    text = draw.render(comparison, "text", Screen(200))
    assert re.search(
        rf"to decide throughput: {re.escape(LONG)} about \d+ more rounds", text
    )


def test_a_floor_has_no_verdict_in_words(comparison: Comparison) -> None:
    """It stands as the limit, whatever its interval."""
    lines = draw.render(comparison, "text", Screen(200)).splitlines()
    (line,) = [line for line in lines if line.startswith("floor ") and "7 000/s" in line]
    assert "limit" in line
    assert "faster" not in line
    assert "▲" not in line


def test_colours_only_where_asked(comparison: Comparison) -> None:
    """Escape codes change no word."""
    plain = draw.render(comparison, "text", Screen(100))
    colored = draw.render(comparison, "text", Screen(100, color=True))
    assert "\x1b" not in plain
    assert "\x1b[" in colored
    bare = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert [line.rstrip() for line in bare.splitlines()] == plain.splitlines()


def test_markdown_tables_are_whole(comparison: Comparison) -> None:
    """Every table line of a cell has as many columns as its header; labels are code."""
    text = draw.render(comparison, "md")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {8}
    assert len(lines) == 2 * (2 + len(LABELS))
    assert f"| `{LONG}` |" in text
    assert "slot\\[collate=lazy\\_stack" in text.split("###", maxsplit=1)[0]


def test_json_keeps_every_number(comparison: Comparison) -> None:
    """It reads back to the row's floats to the last digit, with a schema and units."""
    read = json.loads(draw.render(comparison, "json"))
    assert (read["schema"], read["schema_version"]) == ("slotbench.comparison", 1)
    assert len(read["rows"]) == len(comparison.rows)
    for fields, row in zip(read["rows"], comparison.rows, strict=True):
        assert (fields["cell"], fields["contender"]) == (row.cell, row.contender)
        assert fields["value"] == row.value
        assert fields["low_ratio"] == (row.ratio.low if row.ratio else None)
        assert fields["unit"] in {"requests/s", "s"}
    assert {p["kind"] for p in read["problems"]} == {"INVALID", "failed"}
    assert read["opening"].startswith("Against threading, over 2 cells")


def test_json_has_no_infinity(make_run: Any, make_trials: Any) -> None:
    """An interval without an end is null, because JSON has no word for it."""
    found = compare(
        make_run(rounds=2),
        make_trials({"threading": [1e3, 1e3], "slot": [1e-290, 1e290]}),
        metrics=["latency_p50"],
    )
    (row,) = [r for r in document(found)["rows"] if r["contender"] == "slot"]
    assert row["high_ratio"] is None
    assert math.isfinite(row["ratio"])
    assert draw.render(found, "json")


def test_csv_is_tidy(comparison: Comparison) -> None:
    """A row per cell, contender and metric; the axes are columns; empty is missing."""
    rows = list(csv.DictReader(io.StringIO(draw.render(comparison, "csv"))))
    assert len(rows) == 2 * len(LABELS) * 3
    assert {row["cell.num_slots"] for row in rows} == {"1", "8"}
    keys = {(row["cell"], row["contender"], row["metric"]) for row in rows}
    assert len(keys) == len(rows)
    base = next(row for row in rows if row["contender"] == "threading")
    assert (base["ratio"], base["is_baseline"]) == ("", "true")
    (slot,) = [
        row
        for row in rows
        if (row["contender"], row["metric"], row["cell.num_slots"])
        == ("slot", "throughput", "1")
    ]
    exact = next(r for r in comparison.rows if r.contender == "slot" and r.ratio)
    assert exact.ratio is not None
    assert float(slot["ratio"]) == exact.ratio.point
    assert slot["verdict"] == "faster"


def test_csv_of_axes_that_are_tables_or_lists(make_run: Any) -> None:
    """A coordinate that is no scalar becomes JSON in its column."""
    workload = make_run().scenario.cells[0].workload
    cells = [
        Cell("a", {"model.hidden": [64, 64], "think": {"mode": "idle"}}, workload),
        Cell("b", {"model.hidden": []}, workload),
    ]
    text = draw.render(compare(make_run(cells=cells), []), "csv")
    first = next(csv.DictReader(io.StringIO(text)))
    assert first["cell.model.hidden"] == "[64, 64]"
    assert first["cell.think"] == '{"mode": "idle"}'
