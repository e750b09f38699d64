"""What contenders make of what they are offered: the cells of an open loop, contender by contender.

Below saturation everybody serves what is offered, and latency tells contenders apart; beyond, the backlog
grows as long as the window lasts, and latency with it: there throughput tells.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from slotbench.compute import arrivals, blocks, comparison, statistics
from slotbench.compute.comparison import FLOOR
from slotbench.compute.statistics import RatioEstimate
from slotbench.records import OpenLoop, RunRecord, TrialMeasurement, TrialRecord


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """One contender at one offered load. Values are geometric means over its usable trials.

    Attributes:
        cell, contender: names.
        is_floor: it carries no payload.
        offered_per_s: of all actors together.
        served_per_s: replies in the window, per second.
        latency_p50_s, latency_p99_s: from the intended start; None where no trial has it.
        p50_interval, p99_interval: t intervals of these, s, as sure as the run's others; None for one trial.
        call_p50_s, call_p99_s: from the actual start: without the wait for a busy slot.
        late_p99_s: the generator's own delay.
        unanswered_share: of what was due, what was never submitted; the mean.
        num_trials: behind the values.
        num_overloaded: of them, those in which the backlog grew.
    """

    cell: str
    contender: str
    is_floor: bool
    offered_per_s: float
    served_per_s: float | None
    latency_p50_s: float | None
    latency_p99_s: float | None
    p50_interval: tuple[float, float] | None
    p99_interval: tuple[float, float] | None
    call_p50_s: float | None
    call_p99_s: float | None
    late_p99_s: float | None
    unanswered_share: float
    num_trials: int
    num_overloaded: int

    @property
    def is_saturated(self) -> bool:
        """Whether the backlog grew in half of the trials or more."""
        return 2 * self.num_overloaded >= self.num_trials


def points(run: RunRecord, trials: Sequence[TrialRecord]) -> tuple[LoadPoint, ...]:
    """Every contender with a usable trial, the floor included, in every cell of an open loop.

    Raises:
        RecordError: the trials are not this run's.
    """
    cells = [cell for cell in run.scenario.cells if cell.workload.load.is_open]
    if not cells:
        return ()
    pairing = comparison.pair(run, trials, "")
    found = []
    for cell in cells:
        load, num_slots = cell.workload.load, cell.workload.num_slots
        for who in run.scenario.contenders:
            own = pairing.arms.get((cell.name, who.label, 0), {}).values()
            usable = [one for one in own if _open(one) and not one.is_invalid]
            if usable:
                offered_per_s = arrivals.offered_per_s(load, num_slots)
                place = (cell.name, who.label, who.name == FLOOR)
                found.append(
                    _point(*place, offered_per_s, usable, confidence=pairing.confidence)
                )
    return tuple(found)


def flat(point: LoadPoint) -> dict[str, Any]:
    """One contender at one load as plain fields: seconds, and requests per second.

    An interval has its ends as ``…_low_s`` and ``…_high_s``; None is missing.
    """
    found = dataclasses.asdict(point)
    for percent in ("p50", "p99"):
        low_s, high_s = found.pop(f"{percent}_interval") or (None, None)
        found |= {
            f"latency_{percent}_low_s": _finite(low_s),
            f"latency_{percent}_high_s": _finite(high_s),
        }
    return found | {"is_saturated": point.is_saturated}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _open(trial: TrialRecord) -> bool:
    measured = trial.measurement
    return measured is not None and measured.open_loop is not None


def _point(
    cell: str,
    label: str,
    is_floor: bool,
    offered_per_s: float,
    trials: Sequence[TrialRecord],
    *,
    confidence: float,
) -> LoadPoint:
    both: list[tuple[TrialMeasurement, OpenLoop]] = [
        (trial.measurement, trial.measurement.open_loop)
        for trial in trials
        if trial.measurement is not None and trial.measurement.open_loop is not None
    ]
    p50 = _estimate((measured.latency_p50_s for measured, _ in both), confidence)
    p99 = _estimate((measured.latency_p99_s for measured, _ in both), confidence)
    unanswered = [of.num_unanswered / max(1, of.num_intended) for _, of in both]
    return LoadPoint(
        cell=cell,
        contender=label,
        is_floor=is_floor,
        offered_per_s=offered_per_s,
        served_per_s=_mean(m.num_replies / m.window_s for m, _ in both if m.window_s > 0),
        latency_p50_s=None if p50 is None else p50.point,
        latency_p99_s=None if p99 is None else p99.point,
        p50_interval=_interval(p50),
        p99_interval=_interval(p99),
        call_p50_s=_mean(of.call_p50_s for _, of in both),
        call_p99_s=_mean(of.call_p99_s for _, of in both),
        late_p99_s=_mean(of.late_p99_s for _, of in both),
        unanswered_share=sum(unanswered) / len(unanswered),
        num_trials=len(both),
        num_overloaded=blocks.num_overloaded(trials),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    return statistics.geometric_mean([one for one in values if one is not None])


def _estimate(values: Iterable[float | None], confidence: float) -> RatioEstimate | None:
    """The values' geometric mean as a ratio to 1: its interval is theirs."""
    known = [one for one in values if one]
    if not known:
        return None
    return statistics.paired_log_ratio(known, [1.0] * len(known), confidence)


def _interval(estimate: RatioEstimate | None) -> tuple[float, float] | None:
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return estimate.low, estimate.high
