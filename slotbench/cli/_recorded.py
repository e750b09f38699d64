"""Runs, profiles and SLO searches that a command is given by name."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from slotbench.store import StoredProfile, StoredRun, StoredSlo

RECORDED_HELP: Final = (
    "The id of a run, a profile or an SLO search, the beginning or end of one, its folder, a "
    "scenario (its newest run), or 'newest'."
)

EITHER: Final = ("run", "profile", "slo")


def read_recorded(
    reference: str | Path | None, results: Path, kinds: Collection[str] = EITHER
) -> "StoredRun | StoredProfile | StoredSlo":
    """Read what is meant; notes on the record go to stderr.

    Args:
        reference: as the user gave it.
        results: the folder that holds them.
        kinds: what may be meant.

    Raises:
        RecordError: nothing or more than one is meant, or it is damaged.
    """
    from slotbench import store

    path = store.find(reference, results, kinds)
    stored = read_kind(store.kind_of(path.parent if path.is_file() else path), path)
    for note in stored.notes:
        print(f"slotbench: note: {note}", file=sys.stderr)
    return stored


def read_kind(kind: str, path: Path) -> "StoredRun | StoredProfile | StoredSlo":
    """Read what lies in a folder, of a kind that `slotbench.store.kind_of` says.

    Raises:
        RecordError: it is damaged.
    """
    from slotbench import store

    if kind == "slo":
        return store.read_slo(path)
    return store.read_profile(path) if kind == "profile" else store.read(path)
