"""``slotbench profile``, whole: from a scenario to what explains a difference."""

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
from slotbench.profiling import tools
from slotbench.records import PASSES
from tests.slotbench.support import trials

SMALL = """
title = "Small"
question = "Does it run?"
rounds = 2
num_slots = 4
# So that recording is a small part of a cycle, also where other tests use the processors.
model.latency_ms = 1
[window]
warmup_s = 0.02
measure_s = 0.05
min_requests = 200
[[contenders]]
name = "threading"
baseline = true
[[contenders]]
name = "slot"
"""


@pytest.fixture(autouse=True)
def support_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(trials.SUPPORT)
    monkeypatch.setenv("PYTHONPATH", trials.SUPPORT, prepend=os.pathsep)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def recorded(folder: Path) -> store.StoredProfile:
    (path,) = store.all_runs(folder / "results", ("profile",))
    return store.read_profile(path)


def test_a_scenario_is_profiled_recorded_and_explained(
    slotbench: Any, small: Path, tmp_path: Path
) -> None:
    """The end names what explains the gap, phases, ledger, claims and the folder."""
    outcome = slotbench("profile", small, "--rounds", "2")

    assert outcome.code == 0, outcome.stderr
    for part in (
        "phases of a request, mean time",
        "ledger, per request",
        "from threading to slot: phases, what explains most first",
        "no concurrent.futures.Future per request",
        "timeline-1.json",
    ):
        assert part in outcome.stdout
    found = recorded(tmp_path)
    assert f"Recorded in results/{found.path.name}" in outcome.stdout
    assert found.state == "complete"
    assert len(found.trials) == 2 * len(PASSES) * 2

    again = slotbench("show", "small")
    assert again.code == 0
    assert again.stdout in outcome.stdout
    page = slotbench("report", "small", "-o", "small.html")
    assert page.code == 0, page.stderr
    assert "round trip" in (tmp_path / "small.html").read_text()


def test_no_comparison_finds_a_profile(slotbench: Any, small: Path, tmp_path: Path) -> None:
    """However it is named."""
    assert slotbench("profile", small, "--rounds", "1", "--contender", "slot").code == 0
    name = recorded(tmp_path).path.name
    for reference in ("newest", "small", "small-profile", name, f"results/{name}"):
        for command in (["compare", reference], ["run", "--resume", reference]):
            outcome = slotbench(*command)
            assert outcome.code == 2, command
            assert "no run" in outcome.stderr or "is not a run" in outcome.stderr


def test_a_plan_is_shown_and_nothing_done(slotbench: Any, tmp_path: Path) -> None:
    outcome = slotbench("profile", "quickstart", "--dry-run", "--tool", "torch")
    assert outcome.code == 0
    assert f"5 passes: {', '.join(PASSES)}" in outcome.stdout
    assert "240 trials in 3 rounds" in outcome.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "nosuch"),
        (["quickstart", "--tool", "flam"], "unknown tool 'flam': did you mean flame?"),
        (["quickstart", "--between", "slot", "slott"], "slott"),
        (["quickstart", "--rounds", "0"], "greater than or equal to 1"),
        (["quickstart", "--contender", "slott"], "unknown contender"),
        (["quickstart", "--set", "num_slots=x"], "num_slots"),
        ([], "Missing argument 'SCENARIO'"),
    ],
)
def test_a_mistake_is_one_line_and_records_nothing(
    slotbench: Any, tmp_path: Path, arguments: list[str], said: str
) -> None:
    outcome = slotbench("profile", *arguments)
    assert outcome.code == 2
    assert said in outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_a_contender_that_cannot_be_profiled_fails_in_its_pass_alone(
    slotbench: Any, small: Path, tmp_path: Path
) -> None:
    """Its class lets nobody wrap its methods; what needs no wrapping is there."""
    outcome = slotbench(
        "profile", small, "--rounds", "1", "--contender", "known_costs:with_slots"
    )
    assert outcome.code == 4
    text = " ".join(outcome.stdout.split())
    assert "cannot be profiled: its wait_for_work cannot be wrapped" in text
    found = recorded(tmp_path)
    states = {
        one.pass_name: one.trial.status
        for one in found.trials
        if one.trial.contender == "known_costs:with_slots"
    }
    assert states["plain"] == states["gil"] == "ok"
    assert states["phases"] == states["locks"] == states["operations"] == "failed"


def test_a_wrong_reply_is_invalid_here_too(slotbench: Any, small: Path) -> None:
    outcome = slotbench(
        "profile", small, "--rounds", "1", "--contender", "wrong_transports:swapped"
    )
    assert outcome.code in {3, 4}
    assert "INVALID" in outcome.stdout or "failed" in outcome.stdout


def test_a_tool_that_is_not_there_is_said_and_the_rest_goes_on(
    slotbench: Any, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = "py-spy is not installed: no flame graphs; pip install 'slotbench[profile]'"
    flame = tools.get("flame")
    monkeypatch.setattr(flame, "missing", lambda: missing)
    outcome = slotbench("profile", small, "--rounds", "1", "--tool", "flame")
    assert outcome.code == 0
    assert f"slotbench: note: {missing}" in outcome.stderr
    assert [one.note for one in recorded(tmp_path).profile.tools] == [missing]


def test_files_of_a_tool_are_in_the_folder_and_named(
    slotbench: Any, small: Path, tmp_path: Path
) -> None:
    outcome = slotbench("profile", small, "--rounds", "1", "--tool", "torch")
    assert outcome.code == 0, outcome.stderr
    found = recorded(tmp_path)
    files = [name for one in found.profile.tools for name in one.files]
    assert len(files) == 4  # a trace and a table, of two contenders
    for name in files:
        assert (found.path / name).stat().st_size > 0
        assert name in outcome.stdout


def test_the_json_holds_everything(slotbench: Any, small: Path) -> None:
    assert slotbench("profile", small, "--rounds", "1").code == 0
    shown = slotbench("show", "small", "--json")
    data = json.loads(shown.stdout)
    (cell,) = data["cells"]
    assert [one["label"] for one in cell["contenders"]] == ["threading", "slot"]


def test_ctrl_c_keeps_what_was_recorded(small: Path, tmp_path: Path) -> None:
    """One line, exit code 130, and a folder that can be shown."""
    process = subprocess.Popen(
        [sys.executable, "-m", "slotbench", "profile", str(small), "--rounds", "50"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(package.__file__).parent.parent)},
    )
    while _num_lines(tmp_path) < 2:  # the last one may still be taken back
        assert process.poll() is None
        time.sleep(0.05)  # looking takes the time of what is looked for
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; what was recorded is in results/" in said
    found = recorded(tmp_path)
    assert found.state == "interrupted"
    assert found.trials


def _num_lines(folder: Path) -> int:
    files = (folder / "results").glob("*/passes.jsonl")
    return sum(file.read_bytes().count(b"\n") for file in files)
