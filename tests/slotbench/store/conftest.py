"""A small run and its trials, for tests that need files rather than numbers."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from slotbench.records import (
    Batching,
    Cell,
    Contender,
    Design,
    Histogram,
    Leaf,
    Model,
    Observation,
    RunRecord,
    Scenario,
    ThinkTime,
    TrialMeasurement,
    TrialRecord,
    Window,
    Workload,
)
from slotbench.store import RunFolder

RUN_ID = "20261123T064501Z-quickstart-3fa9c1"


def _run() -> RunRecord:
    workload = Workload(
        2,
        Observation((Leaf("x", (8,), "float32"),)),
        ThinkTime(),
        Model(),
        Batching(),
        Window(),
    )
    return RunRecord(
        schema_version=1,
        run_id=RUN_ID,
        created_at="2026-11-23T06:45:01.250000+00:00",
        status="complete",
        scenario=Scenario(
            name="quickstart",
            title="Two transports",
            question="Which one?",
            source="",
            text="",
            overrides=(),
            cells=(Cell("num_slots=2", {"num_slots": 2}, workload),),
            contenders=(
                Contender("threading", "threading", {}, "reference", baseline=True),
                Contender("slot", "slot", {}, "reference"),
            ),
            rounds=3,
            seed=7,
            threshold=0.03,
        ),
        scenario_sha256="0" * 64,
        skipped=(),
        design=Design(seed=7, rounds=3, num_trials=9, blocks=()),
        environment={"cpu_count": 2, "load_avg_1min": 0.5, "gil_enabled": True},
        command=("slotbench", "run", "quickstart"),
    )


def _trial(number: int = 0) -> TrialRecord:
    measurement = TrialMeasurement(
        window_s=1.0,
        warmup_s=0.3,
        startup_s=0.01,
        teardown_s=0.01,
        num_submitted=1300,
        num_replied=1300,
        num_served=1300,
        num_replies=1000,
        num_batches=500,
        num_rows=1000,
        latency_mean_s=0.001,
        latency_p50_s=0.001,
        latency_p90_s=0.002,
        latency_p99_s=0.003,
        latency_p999_s=None,
        latency_max_s=0.004,
        latency=Histogram(((10, 900), (12, 100))),
        batch_sizes=((2, 500),),
        replies_per_actor=(500, 500),
        think_mean_s=None,
        forward_mean_s=0.0001,
        recorder_cost_s=1e-6,
        cpu_s=1.5,
        context_switches_voluntary=10,
        context_switches_involuntary=1,
    )
    return TrialRecord(
        trial_id=f"t{number:04d}",
        round=number,
        cell="num_slots=2",
        attempt=0,
        position=0,
        arm=0,
        contender="slot",
        seed=7,
        status="ok",
        started_at="2026-11-23T06:45:02+00:00",
        duration_s=1.4,
        measurement=measurement,
    )


@pytest.fixture
def run() -> RunRecord:
    """A complete run of one cell and two contenders."""
    return _run()


@pytest.fixture
def make_trial() -> Callable[[int], TrialRecord]:
    """Build the n-th trial of that run."""
    return _trial


@pytest.fixture
def make_folder(tmp_path: Path) -> Iterator[Callable[..., RunFolder]]:
    """Record a run with so many trials under ``tmp_path/results``."""

    def make(num_trials: int = 0, run_id: str = RUN_ID) -> RunFolder:
        record = dataclasses.replace(_run(), run_id=run_id)
        folder = stack.enter_context(RunFolder.create(tmp_path / "results", record))
        for number in range(num_trials):
            folder.append(_trial(number))
        return folder

    with ExitStack() as stack:
        yield make
