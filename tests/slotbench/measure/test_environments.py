"""What actors send, and how they spend their think time."""

import time
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from slotbench.compute import think_times
from slotbench.measure import waiting
from slotbench.measure.environments import (
    RealActorEnvironment,
    SyntheticEnvironment,
    build,
)
from slotbench.measure.identity import REQUEST_ID, IdentityCheck
from slotbench.records import GymEnvironment, Leaf, Observation, ThinkTime

LEAVES = (
    Leaf("state.joint", (3,), "float32"),
    Leaf("state.task", (), "int64"),
    Leaf("pixels", (4, 4, 3), "uint8"),
    Leaf("mask", (2,), "bool"),
)


def synthetic(**changes: Any) -> SyntheticEnvironment:
    return SyntheticEnvironment(
        Observation(LEAVES, **changes),
        ThinkTime(),
        IdentityCheck(7).ids,
        num_slots=2,
        seed=1,
    )


def test_a_request_has_the_specified_leaves_and_an_id() -> None:
    """Nested leaves, shapes and dtypes are as the scenario says; ids count up."""
    environment = synthetic()
    first, second = environment.request(), environment.request()

    assert first.batch_size == torch.Size([])
    leaves = dict(first.items(True, True))
    assert {key: (tuple(leaf.shape), leaf.dtype) for key, leaf in leaves.items()} == {
        ("state", "joint"): ((3,), torch.float32),
        ("state", "task"): ((), torch.int64),
        "pixels": ((4, 4, 3), torch.uint8),
        "mask": ((2,), torch.bool),
        REQUEST_ID: ((), torch.int64),
    }
    assert int(second[REQUEST_ID]) == int(first[REQUEST_ID]) + 1


@pytest.mark.parametrize(
    ("device_metadata", "device"), [(False, None), (True, torch.device("cpu"))]
)
def test_device_metadata_is_as_asked(
    device_metadata: bool, device: torch.device | None
) -> None:
    """TorchRL's collate takes another way through requests without it."""
    assert synthetic(device_metadata=device_metadata).request().device == device


def test_requests_are_new_unless_reuse_is_asked_for() -> None:
    """By default no TensorDict is sent twice; reused ones still carry new ids."""
    fresh, reused = synthetic(), synthetic(reuse_request=True)
    ids = []
    objects = set()
    for _ in range(10):
        request = reused.request()
        ids.append(int(request[REQUEST_ID]))
        objects.add(id(request))

    assert len({id(request) for request in [fresh.request() for _ in range(10)]}) == 10
    assert len(objects) < 10
    assert len(set(ids)) == 10


def test_observations_are_the_same_for_the_same_seed() -> None:
    """Contenders of a block are given the same data."""
    assert torch.equal(synthetic().request()["pixels"], synthetic().request()["pixels"])


@pytest.mark.parametrize("distribution", ["constant", "exponential", "lognormal"])
def test_think_times_have_the_asked_mean(distribution: Any) -> None:
    """The mean of 1024 draws lies within 5 standard errors of it; none is negative."""
    times_s = np.array(think_times.draw_s(ThinkTime(distribution, 2.0, sigma=0.5), seed=3))
    standard_error = times_s.std() / len(times_s) ** 0.5

    assert abs(times_s.mean() - 2e-3) <= 5 * standard_error + 1e-12
    assert (times_s >= 0).all()


def test_no_think_time_is_no_wait() -> None:
    """Without think time a step does not even yield."""
    assert think_times.draw_s(ThinkTime(), seed=0) == []


@pytest.mark.parametrize("mode", ["idle", "busy", "busy_nogil", "work"])
def test_every_way_of_waiting_lasts_as_long_as_asked(mode: Any) -> None:
    """A wait is never shorter than asked."""
    began = time.perf_counter()
    waiting.by_mode(mode)(0.003)

    assert time.perf_counter() - began >= 0.003


