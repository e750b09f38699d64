"""What a comparison must not say for a build to pass.

A row regresses where its interval lies wholly beyond δ on the bad side of its metric, and
still does once all gated rows are taken together: many rows make one false alarm likely, so
the one-sided p-values of "not worse than δ" are adjusted by Holm's step-down. At 95 % a
two-sided interval beyond δ is a one-sided p below 2.5 %, which is the level of the family. Of a
run that looked more than once, p is that of any of its looks (`slotbench.compute.sequential`).
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from slotbench.compute import sequential, statistics
from slotbench.compute.between import Compared, TwoRuns
from slotbench.compute.comparison import FLOOR, ComparisonRow
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.statistics import CONFIDENCE
from slotbench.errors import SlotbenchError

ALPHA: Final = (1.0 - CONFIDENCE) / 2
"""One-sided level of the whole family; see this module's docstring."""

FailOn = Literal["regression", "inconclusive"]
"""What fails a gate; "inconclusive" means regressions too."""

Outcome = Literal["regressed", "inconclusive", "no ratio", "passed"]
Result = Literal[
    "passed", "regression", "failed trial", "missing data", "INVALID", "inconclusive"
]


@dataclass(frozen=True, slots=True)
class GatedRow:
    """One row under a gate.

    Attributes:
        p_worse: one-sided p-value of "not worse than δ"; None where the row gives none: no
            interval, or one whose verdict a value of 0 withholds. Of all looks at the run.
        p_holm: the same among all gated rows that have one.
        outcome: "inconclusive" fails only a gate that asks for a decision; "no ratio" fails
            every gate: as a failed trial, as missing data or as INVALID.
    """

    row: ComparisonRow
    p_worse: float | None
    p_holm: float | None
    outcome: Outcome

    @property
    def is_beyond(self) -> bool:
        """Whether the row's own interval lies wholly beyond δ on the bad side."""
        return self.p_worse is not None and self.p_worse < ALPHA


@dataclass(frozen=True, slots=True)
class Gate:
    """What was asked, and what came of it.

    Attributes:
        fail_on: as asked, each once.
        rows: the gated ones, in the comparison's order; none where all that could be gated
            is missing.
        failed: contender → trials without numbers behind gated rows, the baseline's included.
        invalid: contender → INVALID trials behind them.
        missing: what a gate cannot do without, in words: a run that is not complete, a
            cell or contender that base has and head has not, a row without numbers.
        result: the first that holds of: a regression, a failed trial, missing data, an
            INVALID trial, a row that is not decided where that was asked.
    """

    fail_on: tuple[FailOn, ...]
    rows: tuple[GatedRow, ...]
    failed: Mapping[str, int]
    invalid: Mapping[str, int]
    missing: tuple[str, ...]
    result: Result


