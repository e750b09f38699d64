"""The sentences that open a comparison: who wins where, and not a word beyond the verdicts."""

from collections.abc import Iterable, Sequence
from typing import Final

from slotbench.compute import metrics
from slotbench.compute.between import Compared, TwoRuns
from slotbench.compute.comparison import Comparison, ComparisonRow
from slotbench.compute.statistics import Verdict
from slotbench.draw import units

_THROUGHPUT: Final = {"faster": "serves more requests", "slower": "serves fewer requests"}


def opening(compared: Compared) -> str:
    """One to three sentences on the comparison's first metric, usually throughput.

    Ranges are those of the point estimates in the cells that the verdict names. A floor
    is a limit: its ratio is told, its verdict is not; likewise the baseline's drift.
    """
    rows = [row for row in compared.rows if row.metric == compared.metrics[0]]
    if isinstance(compared, TwoRuns):
        return " ".join(_between(compared, rows))
    said = _nothing_usable(rows) or _nothing_to_compare(compared, rows)
    if said:
        return f"{said}{_caveat(compared)}"
    rivals = [row for row in rows if not row.is_baseline and not row.is_floor]
    start = f"Against {compared.baseline}, "
    sentences = [_verdicts(compared, start, rivals)] if rivals else []
    return " ".join([*sentences, *_floors(rows)]) + _caveat(compared)


def _between(runs: TwoRuns, rows: Sequence[ComparisonRow]) -> Iterable[str]:
    """Who changed from base to head; how far the baseline, or the floor, moved by itself."""
    rivals = [row for row in rows if not row.is_baseline and not row.is_floor]
    by = "" if runs.is_absolute else f" by ratios to {runs.baseline}"
    if not rivals:
        yield f"No contender but {runs.baseline or 'the floor'} is in both runs."
    elif not any(row.ratio for row in rivals):
        yield "No contender has a usable ratio in both runs: there is nothing to compare."
    elif all(row.ratio is None or row.ratio.low is None for row in rivals):
        yield (
            "Nothing is decided: in no cell do both runs have the two usable "
            f"{'trials' if runs.is_absolute else 'blocks'} an interval needs."
        )
    else:
        yield _verdicts(runs, f"Head against base{by}, ", rivals)
    drifting = [row for row in rows if row.ratio is not None]
    if runs.is_absolute:
        still = [row for row in drifting if row.is_floor]
        name = "The floor (no payload)"
    else:
        still = [row for row in drifting if row.is_baseline]
        name = f"{runs.baseline} itself"
    if still:
        yield f"{name} stands at {_span(still)} of its base; drift is not controlled."
    else:
        yield "Drift between runs is not controlled."
    for side, run in (("base", runs.base), ("head", runs.head)):
        caveat = _caveat(run).strip()
        if caveat:
            yield f"In {side}: {caveat[0].lower()}{caveat[1:]}"


def _nothing_usable(rows: Sequence[ComparisonRow]) -> str:
    if any(row.value is not None for row in rows):
        return ""
    invalid = sum(row.num_invalid for row in rows)
    failed = sum(row.num_failed for row in rows)
    if invalid and not failed:
        return "Every trial is INVALID: there is no number here to use."
    if invalid or failed:
        return f"No trial gave a number to use: {invalid} INVALID, {failed} failed."
    return "No trial gave a number to use."


def _nothing_to_compare(comparison: Comparison, rows: Sequence[ComparisonRow]) -> str:
    others = [row for row in rows if not row.is_baseline]
    if not others:
        return f"Only {comparison.baseline} was raced: there is nothing to compare it with."
    if not any(row.ratio for row in others):
        return (
            f"No block holds a usable pair with {comparison.baseline}: there is nothing "
            "to compare."
        )
    if all(row.ratio is None or row.ratio.low is None for row in others):
        if comparison.num_rounds > 1:
            return "Nothing is decided: no cell has the two usable pairs an interval needs."
        return (
            "Nothing is decided: one round gives no interval; run with --rounds 5 or more."
        )
    return ""


