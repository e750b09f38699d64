"""Names and writes shared by the store: JSON text of a record, durable file writes.

Knows nothing of what a record means.
"""

import contextlib
import dataclasses
import fcntl
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from slotbench.errors import RecordError
from slotbench.records import (
    CalibrationRecord,
    Diagnosis,
    PredictionCheck,
    ProfileRecord,
    ProfileTrial,
    Recommendation,
    RunRecord,
    SelfTest,
    SloRecord,
    SloTrial,
    TrialRecord,
    WhatIf,
)

RUN_FILE: Final = "run.json"
TRIALS_FILE: Final = "trials.jsonl"
CALIBRATIONS_FILE: Final = "calibrations.jsonl"
PROFILE_FILE: Final = "profile.json"
PASSES_FILE: Final = "passes.jsonl"
SLO_FILE: Final = "slo.json"
SEARCHED_FILE: Final = "searched.jsonl"

_LOCK_TRIES: Final = 25
_LOCK_RETRY_S: Final = 0.02


Record = (
    RunRecord
    | TrialRecord
    | CalibrationRecord
    | ProfileRecord
    | ProfileTrial
    | Diagnosis
    | PredictionCheck
    | Recommendation
    | SelfTest
    | WhatIf
    | SloRecord
    | SloTrial
)


def encode(record: Record, *, indent: int | None = None) -> bytes:
    """Give the JSON text of a record, in UTF-8, ending in a line feed.

    An int stays an int and a float a float: 1 is written "1", 1.0 is written "1.0".
    A lone surrogate (a path that is no UTF-8) is written as "?".

    Raises:
        RecordError: a number is NaN or infinite, or a value is no plain scalar; either
            is a defect of what made the record, named by its field.
    """
    data = dataclasses.asdict(record)
    separators = (",", ":") if indent is None else None
    try:
        text = json.dumps(
            data, allow_nan=False, ensure_ascii=False, indent=indent, separators=separators
        )
    except (TypeError, ValueError) as error:
        field = next(_unwritable(data, ""), "")
        raise RecordError(
            f"a {type(record).__name__} cannot be written: {field or error}"
        ) from error
    return (text + "\n").encode("utf-8", "replace")


def _unwritable(value: Any, path: str) -> Iterator[str]:
    """Name every place under ``value`` that JSON cannot hold."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _unwritable(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _unwritable(item, f"{path}[{index}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{path} is {value}"
    elif value is not None and not isinstance(value, bool | int | str):
        yield f"{path} is a {type(value).__name__}"


def write_fully(descriptor: int, data: bytes) -> None:
    """Write all of ``data`` and wait until it is on the disk.

    Raises:
        OSError: the disk refused; part of the data may have been written.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of ``path``: readers see the old file or the new one.

    Raises:
        OSError: the disk refused; the old file is as it was.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write_fully(descriptor, data)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_json(text: bytes) -> bool:
    """Whether the text is one whole JSON value."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def lock(descriptor: int) -> None:
    """Lock an open file until it is closed; the system does so when the process ends.

    Waits up to half a second, since a reader takes the lock for a moment, see `is_locked`.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file system has no locks.
    """
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_RETRY_S)
        else:
            return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(path: Path) -> bool:
    """Whether a process holds the file by `lock`; False where that cannot be known."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def reason(error: OSError) -> str:
    """Say why the operating system refused, without a path or a number."""
    return error.strerror or type(error).__name__
