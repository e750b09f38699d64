"""``slotbench run --resume``: what it refuses, and what it says."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from slotbench import store
from slotbench.measure.runner import MAX_ATTEMPTS
from slotbench.store import RunFolder

SMALL = """
title = "Small"
question = "Does it go on?"
rounds = 2
num_slots = 2
[window]
warmup_s = 0.01
measure_s = 0.02
min_requests = 10
[[contenders]]
name = "threading"
baseline = true
[[contenders]]
name = "slot"
"""


@pytest.fixture
def broken_off(slotbench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that Ctrl-C ended in its second block."""
    (tmp_path / "small.toml").write_text(SMALL)
    count = itertools.count()
    append = RunFolder.append

    def interrupted(folder: RunFolder, trial: Any) -> None:
        if next(count) == 4:
            raise KeyboardInterrupt
        append(folder, trial)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "append", interrupted)
        outcome = slotbench("run", tmp_path / "small.toml", "--attempts", "1")
    path = store.find(None, tmp_path / "results")
    assert outcome.code == 130
    assert f"go on with 'slotbench run --resume results/{path.name}'" in " ".join(
        outcome.stderr.split()
    )
    return path


def test_a_run_goes_on_where_it_was_broken_off(slotbench: Any, broken_off: Path) -> None:
    """As it advised; what is left is said before, what this sitting measured after."""
    plan = slotbench("run", "--resume", broken_off.name, "--dry-run")
    assert plan.stdout.startswith(
        f"{broken_off.name}: 1 of 2 blocks measured, 1 left; expected"
    )
    assert len(store.read(broken_off).trials) == 4

    outcome = slotbench("run", "--resume", broken_off.name, "--attempts", "1")
    assert outcome.code in {0, 3}, outcome.stderr
    assert "1 of 2 blocks measured, 1 left" in outcome.stderr
    assert "3 trials after 4 before in" in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == f"Recorded in results/{broken_off.name}"
    after = store.read(broken_off).run
    assert after.status == "complete"
    assert len(after.resumptions) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quickstart"], "leave out SCENARIO"),
        (["--rounds", "3"], "leave out --rounds"),
        (["--seed", "0", "--set", "num_slots=2"], "leave out --set, --seed"),
        (["--contender", "slot"], "leave out --contender"),
    ],
)
def test_a_resumed_run_keeps_its_plan(
    arguments: list[str], words: str, slotbench: Any
) -> None:
    """What would change it is a usage error, and says which option."""
    outcome = slotbench("run", "--resume", "newest", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert f"a run is resumed as it was planned: {words}" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a SCENARIO"),
        (["quickstart", "--allow-different"], "--allow-different goes with --resume"),
        (["--resume", "nowhere"], "no run 'nowhere'"),
        (["quickstart", "--attempts", "0"], "'--attempts': Input should be greater than"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    arguments: list[str], words: str, slotbench: Any
) -> None:
    """With exit code 2."""
    outcome = slotbench("run", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert words in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_complete_run_is_not_resumed(slotbench: Any, record: Any) -> None:
    """It says so before anything is started."""
    path = record()
    outcome = slotbench("run", "--resume", path)
    assert outcome.code == 2
    assert "is complete: there is nothing to resume" in outcome.stderr


def test_the_help_says_how_often_a_block_is_tried(slotbench: Any) -> None:
    """The number in the help is that of the code, which the help does not import."""
    text = " ".join(slotbench("run", "--help").stdout.split())
    assert f"[default: ({MAX_ATTEMPTS})" in text or f"[default: {MAX_ATTEMPTS}" in text
