"""Reads a search back, as `slotbench.store.reader` does a run."""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from slotbench.errors import RecordError
from slotbench.records import SLO_SCHEMA_VERSION, SloRecord, SloTrial
from slotbench.store._files import SEARCHED_FILE, SLO_FILE, is_locked
from slotbench.store._reading import (
    check_is_kept,
    check_schema,
    parse_json,
    read_bytes,
    read_lines,
    refuse,
    state,
    validate,
)
from slotbench.store._sense import ODD, slo_problem, trial_problem

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_MOST_PER_S: Final = 1e10
"""Beyond which no search has a load: `DOUBLINGS` above the highest that it may begin at."""


@dataclass(frozen=True, slots=True)
class StoredSlo:
    """A search as it lies on disk.

    Attributes:
        path: the search's folder.
        trials: in the order recorded; also failed and INVALID ones.
        notes: for people: what is missing or was left out. Empty for a complete search.
        is_open: a process is measuring it.
    """

    path: Path
    record: SloRecord
    trials: tuple[SloTrial, ...]
    notes: tuple[str, ...] = ()
    is_open: bool = False

    @property
    def state(self) -> str:
        """Say "complete", "out of time", "interrupted", "running" or "killed", as of a profile."""
        return state(self.record.status, is_open=self.is_open)


def read_slo(path: str | Path) -> StoredSlo:
    """Read the search in a folder.

    Args:
        path: the folder, or its slo.json.

    Raises:
        RecordError: it is no search, its schema is unknown, or a file is damaged. Only a last
            line of searched.jsonl that was cut short while being written is forgiven.
    """
    folder = Path(path)
    if folder.name == SLO_FILE:
        folder = folder.parent
    check_is_kept(folder, SLO_FILE, SEARCHED_FILE, "search")
    file = folder / SLO_FILE
    text = read_bytes(file)
    data = parse_json(text, str(file))
    check_schema(data, file, SLO_SCHEMA_VERSION)
    record = validate(_slo_adapter(), text, str(file))
    refuse(slo_problem(data, record), str(file))
    trials, notes = read_lines(folder / SEARCHED_FILE, _read_trial)
    _check_trials(record, trials, folder / SEARCHED_FILE)
    is_open = record.status != "complete" and is_locked(folder / SEARCHED_FILE)
    stored = StoredSlo(folder, record, trials, notes, is_open)
    if stored.state != "complete":
        how = {"running": "is being measured", "out of time": "ran out of its budget"}.get(
            stored.state, f"was {stored.state}"
        )
        advice = "" if is_open else f": go on with 'slotbench slo --resume {folder}'"
        count = f"{len(trials)} trial{'' if len(trials) == 1 else 's'} recorded"
        notes += (f"{record.slo_id} {how}; {count}{advice}",)
    return StoredSlo(folder, record, trials, notes, is_open)


@cache
def _slo_adapter() -> "TypeAdapter[SloRecord]":
    from pydantic import TypeAdapter

    return TypeAdapter(SloRecord)


@cache
def _trial_adapter() -> "TypeAdapter[SloTrial]":
    from pydantic import TypeAdapter

    return TypeAdapter(SloTrial)


def _read_trial(line: bytes, place: str) -> SloTrial:
    data = parse_json(line, place) if ODD.search(line) else None
    one = validate(_trial_adapter(), line, place)
    refuse(trial_problem(data, one.trial), place)
    if (one.load_index is None) != (one.load_per_s is None):
        refuse("load_index: a load has both an index and a rate, or neither", place)
    measured = one.trial.measurement
    is_used = one.trial.status != "failed" and not one.trial.is_invalid
    if is_used and measured is not None and measured.window_s <= 0.0:
        refuse(
            "trial.measurement.window_s: a window without length, of a usable trial", place
        )
    return one


def _check_trials(record: SloRecord, trials: tuple[SloTrial, ...], file: Path) -> None:
    """See that every trial is of this search, and is in it once."""
    cells = {cell.name for cell in record.scenario.cells}
    labels = {contender.label for contender in record.scenario.contenders}
    seen: set[str] = set()
    for number, one in enumerate(trials, start=1):
        problem = ""
        if one.trial.trial_id in seen:
            problem = f"trial {one.trial.trial_id!r} is there already"
        elif not _is_of_ladder(one, record.plan.precision):
            problem = f"load {one.load_per_s} is not that of load_index {one.load_index}"
        elif one.trial.cell not in cells:
            problem = f"{SLO_FILE} has no cell {one.trial.cell!r}"
        elif one.trial.contender not in labels:
            problem = f"{SLO_FILE} has no contender {one.trial.contender!r}"
        if problem:
            raise RecordError(f"{file} line {number} is damaged: {problem}")
        seen.add(one.trial.trial_id)


def _is_of_ladder(one: SloTrial, precision: float) -> bool:
    """Whether a trial's load is the one that its index says."""
    from slotbench.compute import slo  # numpy, with which no command is to start

    if one.load_index is None or one.load_per_s is None:
        return True
    if not 0 <= one.load_index <= slo.index_of(_MOST_PER_S, precision):
        return False
    is_at = slo.load_per_s(one.load_index, precision)
    return math.isclose(is_at, one.load_per_s, rel_tol=1e-6)
