"""One run, compared inside itself: every contender against the baseline, cell by cell.

Blocks pair the trials, so drift of the machine between rounds cancels; verdicts come
from `slotbench.compute.statistics` and from nothing else.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slotbench.compute import blocks, statistics
from slotbench.compute.blocks import Problem
from slotbench.compute.metrics import Metric
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.statistics import CONFIDENCE, RatioEstimate, Verdict
from slotbench.errors import SlotbenchError
from slotbench.records import (
    BASELINE_REPEAT,
    Cell,
    Contender,
    RunRecord,
    Skipped,
    TrialMeasurement,
    TrialRecord,
)

DEFAULT_METRICS: Final = ("throughput", "latency_p50", "latency_p99")
FLOOR: Final = "floor"
"""Name of the contender that carries no payload: a limit, not a contestant."""


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One contender in one cell, by one metric.

    Attributes:
        value: geometric mean over the trials that count, in the metric's unit; with
            complete pairs two rows' values divide to exactly ``ratio.point``. None where
            no trial has a value.
        num_trials: trials behind ``value`` (first arm only).
        mean_batch_size: rows per batch, mean over usable trials.
        ratio: over the baseline; None for the baseline itself and where no pair is left.
        verdict: None where ``ratio`` is; "inconclusive" also where a trial of either
            side has the value 0, which no ratio can take in.
        more_blocks: about how many more rounds until a verdict; 0 where there is one,
            None where none is in sight.
        noise_floor: half-width of the A/A interval as a ratio less 1, of the scenario's
            own baseline, which alone ran twice; None without two pairs of it.
        can_resolve: whether the noise floor is at most the threshold, and the A/A interval
            holds 1: the baseline does not differ from itself.
        num_invalid: INVALID trials of the attempts that count (first arm).
        num_failed: trials of these without numbers.
    """

    cell: str
    contender: str
    metric: str
    is_baseline: bool
    is_floor: bool
    value: float | None
    num_trials: int
    mean_batch_size: float | None
    ratio: RatioEstimate | None
    verdict: Verdict | None
    more_blocks: int | None
    noise_floor: float | None
    can_resolve: bool | None
    num_invalid: int
    num_failed: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows of a run, and what a reader must know to judge them.

    Attributes:
        status: of the run; anything but "complete" may lack blocks.
        num_rounds: as planned.
        num_planned: trials as planned, without repeated attempts.
        num_recorded: trials in the record, all attempts.
        baseline: label of the contender that the others are divided by.
        threshold: δ of the verdicts.
        confidence: of every interval.
        metrics: names; the first is the one that the opening sentence speaks of.
        contenders: the baseline first, floors last, the scenario's order between.
        rows: by cell, contender and metric, in these orders.
        problems: of every trial, used or not.
    """

    run_id: str
    title: str
    question: str
    status: str
    num_rounds: int
    num_planned: int
    num_recorded: int
    baseline: str
    threshold: float
    confidence: float
    metrics: tuple[str, ...]
    cells: tuple[Cell, ...]
    contenders: tuple[Contender, ...]
    skipped: tuple[Skipped, ...]
    rows: tuple[ComparisonRow, ...]
    problems: tuple[Problem, ...]


def compare(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    threshold: float | None = None,
    baseline: str | None = None,
) -> Comparison:
    """Compares every contender of a run with its baseline.

    A pair is a block in which the contender's and the baseline's first arm are both
    usable and have a positive value. INVALID and failed trials are counted and listed,
    never used. The baseline's second arm serves the noise floor alone.

    Args:
        run: its plan.
        trials: its trials in any order, all attempts.
        metrics: names; see `slotbench.compute.metrics.available`.
        threshold: δ; the scenario's where None.
        baseline: label of another contender to divide by; the scenario's where None.

    Raises:
        SlotbenchError: an unknown metric or baseline, no metric, or a threshold below 0.
        RecordError: the trials are not this run's.
    """
    scenario = run.scenario
    delta = scenario.threshold if threshold is None else threshold
    _check(metrics, delta)
    base = _baseline_label(scenario.contenders, baseline)
    contenders = _in_order(scenario.contenders, base)
    pairing = _Pairing(
        arms=blocks.arrange(run, trials),
        baseline=base,
        repeated=next((c.label for c in contenders if c.baseline), None),
        threshold=delta,
    )
    chosen = [get_metric(name) for name in dict.fromkeys(metrics)]
    places = [
        (c.name, who, m) for c in scenario.cells for who in contenders for m in chosen
    ]
    return Comparison(
        run_id=run.run_id,
        title=scenario.title,
        question=scenario.question,
        status=run.status,
        num_rounds=run.design.rounds,
        num_planned=run.design.num_trials,
        num_recorded=len(trials),
        baseline=base,
        threshold=delta,
        confidence=CONFIDENCE,
        metrics=tuple(metric.name for metric in chosen),
        cells=scenario.cells,
        contenders=contenders,
        skipped=run.skipped,
        rows=tuple(pairing.row(*place) for place in places),
        problems=blocks.find_problems(run, trials)
        + tuple(zero for place in places for zero in pairing.zeros(*place)),
    )


@dataclass(frozen=True, slots=True)
class _Pairing:
    """The trials that count, and what they are held against."""

    arms: blocks.Arms
    baseline: str
    repeated: str | None
    threshold: float

    def row(self, cell: str, contender: Contender, metric: Metric) -> ComparisonRow:
        label = contender.label
        trials = self.arms.get((cell, label, 0), {})
        values = self._values(cell, label, 0, metric)
        is_baseline = label == self.baseline
        ratio = None if is_baseline else self._ratio(values, cell, self.baseline, metric)
        below = self._values(cell, self.baseline, 0, metric)
        has_zero = 0.0 in values.values() or 0.0 in below.values()
        repeat = self._repeat(cell, metric)
        noise = None if repeat is None else statistics.noise_floor(repeat)
        is_floor = contender.name == FLOOR
        return ComparisonRow(
            cell=cell,
            contender=label,
            metric=metric.name,
            is_baseline=is_baseline,
            is_floor=is_floor,
            value=statistics.geometric_mean(tuple(values.values())),
            num_trials=len(values),
            mean_batch_size=_mean_batch_size(trials),
            ratio=ratio,
            verdict="limit" if is_floor else self._verdict(ratio, metric, has_zero),
            more_blocks=None if is_floor else self._more_blocks(ratio, has_zero),
            noise_floor=noise,
            can_resolve=_can_resolve(repeat, noise, self.threshold),
            num_invalid=sum(trial.is_invalid for trial in trials.values()),
            num_failed=sum(_has_failed(trial) for trial in trials.values()),
        )

    def zeros(self, cell: str, contender: Contender, metric: Metric) -> list[Problem]:
        trials = self.arms.get((cell, contender.label, 0), {})
        values = self._values(cell, contender.label, 0, metric)
        return [
            blocks.zero_value(trials[number], metric.name)
            for number, value in values.items()
            if value == 0.0
        ]

    def _values(self, cell: str, label: str, arm: int, metric: Metric) -> dict[int, float]:
        """Round → value, of the usable trials that have one."""
        found = {}
        for number, trial in sorted(self.arms.get((cell, label, arm), {}).items()):
            if not blocks.is_usable(trial) or trial.measurement is None:
                continue
            value = metric.value(trial.measurement)
            if value is not None:
                found[number] = value
        return found

    def _ratio(
        self, values: Mapping[int, float], cell: str, below: str, metric: Metric
    ) -> RatioEstimate | None:
        base = self._values(cell, below, 0, metric)
        pairs = [
            (value, base[number])
            for number, value in values.items()
            if value > 0 and base.get(number, 0.0) > 0
        ]
        if not pairs:
            return None
        above, under = zip(*pairs, strict=True)
        return statistics.paired_log_ratio(above, under)

    def _repeat(self, cell: str, metric: Metric) -> RatioEstimate | None:
        """The baseline's second trials over its first ones (A/A)."""
        if self.repeated is None:
            return None
        second = self._values(cell, self.repeated, BASELINE_REPEAT, metric)
        return self._ratio(second, cell, self.repeated, metric)

    def _verdict(
        self, ratio: RatioEstimate | None, metric: Metric, has_zero: bool
    ) -> Verdict | None:
        if ratio is None:
            return None
        if has_zero:
            return "inconclusive"
        return statistics.verdict(ratio, self.threshold, metric.better)

    def _more_blocks(self, ratio: RatioEstimate | None, has_zero: bool) -> int | None:
        if ratio is None or has_zero:
            return None
        return statistics.blocks_to_decide(ratio, self.threshold)


def _can_resolve(
    repeat: RatioEstimate | None, noise: float | None, threshold: float
) -> bool | None:
    """Whether A/A is narrower than δ, and does not itself claim a difference."""
    if repeat is None or noise is None or repeat.low is None or repeat.high is None:
        return None
    return noise <= threshold and repeat.low <= 1.0 <= repeat.high


def _has_failed(trial: TrialRecord) -> bool:
    return trial.status == "failed" or trial.measurement is None


def _mean_batch_size(trials: Mapping[int, TrialRecord]) -> float | None:
    metric = get_metric("mean_batch_size")
    measured: list[TrialMeasurement] = [
        trial.measurement
        for trial in trials.values()
        if blocks.is_usable(trial) and trial.measurement is not None
    ]
    sizes = [size for size in map(metric.value, measured) if size is not None]
    return statistics.geometric_mean(sizes)


def _in_order(contenders: Sequence[Contender], base: str) -> tuple[Contender, ...]:
    return tuple(sorted(contenders, key=lambda c: (c.label != base, c.name == FLOOR)))


def _baseline_label(contenders: Sequence[Contender], wanted: str | None) -> str:
    labels = [contender.label for contender in contenders]
    if wanted is None:
        flagged = [c.label for c in contenders if c.baseline]
        if flagged:
            return flagged[0]
        raise SlotbenchError(f"the run has no baseline: name one of {', '.join(labels)}")
    if wanted not in labels:
        raise SlotbenchError(
            f"no contender {wanted!r} in this run: it has {', '.join(labels)}"
        )
    return wanted


def _check(metrics: Sequence[str], threshold: float) -> None:
    if not metrics:
        raise SlotbenchError("a comparison needs at least one metric")
    if not 0.0 <= threshold < math.inf:
        raise SlotbenchError(
            f"threshold is {threshold}: it must be 0 or more (0.03 is 3 %)"
        )
