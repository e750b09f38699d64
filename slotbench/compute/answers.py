"""What a run answers, as verdicts taken together; `slotbench.draw.answer` says it in words.

A reader asks which contender to use, whether preallocation pays, and what throughput is lost
to. Each answer looks at many rows at once, where one false alarm in twenty rows would be one
in every report. So here a difference counts where it exceeds δ after Holm's adjustment
over all rows that the answer rests on: stricter than the tables, where each verdict is
made by itself.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from slotbench.compute import bound, comparison, gates, statistics
from slotbench.compute.comparison import FLOOR, ComparisonRow
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.statistics import RatioEstimate
from slotbench.records import Cell, Contender, RunRecord, TrialRecord

METRIC: Final = "throughput"
"""What answers are about."""

SWITCH: Final = "preallocate"
"""The option whose worth is an answer of its own."""

TYPICAL_SLOTS: Final = 64
TYPICAL_LATENCY_MS: Final = 1.0
"""The cell nearest to these, on a logarithmic scale, is told of by name, whatever came out."""

Side = Literal["above", "below"]


@dataclass(frozen=True, slots=True)
class Leader:
    """The contender that fewest cells speak against.

    Attributes:
        label: of the contender.
        rows: every rival over the leader, by cell; ``ratio`` above 1 is a faster rival.
        ahead: rows of rivals that are faster by more than δ, all rows together.
        behind: rows of rivals that are slower by more than δ, likewise.
    """

    label: str
    rows: tuple[ComparisonRow, ...]
    ahead: tuple[ComparisonRow, ...]
    behind: tuple[ComparisonRow, ...]

    def alike(self) -> tuple[str, ...]:
        """Rivals that no cell tells apart from it, in the run's order."""
        told = {row.contender for row in (*self.ahead, *self.behind)}
        return tuple(
            dict.fromkeys(r.contender for r in self.rows if r.contender not in told)
        )


@dataclass(frozen=True, slots=True)
class Switched:
    """A contender with the option on over the same with it off, in every cell.

    Attributes:
        off, on: labels.
        rows: on over off, by cell.
        pays, costs: rows beyond δ, all of ``rows`` together.
    """

    off: str
    on: str
    rows: tuple[ComparisonRow, ...]
    pays: tuple[ComparisonRow, ...]
    costs: tuple[ComparisonRow, ...]


@dataclass(frozen=True, slots=True)
class Loss:
    """Where one contender's throughput went in one cell.

    Attributes:
        bound_per_s: what think time and service time allow; None where that is not known.
        floor_per_s: bare threads and locks; None where no floor was raced.
        measured_per_s: the contender's own.
        batching: bound over floor: lost to batching and to waking threads. Its interval is
            the floor's. None where one of the two is missing.
        transport: floor over contender, paired by block: lost to the transport; below 1 the
            transport is ahead of the floor, which wakes actors in a row.
    """

    cell: str
    contender: str
    bound_per_s: float | None
    floor_per_s: float | None
    measured_per_s: float
    batching: RatioEstimate | None
    transport: RatioEstimate | None

    @property
    def larger(self) -> Literal["batching", "transport"] | None:
        """Which of the two losses is larger, where their intervals do not overlap."""
        first, second = self.batching, self.transport
        if first is None or second is None:
            return None
        if None in {first.low, first.high, second.low, second.high}:
            return None
        if first.low > second.high:  # type: ignore[operator]  # None is excluded above
            return "batching"
        return "transport" if second.low > first.high else None  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class Answers:
    """What one run answers.

    Attributes:
        leader: None where no two contenders have a ratio.
        baseline_rows: the leader over the run's baseline, by cell; () where it is that.
        typical: the cell to speak of by name.
        switched: one for each contender that was raced with and without preallocation.
        losses: of every contender but floors, by cell.
        threshold: δ.
    """

    leader: Leader | None
    baseline: str
    baseline_rows: tuple[ComparisonRow, ...]
    typical: Cell
    switched: tuple[Switched, ...]
    losses: tuple[Loss, ...]
    threshold: float


