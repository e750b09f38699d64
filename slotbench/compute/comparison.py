"""One run, compared inside itself: every contender against the baseline, cell by cell.

Blocks pair the trials, so drift of the machine between rounds cancels; verdicts come
from `slotbench.compute.statistics` and from nothing else. Two runs: `slotbench.compute.between`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from slotbench.compute import blocks, environment_diff, sequential, statistics
from slotbench.compute.blocks import Problem
from slotbench.compute.environment_diff import Difference
from slotbench.compute.metrics import Metric
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.nodes import Share, shares
from slotbench.compute.statistics import CONFIDENCE, RatioEstimate, Verdict
from slotbench.errors import SlotbenchError
from slotbench.records import (
    BASELINE_REPEAT,
    Cell,
    Contender,
    RunRecord,
    Sequential,
    Skipped,
    TrialMeasurement,
    TrialRecord,
)

if TYPE_CHECKING:
    from slotbench.compute.interpreters import InterpreterRow
    from slotbench.compute.loads import LoadPoint
    from slotbench.compute.losses import Loss
    from slotbench.compute.scalability import Scalability
    from slotbench.compute.twins import Prediction

DEFAULT_METRICS: Final = ("throughput", "latency_p50", "latency_p99")
OPEN_METRICS: Final = ("latency_p99", "latency_p50", "throughput")
"""Where every cell is an open loop: up to saturation throughput is what is offered, whoever serves
it, so that the first metric, which verdicts and opening are about, is the tail of latency."""

FLOOR: Final = "floor"
"""Name of the contender that carries no payload: a limit, not a contestant."""

_ENDS: Final = {"interrupted": "was interrupted", "killed": "was killed"}


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One contender in one cell, by one metric; inside a run, or between two.

    Between two runs ``sides`` holds the row of each run, ``ratio`` and ``verdict`` are of
    head over base, and everything else is as said below of head, unless it says more.

    Attributes:
        threshold: δ of this row's metric.
        value: geometric mean over the trials that count, in the metric's unit; with
            complete pairs two rows' values divide to exactly ``ratio.point``. None where
            no trial has a value.
        num_trials: trials behind ``value`` (first arm only).
        mean_batch_size: rows per batch, mean over usable trials.
        ratio: over the baseline; None for the baseline itself and where no pair is left.
            Between runs None only where a run has nothing to form it of.
        verdict: None where ``ratio`` is; "inconclusive" also where a trial of either
            side has the value 0, which no ratio can take in, and of latencies beyond saturation
            (`Pairing.is_withheld`). "limit" and "drift" judge
            nothing.
        more_blocks: about how many more rounds until a verdict; 0 where there is one,
            None where none is in sight, and between runs, whose drift no number of rounds
            takes away.
        noise_floor: half-width of the A/A interval as a ratio less 1, of the scenario's
            own baseline, which alone ran twice; None without two pairs of it. Between
            runs of Welch's interval on both runs' A/A ratios, head over base; of values,
            on those of the baseline, and None where each run has another one.
        can_resolve: whether the noise floor is at most the threshold, and the interval
            that it is of holds 1: the baseline does not differ from itself.
        num_invalid: INVALID trials of the attempts that count (first arm); between runs
            of both.
        num_failed: trials of these without numbers; likewise.
        sides: base's row and head's, each inside its own run; None inside one run.
        value_low, value_high: t interval of ``value`` over its trials, which the drift
            that a ratio is free of widens; None for one trial, and where one is 0.
    """

    cell: str
    contender: str
    metric: str
    is_baseline: bool
    is_floor: bool
    threshold: float
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
    sides: "tuple[ComparisonRow, ComparisonRow] | None" = None
    value_low: float | None = None
    value_high: float | None = None

    @property
    def is_judged(self) -> bool:
        """Whether it can be better or worse: no baseline, no floor, a good direction."""
        is_aside = self.is_baseline or self.is_floor
        return not is_aside and get_metric(self.metric).better != "neither"


