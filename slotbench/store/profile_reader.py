"""Reads a profile back, as `slotbench.store.reader` does a run."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from slotbench.errors import RecordError
from slotbench.records import PROFILE_SCHEMA_VERSION, ProfileRecord, ProfileTrial
from slotbench.store._files import PASSES_FILE, PROFILE_FILE, is_locked
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
from slotbench.store._sense import ODD, profile_problem, trial_problem

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """A profile as it lies on disk.

    Attributes:
        path: the profile's folder.
        trials: in the order recorded; also failed and INVALID ones.
        notes: for people: what is missing or was left out. Empty for a complete profile.
        is_open: a process is measuring it.
    """

    path: Path
    profile: ProfileRecord
    trials: tuple[ProfileTrial, ...]
    notes: tuple[str, ...] = ()
    is_open: bool = False

    @property
    def state(self) -> str:
        """Say "complete", "interrupted", "running", or "killed": begun, no end, and nobody at it."""
        return state(self.profile.status, is_open=self.is_open)


def read_profile(path: str | Path) -> StoredProfile:
    """Read the profile in a folder.

    Args:
        path: the folder, or its profile.json.

    Raises:
        RecordError: it is no profile, its schema is unknown, or a file is damaged. Only a last
            line of passes.jsonl that was cut short while being written is forgiven.
    """
    folder = Path(path)
    if folder.name == PROFILE_FILE:
        folder = folder.parent
    check_is_kept(folder, PROFILE_FILE, PASSES_FILE, "profile")
    file = folder / PROFILE_FILE
    text = read_bytes(file)
    data = parse_json(text, str(file))
    check_schema(data, file, PROFILE_SCHEMA_VERSION)
    profile = validate(_profile_adapter(), text, str(file))
    refuse(profile_problem(data, profile), str(file))
    trials, notes = read_lines(folder / PASSES_FILE, _read_trial)
    _check_trials(profile, trials, folder / PASSES_FILE)
    is_open = profile.status != "complete" and is_locked(folder / PASSES_FILE)
    stored = StoredProfile(folder, profile, trials, notes, is_open)
    if stored.state != "complete":
        count = f"{len(trials)} trials recorded, {profile.num_trials} planned"
        how = {"running": "is being measured"}.get(stored.state, f"was {stored.state}")
        notes += (f"{profile.profile_id} {how}; {count}",)
    return StoredProfile(folder, profile, trials, notes, is_open)


@cache
def _profile_adapter() -> "TypeAdapter[ProfileRecord]":
    from pydantic import TypeAdapter

    return TypeAdapter(ProfileRecord)


@cache
def _trial_adapter() -> "TypeAdapter[ProfileTrial]":
    from pydantic import TypeAdapter

    return TypeAdapter(ProfileTrial)


def _read_trial(line: bytes, place: str) -> ProfileTrial:
    data = parse_json(line, place) if ODD.search(line) else None
    one = validate(_trial_adapter(), line, place)
    refuse(trial_problem(data, one.trial), place)
    return one


def _check_trials(
    profile: ProfileRecord, trials: tuple[ProfileTrial, ...], file: Path
) -> None:
    """See that every trial is of this profile, and is in it once."""
    cells = {cell.name for cell in profile.scenario.cells}
    labels = {contender.label for contender in profile.scenario.contenders}
    seen: set[str] = set()
    for number, one in enumerate(trials, start=1):
        problem = ""
        if one.trial.trial_id in seen:
            problem = f"trial {one.trial.trial_id!r} is there already"
        elif one.trial.cell not in cells:
            problem = f"{PROFILE_FILE} has no cell {one.trial.cell!r}"
        elif one.trial.contender not in labels:
            problem = f"{PROFILE_FILE} has no contender {one.trial.contender!r}"
        if problem:
            raise RecordError(f"{file} line {number} is damaged: {problem}")
        seen.add(one.trial.trial_id)