def answer(
    run: RunRecord,
    trials: Sequence[TrialRecord],
    *,
    baseline: str | None = None,
    threshold: float | None = None,
) -> Answers:
    """Take a run's verdicts on throughput together.

    Args:
        run: its plan.
        trials: its trials, all attempts.
        baseline: label of the contender to tell the leader's lead over; None is the scenario's.
        threshold: δ; the scenario's where None.

    Raises:
        SlotbenchError: as `slotbench.compute.comparison.compare`.
    """
    base = comparison.baseline_label(run.scenario.contenders, baseline)
    race = _race(run, trials, threshold)
    leader = _leader(run, race)
    mine = race.against(base) if leader is not None and leader.label != base else ()
    return Answers(
        leader=leader,
        baseline=base,
        baseline_rows=tuple(r for r in mine if leader and r.contender == leader.label),
        typical=typical(run.scenario.cells),
        switched=tuple(_switched(race)),
        losses=tuple(_losses(race)),
        threshold=race.threshold,
    )


def switched(
    run: RunRecord, trials: Sequence[TrialRecord], *, threshold: float | None = None
) -> tuple[Switched, ...]:
    """What preallocation is worth, of every contender that was raced with and without.

    Args:
        run: its plan.
        trials: its trials, all attempts.
        threshold: δ; the scenario's where None.

    Raises:
        RecordError: the trials are not this run's.
    """
    return tuple(_switched(_race(run, trials, threshold)))


def losses(run: RunRecord, trials: Sequence[TrialRecord]) -> tuple[Loss, ...]:
    """Where throughput went, of every contender but floors, by cell.

    Raises:
        RecordError: the trials are not this run's.
    """
    return tuple(_losses(_race(run, trials, None)))


def typical(cells: Sequence[Cell]) -> Cell:
    """The cell nearest to `TYPICAL_SLOTS` actors and a `TYPICAL_LATENCY_MS` policy."""

    def distance(cell: Cell) -> float:
        slots = math.log(cell.workload.num_slots / TYPICAL_SLOTS)
        # A policy of no time at all is as far from 1 ms as one of a tenth of it.
        latency_ms = max(cell.workload.model.latency_ms, 0.1 * TYPICAL_LATENCY_MS)
        return slots**2 + math.log(latency_ms / TYPICAL_LATENCY_MS) ** 2

    return min(cells, key=distance)


