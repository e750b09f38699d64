"""Whether a synthetic workload predicts a real one: twins, measured in the same rounds.

A real cell steps an environment. Its twin is a cell of the same run without one: as many
actors under the same batching rule and the same policy (or, for a real network, one that
sleeps or spins), which think for as long as the environment takes. Twin over real is paired by
round, so that what a round does to both cancels; they are of two blocks, between which the
machine may drift. A twin has two things to predict: a contender's throughput, and which
contender is ahead.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from slotbench.compute import blocks, comparison, demands, histogram, sequential, statistics
from slotbench.compute.comparison import Pairing
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.statistics import RatioEstimate, Verdict
from slotbench.contenders import python_of, pythons
from slotbench.records import (
    CalibrationRecord,
    Cell,
    Contender,
    Histogram,
    Model,
    RunRecord,
    TrialRecord,
)

METRIC: Final = "throughput"

MARGIN: Final = 0.2
"""A twin within a factor of 1.2 of the real throughput predicts it."""

TwinVerdict = Literal["predicts", "does not predict", "not decided"]
Ranking = Literal["agrees", "differs", "not decided"]

_QUARTILE_WIDTH: Final = 1.3489795
"""Between the quartiles of a normal distribution, in standard deviations."""

_SYNTHETIC: Final = frozenset({"sleep", "spin"})
_DECIDED: Final = frozenset({"faster", "slower", "equivalent"})


@dataclass(frozen=True, slots=True)
class FittedThink:
    """Constants of a think time that is like a real environment's: what a twin should be given.

    Attributes:
        mean_s: mean time from a reply to the next request in the real cell's calibrations, less
            what a synthetic actor takes there beside thinking.
        sigma: of a lognormal with the same quartiles: rare long steps, such as a machine's
            hiccups, do not widen it.
        num_calibrations: of the real cell, behind both.
    """

    mean_s: float
    sigma: float
    num_calibrations: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a twin says of one contender in a real cell.

    Attributes:
        cell: name of the real cell.
        twin: name of the synthetic one.
        contender: label.
        real_per_s, twin_per_s: throughput, geometric means; None where there is none.
        ratio: twin over real, paired by round; None without a pair.
        verdict: of ``ratio``; None where that is.
        real_ratio, twin_ratio: over the baseline, each inside its own cell; None for the
            baseline itself and where no pair is left.
        real_verdict, twin_verdict: of these; None likewise.
        fitted: what the twin's think time should be; None without calibrations of both cells.
    """

    cell: str
    twin: str
    contender: str
    real_per_s: float | None
    twin_per_s: float | None
    ratio: RatioEstimate | None
    verdict: TwinVerdict | None
    real_ratio: RatioEstimate | None
    twin_ratio: RatioEstimate | None
    real_verdict: Verdict | None
    twin_verdict: Verdict | None
    fitted: FittedThink | None = None

    @property
    def ranking(self) -> Ranking | None:
        """Whether twin and real say the same of the contender and the baseline.

        None where there is nothing to say: of the baseline, of a floor, without pairs.
        """
        both = self.real_verdict, self.twin_verdict
        if None in both or "limit" in both:
            return None
        if not _DECIDED.issuperset(both):
            return "not decided"
        return "agrees" if self.real_verdict == self.twin_verdict else "differs"


def predictions(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    calibrations: Sequence[CalibrationRecord] = (),
    *,
    baseline: str | None = None,
    threshold: float | None = None,
    margin: float = MARGIN,
) -> tuple[Prediction, ...]:
    """What every twin of the run says, by real cell, twin and contender.

    Args:
        run: its plan.
        trials: its trials, all attempts.
        calibrations: the run's; without any nothing is said of what a twin should think.
        baseline: label that contenders are ranked against; the scenario's where None.
        threshold: δ of the ranking's verdicts; the scenario's where None.
        margin: of the prediction: 0.2 is within a factor of 1.2.

    Returns:
        Empty where no cell steps an environment, or none of these has a twin.

    Raises:
        SlotbenchError: no such baseline, or a threshold that is no ratio.
        RecordError: the trials are not this run's.
    """
    scenario = run.scenario
    delta = sequential.threshold_of(run, METRIC) if threshold is None else threshold
    comparison.check_threshold(delta)
    base = comparison.baseline_label(scenario.contenders, baseline)
    counted = blocks.counted_calibrations(run, trials, calibrations)
    judged = _Judge(comparison.pair(run, trials, base), delta, margin)
    contenders = comparison.in_order(scenario.contenders, base)
    return tuple(
        judged.of(real, twin, who, fitted[python_of(who)])
        for real, twin in pairs(scenario.cells)
        for fitted in (
            {
                python: fit(
                    *(_quiet(counted.get((one.name, python), {})) for one in (real, twin))
                )
                for python in pythons(contenders)
            },
        )
        for who in contenders
    )


def pairs(cells: Sequence[Cell]) -> Iterable[tuple[Cell, Cell]]:
    """Every real cell with each of its twins, in the scenario's order."""
    for real in cells:
        if real.workload.environment is not None:
            closed = (one for one in cells if not one.workload.load.is_open)
            yield from ((real, other) for other in closed if _is_twin(other, real))


