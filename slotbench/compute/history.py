"""One metric over many runs: per machine, scenario, workload, cell and contender, with its changes.

A point is a run: by default the contender's ratio to that run's own baseline, paired by blocks,
in which the machine's drift cancels as far as the baseline felt it too; or the value itself, with all drift in
it. Runs are put in one series only where nothing differs that forbids a comparison
(`slotbench.compute.environment_diff`), under the same scenario and the very same workload. What is a change of
level and what is scatter between runs, `slotbench.compute.change_points` decides, for all series together.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from slotbench.compute import (
    change_points,
    comparison,
    environment_diff,
    sequential,
    statistics,
)
from slotbench.compute.change_points import Cut, Measured, Partition
from slotbench.compute.comparison import FLOOR
from slotbench.compute.gates import ALPHA
from slotbench.compute.metrics import Metric
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.statistics import RatioEstimate, Verdict
from slotbench.errors import SlotbenchError
from slotbench.records import Cell, Contender, RunRecord, Scalar, TrialRecord, Workload

_NAMED_BY: Final = (
    ("cpu_model_name", "{}"),
    ("cpu_affinity_count", "CPUs: {}"),
    ("python_version", "Python {}"),
    ("torch_version", "torch {}"),
)
"""Facts that name a machine for people; not all by which machines are told apart."""


@dataclass(frozen=True, slots=True)
class Point:
    """One run in a series.

    Attributes:
        commit: of slotbench; "" where it is not known.
        is_dirty: whether there were uncommitted changes.
        value: geometric mean over the pairs, or trials: a ratio, or in the metric's unit.
        low, high: its t interval inside the run, of 95 %, or surer where the run looked more than once;
            None for one pair.
        count: pairs or trials behind it.
    """

    run_id: str
    created_at: str
    commit: str
    is_dirty: bool
    value: float
    low: float | None
    high: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Change:
    """A change of level in a series.

    Attributes:
        at: number of the point that came with it.
        cut: how large, and how sure.
        verdict: "equivalent" where the whole interval is within δ.
    """

    at: int
    cut: Cut
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Loss:
    """The newest level is worse than an earlier one.

    Attributes:
        begin, end: numbers of the best earlier level's first point, and of the first one after it.
        size: the newest level over that, with its 95 % interval.
        p_value: one-sided, of "not worse than δ"; times the earlier levels, the best of which is taken.
    """

    begin: int
    end: int
    size: RatioEstimate
    p_value: float


@dataclass(frozen=True, slots=True)
class Series:
    """One contender in one cell, over runs that may be compared.

    Attributes:
        machine: machine, Python and torch, in words; unique among those told apart.
        workload: counts, from 1, the workloads that the cell's name has had on this machine.
        num_workloads: how many these are.
        baseline: label of the contender divided by; None for values.
        threshold: δ of the verdicts.
        points: oldest first.
        partition: its segments and cuts.
        changes: oldest first.
        loss: of the newest level against the best earlier one; None where it is not shown to be worse
            by more than δ.
    """

    machine: str
    scenario: str
    cell: str
    workload: int
    num_workloads: int
    contender: str
    baseline: str | None
    threshold: float
    points: tuple[Point, ...]
    partition: Partition
    changes: tuple[Change, ...]
    loss: Loss | None

    @property
    def place(self) -> tuple[str, str, str, int, str | None]:
        """What series that are shown side by side have in common."""
        return self.machine, self.scenario, self.cell, self.workload, self.baseline

    @property
    def is_regressed(self) -> bool:
        """Whether its newest level is shown to be worse, by more than δ, than its best earlier one.

        As a row of a comparison regresses (`slotbench.compute.gates`): the whole interval lies beyond δ.
        """
        return self.loss is not None


@dataclass(frozen=True, slots=True)
class History:
    """All series of one metric.

    Attributes:
        metric: its name.
        is_absolute: whether points are values and not ratios to each run's own baseline.
        runs: ids of those that gave a point, oldest first.
        series: by machine, scenario, cell, workload and contender, each in the order met.
        notes: runs that were left out, and what lacks a number, in words.
    """

    metric: str
    is_absolute: bool
    runs: tuple[str, ...]
    series: tuple[Series, ...]
    notes: tuple[str, ...]

    @property
    def num_runs(self) -> int:
        """How many gave a point."""
        return len(self.runs)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which series are wanted; () is all.

    Attributes:
        scenarios, cells, contenders: their names.
    """

    scenarios: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    contenders: tuple[str, ...] = ()


