"""From recorded runs to files that other tools read; measures nothing, prints nothing.

Every module ``as_<format>.py`` of this folder is a format ("_" in the file's name is "-"
in the format's). It has ``SUMMARY``, one line for people; ``DEFAULT_NAME``, what the target
is called where nobody says, with ``{run_id}`` in it; and ``render(stored) -> Rendered``.
Adding a format is adding a file. Its imports of pandas, pyperf and the like stand inside
functions, since ``slotbench --help`` reads every format's ``SUMMARY``.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from slotbench.errors import EXIT_INVALID, RecordError, SlotbenchError

if TYPE_CHECKING:
    from slotbench.store import StoredRun

__all__ = ["Export", "InvalidRunError", "available", "export", "summary"]

_PREFIX: Final = "as_"


class InvalidRunError(SlotbenchError):
    """Every trial of the run is INVALID: no number of it may leave slotbench."""

    exit_code = EXIT_INVALID


@dataclass(frozen=True, slots=True)
class Export:
    """What was written.

    Attributes:
        paths: the files, sorted.
        notes: which trials are in them, which were left out and why; for people.
    """

    paths: tuple[Path, ...]
    notes: tuple[str, ...]


def available() -> tuple[str, ...]:
    """Names of all formats, sorted: benchfmt, csv, …, pyperf."""
    return tuple(
        sorted(
            module.name.removeprefix(_PREFIX).replace("_", "-")
            for module in pkgutil.iter_modules(__path__)
            if module.name.startswith(_PREFIX)
        )
    )


def summary(name: str) -> str:
    """What the format is good for, in one line.

    Raises:
        SlotbenchError: no such format; the nearest names are offered.
    """
    return str(_module(name).SUMMARY)


def export(
    stored: "StoredRun", name: str, target: Path | None = None, *, force: bool = False
) -> Export:
    """Write a recorded run in a format.

    Args:
        stored: the run, as `slotbench.store.read` gives it.
        name: of the format.
        target: the file or folder to write; None is the format's default name in the
            current folder. Folders above it are made.
        force: replace files that exist. Other files of a folder stay.

    Raises:
        SlotbenchError: no such format, or a library that it needs is not installed.
        RecordError: nothing in the run can be used, the target exists or cannot be
            written, or a file of a record is in its place.
        InvalidRunError: every trial is INVALID.
    """
    from slotbench.exports._trials import usable_trials
    from slotbench.store.output import write_file

    module = _module(name)
    if not usable_trials(stored):
        raise _nothing_usable(stored)
    rendered = module.render(stored)
    place = target or Path(_default_name(module, stored))
    files = {_path(place, end): data for end, data in rendered.files.items()}
    _check_free(name, place, files, force=force)
    for path, data in files.items():
        write_file(path, data, force=force)
    return Export(tuple(sorted(files)), rendered.notes)


def _module(name: str) -> ModuleType:
    known = available()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.4) or known
        raise SlotbenchError(f"unknown format {name!r}: did you mean {', '.join(near)}?")
    return importlib.import_module(f"{__name__}.{_PREFIX}{name.replace('-', '_')}")


def _nothing_usable(stored: "StoredRun") -> SlotbenchError:
    trials, where = stored.trials, stored.run.run_id
    if not trials:
        return RecordError(f"{where} holds no trials yet: there is nothing to export")
    if all(trial.is_invalid for trial in trials):
        return InvalidRunError(
            f"every trial of {where} is INVALID: there is no number to export; "
            "'slotbench compare' says why"
        )
    return RecordError(
        f"no trial of {where} gave a number to export: 'slotbench compare' says why"
    )


def _default_name(module: ModuleType, stored: "StoredRun") -> str:
    from slotbench.exports._text import file_name

    return str(module.DEFAULT_NAME).format(run_id=file_name(stored.run.run_id))


def _path(target: Path, end: str) -> Path:
    """Put what a format calls one of its files behind the target's path."""
    suffix = Path(end).suffix
    # Of a pair of files, "-o bench.json" names "bench-….json" and not "bench.json-….json".
    if end.startswith("-") and target.suffix == suffix:
        target = target.with_suffix("")
    return Path(f"{target}{end}")


def _check_free(name: str, target: Path, files: Iterable[Path], *, force: bool) -> None:
    """Refuse to write over what is there, before anything is written."""
    from slotbench.store._files import reason
    from slotbench.store.output import check_free

    paths = list(files)
    in_folder = all(target in path.parents for path in paths)
    try:
        if in_folder and target.exists():
            if not target.is_dir():
                raise RecordError(
                    f"{target} is a file, and {name} writes a folder: choose another with -o"
                )
            if not force and any(target.iterdir()):
                raise RecordError(
                    f"the folder {target} is not empty; --force replaces files of the same "
                    "names in it, -o writes elsewhere"
                )
    except OSError as error:
        raise RecordError(
            f"cannot look at {target}: {reason(error)}; choose another place with -o"
        ) from error
    if not in_folder and target.is_dir():
        raise RecordError(f"{target} is a folder: name a file in it with -o")
    for path in paths:
        check_free(path, force=force)
