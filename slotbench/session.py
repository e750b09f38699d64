"""From a scenario to a recorded run: measuring and recording, put together.

The one place where `slotbench.measure` and `slotbench.store` meet. Prints nothing.
"""

import contextlib
import hashlib
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from slotbench import contenders
from slotbench.compute import deciding
from slotbench.errors import ContenderError, RecordError
from slotbench.measure import design, runner, until_decided
from slotbench.measure.cluster import Cluster
from slotbench.measure.executor import Executor
from slotbench.measure.runner import Progress
from slotbench.records import (
    SCHEMA_VERSION,
    Accounting,
    Contender,
    Resumption,
    RunRecord,
    Scalar,
    Scenario,
    Sequential,
    Skipped,
    TrialRecord,
)
from slotbench.store import (
    RunFolder,
    StoredRun,
    check_same_environment,
    check_writable,
    environment,
    new_run_id,
    read,
)

_STARTING: Final = "starting a worker: importing torch, tensordict, …"


def run_scenario(
    scenario: Scenario,
    executor: Executor | Cluster,
    results_dir: Path,
    *,
    skipped: Sequence[Skipped] = (),
    command: Sequence[str] = (),
    max_attempts: int = runner.MAX_ATTEMPTS,
    until: Sequential | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_start: Callable[[Path], None] = lambda _: None,
) -> Path:
    """Run and record a scenario.

    Every trial is on disk before the next begins. Whatever ends the run early, Ctrl-C
    included, leaves a folder that reads as an interrupted run.

    Args:
        scenario: what to run.
        executor: this machine's, or a cluster, over whose nodes the blocks are spread; closed by the
            caller.
        results_dir: the run's folder is made in it.
        skipped: optional contenders that were left out before.
        command: the command line, for the record.
        max_attempts: see `runner.run`.
        until: go on, beyond the scenario's rounds, until cells are decided: as
            `slotbench.measure.until_decided.plan` planned it.
        on_progress: told what the run is at.
        on_start: told the run's folder before the first trial.

    Returns:
        The run's folder.

    Raises:
        ContenderError, ScenarioError: a contender or environment cannot be made; nothing
            was recorded.
        SlotbenchError: no contender is left that could be decided on.
        RecordError: the results folder cannot be written.
        WorkerError: no worker process comes up.
        ClusterError: no node of the cluster can measure, or none is left: then the run is interrupted.
    """
    check_writable(results_dir)
    on_progress(Progress(0, 0, _STARTING))
    began = time.perf_counter()
    executor.start_worker()
    scenario, more_skipped = runner.admit(scenario, executor)
    if until is not None:
        deciding.check(scenario.contenders, until.metrics)
    now = datetime.now(UTC)
    run = RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id=new_run_id(scenario.name, now),
        created_at=now.isoformat(timespec="seconds"),
        status="running",
        scenario=scenario,
        scenario_sha256=hashlib.sha256(scenario.text.encode()).hexdigest(),
        skipped=(*skipped, *more_skipped),
        design=design.draw(scenario),
        environment=_environment(executor, scenario.contenders),
        command=tuple(command),
        max_attempts=max_attempts,
        sequential=until,
        nodes=executor.nodes() if isinstance(executor, Cluster) else (),
    )
    with RunFolder.create(results_dir, run) as folder:
        on_start(folder.path)
        _Sitting(executor, began, on_progress).measure(run, folder, ())
    return folder.path


def without_missing(scenario: Scenario) -> tuple[Scenario, tuple[Skipped, ...]]:
    """Leave out optional contenders that are not installed.

    Returns:
        The scenario as it can be raced, and what it goes without.

    Raises:
        ContenderError: one that is not optional, or the baseline, is not installed.
    """
    racing, skipped = [], []
    for contender in scenario.contenders:
        reason = contenders.missing_requirement(contender)
        if reason is None:
            racing.append(contender)
        elif contender.optional and not contender.baseline:
            skipped.append(Skipped(contender.label, reason))
        else:
            raise ContenderError(f"contender {contender.label}: {reason}")
    return replace(scenario, contenders=tuple(racing)), tuple(skipped)


