"""A difference inside a profile as an HTML fragment: what a notebook shows below a cell."""

import html
from collections.abc import Iterable, Sequence

from slotbench.compute.profile import CellProfile, Difference
from slotbench.draw.profile import _opening, _tables
from slotbench.draw.profile._tables import Table


def fragment(cell: CellProfile, found: Difference) -> str:
    """The sentences and both tables; it stands in a page that has its own style.

    Args:
        cell: all contenders.
        found: between two of them.
    """
    said = "".join(f"<p>{_text(one.text)}</p>" for one in _opening.sentences(cell, found))
    tables = (_tables.gap(cell, found), _tables.row_gaps(cell, found, full=True))
    body = "".join(_table(table) for table in tables if table is not None)
    return f'<div class="slotbench"><h4>{_text(cell.cell.name)}</h4>{said}{body}</div>'


def _table(table: Table) -> str:
    rows = "".join(f"<tr>{_cells('td', row, table)}</tr>" for row in table.rows)
    notes = "".join(f"<p><small>{_text(note)}</small></p>" for note in table.notes)
    return (
        f"<p><strong>{_text(table.title)}</strong></p><table><thead><tr>"
        f"{_cells('th', table.header, table)}</tr></thead><tbody>{rows}</tbody></table>{notes}"
    )


def _cells(tag: str, texts: Sequence[str], table: Table) -> str:
    return "".join(_marked(tag, texts, table))


def _marked(tag: str, texts: Sequence[str], table: Table) -> Iterable[str]:
    for place, text in enumerate(texts):
        side = "left" if place in table.left else "right"
        yield f'<{tag} style="text-align:{side}">{_text(text)}</{tag}>'


def _text(text: str) -> str:
    return html.escape(text)
