"""A run that goes on until its cells are decided: rounds planned one by one, from what was found.

After the scenario's own rounds, and then at each look that was planned, cells whose judged rows all
have a verdict get no more rounds; the others get complete blocks as before, up to the next look. What
is to be done next follows from the run's record alone, so that a run that was broken off goes on
as if it had not been.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

from slotbench.compute import comparison, deciding, durations, sequential
from slotbench.errors import SlotbenchError
from slotbench.measure import budget, design, runner
from slotbench.measure.cluster import Cluster
from slotbench.measure.executor import Executor
from slotbench.measure.runner import Progress
from slotbench.records import (
    MAX_SEQUENTIAL_ROUNDS,
    CalibrationRecord,
    RunRecord,
    Scenario,
    Sequential,
    StoppedCell,
    StopReason,
    TrialRecord,
)


def default_metrics(scenario: Scenario) -> tuple[str, ...]:
    """What decides where nothing else is asked for: the metric that a comparison of the scenario speaks of first.

    That is throughput: a percentile of latencies is several times as noisy, and a run that waited for p99
    would hardly ever end before its last look. Latencies are compared all the same, with intervals as
    sure. Where every cell is an open loop it is p99 all the same: throughput is then what is offered,
    alike for all.
    """
    return comparison.default_metrics(scenario.cells)[:1]


def plan(
    scenario: Scenario,
    *,
    metrics: Sequence[str] = (),
    threshold: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    max_rounds: int | None = None,
    budget_s: float | None = None,
) -> Sequential:
    """Plan when to look, and how sure each look must be.

    Args:
        scenario: its rounds come before the first look.
        metrics: whose verdicts decide; () is `default_metrics`.
        threshold: δ of these verdicts; None is the scenario's.
        thresholds: metric → another δ for it.
        max_rounds: of a cell; None is `slotbench.compute.sequential.MAX_ROUNDS_FACTOR` times the scenario's.
        budget_s: of wall clock; None is without end.

    Raises:
        SlotbenchError: what is asked for can never be decided, or in no such time.
    """
    metrics = tuple(metrics) or default_metrics(scenario)
    first = scenario.rounds
    last = sequential.MAX_ROUNDS_FACTOR * first if max_rounds is None else max_rounds
    if first < sequential.MIN_FIRST_LOOK:
        raise SlotbenchError(
            f"--until-decided first looks after the scenario's rounds, and {first} are too few to say "
            f"what more would show: give --rounds {sequential.MIN_FIRST_LOOK} or more"
        )
    if not first < last <= MAX_SEQUENTIAL_ROUNDS:
        raise SlotbenchError(
            f"--max-rounds is {last}: it must be above the scenario's {first} rounds, and at most "
            f"{MAX_SEQUENTIAL_ROUNDS}"
        )
    deciding.check(scenario.contenders, metrics)
    if budget_s is not None and not 0.0 < budget_s < durations.LONGEST_S:
        raise SlotbenchError(
            f"--budget is {budget_s} s: it must be above 0 and below {durations.LONGEST_S:.0f} s"
        )
    least_s = runner.estimate_s(scenario)
    if budget_s is not None and budget_s < least_s:
        raise SlotbenchError(
            f"--budget is {budget_s:.0f} s, and the scenario's own {first} rounds take about "
            f"{least_s:.0f} s: raise it, or lower --rounds"
        )
    delta = scenario.threshold if threshold is None else threshold
    own = dict(thresholds or {})
    for name in own:
        if name not in metrics:
            raise SlotbenchError(
                f"a threshold is given for {name}, which decides nothing here: add --metric {name}"
            )
    planned = sequential.looks(first, last)
    return Sequential(
        looks=planned,
        confidence=sequential.nominal_confidence(planned),
        metrics=tuple(dict.fromkeys(metrics)),
        thresholds={name: own.get(name, delta) for name in metrics},
        budget_s=budget_s,
    )


def most_s(scenario: Scenario, planned: Sequential) -> float:
    """Estimate how long the run takes if no cell is ever decided, and its budget does not end it."""
    whole_s = runner.estimate_s(replace(scenario, rounds=planned.max_rounds))
    return whole_s if planned.budget_s is None else min(whole_s, planned.budget_s)


def run(
    planned: RunRecord,
    executor: Executor | Cluster,
    on_trial: Callable[[TrialRecord], None],
    on_progress: Callable[[Progress], None],
    *,
    on_plan: Callable[[RunRecord], None],
    elapsed_s: Callable[[], float],
    recorded: Sequence[TrialRecord] = (),
    on_calibration: Callable[[CalibrationRecord], None] | None = None,
) -> tuple[RunRecord, float]:
    """Run what is planned, and then what each look adds to the plan, until it adds nothing.

    Args:
        planned: its contenders have been admitted.
        executor: its worker is up: it serves the first round.
        on_trial: as `runner.run`.
        on_progress: as `runner.run`; the number of trials is that until the next look.
        on_plan: given the run each time that its plan has grown, before the new round begins, and when
            it has ended.
        elapsed_s: wall clock of this sitting so far.
        recorded: trials of earlier sittings.
        on_calibration: as `runner.run`.

    Returns:
        The run as it ended; seconds observed, over all trials of this sitting.

    Raises:
        ValueError: the run is none that goes on until it is decided.
    """
    trials = list(recorded)
    before_s = spent_s(planned, recorded)
    current, observed_s, is_worker_used = planned, 0.0, False

    def keep(trial: TrialRecord) -> None:
        on_trial(trial)
        trials.append(trial)

    while True:
        has_work = bool(runner.unfinished(current, trials))
        if has_work and is_worker_used:
            on_progress(_starting(current, len(trials) - len(recorded)))
            executor.start_worker()
        is_worker_used = is_worker_used or has_work
        observed_s += runner.run(
            current,
            executor,
            keep,
            _at_look(current, len(trials) - len(recorded), on_progress),
            recorded=tuple(trials),
            on_calibration=on_calibration,
        )
        if current.sequential is not None and current.sequential.ended:
            return current, observed_s
        current = grown(current, trials, before_s + elapsed_s())
        on_plan(current)


def grown(run: RunRecord, trials: Sequence[TrialRecord], run_s: float) -> RunRecord:
    """Give the run one more round, of the cells that still need one; or say how it ended.

    Args:
        run: whose planned rounds are measured.
        trials: all of its trials, all attempts.
        run_s: wall clock that it has taken.

    Raises:
        ValueError: the run is none that goes on until it is decided.
    """
    planned = run.sequential
    if planned is None:
        raise ValueError(f"{run.run_id} is no run until decided")
    num_rounds = len(run.design.blocks)
    last = {name for name, _ in run.design.blocks[-1]}
    going = [cell.name for cell in run.scenario.cells if cell.name in last]
    stopped = list(planned.stopped)
    if num_rounds in planned.looks:
        more = planned.max_rounds - num_rounds
        found = deciding.standings(run, trials, more_rounds=dict.fromkeys(going, more))
        for name in tuple(going):
            standing = deciding.of_cell(one for one in found if one.row.cell == name)
            reason = _reason(standing, is_last=more == 0)
            if reason is not None:
                stopped.append(StoppedCell(name, num_rounds, reason))
                going.remove(name)
    if going and planned.budget_s is not None:
        next_s = _round_s(run, going) * run_s / _rounds_s(run)
        if run_s + next_s > planned.budget_s:
            found = deciding.standings(run, trials)
            for name in going:
                standing = deciding.of_cell(one for one in found if one.row.cell == name)
                is_decided = standing == "decided"
                reason = "decided" if is_decided else "budget"
                stopped.append(StoppedCell(name, num_rounds, reason))
            going = []
    if going:
        more_design = design.extended(run.scenario, run.design, going)
        return replace(
            run, design=more_design, sequential=replace(planned, stopped=tuple(stopped))
        )
    reasons: tuple[StopReason, ...] = get_args(StopReason)
    ended = max((one.reason for one in stopped), key=reasons.index)
    return replace(run, sequential=replace(planned, stopped=tuple(stopped), ended=ended))


def spent_s(run: RunRecord, trials: Sequence[TrialRecord]) -> float:
    """Wall clock that earlier sittings took: each from its beginning to its last trial's end."""
    begins = [
        (run.created_at, 0),
        *((again.created_at, again.num_trials) for again in run.resumptions),
    ]
    ends = [number for _, number in begins[1:]] + [len(trials)]
    total_s = 0.0
    for (began, first), end in zip(begins, ends, strict=True):
        if end > first:
            last = trials[end - 1]
            since_s = _s_between(began, last.started_at)
            total_s += max(0.0, since_s + last.duration_s)
    return total_s


