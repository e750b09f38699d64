"""Synthetic runs for every test of the harness: built from numbers, nothing measured."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from slotbench.measure import executor
from slotbench.records import (
    BASELINE_REPEAT,
    SCHEMA_VERSION,
    Batching,
    Cell,
    Contender,
    Design,
    Finding,
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
from slotbench.records.contender import Server
from tests.slotbench.support.warm_workers import Nursery

MakeMeasurement = Callable[..., TrialMeasurement]
MakeTrial = Callable[..., TrialRecord]
MakeRun = Callable[..., RunRecord]
MakeTrials = Callable[..., list[TrialRecord]]


def build_workload(num_slots: int = 8) -> Workload:
    """A small observation, no think time, no model."""
    return Workload(
        num_slots=num_slots,
        observation=Observation((Leaf("observation", (8,), "float32"),)),
        think_time=ThinkTime(),
        model=Model(),
        batching=Batching(),
        window=Window(),
    )


def build_contender(label: str, *, baseline: bool = False) -> Contender:
    """A contender by its label; the floor brings its own server."""
    name = label.partition("[")[0].partition("@")[0]
    server: Server = "none" if name == "floor" else "reference"
    return Contender(label, name, {}, server, baseline=baseline)


def build_run(
    labels: Sequence[str] = ("threading", "slot"),
    *,
    slots: Sequence[int] = (8,),
    rounds: int = 5,
    threshold: float = 0.03,
    status: str = "complete",
    skipped: Sequence[Any] = (),
    cells: Sequence[Cell] | None = None,
) -> RunRecord:
    """A run whose first label is the baseline and whose grid is ``num_slots``."""
    made = tuple(cells or ()) or tuple(
        Cell(f"num_slots={n}", {"num_slots": n}, build_workload(n)) for n in slots
    )
    scenario = Scenario(
        name="synthetic",
        title="Synthetic",
        question="Which is faster?",
        source="",
        text="",
        overrides=(),
        cells=made,
        contenders=tuple(build_contender(x, baseline=x == labels[0]) for x in labels),
        rounds=rounds,
        seed=1,
        threshold=threshold,
    )
    return RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id="20250102T030405-synthetic-abc123",
        created_at="2025-01-02T03:04:05+00:00",
        status=status,  # type: ignore[arg-type]
        scenario=scenario,
        scenario_sha256="",
        skipped=tuple(skipped),
        design=Design(1, rounds, rounds * len(made) * (len(labels) + 1), ()),
        environment={},
        command=("slotbench", "run", "synthetic"),
    )


def build_measurement(throughput: float = 1000.0, **changes: Any) -> TrialMeasurement:
    """One second of a trial; latencies are 4 and 10 times the mean time per request."""
    batches = max(1, round(throughput / 4))
    measurement = TrialMeasurement(
        window_s=1.0,
        warmup_s=0.3,
        startup_s=0.02,
        teardown_s=0.01,
        num_submitted=int(throughput * 1.3),
        num_replied=int(throughput * 1.3),
        num_served=int(throughput * 1.3),
        num_replies=0,
        num_batches=batches,
        num_rows=4 * batches,
        latency_mean_s=4 / throughput if throughput else None,
        latency_p50_s=4 / throughput if throughput else None,
        latency_p90_s=6 / throughput if throughput else None,
        latency_p99_s=10 / throughput if throughput else None,
        latency_p999_s=None,
        latency_max_s=20 / throughput if throughput else None,
        latency=Histogram(),
        batch_sizes=((4, batches),),
        replies_per_actor=(),
        think_mean_s=0.0,
        forward_mean_s=1e-4,
        recorder_cost_s=1e-6,
        cpu_s=1.0,
        context_switches_voluntary=100,
        context_switches_involuntary=10,
    )
    # Replies are integers; a window of replies / throughput gives any throughput exactly.
    replies = max(1, round(throughput)) if throughput else 0
    window_s = replies / throughput if throughput else 1.0
    return replace(measurement, num_replies=replies, window_s=window_s, **changes)


def build_trial(
    contender: str = "slot",
    throughput: float | None = 1000.0,
    *,
    cell: str = "num_slots=8",
    round: int = 0,  # noqa: A002  # the record's own name
    attempt: int = 0,
    arm: int = 0,
    invalid: str = "",
    findings: Iterable[Finding] = (),
    **changes: Any,
) -> TrialRecord:
    """One trial; ``throughput=None`` is a failed one, ``invalid`` names the rule broken."""
    found = tuple(findings)
    if invalid:
        found += (Finding(invalid, "INVALID", "12 replies too few", "check the transport"),)
    failed = throughput is None
    return TrialRecord(
        trial_id=f"{cell}/{round}.{attempt}/{contender}#{arm}",
        round=round,
        cell=cell,
        attempt=attempt,
        position=0,
        arm=arm,
        contender=contender,
        seed=1,
        status="failed" if failed else "ok",
        started_at="2025-01-02T03:04:05+00:00",
        duration_s=1.4,
        measurement=None
        if throughput is None
        else build_measurement(throughput, **changes),
        findings=found,
        error="hung after 30 s" if failed else "",
    )


def build_trials(
    throughputs: Mapping[str, Sequence[float | None]],
    *,
    cells: Sequence[str] = ("num_slots=8",),
    repeat: Sequence[float] | None = None,
) -> list[TrialRecord]:
    """Trials of every cell from contender → throughput by round.

    ``repeat`` is the baseline's second arm; by default within 0.1 % of its first.
    """
    baseline = next(iter(throughputs))
    again = repeat or [
        (value or 1.0) * (1.001 if number % 2 else 0.999)
        for number, value in enumerate(throughputs[baseline])
    ]
    trials = [
        build_trial(label, value, cell=cell, round=number)
        for cell, (label, values) in itertools.product(cells, throughputs.items())
        for number, value in enumerate(values)
    ]
    trials += [
        build_trial(baseline, value, cell=cell, round=number, arm=BASELINE_REPEAT)
        for cell in cells
        for number, value in enumerate(again)
    ]
    return trials


@pytest.fixture(scope="session", autouse=True)
def _warm_workers() -> Iterator[None]:
    """Workers that this process starts are forked from one that has torch: hundreds of seconds."""
    if sys.platform != "linux":
        yield
        return
    with pytest.MonkeyPatch.context() as patch, Nursery() as nursery:
        patch.setattr(executor, "subprocess", nursery.namespace())
        yield


@pytest.fixture
def cold_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are started from nothing, as users' are."""
    monkeypatch.setattr(executor, "subprocess", subprocess)


@pytest.fixture
def make_measurement() -> MakeMeasurement:
    """`build_measurement`."""
    return build_measurement


@pytest.fixture
def make_trial() -> MakeTrial:
    """`build_trial`."""
    return build_trial


@pytest.fixture
def make_trials() -> MakeTrials:
    """`build_trials`."""
    return build_trials


@pytest.fixture
def make_run() -> MakeRun:
    """`build_run`."""
    return build_run