@dataclass(frozen=True, slots=True)
class Resumed:
    """One resumption of the run.

    Attributes:
        created_at: when, as recorded.
        num_trials: in the record when it began.
        differences: from the environment that the run began in, the forbidding ones first.
    """

    created_at: str
    num_trials: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows of a run, and what a reader must know to judge them.

    Attributes:
        status: of the run, "complete", "interrupted", "killed" or "running"; all but the first
            may lack blocks.
        num_rounds: as planned; of a run until decided, the most that a cell was given.
        num_planned: trials as planned, without repeated attempts.
        num_recorded: trials in the record, all attempts.
        baseline: label of the contender that the others are divided by.
        threshold: δ of the verdicts, where ``thresholds`` says no other.
        thresholds: metric → its δ, of every metric compared.
        confidence: of every interval; above 95 % where the run looked more than once.
        metrics: names; the first is the one that the opening sentence speaks of.
        contenders: the baseline first, floors last, the scenario's order between.
        rows: by cell, contender and metric, in these orders.
        problems: of every trial, used or not.
        command: the command line that made the run.
        commit: of slotbench; "" where it is not known.
        resumptions: in their order.
        chosen: labels that it was narrowed to; empty where it was not.
        losses: where throughput went, by cell and contender; empty where it was not asked.
        twins: what synthetic cells say of real ones; likewise.
        loads: what contenders make of what they are offered, in the cells of an open loop.
        scalability: how throughput scales with the slots; None where it was not asked.
        sequential: how a run until decided was planned and ended; None of any other.
        nodes: of the cluster that it was measured on, and what each did; empty of one machine.
        interpreters: what contenders gain or lose in another one; empty where none ran in two.
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
    thresholds: Mapping[str, float]
    confidence: float
    metrics: tuple[str, ...]
    cells: tuple[Cell, ...]
    contenders: tuple[Contender, ...]
    skipped: tuple[Skipped, ...]
    rows: tuple[ComparisonRow, ...]
    problems: tuple[Problem, ...]
    command: tuple[str, ...]
    commit: str
    resumptions: tuple[Resumed, ...]
    chosen: tuple[str, ...] = ()
    losses: "tuple[Loss, ...]" = ()
    twins: "tuple[Prediction, ...]" = ()
    loads: "tuple[LoadPoint, ...]" = ()
    scalability: "Scalability | None" = None
    sequential: Sequential | None = None
    nodes: tuple[Share, ...] = ()
    interpreters: "tuple[InterpreterRow, ...]" = ()

    @property
    def looks(self) -> tuple[int, ...]:
        """Rounds after which the run looked at its results; empty where it did so once, at its end."""
        return () if self.sequential is None else self.sequential.looks

    @property
    def end(self) -> str:
        """What became of the run instead of its end, as a predicate; "" for a complete one."""
        return "" if self.status == "complete" else _ENDS.get(self.status, "has not ended")


def compare(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    *,
    metrics: Sequence[str] | None = None,
    threshold: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    baseline: str | None = None,
) -> Comparison:
    """Compares every contender of a run with its baseline.

    A pair is a block in which the contender's and the baseline's first arm are both
    usable and have a positive value. INVALID and failed trials are counted and listed,
    never used. The baseline's second arm serves the noise floor alone.

    Args:
        run: its plan.
        trials: its trials in any order, all attempts.
        metrics: names; see `slotbench.compute.metrics.available`. None is `default_metrics`.
        threshold: δ; the run's own where None: the scenario's, or what a run until decided was to decide.
        thresholds: metric → another δ for it.
        baseline: label of another contender to divide by; the scenario's where None.

    Raises:
        SlotbenchError: an unknown metric or baseline, no metric, a threshold below 0 or for
            a metric that is not compared.
        RecordError: the trials are not this run's.
    """
    scenario = run.scenario
    delta = scenario.threshold if threshold is None else threshold
    names = default_metrics(scenario.cells) if metrics is None else metrics
    own = {} if threshold is not None else own_thresholds(run, names)
    deltas = _thresholds(names, delta, {**own, **(thresholds or {})})
    base = baseline_label(scenario.contenders, baseline)
    contenders = in_order(scenario.contenders, base)
    pairing = pair(run, trials, base)
    places = [
        (c.name, who, get_metric(name))
        for c in scenario.cells
        for who in contenders
        for name in deltas
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
        thresholds=deltas,
        confidence=pairing.confidence,
        metrics=tuple(deltas),
        cells=scenario.cells,
        contenders=contenders,
        skipped=run.skipped,
        rows=tuple(
            pairing.row(cell, who, metric, deltas[metric.name])
            for cell, who, metric in places
        ),
        problems=blocks.find_problems(run, trials)
        + tuple(zero for place in places for zero in pairing.zeros(*place)),
        command=run.command,
        commit=str(run.environment.get("git_commit", "")),
        resumptions=resumptions(run),
        sequential=run.sequential,
        nodes=shares(run, trials),
    )


def default_metrics(cells: Sequence[Cell]) -> tuple[str, ...]:
    """What is compared where nothing else is asked for: `OPEN_METRICS` if every cell is an open loop."""
    is_open = all(cell.workload.load.is_open for cell in cells)
    return OPEN_METRICS if is_open else DEFAULT_METRICS


def resumptions(run: RunRecord) -> tuple[Resumed, ...]:
    """When the run was gone on with, and what differed then."""
    return tuple(
        Resumed(
            again.created_at,
            again.num_trials,
            environment_diff.differences(run.environment, again.environment),
        )
        for again in run.resumptions
    )


def pair(run: RunRecord, trials: Sequence[TrialRecord], baseline: str) -> "Pairing":
    """The trials of a run that count, ready to be held against one of its contenders.

    Raises:
        RecordError: the trials are not this run's.
    """
    repeated = next((c.label for c in run.scenario.contenders if c.baseline), None)
    arms = blocks.arrange(run, trials)
    return Pairing(arms, baseline, repeated, sequential.confidence_of(run))


@dataclass(frozen=True, slots=True)
class Pairing:
    """The trials that count, and what they are held against.

    Attributes:
        baseline: label of the contender that the others are divided by.
        repeated: label of the scenario's own baseline, which ran twice in each block.
        confidence: of every interval.
    """

    arms: blocks.Arms
    baseline: str
    repeated: str | None
    confidence: float = CONFIDENCE

    def row(
        self, cell: str, contender: Contender, metric: Metric, threshold: float
    ) -> ComparisonRow:
        """The contender in that cell, by that metric."""
        label = contender.label
        trials = self.arms.get((cell, label, 0), {})
        values = self.values(cell, label, metric)
        is_baseline = label == self.baseline
        base = self.values(cell, self.baseline, metric)
        ratio = None if is_baseline else self.paired(values, base)
        is_withheld = self.is_withheld(cell, label, metric, ratio)
        repeat = self.repeat(cell, metric)
        noise = None if repeat is None else statistics.noise_floor(repeat)
        is_floor = contender.name == FLOOR
        spread = _spread(tuple(values.values()), self.confidence)
        return ComparisonRow(
            cell=cell,
            contender=label,
            metric=metric.name,
            is_baseline=is_baseline,
            is_floor=is_floor,
            threshold=threshold,
            value=statistics.geometric_mean(tuple(values.values())),
            num_trials=len(values),
            mean_batch_size=_mean_batch_size(trials),
            ratio=ratio,
            verdict="limit" if is_floor else verdict(ratio, metric, threshold, is_withheld),
            more_blocks=None
            if is_floor or is_withheld
            else self._more_blocks(ratio, threshold),
            noise_floor=noise,
            can_resolve=can_resolve(repeat, threshold),
            num_invalid=sum(trial.is_invalid for trial in trials.values()),
            num_failed=sum(_has_failed(trial) for trial in trials.values()),
            value_low=None if spread is None else spread.low,
            value_high=None if spread is None else spread.high,
        )

    def values(
        self, cell: str, label: str, metric: Metric, arm: int = 0
    ) -> dict[int, float]:
        """Round → value, of the usable trials of an arm that have one."""
        found = {}
        for number, trial in sorted(self.arms.get((cell, label, arm), {}).items()):
            if not blocks.is_usable(trial) or trial.measurement is None:
                continue
            value = metric.value(trial.measurement)
            if value is not None:
                found[number] = value
        return found

    def repeat(self, cell: str, metric: Metric) -> RatioEstimate | None:
        """The baseline's second trials over its first ones (A/A); None where it has none."""
        return _estimate(self._repeat_pairs(cell, metric), self.confidence)

    def paired(
        self, above: Mapping[int, float], below: Mapping[int, float]
    ) -> RatioEstimate | None:
        """`paired`, with an interval as sure as the run's others."""
        return paired(above, below, self.confidence)

    def mean_batch_size(self, cell: str, label: str) -> float | None:
        """Rows per batch, mean over usable trials (first arm); None where there are none."""
        return _mean_batch_size(self.arms.get((cell, label, 0), {}))

    def log_values(self, cell: str, label: str, metric: Metric) -> list[float]:
        """Logarithms of the positive values, one a trial, in the order of the rounds."""
        values = self.values(cell, label, metric).values()
        return [math.log(value) for value in values if value > 0]

    def log_ratios(self, cell: str, label: str, metric: Metric) -> list[float]:
        """Logarithms of the ratios to the baseline, one a pair, in the order of the rounds."""
        values = self.values(cell, label, metric)
        pairs = _pairs(values, self.values(cell, self.baseline, metric))
        return [math.log(above) - math.log(below) for above, below in pairs]

    def log_repeats(self, cell: str, metric: Metric) -> list[float]:
        """Logarithms of the A/A ratios, one a pair, in the order of the rounds."""
        pairs = self._repeat_pairs(cell, metric)
        return [math.log(above) - math.log(below) for above, below in pairs]

    def has_zero(self, cell: str, labels: Iterable[str], metric: Metric) -> bool:
        """Whether a value of one of these contenders is 0."""
        return any(0.0 in self.values(cell, label, metric).values() for label in labels)

    def is_saturated(self, cell: str, label: str) -> bool:
        """Whether the contender was offered more than it serves, in half of its trials or more."""
        trials = self.arms.get((cell, label, 0), {}).values()
        usable = [trial for trial in trials if blocks.is_usable(trial)]
        return 0 < len(usable) <= 2 * blocks.num_overloaded(usable)

    def is_withheld(
        self, cell: str, label: str, metric: Metric, ratio: RatioEstimate | None
    ) -> bool:
        """Whether a ratio to the baseline must not be judged: a value is 0, or it is no latency.

        Beyond saturation a latency is a lower limit, which grows with the window: that of two
        such, or that such a one seems to be the lower, says nothing.
        """
        if self.has_zero(cell, (label, self.baseline), metric):
            return True
        if ratio is None or not metric.name.startswith("latency_"):
            return False
        own, base = (self.is_saturated(cell, one) for one in (label, self.baseline))
        return (own and base) or (own if ratio.point < 1.0 else base)

    def zeros(self, cell: str, contender: Contender, metric: Metric) -> list[Problem]:
        """A warning for each of the contender's values that is 0."""
        trials = self.arms.get((cell, contender.label, 0), {})
        values = self.values(cell, contender.label, metric)
        return [
            blocks.zero_value(trials[number], metric.name)
            for number, value in values.items()
            if value == 0.0
        ]

    def _more_blocks(self, ratio: RatioEstimate | None, threshold: float) -> int | None:
        if ratio is None:
            return None
        return statistics.blocks_to_decide(ratio, threshold, self.confidence)

    def _repeat_pairs(self, cell: str, metric: Metric) -> list[tuple[float, float]]:
        if self.repeated is None:
            return []
        second = self.values(cell, self.repeated, metric, BASELINE_REPEAT)
        return _pairs(second, self.values(cell, self.repeated, metric))


