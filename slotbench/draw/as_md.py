"""The comparison as GitHub Markdown, for READMEs and pull requests."""

from collections.abc import Container, Iterable, Sequence

from slotbench.compute.between import Compared
from slotbench.compute.gates import Gate
from slotbench.draw.cell_table import CellTable
from slotbench.draw.page import Page, Section, page
from slotbench.draw.screen import PAPER, Screen


def render(compared: Compared, screen: Screen = PAPER, gate: Gate | None = None) -> str:
    """Markdown: the opening, a table a cell, and what to know; the screen is ignored."""
    del screen
    return of_page(page(compared, gate))


def of_page(shown: Page) -> str:
    """Markdown of what there is to say, whatever it is said of."""
    parts = [
        f"## {escape(shown.title)}",
        escape(shown.question),
        f"**{escape(shown.opening)}**",
        bullets(shown.differences),
        *(cell(table) for table in shown.tables),
        escape(shown.legend),
        *(part for section in shown.sections for part in _section(section)),
        bullets(shown.remarks),
        f"**{escape(shown.gate)}**" if shown.gate else "",
        f"<sub>{'<br>'.join(map(escape, shown.facts))}</sub>",
    ]
    return "\n\n".join(part for part in parts if part)


def _section(section: Section) -> Iterable[str]:
    yield f"## {escape(section.title)}"
    yield from map(cell, section.tables)
    yield escape(section.legend)


def cell(table: CellTable) -> str:
    """One cell under its heading."""
    rows = ((f"`{row[0]}`", *row[1:]) for row in table.rows)
    lines = pipes(table.header, rows, table.left)
    return "\n\n".join((f"### {escape(table.name)}", lines, bullets(table.notes)))


def pipes(
    header: Sequence[str], rows: Iterable[Sequence[str]], left: Container[int]
) -> str:
    """A table of text that is Markdown already, but for "|"; words left, numbers right."""
    rules = ["---" if column in left else "---:" for column in range(len(header))]
    return "\n".join(map(_line, (header, rules, *rows)))


def _line(cells: Iterable[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def bullets(lines: Iterable[str]) -> str:
    """A list; "" for no lines."""
    return "\n".join(f"- {escape(text)}" for text in lines)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, also ``slot[preallocate]`` and ``a_b*c``."""
    text = " ".join(text.split()).replace("\\", "\\\\")
    for sign in "[]*_`<>|":
        text = text.replace(sign, f"\\{sign}")
    # At the beginning of a line these make a heading or a list.
    return f"\\{text}" if text[:1] in {"#", "+"} or text[:2] == "- " else text
