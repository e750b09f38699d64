"""What was run so far, as text."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from tests.stress.ledger import Fate
from tests.stress.rounds import Setting, Tally


@dataclass
class _Row:
    rounds: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


class Report:
    """Adds up rounds, by contender."""

    def __init__(self) -> None:
        self.num_replies = 0
        self.rows: dict[str, _Row] = {}
        self._began = time.monotonic()

    def add(self, contender: str, setting: Setting, tally: Tally) -> str:
        """Add a round; return its line."""
        row = self.rows.setdefault(contender, _Row())
        row.rounds += 1
        row.fates += tally.fates
        row.errors += tally.errors
        row.faults += tally.faults
        self.num_replies += tally.num_replies
        line = f"{tally.num_replies / tally.seconds:8,.0f}/s  {setting}"
        for what, counts in ("faults", tally.faults), ("led to", tally.errors):
            if counts:
                line += f"; {what}: {_list(counts)}"
        return line

    def table(self) -> str:
        """Return a block of lines a contender."""
        lines = [""]
        for contender, row in sorted(self.rows.items()):
            fates = {fate.name.lower(): count for fate, count in sorted(row.fates.items())}
            lines += [
                f"{contender}: {row.rounds} rounds, requests {_list(fates)}",
                f"    faults: {_list(row.faults) or 'none'}",
                f"    which led to, all of it expected: {_list(row.errors) or 'nothing'}",
            ]
        return "\n".join(lines)

    def summary(self) -> str:
        """Return how much was checked in which time."""
        seconds = time.monotonic() - self._began
        return f"{self.num_replies:,} replies checked in {seconds:.0f} s"


def _list(counts: Counter[str] | dict[str, int]) -> str:
    return ", ".join(f"{what} {count:,}" for what, count in sorted(counts.items()) if count)
