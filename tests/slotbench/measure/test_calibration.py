"""What is timed is what the workload asks for; no durations are asserted, only what must hold."""

import dataclasses
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tensordict import TensorDict

from slotbench.compute import histogram, think_times
from slotbench.measure import budget, calibration, environments, policies
from slotbench.measure.executor import LocalExecutor
from slotbench.measure.identity import REQUEST_ID
from slotbench.measure.zygote import Task
from slotbench.records import (
    Batching,
    CalibrationRecord,
    GymEnvironment,
    Model,
    ThinkTime,
    TrialSpec,
    Workload,
)

Workloads = Callable[..., Workload]


class Unchecked:
    """Instead of an `IdentityCheck`."""

    ids: tuple[torch.Tensor, ...] = ()
    problem = ""

    def add(self, reply: Any) -> None: ...

    def finish(self) -> None: ...


def calibrate(workload: Workload, seed: int = 1) -> CalibrationRecord:
    """In this process."""
    return calibration.run_calibration(
        workload, block=(2, "all", 1), seed=seed, started_at="2026-11-28T00:00:00+00:00"
    )


@pytest.mark.parametrize(
    ("num_slots", "most", "sizes"),
    [
        (1, 64, (1,)),
        (2, 64, (1, 2)),
        (16, 64, (1, 2, 4, 8, 16)),
        (256, 64, (1, 3, 8, 23, 64)),
        (4096, 4096, (1, 8, 64, 512, 4096)),
    ],
)
def test_sizes_reach_from_one_to_the_largest_batch(
    num_slots: int, most: int, sizes: tuple[int, ...], workload: Workloads
) -> None:
    """A few, evenly spread by their ratio; no batch that cannot come about."""
    asked = workload(num_slots=num_slots, batching=Batching(max_batch_size=most))
    assert budget.calibrated_sizes(asked) == sizes


def test_what_takes_time_takes_at_least_that(workload: Workloads) -> None:
    """A policy of 2 ms, and actors that think 1 ms: sleeping never ends early."""
    found = calibrate(
        workload(model=Model("sleep", 2.0, 0.1), think_time=ThinkTime("constant", 1.0))
    )

    assert (found.round, found.cell, found.attempt, found.status) == (2, "all", 1, "ok")
    assert found.think_excess_s is not None
    assert found.think_excess_s > 0
    assert found.think_mean_s is not None
    assert found.think_mean_s >= 1e-3
    assert [point.batch_size for point in found.service] == [1, 2, 3, 4]
    for point in found.service:
        assert point.median_s >= 2e-3 + 1e-4 * point.batch_size
        assert point.num_calls >= budget.MIN_CALIBRATION_CALLS
    assert found.work_s is not None
    assert found.work_s > 0
    assert found.num_cpus >= 1
    assert found.observed_s > 0


def test_the_histogram_holds_every_think(workload: Workloads) -> None:
    """Its mean is the mean."""
    found = calibrate(workload(think_time=ThinkTime("exponential", 0.5)))
    counted = sum(count for _, count in found.think.buckets)
    total_ns = math.fsum(
        count * (sum(histogram.edges_ns(index)) - 1) / 2
        for index, count in found.think.buckets
    )

    assert counted >= budget.MIN_CALIBRATION_THINKS * 0.7
    assert found.think_mean_s is not None
    assert total_ns / counted / 1e9 == pytest.approx(found.think_mean_s, rel=0.01)


