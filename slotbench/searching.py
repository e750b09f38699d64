"""From a scenario and limits to a recorded search: measuring and recording, put together. Prints nothing."""

import contextlib
import hashlib
import itertools
import math
import random
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from slotbench import contenders as contenders_of
from slotbench.compute import slo, slo_answer
from slotbench.compute.comparison import FLOOR
from slotbench.compute.slo_answer import Searched
from slotbench.contenders import actors_of
from slotbench.errors import ContenderError, RecordError, ScenarioError, SlotbenchError
from slotbench.measure import budget, runner
from slotbench.measure.executor import Executor
from slotbench.measure.runner import Progress
from slotbench.records import (
    MIN_PRECISION,
    SLO_SCHEMA_VERSION,
    Cell,
    Contender,
    Load,
    Resumption,
    Scenario,
    Skipped,
    SloPlan,
    SloRecord,
    SloTrial,
    TrialSpec,
    Workload,
)
from slotbench.store import (
    SLO_ENDING,
    SloFolder,
    StoredSlo,
    check_same_environment,
    check_writable,
    environment,
    new_run_id,
    read_slo,
)

Arrivals = Literal["poisson", "constant"]
ARRIVALS: Final = ("poisson", "constant")

MAX_SEARCHES: Final = 16
"""Contenders times cells: each has some 50 trials, and narrower levels for all the others."""

WINDOW_LIMITS: Final = 50
"""A window is so many times as long as a limit, and a median's twice that: an overload of 2 % then takes
any percentile beyond its limit, since a queue that grows evenly has its median half-way."""

_LIKELY_POINTS: Final = 10
_LIKELY_TRIALS: Final = 8
"""Loads of a search, and trials of a load, to estimate how long it takes (docs/slo.md: 70 to 97 trials)."""

_LIKELY_CYCLE_S: Final = 1e-3
"""Of an actor in a closed loop, at least, to estimate at which loads windows are."""

_MAX_LIMIT_S: Final = 10.0
_MAX_LOAD_PER_S: Final = 1e7

_NO_TRANSPORT: Final = "it is no transport, and nobody can be served by it"

_STARTING: Final = "starting a worker: importing torch, tensordict, …"


def prepare(
    scenario: Scenario,
    plan: SloPlan,
    *,
    arrivals: Arrivals = "poisson",
    contenders: Sequence[str] = (),
) -> Scenario:
    """Make a scenario one that can be searched: an open loop whose load is left to the search.

    Cells that differ in their load alone become one, and the floor is left out (`left_out` says so).

    Args:
        scenario: as it was loaded.
        plan: for its limits, which say how long a window must be.
        arrivals: how requests come.
        contenders: labels of those to search; () is all.

    Raises:
        SlotbenchError: the plan is none, or asks for too many searches.
        ScenarioError: an environment or a think time, which no schedule can have.
        ContenderError: a contender whose actors are no threads of ours, or none but the floor.
    """
    check_plan(plan)
    if arrivals not in ARRIVALS:
        raise SlotbenchError(f"arrivals are {' or '.join(ARRIVALS)}, not {arrivals!r}")
    chosen = [one for one in _chosen(scenario, contenders) if one.name != FLOOR]
    if not chosen:
        raise ContenderError(
            f"contender {FLOOR!r}: {_NO_TRANSPORT}; name another with --contender"
        )
    for contender in chosen:
        if actors_of(contender) != "threads":
            raise ContenderError(
                f"contender {contender.label!r}: its actors are no threads of ours, and ask "
                "when they like; name others with --contender"
            )
    cells: dict[Workload, Cell] = {}
    for cell in scenario.cells:
        made = _open_loop(scenario, cell, plan, arrivals)
        cells.setdefault(made.workload, made)
    searched = replace(scenario, cells=tuple(cells.values()), contenders=tuple(chosen))
    number = slo_answer.num_searches(searched)
    if number > MAX_SEARCHES:
        raise SlotbenchError(
            f"{number} searches ({len(cells)} cells × {len(chosen)} contenders) would take "
            f"hours: keep to {MAX_SEARCHES}; choose cells with --set and contenders with "
            "--contender"
        )
    return searched


def left_out(scenario: Scenario, contenders: Sequence[str] = ()) -> tuple[Skipped, ...]:
    """Say whom `prepare` leaves out of a search.

    Args:
        scenario: as it was loaded.
        contenders: labels of those to search; () is all.
    """
    chosen = _chosen(scenario, contenders)
    return tuple(Skipped(one.label, _NO_TRANSPORT) for one in chosen if one.name == FLOOR)


