"""What a tool hands back."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from slotbench.records import TrialRecord


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What came of one trial under a tool.

    Attributes:
        files: that were written, relative to the folder.
        note: one line: what is missing of them, and why; "" where all is there.
        trial: that the tool watched; its numbers are not those of a trial without tools.
        counts: row of the ledger → count or bytes per reply.
    """

    files: tuple[str, ...]
    note: str
    trial: TrialRecord
    counts: dict[str, float] = field(default_factory=dict)


def outcome(
    trial: TrialRecord,
    paths: Iterable[Path],
    problems: Iterable[str],
    counts: dict[str, float] | None = None,
) -> ToolOutcome:
    """Put together what a tool has: the files that are there, and one line of what went wrong.

    Args:
        trial: a failed one is a problem, too.
        paths: of the files that were to be written.
        problems: in words; "" is none.
        counts: see `ToolOutcome`.
    """
    told = [problem for problem in problems if problem]
    if trial.status == "failed":
        told.insert(0, f"the trial failed: {trial.error}")
    note = " ".join("; ".join(told).split())
    return ToolOutcome(
        tuple(path.name for path in paths if path.exists()), note, trial, counts or {}
    )
