"""Every format on small synthetic runs, one by itself and two, with gates and without."""

import csv
import dataclasses
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from slotbench import draw
from slotbench.compute import between, gates, losses
from slotbench.compute.between import TwoRuns
from slotbench.compute.comparison import Comparison, compare
from slotbench.draw import loss_table
from slotbench.draw.as_github import MAX_LENGTH
from slotbench.draw.as_json import document
from slotbench.draw.screen import Screen
from slotbench.errors import SlotbenchError
from slotbench.records import Cell, Model, Resumption, ServicePoint, Skipped
from tests.slotbench.support import grids
from tests.slotbench.support.calibrations import calibrated, calibration

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
    assert {"csv", "github", "json", "md", "text"} <= set(draw.available())


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
    assert (read["schema"], read["schema_version"]) == ("slotbench.comparison", 8)
    assert len(read["rows"]) == len(comparison.rows)
    for fields, row in zip(read["rows"], comparison.rows, strict=True):
        assert (fields["cell"], fields["contender"]) == (row.cell, row.contender)
        assert fields["value"] == row.value
        assert fields["low_ratio"] == (row.ratio.low if row.ratio else None)
        assert fields["unit"] in {"requests/s", "s"}
    assert {p["kind"] for p in read["problems"]} == {"INVALID", "failed"}
    assert read["opening"].startswith("Against threading, over 2 cells")


def explained(is_calibrated: bool = True) -> Comparison:
    """A small grid, with where its throughput went."""
    stored = grids.small_grid()
    if is_calibrated:
        stored = calibrated(stored)
    found = compare(stored.run, stored.trials)
    lost = losses.losses(stored.run, stored.trials, stored.calibrations)
    return dataclasses.replace(found, losses=lost)


@pytest.mark.parametrize("name", ["text", "md", "html", "github"])
def test_where_the_loss_goes_is_shown_where_it_was_asked(name: str) -> None:
    """Bound, free transport, floor and contenders of every cell, with the times they rest on."""
    found = explained()
    text = draw.render(found, name)
    plain = dataclasses.replace(found, losses=())

    assert "Where the loss goes" not in draw.render(plain, name)
    assert "Where the loss goes" in text
    flat = " ".join(text.split())
    assert (
        flat.count("free transport") >= 2 + 1
    )  # two cells have a time to wait for, and the legend
    assert "mean of 5 calibrations" in flat
    assert "no bound: nobody thinks and the policy takes no time" in flat
    assert "what limits the bound: think time and service time" in flat


def test_the_steps_of_a_loss_stand_in_their_order() -> None:
    """From the bound down, each with the ratio of the step above to it."""
    found = explained(is_calibrated=False)
    table = next(
        one
        for one in loss_table.tables(found.losses)
        if "64" in one.name and "1.0" in one.name
    )

    assert [row[0] for row in table.rows] == [
        *("bound", "free transport", "floor"),
        *("threading", "slot", "slot[preallocate]", "torchrl.slot"),
    ]
    assert [row[1] for row in table.rows[:3]] == ["64 000/s", "32 000/s", "32 000/s"]
    assert [row[2:4] for row in table.rows[:3]] == [
        ("", ""), ("batching", "2.00×"), ("waking", "1.00× [0.99, 1.01]"),
    ]  # fmt: skip
    slot = table.rows[4]
    assert (slot[1], slot[2]) == ("9 600/s", "transport")
    assert slot[4] == "+4.67 ms"
    assert table.notes[0].startswith(
        "nominal: Z = 0 s, S(n) = 1.00 ms, as the scenario asks"
    )


def test_losses_without_a_floor_say_both() -> None:
    """What is below the free transport is waking and transport together."""
    place = grids.cell(64, 1.0)
    rates = {(place.name, "threading"): 9000.0, (place.name, "slot"): 3000.0}
    stored = grids.stored(rates, [place], labels=("threading", "slot"))
    (table,) = loss_table.tables(losses.losses(stored.run, stored.trials))

    assert [row[0] for row in table.rows] == [
        "bound",
        "free transport",
        "threading",
        "slot",
    ]
    assert table.rows[3][2] == "waking and transport"
    assert table.rows[3][3].startswith("10.7× [")