def _chosen(scenario: Scenario, contenders: Sequence[str]) -> list[Contender]:
    return [one for one in scenario.contenders if not contenders or one.label in contenders]


def labels_of(scenario: Scenario, given: Sequence[str]) -> tuple[str, ...]:
    """Say which contenders to search where some were named: these, and no baseline beside them.

    Args:
        scenario: as it was loaded with them.
        given: as the user wrote them; () is all of the scenario's.

    Returns:
        Their labels; () is all.
    """
    if not given:
        return ()
    named = {contenders_of.parse(text).label for text in given}
    # Loading kept the scenario's baseline beside those that were named.
    return tuple(
        one.label for one in scenario.contenders if one.label in named or not one.baseline
    )


def check_plan(plan: SloPlan) -> None:
    """Refuse a plan that no search can follow.

    Raises:
        SlotbenchError: it has no limit, two for one percentile, or a number out of its range.
    """
    if not plan.limits:
        raise SlotbenchError("a search needs a limit, such as --p99 2ms")
    percents = [one.percent for one in plan.limits]
    if len(set(percents)) < len(percents):
        raise SlotbenchError("a percentile has one limit")
    for one in plan.limits:
        if not 0.0 < one.limit_s < _MAX_LIMIT_S:
            raise SlotbenchError(
                f"a limit is between 0 and {_MAX_LIMIT_S:g} s, not {one.limit_s:g} s"
            )
    if not MIN_PRECISION <= plan.precision <= 1.0:
        raise SlotbenchError(
            f"--precision is from {100 * MIN_PRECISION:g} to 100 %, not {100 * plan.precision:g} %"
        )
    if plan.from_per_s is not None and not 1.0 <= plan.from_per_s <= _MAX_LOAD_PER_S:
        raise SlotbenchError(
            f"--from is from 1 to {_MAX_LOAD_PER_S:g} requests a second, not {plan.from_per_s:g}"
        )
    if plan.budget_s is not None and not 0.0 < plan.budget_s < math.inf:
        raise SlotbenchError(f"--budget is more than 0 s, not {plan.budget_s:g} s")


def estimate_s(scenario: Scenario, plan: SloPlan) -> float:
    """Estimate how long a search takes, at most its budget.

    Args:
        scenario: as `prepare` made it.
        plan: for its budget.
    """
    steps = _LIKELY_POINTS * _LIKELY_TRIALS
    expected_s = steps * _step_s(
        (_likely(cell.workload, plan), who)
        for cell in scenario.cells
        for who in scenario.contenders
    )
    return expected_s if plan.budget_s is None else min(expected_s, plan.budget_s)


def search_scenario(
    scenario: Scenario,
    executor: Executor,
    results_dir: Path,
    plan: SloPlan,
    *,
    skipped: Sequence[Skipped] = (),
    command: Sequence[str] = (),
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_start: Callable[[Path], None] = lambda _: None,
) -> Path:
    """Search and record, until every search has ended or the budget is spent.

    Every trial is on disk before the next begins; Ctrl-C leaves what was recorded.

    Args:
        scenario: as `prepare` made it.
        executor: closed by the caller.
        results_dir: the search's folder is made in it.
        plan: what is searched for.
        skipped: optional contenders that were left out before.
        command: the command line, for the record.
        on_progress: told what the search is at.
        on_start: told the search's folder before the first trial.

    Returns:
        The search's folder.

    Raises:
        ContenderError, ScenarioError: a contender cannot be made; nothing was recorded.
        RecordError: the results folder cannot be written.
        WorkerError: no worker process comes up.
    """
    check_writable(results_dir)
    on_progress(Progress(0, 0, _STARTING))
    began = time.perf_counter()
    executor.start_worker()
    racing, more_skipped = _admit(scenario, executor)
    scenario = replace(scenario, contenders=racing)
    now = datetime.now(UTC)
    record = SloRecord(
        schema_version=SLO_SCHEMA_VERSION,
        slo_id=new_run_id(f"{scenario.name}{SLO_ENDING}", now),
        created_at=now.isoformat(timespec="seconds"),
        status="running",
        scenario=scenario,
        scenario_sha256=hashlib.sha256(scenario.text.encode()).hexdigest(),
        skipped=(*skipped, *more_skipped),
        plan=plan,
        seed=scenario.seed,
        environment=environment.collect(scenario.contenders),
        command=tuple(command),
    )
    with SloFolder.create(results_dir, record) as folder:
        on_start(folder.path)
        _Sitting(record, executor, folder, on_progress, began).measure()
    return folder.path


