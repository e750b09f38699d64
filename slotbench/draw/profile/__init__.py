"""A recorded profile for people and programs: why a contender is as fast as it is.

`show` writes it for a terminal, `as_json` for programs, `fragment` a difference for a notebook.
They, and reports, put down the same `ProfilePage`: one cell after the other, each with what
explains the difference in words, then the tables that this rests on. Prints nothing.
"""

from slotbench.draw.profile._html import fragment
from slotbench.draw.profile._json import as_json, document
from slotbench.draw.profile._opening import explanation
from slotbench.draw.profile._page import (
    CellPage,
    Files,
    ProfilePage,
    check_between,
    explained,
    page,
)
from slotbench.draw.profile._tables import Table
from slotbench.draw.profile._text import show
from slotbench.draw.profile._words import (
    ABOUT_PROBES,
    PHASE_TEXTS,
    VIEWER,
    ledger_legend,
    phase_legend,
)

__all__ = [
    "ABOUT_PROBES",
    "PHASE_TEXTS",
    "VIEWER",
    "CellPage",
    "Files",
    "ProfilePage",
    "Table",
    "as_json",
    "check_between",
    "document",
    "explained",
    "explanation",
    "fragment",
    "ledger_legend",
    "page",
    "phase_legend",
    "show",
]
