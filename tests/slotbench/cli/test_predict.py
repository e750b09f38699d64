"""``slotbench predict``: axes, runs, files, and what it says without any."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import slotbench as package
from slotbench.cli.predict import names
from slotbench.draw import prediction_check, what_if
from slotbench.store import read_prediction_check, read_what_if

REFERENCE = Path(__file__).parents[3] / "results/reference"
ASKED = ("predict", "--num-envs", "8", "--step-ms", "1", "--policy-ms", "2")


def test_without_arguments_it_shows_its_help(slotbench: Any) -> None:
    """With examples; and asks for the one thing that it cannot do without."""
    outcome = slotbench("predict")
    assert (outcome.code, outcome.stdout) == (0, slotbench("predict", "--help").stdout)
    assert "Examples:" in outcome.stdout
    outcome = slotbench("predict", "--policy-ms", "2")
    assert outcome.code == 2
    assert "give --num-envs" in outcome.stderr


def test_options_reach_the_prediction(slotbench: Any, tmp_path: Path) -> None:
    """Every one of them, several values as an axis."""
    outcome = slotbench(
        *(
            "predict",
            "--num-envs",
            "8,16",
            "--step-ms",
            "4",
            "--step-distribution",
            "lognormal",
        ),
        *("--step-sigma", "0.5", "--step-mode", "busy_nogil", "--cpus", "4"),
        *("--reset-every", "20", "--reset-ms", "30", "--policy-ms", "3"),
        *("--policy-per-item-ms", "0.5", "--policy-distribution", "lognormal"),
        *("--policy-sigma", "0.7", "--min-batch", "1,n*", "--max-batch", "4"),
        *("--timeout-ms", "7", "--servers", "2", "--queues", "shared,own"),
        *("--transport", "slot,torchrl.slot[collate=lazy_stack]"),
        *("--observation", "pixels=uint8[3,84,84]", "--observation", "state=float32[7]"),
        *("--max-latency-ms", "70", "-o", "a.json"),
    )
    assert (outcome.code, outcome.stdout) == (0, ""), outcome.stderr
    record = read_what_if(tmp_path / "a.json")

    row = record.rows[0]
    assert (row.num_envs, row.step_ms, row.step_sigma, row.step_mode) == (
        *(8, 4.0, 0.5, "busy_nogil"),
    )
    assert (row.reset_every, row.reset_ms, row.policy_ms) == (20, 30.0, 3.0)
    assert (row.policy_per_item_ms, row.policy_sigma) == (0.5, 0.7)
    assert (row.max_batch_size, row.timeout_ms, row.num_servers) == (4, 7.0, 2)
    assert record.axes == ("num_envs", "transport", "queues", "min_batch_size")
    assert (record.num_cpus, record.max_latency_s) == (4, 0.070)
    assert [leaf.key for leaf in record.leaves] == ["pixels", "state"]
    assert len(record.rows) == 16
    assert len(record.best) == 2


def test_the_text_is_the_prediction(slotbench: Any) -> None:
    """On stdout; the same from Python; as Markdown, JSON and CSV, too."""
    found = package.predict(8, step_ms=1, policy_ms=2)
    text, md, table = (
        slotbench(*ASKED, "--format", name).stdout for name in ("text", "md", "csv")
    )
    assert text.splitlines()[:5] == what_if.show(found.record).splitlines()[:5]
    assert md.startswith("**8 environments: ")
    (row,) = csv.DictReader(io.StringIO(table))
    assert float(row["per_s"]) == found.record.rows[0].per_s
    assert (row["low"], row["is_best"]) == ("", "true")
    assert json.loads(slotbench(*ASKED, "--format", "json").stdout)["schema_version"] == 1


def test_a_runs_times_stand_where_none_are_given(slotbench: Any) -> None:
    """Those of its calibrations, its rule and its observation; options stand before them."""
    words = ("predict", "--from", "rl_pixels_8", "--results", REFERENCE, "--format", "json")
    own = json.loads(slotbench(*words).stdout)
    more = json.loads(slotbench(*words, "--num-envs", "64", "--policy-ms", "9").stdout)
    run = package.load("rl_pixels_8", results_dir=REFERENCE)

    (cell,) = run.record.scenario.cells
    (row,), (other,) = own["rows"], more["rows"]
    assert own["run"] == run.record.run_id
    assert row["num_envs"] == cell.workload.num_slots
    assert row["max_batch_size"] == cell.workload.batching.max_batch_size
    assert row["step_ms"] == pytest.approx(cell.workload.think_time.mean_ms, rel=0.2)
    assert own["leaves"][0]["dtype"] == cell.workload.observation.leaves[0].dtype
    assert (other["num_envs"], other["policy_ms"]) == (64, 9.0)
    assert other["step_ms"] == row["step_ms"]


def test_runs_are_checked(slotbench: Any, tmp_path: Path) -> None:
    """A row a cell and contender, and how many were right; one run's rows are shown, too."""
    words = ("predict", "rl_pixels_8", "--check", "--results", REFERENCE)
    outcome = slotbench(*words)
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.startswith("Of 6 measured throughputs, in 1 run, ")
    assert "predicted/measured" in outcome.stdout
    assert slotbench(*words, "-o", "c.json").code == 0
    record = read_prediction_check(tmp_path / "c.json")
    assert prediction_check.show(record).splitlines()[0] == outcome.stdout.splitlines()[0]
    rows = list(csv.DictReader(io.StringIO(slotbench(*words, "--format", "csv").stdout)))
    assert len(rows) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "jsn"], "did you mean json?"),
        (["--num-envs", "0"], "--num-envs 0: give a whole number from 1 to 100000"),
        (["--num-envs", "8,x"], "--num-envs '8,x': 'x' is no whole number"),
        (["--step-ms", "-1"], "--step-ms -1: give a number from 0 to 60000"),
        (["--step-ms", "nan"], "--step-ms nan: give a number from 0 to 60000"),
        (["--min-batch", "n"], "'n' is no whole number"),
        (["--min-batch", "0"], "from 1 to 100000, or n*"),
        (["--servers", "2000"], "--servers 2000: give a whole number from 1 to 1024"),
        (["--queues", "owm"], "--queues 'owm': did you mean own"),
        (["--step-mode", "buzy"], "--step-mode 'buzy': did you mean busy"),
        (["--transport", "slto"], "--transport 'slto': did you mean slot"),
        (["--transport", ""], "--transport '': did you mean none"),
        (["--step-distribution", "exponential", "--step-sigma", "1"], "of lognormal times"),
        (["--policy-sigma", "1"], "give --policy-distribution lognormal"),
        (["--reset-every", "5"], "--reset-every and --reset-ms belong together"),
        (["--servers", "9", "--queues", "own"], "there are only 8 environments"),
        (["--min-batch", "8", "--max-batch", "4"], "--min-batch is above --max-batch"),
        (["--cell", "all"], "--cell is of a run: name one with --from"),
        (["--observation", "flot32[8]"], "did you mean float32"),
        (["--max-latency-ms", "0"], "give a number above 0"),
        (["--cpus", "0"], "--cpus 0: give a number from 1"),
        (["-o", "a.html"], "a prediction ends in .md, .json, .txt, .csv"),
        (["grid"], "say --from grid to take its times, or add --check"),
        (["grid", "--check"], "--check takes all from its RUN: leave out --num-envs"),
        (["--check"], "--check needs a RUN"),
        (["--from", "nothing"], "no run"),
    ],
)
def test_nonsense_is_said_in_a_line(
    slotbench: Any, arguments: list[str], message: str
) -> None:
    """Exit code 2, no traceback."""
    outcome = slotbench(*ASKED, *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    [line] = outcome.stderr.splitlines()
    assert message in line


def test_a_run_that_says_too_little_is_said(slotbench: Any) -> None:
    """Several cells and none named; a name that is none; nothing to predict."""
    words = ("predict", "--results", REFERENCE)
    outcome = slotbench(*words, "--from", "grid")
    assert "has 20 cells: name one with --cell, such as 'num_slots=1" in outcome.stderr
    outcome = slotbench(*words, "--from", "grid", "--cell", "num_slots=1")
    assert "did you mean 'num_slots=" in outcome.stderr
    steady = (*words, "--from", "rl_pixels_8")
    for options, message in (
        (("--step-sigma", "1"), "give --step-distribution lognormal"),
        (("--step-distribution", "lognormal"), "need a width: give --step-sigma"),
        (("--reset-every", "3"), "belong together"),
    ):
        outcome = slotbench(*steady, *options)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert message in outcome.stderr
    outcome = slotbench(*words, "collector", "--check")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "nothing can be predicted" in outcome.stderr


def test_files_are_not_written_over_others(slotbench: Any, tmp_path: Path) -> None:
    """What is there is refused before anything is simulated; --force replaces it."""
    (tmp_path / "a.md").write_text("mine")
    outcome = slotbench(*ASKED, "-o", "a.md")
    assert outcome.code == 2
    assert (tmp_path / "a.md").read_text() == "mine"
    assert slotbench(*ASKED, "-o", "a.md", "--force").code == 0
    assert (tmp_path / "a.md").read_text().startswith("**8 environments")


def test_commas_in_brackets_belong_to_a_label() -> None:
    """As in a contender's options."""
    assert names("slot[a=1,b=2], threading,none") == ["slot[a=1,b=2]", "threading", "none"]


def test_it_starts_without_what_it_does_not_need() -> None:
    """Text needs no torch, no pandas, no matplotlib."""
    code = (
        "import sys\n"
        "from slotbench.cli import main\n"
        "try:\n"
        "    main(['predict', '--num-envs', '8', '--step-ms', '1'])\n"
        "except SystemExit as error:\n"
        "    assert error.code == 0, error.code\n"
        "print({'torch', 'pandas', 'matplotlib'} & set(sys.modules), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr.splitlines()[-1] == "set()"
