"""A run that is killed at any moment can be resumed, and is whole then.

The numbers of kills are small here; `make kills` does fifty of each.
"""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from slotbench import store
from slotbench.compute import blocks
from slotbench.store import StoredRun

NUM_KILLS = int(os.environ.get("SLOTBENCH_KILLS", "0"))
WAIT_S = 120.0

SCENARIO = """
title = "Killed"
question = "Is it whole?"
rounds = 2
[window]
warmup_s = 0.01
measure_s = 0.02
min_requests = 10
[grid]
num_slots = [1, 2]
[[contenders]]
name = "threading"
baseline = true
[[contenders]]
name = "slot"
"""

# The same recording without a transport: thousands of writes a second, so that a kill meets them.
CANNED = """
import sys
from pathlib import Path
from slotbench import scenario, store
from slotbench.measure.outcomes import failed
from slotbench.records import CalibrationRecord
from slotbench.session import resume_run, run_scenario

class Executor:
    worker_start_s = 0.0
    def start_worker(self): pass
    def check(self, contender, workload): return ""
    def run(self, spec): return failed(spec, "now", "canned " + 2000 * "x")
    def calibrate(self, spec):
        block = spec.round, spec.cell, spec.attempt
        return CalibrationRecord(*block, "failed", "now", 0.0, error=2000 * "x")
    def close(self): pass

file, results, way = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
print("ready", flush=True)
if way == "resume":
    resume_run(store.find(None, results), Executor())
else:
    run_scenario(scenario.load(file, rounds=100), Executor(), results)
"""


def killed_after(command: list[str], delay_s: float, *, wait_for: str = "") -> int | None:
    """Start the command, kill -9 it so much later; return its exit code, None if killed.

    Args:
        command: what to run.
        delay_s: from the start, or from the line ``wait_for`` on stdout.
        wait_for: "" does not wait.
    """
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        if wait_for:
            assert process.stdout.readline().strip() == wait_for
        try:
            process.communicate(timeout=delay_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return None
        return process.returncode


def check_whole(before: StoredRun | None, after: StoredRun) -> None:
    """Every block counts whole and once; what was recorded before is still there."""
    run = after.run
    assert run.status == "complete"
    assert after.notes == ()
    planned = Counter(
        (index, cell, trial)
        for index, of_round in enumerate(run.design.blocks)
        for cell, order in of_round
        for trial in order
    )
    counted = Counter(
        (trial.round, trial.cell, f"{trial.contender}#{trial.arm}")
        for trial in blocks.counted_trials(run, after.trials)
    )
    assert counted == planned
    calibrated = {(one.round, one.cell, one.attempt) for one in after.calibrations}
    assert {
        (*place, n) for place, n in blocks.counted_attempts(run, after.trials).items()
    } <= calibrated
    if before is not None:
        assert after.trials[: len(before.trials)] == before.trials
        assert after.calibrations[: len(before.calibrations)] == before.calibrations
        # A block that was broken off, or that the machine disturbed, is owed another attempt.
        owed = blocks.owed_blocks(run, before.trials)
        finished = {(t.round, t.cell) for t in before.trials} - owed.keys()
        again = {(t.round, t.cell) for t in after.trials[len(before.trials) :]}
        assert not finished & again


def read_if_begun(results: Path) -> StoredRun | None:
    """Read the only run, if its folder had a run.json when the process was killed."""
    runs = store.all_runs(results)
    assert len(runs) <= 1
    return store.read(runs[0]) if runs else None


@pytest.mark.parametrize("seed", range(max(3, NUM_KILLS)))
def test_recording_survives_kills(seed: int, tmp_path: Path) -> None:
    """Killed among thousands of writes, resumed and killed again, resumed to the end."""
    shuffled = random.Random(seed)
    (tmp_path / "killed.toml").write_text(SCENARIO)
    results = tmp_path / "results"
    program = [sys.executable, "-c", CANNED, str(tmp_path / "killed.toml"), str(results)]
    killed_after([*program, "run"], shuffled.uniform(0.0, 0.5), wait_for="ready")
    for _ in range(2):
        before = read_if_begun(results)
        if before is None or before.run.status == "complete":
            break
        killed_after([*program, "resume"], shuffled.uniform(0.0, 0.2), wait_for="ready")
    before = read_if_begun(results)
    if before is None or before.run.status != "complete":
        way = "run" if before is None else "resume"
        assert killed_after([*program, way], WAIT_S) == 0
    check_whole(before, store.read(store.find(None, results)))


@pytest.mark.parametrize("seed", range(max(1, NUM_KILLS)))
def test_a_killed_run_is_resumed_to_its_end(seed: int, tmp_path: Path) -> None:
    """The real command, killed at a random moment of its life, and resumed as it advises."""
    (tmp_path / "killed.toml").write_text(SCENARIO)
    results = tmp_path / "results"
    slotbench = [sys.executable, "-m", "slotbench", "run", "--results", str(results)]
    # Start-up and imports take 4 to 8 s of its life, two rounds with a fresh worker as much again.
    delay_s = random.Random(seed).uniform(2.0, 14.0)
    killed_after([*slotbench, str(tmp_path / "killed.toml")], delay_s)
    before = read_if_begun(results)
    if before is None:
        assert killed_after([*slotbench, str(tmp_path / "killed.toml")], WAIT_S) in {0, 3}
    elif before.run.status != "complete":
        assert killed_after([*slotbench, "--resume", before.run.run_id], WAIT_S) in {0, 3}
    after = store.read(store.find(None, results))
    check_whole(before, after)
    assert {trial.status for trial in after.trials} == {"ok"}
