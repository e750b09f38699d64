"""The comparison for a terminal: the opening, then a table a cell.

Nothing is ever cut: where the columns do not fit, a contender's name gets a line of its
own above its numbers; where that does not fit either, the numbers follow as words.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from slotbench.compute.between import Compared
from slotbench.compute.gates import Gate
from slotbench.draw.cell_table import BASELINE, CellTable
from slotbench.draw.columns import GAP, aligned, joined
from slotbench.draw.page import Page, page
from slotbench.draw.screen import PAPER, Screen, drawn
from slotbench.draw.table import wrapped

MIN_WIDTH: Final = 24

_STYLES: Final = (
    (r"\bfaster\b|▲", "green"),
    (r"\bslower\b|▼|\bINVALID\b|\bfailed\b|\bFORBIDS\b", "red"),
    (r"\binconclusive\b|\?|cannot resolve", "yellow"),
    (r"\bequivalent\b|(?<!vs )\bbaseline\b|\bdrift\b", "cyan"),
)


def render(compared: Compared, screen: Screen = PAPER, gate: Gate | None = None) -> str:
    """Text as wide as the screen, with colours where it has them."""
    return of_page(page(compared, gate), screen)


def of_page(shown: Page, screen: Screen = PAPER) -> str:
    """Text of what there is to say, whatever it is said of."""
    parts = renderable(shown, max(screen.width, MIN_WIDTH)).renderables
    return drawn(parts, screen, min_width=MIN_WIDTH)


def renderable(shown: Page, width: int) -> Group:
    """The same for a rich console of that many columns."""
    parts: list[Text | Padding] = [
        Text("\n".join(wrapped(shown.opening, width, 0)), style="bold")
    ]
    parts += [Text(line, style="dim") for line in shown.facts]
    parts += [_styled(line) for line in shown.differences]
    parts += _tables(shown.tables, width)
    parts += [Text(""), Text(shown.legend, style="dim")]
    for section in shown.sections:
        parts += [Text(""), Text(section.title, style="bold")]
        parts += _tables(section.tables, width)
        parts += [Text(""), Text(section.legend, style="dim")]
    parts += [_styled(remark) for remark in shown.remarks]
    if shown.gate:
        parts += [Text(""), _styled(shown.gate)]
    return Group(*parts)


def _tables(tables: Sequence[CellTable], width: int) -> "list[Text | Padding]":
    """Every table under its name, all in one layout."""
    parts: list[Text | Padding] = []
    layout = _layout(tables, width)
    for table in tables:
        parts += [Text(""), Text(table.name, style="bold underline")]
        parts += [_styled(line) for line in layout(table)]
        parts += [
            Padding(_styled("\n".join(wrapped(note, width - GAP, 0))), (0, 0, 0, GAP))
            for note in table.notes
        ]
    return parts


def _layout(tables: Sequence[CellTable], width: int) -> Callable[[CellTable], list[str]]:
    """The widest of three layouts in which every cell fits, so that all look alike."""
    for layout in (_in_columns, _under_names):
        if all(cell_len(line) <= width for table in tables for line in layout(table)):
            return layout
    return functools.partial(_in_words, width=width)


def _in_columns(table: CellTable) -> list[str]:
    return aligned((table.header, *table.rows), table.left)


def _under_names(table: CellTable) -> list[str]:
    numbers = aligned(
        [row[1:] for row in (table.header, *table.rows)],
        frozenset(index - 1 for index in table.left),
    )
    header, *lines = (" " * GAP + line for line in numbers)
    pairs = zip(table.rows, lines, strict=True)
    return [header, *(line for row, below in pairs for line in (row[0], below))]


def _in_words(table: CellTable, width: int) -> list[str]:
    return [line for row in table.rows for line in _words(table.header, row, width)]


def _words(header: Sequence[str], row: Sequence[str], width: int) -> Iterable[str]:
    """The name, then "column value" after "column value", broken between them."""
    yield row[0]
    pieces = []
    for name, padded in zip(header[1:], row[1:], strict=True):
        cell = padded.strip()
        if cell:
            is_said = name == "verdict" or cell == BASELINE
            pieces.append(cell if is_said else f"{name} {cell}")
    yield from joined(pieces, width)


def _styled(line: str) -> Text:
    text = Text(line, overflow="fold")
    for pattern, style in _STYLES:
        text.highlight_regex(pattern, style)
    return text
