"""A run's folder survives kills, full disks and places that cannot be written."""

import dataclasses
import errno
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from slotbench.errors import RecordError
from slotbench.records import RunRecord, TrialRecord
from slotbench.store import RunFolder, new_run_id, read
from tests.slotbench.support.calibrations import calibration

MakeFolder = Callable[..., RunFolder]
MakeTrial = Callable[[int], TrialRecord]


def test_a_run_id_holds_utc_time_scenario_and_six_digits() -> None:
    """Ids sort by time whatever the time zone, and are file names whatever the scenario."""
    now = datetime(2026, 11, 23, 8, 45, 1, tzinfo=timezone(timedelta(hours=2)))
    assert re.fullmatch(
        r"20261123T064501Z-quickstart-[0-9a-f]{6}", new_run_id("quickstart", now)
    )
    assert re.fullmatch(r"20261123T064501Z-a-b-[0-9a-f]{6}", new_run_id("../a /b", now))
    assert new_run_id("x", now) != new_run_id("x", now)


def test_a_new_folder_can_be_read_at_once(run: RunRecord, tmp_path: Path) -> None:
    """create() makes every missing folder, run.json and an empty trials.jsonl."""
    with RunFolder.create(tmp_path / "a" / "results", run) as folder:
        pass
    assert folder.path == tmp_path / "a" / "results" / run.run_id
    assert sorted(file.name for file in folder.path.iterdir()) == [
        "run.json",
        "trials.jsonl",
    ]
    stored = read(folder.path)
    assert (stored.run, stored.trials, stored.notes) == (run, (), ())


def test_each_trial_is_one_line(make_folder: MakeFolder) -> None:
    """trials.jsonl is JSON lines, in the order of the calls."""
    lines = (make_folder(3).path / "trials.jsonl").read_text().splitlines()
    assert [json.loads(line)["trial_id"] for line in lines] == ["t0000", "t0001", "t0002"]


