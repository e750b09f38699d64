"""What a recorded search has found: of each contender in each cell, and between contenders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from slotbench.compute import percentiles, slo, validity
from slotbench.compute.comparison import FLOOR
from slotbench.compute.slo import Ladder, Search
from slotbench.records import Scenario, SloPlan, SloRecord, SloTrial, Workload

_TIMES_NEEDED: Final = 2
"""Of the least sample that a percentile may be claimed of, what the lowest load must bring."""


@dataclass(frozen=True, slots=True)
class Searched:
    """One contender in one cell.

    Attributes:
        cell: its name.
        contender: its label.
        closed_per_s: what its closed loop reached; None where none was made.
        steps: the loads that may be tried; None until it is known where to begin.
        search: what is known; ``next_index`` None and "open" where a closed loop comes first.
        num_trials: all of its trials.
        problem: what the last trial without usable numbers met; "" where all had some.
    """

    cell: str
    contender: str
    closed_per_s: float | None
    steps: Ladder | None
    search: Search
    num_trials: int
    problem: str

    @property
    def is_open(self) -> bool:
        """Whether it wants another trial."""
        return self.search.ending == "open"

    @property
    def low_per_s(self) -> float:
        """The highest load shown to hold; 0 where none was."""
        held = self.search.held
        return 0.0 if held is None else held.load_per_s

    @property
    def high_per_s(self) -> float:
        """The lowest load shown not to hold; infinite where none was."""
        failed = self.search.failed
        return float("inf") if failed is None else failed.load_per_s


@dataclass(frozen=True, slots=True)
class Lead:
    """Two contenders of a cell whose intervals are apart.

    Attributes:
        ratio: the leader holds at least this times the other's highest load.
    """

    cell: str
    leader: str
    other: str
    ratio: float


def searched(record: SloRecord, trials: Sequence[SloTrial]) -> tuple[Searched, ...]:
    """Every search, cells and contenders in the scenario's order.

    Args:
        record: its plan.
        trials: in the order recorded.
    """
    made: dict[tuple[str, str], list[SloTrial]] = {}
    for trial in trials:
        made.setdefault((trial.trial.cell, trial.trial.contender), []).append(trial)
    scenario = record.scenario
    return tuple(
        _searched(
            record,
            cell.name,
            cell.workload,
            who.label,
            made.get((cell.name, who.label), []),
        )
        for cell in scenario.cells
        for who in scenario.contenders
    )


def leads(found: Sequence[Searched]) -> tuple[Lead, ...]:
    """Every pair of a cell whose intervals are apart, the widest first.

    The intervals are right together, so that all of these are, with the plan's confidence.
    """
    pairs = [
        Lead(ours.cell, ours.contender, other.contender, ours.low_per_s / other.high_per_s)
        for ours in _transports(found)
        for other in _transports(found)
        if ours.cell == other.cell and ours.low_per_s >= other.high_per_s
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair.ratio))


def _transports(found: Sequence[Searched]) -> list[Searched]:
    """All but the floor, which nobody can be served by."""
    return [one for one in found if one.contender != FLOOR]


def share_of_best(
    one: Searched, found: Sequence[Searched]
) -> tuple[float | None, float | None]:
    """Which share a contender holds of the highest load that any holds in its cell, from and to.

    Returns:
        None where an end is not known.
    """
    of_cell = [other for other in _transports(found) if other.cell == one.cell]
    if one not in of_cell:
        return None, None
    best_low = max(other.low_per_s for other in of_cell)
    best_high = max(other.high_per_s for other in of_cell)
    if best_low == 0.0:
        return None, None
    low = one.low_per_s / best_high if best_high != float("inf") else None
    high = one.high_per_s / best_low
    return low, min(1.0, high)


def num_searches(scenario: Scenario) -> int:
    """Contenders times cells."""
    return len(scenario.cells) * len(scenario.contenders)


def min_requests(workload: Workload, plan: SloPlan) -> int:
    """How many requests a window must hold for every percentile that has a limit."""
    least = max(percentiles.min_samples(one.percent) for one in plan.limits)
    wanted = max(
        _TIMES_NEEDED * least, validity.WANTED_REPLIES_PER_ACTOR * workload.num_slots
    )
    return max(wanted, workload.window.min_requests)


def lowest_per_s(workload: Workload, plan: SloPlan) -> float:
    """The load below which the longest window would not hold enough requests."""
    return min_requests(workload, plan) / workload.window.max_measure_s


def _searched(
    record: SloRecord, cell: str, workload: Workload, label: str, made: Sequence[SloTrial]
) -> Searched:
    plan = record.plan
    closed = [one for one in made if one.load_index is None]
    reached = [rate for rate in map(_throughput, closed) if rate > 0.0]
    closed_per_s = reached[0] if reached else None
    steps = None
    if plan.from_per_s is not None or closed_per_s is not None:
        steps = slo.ladder(plan, closed_per_s, lowest_per_s(workload, plan))
        alpha = slo.level(plan, steps, num_searches(record.scenario))
        evidence = [
            (one.load_index, slo.tried(one, plan.limits))
            for one in made
            if one.load_index is not None
        ]
        search = slo.search(evidence, steps, plan, alpha)
    elif len(closed) >= slo.MAX_UNUSABLE:
        search = Search((), None, "not found")
    else:
        search = Search((), None, "open")
    problems = [text for text in (slo.problem(one.trial) for one in made) if text]
    return Searched(
        cell=cell,
        contender=label,
        closed_per_s=closed_per_s,
        steps=steps,
        search=search,
        num_trials=len(made),
        problem=problems[-1] if problems else "",
    )


def _throughput(one: SloTrial) -> float:
    """Replies a second of a trial whose numbers can be used; else 0."""
    measured = one.trial.measurement
    if one.trial.status == "failed" or one.trial.is_invalid or measured is None:
        return 0.0
    return measured.num_replies / measured.window_s