def history(
    runs: Sequence[tuple[RunRecord, Sequence[TrialRecord]]],
    metric: str,
    *,
    is_absolute: bool = False,
    threshold: float | None = None,
    chosen: Chosen = Chosen(),
    notes: Sequence[str] = (),
) -> History:
    """Put runs into series, and find where these change.

    Floors carry no payload and are left out, unless they are chosen by name; so is each run's
    baseline, where points are ratios to it.

    Args:
        runs: complete ones, oldest first.
        metric: name; see `slotbench.compute.metrics.available`.
        is_absolute: points are values.
        threshold: δ; that of each series' newest scenario where None.
        chosen: which series.
        notes: what was left out before, to stand in the result.

    Raises:
        SlotbenchError: no such metric, scenario, cell or contender; the nearest are named. Or no run,
            or a threshold that is no ratio.
        RecordError: trials are not their run's.
    """
    found_metric = get_metric(metric)
    if threshold is not None:
        comparison.check_threshold(threshold)
    if not runs:
        raise SlotbenchError("there is no complete run to make a history of")
    _check(chosen, [run for run, _ in runs])
    made = _Maker(found_metric, is_absolute, chosen)
    for run, trials in runs:
        made.add(run, trials)
    if not made.drafts:
        raise SlotbenchError(
            f"no run has a number of {found_metric.label} to make a history of"
            + (": all that is left is baselines; --absolute shows these, too" if not is_absolute else "")
        )  # fmt: skip
    drafts = sorted(made.drafts.values(), key=made.order)
    partitions = change_points.search([draft.measured for draft in drafts])
    counts = _num_workloads(drafts)
    return History(
        metric=metric,
        is_absolute=is_absolute,
        runs=tuple(made.runs),
        series=tuple(
            _finished(draft, partition, found_metric, threshold, counts)
            for draft, partition in zip(drafts, partitions, strict=True)
        ),
        notes=(*notes, *made.notes),
    )


def regressed(found: History) -> tuple[Series, ...]:
    """Series whose newest level is worse than their best earlier one, by more than δ."""
    return tuple(one for one in found.series if one.is_regressed)


@dataclass(slots=True)
class _Draft:
    """A series as it grows."""

    machine: str
    scenario: str
    cell: str
    workload: int
    contender: str
    baseline: str | None
    threshold: float
    points: list[Point]
    measured: list[Measured]


@dataclass(slots=True)
class _Machine:
    """Environments between which nothing forbids a comparison."""

    name: str
    environments: list[Mapping[str, Scalar]]


class _Maker:
    """Sorts runs into series."""

    def __init__(self, metric: Metric, is_absolute: bool, chosen: Chosen) -> None:
        self.drafts: dict[tuple[object, ...], _Draft] = {}
        self.notes: list[str] = []
        self.runs: dict[str, None] = {}
        self._metric = metric
        self._is_absolute = is_absolute
        self._chosen = chosen
        self._machines: list[_Machine] = []
        self._workloads: dict[tuple[str, str, str], list[Workload]] = {}
        self._order: dict[tuple[object, ...], int] = {}

    def add(self, run: RunRecord, trials: Sequence[TrialRecord]) -> None:
        """Add a run to every series that it has a number for."""
        scenario = run.scenario
        if self._chosen.scenarios and scenario.name not in self._chosen.scenarios:
            return
        machine = self._machine_of(run)
        base = comparison.baseline_label(scenario.contenders, None)
        pairing = comparison.pair(run, trials, base)
        logs = pairing.log_values if self._is_absolute else pairing.log_ratios
        for cell in scenario.cells:
            if self._chosen.cells and cell.name not in self._chosen.cells:
                continue
            workload = self._workload_of(machine, scenario.name, cell)
            for who in scenario.contenders:
                if not self._is_wanted(who, base):
                    continue
                behind = (who.label,) if self._is_absolute else (who.label, base)
                values = logs(cell.name, who.label, self._metric)
                if not values or pairing.has_zero(cell.name, behind, self._metric):
                    self.notes.append(
                        f"{run.run_id}: {who.label} has no number to use in {cell.name}"
                    )
                    continue
                baseline = None if self._is_absolute else base
                key = (machine, scenario.name, cell.name, workload, baseline, who.label)
                draft = self.drafts.setdefault(
                    key,
                    _Draft(machine, scenario.name, cell.name, workload, who.label, baseline, 0.0, [], []),
                )  # fmt: skip
                draft.threshold = sequential.threshold_of(run, self._metric.name)
                self.runs.setdefault(run.run_id)
                draft.points.append(_point(run, values))
                draft.measured.append(_measured(values))

    def order(self, draft: _Draft) -> tuple[int, ...]:
        """Machines, scenarios, cells and contenders as they were met."""
        return tuple(
            self._order.setdefault(part, len(self._order))
            for part in (
                ("machine", draft.machine),
                ("scenario", draft.machine, draft.scenario),
                ("cell", draft.machine, draft.scenario, draft.cell),
                ("workload", draft.machine, draft.scenario, draft.cell, draft.workload),
                ("baseline", draft.baseline),
                ("contender", draft.contender),
            )
        )

    def _is_wanted(self, who: Contender, base: str) -> bool:
        if who.label == base and not self._is_absolute:
            return False
        if self._chosen.contenders:
            return who.label in self._chosen.contenders
        return who.name != FLOOR

    def _machine_of(self, run: RunRecord) -> str:
        mine = [run.environment, *(again.environment for again in run.resumptions)]
        for known in self._machines:
            if not _forbids(known.environments, mine):
                # A fact that one record lacks forbids nothing: all that were met must agree.
                known.environments += [x for x in mine if x not in known.environments]
                return known.name
        name = _machine_name(run.environment)
        same = sum(known.name.partition(" · ")[0] == name for known in self._machines)
        if same:
            name = f"{name} · {same + 1}"
        self._machines.append(_Machine(name, list(mine)))
        return name

    def _workload_of(self, machine: str, scenario: str, cell: Cell) -> int:
        known = self._workloads.setdefault((machine, scenario, cell.name), [])
        if cell.workload not in known:
            known.append(cell.workload)
        return known.index(cell.workload) + 1