def resume_search(
    path: Path,
    executor: Executor,
    *,
    budget_s: float | None = None,
    command: Sequence[str] = (),
    allow_different: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_start: Callable[[Path], None] = lambda _: None,
) -> Path:
    """Go on with a search that was killed, interrupted or ran out of its budget.

    What is tried next follows from what was recorded, so it goes on as it would have.

    Args:
        path: the search's folder.
        executor: for the search's own scenario; closed by the caller.
        budget_s: for this sitting; None is that of the plan.
        command: the command line, for the record.
        allow_different: go on also in another environment than it was begun in.
        on_progress: told what the search is at.
        on_start: told the search's folder before the first trial.

    Raises:
        RecordError: there is nothing left to search, another process is at it, the environment
            is another, or the disk refused.
        ContenderError: a contender can no longer be made.
        WorkerError: no worker process comes up.
    """
    with SloFolder(path) as folder:
        folder.clear_up()
        stored = read_slo(path)
        check_resumable(stored)
        here = environment.collect(stored.record.scenario.contenders)
        if not allow_different:
            was = stored.record.environment
            check_same_environment(stored.record.slo_id, was, here)
        on_progress(Progress(0, 0, _STARTING))
        began = time.perf_counter()
        executor.start_worker()
        _, missing = _admit(stored.record.scenario, executor)
        if missing:
            raise ContenderError(f"contender {missing[0].label}: {missing[0].reason}")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        resumption = Resumption(now, len(stored.trials), here, tuple(command))
        record = replace(
            stored.record,
            status="running",
            resumptions=(*stored.record.resumptions, resumption),
        )
        folder.replace_slo(record)
        on_start(path)
        sitting = _Sitting(
            record, executor, folder, on_progress, began, budget_s, [*stored.trials]
        )
        sitting.measure()
    return path


def check_resumable(stored: StoredSlo) -> None:
    """Refuse a search that has ended.

    Raises:
        RecordError: every contender's has.
    """
    if stored.record.status == "complete":
        raise RecordError(f"{stored.record.slo_id} is complete: there is nothing to resume")


@dataclass(slots=True)
class _Sitting:
    """One process's part of a search."""

    record: SloRecord
    executor: Executor
    folder: SloFolder
    on_progress: Callable[[Progress], None]
    began: float
    budget_s: float | None = None
    trials: list[SloTrial] = field(default_factory=list)

    def measure(self) -> None:
        """Search on; leave an slo.json that says how it ended."""
        before_s = self.record.total_s or 0.0
        status: Literal["complete", "out of time"]
        try:
            status = self._steps()
        except BaseException:
            # A full disk is said once, by what met it.
            with contextlib.suppress(RecordError):
                self.folder.replace_slo(
                    replace(
                        self.record,
                        status="interrupted",
                        total_s=before_s + time.perf_counter() - self.began,
                    )
                )
            raise
        total_s = before_s + time.perf_counter() - self.began
        self.folder.replace_slo(replace(self.record, status=status, total_s=total_s))

    def _steps(self) -> Literal["complete", "out of time"]:
        """Take step after step, each in a fresh worker, until nothing is open."""
        budget_s = self.record.plan.budget_s if self.budget_s is None else self.budget_s
        first = 1 + max((one.trial.round for one in self.trials), default=-1)
        for step in itertools.count(first):
            found = slo_answer.searched(self.record, self.trials)
            left = [one for one in found if one.is_open]
            if not left:
                self._tell("done", 0)
                return "complete"
            needed_s = _step_s((self._next(one), self._who(one)) for one in left)
            if step == first:
                needed_s -= budget.WORKER_START_S  # its worker is up
            elapsed_s = time.perf_counter() - self.began
            if budget_s is not None and elapsed_s + needed_s > budget_s:
                return "out of time"
            if step > first:
                self._tell(f"step {step + 1}: starting a fresh worker", len(left))
                self.executor.start_worker()
            random.Random(f"{self.record.seed}/{step}").shuffle(left)
            for position, one in enumerate(left):
                self._tell(self._describe(one), len(left))
                made = self._try(one, step, position)
                self.folder.append(made)
                self.trials.append(made)
        raise AssertionError("steps have no end")

    def _try(self, one: Searched, step: int, position: int) -> SloTrial:
        """Make the trial that a search wants next."""
        names = [cell.name for cell in self.record.scenario.cells]
        place = names.index(one.cell)
        labels = [who.label for who in self.record.scenario.contenders]
        workload, index, offered = self._next(one), one.search.next_index, None
        if index is not None:
            offered = slo.load_per_s(index, self.record.plan.precision)
        spec = TrialSpec(
            trial_id=f"s{step}-c{place}-{labels.index(one.contender)}",
            round=step,
            cell=one.cell,
            attempt=0,
            position=position,
            arm=0,
            contender=self._who(one),
            workload=workload,
            # The same for all contenders of a step: they are asked alike.
            seed=zlib.crc32(f"{self.record.seed}/{step}/{place}".encode()),
            deadline_s=budget.deadline_s(workload),
        )
        return SloTrial(index, offered, self.executor.run(spec))

    def _next(self, one: Searched) -> Workload:
        """The workload of the trial that a search wants next."""
        workload, index = self._workload(one), one.search.next_index
        if index is None:
            return replace(workload, load=Load())
        return _at(workload, slo.load_per_s(index, self.record.plan.precision))

    def _workload(self, one: Searched) -> Workload:
        cells = self.record.scenario.cells
        return next(cell.workload for cell in cells if cell.name == one.cell)

    def _who(self, one: Searched) -> Contender:
        contenders = self.record.scenario.contenders
        return next(who for who in contenders if who.label == one.contender)

    def _describe(self, one: Searched) -> str:
        index = one.search.next_index
        if index is None:
            return f"{one.cell}: {one.contender}, closed loop"
        offered = slo.load_per_s(index, self.record.plan.precision)
        return f"{one.cell}: {one.contender}, {offered:g}/s"

    def _tell(self, doing: str, num_open: int) -> None:
        num_done = len(self.trials)
        likely = _LIKELY_POINTS * _LIKELY_TRIALS
        all_of = likely * slo_answer.num_searches(self.record.scenario)
        # Nobody knows how many it takes: at least one more for each that is open.
        self.on_progress(Progress(num_done, max(all_of, num_done + num_open), doing))


