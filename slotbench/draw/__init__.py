"""From comparisons to text; knows compute and rich, prints nothing.

Every module ``as_<format>.py`` of this folder is a format and has
``render(comparison, screen) -> str``. Adding a format is adding a file.
"""

import difflib
import importlib
import pkgutil
from typing import TYPE_CHECKING, Final

from slotbench.draw.screen import PAPER, Screen
from slotbench.errors import SlotbenchError

if TYPE_CHECKING:
    from slotbench.compute.comparison import Comparison

__all__ = ["PAPER", "Screen", "available", "render"]

_PREFIX: Final = "as_"


def available() -> tuple[str, ...]:
    """Names of all formats, sorted: csv, json, md, text."""
    return tuple(
        sorted(
            module.name.removeprefix(_PREFIX)
            for module in pkgutil.iter_modules(__path__)
            if module.name.startswith(_PREFIX)
        )
    )


def render(comparison: "Comparison", name: str = "text", screen: Screen = PAPER) -> str:
    """The comparison in a format, ending in one newline.

    Args:
        comparison: what to show.
        name: of the format.
        screen: width and colour, for the formats that people read in a terminal.

    Raises:
        SlotbenchError: no such format; the nearest names are offered.
    """
    known = available()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.4) or known
        raise SlotbenchError(f"unknown format {name!r}: did you mean {', '.join(near)}?")
    module = importlib.import_module(f"{__name__}.{_PREFIX}{name}")
    return str(module.render(comparison, screen)).rstrip("\n") + "\n"
