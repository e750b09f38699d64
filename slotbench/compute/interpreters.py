"""What each contender gains or loses in another interpreter: itself there over itself in the first.

A comparison divides all contenders by one baseline, so that it answers this of the baseline alone.
Here each has a baseline of its own, and the statistics are the comparison's: ratios paired by
block, its intervals, δ and verdicts. The noise floor is the run's one, of the scenario's
baseline in its interpreter, which alone ran twice in each block.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slotbench.compute import comparison
from slotbench.compute.comparison import ComparisonRow
from slotbench.compute.metrics import get as get_metric
from slotbench.contenders import bare_label, python_of, pythons
from slotbench.records import Contender, RunRecord, TrialRecord


@dataclass(frozen=True, slots=True)
class InterpreterRow:
    """A contender in one cell and interpreter, by one metric, over itself in the first interpreter.

    Attributes:
        bare_label: its label without the interpreter, which those that are compared share.
        python: the interpreter, as option ``python`` names it; "" is the run's own.
        first_python: that of its baseline: the first that it ran in.
        row: of the contender; its baseline is ``bare_label`` in ``first_python``, which has a row, too.
    """

    bare_label: str
    python: str
    first_python: str
    row: ComparisonRow


def compare(
    run: RunRecord, trials: Sequence[TrialRecord], thresholds: Mapping[str, float]
) -> tuple[InterpreterRow, ...]:
    """Compares every contender that ran in several interpreters with itself.

    The first interpreter is that of the scenario's baseline; the others follow as the scenario has them.

    Args:
        run: its plan.
        trials: its trials in any order, all attempts.
        thresholds: metric → δ, of a comparison of the run.

    Returns:
        By cell, contender, interpreter and metric; empty where no two contenders differ in
        ``python`` alone.

    Raises:
        SlotbenchError: an unknown metric.
        RecordError: the trials are not this run's.
    """
    same = [group for group in _groups(run.scenario.contenders) if len(group) > 1]
    if not same:
        return ()
    pairing = comparison.pair(run, trials, "")
    metrics = [get_metric(name) for name in thresholds]
    return tuple(
        InterpreterRow(
            bare_label=bare_label(who),
            python=python_of(who),
            first_python=python_of(group[0]),
            row=dataclasses.replace(pairing, baseline=group[0].label).row(
                cell.name, who, metric, thresholds[metric.name]
            ),
        )
        for cell in run.scenario.cells
        for group in same
        for who in group
        for metric in metrics
    )


def _groups(contenders: Sequence[Contender]) -> list[list[Contender]]:
    """Those that differ in ``python`` alone, each group in the order of the interpreters."""
    order = pythons(sorted(contenders, key=lambda who: not who.baseline))
    found: dict[str, list[Contender]] = {}
    for who in contenders:
        found.setdefault(bare_label(who), []).append(who)
    return [
        sorted(group, key=lambda who: order.index(python_of(who)))
        for group in found.values()
    ]
