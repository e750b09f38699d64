"""The comparison as GitHub Markdown, for READMEs and pull requests."""

from collections.abc import Iterable, Sequence

from slotbench.compute.comparison import Comparison
from slotbench.draw.cell_table import CellTable, facts, legend, remarks, tables
from slotbench.draw.opening import opening
from slotbench.draw.screen import PAPER, Screen


def render(comparison: Comparison, screen: Screen = PAPER) -> str:
    """Markdown: the opening, a table a cell, and what to know; the screen is ignored."""
    del screen
    parts = [
        f"## {escape(comparison.title)}",
        escape(comparison.question),
        f"**{escape(opening(comparison))}**",
        *(_cell(table) for table in tables(comparison)),
        escape(legend(comparison)),
        _bullets(remarks(comparison)),
        f"<sub>{escape(facts(comparison))}</sub>",
    ]
    return "\n\n".join(part for part in parts if part)


def _cell(table: CellTable) -> str:
    lines = [_line(table.header), _line(_rules(len(table.header)))]
    lines += [_line((f"`{row[0]}`", *row[1:])) for row in table.rows]
    return "\n\n".join(
        (f"### {escape(table.name)}", "\n".join(lines), _bullets(table.notes))
    )


def _rules(columns: int) -> Sequence[str]:
    """Names and verdicts to the left, numbers to the right."""
    return ["---" if column in {0, 3} else "---:" for column in range(columns)]


def _line(cells: Iterable[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {escape(text)}" for text in lines)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, also ``slot[preallocate]`` and ``a_b*c``."""
    text = " ".join(text.split()).replace("\\", "\\\\")
    for sign in "[]*_`<>|":
        text = text.replace(sign, f"\\{sign}")
    return text