def paired(
    above: Mapping[int, float],
    below: Mapping[int, float],
    confidence: float = CONFIDENCE,
) -> RatioEstimate | None:
    """The first over the second, by rounds in which both are above 0; None where there is none."""
    return _estimate(_pairs(above, below), confidence)


def verdict(
    ratio: RatioEstimate | None, metric: Metric, threshold: float, is_withheld: bool
) -> Verdict | None:
    """`slotbench.compute.statistics.verdict`, withheld where a value is 0, or no latency.

    Args:
        ratio: None where there is none.
        metric: its good direction decides.
        threshold: δ.
        is_withheld: see `Pairing.is_withheld`.
    """
    if ratio is None:
        return None
    if is_withheld:
        return "inconclusive"
    return statistics.verdict(ratio, threshold, metric.better)


def can_resolve(repeat: RatioEstimate | None, threshold: float) -> bool | None:
    """Whether A/A is narrower than δ, and does not itself claim a difference.

    Args:
        repeat: as `slotbench.compute.statistics.noise_floor` takes it; None where there
            is none.
        threshold: δ.

    Returns:
        None without an interval.
    """
    noise = None if repeat is None else statistics.noise_floor(repeat)
    if repeat is None or noise is None or repeat.low is None or repeat.high is None:
        return None
    return noise <= threshold and repeat.low <= 1.0 <= repeat.high


