"""Reads a run back: what was written comes back equal, or one line says what is damaged.

pydantic checks the plain dataclasses strictly, so 1 stays an int, 1.0 a float and true a
bool. Fields that this version does not know are ignored; an unknown schema is refused.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from slotbench.errors import RecordError
from slotbench.records import SCHEMA_VERSION, RunRecord, TrialRecord
from slotbench.store._files import RUN_FILE, TRIALS_FILE, is_locked, reason
from slotbench.store._sense import ODD, run_problem, trial_problem

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Record = TypeVar("Record", RunRecord, TrialRecord)


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it lies on disk.

    Attributes:
        path: the run's folder.
        trials: in the order recorded; also failed and INVALID ones and older attempts.
        notes: for people: what is missing or was left out. Empty for a complete run.
        is_open: a process is measuring it.
    """

    path: Path
    run: RunRecord
    trials: tuple[TrialRecord, ...]
    notes: tuple[str, ...] = ()
    is_open: bool = False

    @property
    def state(self) -> str:
        """Say "complete", "interrupted", "running", or "killed": begun, no end, and nobody at it."""
        if self.is_open and self.run.status != "complete":
            return "running"
        return "killed" if self.run.status == "running" else self.run.status


def read(path: str | Path) -> StoredRun:
    """Read the run in a folder.

    Args:
        path: the folder, or its run.json.

    Raises:
        RecordError: it is no run, its schema is unknown, or a file is damaged. Only a last
            line of trials.jsonl that was cut short while being written is forgiven: it
            is left out, with a note.
    """
    folder = Path(path)
    if folder.name == RUN_FILE:
        folder = folder.parent
    run = _read_run(folder)
    trials, notes = _read_trials(folder / TRIALS_FILE)
    _check_trials(run, trials, folder / TRIALS_FILE)
    is_open = run.status != "complete" and is_locked(folder / TRIALS_FILE)
    notes += _notes_on_status(folder, run, len(trials), is_open)
    return StoredRun(folder, run, trials, notes, is_open)


def _read_run(folder: Path) -> RunRecord:
    _check_is_run(folder)
    file = folder / RUN_FILE
    text = _read_bytes(file)
    data = _parse_json(text, str(file))
    _check_schema(data, file)
    run = _validate(_run_adapter(), text, str(file))
    _refuse(run_problem(data, run), str(file))
    return run


def _check_is_run(folder: Path) -> None:
    if not folder.exists():
        raise RecordError(f"no results folder at {folder}")
    if not folder.is_dir():
        raise RecordError(f"{folder} is not a run: name the folder that holds {RUN_FILE}")
    if (folder / RUN_FILE).exists():
        return
    try:
        is_empty = not any(folder.iterdir())
        runs = sorted(file.parent.name for file in folder.glob(f"*/{RUN_FILE}"))
    except OSError as error:
        raise RecordError(f"cannot read {folder}: {reason(error)}") from error
    if is_empty:
        raise RecordError(f"{folder} is empty: a run holds {RUN_FILE} and {TRIALS_FILE}")
    hint = f"; name a run in it, such as {folder / runs[-1]}" if runs else ""
    raise RecordError(f"{folder} is not a run: it holds no {RUN_FILE}{hint}")


def _read_bytes(file: Path) -> bytes:
    try:
        # A pipe would be waited for, and a device read, without end.
        if file.exists() and not file.is_file():
            raise RecordError(f"cannot read {file}: it is no plain file")
        return file.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot read {file}: {reason(error)}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _parse_json(text: bytes, place: str) -> Any:
    try:
        return json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise RecordError(f"{place} is damaged: {error.msg} at {where}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{place} is damaged: {error}") from error


def _check_schema(data: Any, file: Path) -> None:
    version = data.get("schema_version") if isinstance(data, dict) else None
    if type(version) is not int:
        raise RecordError(f"{file} is damaged: it names no schema_version")
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{file} has schema version {version}, this slotbench reads up to "
            f"{SCHEMA_VERSION}: upgrade slotbench"
        )
    if version < 1:
        raise RecordError(f"{file} is damaged: schema version {version} never existed")


@cache
def _run_adapter() -> "TypeAdapter[RunRecord]":
    from pydantic import TypeAdapter

    return TypeAdapter(RunRecord)


@cache
def _trial_adapter() -> "TypeAdapter[TrialRecord]":
    from pydantic import TypeAdapter

    return TypeAdapter(TrialRecord)


def _validate(adapter: "TypeAdapter[Record]", text: bytes, place: str) -> Record:
    from pydantic import ValidationError

    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        _parse_json(text, place)  # says better than pydantic where JSON ends to be JSON
        problems = error.errors(include_url=False, include_input=False)
        field = ".".join(str(part) for part in problems[0]["loc"]) or "the whole"
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise RecordError(
            f"{place} is damaged: {field}: {problems[0]['msg']}{more}"
        ) from error


def _read_trials(file: Path) -> tuple[tuple[TrialRecord, ...], tuple[str, ...]]:
    if not file.exists():
        raise RecordError(f"{file.parent} is damaged: it holds no {TRIALS_FILE}")
    # Not splitlines(): a text may hold U+2028, and only a line feed ends a record.
    *lines, rest = _read_bytes(file).split(b"\n")
    trials = [_read_trial(line, file, number) for number, line in enumerate(lines, start=1)]
    if not rest:
        return tuple(trials), ()
    try:
        trials.append(_read_trial(rest, file, len(lines) + 1))
    except RecordError:
        note = f"{file}: line {len(lines) + 1} was cut short while being written; left out"
        return tuple(trials), (note,)
    return tuple(trials), ()


def _read_trial(line: bytes, file: Path, number: int) -> TrialRecord:
    place = f"{file} line {number}"
    # Parsed a second time only where a look is needed that pydantic does not give.
    data = _parse_json(line, place) if ODD.search(line) else None
    trial = _validate(_trial_adapter(), line, place)
    _refuse(trial_problem(data, trial), place)
    return trial


def _refuse(problem: str, place: str) -> None:
    if problem:
        raise RecordError(f"{place} is damaged: {problem}")


def _check_trials(run: RunRecord, trials: tuple[TrialRecord, ...], file: Path) -> None:
    """See that every trial is of this run, and is in it once."""
    cells = {cell.name for cell in run.scenario.cells}
    labels = {contender.label for contender in run.scenario.contenders}
    lines: dict[str, int] = {}
    for number, trial in enumerate(trials, start=1):
        problem = ""
        if trial.trial_id in lines:
            problem = f"trial {trial.trial_id!r} is on line {lines[trial.trial_id]} already"
        elif trial.cell not in cells:
            problem = f"{RUN_FILE} has no cell {trial.cell!r}"
        elif trial.contender not in labels:
            problem = f"{RUN_FILE} has no contender {trial.contender!r}"
        if problem:
            raise RecordError(f"{file} line {number} is damaged: {problem}")
        lines[trial.trial_id] = number


def _notes_on_status(
    folder: Path, run: RunRecord, num_trials: int, is_open: bool
) -> tuple[str, ...]:
    if run.status == "complete":
        return ()
    count = f"{num_trials} trials recorded, {run.design.num_trials} planned"
    if is_open:
        return (f"{run.run_id} is being measured; {count}",)
    how = "was interrupted" if run.status == "interrupted" else "was killed"
    advice = f"go on with 'slotbench run --resume {folder}'"
    return (f"{run.run_id} {how}; {count}: {advice}",)
