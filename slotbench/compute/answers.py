"""What a run answers, as verdicts taken together; `slotbench.draw.answer` says it in words.

A reader asks which contender to use, whether preallocation pays, and what throughput is lost
to. Each answer looks at many rows at once, where one false alarm in twenty rows would be one
in every report. So here a difference counts where it exceeds δ after Holm's adjustment
over all rows that the answer rests on: stricter than the tables, where each verdict is
made by itself. That the leader was chosen by the same rows is not in that level: among equal
contenders its lead is "shown" somewhat more often than in 1 of 20 runs (see the test).
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from slotbench.compute import blocks, comparison, gates, losses, sequential, statistics
from slotbench.compute.comparison import FLOOR, ComparisonRow
from slotbench.compute.losses import Loss
from slotbench.compute.metrics import get as get_metric
from slotbench.records import (
    CalibrationRecord,
    Cell,
    Contender,
    RunRecord,
    TrialRecord,
)

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
        rows: every rival that has a ratio anywhere, over the leader, by cell; ``ratio`` above 1
            is a faster rival.
        ahead: rows of rivals that are faster by more than δ, all rows together.
        behind: rows of rivals that are slower by more than δ, likewise.
    """

    label: str
    rows: tuple[ComparisonRow, ...]
    ahead: tuple[ComparisonRow, ...]
    behind: tuple[ComparisonRow, ...]

    def alike(self) -> tuple[str, ...]:
        """Rivals that every cell judges, and none tells apart from it, not even by itself."""
        rivals: dict[str, set[str | None]] = {}
        for row in self.rows:
            has_interval = row.ratio is not None and row.ratio.low is not None
            verdicts = rivals.setdefault(row.contender, set())
            verdicts.add(row.verdict if has_interval else None)
        undecided = {"equivalent", "inconclusive"}
        return tuple(who for who, verdicts in rivals.items() if verdicts <= undecided)


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
class Answers:
    """What one run answers.

    Attributes:
        leader: None where no two contenders have a ratio.
        passed_over: label → cells without a usable number, of contenders that therefore could
            not lead.
        is_told_apart: whether any two contenders are shown to differ by more than δ.
        num_counted: trials of the attempts that count.
        baseline_rows: the leader over the run's baseline, by cell; () where it is that.
        typical: the cell to speak of by name.
        switched: one for each contender that was raced with and without preallocation.
        losses: of every contender but floors, by cell.
        threshold: δ.
    """

    leader: Leader | None
    passed_over: Mapping[str, int]
    is_told_apart: bool
    num_counted: int
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
    calibrations: Sequence[CalibrationRecord] = (),
    baseline: str | None = None,
    threshold: float | None = None,
) -> Answers:
    """Take a run's verdicts on throughput together, of its cells that are closed loops.

    Args:
        run: its plan.
        trials: its trials, all attempts.
        calibrations: its calibrations, all attempts.
        baseline: label of the contender to tell the leader's lead over; None is the scenario's.
        threshold: δ; the scenario's where None.

    Raises:
        SlotbenchError: as `slotbench.compute.comparison.compare`.
    """
    base = comparison.baseline_label(run.scenario.contenders, baseline)
    race = _race(run, trials, threshold)
    candidates = [one for one in map(race.candidate, run.scenario.contenders) if one]
    leader = min(candidates, key=_Candidate.rank).leader if candidates else None
    fewest = min((one.num_missing for one in candidates), default=0)
    mine = race.against(base) if leader is not None and leader.label != base else ()
    return Answers(
        leader=leader,
        passed_over={
            one.leader.label: one.num_missing
            for one in candidates
            if one.num_missing > fewest
        },
        is_told_apart=any(one.leader.ahead or one.leader.behind for one in candidates),
        num_counted=len(blocks.counted_trials(run, trials)),
        baseline=base,
        baseline_rows=tuple(r for r in mine if leader and r.contender == leader.label),
        typical=typical(closed(run.scenario.cells) or run.scenario.cells),
        switched=tuple(_switched(race)),
        losses=losses.losses(run, trials, calibrations),
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


def typical(cells: Sequence[Cell]) -> Cell:
    """The cell nearest to `TYPICAL_SLOTS` actors and a `TYPICAL_LATENCY_MS` policy."""

    def distance(cell: Cell) -> float:
        slots = math.log(cell.workload.num_slots / TYPICAL_SLOTS)
        # A policy of no time at all is as far from 1 ms as one of a tenth of it.
        latency_ms = max(cell.workload.model.latency_ms, 0.1 * TYPICAL_LATENCY_MS)
        return slots**2 + math.log(latency_ms / TYPICAL_LATENCY_MS) ** 2

    return min(cells, key=distance)


def closed(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Those whose throughput is the contenders' own, and not what an open loop offers."""
    return tuple(cell for cell in cells if not cell.workload.load.is_open)


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
    rows: Iterable[ComparisonRow], side: Side, threshold: float, looks: Sequence[int] = ()
) -> tuple[ComparisonRow, ...]:
    """Rows whose ratio lies beyond δ on that side, all rows taken together (Holm).

    Args:
        rows: the family; those without an interval, or undecided for a value of 0, never count.
        side: "above": the ratio exceeds 1 + δ; "below": it is under 1 / (1 + δ).
        threshold: δ.
        looks: of the run, where it looked more than once: p-values are then of all of them.
    """
    family = [row for row in rows if row.ratio is not None and row.ratio.low is not None]
    # "Worse" than δ is, of a metric of which less is better, more than 1 + δ.
    better: statistics.Better = "lower" if side == "above" else "higher"
    found = [
        statistics.p_worse(row.ratio, threshold, better)
        for row in family
        if row.ratio is not None
    ]
    adjusted = gates.holm(
        [1.0 if p is None else sequential.family_p_value(looks, p) for p in found]
    )
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

    @property
    def looks(self) -> tuple[int, ...]:
        """Of the run; empty where it looked once."""
        return () if self.run.sequential is None else self.run.sequential.looks

    def row(self, cell: Cell, contender: Contender, over: str) -> ComparisonRow:
        """One contender over another in one cell."""
        pairing = dataclasses.replace(self.pairing, baseline=over)
        return pairing.row(cell.name, contender, get_metric(METRIC), self.threshold)

    def against(self, label: str) -> tuple[ComparisonRow, ...]:
        """Every contender over one of them, by cell."""
        return tuple(
            self.row(cell, contender, label)
            for cell in closed(self.run.scenario.cells)
            for contender in self.run.scenario.contenders
        )

    def candidate(self, contender: Contender) -> "_Candidate | None":
        """What speaks for and against it; None for a floor, and where it has no ratio."""
        if contender.name == FLOOR:
            return None
        against = self.against(contender.label)
        judged = [r for r in against if not r.is_floor and not r.is_baseline]
        present = {row.contender for row in judged if row.ratio is not None}
        rows = tuple(row for row in judged if row.contender in present)
        if not rows:
            return None
        own = [r.value for r in against if r.is_baseline]
        # A value of 0 is no number that a contender could be recommended for.
        known = [value for value in own if value]
        ahead = beyond(rows, "above", self.threshold, self.looks)
        behind = beyond(rows, "below", self.threshold, self.looks)
        return _Candidate(
            Leader(contender.label, rows, ahead, behind),
            num_missing=len(own) - len(known),
            mean=statistics.geometric_mean(known) or 0.0,
        )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A contender as the leader that it may be."""

    leader: Leader
    num_missing: int
    mean: float

    def rank(self) -> tuple[float, ...]:
        """Smaller is better.

        Cells without a number; cells in which another is ahead; then how many rows it wins, or
        one of which nothing is known would lead for being beaten by nobody; then its mean.
        """
        beaten = len({row.cell for row in self.leader.ahead})
        return self.num_missing, beaten, -len(self.leader.behind), -self.mean


def _race(run: RunRecord, trials: Sequence[TrialRecord], threshold: float | None) -> _Race:
    delta = sequential.threshold_of(run, METRIC) if threshold is None else threshold
    comparison.check_threshold(delta)
    return _Race(run, comparison.pair(run, trials, ""), delta)


def _switched(race: _Race) -> Iterable[Switched]:
    for off, on in pairs(race.run.scenario.contenders):
        rows = tuple(
            race.row(cell, on, off.label) for cell in closed(race.run.scenario.cells)
        )
        yield Switched(
            off.label,
            on.label,
            rows,
            pays=beyond(rows, "above", race.threshold, race.looks),
            costs=beyond(rows, "below", race.threshold, race.looks),
        )
