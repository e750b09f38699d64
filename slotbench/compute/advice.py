"""Which transport and batching rule to recommend: all of it forecast, then what a race said.

Rules are tried by simulation for each contender. Within δ of the best the simplest is taken: no minimum
batch before one, no option before an option. A contender that may be used only where something
holds (`NEEDS`) is never recommended, but offered beside.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from slotbench.compute import bound, comparison, forecast, statistics
from slotbench.compute.demands import Demands
from slotbench.compute.simulation import Simulated
from slotbench.compute.transport_costs import Fitted
from slotbench.records import Batching, Choice, ForecastError, Raced, Workload
from slotbench.records.recommendation import ForecastMetric, Regime

OURS: Final = ("slot", "threading", "slot[preallocate]", "slot[inline]")
TORCHRL: Final = (
    "torchrl.slot[collate=lazy_stack]",
    "torchrl.threading[collate=lazy_stack]",
    "torchrl.slot",
)
"""Contenders, the simplest first; TorchRL's at its best collate, and as it comes."""

NEEDS: Final = {
    "slot[preallocate]": "the policy keeps nothing of its batch",
    "slot[inline]": "the policy may run in any actor's thread",
}

DEFAULT_RULE: Final = Batching(min_batch_size=1, max_batch_size=64, timeout_ms=10.0)
"""TorchRL's."""

DELTA: Final = 0.03
"""The usual δ: who is nearer to the best than this is as good."""

MAX_ENVS: Final = 16_384
LARGE_ROW_BYTES: Final = 16 * 1024
"""From here on preallocation is worth a try: recorded at 28 kB it is even or ahead, at 32 B not."""

_ENOUGH_RUNS: Final = 2
"""Recorded runs, below which errors of a regime may be one run's own."""

_MANY: Final = 1024
"""Actors from which on a rule takes a second to simulate, so that fewer are tried."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What all forecasts of one recommendation rest on.

    Attributes:
        workload: the environments and the policy, whatever the batching rule.
        demands: of think time and policy, without any transport.
        fitted: what transports cost.
        pace: of the machine.
        is_pace_known: whether that was measured.
        max_latency_s: of the 99th percentile of reply times; None is no limit.
    """

    workload: Workload
    demands: Demands
    fitted: Fitted
    pace: float
    is_pace_known: bool
    max_latency_s: float | None = None

    def under(self, rule: Batching) -> Workload:
        """The workload under a batching rule."""
        return replace(self.workload, batching=rule)


def balance(basis: Basis) -> float | None:
    """n*, the mean batch at which requests are made as fast as served; None where nothing takes time."""
    service = basis.demands.service
    per_s = bound.requests_per_s(
        basis.workload.num_slots,
        max_batch_size=basis.workload.num_slots,
        think_s=basis.demands.think_s,
        batch_s=service.batch_s,
        row_s=service.row_s,
    )
    if per_s is None:
        return None
    # Little's law: those who do not think are in a batch; none waits at the bound.
    in_batch = basis.workload.num_slots - per_s * basis.demands.think_s
    return min(max(1.0, in_batch), float(basis.workload.num_slots))


def rules(basis: Basis) -> tuple[Batching, ...]:
    """Batching rules worth a try, the simplest first.

    A minimum of 1, of about n*, of half of the actors and of all; room for all or for half; the usual
    timeout, and one of two cycles, which a minimum may take to fill.
    """
    num_slots = basis.workload.num_slots
    demands = basis.demands
    half = math.ceil(num_slots / 2)
    star = balance(basis)
    least = {1, half, num_slots} | ({round(star)} if star is not None else set())
    if num_slots > _MANY:
        least -= {half}
    cycle_s = demands.think_s + demands.service.of(num_slots)
    patient_ms = float(min(60_000, max(1, math.ceil(2e3 * cycle_s))))
    found = []
    for most in dict.fromkeys((num_slots, half)):
        for minimum in sorted(least):
            if minimum > most:
                continue
            usual = DEFAULT_RULE.timeout_ms
            timeouts = {usual} if minimum == 1 else {usual, max(usual, patient_ms)}
            found += [Batching(minimum, most, timeout) for timeout in sorted(timeouts)]
    return tuple(found)


def told(basis: Basis, label: str, rule: Batching) -> Simulated:
    """Simulate one contender under one rule."""
    return forecast.of_contender(
        basis.under(rule),
        basis.demands,
        label,
        basis.fitted.costs[label],
        pace=basis.pace,
    )


def best_rule(basis: Basis, label: str) -> Batching:
    """The simplest rule within δ of a contender's best that keeps to the latency asked for.

    Where none does, the one that comes nearest.
    """
    found = [_choice(basis, label, rule) for rule in rules(basis)]
    fast = [one for one in found if one.is_fast_enough]
    if not fast:
        return min(found, key=lambda one: one.latency_p99_s).batching
    most = max(one.per_s for one in fast)
    return next(one.batching for one in fast if one.per_s * (1 + DELTA) >= most)


