"""Thousands of simulated comparisons, counted: settings, chunks of them, and their sums.

What judges a chunk are the real `design.draw`, `runner.run` and `comparison.compare`; tests
put broken ones in their place.
"""

import concurrent.futures
import math
import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from slotbench.compute import comparison, gates, power, statistics
from slotbench.compute.comparison import Comparison, ComparisonRow
from slotbench.compute.metrics import get as get_metric
from slotbench.measure import design, runner
from slotbench.records import (
    SCHEMA_VERSION,
    Design,
    Method,
    MethodCount,
    PredictedPower,
    RunRecord,
    Scenario,
    SelfTestSetting,
    TrialRecord,
    VerdictCount,
)
from slotbench.selftest import noise, rivals, simulated, until
from slotbench.selftest.noise import Noise

EFFECTS: Final = (0.0, 0.01, 0.03, 0.05, 0.10)
"""By how much a candidate's requests take longer."""

METRICS: Final = ("throughput", "latency_p99")

PYPERF_EFFECTS: Final = (0.0, 0.03)
"""pyperf takes milliseconds a comparison, as long as all the rest."""

CHUNK: Final = 500
"""Comparisons a task of a worker process, at most."""

Draw = Callable[[Scenario], Design]
Compare = Callable[..., Comparison]
Counts = Counter[tuple[str, str, float, str]]
"""(method, metric, effect, what) → how often; of slotbench's verdicts, too."""

_TRIALS: Final = ("", "", 0.0, "trials")


@dataclass(frozen=True, slots=True)
class Setting:
    """What is simulated: a noise at a number of rounds."""

    noise: Noise
    rounds: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Comparisons that one process makes in one go.

    Attributes:
        num_cells: each gives one comparison an effect.
        place: of the chunk in the study; with ``seed`` it decides every draw.
    """

    setting: Setting
    num_cells: int
    seed: int
    place: tuple[int, ...]

    def count(self) -> Counts:
        """Simulate it and count."""
        return simulate(self)


def settings(rounds: Sequence[int]) -> tuple[Setting, ...]:
    """Every noise at each of these numbers of rounds."""
    return tuple(Setting(one, n) for one in noise.NOISES.values() for n in rounds)


def chunks(planned: Sequence[Setting], num_comparisons: int, seed: int) -> list[Chunk]:
    """Cut a study into tasks.

    Args:
        planned: the settings.
        num_comparisons: of each setting and effect.
        seed: of everything.
    """
    found = []
    for number, setting in enumerate(planned):
        for part, begin in enumerate(range(0, num_comparisons, CHUNK)):
            size = min(CHUNK, num_comparisons - begin)
            found.append(Chunk(setting, size, seed, (number, part)))
    return found


def estimate_s(tasks: Iterable[Chunk], processes: int) -> float:
    """Estimate how long these take, in seconds."""
    num_trials = sum(one.num_cells * one.setting.rounds for one in tasks)
    num_trials *= len(EFFECTS) + 2
    return 1.0 + num_trials * _TRIAL_COST_S / processes


_TRIAL_COST_S: Final = 0.00045
"""Of a simulated trial, everything that comes after it included (2 cores of a virtual machine)."""


def simulate(
    chunk: Chunk, *, draw: Draw = design.draw, compare: Compare = comparison.compare
) -> Counts:
    """Run, compare and count a chunk, in this process.

    Args:
        chunk: which.
        draw: draws the order of trials.
        compare: judges a run.
    """
    setting = chunk.setting
    seeds = np.random.SeedSequence(chunk.seed, spawn_key=chunk.place)
    random = np.random.default_rng(seeds)
    counts: Counts = Counter()
    values: list[rivals.Values] = []
    left = chunk.num_cells
    while left > 0:
        num_cells = min(left, setting.noise.cells_per_run)
        left -= num_cells
        planned, trials = _run(setting, num_cells, random, draw)
        counts[_TRIALS] += len(trials)
        _count_rows(compare(planned, trials, metrics=METRICS).rows, counts)
        values.append(_values(planned, trials))
    _count_rivals(np.concatenate(values, axis=1), random, counts)
    return counts


def run_all(
    tasks: Sequence[Chunk | until.Task],
    processes: int,
    on_done: Callable[[int], None] = lambda _: None,
) -> dict[Setting | until.Setting, Counts]:
    """Simulate every task, in processes of their own, and sum up by setting.

    Args:
        tasks: what to do.
        processes: how many at a time; 1 is this one.
        on_done: told after each task how many are done.
    """
    sums: dict[Setting | until.Setting, Counts] = {
        task.setting: Counter() for task in tasks
    }
    for number, (setting, counts) in enumerate(_done(tasks, processes), start=1):
        sums[setting].update(counts)
        on_done(number)
    return sums


def _done(
    tasks: Sequence[Chunk | until.Task], processes: int
) -> Iterator[tuple[Setting | until.Setting, Counts]]:
    if processes == 1:
        yield from ((task.setting, task.count()) for task in tasks)
        return
    before = set(multiprocessing.active_children())
    with concurrent.futures.ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("spawn"), initializer=_end_quietly
    ) as pool:
        try:
            futures = {pool.submit(_count, task): task for task in tasks}
            for future in concurrent.futures.as_completed(futures):
                yield futures[future].setting, future.result()
        except BaseException:  # Ctrl-C, above all: a chunk takes half a minute
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _count(task: Chunk | until.Task) -> Counts:
    return task.count()


def _end_quietly() -> None:
    """Let Ctrl-C end a worker without a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def record(setting: Setting, counts: Counts) -> SelfTestSetting:
    """What was counted of a setting, as a record, with what theory says beside it."""
    of_methods = [
        _method_count(counts, method, metric, effect)
        for method in get_args(Method)
        for metric in METRICS
        for effect in EFFECTS
        if counts[method, metric, effect, "all"]
    ]
    verdicts = [_verdict_count(counts, m, effect) for m in METRICS for effect in EFFECTS]
    return SelfTestSetting(
        noise=setting.noise.name,
        noise_title=setting.noise.title,
        is_gaussian=setting.noise.is_gaussian,
        rounds=setting.rounds,
        num_trials=counts[_TRIALS],
        counts=tuple(of_methods),
        verdicts=tuple(verdicts),
        predicted=predicted(setting),
    )