def judge(compared: Compared, fail_on: Sequence[str]) -> Gate:
    """Hold every judged row of a comparison against its threshold.

    Gated are all contenders but the baseline and floors, by every metric that has a good
    direction.

    Args:
        compared: one run, or two.
        fail_on: names of `FailOn`, at least one.

    Raises:
        SlotbenchError: another name, none, or no row that can be gated, and none missing.
    """
    asked = _asked(fail_on)
    judged = [row for row in compared.rows if row.is_judged]
    absent = tuple(_absent(compared))
    if not judged and not absent:
        raise SlotbenchError(
            "there is nothing to gate: the comparison holds no contender besides baseline "
            "and floor, or no metric with a good direction"
        )
    raw = [_p_worse(row, compared.looks) for row in judged]
    adjusted = iter(holm([p for p in raw if p is not None]))
    rows = tuple(
        _gated(row, p, None if p is None else next(adjusted))
        for row, p in zip(judged, raw, strict=True)
    )
    behind = _behind(compared.rows, judged)
    failed = _by_contender((row.contender, row.num_failed) for row in behind)
    invalid = _by_contender((row.contender, row.num_invalid) for row in behind)
    missing = (*_incomplete(compared), *absent, *_without_numbers(compared.rows, judged))
    outcomes = {gated.outcome for gated in rows}
    result: Result = "passed"
    if "regressed" in outcomes:
        result = "regression"
    elif failed:
        result = "failed trial"
    elif missing:
        result = "missing data"
    elif invalid:
        result = "INVALID"
    elif "inconclusive" in asked and "inconclusive" in outcomes:
        result = "inconclusive"
    return Gate(asked, rows, failed, invalid, missing, result)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values: below a level, all at once, with that family-wise error at most.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6 (1979).
    """
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def _asked(fail_on: Sequence[str]) -> tuple[FailOn, ...]:
    known = get_args(FailOn)
    for name in fail_on:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4) or known
            raise SlotbenchError(
                f"a gate cannot fail on {name!r}: did you mean {' or '.join(near)}?"
            )
    if not fail_on:
        raise SlotbenchError(f"a gate needs something to fail on: {' or '.join(known)}")
    return tuple(name for name in known if name in fail_on)


def _p_worse(row: ComparisonRow, looks: Sequence[int]) -> float | None:
    if row.ratio is None:
        return None
    p_value = statistics.p_worse(row.ratio, row.threshold, get_metric(row.metric).better)
    if p_value is not None:
        p_value = sequential.family_p_value(looks, p_value)
    # Inconclusive though the interval is decided: a value of 0, which is not in it.
    is_withheld = row.verdict == "inconclusive" and p_value is not None and p_value < ALPHA
    return None if is_withheld else p_value


def _gated(row: ComparisonRow, p_worse: float | None, p_holm: float | None) -> GatedRow:
    outcome: Outcome = "passed"
    if row.ratio is None:
        outcome = "no ratio"
    elif p_holm is not None and p_holm < ALPHA:
        outcome = "regressed"
    elif row.verdict == "inconclusive":
        outcome = "inconclusive"
    return GatedRow(row, p_worse, p_holm, outcome)


def _behind(
    rows: Iterable[ComparisonRow], judged: Iterable[ComparisonRow]
) -> list[ComparisonRow]:
    """One row of each contender and cell whose trials the gated rows are made of."""
    cells = {row.cell for row in judged}
    gated = {(row.cell, row.contender) for row in judged}
    found = {
        (row.cell, row.contender): row
        for row in rows
        if (row.cell, row.contender) in gated or (row.is_baseline and row.cell in cells)
    }
    return list(found.values())


def _incomplete(compared: Compared) -> Iterable[str]:
    """Every run that did not come to its end."""
    if isinstance(compared, TwoRuns):
        runs = {"base": compared.base, "head": compared.head}
    else:
        runs = {"the run": compared}
    for name, run in runs.items():
        if run.end:
            yield f"{name} {run.end}"


def _absent(compared: Compared) -> Iterable[str]:
    """Cells and contenders that would be gated if head had them as base has."""
    is_gated = any(get_metric(name).better != "neither" for name in compared.metrics)
    if not isinstance(compared, TwoRuns) or not is_gated:
        return
    cells = {cell.name for cell in compared.head.cells}
    labels = {who.label for who in compared.head.contenders}
    for who in compared.base.contenders:
        if who.label not in labels and who.name != FLOOR:
            yield f"head has no contender {who.label}"
    yield from (
        f"head has no cell {c.name}" for c in compared.base.cells if c.name not in cells
    )


def _without_numbers(
    rows: Iterable[ComparisonRow], judged: Sequence[ComparisonRow]
) -> Iterable[str]:
    """What rows without a ratio lack, where no failed or INVALID trial tells why."""
    baselines = {(row.cell, row.metric): row for row in rows if row.is_baseline}
    lacking: dict[tuple[str, str, str], list[str]] = {}
    for row in judged:
        if row.ratio is not None:
            continue
        baseline = baselines.get((row.cell, row.metric))
        behind = [row] if baseline is None else [row, baseline]
        places = [
            (f"{name} lacks", of_run.contender, row.cell)
            for one in behind
            for name, of_run in _of_runs(one)
            if not (of_run.num_trials or of_run.num_invalid or of_run.num_failed)
        ]
        if not places and not any(one.num_invalid or one.num_failed for one in behind):
            # Values of 0 alone, or no block that holds both.
            places = [("no ratio by", row.contender, row.cell)]
        for place in places:
            lacking.setdefault(place, []).append(get_metric(row.metric).label)
    num_metrics = len({row.metric for row in judged})
    for (start, who, cell), found in lacking.items():
        labels = dict.fromkeys(found)
        what = "any metric" if len(labels) == num_metrics else ", ".join(labels)
        yield f"{start} {what} of {who} in {cell}"


def _of_runs(row: ComparisonRow) -> tuple[tuple[str, ComparisonRow], ...]:
    """The row of each run, after the run's name."""
    if row.sides is None:
        return (("the run", row),)
    return ("base", row.sides[0]), ("head", row.sides[1])


def _by_contender(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Sums by contender, of those that are not 0."""
    found: dict[str, int] = {}
    for label, number in counts:
        if number:
            found[label] = found.get(label, 0) + number
    return found