def resume_run(
    path: Path,
    executor: Executor | Cluster,
    *,
    command: Sequence[str] = (),
    allow_different: bool = False,
    max_attempts: int | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_start: Callable[[Path], None] = lambda _: None,
) -> Path:
    """Go on with a run that was killed or interrupted, as it was planned.

    Blocks that the record holds whole stay as they are. One that was broken off is measured
    again whole, as another attempt; what there is of the first stays in the record and
    does not count.

    Args:
        path: the run's folder.
        executor: for the run's own scenario; closed by the caller. A cluster is given the nodes of the run's
            earlier sittings, and need not have the same ones; nor need the run have had any.
        command: the command line, for the record.
        allow_different: go on also where `check_environment` refuses.
        max_attempts: see `runner.run`; None is as the run was begun.
        on_progress: told what the run is at.
        on_start: told the run's folder before the first trial.

    Returns:
        The run's folder.

    Raises:
        RecordError: it is no run, is damaged or complete, another process is measuring it,
            it cannot be written, or the environment is another one.
        ContenderError, ScenarioError: a contender or environment can no longer be made.
        WorkerError: no worker process comes up.
        ClusterError: as `run_scenario`.
    """
    with RunFolder(path) as folder:
        folder.clear_up()
        stored = read(path)
        check_resumable(stored)
        raced = stored.run.scenario.contenders
        is_here = not isinstance(executor, Cluster)
        if is_here and not allow_different:
            check_environment(stored.run)
        on_progress(Progress(0, 0, _STARTING))
        began = time.perf_counter()
        executor.start_worker()
        here = _environment(executor, raced)
        if not is_here and not allow_different:
            check_environment(stored.run, here, on_cluster=True)
        _, missing = runner.admit(stored.run.scenario, executor)
        if missing:
            raise ContenderError(f"cannot go on without a contender: {missing[0].reason}")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        resumption = Resumption(now, len(stored.trials), here, tuple(command))
        run = replace(
            stored.run,
            schema_version=SCHEMA_VERSION,
            status="running",
            accounting=None,
            resumptions=(*stored.run.resumptions, resumption),
            max_attempts=max_attempts or stored.run.max_attempts,
            nodes=executor.nodes() if isinstance(executor, Cluster) else stored.run.nodes,
        )
        folder.replace_run(run)
        on_start(path)
        _Sitting(executor, began, on_progress).measure(run, folder, stored.trials)
    return path


def check_resumable(stored: StoredRun) -> None:
    """Refuse a run that has nothing left to measure.

    Raises:
        RecordError: it is complete.
    """
    if stored.run.status == "complete":
        anew = shlex.join(stored.run.command)
        raise RecordError(
            f"{stored.run.run_id} is complete: there is nothing to resume"
            + (f"; measure it anew with '{anew}'" if anew else "")
        )


def check_environment(
    run: RunRecord,
    here: Mapping[str, Scalar] | None = None,
    *,
    on_cluster: bool = False,
) -> None:
    """Refuse to go on with a run in another environment than it was begun in.

    Another machine, Python or torch would mix two experiments; so would another state of what
    is measured, committed or not.

    Args:
        run: that would go on.
        here: the environment now; None collects it.
        on_cluster: that is what nodes of a cluster have in common. Where the run was begun on one, it may go
            on with other machines of it: its blocks were never of one machine.

    Raises:
        RecordError: it differs; what differs is named.
    """
    if here is None:
        here = environment.collect(run.scenario.contenders)
    was = run.environment
    if run.nodes and on_cluster:
        was, here = ({k: v for k, v in x.items() if k != "machine_id"} for x in (was, here))
    check_same_environment(run.run_id, was, here)


def _environment(
    executor: Executor | Cluster, raced: Sequence[Contender]
) -> dict[str, Scalar]:
    """Where trials run: this machine, or what the nodes have in common."""
    if isinstance(executor, Cluster):
        return executor.environment()
    return environment.collect(raced)


@dataclass(frozen=True, slots=True)
class _Sitting:
    """One process's part of a run: the whole, or what was left of it."""

    executor: Executor | Cluster
    began: float
    on_progress: Callable[[Progress], None]

    def measure(
        self, run: RunRecord, folder: RunFolder, recorded: Sequence[TrialRecord]
    ) -> None:
        """Run what is left; leave a run.json that says how it ended."""
        last = run

        def plan(grown: RunRecord) -> None:
            nonlocal last
            last = self._on_nodes(grown)
            folder.replace_run(last)

        if isinstance(self.executor, Cluster):
            self.executor.on_change = lambda: plan(last)
        try:
            if run.sequential is None:
                observed_s = runner.run(
                    run,
                    self.executor,
                    folder.append,
                    self.on_progress,
                    recorded=recorded,
                    on_calibration=folder.append_calibration,
                )
            else:
                run, observed_s = until_decided.run(
                    run,
                    self.executor,
                    folder.append,
                    self.on_progress,
                    on_plan=plan,
                    elapsed_s=self._elapsed_s,
                    recorded=recorded,
                    on_calibration=folder.append_calibration,
                )
        except BaseException:
            # A full disk is said once, by what met it.
            with contextlib.suppress(RecordError):
                interrupted = replace(self._on_nodes(last), status="interrupted")
                folder.replace_run(interrupted)
            raise
        total_s = self._elapsed_s()
        accounting = Accounting(
            total_s,
            observed_s,
            self.executor.worker_start_s,
            self.executor.node_s if isinstance(self.executor, Cluster) else None,
        )
        run = replace(self._on_nodes(run), status="complete", accounting=accounting)
        folder.replace_run(run)

    def _on_nodes(self, run: RunRecord) -> RunRecord:
        """The run with its nodes as they are now, and with what these have in common."""
        if not isinstance(self.executor, Cluster):
            return run
        here = self.executor.environment()
        nodes = self.executor.nodes()
        if not run.resumptions:
            return replace(run, environment=here, nodes=nodes)
        *before, last = run.resumptions
        again = (*before, replace(last, environment=here))
        return replace(run, resumptions=again, nodes=nodes)

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self.began
