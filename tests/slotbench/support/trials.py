"""Small trials, run in this process or as a spec for a worker."""

import time
from pathlib import Path
from typing import Any

import pytest

from slotbench import contenders
from slotbench.measure.executor import Executor
from slotbench.measure.instrument import Instrument
from slotbench.measure.trial import run_trial
from slotbench.records import (
    Batching,
    Leaf,
    Model,
    Observation,
    ThinkTime,
    TrialRecord,
    TrialSpec,
    Window,
    Workload,
)

SUPPORT = str(Path(__file__).parent)
"""To be put on the path of whoever makes contenders of this folder."""


def invalid(record: TrialRecord) -> set[str]:
    """Name the rules by which the trial is INVALID; a busy machine may add that it disturbed."""
    return {found.rule for found in record.findings if found.severity == "INVALID"}


def run_honest(executor: Executor, asked: TrialSpec) -> TrialRecord:
    """Run a trial of an honest contender, thrice at most while it is INVALID.

    On a busy machine a thread may get no processor for all of so short a window: a consumer falls
    behind, stamps look dear, a reply is late. What is wrong with a contender is wrong each time,
    and the rules that find it have tests of their own.
    """
    record = executor.run(asked)
    for _ in range(2):
        if not invalid(record):
            break
        record = executor.run(asked)
    return record


def workload(**changes: Any) -> Workload:
    """A small workload; keywords replace its fields."""
    fields: dict[str, Any] = {
        "num_slots": 4,
        "observation": Observation((Leaf("observation", (8,), "float32"),)),
        "think_time": ThinkTime(),
        "model": Model(),
        "batching": Batching(),
        "window": Window(
            warmup_s=0.02, measure_s=0.05, min_requests=200, max_measure_s=4.0
        ),
    }
    return Workload(**(fields | changes))


def spec(name: str, **changes: Any) -> TrialSpec:
    """A trial of the named contender, on `workload` with these changes; skips without its TorchRL."""
    contender = contenders.parse(name)
    if contenders.needs_torchrl(contender):
        pytest.importorskip("torchrl")
    return TrialSpec(
        "t0", 0, "all", 0, 0, 0, contender, workload(**changes), 1, deadline_s=60.0
    )


def run(what: TrialSpec, instrument: Instrument | None = None) -> TrialRecord:
    """Run the trial in this process."""
    return run_trial(
        what,
        sent_ns=time.perf_counter_ns(),
        started_at="2026-11-28T00:00:00+00:00",
        instrument=instrument,
    )
