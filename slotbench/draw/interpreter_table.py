"""Each contender in every interpreter over itself in the first, as words in columns."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from slotbench.compute import metrics
from slotbench.compute.comparison import Comparison, ComparisonRow
from slotbench.compute.interpreters import InterpreterRow
from slotbench.draw import cell_table, looks
from slotbench.draw.cell_table import CellTable

_OWN = "the run's own"
"""What the interpreter is called that no option names."""


def legend(comparison: Comparison) -> str:
    """What the columns mean, in one line."""
    repeated = next((who.label for who in comparison.contenders if who.baseline), "")
    noise = f", that of {repeated}" if repeated else ""
    return (
        "the same contender in each interpreter over itself in the first, not over the run's baseline; paired by "
        f"block, with the {looks.interval(comparison)}, and judged by the same δ. No contender but the run's "
        f"baseline ran twice in a block: the noise floor is the cell's one{noise}, and verdicts rest on their "
        "intervals alone."
    )


def name(python: str) -> str:
    """An interpreter as tables call it."""
    return python or _OWN


def tables(comparison: Comparison) -> tuple[CellTable, ...]:
    """A table a cell, in the order of the rows."""
    cells = groupby(comparison.interpreters, key=lambda found: found.row.cell)
    return tuple(_table(comparison, cell, list(found)) for cell, found in cells)


def _table(comparison: Comparison, cell: str, found: Sequence[InterpreterRow]) -> CellTable:
    first, *others = comparison.metrics
    firsts = {one.first_python for one in found}
    versus = name(firsts.pop()) if len(firsts) == 1 else "its first"
    by_label: dict[str, list[InterpreterRow]] = {}
    for one in found:
        by_label.setdefault(one.row.contender, []).append(one)
    labels = tuple(metrics.get(metric).label for metric in others)
    return CellTable(
        name=cell,
        header=(
            *("contender", "interpreter", metrics.get(first).label, f"vs {versus}"),
            *("verdict", *labels),
        ),
        rows=tuple(_cells(comparison, rows) for rows in by_label.values()),
        notes=tuple(_notes(rows[0].row for rows in by_label.values())),
        left=frozenset({0, 1, 4}),
    )


def _cells(comparison: Comparison, found: Sequence[InterpreterRow]) -> tuple[str, ...]:
    first, *others = (one.row for one in found)
    return (
        found[0].bare_label,
        name(found[0].python),
        cell_table.value(first),
        cell_table.versus(first),
        cell_table.verdict(comparison, first),
        *map(cell_table.aside, others),
    )


def _notes(rows: Iterable[ComparisonRow]) -> Iterable[str]:
    noted = list(rows)
    yield cell_table.noise(noted[:1])
    waits = [f"{row.contender} {wait}" for row in noted if (wait := cell_table.wait(row))]
    if waits:
        label = metrics.get(noted[0].metric).label
        yield f"to decide {label}: {', '.join(waits)}"
