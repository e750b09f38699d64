"""A small stored run with one of everything that leaves a trial out."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slotbench.compute import histogram
from slotbench.compute.percentiles import nearest_rank
from slotbench.records import Cell, RunRecord, TrialRecord
from slotbench.store import StoredRun

MakeStored = Callable[..., StoredRun]

LONG = "torchrl.slot[collate=lazy_stack]"
CELLS = ("num_slots=8, model.latency_ms=1", "observation.shape=[3,4]")


@pytest.fixture
def make_stored(make_run: Any) -> MakeStored:
    """Put records together as if they had been read."""

    def put(trials: Sequence[TrialRecord], **changes: Any) -> StoredRun:
        run: RunRecord = make_run(**changes)
        return StoredRun(Path("results") / run.run_id, run, tuple(trials))

    return put


@pytest.fixture
def cells(make_run: Any) -> tuple[Cell, ...]:
    """Two cells of different axes, one with a list for a value."""
    workload = make_run().scenario.cells[0].workload
    return (
        Cell(CELLS[0], {"num_slots": 8, "model.latency_ms": 1}, workload),
        Cell(CELLS[1], {"observation.shape": [3, 4]}, workload),
    )


@pytest.fixture
def stored(
    make_stored: MakeStored, make_trials: Any, make_trial: Any, cells: tuple[Cell, ...]
) -> StoredRun:
    """Two cells, three contenders, four rounds; slot is 20 % above threading.

    In the first cell slot is INVALID in round 2 and ``LONG`` failed in round 3, and round 0
    was measured twice. In the second cell all is well.
    """
    base = [1000.0, 1010.0, 990.0, 1005.0]
    rates: dict[str, list[float | None]] = {
        "threading": [*base],
        "slot": [1200.0, 1214.0, 1187.0, 1205.0],
        LONG: [700.0, 705.0, 696.0, 702.0],
    }
    trials = make_trials(rates, cells=[CELLS[1]])
    bad = {("slot", 2), (LONG, 3)}
    for trial in make_trials(rates, cells=[CELLS[0]]):
        if (trial.contender, trial.round) in bad:
            continue
        if trial.round == 0:
            trials.append(
                make_trial(trial.contender, 5000.0, cell=CELLS[0], arm=trial.arm, attempt=0)
            )
            rate = trial.measurement.num_replies / trial.measurement.window_s
            trials.append(
                make_trial(trial.contender, rate, cell=CELLS[0], arm=trial.arm, attempt=1)
            )
        else:
            trials.append(trial)
    trials.append(make_trial("slot", 1187.0, cell=CELLS[0], round=2, invalid="lost_reply"))
    trials.append(make_trial(LONG, None, cell=CELLS[0], round=3))
    return make_stored(trials, labels=("threading", "slot", LONG), cells=cells, rounds=4)


@pytest.fixture
def latencies_ns() -> np.ndarray[Any, Any]:
    """5 000 latencies over four powers of ten, with a long tail."""
    return np.random.default_rng(7).lognormal(11.0, 1.2, 5000).astype(np.int64)


@pytest.fixture
def with_latencies(
    make_stored: MakeStored, make_trial: Any, latencies_ns: np.ndarray[Any, Any]
) -> StoredRun:
    """One cell in two rounds that hold these latencies, in the second twice as long.

    The second was measured first.
    """
    trials = []
    for number, factor in enumerate((1, 2)):
        values = np.sort(latencies_ns * factor)
        p50, p99 = nearest_rank(values, 50.0), nearest_rank(values, 99.0)
        assert p50 is not None
        assert p99 is not None
        changes = {
            "latency": histogram.count(values),
            "latency_p50_s": p50 / 1e9,
            "latency_p99_s": p99 / 1e9,
        }
        trial = make_trial("slot", 1000.0, round=number)
        started_at = f"2025-01-02T03:04:{35 - 20 * number}.250+00:00"
        trials.append(_replaced(trial, started_at, changes))
    return make_stored(trials, rounds=2)


def _replaced(trial: TrialRecord, started_at: str, changes: dict[str, Any]) -> TrialRecord:
    assert trial.measurement is not None
    return replace(
        trial, started_at=started_at, measurement=replace(trial.measurement, **changes)
    )
