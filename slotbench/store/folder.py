"""The folder of one run while it is measured: ``results/<run_id>/{run.json, trials.jsonl}``.

What has been recorded survives a kill at any moment: a trial is one line appended and
fsynced as it ends, and run.json is only ever replaced whole. One process at a time writes: it
holds a lock (flock) on trials.jsonl, which the system takes from it however it ends.
Reading is `store.reader`.
"""

import contextlib
import errno
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from slotbench.errors import RecordError
from slotbench.records import RunRecord, TrialRecord
from slotbench.store._files import (
    RUN_FILE,
    TRIALS_FILE,
    encode,
    is_json,
    lock,
    reason,
    replace_file,
    sync_folder,
    write_fully,
)


def new_run_id(scenario_name: str, now: datetime) -> str:
    """Name a run "20261123T064501Z-quickstart-3fa9c1": names sort by time.

    Args:
        scenario_name: anything but letters, digits, "_" and "." becomes "-".
        now: with a time zone; written in UTC.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = re.sub(r"[^\w.]+", "-", scenario_name, flags=re.ASCII).strip("-.") or "scenario"
    return f"{stamp}-{name}-{secrets.token_hex(3)}"


def check_writable(results_dir: Path) -> None:
    """Refuse a results folder that cannot be made or written, before anything is measured.

    Raises:
        RecordError: it, or the nearest folder above it that exists, is no folder or is
            closed to us.
    """
    nearest = results_dir.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return
    problem = "is no folder" if not nearest.is_dir() else "cannot be written"
    shown = results_dir if nearest == results_dir.absolute() else nearest.name or nearest
    raise RecordError(
        f"cannot write to the results folder {results_dir}: {shown} {problem}; "
        "make it writable or choose another with --results"
    )


class RunFolder:
    """A run's folder, open for writing by the process that measures; a context manager.

    Attributes:
        path: ``results_dir / run_id``.
    """

    def __init__(self, path: Path) -> None:
        """Open and lock the folder of a run.

        Raises:
            RecordError: there is none, it cannot be written, or another process has it open.
        """
        self.path = path
        try:
            self._held = (path / TRIALS_FILE).open("r+b", buffering=0)  # until close()
        except OSError as error:
            raise RecordError(f"cannot write to the run {path}: {reason(error)}") from error
        try:
            lock(self._held.fileno())
        except BlockingIOError:
            self.close()
            raise RecordError(
                f"another process is measuring {path}: let it end, or stop it, before the run "
                "is resumed"
            ) from None
        except OSError:
            pass  # a file system without locks: as safe as it can be there

    @classmethod
    def create(cls, results_dir: Path, run: RunRecord) -> "RunFolder":
        """Make the folder, an empty trials.jsonl and run.json, in this order.

        So a folder that has a run.json can always be read.

        Raises:
            RecordError: the folder exists already or cannot be written.
        """
        path = results_dir / run.run_id
        text = encode(run, indent=1)
        try:
            results_dir.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            (path / TRIALS_FILE).touch()
            folder = cls(path)
            replace_file(path / RUN_FILE, text)
            sync_folder(results_dir)
        except FileExistsError as error:
            # mkdir(exist_ok=True) ends here too where results_dir is a file.
            raise RecordError(
                f"cannot make the results folder {path}: {error.filename or path} exists "
                "already; choose another place with --results"
            ) from error
        except OSError as error:
            raise RecordError(
                f"cannot write to the results folder {path}: {reason(error)}; "
                "make it writable or choose another with --results"
            ) from error
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the folder; closing again does nothing."""
        self._held.close()

    def clear_up(self) -> None:
        """Take away what a killed process left half written: the last line, a new run.json.

        Raises:
            RecordError: the disk refused.
        """
        path = self.path / TRIALS_FILE
        try:
            size = path.stat().st_size
            text = path.read_bytes()
            whole = text.rfind(b"\n") + 1
            if is_json(text[whole:]):  # only its line feed was not written
                self._held.seek(0, os.SEEK_END)
                write_fully(self._held.fileno(), b"\n")
            elif whole < size:
                os.ftruncate(self._held.fileno(), whole)
                os.fsync(self._held.fileno())
            for left in self.path.glob(f"{RUN_FILE}.*.tmp"):
                left.unlink()
        except OSError as error:
            raise RecordError(
                f"cannot write to the run {self.path}: {reason(error)}"
            ) from error

    def append(self, trial: TrialRecord) -> None:
        """Add one trial; when this returns, it is on the disk.

        Raises:
            RecordError: the disk refused. The file is cut back to its whole lines.
        """
        path = self.path / TRIALS_FILE
        line = encode(trial)
        try:
            # No O_CREAT: a folder that was moved or deleted meanwhile is an error.
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
            try:
                self._check_ours(os.fstat(descriptor))
                _append_or_restore(descriptor, line)
            finally:
                os.close(descriptor)
        except FileNotFoundError as error:
            raise RecordError(
                f"cannot record trial {trial.trial_id}: {path} was moved or deleted while the run "
                "went on; move it back, or measure anew"
            ) from error
        except OSError as error:
            raise RecordError(
                f"cannot record trial {trial.trial_id} in {path}: {reason(error)}; the trials "
                f"recorded before it are safe: 'slotbench run --resume {path.parent}' goes on"
            ) from error

    def replace_run(self, run: RunRecord) -> None:
        """Put a new run.json in place of the old one, atomically.

        Raises:
            RecordError: the disk refused. The old run.json and all trials are safe.
        """
        path = self.path / RUN_FILE
        text = encode(run, indent=1)
        try:
            self._check_ours((self.path / TRIALS_FILE).stat())
            replace_file(path, text)
        except OSError as error:
            raise RecordError(
                f"cannot replace {path}: {reason(error)}; the old one and every trial "
                "recorded so far are safe"
            ) from error

    def _check_ours(self, found: os.stat_result) -> None:
        """Refuse to write where another folder has taken our name."""
        if not os.path.samestat(found, os.fstat(self._held.fileno())):
            raise OSError(errno.ESTALE, "the folder was replaced by another")


def _append_or_restore(descriptor: int, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    try:
        write_fully(descriptor, line)
    except BaseException:  # also Ctrl-C: a trial is recorded whole, or not at all
        # Half a line here would glue the next trial to it and damage both.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise
