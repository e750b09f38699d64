"""The steps of `slotbench.advise`: what is timed, forecast and raced."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from slotbench import contenders, scenario, store
from slotbench.compute import (
    advice,
    blocks,
    bound,
    comparison,
    demands,
    forecast,
    transport_costs,
)
from slotbench.compute.advice import Arm, Basis
from slotbench.compute.demands import Demands
from slotbench.compute.metrics import get as get_metric
from slotbench.errors import ScenarioError, SlotbenchError
from slotbench.measure import interpreter
from slotbench.records import (
    RECOMMENDATION_SCHEMA_VERSION,
    Batching,
    CalibrationRecord,
    Leaf,
    Model,
    Race,
    Recommendation,
    Scenario,
    ThinkTime,
    Times,
    TrialSpec,
    Workload,
)
from slotbench.scenario import advised
from slotbench.scenario.advised import Asked

if TYPE_CHECKING:
    from slotbench.measure.executor import Executor
    from slotbench.measure.runner import Progress
    from slotbench.store import StoredRun

NAME: Final = "advice"
"""Of the race's scenario."""

BASELINE: Final = "slot"
ROUNDS: Final = 5
"""Of a race, unless the time is short."""

_FEWEST_ROUNDS: Final = 2
"""Fewer give no interval."""

_NUM_PACES: Final = 3
"""Calibrations, half a second each, whose median tells the pace."""
_MEASURE_S: Final = (0.15, 1.0)
"""Shortest and longest window of a race."""

_WITHOUT_GIL: Final = (
    "This Python runs without a GIL, and the forecast is of one with it: costs of transports were fitted under a "
    "GIL, and steps of mode busy are taken to be done by one environment at a time. Only the race is of this Python."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes:
        asked: environments and policy.
        has_observation: whether the user gave one.
        max_latency_s: limit on the 99th percentile of reply times; None is none.
        is_raced: whether a race checks the forecast.
        rounds: of it; None is `ROUNDS`, or fewer where the time is short.
        seconds: how long it may take, about.
        results_dir: where it is recorded.
        command: the command line that does the same.
    """

    asked: Asked
    has_observation: bool
    max_latency_s: float | None
    is_raced: bool
    rounds: int | None
    seconds: float
    results_dir: Path
    command: tuple[str, ...]

    @property
    def has_own(self) -> bool:
        """Whether something of the user's own must be timed."""
        return self.asked.environment is not None or self.asked.model["kind"] == "custom"

    @property
    def is_measured(self) -> bool:
        """Whether anything is."""
        return self.is_raced or self.has_own


@dataclass(frozen=True, slots=True)
class Timed:
    """What was timed on this machine.

    Attributes:
        pace: of its Python, see `slotbench.compute.transport_costs`; None where it was not.
        calibration: of the user's own environment or policy; None where all was given.
    """

    pace: float | None = None
    calibration: CalibrationRecord | None = None


def recommend(
    plan: Plan, on_progress: "Callable[[Progress], None]"
) -> tuple[Recommendation, Path | None]:
    """Time what is not given, forecast, race, decide.

    Returns:
        The recommendation, and the race's folder.

    Raises:
        ScenarioError: what was asked cannot be run.
        RecordError: the results folder cannot be written.
        WorkerError: no worker process comes up.
    """
    probe = _load(plan, (_probe_rule(plan.asked.num_envs),), (BASELINE,), 1, 0.25)
    if plan.is_measured:
        # The user's own modules can be served, but never hide an installed one.
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)
    if plan.is_raced:
        store.check_writable(plan.results_dir)
    timed = _time(plan, probe, on_progress) if plan.is_measured else Timed()
    basis = _basis(plan, probe.cells[0].workload, timed)
    reason = contenders.missing_requirement(contenders.parse(advice.TORCHRL[0]))
    labels = advice.contenders(_row_bytes(basis.workload), has_torchrl=reason is None)
    tried = advice.tried_rules(basis, labels)
    found = advice.choices(basis, labels, tried)
    place = advice.recommended(found, labels, tried)
    notes = [] if reason is None else [f"TorchRL's transports were left out: {reason}."]
    if not interpreter.is_gil_enabled():
        notes.append(_WITHOUT_GIL)
    size = sized(plan, tried, found[place].batching, labels)
    race = _load(plan, size.rules, labels, size.rounds, size.measure_s)
    path, summary = None, None
    if plan.is_raced:
        began = time.monotonic()
        path = _race(plan, race, on_progress, may_repeat=not size.is_cut)
        elapsed_s = time.monotonic() - began
        stored = store.read(path)
        raced = arms(stored)
        found, place = advice.with_race(found, place, raced, plan.max_latency_s)
        found = advice.over_chosen(found, advice.followed(found, place), raced)
        summary = _summary(stored, elapsed_s)
        notes += [size.said] if size.said else []
        notes += _race_notes(stored)
    chosen = advice.followed(found, place)
    return (
        Recommendation(
            schema_version=RECOMMENDATION_SCHEMA_VERSION,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            workload=basis.under(found[chosen].batching),
            max_latency_s=plan.max_latency_s,
            num_cpus=basis.demands.num_cpus or 1,
            pace=basis.pace,
            is_pace_known=basis.is_pace_known,
            times=_times(plan, basis),
            balance=advice.balance(basis),
            bound_per_s=_bound_per_s(basis),
            chosen=chosen,
            forecast=place,
            choices=found,
            beside=advice.beside(found, chosen),
            errors=basis.fitted.errors,
            run="" if path is None else str(path),
            scenario=race.text,
            notes=tuple(notes),
            command=plan.command,
            race=summary,
        ),
        path,
    )


def estimate_s(plan: Plan) -> float:
    """How long all of it takes, about."""
    return (plan.seconds if plan.is_raced else 0.0) + (8.0 if plan.is_measured else 0.0)


def arms(stored: "StoredRun") -> Mapping[tuple[str, Batching], Arm]:
    """What each contender did in each cell of a recorded race."""
    run = stored.run
    pairing = comparison.pair(run, stored.trials, "")
    tails: dict[tuple[str, str], list[float]] = {}
    for trial in filter(blocks.is_usable, blocks.counted_trials(run, stored.trials)):
        measured = trial.measurement
        if measured is not None and measured.latency_p99_s is not None:
            tails.setdefault((trial.cell, trial.contender), []).append(
                measured.latency_p99_s
            )
    metric = get_metric("throughput")
    return {
        (who.label, cell.workload.batching): Arm(
            cell=cell.name,
            per_s=pairing.values(cell.name, who.label, metric),
            latency_p99_s=_median(tails.get((cell.name, who.label), ())),
            mean_batch_size=pairing.mean_batch_size(cell.name, who.label),
        )
        for cell in run.scenario.cells
        for who in run.scenario.contenders
    }


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _probe_rule(num_envs: int) -> Batching:
    """What a policy is timed at: batches of up to all."""
    return Batching(1, num_envs, advice.DEFAULT_RULE.timeout_ms)


def _load(
    plan: Plan,
    rules: Sequence[Batching],
    labels: Sequence[str],
    rounds: int,
    measure_s: float,
) -> Scenario:
    text = advised.compose(plan.asked, rules, labels, BASELINE, rounds, measure_s)
    try:
        return scenario.loads(text, name=NAME)
    except ScenarioError as error:
        raise _of_options(plan, str(error)) from error


def _of_options(plan: Plan, problem: str) -> ScenarioError:
    return ScenarioError(
        advised.in_options(problem, plan.asked, has_observation=plan.has_observation)
    )


def _time(plan: Plan, probe: Scenario, on_progress: "Callable[[Progress], None]") -> Timed:
    """Time this machine's pace, and what is the user's own."""
    from slotbench.measure.executor import LocalExecutor
    from slotbench.measure.runner import Progress

    with LocalExecutor(probe) as executor:
        on_progress(Progress(0, 0, "starting a worker: importing torch, tensordict, …"))
        executor.start_worker()
        workload = probe.cells[0].workload
        problem = executor.check(None, workload)
        if problem:
            raise _of_options(plan, problem)
        on_progress(Progress(0, 0, "timing this machine's pace"))
        pace = _pace(executor, workload)
        own = None
        if plan.has_own:
            on_progress(Progress(0, 0, "timing environment and policy"))
            own = executor.calibrate(_spec(probe, workload))
            if own.status == "failed":
                problem = f"environment and policy cannot be timed: {own.error}"
                raise _of_options(plan, problem)
    return Timed(pace, own)


def _pace(executor: "Executor", workload: Workload) -> float:
    """How much longer a request's making and checking takes than on the reference machine."""
    plain = replace(
        workload,
        num_slots=1,
        observation=replace(
            workload.observation, leaves=(Leaf("observation", (8,), "float32"),)
        ),
        think_time=ThinkTime(),
        model=Model(),
        environment=None,
        batching=Batching(1, 1),
    )
    found = [executor.calibrate(_spec(None, plain)) for _ in range(_NUM_PACES)]
    works = [one.work_s for one in found if one.work_s is not None]
    if not works:
        raise SlotbenchError(
            f"this machine's pace cannot be timed: {found[0].error}; --no-measure does without"
        )
    return statistics.median(works) / transport_costs.load().work_s


def _spec(probe: Scenario | None, workload: Workload) -> TrialSpec:
    """A trial that only its workload and seed matter of."""
    from slotbench.measure import budget

    return TrialSpec(
        trial_id=NAME,
        round=0,
        cell="all",
        attempt=0,
        position=0,
        arm=0,
        contender=contenders.parse(BASELINE),
        workload=workload,
        seed=1 if probe is None else probe.seed,
        deadline_s=budget.deadline_s(workload),
    )


def _basis(plan: Plan, workload: Workload, timed: Timed) -> Basis:
    """What forecasts rest on: times as given, and as timed where they were not."""
    from slotbench.measure import machine

    fitted = transport_costs.load()
    num_cpus = machine.num_cpus()
    asked = forecast.nominal(workload, num_cpus)
    pace = fitted.assumed_pace if timed.pace is None else timed.pace
    if timed.calibration is not None:
        known = demands.calibrated(workload, timed.calibration)
        assert known is not None, "what is real takes time"
        if plan.asked.model["kind"] == "custom":
            asked = replace(asked, service=known.service, service_cpu=known.service_cpu)
        if workload.environment is not None:
            workload, asked = _twin(
                workload, asked, timed.calibration, pace * fitted.work_s
            )
    return Basis(workload, asked, fitted, pace, timed.pace is not None, plan.max_latency_s)


def _twin(
    workload: Workload, asked: Demands, timed: CalibrationRecord, work_s: float
) -> tuple[Workload, Demands]:
    """A synthetic environment whose steps take as long, and scatter as much, as the real one's.

    How much of its computing holds the GIL is not known: all of it is taken to.
    """
    from slotbench.compute import twins
    from slotbench.measure import libraries

    assert workload.environment is not None
    assert timed.think_mean_s is not None
    think_s = max(1e-7, timed.think_mean_s - work_s)
    sigma = twins.sigma_of([timed.think])
    env = libraries.make(workload.environment, seed=0)
    leaf = libraries.observation_leaf(env)
    env.close()
    cpu_s = min(think_s, max(0.0, (timed.think_cpu_s or 0.0) - work_s))
    twin = replace(
        workload,
        environment=None,
        observation=replace(workload.observation, leaves=(leaf,)),
        think_time=ThinkTime("lognormal", think_s * 1e3, max(sigma, 1e-3), "busy"),
    )
    return twin, replace(asked, think_s=think_s, think_cpu_s=cpu_s, think_gil_s=cpu_s)


def _row_bytes(workload: Workload) -> int:
    from slotbench.compute.workloads import observation_bytes

    return observation_bytes(workload.observation.leaves)


def _bound_per_s(basis: Basis) -> float | None:
    found = bound.of_demands(
        basis.under(_probe_rule(basis.workload.num_slots)), basis.demands
    )
    return None if found is None else found.per_s


def _times(plan: Plan, basis: Basis) -> Times:
    known, service = basis.demands, basis.demands.service
    is_real = plan.asked.environment is not None
    is_custom = plan.asked.model["kind"] == "custom"
    has_policy = bool(set(plan.asked.model) - {"kind"})
    return Times(
        think_s=known.think_s,
        think_cpu_s=known.think_cpu_s,
        think_gil_s=known.think_gil_s,
        batch_s=service.batch_s,
        row_s=service.row_s,
        misfit_ratio=service.misfit_ratio,
        think_origin="measured"
        if is_real
        else "assumed"
        if plan.asked.think_time.distribution == "none"
        else "given",
        policy_origin="measured" if is_custom else "given" if has_policy else "assumed",
    )


@dataclass(frozen=True, slots=True)
class Size:
    """How much is raced in the time that there is.

    Attributes:
        rules: batching rules, one cell each.
        rounds: passes over all cells.
        measure_s: length of a window.
        is_cut: whether the time was too short for all rules and rounds, or for these too.
        said: a sentence on that; "" where there is nothing to say.
    """

    rules: tuple[Batching, ...]
    rounds: int
    measure_s: float
    is_cut: bool = False
    said: str = ""


def sized(
    plan: Plan, tried: Sequence[Batching], own: Batching, labels: Sequence[str]
) -> Size:
    """Fit a race into its time: fewer rounds where their number was not asked for, then one rule.

    Args:
        plan: what was asked.
        tried: batching rules worth a race.
        own: the rule that the forecast recommends: it is raced in any case.
        labels: of contenders.
    """
    wanted = plan.rounds or ROUNDS
    fewest = plan.rounds or _FEWEST_ROUNDS
    everything, shortest = tuple(tried), _MEASURE_S[0]
    tries = [(everything, rounds) for rounds in range(wanted, fewest - 1, -1)]
    tries += [((own,), rounds) for rounds in range(wanted, fewest - 1, -1)]
    least_s = [_least_s(plan, rules, labels, rounds) for rules, rounds in tries]
    fitting = [i for i, needed_s in enumerate(least_s) if needed_s <= plan.seconds]
    if fitting and fitting[0] == 0:
        return Size(
            everything, wanted, _measure_s(plan, wanted, len(tried), len(labels) + 1)
        )
    place = fitting[0] if fitting else len(tries) - 1
    rules, rounds = tries[place]
    said = (
        f"In --seconds {plan.seconds:g} were raced {_counted(rounds, 'round')} of "
        f"{_counted(len(rules), 'batching rule')}, with no block measured again: "
        f"{_counted(wanted, 'round')} of {len(tried)} take at least about {least_s[0]:.0f} s"
    )
    if not fitting:
        said += f", and no race takes less than about {least_s[place]:.0f} s"
    return Size(rules, rounds, shortest, is_cut=True, said=f"{said}.")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _least_s(
    plan: Plan, rules: Sequence[Batching], labels: Sequence[str], rounds: int
) -> float:
    """About what a race takes with the shortest windows that are of use."""
    from slotbench.measure import budget

    race = _load(plan, rules, labels, rounds, _MEASURE_S[0])
    twice = [who for who in race.contenders if who.baseline]
    return budget.estimate_run_s(race, [*race.contenders, *twice])


def _measure_s(plan: Plan, rounds: int, num_cells: int, num_arms: int) -> float:
    """How long windows may be, so that the race takes about what it may."""
    from slotbench.measure import budget

    num_envs = plan.asked.num_envs
    starting_s = rounds * (budget.WORKER_START_S + 0.5 * num_cells)
    overhead_s = budget.TRIAL_OVERHEAD_S + num_envs * budget.OVERHEAD_PER_SLOT_S
    each_s = (plan.seconds - starting_s) / (rounds * num_cells * num_arms)
    # Half of a trial warms up, up to 0.3 s.
    shortest, longest = _MEASURE_S
    free_s = each_s - overhead_s
    return round(min(longest, max(shortest, free_s / 2, free_s - 0.3)), 3)


def _race(
    plan: Plan,
    race: Scenario,
    on_progress: "Callable[[Progress], None]",
    *,
    may_repeat: bool,
) -> Path:
    from slotbench.measure.executor import LocalExecutor
    from slotbench.measure.runner import MAX_ATTEMPTS
    from slotbench.session import run_scenario, without_missing

    loaded, skipped = without_missing(race)
    with LocalExecutor(loaded) as executor:
        return run_scenario(
            loaded,
            executor,
            plan.results_dir,
            skipped=skipped,
            command=plan.command,
            max_attempts=MAX_ATTEMPTS if may_repeat else 1,
            on_progress=on_progress,
        )


def _summary(stored: "StoredRun", duration_s: float) -> Race:
    run, trials = stored.run, stored.trials
    counted = blocks.counted_trials(run, trials)
    return Race(
        num_rounds=run.scenario.rounds,
        num_trials=len(counted),
        num_disturbed=sum(trial.is_disturbed for trial in counted),
        num_repeats=blocks.num_repeats(run, trials),
        duration_s=round(duration_s, 1),
    )


def _race_notes(stored: "StoredRun") -> list[str]:
    """What went wrong in a race, a sentence a kind."""
    notes = []
    problems = blocks.find_problems(stored.run, stored.trials)
    for kind, words in (("failed", "failed"), ("INVALID", "were INVALID")):
        of_kind = [one for one in problems if one.kind == kind and one.is_counted]
        if of_kind:
            first = of_kind[0]
            notes.append(
                f"In the race {len({one.trial_id for one in of_kind})} of {len(stored.trials)} "
                f"trials {words}, the first of {first.contender}: {first.detail}."
            )
    return notes
