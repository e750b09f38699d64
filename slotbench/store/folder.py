"""The folder of one run, or profile, while it is measured.

A run is ``results/<run_id>/{run.json, trials.jsonl, calibrations.jsonl}``, a profile the same
with profile.json and passes.jsonl, a search with slo.json and searched.jsonl. What has been recorded survives a kill at any moment: a trial is one line appended and
fsynced as it ends, and run.json is only ever replaced whole. One process at a time writes: it
holds a lock (flock) on the lines, which the system takes from it however it ends.
Reading is `store.reader`.
"""

import contextlib
import errno
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Self

from slotbench.errors import RecordError
from slotbench.records import (
    CalibrationRecord,
    ProfileRecord,
    ProfileTrial,
    RunRecord,
    SloRecord,
    SloTrial,
    TrialRecord,
)
from slotbench.store._files import (
    CALIBRATIONS_FILE,
    PASSES_FILE,
    PROFILE_FILE,
    RUN_FILE,
    SEARCHED_FILE,
    SLO_FILE,
    TRIALS_FILE,
    Record,
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


class _Folder:
    """A folder of a head, replaced whole, and of lines, appended; a context manager.

    Attributes:
        path: of the folder.
    """

    _HEAD: ClassVar[str]
    _LINES: ClassVar[str]
    _NOUN: ClassVar[str] = "run"

    def __init__(self, path: Path) -> None:
        """Open and lock the folder.

        Raises:
            RecordError: there is none, it cannot be written, or another process has it open.
        """
        self.path = path
        try:
            self._held = (path / self._LINES).open("r+b", buffering=0)  # until close()
        except OSError as error:
            raise RecordError(
                f"cannot write to the {self._NOUN} {path}: {reason(error)}"
            ) from error
        try:
            lock(self._held.fileno())
        except BlockingIOError:
            self.close()
            raise RecordError(
                f"another process is measuring {path}: let it end, or stop it, before the "
                f"{self._NOUN} is resumed"
            ) from None
        except OSError:
            pass  # a file system without locks: as safe as it can be there

    @classmethod
    def _create(cls, path: Path, head: Record) -> Self:
        """Make the folder, an empty file of lines and the head, in this order.

        So a folder that has a head can always be read.

        Raises:
            RecordError: the folder exists already or cannot be written.
        """
        results_dir = path.parent
        text = encode(head, indent=1)
        try:
            results_dir.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            (path / cls._LINES).touch()
            folder = cls(path)
            replace_file(path / cls._HEAD, text)
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

    def _append(self, record: Record, what: str, advice: str, name: str = "") -> None:
        """Add one line; when this returns, it is on the disk.

        Args:
            record: the line.
            what: it is, for messages.
            advice: what to do where the disk refuses.
            name: of the file; "" is that of the lines. Another one is made where it is missing.

        Raises:
            RecordError: the disk refused. The file is cut back to its whole lines.
        """
        path = self.path / (name or self._LINES)
        line = encode(record)
        try:
            # No O_CREAT for the lines: a folder that was moved or deleted meanwhile is an error.
            lines = self.path / self._LINES
            is_new = bool(name) and not path.exists()
            self._check_ours(lines.stat())
            descriptor = os.open(
                path, os.O_WRONLY | os.O_APPEND | (os.O_CREAT if is_new else 0), 0o666
            )
            try:
                self._check_ours(lines.stat() if name else os.fstat(descriptor))
                if is_new:
                    sync_folder(self.path)
                _append_or_restore(descriptor, line)
            finally:
                os.close(descriptor)
        except FileNotFoundError as error:
            raise RecordError(
                f"cannot record {what}: {path} was moved or deleted while the "
                f"{self._NOUN} went on; move it back, or measure anew"
            ) from error
        except OSError as error:
            raise RecordError(
                f"cannot record {what} in {path}: {reason(error)}; the trials "
                f"recorded before it are safe{advice}"
            ) from error

    def _replace_head(self, head: Record) -> None:
        """Put a new head in place of the old one, atomically.

        Raises:
            RecordError: the disk refused. The old head and all lines are safe.
        """
        path = self.path / self._HEAD
        text = encode(head, indent=1)
        try:
            self._check_ours((self.path / self._LINES).stat())
            replace_file(path, text)
        except OSError as error:
            raise RecordError(
                f"cannot replace {path}: {reason(error)}; the old one and every trial "
                "recorded so far are safe"
            ) from error

    def clear_up(self) -> None:
        """Take away what a killed process left half written: a last line, a new head.

        Raises:
            RecordError: the disk refused.
        """
        try:
            _cut_to_lines(self.path / self._LINES, self._held.fileno())
            calibrations = self.path / CALIBRATIONS_FILE
            if calibrations.exists():
                with calibrations.open("r+b", buffering=0) as file:
                    _cut_to_lines(calibrations, file.fileno())
            for left in self.path.glob(f"{self._HEAD}.*.tmp"):
                left.unlink()
        except OSError as error:
            raise RecordError(
                f"cannot write to the {self._NOUN} {self.path}: {reason(error)}"
            ) from error

    def _check_ours(self, found: os.stat_result) -> None:
        """Refuse to write where another folder has taken our name."""
        if not os.path.samestat(found, os.fstat(self._held.fileno())):
            raise OSError(errno.ESTALE, "the folder was replaced by another")


class RunFolder(_Folder):
    """A run's folder, open for writing by the process that measures."""

    _HEAD = RUN_FILE
    _LINES = TRIALS_FILE

    @classmethod
    def create(cls, results_dir: Path, run: RunRecord) -> "RunFolder":
        """Make the folder ``results_dir / run_id``.

        Raises:
            RecordError: it exists already or cannot be written.
        """
        return cls._create(results_dir / run.run_id, run)

    def append(self, trial: TrialRecord) -> None:
        """Add one trial; when this returns, it is on the disk.

        Raises:
            RecordError: the disk refused. The file is cut back to its whole lines.
        """
        self._append(trial, f"trial {trial.trial_id}", self._advice)

    def append_calibration(self, calibration: CalibrationRecord) -> None:
        """Add one calibration; when this returns, it is on the disk.

        Raises:
            RecordError: the disk refused. The file is cut back to its whole lines.
        """
        what = f"the calibration of {calibration.cell} in round {calibration.round + 1}"
        self._append(calibration, what, self._advice, CALIBRATIONS_FILE)

    @property
    def _advice(self) -> str:
        return f": 'slotbench run --resume {self.path}' goes on"

    def replace_run(self, run: RunRecord) -> None:
        """Put a new run.json in place of the old one, atomically.

        Raises:
            RecordError: the disk refused. The old run.json and all trials are safe.
        """
        self._replace_head(run)


class ProfileFolder(_Folder):
    """A profile's folder, open for writing by the process that measures."""

    _HEAD = PROFILE_FILE
    _LINES = PASSES_FILE
    _NOUN = "profile"

    @classmethod
    def create(cls, results_dir: Path, profile: ProfileRecord) -> "ProfileFolder":
        """Make the folder ``results_dir / profile_id``.

        Raises:
            RecordError: it exists already or cannot be written.
        """
        return cls._create(results_dir / profile.profile_id, profile)

    def append(self, one: ProfileTrial) -> None:
        """Add one trial; when this returns, it is on the disk.

        Raises:
            RecordError: the disk refused. The file is cut back to its whole lines.
        """
        self._append(one, f"trial {one.trial.trial_id}", "")

    def replace_profile(self, profile: ProfileRecord) -> None:
        """Put a new profile.json in place of the old one, atomically.

        Raises:
            RecordError: the disk refused. The old profile.json and all trials are safe.
        """
        self._replace_head(profile)


class SloFolder(_Folder):
    """A search's folder, open for writing by the process that measures."""

    _HEAD = SLO_FILE
    _LINES = SEARCHED_FILE
    _NOUN = "search"

    @classmethod
    def create(cls, results_dir: Path, record: SloRecord) -> "SloFolder":
        """Make the folder ``results_dir / slo_id``.

        Raises:
            RecordError: it exists already or cannot be written.
        """
        return cls._create(results_dir / record.slo_id, record)

    def append(self, one: SloTrial) -> None:
        """Add one trial; when this returns, it is on the disk.

        Raises:
            RecordError: the disk refused. The file is cut back to its whole lines.
        """
        advice = f": 'slotbench slo --resume {self.path}' goes on"
        self._append(one, f"trial {one.trial.trial_id}", advice)

    def replace_slo(self, record: SloRecord) -> None:
        """Put a new slo.json in place of the old one, atomically.

        Raises:
            RecordError: the disk refused. The old slo.json and all trials are safe.
        """
        self._replace_head(record)


def _cut_to_lines(path: Path, descriptor: int) -> None:
    """Take away a last line that was cut short; end one that lacks its line feed alone."""
    text = path.read_bytes()
    whole = text.rfind(b"\n") + 1
    if is_json(text[whole:]):
        os.lseek(descriptor, 0, os.SEEK_END)
        write_fully(descriptor, b"\n")
    elif whole < len(text):
        os.ftruncate(descriptor, whole)
        os.fsync(descriptor)


def _append_or_restore(descriptor: int, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    try:
        write_fully(descriptor, line)
    except BaseException:  # also Ctrl-C: a trial is recorded whole, or not at all
        # Half a line here would glue the next trial to it and damage both.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise
