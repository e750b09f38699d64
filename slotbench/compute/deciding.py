"""Whether a cell is decided, and if not, whether more rounds have a prospect of deciding it.

What a run until decided asks at each look. That it stops for lack of prospect costs no
false alarm: a run that stops earlier than its looks would let it crosses fewer bounds, not more.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from slotbench.compute import comparison
from slotbench.compute.comparison import FLOOR, ComparisonRow, Pairing
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.statistics import MIN_PAIRS_TO_EXTRAPOLATE, RatioEstimate
from slotbench.errors import SlotbenchError
from slotbench.records import Contender, RunRecord, Sequential, TrialRecord

MIN_PROSPECT: Final = 0.05
"""Chance that a row is decided at the last look, below which nobody waits for it."""

MIN_PAIRED: Final = 0.5
"""Share of a cell's rounds that must have given a pair for a row to be waited for: a contender that
fails more often than not would eat the budget and still be undecided."""

Standing = Literal["decided", "open", "no prospect", "no numbers"]


@dataclass(frozen=True, slots=True)
class RowStanding:
    """Where one judged row of a cell stands.

    Attributes:
        row: as a comparison has it.
        standing: "decided": it has a verdict; "open": more rounds may give one; "no prospect": by what
            is known they hardly will; "no numbers": too few pairs, or a value of 0.
    """

    row: ComparisonRow
    standing: Standing


def standings(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    *,
    more_rounds: dict[str, int] | None = None,
) -> tuple[RowStanding, ...]:
    """Every judged row of a run until decided, by the metrics that decide it.

    Args:
        run: its plan so far, with a baseline.
        trials: all of its trials, all attempts.
        more_rounds: cell → rounds that it would get until its last look; rows are of these cells
            alone. None is every cell, of which nothing more is expected.

    Raises:
        ValueError: the run is none that goes on until it is decided.
        RecordError: the trials are not this run's.
    """
    planned = run.sequential
    if planned is None:
        raise ValueError(f"{run.run_id} is no run until decided")
    base = comparison.baseline_label(run.scenario.contenders, None)
    pairing = comparison.pair(run, trials, base)
    return tuple(
        _standing(
            pairing,
            planned,
            (cell.name, who, name),
            num_rounds=_num_rounds(run, cell.name),
            more=0 if more_rounds is None else more_rounds[cell.name],
        )
        for cell in run.scenario.cells
        if more_rounds is None or cell.name in more_rounds
        for who in judged(run.scenario.contenders)
        for name in planned.metrics
    )


def of_cell(rows: Iterable[RowStanding]) -> Standing:
    """Where a cell stands: open while any of its rows is."""
    found = {one.standing for one in rows}
    order: tuple[Standing, ...] = ("open", "no prospect", "no numbers")
    return next((standing for standing in order if standing in found), "decided")


def judged(contenders: Iterable[Contender]) -> list[Contender]:
    """Those that can be faster or slower: neither the baseline nor a floor."""
    return [who for who in contenders if not who.baseline and who.name != FLOOR]


def check(contenders: Iterable[Contender], metrics: Iterable[str]) -> None:
    """Refuse what can never be decided.

    Raises:
        SlotbenchError: there is no such metric, or one without a good direction; or no baseline, or nobody
            beside it.
    """
    contenders = list(contenders)
    for name in metrics:
        if get_metric(name).better == "neither":
            raise SlotbenchError(
                f"{name} has no good direction, so that no verdict decides it: choose another metric"
            )
    if not any(who.baseline for who in contenders) or not judged(contenders):
        raise SlotbenchError(
            "there is nothing to decide: --until-decided needs a baseline and a contender beside it"
        )


def prospect(
    ratio: RatioEstimate, more_pairs: int, threshold: float, confidence: float
) -> float:
    """Chance that a ratio is decided after so many more pairs, by what is known of it.

    The mean to come is predicted from the pairs so far, about theirs by Student's t; their spread is
    taken to stay.

    Args:
        ratio: so far, undecided.
        more_pairs: at least 1.
        threshold: δ.
        confidence: of the interval that is to decide.

    Returns:
        1 where fewer than `MIN_PAIRS_TO_EXTRAPOLATE` pairs tell next to nothing.

    Source: predictive power; Spiegelhalter, Freedman and Blackburn, "Monitoring Clinical Trials:
    Conditional or Predictive Power?", Controlled Clinical Trials 7 (1986).
    """
    now = ratio.num_pairs
    if ratio.log_sd is None or now < MIN_PAIRS_TO_EXTRAPOLATE:
        return 1.0
    if ratio.log_sd == 0.0:
        return 0.0
    from scipy import special

    then = now + more_pairs
    mean, within = math.log(ratio.point), math.log1p(threshold)
    half = float(special.stdtrit(then - 1, 0.5 + confidence / 2))
    half *= ratio.log_sd / math.sqrt(then)
    scale = ratio.log_sd * math.sqrt(1.0 / now - 1.0 / then)

    def below(limit: float) -> float:
        return float(special.stdtr(now - 1, (limit - mean) / scale))

    differs = below(-half) + 1.0 - below(half)
    # Means so close to 1 that the whole interval is inside ±δ; what both say is counted once.
    inside = min(half, within - half)
    return differs + (below(inside) - below(-inside) if inside > 0.0 else 0.0)


def _num_rounds(run: RunRecord, cell: str) -> int:
    return sum(any(name == cell for name, _ in blocks) for blocks in run.design.blocks)


def _standing(
    pairing: Pairing,
    planned: Sequential,
    place: tuple[str, Contender, str],
    *,
    num_rounds: int,
    more: int,
) -> RowStanding:
    cell, who, name = place
    metric, threshold = get_metric(name), planned.thresholds[name]
    row = pairing.row(cell, who, metric, threshold)
    if row.verdict not in {"inconclusive", None}:
        return RowStanding(row, "decided")
    is_withheld = pairing.is_withheld(cell, who.label, metric, row.ratio)
    if row.ratio is None or is_withheld or row.ratio.num_pairs < MIN_PAIRED * num_rounds:
        return RowStanding(row, "no numbers")
    chance = prospect(row.ratio, more, threshold, pairing.confidence) if more else 0.0
    return RowStanding(row, "open" if chance >= MIN_PROSPECT else "no prospect")
