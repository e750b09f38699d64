"""One cell of a run's comparison as words in columns, and the lines around it.

`slotbench.draw.between_table` is the same for two runs, `slotbench.draw.page` chooses.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slotbench.compute import metrics
from slotbench.compute import nodes as of_nodes
from slotbench.compute.blocks import Problem
from slotbench.compute.comparison import Comparison, ComparisonRow, Resumed
from slotbench.draw import looks, units
from slotbench.records import Scalar

MARKS: Final = {
    "faster": "▲",
    "slower": "▼",
    "equivalent": "=",
    "inconclusive": "?",
    "different": "≠",
}
"""Signs of the verdicts, for the metrics that get no word of their own."""

BASELINE: Final = "baseline"
LIMIT: Final = "limit"
"""Stands where a floor's verdict would: it bounds the race and does not run in it."""

MAX_DIFFERENCES: Final = 5
"""Facts that a remark on a resumption names before it counts the rest."""

_COMMIT_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class CellTable:
    """One cell.

    Attributes:
        header: names of the columns; the first is the contender.
        rows: as wide as the header; the first column is the contender's full label.
        notes: what a reader must know besides, a line each.
        left: columns of words; the others are of numbers, and end below each other.
    """

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    left: frozenset[int]


def tables(comparison: Comparison) -> tuple[CellTable, ...]:
    """Every cell, in the scenario's order."""
    return tuple(_table(comparison, cell.name) for cell in comparison.cells)


def legend(comparison: Comparison) -> str:
    """What the verdicts and their signs mean, in one line."""
    return (
        f"{signs(comparison.thresholds)}; [low, high] is the "
        f"{looks.interval(comparison)} of the ratio over blocks"
    )


def signs(thresholds: Mapping[str, float]) -> str:
    """The signs of the verdicts with their words."""
    is_one = len(set(thresholds.values())) == 1
    within = f"within {'±' if is_one else 'its δ: '}{deltas(thresholds)}"
    return (
        f"{MARKS['faster']} faster  {MARKS['slower']} slower  "
        f"{MARKS['equivalent']} equivalent ({within})  "
        f"{MARKS['inconclusive']} inconclusive"
    )


def deltas(thresholds: Mapping[str, float]) -> str:
    """Every δ: "3 %", or where they differ "throughput 3 %, p99 latency 10 %"."""
    if len(set(thresholds.values())) == 1:
        return units.percent(next(iter(thresholds.values())))
    return ", ".join(
        f"{metrics.get(name).label} {units.percent(delta)}"
        for name, delta in thresholds.items()
    )


def facts(comparison: Comparison) -> str:
    """The run in one line: id, state, rounds, baseline, threshold."""
    return (
        f"run {run_facts(comparison)} · baseline {comparison.baseline} · "
        f"δ {deltas(comparison.thresholds)}"
    )


def run_facts(comparison: Comparison) -> str:
    """A run's id, state and rounds."""
    return f"{comparison.run_id} · {comparison.status} · {looks.rounds(comparison)}"


def remarks(comparison: Comparison) -> tuple[str, ...]:
    """Nodes, resumptions, skipped contenders and every kind of problem, a line each."""
    lines = list(of_nodes.notes([share.node for share in comparison.nodes]))
    lines += [resumed(again) for again in comparison.resumptions]
    lines += [f"skipped: {who.label} ({who.reason})" for who in comparison.skipped]
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in comparison.problems:
        groups.setdefault((problem.kind, problem.rule), []).append(problem)
    severity = ("INVALID", "failed", "DISTURBED", "warning")
    for kind, rule in sorted(groups, key=lambda key: severity.index(key[0])):
        lines.append(_remark(groups[kind, rule]))
    return tuple(lines)


def fact(name: str, value: Scalar | None) -> str:
    """One side of a difference, as short as it can be told apart."""
    if value is None:
        return "none"
    return str(value)[:_COMMIT_DIGITS] if name == "git_commit" else str(value)


def resumed(again: Resumed) -> str:
    """One resumption, and what differs from where the run began."""
    said = f"resumed {again.created_at} after {units.count(again.num_trials, 'trial')}"
    if not again.differences:
        return said
    named = [
        f"{d.name} was {fact(d.name, d.base)}, is {fact(d.name, d.head)}"
        for d in again.differences[:MAX_DIFFERENCES]
    ]
    if len(again.differences) > MAX_DIFFERENCES:
        named.append(f"and {len(again.differences) - MAX_DIFFERENCES} more")
    return f"{said}; differs: {'; '.join(named)}"


def _remark(problems: Sequence[Problem]) -> str:
    first = problems[0]
    who = ", ".join(dict.fromkeys(p.contender for p in problems))
    trials = units.count(len({p.trial_id for p in problems}), "trial")
    name = first.kind if first.rule == first.kind else f"{first.kind} {first.rule}"
    such = "such as " if len(problems) > 1 else ""
    replaced = len({p.trial_id for p in problems if not p.is_counted})
    again = f", {replaced} of them measured again" if replaced else ""
    text = (
        f"{name}: {trials} of {who}{again}; {such}{first.trial_id} ({first.cell}): "
        f"{first.detail}"
    )
    return f"{text} → {first.remedy}" if first.remedy else text


def _table(comparison: Comparison, cell: str) -> CellTable:
    by_label = of_cell(comparison.rows, cell)
    first, *others = comparison.metrics
    header = ("contender", metrics.get(first).label, f"vs {comparison.baseline}", "verdict")
    labels = tuple(metrics.get(name).label for name in others)
    return CellTable(
        name=cell,
        header=(*header, "mean batch", *labels),
        rows=tuple(_cells(comparison, rows) for rows in by_label.values()),
        notes=tuple(_notes(comparison, by_label)),
        left=frozenset({0, 3}),
    )