def predicted(setting: Setting) -> tuple[PredictedPower, ...]:
    """How often the paired t interval finds each effect; none where noise is not Gaussian.

    Source: spread of a trial by `slotbench.selftest.noise.trial_log_sd`.
    """
    base_sd = _log_sd(setting.noise, 0.0)
    if base_sd is None:
        return ()
    found = []
    for effect in EFFECTS[1:]:
        log_sd = math.hypot(base_sd, _log_sd(setting.noise, effect) or 0.0)
        share = power.power_of(effect, log_sd, setting.rounds)
        found.append(PredictedPower(effect, share))
    return tuple(found)


def _log_sd(of: Noise, effect: float) -> float | None:
    num_replies = round(simulated.NUM_REPLIES / (1.0 + effect))
    return noise.trial_log_sd(of, num_replies, simulated.NUM_ACTORS)


def _run(
    setting: Setting, num_cells: int, random: np.random.Generator, draw: Draw
) -> tuple[RunRecord, list[TrialRecord]]:
    """One simulated run, as a session would make it."""
    planned = simulated.scenario(
        setting.noise,
        EFFECTS,
        rounds=setting.rounds,
        num_cells=num_cells,
        seed=int(random.integers(2**31)),
    )
    run = RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id="selftest",
        created_at="",
        status="complete",
        scenario=planned,
        scenario_sha256="",
        skipped=(),
        design=draw(planned),
        environment={},
        command=(),
    )
    trials: list[TrialRecord] = []
    executor = simulated.SimulatedExecutor(planned, setting.noise, random)
    executor.start_worker()
    runner.run(run, executor, trials.append, lambda _: None)
    return run, trials


def _count_rows(rows: Iterable[ComparisonRow], counts: Counts) -> None:
    """Count what slotbench says."""
    effects = {simulated.contender(effect).label: effect for effect in EFFECTS}
    for row in rows:
        if row.is_baseline:
            continue
        effect = effects[row.contender]
        better = get_metric(row.metric).better
        truth = 1.0 / (1.0 + effect) if better == "higher" else 1.0 + effect

        def count(what: str, of: ComparisonRow = row, at: float = effect) -> None:
            counts["slotbench", of.metric, at, what] += 1

        count("all")
        ratio = row.ratio
        if ratio is None or ratio.low is None or ratio.high is None:
            continue
        if ratio.high < 1.0:
            count("lower")
        elif ratio.low > 1.0:
            count("higher")
        if ratio.low <= truth <= ratio.high:
            count("covered")
        count(str(row.verdict))
        p_worse = statistics.p_worse(ratio, row.threshold, better)
        if p_worse is not None and p_worse < gates.ALPHA:
            count("beyond")


def _values(run: RunRecord, trials: Iterable[TrialRecord]) -> rivals.Values:
    """Seconds per request in every slice: ``[contender, cell, round, slice]``, baseline first."""
    scenario = run.scenario
    who = {one.label: number for number, one in enumerate(scenario.contenders)}
    where = {cell.name: number for number, cell in enumerate(scenario.cells)}
    found = np.empty((len(who), len(where), scenario.rounds, _NUM_SLICES))
    for trial in trials:
        measured = trial.measurement
        if trial.arm != 0 or measured is None:
            continue
        slice_s = measured.window_s / _NUM_SLICES
        place = who[trial.contender], where[trial.cell], trial.round
        found[place] = slice_s / np.array(measured.replies_per_slice)
    return found


_NUM_SLICES: Final = 10


def _count_rivals(
    values: rivals.Values, random: np.random.Generator, counts: Counts
) -> None:
    """Count what the others say of the same trials; more seconds are less throughput."""
    base, *heads = values
    # One value a trial: its window over its replies, as is exported.
    base_trials, *head_trials = 1.0 / (1.0 / values).mean(axis=3, keepdims=True)
    pairs = {}
    for number, (effect, head) in enumerate(zip(EFFECTS, heads, strict=True)):
        _count_directions(counts, "Mann-Whitney", effect, rivals.mann_whitney(base, head))
        found = rivals.bootstrap(base_trials, head_trials[number], random)
        _count_directions(counts, "bootstrap", effect, found.directions)
        truth = 1.0 + effect
        num_covered = int(((found.low <= truth) & (truth <= found.high)).sum())
        counts["bootstrap", "throughput", effect, "covered"] += num_covered
        if effect in PYPERF_EFFECTS:
            pairs[f"{number}-slices"] = (base, head)
            pairs[f"{number}-trials"] = (base_trials, head_trials[number])
    said = rivals.pyperf_compare(pairs)
    for number, effect in enumerate(EFFECTS):
        for kind in ("slices", "trials"):
            directions = said.get(f"{number}-{kind}")
            if directions is not None:
                _count_directions(counts, f"pyperf, {kind}", effect, directions)


def _count_directions(
    counts: Counts, method: str, effect: float, longer: rivals.Directions
) -> None:
    counts[method, "throughput", effect, "all"] += len(longer)
    counts[method, "throughput", effect, "lower"] += int((longer > 0).sum())
    counts[method, "throughput", effect, "higher"] += int((longer < 0).sum())


def _method_count(
    counts: Counts, method: Method, metric: str, effect: float
) -> MethodCount:
    has_interval = method in {"slotbench", "bootstrap"}
    return MethodCount(
        method=method,
        metric=metric,
        effect=effect,
        num_comparisons=counts[method, metric, effect, "all"],
        num_lower=counts[method, metric, effect, "lower"],
        num_higher=counts[method, metric, effect, "higher"],
        num_covered=counts[method, metric, effect, "covered"] if has_interval else None,
    )


def _verdict_count(counts: Counts, metric: str, effect: float) -> VerdictCount:
    def of(what: str) -> int:
        return counts["slotbench", metric, effect, what]

    return VerdictCount(
        metric=metric,
        effect=effect,
        num_comparisons=of("all"),
        num_faster=of("faster"),
        num_slower=of("slower"),
        num_equivalent=of("equivalent"),
        num_inconclusive=of("inconclusive"),
        num_beyond=of("beyond"),
    )
