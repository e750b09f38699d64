"""``slotbench.load`` gives tidy frames of what was recorded."""

import csv
import dataclasses
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import slotbench
from slotbench import draw
from slotbench.api import Run
from slotbench.api._measure import _Goal
from slotbench.compute import metrics
from slotbench.errors import RecordError, SlotbenchError
from slotbench.records import Cell, RunRecord, TrialRecord
from slotbench.scenario import load, loads
from slotbench.store import RunFolder

Store = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Record a run below ``tmp_path/results``."""

    def write(run: RunRecord, trials: list[TrialRecord]) -> Path:
        with RunFolder.create(tmp_path / "results", run) as folder:
            for trial in trials:
                folder.append(trial)
        return folder.path

    return write


@pytest.fixture
def mixed(store: Store, make_run: Any, make_trial: Any) -> Run:
    """One cell in three rounds: good, repeated, INVALID, failed, and the A/A arm."""
    trials = [
        make_trial("threading", 100.0, round=0),
        make_trial("threading", 900.0, round=0, arm=1),
        make_trial("slot", 150.0, round=0),
        make_trial("threading", 999.0, round=1),
        make_trial("slot", 999.0, round=1),
        make_trial("threading", 300.0, round=1, attempt=1),
        make_trial("slot", 250.0, round=1, attempt=1),
        make_trial("threading", None, round=2),
        make_trial("slot", 777.0, round=2, invalid="lost_reply"),
    ]
    return slotbench.load(store(make_run(rounds=3), trials))


def test_the_newest_run_is_loaded(store: Store, make_run: Any, tmp_path: Path) -> None:
    """Without a path the newest run in the results folder is meant."""
    for stamp in ("20260101T000000Z-a-000000", "20260201T000000Z-b-000000"):
        store(dataclasses.replace(make_run(), run_id=stamp), [])
    assert slotbench.load(results_dir=tmp_path / "results").path.name[:8] == "20260201"
    assert slotbench.load(
        "000000Z-a-000000", results_dir=tmp_path / "results"
    ).record.run_id[:8] == ("20260101")
    with pytest.raises(RecordError, match=r"^there is no run in .*none yet"):
        slotbench.load(results_dir=tmp_path / "none")


def test_every_trial_is_a_row(mixed: Run) -> None:
    """Whatever came of a trial, it is in the frame, in the order recorded."""
    frame = mixed.trials
    assert len(frame) == 9
    assert list(frame["contender"].unique()) == ["threading", "slot"]
    assert list(frame["arm"]) == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert list(frame["status"]) == ["ok"] * 7 + ["failed", "ok"]
    assert list(frame["is_invalid"]) == [False] * 8 + [True]
    assert frame["error"].iloc[7] == "hung after 30 s"


def test_the_highest_attempt_of_a_block_counts(mixed: Run) -> None:
    """The first attempt of round 1 is shown and not counted; the second one counts."""
    assert list(mixed.trials["counted"]) == [True] * 3 + [False] * 2 + [True] * 4


def test_metrics_and_measurements_are_columns(mixed: Run) -> None:
    """Every metric and scalar measurement is there, NaN for a failed trial, with units."""
    frame = mixed.trials
    assert set(metrics.available()) <= set(frame.columns)
    assert frame["throughput"].iloc[0] == pytest.approx(100.0)
    assert frame["num_replies"].iloc[0] == 100
    assert frame["latency_p50_s"].iloc[0] == pytest.approx(0.04)
    assert math.isnan(frame["throughput"].iloc[7])
    assert math.isnan(frame["num_replies"].iloc[7])
    assert {"latency", "batch_sizes", "replies_per_actor"}.isdisjoint(frame.columns)
    assert frame.attrs["units"]["throughput"] == "requests/s"
    assert all(frame[name].dtype == "float64" for name in metrics.available())


def test_means_are_over_what_counts(mixed: Run) -> None:
    """A/A arm, older attempts, INVALID and failed trials are in no mean, but are counted."""
    frame = mixed.cells.set_index("contender")
    assert frame.loc["threading", "throughput"] == pytest.approx((100 * 300) ** 0.5)
    assert frame.loc["slot", "throughput"] == pytest.approx((150 * 250) ** 0.5)
    counts = frame[["num_trials", "num_invalid", "num_failed"]]
    assert list(counts.loc["threading"]) == [2, 0, 1]
    assert list(counts.loc["slot"]) == [2, 1, 0]


def test_coordinates_are_columns(store: Store, make_run: Any, make_trial: Any) -> None:
    """Each axis is a column with its own type; a list is text; a hole is NaN."""
    one = make_run().scenario.cells[0]
    first = Cell(
        "a",
        {"num_slots": 8, "model.latency_ms": 0.5, "model.hidden": [64, 64]},
        one.workload,
    )
    second = Cell("b", {"num_slots": 16, "model.latency_ms": 1.0}, one.workload)
    run = make_run(cells=(first, second))
    loaded = slotbench.load(store(run, [make_trial(cell="b"), make_trial(cell="a")]))
    frame = loaded.trials
    assert list(frame.columns[:5]) == ["cell", *first.coordinates, "contender"]
    assert list(frame["num_slots"]) == [16, 8]
    assert frame["num_slots"].dtype == "int64"
    assert list(frame["model.latency_ms"]) == [1.0, 0.5]
    assert frame["model.hidden"].iloc[1] == "[64, 64]"
    assert pd.isna(frame["model.hidden"].iloc[0])
    assert list(loaded.cells["cell"]) == ["a", "a", "b", "b"]


def test_grids_of_other_axes_share_one_frame(
    store: Store, make_run: Any, make_trials: Any
) -> None:
    """Cells that lack an axis have a hole there; all of them are compared and drawn."""
    text = """
        title = "t"
        question = "q"
        num_slots = 64
        [[grid]]
        num_slots = [8, 16]
        observation.reuse_request = [true]
        [[grid]]
        observation.shape = [[84, 84]]
        observation.dtype = ["uint8"]
        [[grid]]
        [[contenders]]
        name = "threading"
    """
    cells = loads(text, name="x").cells
    names = [cell.name for cell in cells]
    trials = make_trials({"threading": [100.0] * 3, "slot": [150.0] * 3}, cells=names)
    loaded = slotbench.load(store(make_run(cells=cells, rounds=3), trials))
    assert loaded.record.scenario.cells == cells

    axes = ["num_slots", "observation.reuse_request", "observation.shape"]
    axes += ["observation.dtype"]
    for frame in (loaded.cells, loaded.trials):
        assert list(frame.columns[:6]) == ["cell", *axes, "contender"]
        first = frame.drop_duplicates("cell").set_index("cell").loc[names]
        holes = first[axes].isna().to_numpy().tolist()
        assert holes == [[False] * 2 + [True] * 2] * 2 + [
            [True] * 2 + [False] * 2,
            [True] * 4,
        ]
        assert list(first["num_slots"][:2]) == [8, 16]
        assert first["num_slots"].dtype == "float64"
        assert list(first["observation.reuse_request"][:2]) == [True, True]
        assert first["observation.shape"].iloc[2] == "[84, 84]"
        assert first["observation.dtype"].iloc[2] == "uint8"
        # As one does in a notebook; cells without the axis drop out.
        assert set(frame.groupby("num_slots").groups) == {8, 16}

    comparison = loaded.compare()
    winners = [r for r in comparison.rows if r.verdict == "faster"]
    assert {row.cell for row in winners} == set(names)
    document = json.loads(draw.render(comparison, "json"))
    assert [cell["coordinates"] for cell in document["cells"]] == [
        {"num_slots": 8, "observation.reuse_request": True},
        {"num_slots": 16, "observation.reuse_request": True},
        {"observation.shape": [84, 84], "observation.dtype": "uint8"},
        {},
    ]
    assert document["opening"].startswith("Against threading, over 4 cells: slot serves")
    rows = list(csv.DictReader(io.StringIO(draw.render(comparison, "csv"))))
    by_cell = {row["cell"]: [row[f"cell.{axis}"] for axis in axes] for row in rows}
    assert [by_cell[name] for name in names] == [
        ["8", "true", "", ""],
        ["16", "true", "", ""],
        ["", "", "[84, 84]", "uint8"],
        ["", "", "", ""],
    ]
    lines = draw.render(comparison, "text").splitlines()
    assert [line for line in lines if line in names] == names


def test_a_run_without_trials_has_all_columns(store: Store, make_run: Any) -> None:
    """Frames of an interrupted run can be used by the same code."""
    loaded = slotbench.load(store(make_run(status="interrupted"), []))
    assert len(loaded.trials) == 0
    assert {"num_slots", "throughput", "counted", "error"} <= set(loaded.trials.columns)
    assert list(loaded.cells["num_trials"]) == [0, 0]
    assert loaded.cells["throughput"].isna().all()
    assert len(loaded.notes) == 1


def test_a_frame_is_the_callers_to_change(mixed: Run) -> None:
    """Writing into a frame changes no other reader's frame."""
    frame = mixed.trials
    frame["throughput"] = 0.0
    frame.loc[0, "contender"] = "mine"
    assert mixed.trials["throughput"].iloc[0] == pytest.approx(100.0)
    assert mixed.trials["contender"].iloc[0] == "threading"


