"""From a scenario to a recorded run: measuring and recording, put together.

The one place where `slotbench.measure` and `slotbench.store` meet. Prints nothing.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from slotbench.errors import RecordError
from slotbench.measure import design, runner
from slotbench.measure.executor import Executor
from slotbench.measure.runner import Progress
from slotbench.records import SCHEMA_VERSION, Accounting, RunRecord, Scenario, Skipped
from slotbench.store import RunFolder, check_writable, environment, new_run_id


def run_scenario(
    scenario: Scenario,
    executor: Executor,
    results_dir: Path,
    *,
    skipped: Sequence[Skipped] = (),
    command: Sequence[str] = (),
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_start: Callable[[Path], None] = lambda _: None,
) -> Path:
    """Run and record a scenario.

    Every trial is on disk before the next begins. Whatever ends the run early, Ctrl-C
    included, leaves a folder that reads as an interrupted run.

    Args:
        scenario: what to run.
        executor: closed by the caller.
        results_dir: the run's folder is made in it.
        skipped: optional contenders that were left out before.
        command: the command line, for the record.
        on_progress: told what the run is at.
        on_start: told the run's folder before the first trial.

    Returns:
        The run's folder.

    Raises:
        ContenderError, ScenarioError: a contender or environment cannot be made; nothing
            was recorded.
        RecordError: the results folder cannot be written.
        WorkerError: no worker process comes up.
    """
    check_writable(results_dir)
    on_progress(Progress(0, 0, "starting a worker: importing torch, tensordict, …"))
    began = time.perf_counter()
    executor.start_worker()
    scenario, more_skipped = runner.admit(scenario, executor)
    now = datetime.now(UTC)
    run = RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id=new_run_id(scenario.name, now),
        created_at=now.isoformat(timespec="seconds"),
        status="running",
        scenario=scenario,
        scenario_sha256=hashlib.sha256(scenario.text.encode()).hexdigest(),
        skipped=(*skipped, *more_skipped),
        design=design.describe(scenario),
        environment=environment.collect(),
        command=tuple(command),
    )
    folder = RunFolder.create(results_dir, run)
    on_start(folder.path)
    try:
        observed_s = runner.run(scenario, executor, folder.append, on_progress)
    except BaseException:
        with contextlib.suppress(RecordError):  # a full disk is said once, by what met it
            folder.replace_run(replace(run, status="interrupted"))
        raise
    total_s = time.perf_counter() - began
    accounting = Accounting(total_s, observed_s, executor.worker_start_s)
    folder.replace_run(replace(run, status="complete", accounting=accounting))
    return folder.path