def test_losses_of_collectors_and_of_processes_say_so() -> None:
    """A collector's share is in what is lost; actors in processes have a table of their own."""
    place = grids.cell(8, 1.0)
    labels = ("threading", "slot@collector", "torchrl.mp", "torchrl.parallel", "floor")
    stored = grids.stored(
        {(place.name, label): 500.0 for label in labels}, [place], labels=labels
    )
    threads, apart = loss_table.tables(losses.losses(stored.run, stored.trials))
    lost = {row[0]: row[2] for table in (threads, apart) for row in table.rows}

    assert (threads.name, apart.name) == (
        place.name,
        f"{place.name} · actors in processes of their own",
    )
    assert [row[0] for row in apart.rows][-2:] == ["torchrl.mp", "torchrl.parallel"]
    assert "floor" not in [row[0] for row in apart.rows]
    assert lost["threading"] == "transport"
    assert lost["slot@collector"] == "collector and transport"
    assert lost["torchrl.mp"] == "waking and transport"
    assert lost["torchrl.parallel"] == "waking, collector and transport"


def test_a_policy_whose_time_is_no_line_is_said() -> None:
    """Twice as long for 4 as for 1 and for 8."""
    points = tuple(ServicePoint(n, t, 0.0, 5) for n, t in ((1, 1e-3), (4, 2e-3), (8, 1e-3)))
    stored = calibrated(grids.small_grid(), {"service": points})
    tables = loss_table.tables(
        losses.losses(stored.run, stored.trials, stored.calibrations)
    )

    assert sum("no line in the batch size" in note for t in tables for note in t.notes) == 2


def test_what_the_device_takes_is_said_beside_what_the_host_waits() -> None:
    """Both lines and what they leave over; on the host there is but one."""
    points = tuple(
        ServicePoint(n, 1e-3 + 2e-6 * n, 1e-3, 20, 4e-4 + 1e-6 * n) for n in (1, 4, 8)
    )
    stored = calibrated(grids.small_grid(), {"service": points})
    lost = losses.losses(stored.run, stored.trials, stored.calibrations)
    notes = [note for table in loss_table.tables(lost) for note in table.notes]

    said = "on the device the forward alone takes 400 µs + 1.00 µs·n, residual "
    assert sum(note.startswith(said) for note in notes) == 2
    flat = losses.flat(lost[-1])
    assert flat["device_batch_s"] == pytest.approx(4e-4)
    assert flat["device_row_s"] == pytest.approx(1e-6)
    assert flat["device_residual_ratio"] == pytest.approx(0.0, abs=1e-9)
    here = calibrated(grids.small_grid())
    on_host = losses.flat(losses.losses(here.run, here.trials, here.calibrations)[-1])
    assert on_host["batch_s"] is not None
    assert on_host["device_batch_s"] is None


@pytest.mark.parametrize(
    ("busy", "said"),
    [
        (range(1), "the machine disturbed 1 calibration, left out"),
        (range(4), "the machine disturbed 4 calibrations, used all the same"),
    ],
)
def test_disturbed_calibrations_are_said(busy: range, said: str) -> None:
    """Left out where two others are left, and used where they are not."""
    stored = calibrated(grids.small_grid(), {"observed_s": 0.3})
    loud = tuple(
        dataclasses.replace(one, foreign_cpu_s=0.3) if one.round in busy else one
        for one in stored.calibrations
    )
    lost = losses.losses(stored.run, stored.trials, loud)
    notes = [note for table in loss_table.tables(lost) for note in table.notes]

    assert sum(note.startswith(said) for note in notes) == 2
    of = lost[-1].yardsticks
    assert (of.num_calibrations, of.num_disturbed) == (
        4 if len(busy) == 1 else 5,
        len(busy),
    )


def test_why_a_calibration_failed_is_said_where_there_is_no_bound_either() -> None:
    """A real network has no nominal times to fall back on."""
    place = grids.cell(8)
    workload = dataclasses.replace(place.workload, model=Model("mlp"))
    place = dataclasses.replace(place, workload=workload)
    rates = {(place.name, x): 1000.0 for x in ("threading", "slot")}
    stored = grids.stored(rates, [place], labels=("threading", "slot"))
    bad = calibration(place.name, 0, status="failed", service=(), error="no such file")
    (table,) = loss_table.tables(losses.losses(stored.run, stored.trials, [bad]))

    assert table.notes[0] == "a calibration failed: no such file"
    assert table.notes[1].startswith("no bound")


