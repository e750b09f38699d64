"""pyperf itself reads what is written, and sees what slotbench sees."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyperf
import pytest

import slotbench
from slotbench import exports
from slotbench.compute.comparison import compare
from slotbench.errors import RecordError
from slotbench.store import StoredRun

ROOT = Path(__file__).parents[3]
QUICKSTART = ROOT / "results/reference/quickstart"
FILES = ("slot", "threading", "torchrl.slot-collate=lazy_stack")
FIRST = "num_slots=8, model.latency_ms=1"
SECOND = "observation.shape=[3,4]"


def load(folder: Path) -> dict[str, pyperf.BenchmarkSuite]:
    return {
        path.stem: pyperf.BenchmarkSuite.load(str(path)) for path in folder.glob("*.json")
    }


def run_pyperf(*arguments: str | Path) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "pyperf", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_a_file_a_contender_and_a_benchmark_a_cell(
    stored: StoredRun, tmp_path: Path
) -> None:
    """Names are the same in all files, and have no contender in them."""
    exports.export(stored, "pyperf", tmp_path)
    suites = load(tmp_path)
    assert sorted(suites) == sorted(FILES)
    for suite in suites.values():
        assert suite.get_benchmark_names() == [FIRST, SECOND]
        assert {benchmark.get_unit() for benchmark in suite} == {"second"}


def test_a_value_is_seconds_per_step_and_its_raw_value_the_window(
    stored: StoredRun, tmp_path: Path
) -> None:
    """One value a trial: window over replies; loops are replies, inner loops 1."""
    exports.export(stored, "pyperf", tmp_path)
    benchmark = load(tmp_path)["slot"].get_benchmark(SECOND)
    trials = [
        trial.measurement
        for trial in stored.trials
        if (trial.cell, trial.contender) == (SECOND, "slot")
    ]
    assert benchmark.get_values() == tuple(
        trial.window_s / trial.num_replies for trial in trials if trial
    )
    for run, trial in zip(benchmark.get_runs(), trials, strict=True):
        assert trial is not None
        assert (run.get_loops(), run.get_inner_loops()) == (trial.num_replies, 1)
        assert run._get_raw_values() == pytest.approx([trial.window_s])


def test_a_cell_keeps_the_rounds_in_which_every_contender_has_a_value(
    stored: StoredRun, tmp_path: Path
) -> None:
    """Rounds 0 and 1 of the first cell, all four of the second; the rest is accounted for."""
    written = exports.export(stored, "pyperf", tmp_path)
    for suite in load(tmp_path).values():
        rounds = {
            benchmark.get_name(): [
                run.get_metadata()["round"] for run in benchmark.get_runs()
            ]
            for benchmark in suite
        }
        assert rounds == {FIRST: [0, 1], SECOND: [0, 1, 2, 3]}
    assert written.notes == (
        "18 of 36 trials written; left out: 8 of the baseline's second arm (A/A), "
        "4 of an attempt that does not count, 1 INVALID, 1 failed, "
        "4 usable, in a round in which another contender has no value",
    )


def test_a_contender_without_a_value_in_a_cell_does_not_empty_it(
    make_stored: Any, make_trials: Any, make_trial: Any, tmp_path: Path
) -> None:
    """It has no file, and the others keep all their rounds."""
    trials = make_trials({"threading": [1000.0] * 3, "slot": [1200.0] * 3})
    trials += [make_trial("broken", 1e3, round=n, invalid="lost") for n in range(3)]
    labels = ("threading", "slot", "broken")
    exports.export(make_stored(trials, labels=labels), "pyperf", tmp_path)
    suites = load(tmp_path)
    assert sorted(suites) == ["slot", "threading"]
    assert all(
        len(suite.get_benchmarks()[0].get_values()) == 3 for suite in suites.values()
    )


def test_no_round_in_common_is_one_line(
    make_stored: Any, make_trial: Any, tmp_path: Path
) -> None:
    """Where no equal counts can be had, nothing is written."""
    trials = [make_trial("threading", round=0), make_trial("slot", round=1)]
    with pytest.raises(RecordError, match="has no round in which every contender"):
        exports.export(make_stored(trials), "pyperf", tmp_path)


@pytest.mark.parametrize("changes", [{"num_replies": 0}, {"window_s": 0.0}])
def test_a_trial_without_a_reply_has_no_value(
    changes: dict[str, Any], make_stored: Any, make_trials: Any, tmp_path: Path
) -> None:
    """A 0 or an infinity is no value to pyperf: its round is left out."""
    trials = make_trials({"threading": [1e3] * 2, "slot": [1e3] * 2})
    trials[0] = replace(trials[0], measurement=replace(trials[0].measurement, **changes))
    exports.export(make_stored(trials), "pyperf", tmp_path)
    for suite in load(tmp_path).values():
        assert len(suite.get_benchmarks()[0].get_values()) == 1


def test_metadata_are_the_runs_and_the_trials(stored: StoredRun, tmp_path: Path) -> None:
    """The environment under its own names, less what pyperf refuses; percentiles in seconds."""
    environment = {
        "cpu_count": 2,
        "load_avg_1min": 0.5,
        "gil_enabled": True,
        "python_version": "3.11",
        "empty": "",
        "lines": "a\nb",
        "uptime": -1,
    }
    run = replace(stored.run, environment=environment)
    exports.export(replace(stored, run=run), "pyperf", tmp_path)
    suite = load(tmp_path)["torchrl.slot-collate=lazy_stack"]
    shared = suite.get_metadata()
    wanted = {"cpu_count": 2, "load_avg_1min": 0.5, "gil_enabled": True}
    wanted |= {"python_version": "3.11", "run_id": run.run_id, "seed": 1}
    wanted |= {"contender": "torchrl.slot[collate=lazy_stack]", "scenario": "synthetic"}
    assert {name: shared[name] for name in wanted} == wanted
    assert not {"empty", "lines", "uptime", "hostname"} & set(shared)
    of_trial = suite.get_benchmark(SECOND).get_runs()[0].get_metadata()
    assert of_trial["latency_p99"] == pytest.approx(10 / 700)
    assert "latency_p999" not in of_trial  # too few samples
    assert of_trial["date"] == "2025-01-02 03:04:05"


def test_labels_that_make_the_same_file_name_get_files_of_their_own(
    make_stored: Any, make_trials: Any, tmp_path: Path
) -> None:
    """No contender writes over another."""
    labels = ("slot[a]", "slot(a)", "SLOT[a]")
    trials = make_trials({label: [1e3, 1e3] for label in labels})
    exports.export(make_stored(trials, labels=labels), "pyperf", tmp_path)
    suites = load(tmp_path)
    assert len(suites) == 3
    assert {suite.get_metadata()["contender"] for suite in suites.values()} == set(labels)


def test_compare_to_sees_the_direction_and_the_ratio_of_a_comparison(
    stored: StoredRun, tmp_path: Path
) -> None:
    """1.20x faster where slotbench says 1.20×, 1.43x slower where it says 0.70×."""
    exports.export(stored, "pyperf", tmp_path)
    rows = {
        (row.cell, row.contender): row
        for row in compare(stored.run, stored.trials, metrics=["throughput"]).rows
    }
    for label, file in (("slot", FILES[0]), ("torchrl.slot[collate=lazy_stack]", FILES[2])):
        said = run_pyperf(
            "compare_to", tmp_path / "threading.json", tmp_path / f"{file}.json"
        )
        assert "hidden" not in said
        for cell in (FIRST, SECOND):
            assert_agrees(said, cell, rows[cell, label])


def test_compare_to_agrees_on_a_run_that_was_measured(tmp_path: Path) -> None:
    """In every cell of the quickstart that both decide, direction and ratio are the same."""
    run = slotbench.load(QUICKSTART)
    paths = {
        pyperf.BenchmarkSuite.load(str(path)).get_metadata()["contender"]: path
        for path in exports.export(run.stored, "pyperf", tmp_path).paths
    }
    comparison = run.compare(metrics=["throughput"])
    num_compared = 0
    for label, path in paths.items():
        if label == comparison.baseline:
            continue
        said = run_pyperf("compare_to", paths[comparison.baseline], path)
        for row in comparison.rows:
            is_shown = f"{row.cell}: Mean" in said
            if row.contender == label and is_shown and row.verdict in {"faster", "slower"}:
                # Means of times here, geometric means of pairs there.
                assert_agrees(said, row.cell, row, within=0.10)
                num_compared += 1
    assert num_compared >= 5


def test_the_documentation_shows_what_pyperf_prints(tmp_path: Path) -> None:
    """On the committed run, to the letter."""
    page = (ROOT / "docs/exports.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- pyperf:begin -->")[2].partition("<!-- pyperf:end -->")[0]
    exports.export(slotbench.load(QUICKSTART).stored, "pyperf", tmp_path)
    files = [tmp_path / f"{name}.json" for name in ("threading", "slot", "torchrl.slot")]
    said = run_pyperf("compare_to", "--table", *files)
    assert shown.strip() == f"```text\n{said.strip()}\n```"


@pytest.mark.parametrize("command", ["check", "stats", "show", "metadata"])
def test_pyperfs_other_commands_read_a_file(
    command: str, stored: StoredRun, tmp_path: Path
) -> None:
    """None of them fails."""
    exports.export(stored, "pyperf", tmp_path)
    assert FIRST in run_pyperf(command, tmp_path / "slot.json")


def test_percentiles_can_be_compared_as_benchmarks(
    stored: StoredRun, tmp_path: Path
) -> None:
    """``convert --extract-metadata`` makes seconds of them."""
    exports.export(stored, "pyperf", tmp_path)
    out = tmp_path / "p99.json"
    run_pyperf(
        "convert", "--extract-metadata", "latency_p99", tmp_path / "slot.json", "-o", out
    )
    benchmark = pyperf.BenchmarkSuite.load(str(out)).get_benchmark(SECOND)
    assert benchmark.get_values()[0] == pytest.approx(10 / 1200)


def assert_agrees(said: str, cell: str, row: Any, within: float = 0.01) -> None:
    """The line for a cell tells the row's direction, and its ratio."""
    line = next(line for line in said.splitlines() if line.startswith(f"{cell}: "))
    found = re.search(r": ([\d.]+)x (faster|slower)$", line)
    assert found, line
    ratio = float(found[1]) if found[2] == "faster" else 1 / float(found[1])
    assert found[2] == ("faster" if row.ratio.point > 1 else "slower")
    assert ratio == pytest.approx(row.ratio.point, rel=within)
