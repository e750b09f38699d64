"""A plain table in a terminal: columns where they fit, words where they do not."""

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len

from slotbench.draw.columns import aligned, broken, in_words

MIN_WIDTH: Final = 40
"""Columns of a screen, below which nobody is served."""

_THOUSANDS: Final = re.compile(r"(?<=\d) (?=\d{3}(?!\d))")
_GLUE: Final = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Attributes:
        rows: as wide as the header.
        notes: what a reader must know besides, a line each.
        num_left: columns of words, the first ones; the others are of numbers.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    num_left: int = 1


def fitted(table: Table, width: int) -> Iterable[str]:
    """Its lines: in columns where these fit; else each row in words."""
    left = frozenset(range(table.num_left))
    lines = aligned([*broken(table.header, table.rows), *table.rows], left)
    if all(cell_len(line) <= width for line in lines):
        return lines
    first = table.num_left
    header = ("", *table.header[first:])
    rows = [(", ".join(row[:first]), *row[first:]) for row in table.rows]
    return [line for row in rows for line in in_words(header, row, width)]


def wrapped(text: str, width: int, indent: int) -> list[str]:
    """Text over several lines, all set in; what follows a "- " is set in below it.

    A number is not broken between its thousands.
    """
    lines = textwrap.wrap(
        _THOUSANDS.sub(_GLUE, text),
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2 * text.startswith("- ")),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_GLUE, " ") for line in lines]