def test_json_holds_losses_where_they_were_asked() -> None:
    """A row per cell and contender, to the last digit; null otherwise."""
    found = explained()
    read = json.loads(draw.render(found, "json"))

    assert (
        json.loads(draw.render(dataclasses.replace(found, losses=()), "json"))["losses"]
        is None
    )
    assert [(row["cell"], row["contender"]) for row in read["losses"]] == [
        (loss.cell, loss.contender) for loss in found.losses
    ]
    assert read["losses"][4]["bound_per_s"] == found.losses[4].yardsticks.bound_per_s
    assert read["losses"][4]["source"] == "calibrated"


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


@pytest.fixture
def two(make_run: Any, make_trials: Any, make_trial: Any) -> TwoRuns:
    """Slot loses a tenth on a machine that lost a third; LONG is noisy; one trial is INVALID."""
    both = []
    for rate, gain, commit in ((1.0, 1.5, "aaaa"), (0.67, 1.35, "bbbb")):
        rates = {
            "threading": [rate * value for value in BASE],
            "slot": [rate * gain * value for value in reversed(BASE)],
            LONG: [rate * value for value in (800.0, 1300.0, 900.0, 1200.0, 1000.0)],
            "floor": [7 * rate * value for value in BASE],
        }
        run = replace(
            make_run(list(rates)), environment={"git_commit": commit, "machine_id": commit}
        )
        both.append((run, make_trials(rates)))
    both[1][1].append(make_trial(LONG, 1.0, round=5, invalid="clock"))
    return between.compare(*both, allow_different=True)


TWO_GOLDEN = """\
Head against base by ratios to threading, in the one cell: slot serves fewer requests (0.90×).
threading itself stands at 0.67× of its base; drift is not controlled.
base run-1 · complete · 5 rounds
head run-2 · complete · 5 rounds
baseline threading · δ 3 %
FORBIDS: machine_id: m1 → m2 (another machine)
differs: git_commit: 111111111111 → 222222222222 (another commit of slotbench)

num_slots=8
       throughput    vs baseline              change  verdict   mean batch  p50 latency, change
threading
  1 000/s → 670/s                 0.67× [0.67, 0.67]  drift    4.00 → 4.00              1.49×
slot
  1 500/s → 904/s  1.50× → 1.35×  0.90× [0.90, 0.90]  slower   4.00 → 4.00              1.11× ▼
  noise floor between the runs: throughput 0.16 %, p50 latency 0.16 %

▲ faster  ▼ slower  = equivalent (within ±3 %)  ? inconclusive; base → head; change is head over
base, of ratios to threading; [low, high] is its 95 % interval by Welch's t over blocks; drift
between runs is not controlled

gate: failed: slot in num_slots=8 p50 latency 1.11× [1.11, 1.11], Holm p < 0.0001; slot in
num_slots=8 throughput 0.90× [0.90, 0.90], Holm p < 0.0001
"""


def test_two_runs_golden(make_run: Any, make_trials: Any) -> None:
    """Two small runs read exactly like this on 100 columns."""
    both = []
    for rate, gain, fact in ((1.0, 1.5, "1"), (0.67, 1.35, "2")):
        run = replace(
            make_run(["threading", "slot"]),
            run_id=f"run-{fact}",
            environment={"machine_id": f"m{fact}", "git_commit": fact * 40},
        )
        rates = {
            "threading": [rate * value for value in BASE],
            "slot": [rate * gain * value for value in BASE],
        }
        both.append((run, make_trials(rates)))
    found = between.compare(
        *both, allow_different=True, metrics=["throughput", "latency_p50"]
    )
    gate = gates.judge(found, ["regression"])
    assert draw.render(found, "text", gate=gate) == TWO_GOLDEN


@pytest.mark.parametrize("name", draw.available())
def test_every_format_draws_two_runs(name: str, two: TwoRuns) -> None:
    """With a gate and without one, in one newline's end."""
    for gate in (None, gates.judge(two, ["regression"])):
        text = draw.render(two, name, gate=gate)
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert "slot" in text


@pytest.mark.parametrize("width", [200, 100, 60, 40])
def test_text_of_two_runs_never_cuts(width: int, two: TwoRuns) -> None:
    """No ellipsis, no line beyond the screen, every number of both runs."""
    gate = gates.judge(two, ["regression"])
    text = draw.render(two, "text", Screen(width), gate)
    assert "…" not in text
    assert max(map(cell_len, text.splitlines())) <= width
    joined = "".join(text.split())
    for needed in (
        LONG,
        "1500/s→904/s",
        "1.50×→1.35×",
        "0.90×[0.90,0.90]",
        "FORBIDS:machine_id:aaaa→bbbb(anothermachine)",
        "driftbetweenrunsisnotcontrolled",
        "head:INVALIDclock",
        "gate:failed:slotinnum_slots=8",
        "throughput0.90×[0.90,0.90],Holmp<0.0001",
    ):
        assert "".join(needed.split()) in joined


