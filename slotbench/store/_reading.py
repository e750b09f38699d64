"""Reading what lies in a folder of records, and saying what is wrong with it.

A head (run.json) is one JSON object, with a ``schema_version``; lines (trials.jsonl) are one JSON
object each. What a record means is not known here, but for its type.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from slotbench.errors import RecordError
from slotbench.records import Scenario, TrialRecord
from slotbench.store._files import PROFILE_FILE, RUN_FILE, SLO_FILE, reason

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

OTHERS: Final = {RUN_FILE: "a run", PROFILE_FILE: "a profile", SLO_FILE: "an SLO search"}
"""Head → what lies in a folder that has it."""


def check_is_kept(folder: Path, head: str, lines: str, noun: str) -> None:
    """Refuse a folder that holds no head.

    Args:
        folder: to be read.
        head: name of its file.
        lines: name of the other.
        noun: what the folder should be.

    Raises:
        RecordError: with what it is instead.
    """
    if not folder.exists():
        raise RecordError(f"no results folder at {folder}")
    if not folder.is_dir():
        raise RecordError(f"{folder} is not a {noun}: name the folder that holds {head}")
    if (folder / head).exists():
        return
    try:
        is_empty = not any(folder.iterdir())
        kept = sorted(file.parent.name for file in folder.glob(f"*/{head}"))
    except OSError as error:
        raise RecordError(f"cannot read {folder}: {reason(error)}") from error
    if is_empty:
        raise RecordError(f"{folder} is empty: a {noun} holds {head} and {lines}")
    for other, what in OTHERS.items():
        if other != head and (folder / other).is_file():
            raise RecordError(
                f"{folder} is not a {noun}: it holds no {head}, but {what}: "
                f"'slotbench show {folder}' shows it"
            )
    hint = f"; name a {noun} in it, such as {folder / kept[-1]}" if kept else ""
    raise RecordError(f"{folder} is not a {noun}: it holds no {head}{hint}")


def read_bytes(file: Path) -> bytes:
    """Read a file whole; a RecordError says why not."""
    try:
        # A pipe would be waited for, and a device read, without end.
        if file.exists() and not file.is_file():
            raise RecordError(f"cannot read {file}: it is no plain file")
        return file.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot read {file}: {reason(error)}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def parse_json(text: bytes, place: str) -> Any:
    """Parse JSON; a RecordError says where it ends to be JSON."""
    try:
        return json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise RecordError(f"{place} is damaged: {error.msg} at {where}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{place} is damaged: {error}") from error


def check_schema(data: Any, file: Path, newest: int) -> None:
    """Refuse a version that this slotbench does not read, by a RecordError."""
    version = data.get("schema_version") if isinstance(data, dict) else None
    if type(version) is not int:
        raise RecordError(f"{file} is damaged: it names no schema_version")
    if version > newest:
        raise RecordError(
            f"{file} has schema version {version}, this slotbench reads up to "
            f"{newest}: upgrade slotbench"
        )
    if version < 1:
        raise RecordError(f"{file} is damaged: schema version {version} never existed")


def validate(kind: type[T], text: bytes, place: str) -> T:
    """Make a record of JSON text; a RecordError names the field that is none."""
    from pydantic import ValidationError

    try:
        known: type = kind  # a TypeVar is no key of a cache to mypy
        record: T = _adapter(known).validate_json(text, strict=True)
    except ValidationError as error:
        parse_json(text, place)  # says better than pydantic where JSON ends to be JSON
        problems = error.errors(include_url=False, include_input=False)
        field = ".".join(str(part) for part in problems[0]["loc"]) or "the whole"
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise RecordError(
            f"{place} is damaged: {field}: {problems[0]['msg']}{more}"
        ) from error
    return record


@cache
def _adapter(kind: type) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def read_head(
    file: Path, kind: type[T], newest: int, problem: Callable[[Any, T], str]
) -> T:
    """Read a head.

    Args:
        file: it.
        kind: of its record.
        newest: schema version that is known.
        problem: says what makes no sense in it, given the parsed JSON and the record; or "".

    Raises:
        RecordError: it cannot be read, is damaged, or is of a later slotbench.
    """
    text = read_bytes(file)
    data = parse_json(text, str(file))
    check_schema(data, file, newest)
    record = validate(kind, text, str(file))
    refuse(problem(data, record), str(file))
    return record


def check_trials(
    scenario: Scenario, trials: Sequence[TrialRecord], head: str, file: Path
) -> None:
    """See that every trial is of a scenario, and is in the file once.

    Args:
        scenario: whose cells and contenders there are.
        trials: one a line.
        head: name of the file that says so, for messages.
        file: that the trials are in.

    Raises:
        RecordError: with the line that is damaged.
    """
    cells = {cell.name for cell in scenario.cells}
    labels = {contender.label for contender in scenario.contenders}
    lines: dict[str, int] = {}
    for number, trial in enumerate(trials, start=1):
        problem = ""
        if trial.trial_id in lines:
            problem = f"trial {trial.trial_id!r} is on line {lines[trial.trial_id]} already"
        elif trial.cell not in cells:
            problem = f"{head} has no cell {trial.cell!r}"
        elif trial.contender not in labels:
            problem = f"{head} has no contender {trial.contender!r}"
        refuse(problem, f"{file} line {number}")
        lines[trial.trial_id] = number


def read_lines(
    file: Path, read_one: Callable[[bytes, str], T]
) -> tuple[tuple[T, ...], tuple[str, ...]]:
    """Read a file of lines.

    Args:
        file: that the lines are in.
        read_one: makes a record of a line, given its place for messages.

    Returns:
        The records; and a note, if a last line was cut short while being written: left out.

    Raises:
        RecordError: there is no such file, or a line is damaged.
    """
    if not file.exists():
        raise RecordError(f"{file.parent} is damaged: it holds no {file.name}")
    # Not splitlines(): a text may hold U+2028, and only a line feed ends a record.
    *lines, rest = read_bytes(file).split(b"\n")
    records = [
        read_one(line, f"{file} line {number}")
        for number, line in enumerate(lines, start=1)
    ]
    if not rest:
        return tuple(records), ()
    try:
        records.append(read_one(rest, f"{file} line {len(lines) + 1}"))
    except RecordError:
        note = f"{file}: line {len(lines) + 1} was cut short while being written; left out"
        return tuple(records), (note,)
    return tuple(records), ()


def refuse(problem: str, place: str) -> None:
    """Raise a RecordError, if there is a problem."""
    if problem:
        raise RecordError(f"{place} is damaged: {problem}")


def state(status: str, *, is_open: bool) -> str:
    """Say "complete", "interrupted", "running", or "killed": begun, no end, and nobody at it."""
    if is_open and status != "complete":
        return "running"
    return "killed" if status == "running" else status
