"""One cell of two runs as words in columns, and the lines around it."""

from collections.abc import Iterable, Sequence
from typing import Final

from slotbench.compute import metrics
from slotbench.compute.between import TwoRuns
from slotbench.compute.comparison import ComparisonRow
from slotbench.compute.environment_diff import Difference
from slotbench.draw import cell_table, looks, units
from slotbench.draw.cell_table import CellTable

DRIFT: Final = "drift between runs is not controlled"


def tables(runs: TwoRuns) -> tuple[CellTable, ...]:
    """Every cell that both runs have, in head's order."""
    return tuple(_table(runs, cell.name) for cell in runs.cells)


def legend(runs: TwoRuns) -> str:
    """What the verdicts, their signs and the arrows mean, in one line."""
    of_what = "values" if runs.is_absolute else f"ratios to {runs.baseline}"
    said = (
        f"base → head; change is head over base, of {of_what}; [low, high] is its "
        f"{looks.interval(runs)} by Welch's t over {'trials' if runs.is_absolute else 'blocks'}"
    )
    return f"{cell_table.signs(runs.thresholds)}; {said}; {DRIFT}"


def facts(runs: TwoRuns) -> tuple[str, ...]:
    """Each run in one line, and what they were compared by."""
    by = "values compared" if runs.is_absolute else f"baseline {runs.baseline}"
    return (
        f"base {cell_table.run_facts(runs.base)}",
        f"head {cell_table.run_facts(runs.head)}",
        f"{by} · δ {cell_table.deltas(runs.thresholds)}",
    )


def differences(runs: TwoRuns) -> tuple[str, ...]:
    """Every difference of environment and workload, a line each, the forbidding first."""
    return tuple(
        f"{'FORBIDS' if found.forbids else 'differs'}: {found.name}: {_sides(found)}"
        for found in runs.differences
    )


def remarks(runs: TwoRuns) -> tuple[str, ...]:
    """What one run lacks, and what was wrong in each."""
    problems = [
        f"{name}: {line}"
        for name, run in (("base", runs.base), ("head", runs.head))
        for line in cell_table.remarks(run)
    ]
    return (*(f"note: {note}" for note in runs.notes), *problems)


def _sides(found: Difference) -> str:
    base, head = (cell_table.fact(found.name, side) for side in (found.base, found.head))
    return f"{base} → {head} ({found.why})"


def _table(runs: TwoRuns, cell: str) -> CellTable:
    by_label = cell_table.of_cell(runs.rows, cell)
    first, *others = (metrics.get(name).label for name in runs.metrics)
    # Not the baseline's label, which would be the widest thing in the table.
    versus = () if runs.is_absolute else ("vs baseline",)
    header = ("contender", first, *versus, "change", "verdict", "mean batch")
    return CellTable(
        name=cell,
        header=(*header, *(f"{label}, change" for label in others)),
        rows=tuple(_cells(runs, rows) for rows in by_label.values()),
        notes=tuple(_notes(runs, list(by_label.values()))),
        left=frozenset({0, 3 + len(versus)}),
    )


def _cells(runs: TwoRuns, rows: Sequence[ComparisonRow]) -> tuple[str, ...]:
    first, *others = rows
    base, head = _of_runs(first)
    versus = () if runs.is_absolute else (_versus(first, base, head),)
    batches = [units.value(side.mean_batch_size, "rows") for side in (base, head)]
    return (
        first.contender,
        f"{cell_table.value(base)} → {cell_table.value(head)}",
        *versus,
        cell_table.ratio(first),
        _verdict(runs, first),
        " → ".join(batches),
        *(_aside(row) for row in others),
    )


def _of_runs(row: ComparisonRow) -> tuple[ComparisonRow, ComparisonRow]:
    if row.sides is None:
        raise ValueError("a row of one run has no sides")
    return row.sides


def _versus(row: ComparisonRow, base: ComparisonRow, head: ComparisonRow) -> str:
    if row.is_baseline:
        return ""
    ratios = [None if side.ratio is None else side.ratio.point for side in (base, head)]
    return " → ".join(units.ratio(ratio) for ratio in ratios)


def _verdict(runs: TwoRuns, row: ComparisonRow) -> str:
    if row.ratio is not None and row.verdict is not None:
        return row.verdict
    for name, run, side in zip(
        ("base", "head"), (runs.base, runs.head), _of_runs(row), strict=True
    ):
        why = cell_table.why_missing(run, side)
        if why != units.MISSING:
            return f"{name} {why}"
    return units.MISSING


def _aside(row: ComparisonRow) -> str:
    """A further metric in one column: how it changed, and the verdict's sign."""
    if row.ratio is None:
        return units.MISSING
    return f"{units.ratio(row.ratio.point)} {cell_table.mark(row)}"


def _notes(
    runs: TwoRuns, of_contenders: Sequence[Sequence[ComparisonRow]]
) -> Iterable[str]:
    # Every contender's rows hold the cell's noise floor.
    yield cell_table.noise(
        of_contenders[0],
        "noise floor between the runs",
        "two trials of one baseline in each run"
        if runs.is_absolute
        else "in each run two rounds in which the scenario's baseline ran twice",
    )
    for rows in of_contenders:
        for name, run, side in zip(
            ("base", "head"), (runs.base, runs.head), _of_runs(rows[0]), strict=True
        ):
            yield from (f"{name}: {line}" for line in cell_table.left_out(run, side))
