"""Sentences, tables and lists for a terminal, for Markdown and for a notebook.

What is said is put together by others, as a `Told`; here is how it looks.
"""

import csv
import difflib
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.text import Text

from slotbench.draw.as_md import bullets, escape, pipes
from slotbench.draw.columns import GAP
from slotbench.draw.screen import PAPER, Screen, drawn
from slotbench.draw.table import MIN_WIDTH, Table, fitted, wrapped
from slotbench.errors import SlotbenchError

FORMATS: Final = ("text", "md", "json", "csv")


@dataclass(frozen=True, slots=True)
class Told:
    """All that is said of something.

    Attributes:
        sentences: the first is the answer.
        tables: with their titles and notes.
        lists: a title and its lines, each.
        command: that makes it anew; "" where there is none. Never broken over lines: it is to be copied.
    """

    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    lists: tuple[tuple[str, tuple[str, ...]], ...] = ()
    command: str = ""


def check_format(name: str) -> None:
    """Refuse an unknown format before anything is computed.

    Raises:
        SlotbenchError: it is none.
    """
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1, cutoff=0.4) or FORMATS
        raise SlotbenchError(f"unknown format {name!r}: did you mean {', '.join(near)}?")


def as_text(told: Told, screen: Screen = PAPER) -> str:
    """For a terminal. Nothing is ever cut."""
    width = max(screen.width, MIN_WIDTH)
    first, *others = told.sentences
    parts = [Text(line, style="bold") for line in wrapped(first, width, 0)]
    for sentence in others:
        parts += map(Text, wrapped(sentence, width, 0))
    for table in told.tables:
        parts += [Text(""), Text(table.title, style="bold")]
        parts += map(Text, fitted(table, width))
        for note in table.notes:
            parts += (Text(line, style="dim") for line in wrapped(note, width, GAP))
    for title, lines in told.lists:
        parts += [Text(""), Text(title, style="bold")]
        for line in lines:
            parts += map(Text, wrapped(f"- {line}", width, GAP))
    text = drawn(parts, screen, min_width=MIN_WIDTH)
    if not told.command:
        return text
    title = drawn([Text("again", style="bold")], screen)
    return f"{text}\n{title}  {told.command}\n"


def as_md(told: Told) -> str:
    """As GitHub Markdown."""
    first, *others = told.sentences
    parts = [f"**{escape(first)}**", bullets(others)]
    for table in told.tables:
        parts += [f"### {escape(table.title)}", pipe_table(table), bullets(table.notes)]
    for title, lines in told.lists:
        parts += [f"### {escape(title)}", bullets(lines)]
    if told.command:
        parts += ["### again", f"```bash\n{told.command}\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def pipe_table(table: Table) -> str:
    """One table in Markdown, without its title."""
    rows = [[escape(cell) for cell in row] for row in table.rows]
    return pipes(table.header, rows, frozenset(range(table.num_left)))


def as_fragment(told: Told) -> str:
    """As an HTML fragment, which stands in a page that has its own style."""
    first, *others = map(html.escape, told.sentences)
    parts = [f'<div class="slotbench"><p><strong>{first}</strong></p>']
    parts += [f"<p>{line}</p>" for line in others]
    for table in told.tables:
        parts += [f"<p><strong>{html.escape(table.title)}</strong></p>", _html(table)]
        parts.append(_items(table.notes))
    for title, lines in told.lists:
        parts += [f"<p><strong>{html.escape(title)}</strong></p>", _items(lines)]
    if told.command:
        parts.append(f"<pre>{html.escape(told.command)}</pre>")
    return "".join(parts) + "</div>"


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same fields, under a header; empty is missing, truth is "true" or "false"."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _html(table: Table) -> str:
    def row(tag: str, cells: Sequence[str]) -> str:
        sides = ("left" if i < table.num_left else "right" for i in range(len(cells)))
        return "".join(
            f'<{tag} style="text-align:{side}">{html.escape(cell)}</{tag}>'
            for side, cell in zip(sides, cells, strict=True)
        )

    body = "".join(f"<tr>{row('td', cells)}</tr>" for cells in table.rows)
    return f"<table><thead><tr>{row('th', table.header)}</tr></thead><tbody>{body}</tbody></table>"


def _items(lines: Iterable[str]) -> str:
    found = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul>{found}</ul>" if found else ""
