"""``slotbench compare`` on a stored run."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slotbench import draw
from slotbench.cli import _options


@pytest.mark.parametrize("name", draw.available())
def test_every_format_is_written_to_stdout(name: str, record: Any, slotbench: Any) -> None:
    """Stdout is the rendered comparison and nothing else; stderr is silent."""
    record()
    outcome = slotbench("compare", "--format", name)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "slot" in outcome.stdout
    assert "faster" in outcome.stdout
    assert outcome.stdout.endswith("\n")


def test_json_and_csv_can_be_read_by_machines(record: Any, slotbench: Any) -> None:
    """Both say that slot has 1.2 times the throughput of threading."""
    path = record()
    rows = json.loads(slotbench("compare", path, "--format", "json").stdout)["rows"]
    table = list(
        csv.DictReader(io.StringIO(slotbench("compare", "--format", "csv").stdout))
    )
    for found in (rows, table):
        row = next(
            r for r in found if (r["contender"], r["metric"]) == ("slot", "throughput")
        )
        assert float(row["ratio"]) == pytest.approx(1.2, abs=0.01)
        assert row["verdict"] == "faster"


def test_options_reach_the_comparison(record: Any, slotbench: Any) -> None:
    """Baseline, threshold and metrics are those of the command line."""
    record()
    told = ["--baseline", "slot", "--threshold", "50%", "--metric", "latency_p50"]
    outcome = slotbench(
        "compare", "newest", *told, "--metric", "throughput", "--format", "json"
    )
    found = json.loads(outcome.stdout)
    assert (found["baseline"], found["threshold_ratio"]) == ("slot", 0.5)
    assert {row["metric"] for row in found["rows"]} == {"latency_p50", "throughput"}
    assert {row["verdict"] for row in found["rows"] if not row["is_baseline"]} == {
        "equivalent"
    }


@pytest.mark.parametrize(
    ("text", "ratio"), [("3%", 0.03), ("0.03", 0.03), (" 12.5 % ", 0.125)]
)
def test_a_threshold_is_percent_or_ratio(text: str, ratio: float) -> None:
    """Both ways of writing it mean the same."""
    assert _options.parse_threshold(text) == ratio


@pytest.mark.parametrize(
    "text", ["", "%", "3", "0", "0%", "-1%", "100%", "nan", "inf%", "3 %%"]
)
def test_a_threshold_that_is_none_is_refused(text: str, slotbench: Any) -> None:
    """A bare 3 would mean 300 %, and is asked back."""
    outcome = slotbench("compare", f"--threshold={text}")
    assert outcome.code == 2
    assert "write 3% or 0.03" in outcome.stderr


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--baseline", "slto", "no contender 'slto' in this run: it has threading, slot"),
        ("--metric", "thruput", "unknown metric 'thruput': did you mean throughput"),
        ("--format", "jsno", "unknown format 'jsno': did you mean json"),
    ],
)
def test_a_name_that_is_none_is_one_line(
    option: str, value: str, words: str, record: Any, slotbench: Any
) -> None:
    """Unknown contenders, metrics and formats name what there is."""
    record()
    outcome = slotbench("compare", option, value)
    assert outcome.code == 2
    assert outcome.stderr.startswith(f"slotbench: error: {words}")
    assert outcome.stderr.count("\n") == 1


def test_a_run_of_invalid_trials_alone_is_code_3(
    record: Any, make_trial: Any, slotbench: Any
) -> None:
    """Where no number is what it claims, a script must not go on."""
    record([make_trial(who, invalid="lost") for who in ("threading", "slot")])
    outcome = slotbench("compare")
    assert outcome.code == 3
    assert "INVALID" in outcome.stdout


def test_one_valid_trial_is_code_0(record: Any, make_trial: Any, slotbench: Any) -> None:
    """INVALID trials are shown and left out; the rest still is a result."""
    record([make_trial("threading"), make_trial("slot", invalid="lost")])
    assert slotbench("compare").code == 0


def test_a_run_without_trials_has_nothing_to_compare(record: Any, slotbench: Any) -> None:
    """An interrupted run that recorded nothing is said to be so."""
    path = record([], status="interrupted")
    outcome = slotbench("compare")
    assert outcome.code == 2
    assert outcome.stderr.splitlines()[-1] == (
        f"slotbench: error: {Path('results') / path.name} holds no trials yet: "
        "there is nothing to compare"
    )


def test_notes_go_to_stderr(record: Any, slotbench: Any) -> None:
    """A truncated line is talked about, and the data on stdout stays clean."""
    path = record()
    file = path / "trials.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    outcome = slotbench("compare", "--format", "json")
    assert json.loads(outcome.stdout)["num_trials_recorded"] == 8
    assert outcome.stderr.startswith("slotbench: note: ")
    assert "line 9 was cut short" in outcome.stderr


def test_compare_loads_no_torch_and_no_pandas(record: Any) -> None:
    """Comparing a run needs neither torch nor pandas nor matplotlib."""
    code = (
        "import sys\n"
        "from slotbench.cli import main\n"
        "try:\n"
        "    main(['compare', sys.argv[1]])\n"
        "finally:\n"
        "    print({'torch', 'pandas', 'matplotlib'} & set(sys.modules), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(record())],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stderr == "set()\n"
