"""Writes what was made of a run or profile, and never over a record."""

from pathlib import Path
from typing import Final

from slotbench.errors import RecordError
from slotbench.store._files import (
    PASSES_FILE,
    PROFILE_FILE,
    RUN_FILE,
    SEARCHED_FILE,
    SLO_FILE,
    TRIALS_FILE,
    reason,
    replace_file,
)

_RECORDS: Final = {
    frozenset({RUN_FILE, TRIALS_FILE}): "run",
    frozenset({PROFILE_FILE, PASSES_FILE}): "profile",
    frozenset({SLO_FILE, SEARCHED_FILE}): "search",
}


def check_free(path: Path, *, force: bool, option: str = "-o") -> None:
    """Refuse to write over what is there.

    Args:
        path: the file to be.
        force: a plain file may be replaced, unless it is a run's or profile's record.
        option: the one that named it, for what is said.

    Raises:
        RecordError: something is in its place; it says what to do.
    """
    try:
        if path.is_dir():
            raise RecordError(f"{path} is a folder: name a file in it with {option}")
        if path.exists() and not path.is_file():
            # Replacing /dev/null would be thorough.
            raise RecordError(
                f"{path} is no plain file: choose another place with {option}"
            )
        for files, what in _RECORDS.items():
            if path.name in files and path.exists():
                raise RecordError(
                    f"{path} is a {what}'s record, which nothing replaces: choose another "
                    f"place with {option}"
                )
        if not force and path.exists():
            raise RecordError(
                f"{path} exists already; --force replaces it, {option} writes elsewhere"
            )
    except OSError as error:
        raise RecordError(
            f"cannot look at {path}: {reason(error)}; choose another place with {option}"
        ) from error


def write_file(path: Path, data: bytes, *, force: bool, option: str = "-o") -> None:
    """Write a file whole, or leave what was there; folders above it are made.

    Args:
        path: the file to be.
        data: all of it.
        force: as of `check_free`.
        option: likewise.

    Raises:
        RecordError: as `check_free`, or it cannot be written.
    """
    check_free(path, force=force, option=option)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
    except OSError as error:
        # mkdir(exist_ok=True) says "File exists" of a file where a folder must be.
        is_file = isinstance(error, FileExistsError)
        why = f"{error.filename} is no folder" if is_file else reason(error)
        raise RecordError(
            f"cannot write {path}: {why}; choose another place with {option}"
        ) from error