def test_a_trial_is_synced_before_append_returns(
    make_folder: MakeFolder, make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole line is in the file when fsync is called, and fsync is called."""
    folder = make_folder()
    file = folder.path / "trials.jsonl"
    seen: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(file.read_bytes()))
    folder.append(make_trial(0))
    assert seen == [file.read_bytes()]
    assert seen[0].endswith(b"}\n")


def test_short_writes_are_carried_on(
    make_folder: MakeFolder, make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes seven bytes at a time still gets the whole line."""
    write = os.write
    folder = make_folder()
    monkeypatch.setattr(os, "write", lambda where, data: write(where, data[:7]))
    folder.append(make_trial(0))
    assert read(folder.path).trials == (make_trial(0),)


def test_a_run_cannot_be_created_twice(make_folder: MakeFolder, run: RunRecord) -> None:
    """An older run of the same id is never written over."""
    folder = make_folder(2)
    with pytest.raises(
        RecordError, match=r"^cannot make the results folder .* exists already"
    ):
        RunFolder.create(folder.path.parent, run)
    assert len(read(folder.path).trials) == 2


def test_a_results_folder_below_a_file_is_one_line(run: RunRecord, tmp_path: Path) -> None:
    """A folder that cannot be made names itself, the reason and the option (also as root)."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RecordError) as caught:
        RunFolder.create(file / "results", run)
    assert str(caught.value) == (
        f"cannot write to the results folder {file / 'results' / run.run_id}: "
        "Not a directory; make it writable or choose another with --results"
    )


def test_a_results_folder_that_is_a_file_is_one_line(
    run: RunRecord, tmp_path: Path
) -> None:
    """The file in the way is named, and is left alone."""
    file = tmp_path / "results"
    file.write_text("mine")
    with pytest.raises(RecordError, match=re.escape(f"{file} exists already; choose")):
        RunFolder.create(file, run)
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_results_folder_is_one_line(run: RunRecord, tmp_path: Path) -> None:
    """Permission denied is said with the path and what to do."""
    tmp_path.chmod(0o500)
    with pytest.raises(RecordError, match="Permission denied; make it writable"):
        RunFolder.create(tmp_path, run)


def test_a_full_disk_keeps_whole_lines(
    make_folder: MakeFolder, make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that fits half is taken back; the next trial is not glued to its rest."""
    folder = make_folder(2)
    write = os.write

    def fill(where: int, data: Any) -> int:
        write(where, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill)
        with pytest.raises(RecordError) as caught:
            folder.append(make_trial(2))
    assert str(caught.value) == (
        f"cannot record trial t0002 in {folder.path / 'trials.jsonl'}: No space left on "
        "device; the trials recorded before it are safe: 'slotbench run --resume "
        f"{folder.path}' goes on"
    )
    folder.append(make_trial(3))
    assert [trial.trial_id for trial in read(folder.path).trials] == [
        "t0000",
        "t0001",
        "t0003",
    ]


def test_an_interrupt_while_appending_keeps_whole_lines(
    make_folder: MakeFolder, make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C inside append leaves the trial out whole, so it may be appended again."""
    folder = make_folder(1)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            folder.append(make_trial(1))
    folder.append(make_trial(1))
    assert read(folder.path).trials == (make_trial(0), make_trial(1))


def test_appending_to_a_deleted_folder_is_an_error(
    make_folder: MakeFolder, make_trial: MakeTrial
) -> None:
    """A trial is never written to a file that has lost the trials before it."""
    folder = make_folder(1)
    (folder.path / "trials.jsonl").unlink()
    with pytest.raises(RecordError, match=r"trials\.jsonl was moved or deleted while"):
        folder.append(make_trial(1))
    assert not (folder.path / "trials.jsonl").exists()


def test_trials_are_not_added_to_another_runs_file(
    make_folder: MakeFolder, make_trial: MakeTrial
) -> None:
    """Somebody moved the folder away and made one of its name: neither gets the trial."""
    folder = make_folder(1)
    moved = folder.path.rename(folder.path.with_name("moved"))
    folder.path.mkdir()
    (folder.path / "trials.jsonl").touch()
    with pytest.raises(RecordError, match="the folder was replaced by another"):
        folder.append(make_trial(1))
    assert not (folder.path / "trials.jsonl").read_bytes()
    assert len((moved / "trials.jsonl").read_bytes().splitlines()) == 1


def test_another_runs_plan_is_not_replaced(
    make_folder: MakeFolder, run: RunRecord, tmp_path: Path
) -> None:
    """Nor by the last words of a run whose folder was moved away."""
    folder = make_folder(1)
    folder.path.rename(folder.path.with_name("moved"))
    folder.path.mkdir()
    (folder.path / "trials.jsonl").touch()
    (folder.path / "run.json").write_text("theirs")
    with pytest.raises(RecordError, match="the folder was replaced by another"):
        folder.replace_run(run)
    assert (folder.path / "run.json").read_text() == "theirs"


def test_a_line_that_lacks_only_its_end_is_kept(
    make_folder: MakeFolder, make_trial: MakeTrial
) -> None:
    """It was shown as a trial, so it stays one."""
    folder = make_folder(2)
    file = folder.path / "trials.jsonl"
    file.write_bytes(file.read_bytes()[:-1])
    shown = read(folder.path).trials
    folder.clear_up()
    folder.append(make_trial(2))
    assert read(folder.path).trials == (*shown, make_trial(2))


def test_two_cannot_write_one_run(make_folder: MakeFolder, make_trial: MakeTrial) -> None:
    """The second is told; the first goes on; when it has ended, the second may."""
    folder = make_folder(1)
    with pytest.raises(
        RecordError, match=r"^another process is measuring .*quickstart-3fa9c1: let it end"
    ):
        RunFolder(folder.path)
    folder.append(make_trial(1))
    folder.close()
    with RunFolder(folder.path) as again:
        again.append(make_trial(2))
    assert len(read(folder.path).trials) == 3


def test_the_lock_of_a_killed_process_is_gone(make_folder: MakeFolder) -> None:
    """A kill -9 leaves no stale lock: the run can be opened at once."""
    folder = make_folder(1)
    folder.close()
    path = folder.path
    program = (
        "import sys; from pathlib import Path; from slotbench.store import RunFolder;"
        "folder = RunFolder(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(RecordError, match="another process is measuring"):
            RunFolder(path)
        assert read(path).run.status == "complete"
        other.kill()
    RunFolder(path).close()


def test_opening_what_is_no_run_is_one_line(tmp_path: Path) -> None:
    """The folder is named, with what the system says."""
    with pytest.raises(RecordError, match=r"^cannot write to the run .*: No such file"):
        RunFolder(tmp_path / "nowhere")


@pytest.mark.parametrize("rest", [b'{"trial_id": "t00', b"x", b"\xff\x00"])
def test_half_a_line_of_a_killed_process_is_cleared_away(
    rest: bytes, make_folder: MakeFolder, make_trial: MakeTrial
) -> None:
    """So that the next trial is not glued to it; whole lines stay; so does a good file."""
    folder = make_folder(2)
    file = folder.path / "trials.jsonl"
    whole = file.read_bytes()
    folder.clear_up()
    assert file.read_bytes() == whole
    with file.open("ab") as end:
        end.write(rest)
    (folder.path / "run.json.123.tmp").write_text("{")
    folder.append_calibration(calibration("num_slots=2"))
    with (folder.path / "calibrations.jsonl").open("ab") as end:
        end.write(rest)
    folder.clear_up()
    folder.append(make_trial(2))
    folder.append_calibration(calibration("num_slots=2"))
    assert len(read(folder.path).trials) == 3
    assert len(read(folder.path).calibrations) == 2
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "calibrations.jsonl",
        "run.json",
        "trials.jsonl",
    ]


def test_who_may_read_one_file_may_read_all(
    make_folder: MakeFolder,
) -> None:
    """And none of them is a program."""
    folder = make_folder(1)
    folder.append_calibration(calibration("num_slots=2"))
    (mode,) = {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()}
    assert mode & 0o111 == 0


def test_replacing_leaves_one_new_file(make_folder: MakeFolder, run: RunRecord) -> None:
    """The new run.json is there, and nothing but it."""
    folder = make_folder(1)
    folder.replace_run(dataclasses.replace(run, status="interrupted"))
    assert read(folder.path).run.status == "interrupted"
    assert sorted(file.name for file in folder.path.iterdir()) == [
        "run.json",
        "trials.jsonl",
    ]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_crash_while_replacing_leaves_the_old_file(
    call: str, make_folder: MakeFolder, run: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed anywhere before the rename, run.json still reads as it was."""
    folder = make_folder(1)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, call, die)
        with pytest.raises(KeyboardInterrupt):
            folder.replace_run(dataclasses.replace(run, status="interrupted"))
    assert read(folder.path).run == run


def test_a_disk_error_while_replacing_says_what_is_safe(
    make_folder: MakeFolder, run: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old run.json stays, and the half-written one is cleared away."""
    folder = make_folder(1)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(
            RecordError, match=r"Input/output error; the old one and every tr"
        ):
            folder.replace_run(dataclasses.replace(run, status="interrupted"))
    assert read(folder.path).run == run
    assert sorted(file.name for file in folder.path.iterdir()) == [
        "run.json",
        "trials.jsonl",
    ]


def test_ids_of_now_sort_after_older_ones() -> None:
    """Names of runs are in the order of their times."""
    early, late = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 10))
    assert new_run_id("z", early) < new_run_id("a", late)
