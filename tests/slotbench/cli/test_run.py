"""``slotbench run``, whole: from a TOML file to a recorded and compared run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import slotbench as package
from slotbench import store

SUPPORT = str(Path(__file__).parent.parent / "support")

SMALL = """
title = "Small"
question = "Does it run?"
rounds = 2
num_slots = 4
[window]
warmup_s = 0.02
measure_s = 0.05
min_requests = 200
[[contenders]]
name = "threading"
baseline = true
[[contenders]]
name = "slot"
preallocate = [false, true]
[[contenders]]
name = "floor"
"""


@pytest.fixture(autouse=True)
def support_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SUPPORT)
    monkeypatch.setenv("PYTHONPATH", SUPPORT, prepend=os.pathsep)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_a_scenario_is_run_recorded_and_compared(slotbench: Any, small: Path) -> None:
    """The end names winners, the table, the overhead and the folder; load reads it."""
    outcome = slotbench("run", small, "--attempts", "1")

    assert outcome.code == 0, outcome.stderr
    first, *_, overhead, last = outcome.stdout.strip().splitlines()
    assert first.startswith("Against threading, ")
    assert "slot[preallocate]" in outcome.stdout
    assert "outside warm-up and measurement" in overhead
    assert last.startswith("Recorded in results/")

    run = package.load(results_dir="results")
    assert run.record.status == "complete"
    assert len(run.trials) == 2 * 5
    assert (run.trials["status"] == "ok").all()
    assert not run.trials["is_invalid"].any()
    assert (run.trials["startup_s"] < 60).all()
    assert json.loads(slotbench("compare", "newest", "--format", "json").stdout)


def test_both_interpreters_are_raced_when_both_are_given(
    slotbench: Any, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same blocks; the record says what each is, and has its calibrations."""
    (tmp_path / "other").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    interpreters = ("--python", "", "--python", "other")
    outcome = slotbench("run", small, *interpreters, "--rounds", "1", "--attempts", "1")

    assert outcome.code == 0, outcome.stderr
    run = package.load(results_dir="results")
    for name in ("threading", "slot", "slot[preallocate", "floor"):
        bare = f"{name}]" if "[" in name else name
        other = f"{name},python=other]" if "[" in name else f"{name}[python=other]"
        assert {bare, other} <= set(run.trials["contender"])
    assert sorted(one.python for one in run.stored.calibrations) == ["", "other"]
    assert "other.python_version" in run.record.environment
    assert run.trials["is_gil_enabled"].notna().all()
    assert "threading" in outcome.stdout
    assert "· other" in slotbench("compare", "newest", "--explain").stdout
    shown = slotbench("show", "newest", "--json").stdout
    assert all("is_gil_enabled" in one for one in json.loads(shown)["trials"])


@pytest.mark.parametrize("fault", ["swapped", "dropped", "doubled"])
def test_a_wrong_transport_ends_invalid(slotbench: Any, small: Path, fault: str) -> None:
    """Exit code 3; the table says INVALID and gives the contender no number."""
    label = f"wrong_transports:{fault}"
    outcome = slotbench("run", small, "--contender", label, "--rounds", "1")

    assert outcome.code == 3
    assert "INVALID" in outcome.stdout
    row = json.loads(slotbench("compare", "--format", "json").stdout)
    numbers = [r for r in row["rows"] if r["contender"] == label]
    assert numbers
    assert all(r["value"] is None and r["num_invalid"] == 1 for r in numbers)


def test_a_failed_trial_is_exit_code_4(slotbench: Any, small: Path) -> None:
    """What the contender raised is in the table; the others are compared."""
    outcome = slotbench(
        "run", small, "--contender", "wrong_transports:raising", "--rounds", "1"
    )

    assert outcome.code == 4
    assert "OSError: lost the wire" in " ".join(outcome.stdout.split())


def test_a_named_contender_races_the_baseline_alone(slotbench: Any, small: Path) -> None:
    """--contender replaces the list; the scenario's baseline stays."""
    slotbench("run", small, "--contender", "wrong_transports:honest", "--rounds", "1")

    labels = [
        c.label for c in package.load(results_dir="results").record.scenario.contenders
    ]
    assert labels == ["threading", "wrong_transports:honest"]


