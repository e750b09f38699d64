"""The table of trials as CSV: one row a trial, whatever came of it.

The columns are those of `slotbench.frames.trials_frame`; empty is missing. A float reads
back as the same float.
"""

from typing import TYPE_CHECKING, Final

from slotbench.exports._rendered import Rendered

if TYPE_CHECKING:
    from slotbench.store import StoredRun

SUMMARY: Final = "table of trials, for pandas, R or a spreadsheet"
DEFAULT_NAME: Final = "{run_id}.csv"


def render(stored: "StoredRun") -> Rendered:
    """One file with a header, in UTF-8."""
    from slotbench.frames import trials_frame

    frame = trials_frame(stored)
    text = frame.to_csv(index=False, lineterminator="\n")
    note = f"{len(frame)} of {len(stored.trials)} trials written; column counted says which count"
    return Rendered({"": text.encode("utf-8", "replace")}, (note,))