def test_json_of_two_runs(two: TwoRuns) -> None:
    """Each run's facts, both sides of every row, the differences and the gate's numbers."""
    read = json.loads(draw.render(two, "json", gate=gates.judge(two, ["regression"])))
    assert (read["kind"], read["is_absolute"]) == ("two_runs", False)
    assert (read["base"]["commit"], read["head"]["commit"]) == ("aaaa", "bbbb")
    assert [d["name"] for d in read["differences"]] == ["machine_id", "git_commit"]
    slot = next(
        r for r in read["rows"] if (r["contender"], r["metric"]) == ("slot", "throughput")
    )
    assert slot["base_ratio"] == pytest.approx(1.5, rel=1e-3)
    assert slot["head_ratio"] == pytest.approx(1.35, rel=1e-3)
    assert slot["ratio"] == pytest.approx(slot["head_ratio"] / slot["base_ratio"])
    assert slot["value"] == slot["head_value"]
    assert slot["p_worse"] < slot["p_worse_holm"] < 0.025
    assert slot["gate_outcome"] == "regressed"
    assert read["gate"]["result"] == "regression"
    base = next(r for r in read["rows"] if r["is_baseline"])
    assert (base["p_worse"], base["gate_outcome"], base["verdict"]) == (None, None, "drift")


def test_json_without_a_gate_has_none(comparison: Comparison) -> None:
    """Its fields are there, and null."""
    read = json.loads(draw.render(comparison, "json"))
    assert (read["kind"], read["gate"]) == ("run", None)
    assert {row["p_worse"] for row in read["rows"]} == {None}


def test_csv_of_two_runs(two: TwoRuns) -> None:
    """A row per cell, contender and metric, with both sides and both runs' ids."""
    gate = gates.judge(two, ["regression"])
    rows = list(csv.DictReader(io.StringIO(draw.render(two, "csv", gate=gate))))
    assert len(rows) == 4 * 3
    assert {"base_run_id", "head_run_id", "base_value", "head_low_ratio"} <= set(rows[0])
    slot = next(r for r in rows if (r["contender"], r["metric"]) == ("slot", "throughput"))
    assert float(slot["p_worse_holm"]) < 0.025
    assert next(r for r in rows if r["is_baseline"] == "true")["p_worse_holm"] == ""


def test_a_threshold_of_its_own_is_said(make_run: Any, make_trials: Any) -> None:
    """Where metrics differ in δ the legend and the facts name each; a row holds its own."""
    trials = make_trials({"threading": BASE, "slot": BASE[::-1]})
    found = compare(make_run(), trials, thresholds={"latency_p99": 0.1})
    text = draw.render(found, "text", Screen(300))
    each = "throughput 3 %, p50 latency 3 %, p99 latency 10 %"
    assert f"equivalent (within its δ: {each})" in text
    assert f"δ {each}" in text
    rows = json.loads(draw.render(found, "json"))["rows"]
    assert {r["metric"]: r["threshold_ratio"] for r in rows}["latency_p99"] == 0.1
    loose = compare(
        make_run(),
        make_trials({"threading": BASE, "slot": BASE}, repeat=[1.05 * v for v in BASE]),
        thresholds={"latency_p99": 0.1},
    )
    assert (
        "cannot resolve 3 % here in throughput, p50 latency; cannot resolve 10 % here"
        in (draw.render(loose, "text", Screen(300)))
    )


def test_a_comment_begins_with_its_marker_and_what_got_worse(two: TwoRuns) -> None:
    """The marker, the opening, the gate, what is slower before what is undecided; then folds."""
    text = draw.render(two, "github", gate=gates.judge(two, ["regression"]))
    lines = text.splitlines()
    assert lines[0] == "<!-- slotbench -->"
    places = [
        text.index(part)
        for part in (
            "Head against base",
            "gate: failed",
            "| ▼ | `slot`",
            f"| ? | `{LONG}`",
            "<summary>All numbers, 1 cell</summary>",
            "<summary>Differences between the runs</summary>",
            "FORBIDS: machine\\_id",
            "<summary>How to reproduce</summary>",
            "slotbench compare ",
        )
    ]
    assert places == sorted(places)
    assert text.count("<details>") == text.count("</details>") == 4
    assert "✗" in next(line for line in lines if line.startswith("| ▼ | `slot`"))
    table = [line for line in lines if line.startswith(("| ▼", "| ?"))]
    assert {line.count("|") for line in table} == {8}
    assert "`floor`" not in text[: text.index("<details>")]