def _admit(
    scenario: Scenario, executor: Executor
) -> tuple[tuple[Contender, ...], tuple[Skipped, ...]]:
    """Make every contender once; in a closed loop, since there is no load yet."""
    cells = (
        replace(cell, workload=replace(cell.workload, load=Load()))
        for cell in scenario.cells
    )
    admitted, skipped = runner.admit(replace(scenario, cells=tuple(cells)), executor)
    return admitted.contenders, skipped


def _open_loop(scenario: Scenario, cell: Cell, plan: SloPlan, arrivals: Arrivals) -> Cell:
    """The cell as an open loop, its load left open and its window long enough."""
    workload = cell.workload
    if workload.environment is not None:
        raise ScenarioError(
            f"scenario {scenario.name!r}: a real environment takes the time that it takes, and "
            "requests cannot come by a schedule; search one without an environment"
        )
    think = workload.think_time
    if think.distribution != "none" or think.reset_every:
        raise ScenarioError(
            f"scenario {scenario.name!r}: an actor with a schedule does not think; add "
            "--set think_time.distribution=none --set think_time.mean_ms=0"
            + (" --set think_time.reset_every=0" if think.reset_every else "")
        )
    window = workload.window
    longest_s = max(100.0 * one.limit_s / one.percent for one in plan.limits)
    measure_s = max(window.measure_s, WINDOW_LIMITS * longest_s)
    workload = replace(
        workload,
        load=Load(arrivals),
        window=replace(
            window,
            measure_s=measure_s,
            max_measure_s=max(window.max_measure_s, measure_s),
            min_requests=slo_answer.min_requests(workload, plan),
        ),
    )
    kept = {
        axis: value
        for axis, value in cell.coordinates.items()
        if not axis.startswith("load.")
    }
    if len(kept) == len(cell.coordinates):
        return replace(cell, workload=workload)
    name = ", ".join(f"{axis}={value}" for axis, value in kept.items()) or "all"
    return Cell(name, kept, workload)


def _step_s(tried: Iterable[tuple[Workload, Contender]]) -> float:
    """Estimate a step: a worker's start, and a trial of each."""
    return budget.WORKER_START_S + sum(
        budget.estimate_trial_s(workload, who) for workload, who in tried
    )


def _at(workload: Workload, load_per_s: float) -> Workload:
    per_actor = load_per_s / workload.num_slots
    return replace(workload, load=replace(workload.load, per_actor_per_s=per_actor))


def _likely(workload: Workload, plan: SloPlan) -> Workload:
    """At the load where a search is likely to begin: half of what a closed loop reaches."""
    batch = min(workload.num_slots, workload.batching.max_batch_size)
    cycle_s = max(_LIKELY_CYCLE_S, budget.service_time_s(workload, batch))
    return _at(workload, plan.from_per_s or 0.5 * workload.num_slots / cycle_s)