def of_cell(rows: Iterable[ComparisonRow], cell: str) -> dict[str, list[ComparisonRow]]:
    """Contender → its rows of that cell, in the order of the metrics."""
    by_label: dict[str, list[ComparisonRow]] = {}
    for row in rows:
        if row.cell == cell:
            by_label.setdefault(row.contender, []).append(row)
    return by_label


def _cells(comparison: Comparison, rows: Sequence[ComparisonRow]) -> tuple[str, ...]:
    first, *others = rows
    return (
        first.contender,
        value(first),
        versus(first),
        verdict(comparison, first),
        units.value(first.mean_batch_size, "rows"),
        *(aside(row) for row in others),
    )


def value(row: ComparisonRow) -> str:
    """A row's value with its unit, or what became of its trials."""
    if row.value is None and row.num_invalid:
        return "INVALID"
    if row.value is None and row.num_failed:
        return "failed"
    return units.value(row.value, metrics.get(row.metric).unit)


def versus(row: ComparisonRow) -> str:
    """A row's ratio; nothing for the baseline's own."""
    if row.is_baseline:
        return ""
    return ratio(row)


def ratio(row: ComparisonRow) -> str:
    """A row's ratio, with its interval where it has one."""
    if row.ratio is None:
        return units.MISSING
    if row.ratio.low is None:
        return units.ratio(row.ratio.point)
    return f"{units.ratio(row.ratio.point)} {units.interval(row.ratio.low, row.ratio.high)}"


def verdict(comparison: Comparison, row: ComparisonRow) -> str:
    """A row's verdict, or why it has none."""
    if row.is_baseline:
        return BASELINE
    if row.verdict is None:
        return why_missing(comparison, row)
    return LIMIT if row.is_floor else row.verdict


def why_missing(comparison: Comparison, row: ComparisonRow) -> str:
    """The rule that made the trials INVALID, "failed", or nothing known."""
    rules = dict.fromkeys(
        p.rule
        for p in comparison.problems
        if p.cell == row.cell and p.contender == row.contender and p.kind == "INVALID"
    )
    if row.num_invalid and rules:
        return f"INVALID: {', '.join(rules)}"
    return "failed" if row.num_failed else units.MISSING


def aside(row: ComparisonRow) -> str:
    """A further metric in one column: value, ratio, sign."""
    shown = value(row)
    if row.ratio is None:
        return shown
    return f"{shown}  {units.ratio(row.ratio.point)} {mark(row)}"


def mark(row: ComparisonRow) -> str:
    """The verdict's sign; a blank, which keeps a column's ratios below each other, for none."""
    return MARKS.get(row.verdict or "", " ")


def _notes(
    comparison: Comparison, by_label: dict[str, list[ComparisonRow]]
) -> Iterable[str]:
    base = by_label[comparison.baseline]
    yield noise(base)
    for rows in by_label.values():
        yield from left_out(comparison, rows[0])
    waits = [
        f"{label} {wait(rows[0])}" for label, rows in by_label.items() if wait(rows[0])
    ]
    if waits:
        yield f"to decide {metrics.get(comparison.metrics[0]).label}: {', '.join(waits)}"


def noise(
    rows: Sequence[ComparisonRow],
    label: str = "noise floor",
    needs: str = "two rounds in which the scenario's baseline ran twice",
) -> str:
    """What a cell can show at all, by metric: one line.

    Args:
        rows: of one contender, every metric once.
        label: what the line begins with.
        needs: what there must be for it.
    """
    if all(row.noise_floor is None for row in rows):
        return f"{label}: n/a (needs {needs})"
    known = [f"{metrics.get(r.metric).label} {units.percent(r.noise_floor)}" for r in rows]
    line = f"{label}: {', '.join(known)}"
    coarse: dict[float, list[str]] = {}
    for row in rows:
        if row.can_resolve is False:
            coarse.setdefault(row.threshold, []).append(metrics.get(row.metric).label)
    blind = [
        f"cannot resolve {units.percent(delta)} here in {', '.join(names)}"
        for delta, names in coarse.items()
    ]
    return "; ".join((line, *blind))


def left_out(comparison: Comparison, row: ComparisonRow) -> Iterable[str]:
    """How many trials of a contender in a cell count, where not all do."""
    kinds = []
    for kind, number in (("INVALID", row.num_invalid), ("failed", row.num_failed)):
        if number:
            rules = _rules(comparison, row.cell, row.contender, kind)
            kinds.append(f"{number} {kind}{rules}")
    if kinds:
        counted = units.count(row.num_trials, "trial")
        yield f"{row.contender}: {counted} counted, {', '.join(kinds)}"


def _rules(comparison: Comparison, cell: str, label: str, kind: str) -> str:
    if kind == "failed":
        return ""
    rules = dict.fromkeys(
        p.rule
        for p in comparison.problems
        if (p.cell, p.contender, p.kind) == (cell, label, kind) and p.is_counted
    )
    return f" ({', '.join(rules)})" if rules else ""


def wait(row: ComparisonRow) -> str:
    """How many more rounds an undecided contender would take."""
    if row.verdict != "inconclusive" or row.is_floor or row.ratio is None:
        return ""
    if row.more_blocks:
        return f"about {units.count(row.more_blocks, 'more round')}"
    return "" if row.ratio.log_sd is None else "more than 1 000 more rounds"