@pytest.mark.parametrize(
    ("contender", "message"),
    [
        (
            "nosuchmodule:factory",
            "contender nosuchmodule:factory: module 'nosuchmodule' is",
        ),
        ("wrong_transports:nosuch", "module 'wrong_transports' has no attribute 'nosuch'"),
        ("wrong_transports:fails_to_build", "cannot be made: ValueError: no wire"),
        ("wrong_transports:without_drain", "is no transport: it has no wait_for_work"),
        ("fails_to_import:factory", "cannot be made: ZeroDivisionError"),
        ("slott", "unknown contender"),
        ("slot[prealocate]", "unknown option prealocate"),
    ],
)
def test_a_contender_that_cannot_race_is_one_line(
    slotbench: Any, small: Path, contender: str, message: str
) -> None:
    """Exit code 2, one line, and nothing recorded."""
    outcome = slotbench("run", small, "--contender", contender)

    assert outcome.code == 2
    errors = [
        line for line in outcome.stderr.splitlines() if line.startswith("slotbench: error:")
    ]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in outcome.stderr
    assert not Path("results").exists()


def test_a_module_in_the_working_directory_can_be_raced(
    slotbench: Any, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own file needs no installing."""
    monkeypatch.delenv("PYTHONPATH")
    source = (Path(SUPPORT) / "wrong_transports.py").read_text()
    Path("my_transport_here.py").write_text(source)
    outcome = slotbench(
        "run", small, "--contender", "my_transport_here:honest", "--rounds", "1"
    )

    assert outcome.code == 0, outcome.stderr


def test_an_optional_contender_that_is_missing_is_a_visible_line(
    slotbench: Any, small: Path
) -> None:
    """It is skipped, said on stderr, and recorded."""
    small.write_text(SMALL + '[[contenders]]\nname = "nosuchmodule:f"\noptional = true\n')
    outcome = slotbench("run", small, "--rounds", "1")

    assert outcome.code == 0
    assert "slotbench: skipping nosuchmodule:f: module 'nosuchmodule'" in outcome.stderr
    (skipped,) = package.load(results_dir="results").record.skipped
    assert skipped.label == "nosuchmodule:f"


def test_an_unknown_environment_is_one_line(slotbench: Any, small: Path) -> None:
    """It is the scenario's error, and nothing is recorded."""
    pytest.importorskip("gymnasium")
    small.write_text(SMALL + '[environment]\nid = "CartPol-v1"\n')
    outcome = slotbench("run", small)

    assert outcome.code == 2
    assert "environment 'CartPol-v1' cannot be made" in outcome.stderr
    assert not Path("results").exists()


def test_a_results_folder_that_cannot_be_written_is_one_line(
    slotbench: Any, small: Path
) -> None:
    """A file where the folder should be: said before anything is measured."""
    Path("taken").write_text("")
    outcome = slotbench("run", small, "--results", "taken")

    assert outcome.code == 2
    assert outcome.stderr.count("slotbench: error:") == 1
    assert "taken" in outcome.stderr


def test_dry_run_measures_nothing(slotbench: Any, small: Path) -> None:
    """Cells, contenders, trials and the expected duration; no folder, no torch."""
    outcome = slotbench("run", small, "--set", "num_slots=2,4", "--dry-run")

    assert outcome.code == 0
    assert "2 cells:\n  num_slots=2\n  num_slots=4\n" in outcome.stdout
    assert "20 trials in 2 rounds" in outcome.stdout
    assert "expected duration" in outcome.stdout
    assert not Path("results").exists()


def test_dry_run_shows_the_cells_of_every_grid(slotbench: Any, small: Path) -> None:
    """One below the other, counted and planned together."""
    grids = "[[grid]]\nnum_slots = [2, 3]\n[[grid]]\nobservation.num_leaves = [5]\n"
    small.write_text(SMALL + grids)
    outcome = slotbench("run", small, "--dry-run")

    assert outcome.code == 0
    assert (
        "3 cells:\n  num_slots=2\n  num_slots=3\n  observation.num_leaves=5\n"
    ) in outcome.stdout
    assert "30 trials in 2 rounds" in outcome.stdout


def test_too_few_requests_for_a_tail_are_noted(slotbench: Any, small: Path) -> None:
    """Of an open loop it is known beforehand; 4 actors and a window of 10 s at most."""
    changes = (
        "load.arrivals=poisson",
        "load.per_actor_per_s=5,50",
        "window.min_requests=500",
    )
    options = (option for change in changes for option in ("--set", change))
    outcome = slotbench("run", small, *options, "--dry-run")
    (note,) = outcome.stderr.splitlines()
    assert "some 200 requests are due in a window; p99 needs 459: raise" in note
    assert "load.per_actor_per_s=5'" in note


def test_dry_run_loads_no_torch(small: Path) -> None:
    """A plan is shown where torch could not even be imported."""
    code = (
        "import sys\nfrom slotbench.cli import main\n"
        f"try:\n    main(['run', {str(small)!r}, '--dry-run'])\n"
        "finally:\n    print({'torch', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip().endswith("set()")


def test_ctrl_c_keeps_recorded_trials(small: Path, tmp_path: Path) -> None:
    """Exit code 130, no traceback; trials that ended are read back as an interrupted run."""
    command = [sys.executable, "-m", "slotbench", "run", str(small), "--rounds", "500"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    _wait_for_trials(tmp_path / "results", 3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "trials are safe in results/" in stderr
    stored = store.read(store.find(None, tmp_path / "results"))
    assert stored.run.status == "interrupted"
    assert len(stored.trials) >= 3


def _wait_for_trials(results: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while True:
        files = list(results.glob("*/trials.jsonl"))
        if files and files[0].read_text().count("\n") >= count:
            return
        assert time.monotonic() < deadline, "no trial was recorded in 120 s"
        time.sleep(0.05)


def test_the_worker_dies_with_the_run(small: Path, tmp_path: Path) -> None:
    """Kill -9 of a run leaves no process behind and loses no recorded trial."""
    command = [sys.executable, "-m", "slotbench", "run", str(small), "--rounds", "500"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    _wait_for_trials(tmp_path / "results", 2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()

    assert children
    _wait_until_gone(children)
    stored = store.read(store.find(None, tmp_path / "results"))
    assert (stored.run.status, len(stored.trials) >= 2) == ("running", True)


def _wait_until_gone(pids: list[str]) -> None:
    deadline = time.monotonic() + 60
    while any(_is_running(int(pid)) for pid in pids):
        assert time.monotonic() < deadline, "the worker outlived the run by 60 s"
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_run_until_decided_ends_with_what_it_decided(slotbench: Any, small: Path) -> None:
    """The plan before, rounds and reasons after; show and compare say how sure intervals are."""
    outcome = slotbench(
        *("run", small, "--rounds", "5", "--attempts", "1", "--contender", "slot"),
        *("--until-decided", "--max-rounds", "7", "--threshold", "40%"),
    )

    assert outcome.code == 0, outcome.stderr
    plan = "until decided by throughput (δ 40 %): looks after 5 and 7 rounds"
    assert plan in outcome.stderr
    assert plan in outcome.stdout
    run = package.load(results_dir="results").record
    assert run.sequential is not None
    assert run.sequential.looks == (5, 7)
    assert run.sequential.ended
    assert {one.rounds for one in run.sequential.stopped} <= {5, 7}
    assert run.sequential.thresholds == {"throughput": 0.4}
    assert plan in " ".join(slotbench("show").stdout.split())
    compared = json.loads(slotbench("compare", "--format", "json").stdout)
    assert compared["confidence"] == run.sequential.confidence > 0.96
    assert compared["sequential"]["ended"] == run.sequential.ended
    assert "(95 % over all 2 looks)" in " ".join(slotbench("compare").stdout.split())


def test_a_dry_run_says_least_and_most(slotbench: Any, small: Path) -> None:
    """Of a run whose length nobody knows."""
    outcome = slotbench(
        "run", small, "--dry-run", "--rounds", "5", "--until-decided", "--budget", "1h"
    )
    assert outcome.code == 0, outcome.stderr
    assert "at least 25 trials in 5 rounds" in outcome.stdout
    assert "at most 100 trials in 20 rounds" in outcome.stdout
    assert "for at most 1 h 0 min" in outcome.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-rounds", "9"], "--max-rounds goes with --until-decided"),
        (["--budget", "20m"], "--budget goes with --until-decided"),
        (["--until-decided", "--budget", "20"], "write 800us, 2ms, 1.5s or 10m"),
        (["--until-decided"], "give --rounds 5 or more"),
        (["--until-decided", "--resume", "newest"], "leave out"),
    ],
)
def test_what_does_not_go_with_until_decided_is_refused(
    slotbench: Any, small: Path, options: list[str], said: str
) -> None:
    """In one line, before anything is measured."""
    outcome = slotbench("run", small, *options)
    assert outcome.code == 2
    assert said in " ".join(outcome.stderr.split())
    assert not Path("results").exists()
