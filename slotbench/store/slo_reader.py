"""Reads a search back, as `slotbench.store.reader` does a run."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slotbench.records import SLO_SCHEMA_VERSION, SloRecord, SloTrial
from slotbench.store._files import SEARCHED_FILE, SLO_FILE, is_locked
from slotbench.store._reading import (
    check_is_kept,
    check_trials,
    parse_json,
    read_head,
    read_lines,
    refuse,
    state,
    validate,
)
from slotbench.store._sense import ODD, slo_problem, trial_problem

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
    record = read_head(folder / SLO_FILE, SloRecord, SLO_SCHEMA_VERSION, slo_problem)
    file = folder / SEARCHED_FILE
    trials, notes = read_lines(file, _read_trial)
    check_trials(record.scenario, [one.trial for one in trials], SLO_FILE, file)
    for number, one in enumerate(trials, start=1):
        if not _is_of_ladder(one, record.plan.precision):
            problem = f"load {one.load_per_s} is not that of load_index {one.load_index}"
            refuse(problem, f"{file} line {number}")
    is_open = record.status != "complete" and is_locked(file)
    stored = StoredSlo(folder, record, trials, notes, is_open)
    if stored.state != "complete":
        how = {"running": "is being measured", "out of time": "ran out of its budget"}.get(
            stored.state, f"was {stored.state}"
        )
        advice = "" if is_open else f": go on with 'slotbench slo --resume {folder}'"
        count = f"{len(trials)} trial{'' if len(trials) == 1 else 's'} recorded"
        notes += (f"{record.slo_id} {how}; {count}{advice}",)
    return StoredSlo(folder, record, trials, notes, is_open)


def _read_trial(line: bytes, place: str) -> SloTrial:
    data = parse_json(line, place) if ODD.search(line) else None
    one = validate(SloTrial, line, place)
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


def _is_of_ladder(one: SloTrial, precision: float) -> bool:
    """Whether a trial's load is the one that its index says."""
    from slotbench.compute import slo  # numpy, with which no command is to start

    if one.load_index is None or one.load_per_s is None:
        return True
    if not 0 <= one.load_index <= slo.index_of(_MOST_PER_S, precision):
        return False
    is_at = slo.load_per_s(one.load_index, precision)
    return math.isclose(is_at, one.load_per_s, rel_tol=1e-6)