def test_what_was_drawn_is_not_in_the_excess(
    workload: Workloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sleep of 3 ms that ends at once is 3 ms too short, up to an actor's own work."""
    monkeypatch.setattr("slotbench.measure.waiting.time.sleep", lambda _: None)
    found = calibrate(workload(think_time=ThinkTime("constant", 3000.0)))

    assert found.think_excess_s is not None
    assert found.think_mean_s is not None
    assert -3.0 < found.think_excess_s < -2.0
    assert found.think_mean_s < 1.0


@pytest.mark.parametrize(
    "think",
    [
        ThinkTime("exponential", 3.0),
        ThinkTime("constant", 3.0, reset_every=7, reset_ms=50.0, reset_actors=1),
    ],
)
def test_think_times_are_drawn_as_the_trials_first_actor_draws_them(
    think: ThinkTime, workload: Workloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same seed, the same times, in their order, its resets among them."""
    slept: list[float] = []
    monkeypatch.setattr("slotbench.measure.waiting.time.sleep", slept.append)
    calibrate(workload(think_time=think), seed=5)

    drawn = think_times.draw_s(think, think_times.actor_seed(5, 0))
    assert slept[:40] == drawn[:40]


def test_an_actors_work_does_not_wait_for_the_policy(
    workload: Workloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy that answers the thinking actor takes no synthetic time: only sizes are timed."""
    slept: list[float] = []
    monkeypatch.setattr("slotbench.measure.waiting.time.sleep", slept.append)
    found = calibrate(workload(model=Model("sleep", 50.0)))

    calls = sum(point.num_calls + 2 for point in found.service)
    assert slept == [pytest.approx(0.05)] * calls


@pytest.mark.parametrize("kind", ["mlp", "spin"])
def test_every_kind_of_policy_is_timed(kind: Any, workload: Workloads) -> None:
    """A real network takes CPU time; so does one that spins."""
    found = calibrate(workload(model=Model(kind, 0.2 if kind == "spin" else 0.0)))

    assert all(point.cpu_s > 0 for point in found.service)


def test_a_real_environment_is_stepped_with_the_policys_actions(
    workload: Workloads,
) -> None:
    """CartPole: nothing was drawn, and no part of it is called the harness's own work."""
    pytest.importorskip("gymnasium")
    found = calibrate(
        workload(model=Model("mlp"), environment=GymEnvironment("CartPole-v1"))
    )

    assert found.think_excess_s is found.work_s is None
    assert found.think_cpu_s is not None
    assert found.think_cpu_s > 0


@pytest.mark.alone
@pytest.mark.parametrize("library", ["gymnasium", "envpool"])
def test_an_engines_own_thread_computes_for_the_actor(
    library: Any, workload: Workloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EnvPool's; beside another environment's actor nobody else computes for it."""

    class Engine:
        def request(self) -> Any:
            return TensorDict({REQUEST_ID: ids[0], "observation": torch.ones(8)}, [])

        def step(self, reply: Any) -> None:
            thread = threading.Thread(target=compute_2_ms)
            thread.start()
            thread.join()

    def compute_2_ms() -> None:
        while time.thread_time_ns() < 2_000_000:
            pass

    ids = torch.arange(2)
    monkeypatch.setattr(environments, "build", lambda *_, **__: Engine())
    monkeypatch.setattr(calibration, "_policy_without_wait", lambda *_: lambda batch: batch)
    monkeypatch.setattr(calibration, "IdentityCheck", lambda _: Unchecked())
    asked = workload(environment=GymEnvironment("E", library=library))
    cpu_s = calibration._think(asked, 1).cpu_s

    assert (cpu_s >= 2e-3) is (library == "envpool")


@pytest.mark.alone
def test_an_actors_work_is_not_the_policys(
    workload: Workloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the policy takes that answers it: 20 ms, asleep where only it sleeps."""
    slow = policies.build(workload(model=Model("sleep", 20.0)), 1)
    monkeypatch.setattr(calibration, "_policy_without_wait", lambda *_: slow)
    found = calibrate(workload())

    assert found.work_s is not None
    assert found.work_s < 0.02


def test_the_policy_that_answers_is_the_trials_own(
    workload: Workloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights are drawn from the block's seed, as the trial draws them, not from the actor's."""
    seeds = []
    built = policies.build

    def build(what: Workload, seed: int) -> Any:
        seeds.append(seed)
        return built(what, seed)

    monkeypatch.setattr(calibration.policies, "build", build)
    calibrate(workload(model=Model("mlp")), seed=7)

    assert set(seeds) == {7}


def test_torch_has_the_threads_of_the_workload(workload: Workloads) -> None:
    """As in the trials that the calibration stands beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        calibrate(workload(torch_threads=2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_process_is_told_the_blocks_seed_and_workload(
    executor: LocalExecutor,
    spec: Callable[..., TrialSpec],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Think times and episodes are drawn from it, as in the block's trials."""
    asked: list[Task] = []
    done = executor.do
    monkeypatch.setattr(executor, "do", lambda task: asked.append(task) or done(task))
    what = dataclasses.replace(spec("slot"), seed=99)
    executor.calibrate(what)

    (task,) = asked
    assert task.arguments["seed"] == 99
    assert task.arguments["workload"] == what.workload


def test_a_calibration_runs_in_a_process_of_its_own(
    executor: LocalExecutor, spec: Callable[..., TrialSpec]
) -> None:
    """And is named after the block that it stands before."""
    asked = dataclasses.replace(spec("slot"), round=3, attempt=2)
    found = executor.calibrate(asked)

    assert (found.round, found.cell, found.attempt, found.status) == (3, "all", 2, "ok")
    assert found.duration_s > 0


def test_a_calibration_that_cannot_be_made_is_recorded_as_failed(
    executor: LocalExecutor, spec: Callable[..., TrialSpec]
) -> None:
    """The trials go on: it costs the bound, not the run."""
    pytest.importorskip("gymnasium")
    wrong = spec("slot", environment=GymEnvironment("NoSuch-v0"))
    found = executor.calibrate(wrong)

    assert found.status == "failed"
    assert "NoSuch" in found.error
    assert "\n" not in found.error
    assert found.service == ()


def test_estimates_count_resets(workload: Workloads) -> None:
    """A window is prolonged, and a calibration longer, for what the first actor's episodes take."""
    plain = workload(think_time=ThinkTime("constant", 1.0))
    resets = workload(think_time=ThinkTime("constant", 1.0, reset_every=10, reset_ms=100.0))

    assert budget.estimate_trial_s(plain) < 0.3
    # 200 replies of 4 actors, 11 ms each, less the window that there is anyway.
    assert budget.estimate_trial_s(resets) - budget.estimate_trial_s(plain) == (
        pytest.approx(0.550 - 0.05)
    )
    assert budget.estimate_calibration_s(resets) - budget.estimate_calibration_s(plain) == (
        pytest.approx(50 * 11e-3 - 0.12)
    )
