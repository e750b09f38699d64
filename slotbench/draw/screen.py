"""What a text is drawn on, and how rich draws on it."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


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


def drawn(
    parts: "Iterable[RenderableType]",
    screen: Screen,
    *,
    min_width: int = 1,
    soft_wrap: bool = False,
) -> str:
    """Draw one part below the other; no line ends in a blank, the last one in a line feed.

    Args:
        parts: what rich can draw; a plain string is markup to it.
        screen: width and colour.
        min_width: below which nothing is squeezed.
        soft_wrap: leave lines as long as they are.
    """
    target = io.StringIO()
    console = _console(target, max(screen.width, min_width), color=screen.color)
    for part in parts:
        console.print(part, soft_wrap=soft_wrap)
    return "".join(f"{line.rstrip()}\n" for line in target.getvalue().splitlines())


def _console(target: io.StringIO, width: int, *, color: bool) -> "Console":
    from rich.console import Console

    return Console(
        file=target,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        legacy_windows=False,
    )