def test_idle_sleeps_and_busy_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only idle actors leave the processor; no time at all is no sleep either."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    for mode in ("idle", "busy", "busy_nogil", "work"):
        waiting.by_mode(mode)(0.001)
    waiting.sleep(0.0)

    assert slept == [0.001]


@pytest.mark.parametrize(("reuse", "device"), [(False, None), (True, torch.device("cpu"))])
def test_a_gym_request_has_the_asked_form(workload: Any, reuse: bool, device: Any) -> None:
    """Device metadata and reuse are the cell's with a real environment too."""
    pytest.importorskip("gymnasium")
    form = Observation((), device_metadata=device is not None, reuse_request=reuse)
    cell = workload(environment=GymEnvironment("CartPole-v1"), observation=form)
    environment = build(cell, IdentityCheck(0).ids, has_payload=True, seed=1)
    first = environment.request()
    first_id = int(first[REQUEST_ID])
    second = environment.request()

    assert first.device == device
    assert (first is second) is reuse
    assert int(second[REQUEST_ID]) == first_id + 1


def test_a_gym_environment_is_really_stepped() -> None:
    """Observations are those that CartPole gives for these actions and this seed."""
    gymnasium = pytest.importorskip("gymnasium")
    environment = RealActorEnvironment(
        GymEnvironment("CartPole-v1"),
        Observation(()),
        IdentityCheck(0).ids,
        has_payload=True,
        seed=5,
    )
    reference = gymnasium.make("CartPole-v1")
    expected, _ = reference.reset(seed=5)

    for step in range(60):
        np.testing.assert_array_equal(
            environment.request()["observation"].numpy(), expected
        )
        environment.step(TensorDict({"action": torch.tensor(step % 2)}, batch_size=[]))
        expected, _, terminated, truncated, _ = reference.step(step % 2)
        if terminated or truncated:
            break
    else:
        pytest.fail("CartPole did not end in 60 steps")

    assert environment.request()["observation"].abs().max() <= 0.05, "it was not reset"


def test_an_envpool_environment_is_really_stepped() -> None:
    """Observations of one Ant without the pool's dimension: those of the pool for this seed."""
    pytest.importorskip("gymnasium")
    envpool = pytest.importorskip("envpool")
    environment = RealActorEnvironment(
        GymEnvironment("Ant-v4", library="envpool"),
        Observation(()),
        IdentityCheck(0).ids,
        has_payload=True,
        seed=5,
    )
    reference = envpool.make("Ant-v4", env_type="gymnasium", num_envs=1, seed=5)
    expected = reference.reset()[0]
    for _ in range(5):
        request = environment.request()
        np.testing.assert_array_equal(request["observation"].numpy(), expected[0])
        environment.step(TensorDict({"action": torch.full((8,), 0.25)}, []))
        expected = reference.step(np.full((1, 8), 0.25))[0]


@pytest.mark.parametrize(("action", "taken"), [(0.25, 0.25), (2.0, 1.0), (-7.0, -1.0)])
def test_actions_are_clipped_to_the_space(action: float, taken: float) -> None:
    """Not all environments do so themselves, and a network's outputs have no limits."""
    pytest.importorskip("gymnasium")
    environment: Any = RealActorEnvironment(
        GymEnvironment("MountainCarContinuous-v0"),
        Observation(()),
        IdentityCheck(0).ids,
        has_payload=True,
        seed=5,
    )
    seen: list[float] = []
    original = environment._env.step
    environment._env.step = lambda given: seen.append(float(given[0])) or original(given)
    environment.step(TensorDict({"action": torch.full((1,), action)}, []))

    assert seen == [taken]


def test_the_floor_steps_the_environment_without_a_payload(workload: Any) -> None:
    """Its requests are None, and its environment goes on."""
    pytest.importorskip("gymnasium")
    cell = workload(environment=GymEnvironment("CartPole-v1"))
    environment = build(cell, IdentityCheck(0).ids, has_payload=False, seed=1)

    for _ in range(100):
        assert environment.request() is None
        environment.step(None)