def test_a_comment_of_one_run_has_no_differences(comparison: Comparison) -> None:
    """Nor a gate where none was asked; faster is told before undecided."""
    text = draw.render(comparison, "github")
    assert "Differences" not in text
    assert "gate:" not in text
    assert "Holm" not in text
    assert text.index("| ▲ | `slot`") < text.index(f"| ? | `{LONG}`")
    assert "slotbench compare 20250102T030405-synthetic-abc123 --baseline threading" in text


def test_a_comment_says_that_all_is_equivalent(make_run: Any, make_trials: Any) -> None:
    """An empty table would leave a reader in doubt."""
    found = compare(make_run(), make_trials({"threading": BASE, "slot": BASE}))
    text = draw.render(found, "github")
    assert "Every contender that has a verdict is equivalent." in text


def test_a_comment_fits_whatever_the_run(make_run: Any, make_trials: Any) -> None:
    """Hundreds of cells with long names: whole tables are left out, and counted."""
    workload = make_run().scenario.cells[0].workload
    names = [f"{'model_with_a_long_name' * 6}={number}" for number in range(150)]
    cells = [Cell(name, {"x": name}, workload) for name in names]
    labels = ["threading", *(f"mine{number}[{'a_b' * 60}]" for number in range(6))]
    rates = {
        label: [(1 + number / 9) * value for value in BASE]
        for number, label in enumerate(labels)
    }
    found = compare(
        replace(make_run(labels, cells=cells), command=("x" * 100_000,)),
        make_trials(rates, cells=names),
    )
    text = draw.render(found, "github", gate=gates.judge(found, ["regression"]))
    assert MAX_LENGTH - 20_000 < len(text) <= MAX_LENGTH
    shown = text.count("\n### ") - 1
    assert 0 < shown < 150
    assert f"{150 - shown} cells of 150 left out" in text
    assert text.count("<details>") == text.count("</details>")
    assert re.search(r"\d+ more are in the tables below", text)


def test_the_command_line_of_a_comment_says_the_same_again(two: TwoRuns) -> None:
    """Metrics, thresholds, baseline and gate are all spelled out."""
    gate = gates.judge(two, ["inconclusive"])
    line = draw.render(two, "github", gate=gate).partition("slotbench compare ")[2]
    words = line.splitlines()[0].split()
    assert words[2:4] == ["--baseline", "threading"]
    assert "throughput=0.03" in words
    assert words[-3:] == ["--allow-different", "--fail-on", "inconclusive"]


@pytest.mark.parametrize(
    ("rates", "asked", "line"),
    [
        ({"slot": 1.5}, "inconclusive", r"gate: passed: 3 rows, none beyond 3 %"),
        (
            {"slot": 0.9, "other": 0.8},
            "regression",
            r"gate: failed: .*; .*; .*, Holm p < 0\.0001; and 3 more",
        ),
        (
            {"absent": None, "slot": 1.5},
            "regression",
            r"gate: failed: 5 trials behind gated rows failed \(absent\)",
        ),
    ],
)
def test_the_gates_line(
    rates: dict[str, Any], asked: str, line: str, make_run: Any, make_trials: Any
) -> None:
    """What was decided, and of which rows."""
    made = {
        label: [None if factor is None else factor * value for value in BASE]
        for label, factor in rates.items()
    }
    found = compare(
        make_run(["threading", *rates]), make_trials({"threading": BASE, **made})
    )
    text = draw.render(found, "text", Screen(400), gates.judge(found, [asked]))
    assert re.fullmatch(line, text.splitlines()[-1])


def test_the_gates_line_says_what_is_open(comparison: Comparison) -> None:
    """Undecided rows are counted where they pass, and named where they do not."""
    mine = [r for r in comparison.rows if (r.contender, r.cell) == (LONG, "num_slots=1")]
    kept = replace(comparison, rows=tuple(mine))
    passed = draw.render(kept, "json", gate=gates.judge(kept, ["regression"]))
    assert json.loads(passed)["gate"]["said"] == (
        "gate: passed: 3 rows, none beyond 3 %, 3 inconclusive"
    )
    failed = draw.render(kept, "json", gate=gates.judge(kept, ["inconclusive"]))
    assert json.loads(failed)["gate"]["said"].startswith(
        f"gate: failed: 3 of 3 rows not decided: {LONG} in num_slots=1 throughput 1.0"
    )


