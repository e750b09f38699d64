"""An env of a collector stamps, checks and ends as an actor does."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tensordict import TensorDictBase

from slotbench.measure import layouts
from slotbench.measure.identity import REPLY_ID, REQUEST_ID
from slotbench.measure.shared import SharedFlag, reserve
from slotbench.measure.shared_log import SharedLog
from tests.slotbench.support import trials

pytest.importorskip("torchrl")

from slotbench.measure.recorded_env import RecordedEnv

Envs = Callable[..., list[Any]]


@pytest.fixture
def flags() -> tuple[SharedFlag, SharedFlag]:
    return SharedFlag(), SharedFlag()


@pytest.fixture
def envs(flags: tuple[SharedFlag, SharedFlag], monkeypatch: pytest.MonkeyPatch) -> Envs:
    """Build envs with their logs; one that holds its next request back returns at once."""
    stop, release = flags
    # Being held back is told by the log; whoever waits for the release would wait here for ever.
    monkeypatch.setattr(release, "wait", lambda *_, **__: True)

    def build(number: int, *, is_in_step: bool = False, room: int = 50) -> list[Any]:
        workload = trials.workload(num_slots=number)
        in_step = reserve(1) if is_in_step else None
        return [
            RecordedEnv(
                SharedLog(index, room),
                workload=workload,
                seed=1,
                sample=layouts.of_workload(workload, 1),
                is_lent=False,
                in_step=in_step,
                stop=stop,
                release=release,
            )
            for index in range(number)
        ]

    return build


def act(found: TensorDictBase) -> TensorDictBase:
    """Answer as the model does."""
    reply = found.clone()
    reply.set("action", torch.zeros(4)).set(REPLY_ID, found[REQUEST_ID])
    return reply


def test_a_step_is_a_reply_and_the_next_request(envs: Envs) -> None:
    """From an observation handed out to the action for it; right ids are no problem."""
    (env,) = envs(1)
    found = env._reset()
    for _ in range(40):
        found = env._step(act(found))
    log = env._log

    assert (log.num_submitted, log.num_replied) == (41, 40)
    submitted_ns, replied_ns = log.stamps_ns()
    assert (replied_ns >= submitted_ns).all()
    assert (submitted_ns[1:] >= replied_ns[:-1]).all()
    assert (log.error, log.problem) == ("", "")


def test_an_action_for_another_observation_is_told(envs: Envs) -> None:
    """At the latest when the env asks no more."""
    (env,) = envs(1)
    first = env._reset()
    env._step(act(first))
    env._step(act(first))
    env._stop.set()
    env._step(act(first))

    assert env._log.is_over.is_set()
    assert "actor 0 asked as actor 0, sequence 1" in env._log.problem


def test_envs_in_step_stop_at_the_same_step(envs: Envs) -> None:
    """The trial's end comes between the first one's step and the second's: neither waits for more."""
    first, second = envs(2, is_in_step=True)
    found = [env._reset() for env in (first, second)]
    found[0] = first._step(act(found[0]))
    first._stop.set()
    found[1] = second._step(act(found[1]))
    assert not first._log.is_over.is_set()
    assert not second._log.is_over.is_set()

    for env, asked in zip((first, second), found, strict=True):
        env._step(act(asked))
        assert env._log.is_over.is_set()
        assert env._log.num_replied == 2


def test_an_env_of_its_own_stops_at_once(envs: Envs) -> None:
    (env,) = envs(1)
    found = env._reset()
    env._stop.set()
    env._step(act(found))
    assert env._log.is_over.is_set()


def test_room_that_runs_out_ends_the_trial(envs: Envs) -> None:
    """Before there is no place for a stamp."""
    (env,) = envs(1, room=5)
    found = env._reset()
    while not env._stop.is_set():
        found = env._step(act(found))
    assert env._log.num_submitted <= 5
    assert env._log.is_over.is_set()
