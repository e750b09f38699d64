"""What a text is drawn on."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Screen:
    """A terminal, a pipe or a page.

    Attributes:
        width: in columns; formats for files ignore it.
        color: whether escape codes for colours are understood.
    """

    width: int = 100
    color: bool = False


PAPER: Final = Screen()
"""100 columns without colour."""
