"""The comparison as an HTML fragment: what a notebook shows below a cell.

No style sheet, no script: it stands in a page that has its own.
"""

import html
from collections.abc import Iterable, Mapping, Sequence

from slotbench.compute.between import Compared
from slotbench.compute.gates import Gate
from slotbench.draw.cell_table import CellTable
from slotbench.draw.page import Page, Section, page
from slotbench.draw.screen import PAPER, Screen


def render(compared: Compared, screen: Screen = PAPER, gate: Gate | None = None) -> str:
    """A fragment: the opening, a table a cell, and what to know; the screen is ignored."""
    del screen
    return of_page(page(compared, gate))


def of_page(shown: Page) -> str:
    """A fragment of what there is to say, whatever it is said of."""
    parts = [
        f"<h4>{_text(shown.title)}</h4>",
        f"<p><strong>{_text(shown.opening)}</strong></p>",
        _list(shown.differences),
        *map(_table, shown.tables),
        f"<p>{_text(shown.legend)}</p>",
        *map(_section, shown.sections),
        _list(shown.remarks),
        f"<p><strong>{_text(shown.gate)}</strong></p>" if shown.gate else "",
        f"<p><small>{'<br>'.join(map(_text, shown.facts))}</small></p>",
    ]
    return f'<div class="slotbench">{"".join(parts)}</div>'


def card(*, title: str, facts: str, lines: Iterable[str], terms: Mapping[str, str]) -> str:
    """A run as a fragment: what it is, and what it answers."""
    said = "".join(
        f"<dt><strong>{_text(name)}</strong></dt><dd>{_text(text)}</dd>"
        for name, text in terms.items()
    )
    return (
        f'<div class="slotbench"><h4>{_text(title)}</h4><p><code>{_text(facts)}</code></p>'
        f"{_list(lines)}<dl>{said}</dl></div>"
    )


def _section(section: Section) -> str:
    tables = "".join(map(_table, section.tables))
    return f"<h4>{_text(section.title)}</h4>{tables}<p>{_text(section.legend)}</p>"


def _table(table: CellTable) -> str:
    header = _cells("th", table.header, table)
    rows = "".join(f"<tr>{_cells('td', row, table)}</tr>" for row in table.rows)
    return (
        f"<p><strong>{_text(table.name)}</strong></p>"
        f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"
        f"{_list(table.notes)}"
    )


def _cells(tag: str, texts: Sequence[str], table: CellTable) -> str:
    sides = ("left" if place in table.left else "right" for place in range(len(texts)))
    return "".join(
        f'<{tag} style="text-align:{side}">{_text(text)}</{tag}>'
        for side, text in zip(sides, texts, strict=True)
    )


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _text(text: str) -> str:
    return html.escape(text)
