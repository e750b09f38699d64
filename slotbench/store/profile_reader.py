"""Reads a profile back, as `slotbench.store.reader` does a run."""

from dataclasses import dataclass
from pathlib import Path

from slotbench.records import PROFILE_SCHEMA_VERSION, ProfileRecord, ProfileTrial
from slotbench.store._files import PASSES_FILE, PROFILE_FILE, is_locked
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
from slotbench.store._sense import ODD, profile_problem, trial_problem


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
    profile = read_head(
        folder / PROFILE_FILE, ProfileRecord, PROFILE_SCHEMA_VERSION, profile_problem
    )
    trials, notes = read_lines(folder / PASSES_FILE, _read_trial)
    file = folder / PASSES_FILE
    check_trials(profile.scenario, [one.trial for one in trials], PROFILE_FILE, file)
    is_open = profile.status != "complete" and is_locked(file)
    stored = StoredProfile(folder, profile, trials, notes, is_open)
    if stored.state != "complete":
        count = f"{len(trials)} trials recorded, {profile.num_trials} planned"
        how = {"running": "is being measured"}.get(stored.state, f"was {stored.state}")
        notes += (f"{profile.profile_id} {how}; {count}",)
    return StoredProfile(folder, profile, trials, notes, is_open)


def _read_trial(line: bytes, place: str) -> ProfileTrial:
    data = parse_json(line, place) if ODD.search(line) else None
    one = validate(ProfileTrial, line, place)
    refuse(trial_problem(data, one.trial), place)
    return one
