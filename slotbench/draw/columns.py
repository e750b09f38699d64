"""Rows of texts as lines: in columns, or as words where no columns fit."""

from collections.abc import Container, Iterable, Sequence
from typing import Final

from rich.cells import cell_len

GAP: Final = 2
"""Blanks between columns, and before what belongs to the line above."""

_MIN_HEADER: Final = 8
"""Columns that a broken header may take beyond what its cells need."""


def aligned(
    rows: Sequence[Sequence[str]], left: Container[int], gap: int = GAP
) -> list[str]:
    """A line a row: words begin below each other, numbers end below each other."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - cell_len(cell))
            cells.append(cell + blank if index in left else blank + cell)
        lines.append((" " * gap).join(cells).rstrip())
    return lines


def broken(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[list[str]]:
    """A header over several lines, so that no column is wider than it must be.

    Args:
        header: names of the columns; they are broken at blanks alone.
        rows: what stands below.
    """
    widths = [max(map(cell_len, column), default=0) for column in zip(*rows, strict=True)]
    widths = widths or [0] * len(header)
    parts = [
        _wrapped(name, max(width, _MIN_HEADER))
        for name, width in zip(header, widths, strict=True)
    ]
    height = max(map(len, parts), default=0)
    filled = [[""] * (height - len(part)) + part for part in parts]
    return [list(line) for line in zip(*filled, strict=True)]


def in_words(header: Sequence[str], row: Sequence[str], width: int) -> Iterable[str]:
    """The name, then "column value" after "column value", broken between them."""
    yield row[0]
    pieces = [
        f"{name} {cell.strip()}".strip()
        for name, cell in zip(header[1:], row[1:], strict=True)
        if cell.strip()
    ]
    yield from joined(pieces, width)


def joined(pieces: Iterable[str], width: int) -> Iterable[str]:
    """Pieces after each other, set in, with line ends between them alone."""
    line = ""
    for piece in pieces:
        longer = f"{line}; {piece}" if line else piece
        if line and cell_len(longer) + GAP > width:
            yield " " * GAP + line
            longer = piece
        line = longer
    yield " " * GAP + line


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and cell_len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
