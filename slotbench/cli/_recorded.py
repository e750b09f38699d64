"""Runs and profiles that a command is given by name."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from slotbench.store import StoredProfile, StoredRun

RECORDED_HELP: Final = (
    "A run's or profile's id, the beginning or end of one, its folder, a scenario (its newest "
    "run), or 'newest'."
)

EITHER: Final = ("run", "profile")


def read_recorded(
    reference: str | Path | None, results: Path, kinds: Collection[str] = EITHER
) -> "StoredRun | StoredProfile":
    """Read what is meant; notes on the record go to stderr.

    Args:
        reference: as the user gave it.
        results: the folder that holds runs and profiles.
        kinds: what may be meant.

    Raises:
        RecordError: nothing or more than one is meant, or it is damaged.
    """
    from slotbench import store

    path = store.find(reference, results, kinds)
    is_profile = store.kind_of(path.parent if path.is_file() else path) == "profile"
    stored = store.read_profile(path) if is_profile else store.read(path)
    for note in stored.notes:
        print(f"slotbench: note: {note}", file=sys.stderr)
    return stored