def judge(ratio: RatioEstimate, margin: float = MARGIN) -> TwinVerdict:
    """What the interval of twin over real allows to say.

    Inside [1/(1+margin), 1+margin] the twin predicts, wholly outside it does not; anything
    else, and a single pair, is not decided.
    """
    if ratio.low is None or ratio.high is None:
        return "not decided"
    lowest, highest = 1.0 / (1.0 + margin), 1.0 + margin
    if lowest <= ratio.low and ratio.high <= highest:
        return "predicts"
    is_outside = ratio.high < lowest or ratio.low > highest
    return "does not predict" if is_outside else "not decided"


def fit(
    real: Sequence[CalibrationRecord], twin: Sequence[CalibrationRecord]
) -> FittedThink | None:
    """Fit a twin's think time to what a real cell's actor was seen to take.

    Args:
        real: calibrations of the real cell that are "ok".
        twin: of its twin, which say what a synthetic actor takes beside thinking.

    Returns:
        None where either is empty.
    """
    means_s = [one.think_mean_s for one in real if one.think_mean_s is not None]
    excesses_s = [one.think_excess_s for one in twin if one.think_excess_s is not None]
    if not means_s or not excesses_s:
        return None
    excess_s = statistics.mean(excesses_s).mean
    return FittedThink(
        mean_s=max(0.0, statistics.mean(means_s).mean - excess_s),
        sigma=sigma_of(one.think for one in real),
        num_calibrations=len(means_s),
    )


def sigma_of(thinks: Iterable[Histogram]) -> float:
    """Fit σ of a lognormal to observed think times, by their quartiles.

    So rare long ones, such as a machine's hiccups, do not widen it.
    """
    together = histogram.merge(*thinks)
    quartiles = [histogram.percentile_ns(together, percent) for percent in (25.0, 75.0)]
    low_ns, high_ns = (1.0 if at_ns is None else max(1.0, at_ns) for at_ns in quartiles)
    return math.log(high_ns / low_ns) / _QUARTILE_WIDTH


def flat(one: Prediction) -> dict[str, Any]:
    """One prediction as plain fields, rates per second.

    A ratio has its ends as ``…_low`` and ``…_high``. None is missing, also an end that is not
    finite.
    """
    return {
        "cell": one.cell,
        "twin": one.twin,
        "contender": one.contender,
        "real_per_s": one.real_per_s,
        "twin_per_s": one.twin_per_s,
        **statistics.ends("ratio", one.ratio),
        "verdict": one.verdict,
        **statistics.ends("real_ratio", one.real_ratio),
        "real_verdict": one.real_verdict,
        **statistics.ends("twin_ratio", one.twin_ratio),
        "twin_verdict": one.twin_verdict,
        "ranking": one.ranking,
        "fitted_mean_s": None if one.fitted is None else one.fitted.mean_s,
        "fitted_sigma": None if one.fitted is None else one.fitted.sigma,
    }


@dataclass(frozen=True, slots=True)
class _Judge:
    """What predictions are made of.

    Attributes:
        threshold: δ of the ranking.
        margin: of the prediction.
    """

    pairing: Pairing
    threshold: float
    margin: float

    def of(
        self, real: Cell, twin: Cell, who: Contender, fitted: FittedThink | None
    ) -> Prediction:
        metric, pairing = get_metric(METRIC), self.pairing
        real_row = pairing.row(real.name, who, metric, self.threshold)
        twin_row = pairing.row(twin.name, who, metric, self.threshold)
        real_values = pairing.values(real.name, who.label, metric)
        twin_values = pairing.values(twin.name, who.label, metric)
        ratio = pairing.paired(twin_values, real_values)
        verdict: TwinVerdict | None = None
        if ratio is not None:
            has_zero = 0.0 in {*real_values.values(), *twin_values.values()}
            verdict = "not decided" if has_zero else judge(ratio, self.margin)
        return Prediction(
            cell=real.name,
            twin=twin.name,
            contender=who.label,
            real_per_s=real_row.value,
            twin_per_s=twin_row.value,
            ratio=ratio,
            verdict=verdict,
            real_ratio=real_row.ratio,
            twin_ratio=twin_row.ratio,
            real_verdict=real_row.verdict,
            twin_verdict=twin_row.verdict,
            fitted=fitted,
        )


def _quiet(calibrations: Mapping[int, CalibrationRecord]) -> list[CalibrationRecord]:
    """Those that gave numbers, without what the machine disturbed where there are two others."""
    own = [one for one in calibrations.values() if one.status == "ok"]
    quiet = [one for one in own if not demands.is_disturbed(one)]
    return quiet if len(quiet) >= demands.ENOUGH_QUIET else own


def _is_twin(cell: Cell, real: Cell) -> bool:
    of, to = cell.workload, real.workload
    return (
        of.environment is None
        and of.num_slots == to.num_slots
        and of.batching == to.batching
        and (of.torch_threads, of.switch_interval_s, of.device)
        == (to.torch_threads, to.switch_interval_s, to.device)
        and _stands_for(of.model, to.model)
    )


def _stands_for(twin: Model, real: Model) -> bool:
    """Whether it is the same policy, or a synthetic one in the place of a network."""
    # An environment decides itself how many outputs there are.
    if dataclasses.replace(twin, num_outputs=1) == dataclasses.replace(real, num_outputs=1):
        return True
    return twin.kind in _SYNTHETIC and real.kind not in _SYNTHETIC