def test_a_run_compares_itself(store: Store, make_run: Any, make_trials: Any) -> None:
    """The comparison is the one of slotbench.compute, with the caller's wishes."""
    rates = {"threading": [100.0, 101.0, 99.0], "slot": [200.0, 202.0, 198.0]}
    run = slotbench.load(store(make_run(rounds=3), make_trials(rates)))
    found = run.compare()
    assert (found.baseline, found.threshold) == ("threading", 0.03)
    assert [row.verdict for row in found.rows if row.metric == "throughput"] == [
        None,
        "faster",
    ]
    other = run.compare("slot", 0.1, metrics=["throughput"])
    assert (other.baseline, other.threshold, other.metrics) == (
        "slot",
        0.1,
        ("throughput",),
    )


def test_a_run_introduces_itself(mixed: Run) -> None:
    """In a notebook its repr is a line, not a record of thousands of numbers."""
    assert repr(mixed) == (
        "<Run 20250102T030405-synthetic-abc123: complete, 1 cells, 2 contenders, 9 trials>"
    )


def test_load_and_frames_load_no_torch(mixed: Run) -> None:
    """Pandas is loaded by the first frame, torch and matplotlib never."""
    code = (
        "import sys, slotbench\n"
        "run = slotbench.load(sys.argv[1])\n"
        "print({'torch', 'pandas', 'matplotlib'} & set(sys.modules))\n"
        "run.trials, run.cells\n"
        "print({'torch', 'pandas', 'matplotlib'} & set(sys.modules))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(mixed.path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout == "set()\n{'pandas'}\n"


def test_what_goes_with_until_decided_is_refused_without_it(tmp_path: Path) -> None:
    """Before anything is measured; and so is a δ that is none."""
    with pytest.raises(SlotbenchError, match="go with until_decided=True"):
        slotbench.run("quickstart", max_rounds=9, results_dir=tmp_path)
    with pytest.raises(SlotbenchError, match="threshold is -1"):
        slotbench.run(
            "quickstart", until_decided=True, threshold=-1.0, results_dir=tmp_path
        )
    with pytest.raises(SlotbenchError, match="--budget is nan s: it must be above 0"):
        slotbench.run(
            "quickstart", until_decided=True, budget_s=math.nan, results_dir=tmp_path
        )
    assert not list(tmp_path.iterdir())


def test_the_recorded_command_asks_for_the_same_decisions() -> None:
    """As the command line takes it."""
    goal = _Goal(30, 1200.0, ("latency_p99",), 0.05, {"latency_p99": 0.1})
    words = [word for pair in goal.words() for word in pair]
    assert words == [
        "--until-decided",
        *("--max-rounds", "30", "--budget", "1200s", "--metric", "latency_p99"),
        *("--threshold", "0.05", "--threshold", "latency_p99=0.1"),
    ]
    assert ("--budget", "1234567s") in _Goal(None, 1234567.0, (), None, {}).words()
    scenario, until = goal.plan(load("quickstart"))
    assert (scenario.threshold, until.max_rounds, until.budget_s) == (0.05, 30, 1200.0)
    assert until.thresholds == {"latency_p99": 0.1}