def _pairs(
    above: Mapping[int, float], below: Mapping[int, float]
) -> list[tuple[float, float]]:
    return [
        (value, below[number])
        for number, value in above.items()
        if value > 0 and below.get(number, 0.0) > 0
    ]


def _estimate(
    pairs: Sequence[tuple[float, float]], confidence: float
) -> RatioEstimate | None:
    if not pairs:
        return None
    above, under = zip(*pairs, strict=True)
    return statistics.paired_log_ratio(above, under, confidence)


def _spread(values: Sequence[float], confidence: float) -> RatioEstimate | None:
    """The values' geometric mean as a ratio to 1: its interval is theirs."""
    if not values or 0.0 in values:
        return None
    return statistics.paired_log_ratio(values, [1.0] * len(values), confidence)


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


def in_order(contenders: Sequence[Contender], base: str) -> tuple[Contender, ...]:
    """The baseline first, floors last, the others as they are."""
    return tuple(sorted(contenders, key=lambda c: (c.label != base, c.name == FLOOR)))


def baseline_label(contenders: Sequence[Contender], wanted: str | None) -> str:
    """The label to divide by: the one wanted, or the scenario's own.

    Raises:
        SlotbenchError: no such contender, or none is wanted and none is the baseline.
    """
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


def check_threshold(threshold: float) -> None:
    """Refuse a δ that is no ratio.

    Raises:
        SlotbenchError: it is below 0, or not finite.
    """
    if not 0.0 <= threshold < math.inf:
        raise SlotbenchError(
            f"threshold is {threshold}: it must be 0 or more (0.03 is 3 %)"
        )


def own_thresholds(run: RunRecord, metrics: Iterable[str]) -> dict[str, float]:
    """Metric → δ of the run for it (`slotbench.compute.sequential.threshold_of`)."""
    return {name: sequential.threshold_of(run, name) for name in metrics}


def _thresholds(
    metrics: Sequence[str], threshold: float, others: Mapping[str, float]
) -> dict[str, float]:
    """Metric → δ, in the order asked for, each metric once."""
    if not metrics:
        raise SlotbenchError("a comparison needs at least one metric")
    names = dict.fromkeys(get_metric(name).name for name in metrics)
    for name in others:
        if get_metric(name).name not in names:
            raise SlotbenchError(
                f"a threshold is given for {name}, which is not compared: "
                f"it is {', '.join(names)}; add {name} to the metrics"
            )
    found = {name: others.get(name, threshold) for name in names}
    for delta in (threshold, *found.values()):
        check_threshold(delta)
    return found