def contenders(workload_bytes: int, *, has_torchrl: bool) -> tuple[str, ...]:
    """Who is worth a forecast: without preallocation where rows are small."""
    found = [
        label
        for label in OURS
        if label != "slot[preallocate]" or workload_bytes >= LARGE_ROW_BYTES
    ]
    return (*found, *TORCHRL) if has_torchrl else tuple(found)


def tried_rules(basis: Basis, labels: Sequence[str]) -> tuple[Batching, ...]:
    """Rules that are forecast and raced for all: ours best, TorchRL's best, TorchRL's default.

    Two rules that come to the same for this many actors are one.
    """
    heads = [label for label in ("slot", TORCHRL[0]) if label in labels]
    found = [best_rule(basis, label) for label in heads]
    num_slots = basis.workload.num_slots
    unique: dict[tuple[int, int, float | None], Batching] = {}
    for rule in (*found, DEFAULT_RULE):
        timeout = rule.timeout_ms if rule.min_batch_size > 1 else None
        key = (rule.min_batch_size, min(rule.max_batch_size, num_slots), timeout)
        unique.setdefault(key, rule)
    return tuple(unique.values())


def choices(
    basis: Basis, labels: Sequence[str], tried: Sequence[Batching]
) -> tuple[Choice, ...]:
    """Forecast each contender under each rule, the best first; of equals the simplest."""
    found = [_choice(basis, label, rule) for label in labels for rule in tried]
    return tuple(sorted(found, key=lambda one: -one.per_s))


def _choice(basis: Basis, label: str, rule: Batching) -> Choice:
    simulated = told(basis, label, rule)
    shares = forecast.shares(
        basis.under(rule),
        basis.demands,
        simulated,
        basis.fitted.costs[label],
        pace=basis.pace,
    )
    errors, is_known = basis.fitted.errors, basis.is_pace_known
    error = error_of(errors, "throughput", shares.regime, is_known)
    # Tails are longer than a simulation's, which knows no scheduler: by so much, in the middle.
    tail = error_of(errors, "latency_p99", shares.regime, is_known).median
    latency_p99_s = simulated.latency_p99_s * tail
    limit_s = basis.max_latency_s
    # Think times of a long tail that were drawn have a mean of their own, which may be less.
    most = bound.of_demands(basis.under(rule), basis.demands)
    most_per_s = math.inf if most is None else most.per_s
    per_s = min(simulated.per_s, most_per_s)
    return Choice(
        contender=label,
        batching=rule,
        per_s=per_s,
        low=per_s * error.low,
        high=min(per_s * error.high, most_per_s),
        mean_batch_size=simulated.mean_batch_size,
        latency_p99_s=latency_p99_s,
        limit=shares.limit,
        is_fast_enough=limit_s is None or latency_p99_s <= limit_s,
        needs=NEEDS.get(label, ""),
    )


def error_of(
    errors: Iterable[ForecastError],
    metric: ForecastMetric,
    regime: Regime,
    is_pace_known: bool,
) -> ForecastError:
    """The recorded errors that apply.

    Where a regime was seen in a single run, that run's scatter is all there is of it: its interval
    is then at least as wide as that of forecasts which the policy limits.
    """
    known = {
        one.regime: one
        for one in errors
        if (one.metric, one.is_pace_known) == (metric, is_pace_known)
    }
    found, policy = known[regime], known["policy"]
    if found.num_runs >= _ENOUGH_RUNS:
        return found
    low, high = min(found.low, policy.low), max(found.high, policy.high)
    return replace(found, low=low, high=high)


def recommended(
    found: Sequence[Choice], labels: Sequence[str], tried: Sequence[Batching]
) -> int:
    """Place of the choice to recommend by forecast: the simplest within δ of the best.

    Args:
        found: at least one that needs nothing.
        labels: of contenders, the simplest first.
        tried: batching rules.
    """
    places = [i for i, one in enumerate(found) if not one.needs]
    fast = [i for i in places if found[i].is_fast_enough]
    if not fast:
        return min(places, key=lambda i: found[i].latency_p99_s)
    most = max(found[i].per_s for i in fast)
    near = [i for i in fast if found[i].per_s * (1 + DELTA) >= most]
    return min(near, key=lambda i: _plainness(found[i], labels, tried))


def _plainness(
    one: Choice, labels: Sequence[str], tried: Sequence[Batching]
) -> tuple[int, int, int]:
    return (
        labels.index(one.contender),
        int(one.batching.min_batch_size > 1),
        tried.index(one.batching),
    )


def followed(found: Sequence[Choice], forecast_place: int) -> int:
    """Place of the choice to recommend after the race: the forecast's, unless another is shown better.

    Shown better: raced at more than δ above it, with an interval that leaves out no difference.
    """
    places = [
        i
        for i, one in enumerate(found)
        if not one.needs and one.is_fast_enough and is_shown_better(one)
    ]
    if not places:
        return forecast_place
    return max(places, key=lambda i: _raced_per_s(found[i]))