def spread(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """A few cells that show a grid, whatever came out: its ends and its typical one.

    The fewest actors, those nearest to `TYPICAL_SLOTS` and the most; of each the fastest
    policy and the one nearest to `TYPICAL_LATENCY_MS`; the first cell of each such place.
    """
    usual = typical(cells).workload
    slots = sorted({cell.workload.num_slots for cell in cells})
    wanted_slots = {slots[0], usual.num_slots, slots[-1]}
    latencies = {cell.workload.model.latency_ms for cell in cells}
    wanted_ms = {min(latencies), usual.model.latency_ms}
    found: dict[tuple[int, float], Cell] = {}
    for cell in cells:
        place = cell.workload.num_slots, cell.workload.model.latency_ms
        if place[0] in wanted_slots and place[1] in wanted_ms:
            found.setdefault(place, cell)
    return tuple(found.values())


def beyond(
    rows: Iterable[ComparisonRow], side: Side, threshold: float
) -> tuple[ComparisonRow, ...]:
    """Rows whose ratio lies beyond δ on that side, all rows taken together (Holm).

    Args:
        rows: the family; those without an interval, or undecided for a value of 0, never count.
        side: "above": the ratio exceeds 1 + δ; "below": it is under 1 / (1 + δ).
        threshold: δ.
    """
    family = [row for row in rows if row.ratio is not None and row.ratio.low is not None]
    # "Worse" than δ is, of a metric of which less is better, more than 1 + δ.
    better: statistics.Better = "lower" if side == "above" else "higher"
    found = [
        statistics.p_worse(row.ratio, threshold, better)
        for row in family
        if row.ratio is not None
    ]
    adjusted = gates.holm([1.0 if p is None else p for p in found])
    return tuple(
        row
        for row, p in zip(family, adjusted, strict=True)
        # A row of such an interval is undecided only where a value of 0 forbids a verdict.
        if p < gates.ALPHA and row.verdict != "inconclusive"
    )


def pairs(contenders: Iterable[Contender]) -> tuple[tuple[Contender, Contender], ...]:
    """Contenders that differ in `SWITCH` alone: (off, on), in the scenario's order."""
    known = tuple(contenders)
    found = []
    for on in known:
        if on.options.get(SWITCH) is not True:
            continue
        rest = {key: value for key, value in on.options.items() if key != SWITCH}
        found += [
            (off, on)
            for off in known
            if (off.name, off.server) == (on.name, on.server)
            and {k: v for k, v in off.options.items() if k != SWITCH} == rest
            and off.options.get(SWITCH, False) is False
        ]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Race:
    """A run's throughputs, each contender over any other."""

    run: RunRecord
    pairing: comparison.Pairing
    threshold: float

    def row(self, cell: Cell, contender: Contender, over: str) -> ComparisonRow:
        """One contender over another in one cell."""
        pairing = dataclasses.replace(self.pairing, baseline=over)
        return pairing.row(cell.name, contender, get_metric(METRIC), self.threshold)

    def against(self, label: str) -> tuple[ComparisonRow, ...]:
        """Every contender over one of them, by cell."""
        return tuple(
            self.row(cell, contender, label)
            for cell in self.run.scenario.cells
            for contender in self.run.scenario.contenders
        )


def _race(run: RunRecord, trials: Sequence[TrialRecord], threshold: float | None) -> _Race:
    delta = run.scenario.threshold if threshold is None else threshold
    return _Race(run, comparison.pair(run, trials, ""), delta)


def _leader(run: RunRecord, race: _Race) -> Leader | None:
    """The contender with the fewest cells in which another is ahead; then the faster one."""
    best: tuple[tuple[float, ...], Leader] | None = None
    for contender in run.scenario.contenders:
        if contender.name == FLOOR:
            continue
        against = race.against(contender.label)
        rows = tuple(r for r in against if not r.is_floor and not r.is_baseline)
        own = [r.value for r in against if r.is_baseline]
        if not any(row.ratio is not None for row in rows):
            continue
        missing = sum(value is None for value in own)
        ahead = beyond(rows, "above", race.threshold)
        mean = statistics.geometric_mean([value for value in own if value]) or 0.0
        rank = (missing, len({row.cell for row in ahead}), -mean)
        if best is None or rank < best[0]:
            behind = beyond(rows, "below", race.threshold)
            best = rank, Leader(contender.label, rows, ahead, behind)
    return None if best is None else best[1]


def _switched(race: _Race) -> Iterable[Switched]:
    for off, on in pairs(race.run.scenario.contenders):
        rows = tuple(race.row(cell, on, off.label) for cell in race.run.scenario.cells)
        yield Switched(
            off.label,
            on.label,
            rows,
            pays=beyond(rows, "above", race.threshold),
            costs=beyond(rows, "below", race.threshold),
        )


def _losses(race: _Race) -> Iterable[Loss]:
    contenders = race.run.scenario.contenders
    floor = next((c for c in contenders if c.name == FLOOR), None)
    for cell in race.run.scenario.cells:
        limit = bound.of_workload(cell.workload)
        below = None if floor is None else race.row(cell, floor, floor.label)
        for contender in contenders:
            label = contender.label
            row = race.row(cell, contender, label)
            if contender.name == FLOOR or not row.value:
                continue
            yield Loss(
                cell=cell.name,
                contender=label,
                bound_per_s=limit,
                floor_per_s=None if below is None else below.value,
                measured_per_s=row.value,
                batching=_over(limit, below),
                transport=None if floor is None else race.row(cell, floor, label).ratio,
            )


def _over(limit: float | None, floor: ComparisonRow | None) -> RatioEstimate | None:
    """The bound over the floor: the floor's interval, turned round."""
    if limit is None or floor is None or not floor.value:
        return None
    low, high = floor.value_low, floor.value_high
    return RatioEstimate(
        point=limit / floor.value,
        low=limit / high if high else None,
        high=limit / low if low else None,
        num_pairs=floor.num_trials,
        log_sd=None,
    )
