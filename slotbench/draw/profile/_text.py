"""A profile for a terminal.

Nothing is ever cut: where a table's columns do not fit, names become numbers, rows become
columns, or the numbers follow each name as words.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.cells import cell_len
from rich.padding import Padding
from rich.text import Text

from slotbench.draw.columns import GAP, aligned, broken, in_words
from slotbench.draw.profile import _words
from slotbench.draw.profile._page import CellPage, Files, page
from slotbench.draw.profile._tables import Table
from slotbench.draw.screen import PAPER, Screen, drawn
from slotbench.store import StoredProfile

_MIN_WIDTH: Final = 40
_MAX_NAME: Final = 16
"""Columns of a header beyond which contenders are known by their numbers."""

_STYLES: Final = (
    (r"\bINVALID\b|\bfailed\b|\b(?:does|do) not hold\b|\bnot believed\b", "red"),
    (r"\bholds$", "green"),
)

Part = Text | Padding


def show(
    stored: StoredProfile,
    screen: Screen = PAPER,
    *,
    cells: Sequence[str] = (),
    between: tuple[str, str] | None = None,
    full: bool = False,
) -> str:
    """A profile cell by cell: what explains the difference, then the tables behind it.

    Args:
        stored: the profile.
        screen: width and colour.
        cells: names of the cells to show; () is all.
        between: labels of the two contenders whose difference is explained; None is the
            baseline and the fastest of the others, in each cell.
        full: every lock and row, percentiles, and what each row of the ledger counts.

    Raises:
        SlotbenchError: no such cell or contender.
    """
    width = max(screen.width, _MIN_WIDTH)
    shown = page(stored, cells=cells, between=between, full=full)
    parts: list[Part] = [Text(shown.title, style="bold")]
    parts += [Text(line, style="dim") for line in (*shown.facts, _words.ABOUT_PROBES)]
    parts += map(_styled, shown.remarks)
    if not stored.trials:
        parts.append(Text("no trials yet"))
        return drawn(parts, screen, min_width=_MIN_WIDTH)
    for cell in shown.cells:
        parts += _cell(cell, width)
    parts += _legend("phases", _words.phase_legend(), width)
    if full:
        parts += _legend("what the ledger counts", _words.ledger_legend(), width)
    parts += _files(stored.path, shown.timelines, shown.tools)
    return drawn(parts, screen, min_width=_MIN_WIDTH)


def _cell(cell: CellPage, width: int) -> Iterable[Part]:
    yield Text("")
    yield Text(cell.name, style="bold underline")
    for one in cell.sentences:
        yield Text(one.text, style="bold" if one is cell.sentences[0] else "")
    for table in cell.tables:
        yield Text("")
        yield Text(table.title, style="bold")
        yield from map(_styled, _fitted(table, width))
        for note in table.notes:
            yield Padding(Text(note, style="dim"), (0, 0, 0, GAP))
    if cell.problems:
        yield Text("")
        yield Text("problems", style="bold")
        yield from map(_note, cell.problems)


def _fitted(table: Table, width: int) -> list[str]:
    """The first layout that fits, from the widest on."""
    for one in _layouts(table):
        lines = _in_columns(one)
        if _fit(lines, width):
            return lines
    narrow = list(_layouts(table))[-1]
    if narrow.can_split and (lines := _split(narrow, width)):
        return lines
    named = _named(table)
    below = _under_names(named)
    if _fit((line for line, is_name in below if not is_name), width):
        return [line for line, _ in below]
    header = named.short or named.header
    return [line for row in named.rows for line in in_words(header, row, width)]


def _layouts(table: Table) -> Iterator[Table]:
    if not table.short or max(map(cell_len, table.header)) <= _MAX_NAME:
        yield table
    if table.short:
        yield dataclasses.replace(table, header=table.short)
    if table.is_numbered and not table.needs_labels:
        # Numbers say who is who: the table of contenders has both.
        yield _without_labels(table)
    if table.can_turn:
        yield _turned(table)


def _split(table: Table, width: int) -> list[str]:
    """As many columns beside each other as fit, the others below; [] where not two fit."""
    lines = _in_columns(table, gap=1)
    if _fit(lines, width):
        return lines
    num_columns = len(table.header) - 1
    for most in range(num_columns - 1, 1, -1):
        parts = [
            _in_columns(_chosen(table, range(begin, min(begin + most, num_columns + 1))))
            for begin in range(1, num_columns + 1, most)
        ]
        if all(_fit(part, width) for part in parts):
            first, *others = parts
            return first + [line for part in others for line in ("", *part)]
    return []


def _chosen(table: Table, columns: range) -> Table:
    header, *rows = (
        (row[0], *(row[place] for place in columns)) for row in (table.header, *table.rows)
    )
    return dataclasses.replace(table, header=header, rows=tuple(rows))


def _fit(lines: Iterable[str], width: int) -> bool:
    return all(cell_len(line) <= width for line in lines)


def _without_labels(table: Table) -> Table:
    header, *rows = ((row[0], *row[2:]) for row in (table.header, *table.rows))
    left = frozenset({0, *(place - 1 for place in table.left if place > 1)})
    return dataclasses.replace(table, header=header, rows=tuple(rows), left=left)


def _turned(table: Table) -> Table:
    whole = _without_labels(table)
    header, *rows = zip(whole.header, *whole.rows, strict=True)
    return dataclasses.replace(whole, header=header, rows=tuple(rows), can_split=True)


def _named(table: Table) -> Table:
    """With number and label of a contender in one column."""
    if not table.is_numbered:
        return table
    header, *rows = (
        (f"{row[0]} {row[1]}".strip(), *row[2:]) for row in (table.header, *table.rows)
    )
    left = frozenset({0, *(place - 1 for place in table.left if place > 1)})
    return dataclasses.replace(table, header=header, rows=tuple(rows), left=left)


def _in_columns(table: Table, gap: int = GAP) -> list[str]:
    head = broken(table.header, table.rows)
    lines = aligned([*head, *table.rows], table.left, gap)
    if table.groups is None:
        return lines
    found = lines[: len(head)]
    for place, line in enumerate(lines[len(head) :]):
        if place in table.groups:
            found.append(table.groups[place])
        found.append(" " * GAP + line)
    # The header stands as far in as what it is of.
    return [*(" " * GAP + line for line in found[: len(head)]), *found[len(head) :]]


def _under_names(table: Table) -> list[tuple[str, bool]]:
    """Lines, and whether each is a name, which may be as long as it likes."""
    head = broken(table.header[1:], [row[1:] for row in table.rows])
    left = frozenset(place - 1 for place in table.left)
    numbers = aligned([*head, *(row[1:] for row in table.rows)], left)
    numbers = [" " * GAP + line for line in numbers]
    found = [(line, False) for line in numbers[: len(head)]]
    for row, line in zip(table.rows, numbers[len(head) :], strict=True):
        found += [(row[0], True), (line, False)]
    return found


def _legend(title: str, entries: Sequence[tuple[str, str]], width: int) -> Iterable[Part]:
    yield Text("")
    yield Text(title, style="bold")
    longest = max(cell_len(name) for name, _ in entries)
    if longest > width // 3:
        for name, text in entries:
            yield _note(f"{name}: {text}")
        return
    for name, text in entries:
        first, *more = _lines(text, width - longest - GAP)
        yield Text(f"{name}{' ' * (longest - cell_len(name) + GAP)}{first}", style="dim")
        for line in more:
            yield Text(" " * (longest + GAP) + line, style="dim")


def _lines(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width) or [""]


def _files(
    folder: Path, timelines: Sequence[Files], tools: Sequence[Files]
) -> Iterable[Part]:
    if timelines:
        yield Text("")
        yield Text(f"timelines, which open in {_words.VIEWER}", style="bold")
        yield from (_note(line) for one in timelines for line in _named_files(folder, one))
    if tools:
        yield Text("")
        yield Text("tools", style="bold")
        yield from (_note(line) for one in tools for line in _named_files(folder, one))


def _named_files(folder: Path, files: Files) -> Iterable[str]:
    for name in files.names:
        yield f"{folder / name} ({files.title})"
    if files.note or not files.names:
        yield f"{files.title}: {files.note or 'nothing'}"


def _note(text: str) -> Padding:
    return Padding(_styled(text), (0, 0, 0, GAP))


def _styled(line: str) -> Text:
    text = Text(line, overflow="fold")
    for pattern, style in _STYLES:
        text.highlight_regex(pattern, style)
    return text
