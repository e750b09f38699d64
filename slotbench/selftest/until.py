"""Runs until decided, simulated: whether looking more than once keeps the rate of false alarms.

What plans the looks, decides who goes on and stops a run are the real
`slotbench.measure.until_decided` and `slotbench.compute.deciding`, what judges it is the real
`slotbench.compute.comparison.compare`. The rival, "peeking", is the same in all but one thing: every
look is judged at 95 %.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, get_args

import numpy as np

from slotbench.compute import comparison
from slotbench.compute.comparison import ComparisonRow
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.statistics import CONFIDENCE
from slotbench.measure import design, until_decided
from slotbench.records import (
    SCHEMA_VERSION,
    RunRecord,
    Scenario,
    Sequential,
    SequentialCount,
    SequentialMethod,
    TrialRecord,
)
from slotbench.selftest import simulated
from slotbench.selftest.noise import NOISES, Noise

EFFECTS: Final = (0.0, 0.03)
"""By how much a candidate's requests take longer; the largest false alarm is that of none."""

METRICS: Final = ("throughput", "latency_p99")
"""The first decides; the other goes along with it, as most metrics of a run do."""

NOISE_NAMES: Final = ("between 2 %", "between 5 %", "heavy tails", "random walk")
"""Of these some cells are decided at once, some late, some never."""

FIRST_LOOKS: Final = (5,)
"""Rounds of the scenario."""

CELLS_PER_RUN: Final = 20
"""They are independent but for the end of the run, and spare the cost of making one."""

CHUNK: Final = 100
"""Comparisons of an effect that a task makes, at most."""

Counts = Counter[tuple[str, str, float, str]]
"""(method, metric, effect, what) → how often."""

Change = Callable[[Sequential], Sequential]


@dataclass(frozen=True, slots=True)
class Setting:
    """A noise, and the rounds before the first look."""

    noise: Noise
    first: int


@dataclass(frozen=True, slots=True)
class Task:
    """Comparisons that one process makes in one go.

    Attributes:
        num_cells: each gives one comparison an effect and method.
        place: of the task in the study; with ``seed`` it decides every draw.
    """

    setting: Setting
    num_cells: int
    seed: int
    place: tuple[int, ...]

    def count(self) -> Counts:
        """Simulate it and count."""
        return simulate(self)


def settings() -> tuple[Setting, ...]:
    """Every noise with each first look."""
    return tuple(Setting(NOISES[name], n) for name in NOISE_NAMES for n in FIRST_LOOKS)


def tasks(planned: Sequence[Setting], num_comparisons: int, seed: int) -> list[Task]:
    """Cut the study into tasks.

    Args:
        planned: the settings.
        num_comparisons: of each setting, effect and method.
        seed: of everything.
    """
    return [
        # Other places than those of `slotbench.selftest.study`, whose have two numbers.
        Task(setting, min(CHUNK, num_comparisons - begin), seed, (number, begin, 0))
        for number, setting in enumerate(planned)
        for begin in range(0, num_comparisons, CHUNK)
    ]


def simulate(task: Task, *, change: Change = lambda planned: planned) -> Counts:
    """Run, judge and count a task, in this process.

    Args:
        task: which.
        change: alters how slotbench's own runs are planned; tests put a broken plan in its place.
    """
    seeds = np.random.SeedSequence(task.seed, spawn_key=task.place)
    counts: Counts = Counter()
    ways: dict[SequentialMethod, Change] = {
        "slotbench": change,
        "peeking": lambda planned: replace(planned, confidence=CONFIDENCE),
    }
    # One seed: both see the same machine, until one of them stops a cell that the other does not.
    for method, way in ways.items():
        random = np.random.default_rng(seeds)
        left = task.num_cells
        while left > 0:
            num_cells = min(left, CELLS_PER_RUN)
            left -= num_cells
            run, trials = _run(task.setting, num_cells, random, way)
            _count(method, run, trials, counts)
    return counts


def record(setting: Setting, counts: Counts) -> tuple[SequentialCount, ...]:
    """What was counted of a setting, as records."""
    looks = until_decided.plan(_scenario(setting, 1, 0)).looks
    return tuple(
        SequentialCount(
            noise=setting.noise.name,
            noise_title=setting.noise.title,
            is_gaussian=setting.noise.is_gaussian,
            looks=looks,
            method=method,
            metric=metric,
            effect=effect,
            num_comparisons=counts[method, metric, effect, "all"],
            num_lower=counts[method, metric, effect, "lower"],
            num_higher=counts[method, metric, effect, "higher"],
            num_covered=counts[method, metric, effect, "covered"],
            num_decided=counts[method, metric, effect, "decided"],
            num_rounds=counts[method, metric, effect, "rounds"],
        )
        for method in get_args(SequentialMethod)
        for metric in METRICS
        for effect in EFFECTS
    )


def estimate_s(planned: Sequence[Task], processes: int) -> float:
    """Estimate how long these take, in seconds."""
    num_cells = sum(one.num_cells for one in planned)
    return num_cells * 2 * _CELL_COST_S / processes


_CELL_COST_S: Final = 0.02
"""Of a simulated cell until it is decided (2 cores of a virtual machine)."""


def _scenario(setting: Setting, num_cells: int, seed: int) -> Scenario:
    return simulated.scenario(
        setting.noise, EFFECTS, rounds=setting.first, num_cells=num_cells, seed=seed
    )


def _run(
    setting: Setting, num_cells: int, random: np.random.Generator, way: Change
) -> tuple[RunRecord, list[TrialRecord]]:
    """One simulated run, as a session would make it."""
    planned = _scenario(setting, num_cells, int(random.integers(2**31)))
    run = RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id="selftest",
        created_at="",
        status="complete",
        scenario=planned,
        scenario_sha256="",
        skipped=(),
        design=design.draw(planned),
        environment={},
        command=(),
        sequential=way(until_decided.plan(planned)),
    )
    trials: list[TrialRecord] = []
    executor = simulated.SimulatedExecutor(planned, setting.noise, random)
    executor.start_worker()
    ended, _ = until_decided.run(
        run,
        executor,
        trials.append,
        lambda _: None,
        on_plan=lambda _: None,
        elapsed_s=lambda: executor.now_s,
    )
    return ended, trials


def _count(
    method: str, run: RunRecord, trials: Sequence[TrialRecord], counts: Counts
) -> None:
    effects = {simulated.contender(effect).label: effect for effect in EFFECTS}
    for row in comparison.compare(run, trials, metrics=METRICS).rows:
        if not row.is_baseline:
            _count_row(method, row, effects[row.contender], counts)


def _count_row(method: str, row: ComparisonRow, effect: float, counts: Counts) -> None:
    better = get_metric(row.metric).better
    truth = 1.0 / (1.0 + effect) if better == "higher" else 1.0 + effect
    ratio, place = row.ratio, (method, row.metric, effect)
    counts[*place, "all"] += 1
    if ratio is None or ratio.low is None or ratio.high is None:
        return
    counts[*place, "rounds"] += ratio.num_pairs
    counts[*place, "lower"] += ratio.high < 1.0
    counts[*place, "higher"] += ratio.low > 1.0
    counts[*place, "covered"] += ratio.low <= truth <= ratio.high
    counts[*place, "decided"] += row.verdict != "inconclusive"