def _verdicts(compared: Compared, start: str, rivals: Sequence[ComparisonRow]) -> str:
    cells = len(compared.cells)
    where = "in the one cell" if cells == 1 else f"over {units.count(cells, 'cell')}"
    start = f"{start}{where}"
    if all(row.verdict in {"inconclusive", None} for row in rivals):
        label = metrics.get(compared.metrics[0]).label
        return f"{start}: no difference in {label} is decided{_more(rivals)}."
    names = dict.fromkeys(row.contender for row in rivals)
    clauses = [_clause(compared, name, rivals) for name in names]
    return f"{start}: {'; '.join(clauses)}."


def _clause(compared: Compared, name: str, rivals: Sequence[ComparisonRow]) -> str:
    mine = [row for row in rivals if row.contender == name]
    total = len(mine)
    parts: list[str] = []
    for verdict in ("faster", "slower", "different", "equivalent", "inconclusive", None):
        hits = [row for row in mine if row.verdict == verdict]
        if hits:
            parts.append(_part(compared, verdict, hits, total, not parts))
    if len(parts) == 1:
        return f"{name} {parts[0]}"
    return f"{name} {', '.join(parts[:-1])} and {parts[-1]}"


def _part(
    compared: Compared,
    verdict: Verdict | None,
    hits: Sequence[ComparisonRow],
    total: int,
    is_first: bool,
) -> str:
    where = ""
    if total > 1:
        where = f" in {len(hits)} of {total}" if is_first else f" in {len(hits)}"
    if verdict is None:
        of_what = "pair" if isinstance(compared, Comparison) else "ratio"
        return f"has no usable {of_what}{where}"
    if verdict == "inconclusive":
        return f"is undecided{where}"
    if verdict == "equivalent":
        return f"is equivalent{where} (within ±{units.percent(hits[0].threshold)})"
    return f"{_phrase(compared.metrics[0], verdict)}{where} ({_span(hits)})"


def _phrase(name: str, verdict: Verdict) -> str:
    metric = metrics.get(name)
    if metric.better == "neither":
        return f"differs in {metric.label}"
    if name == "throughput":
        return _THROUGHPUT[verdict]
    is_more = (verdict == "faster") == (metric.better == "higher")
    return f"has {'more' if is_more else 'less'} {metric.label}"


def _span(rows: Iterable[ComparisonRow]) -> str:
    points = [row.ratio.point for row in rows if row.ratio is not None]
    return units.span(min(points), max(points))


def _floors(rows: Sequence[ComparisonRow]) -> list[str]:
    names = dict.fromkeys(row.contender for row in rows if row.is_floor)
    said = []
    for name in names:
        mine = [row for row in rows if row.contender == name and row.ratio is not None]
        if mine:
            title = "The floor" if name == "floor" else f"The limit {name}"
            said.append(f"{title} (no payload) stands at {_span(mine)}.")
    return said


def _more(rivals: Sequence[ComparisonRow]) -> str:
    """What it would take, where something is in sight."""
    needed = [row.more_blocks for row in rivals if row.more_blocks]
    if not needed:
        return ""
    return f"; the nearest would take about {units.count(min(needed), 'more round')}"


def _caveat(comparison: Comparison) -> str:
    """What was left out, and whether the run is whole: said here, not only below."""
    said = ""
    recorded = units.count(comparison.num_recorded, "trial")
    parts = []
    for kind in ("INVALID", "failed"):
        hit = {p.trial_id for p in comparison.problems if p.is_counted and p.kind == kind}
        parts += [f"{len(hit)} {kind}"] if hit else []
    if parts:
        said += f" Left out: {' and '.join(parts)} of {recorded}."
    disturbed = {
        p.trial_id for p in comparison.problems if p.is_counted and p.kind == "DISTURBED"
    }
    if disturbed:
        used = units.count(len(disturbed), "trial")
        said += f" Used although the machine disturbed them: {used}."
    if comparison.end:
        said += (
            f" The run {comparison.end}: {recorded} of {comparison.num_planned} planned."
        )
    return said