def is_shown_better(one: Choice) -> bool:
    """Whether the race shows it above the forecast's recommendation, beyond δ."""
    raced = one.raced
    return (
        raced is not None
        and raced.ratio is not None
        and raced.ratio_low is not None
        and raced.ratio > 1 + DELTA
        and raced.ratio_low > 1
    )


def beside(found: Sequence[Choice], chosen: int) -> tuple[int, ...]:
    """Places of choices with a need that are better than the recommended one beyond δ.

    Of each contender the best one.
    """
    mine = found[chosen]
    places: dict[str, int] = {}
    for i, one in enumerate(found):
        if one.needs and one.is_fast_enough and _is_better(one, mine):
            places.setdefault(one.contender, i)
    return tuple(places.values())


def _is_better(one: Choice, mine: Choice) -> bool:
    if one.raced is None or mine.raced is None:
        return one.per_s > mine.per_s * (1 + DELTA)
    return is_shown_better(one) and one.raced.per_s > mine.raced.per_s * (1 + DELTA)


def _raced_per_s(one: Choice) -> float:
    return 0.0 if one.raced is None else one.raced.per_s


@dataclass(frozen=True, slots=True)
class Arm:
    """What one contender did in one cell of the race, by round.

    Attributes:
        cell: its name.
        per_s: round → requests per second.
        latency_p99_s: median over rounds; None where it is not known.
        mean_batch_size: rows per batch; None where it is not known.
    """

    cell: str
    per_s: Mapping[int, float]
    latency_p99_s: float | None
    mean_batch_size: float | None


def with_race(
    found: Sequence[Choice],
    forecast_place: int,
    arms: Mapping[tuple[str, Batching], Arm],
    max_latency_s: float | None,
) -> tuple[tuple[Choice, ...], int]:
    """Add what was raced; the best first by the race, what was not raced last.

    Args:
        found: choices, by forecast.
        forecast_place: which of them the forecast recommends.
        arms: by contender and rule.
        max_latency_s: limit asked for.

    Returns:
        The choices, and the place of the forecast's among them.
    """
    own = found[forecast_place]
    base = arms.get((own.contender, own.batching))
    marked = []
    for i, one in enumerate(found):
        arm = arms.get((one.contender, one.batching))
        raced = None if arm is None else _raced(arm, None if i == forecast_place else base)
        is_fast = one.is_fast_enough
        if raced is not None and raced.latency_p99_s is not None and max_latency_s:
            is_fast = raced.latency_p99_s <= max_latency_s
        marked.append((replace(one, raced=raced, is_fast_enough=is_fast), i))
    marked.sort(key=lambda pair: (-_raced_per_s(pair[0]), -pair[0].per_s))
    place = next(k for k, (_, i) in enumerate(marked) if i == forecast_place)
    return tuple(one for one, _ in marked), place


def over_chosen(
    found: Sequence[Choice], chosen: int, arms: Mapping[tuple[str, Batching], Arm]
) -> tuple[Choice, ...]:
    """Add to what was raced its ratio over the recommended choice, paired by round."""
    own = found[chosen]
    base = arms.get((own.contender, own.batching))
    if base is None:
        return tuple(found)
    marked = []
    for place, one in enumerate(found):
        arm, raced = arms.get((one.contender, one.batching)), one.raced
        if arm is not None and raced is not None and place != chosen:
            ratio = comparison.paired(arm.per_s, base.per_s)
            if ratio is not None:
                raced = replace(
                    raced,
                    over=ratio.point,
                    over_low=ratio.low,
                    over_high=ratio.high,
                    more_rounds=statistics.blocks_to_decide(ratio, DELTA),
                )
        marked.append(replace(one, raced=raced))
    return tuple(marked)


def verdict(raced: Raced) -> statistics.Verdict:
    """What the race says of a choice over the recommended one, beyond δ: as of any comparison."""
    if raced.over is None:
        return "inconclusive"
    ratio = statistics.RatioEstimate(raced.over, raced.over_low, raced.over_high, 1, None)
    return statistics.verdict(ratio, DELTA, "higher")


def _raced(arm: Arm, base: Arm | None) -> Raced | None:
    per_s = statistics.geometric_mean(tuple(arm.per_s.values()))
    if not per_s:
        return None
    ratio = None if base is None else comparison.paired(arm.per_s, base.per_s)
    spread = statistics.mean([math.log(value) for value in arm.per_s.values() if value > 0])
    return Raced(
        cell=arm.cell,
        per_s=per_s,
        low=None if spread.low is None else math.exp(spread.low),
        high=None if spread.high is None else math.exp(spread.high),
        latency_p99_s=arm.latency_p99_s,
        mean_batch_size=arm.mean_batch_size,
        ratio=None if ratio is None else ratio.point,
        ratio_low=None if ratio is None else ratio.low,
        ratio_high=None if ratio is None else ratio.high,
    )