def test_the_gates_line_names_the_first_of_what_is_missing(
    make_run: Any, make_trials: Any
) -> None:
    """Three of five, and JSON has all."""
    labels = [f"absent{number}" for number in range(5)]
    found = compare(
        make_run(["threading", "slot", *labels]),
        make_trials({"threading": BASE, "slot": BASE}),
    )
    told = document(found, gates.judge(found, ["regression"]))["gate"]
    assert told["said"] == (
        "gate: failed: missing data: the run lacks any metric of absent0 in num_slots=8; "
        "the run lacks any metric of absent1 in num_slots=8; the run lacks any metric of "
        "absent2 in num_slots=8; and 2 more"
    )
    assert (told["result"], len(told["missing"])) == ("missing data", 5)


WAS = {"machine_id": "aa", "git_commit": "1" * 40, "python_version": "3.11.9"}
NAMES = ("a", "b", "c")


@pytest.fixture
def resumed(make_run: Any, make_trials: Any) -> Any:
    """A run that was resumed in the same place, and then elsewhere."""
    run = replace(make_run(), environment=WAS | dict.fromkeys(NAMES, "x"))
    other = WAS | dict.fromkeys(NAMES, "y") | {"machine_id": "bb", "git_commit": "2" * 40}
    other |= {"python_version": "3.11.10"}
    run = replace(
        run,
        resumptions=(
            Resumption("2025-01-02T04:00:00+00:00", 1, run.environment, ()),
            Resumption("2025-01-02T05:00:00+00:00", 7, other, ()),
        ),
    )
    return run, make_trials({"threading": BASE, "slot": BASE})


SAME = "resumed 2025-01-02T04:00:00+00:00 after 1 trial"
ELSEWHERE = (
    "resumed 2025-01-02T05:00:00+00:00 after 7 trials; differs: machine_id was aa, is bb; "
    "python_version was 3.11.9, is 3.11.10; git_commit was 111111111111, is 222222222222; "
    "a was x, is y; b was x, is y; and 1 more"
)


def test_a_run_measured_in_two_environments_says_so(resumed: Any) -> None:
    """When, after how much, and what differs; what forbids first, the rest counted."""
    found = compare(*resumed)
    for name in ("text", "md", "github"):
        plain = draw.render(found, name, Screen(400)).replace("\\_", "_")
        lines = [line.removeprefix("- ") for line in plain.splitlines()]
        assert lines.index(SAME) + 1 == lines.index(ELSEWHERE)
    same, other = json.loads(draw.render(found, "json"))["resumptions"]
    assert same == {
        "created_at": "2025-01-02T04:00:00+00:00", "num_trials": 1, "differences": [],
    }  # fmt: skip
    assert other["num_trials"] == 7
    assert [d["name"] for d in other["differences"]] == [
        "machine_id", "python_version", "git_commit", "a", "b", "c",
    ]  # fmt: skip
    assert other["differences"][0]["forbids"]


def test_of_two_runs_the_resumed_one_is_named(resumed: Any) -> None:
    """Remarks begin with the side; JSON has them in it."""
    run, trials = resumed
    found = between.compare(
        (replace(run, resumptions=()), trials), resumed, allow_different=True
    )
    for name in ("text", "md", "github"):
        plain = draw.render(found, name, Screen(400)).replace("\\_", "_")
        assert f"head: {ELSEWHERE}" in plain
        assert "base: resumed" not in plain
    read = json.loads(draw.render(found, "json"))
    assert (len(read["base"]["resumptions"]), len(read["head"]["resumptions"])) == (0, 2)


def test_the_gates_line_tells_of_rows_that_are_beyond_alone(
    make_run: Any, make_trials: Any
) -> None:
    """What Holm's correction does not bear out is said, not hidden."""
    rates = {f"same{number}": [1.01 * value for value in BASE] for number in range(19)}
    rates["near"] = [850.0, 940.0, 890.0, 870.0, 945.0]
    found = compare(
        make_run(["threading", *rates]),
        make_trials({"threading": [1e3] * 5, **rates}),
        metrics=["throughput"],
    )
    said = document(found, gates.judge(found, ["regression"]))["gate"]["said"]
    assert said == (
        "gate: passed: 20 rows, none beyond 3 % with all rows taken together (alone 1 is, at "
        "a Holm p of 0.025 or more)"
    )
