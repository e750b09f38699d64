"""From comparisons to text; knows compute and rich, prints nothing.

Every module ``as_<format>.py`` of this folder is a format and has
``render(compared, screen, gate) -> str``. Adding a format is adding a file.
"""

import difflib
import importlib
import pkgutil
from typing import TYPE_CHECKING, Final

from slotbench.draw.screen import PAPER, Screen
from slotbench.errors import SlotbenchError

if TYPE_CHECKING:
    from slotbench.compute.between import Compared
    from slotbench.compute.gates import Gate

__all__ = ["PAPER", "Screen", "available", "render"]

_PREFIX: Final = "as_"


def available() -> tuple[str, ...]:
    """Names of all formats, sorted: csv, github, json, md, text."""
    return tuple(
        sorted(
            module.name.removeprefix(_PREFIX)
            for module in pkgutil.iter_modules(__path__)
            if module.name.startswith(_PREFIX)
        )
    )


def render(
    compared: "Compared",
    name: str = "text",
    screen: Screen = PAPER,
    gate: "Gate | None" = None,
) -> str:
    """The comparison in a format, ending in one newline.

    Args:
        compared: what to show: one run, or two.
        name: of the format.
        screen: width and colour, for the formats that people read in a terminal.
        gate: what was decided of it, where that was asked.

    Raises:
        SlotbenchError: no such format; the nearest names are offered.
    """
    known = available()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.4) or known
        raise SlotbenchError(f"unknown format {name!r}: did you mean {', '.join(near)}?")
    module = importlib.import_module(f"{__name__}.{_PREFIX}{name}")
    return str(module.render(compared, screen, gate)).rstrip("\n") + "\n"