def _forbids(
    known: Iterable[Mapping[str, Scalar]], mine: Sequence[Mapping[str, Scalar]]
) -> bool:
    return any(
        difference.forbids
        for one in known
        for other in mine
        for difference in environment_diff.differences(one, other)
    )


def _machine_name(environment: Mapping[str, Scalar]) -> str:
    said = [
        form.format(" ".join(str(environment[name]).split()))
        for name, form in _NAMED_BY
        if name in environment
    ]
    return ", ".join(said) or "machine not known"


def _point(run: RunRecord, logs: Sequence[float]) -> Point:
    spread = statistics.mean(logs, sequential.confidence_of(run))
    ends = (None if end is None else math.exp(end) for end in (spread.low, spread.high))
    low, high = ends
    return Point(
        run_id=run.run_id,
        created_at=run.created_at,
        commit=str(run.environment.get("git_commit", "")),
        is_dirty=bool(run.environment.get("git_dirty", False)),
        value=math.exp(spread.mean),
        low=low,
        high=high,
        count=len(logs),
    )


def _measured(logs: Sequence[float]) -> Measured:
    variance = float(np.var(logs, ddof=1)) if len(logs) > 1 else None
    return Measured(math.fsum(logs) / len(logs), variance, len(logs))


def _num_workloads(drafts: Iterable[_Draft]) -> dict[tuple[str, str, str], int]:
    found: dict[tuple[str, str, str], int] = {}
    for draft in drafts:
        name = (draft.machine, draft.scenario, draft.cell)
        found[name] = max(found.get(name, 0), draft.workload)
    return found


def _finished(
    draft: _Draft,
    partition: Partition,
    metric: Metric,
    threshold: float | None,
    counts: Mapping[tuple[str, str, str], int],
) -> Series:
    delta = draft.threshold if threshold is None else threshold
    return Series(
        machine=draft.machine,
        scenario=draft.scenario,
        cell=draft.cell,
        workload=draft.workload,
        num_workloads=counts[draft.machine, draft.scenario, draft.cell],
        contender=draft.contender,
        baseline=draft.baseline,
        threshold=delta,
        points=tuple(draft.points),
        partition=partition,
        changes=tuple(
            Change(cut.at, cut, statistics.verdict(cut.size, delta, metric.better))
            for cut in partition.cuts
        ),
        loss=_loss(partition, delta, metric),
    )


def _loss(partition: Partition, delta: float, metric: Metric) -> Loss | None:
    """What the newest level lost against the best earlier one, if that is shown."""
    *earlier, newest = partition.segments
    if not earlier or metric.better == "neither":
        return None
    pick = max if metric.better == "higher" else min
    best = pick(earlier, key=lambda one: one.log_level)
    size = partition.over(newest, best)
    p_value = statistics.p_worse(size, delta, metric.better)
    if p_value is None or p_value * len(earlier) >= ALPHA:
        return None
    return Loss(best.begin, best.end, size, p_value * len(earlier))


def _check(chosen: Chosen, runs: Sequence[RunRecord]) -> None:
    """Refuse a name that no run has."""
    of_scenario = [
        run for run in runs if not chosen.scenarios or run.scenario.name in chosen.scenarios
    ]
    kinds: tuple[tuple[str, tuple[str, ...], Callable[[RunRecord], Iterable[str]]], ...] = (
        ("scenario", chosen.scenarios, lambda run: [run.scenario.name]),
        ("cell", chosen.cells, lambda run: [c.name for c in run.scenario.cells]),
        ("contender", chosen.contenders, lambda run: [c.label for c in run.scenario.contenders]),
    )  # fmt: skip
    for noun, wanted, names in kinds:
        among = runs if noun == "scenario" else of_scenario
        known = list(dict.fromkeys(name for run in among for name in names(run)))
        for name in wanted:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
                raise SlotbenchError(
                    f"no {noun} {name!r} in these runs: did you mean {', '.join(near)}?"
                )