def _reason(standing: deciding.Standing, *, is_last: bool) -> StopReason | None:
    """Why a cell that stands so gets no more rounds; None where it gets some."""
    if standing == "open":
        return None
    return "max rounds" if standing == "no prospect" and is_last else standing


def _round_s(run: RunRecord, cells: Sequence[str]) -> float:
    """Estimate how long a round of these cells takes."""
    in_block = [who for who, _ in design.arms(run.scenario.contenders)]
    workloads = {cell.name: cell.workload for cell in run.scenario.cells}
    return budget.WORKER_START_S + sum(
        budget.estimate_block_s(workloads[name], in_block) for name in cells
    )


def _rounds_s(run: RunRecord) -> float:
    """Estimate how long all rounds took that were planned so far."""
    return sum(_round_s(run, [name for name, _ in cells]) for cells in run.design.blocks)


def _left_to_look(run: RunRecord) -> int:
    """Trials that are not planned yet, up to the next look."""
    if run.sequential is None:
        return 0
    num_rounds = len(run.design.blocks)
    ahead = next((look for look in run.sequential.looks if look >= num_rounds), num_rounds)
    size = len(design.arms(run.scenario.contenders))
    return (ahead - num_rounds) * len(run.design.blocks[-1]) * size


def _starting(run: RunRecord, num_done: int) -> Progress:
    cells = run.design.blocks[-1]
    size = len(design.arms(run.scenario.contenders))
    return Progress(
        num_done,
        num_done + len(cells) * size + _left_to_look(run),
        f"round {len(run.design.blocks)}, {len(cells)} undecided: starting a fresh worker",
    )


def _at_look(
    run: RunRecord, num_done: int, on_progress: Callable[[Progress], None]
) -> Callable[[Progress], None]:
    """Told of a few rounds, tell of all that lies before and up to the next look."""
    left = _left_to_look(run)

    def told(state: Progress) -> None:
        on_progress(
            Progress(
                num_done + state.num_done, num_done + state.num_trials + left, state.doing
            )
        )

    return told


def _s_between(began: str, ended: str) -> float:
    """Seconds from one recorded time to another; 0 where one of them is none."""
    try:
        first, second = (
            found if found.tzinfo else found.replace(tzinfo=UTC)
            for found in map(datetime.fromisoformat, (began, ended))
        )
    except ValueError:
        return 0.0
    return (second - first).total_seconds()
