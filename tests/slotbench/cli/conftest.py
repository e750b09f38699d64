"""Runs the command line in this process, as the console script would."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slotbench.cli import main
from slotbench.records import RunRecord, TrialRecord
from slotbench.store import ProfileFolder, RunFolder
from tests.slotbench.support import profiles


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str


Slotbench = Callable[..., Outcome]
Record = Callable[..., Path]


@pytest.fixture
def slotbench(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Slotbench:
    """Run ``slotbench`` with these arguments in an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Outcome:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        code = caught.value.code
        captured = capsys.readouterr()
        return Outcome(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture
def record(tmp_path: Path, make_run: Callable[..., RunRecord], make_trials: Any) -> Record:
    """Store a synthetic run under ``tmp_path/results``: slot is 20 % above threading."""

    def store(trials: Sequence[TrialRecord] | None = None, **changes: Any) -> Path:
        rates = {"threading": [1000.0, 1010.0, 990.0], "slot": [1200.0, 1214.0, 1187.0]}
        run = make_run(rounds=3, **changes)
        with RunFolder.create(tmp_path / "results", run) as folder:
            for trial in make_trials(rates) if trials is None else trials:
                folder.append(trial)
        return folder.path

    return store


@pytest.fixture
def record_profile(tmp_path: Path) -> Record:
    """Store a synthetic profile under ``tmp_path/results``, as `profiles.stored` makes it."""

    def store(**options: Any) -> Path:
        stored = profiles.stored(**options)
        with ProfileFolder.create(tmp_path / "results", stored.profile) as folder:
            for one in stored.trials:
                folder.append(one)
        return folder.path

    return store
