"""What recording itself costs: the same code on a contender that does nothing."""

import threading
import time
from typing import Any, Final

import torch
from tensordict import TensorDict, TensorDictBase

from slotbench.measure.actors import Actor
from slotbench.measure.identity import REPLY_ID, REQUEST_ID, RING, IdentityCheck
from slotbench.measure.served import ServedModel

_NUM_REQUESTS: Final = 4 * RING
_NUM_BATCHES: Final = 32


class _NullEnvironment:
    def request(self) -> Any:
        return None

    def step(self, reply: Any) -> None:
        pass


def recording_cost_s(num_slots: int) -> float:
    """Time the stamps and the id check, in seconds per request.

    The actor's part is its whole loop on an instant client; the server's part is the
    model's wrapper around a policy that returns its input, for a batch of everybody.
    Excludes what one more leaf costs the transport, and contention for the GIL.
    """
    return _actor_cost_s() + _server_cost_s(num_slots)


def _actor_cost_s() -> float:
    identity = IdentityCheck(0)
    replies = [TensorDict({REPLY_ID: i}, batch_size=[]) for i in identity.ids] * (
        _NUM_REQUESTS // RING
    )
    next_reply = iter(replies).__next__
    actor = Actor(0, _NullEnvironment(), identity, _NUM_REQUESTS)
    began = time.perf_counter()
    actor.loop(lambda request: next_reply(), threading.Event())  # noqa: ARG005  # a client's call
    return (time.perf_counter() - began) / _NUM_REQUESTS


def _server_cost_s(num_slots: int) -> float:
    model = ServedModel(_identity, lambda batch_size: None, _NUM_BATCHES)  # noqa: ARG005  # S(n) = 0
    batch = TensorDict({REQUEST_ID: torch.zeros(num_slots, dtype=torch.int64)}, [num_slots])
    began = time.perf_counter()
    for _ in range(_NUM_BATCHES):
        model(batch)
    return (time.perf_counter() - began) / (_NUM_BATCHES * num_slots)


def _identity(batch: TensorDictBase) -> TensorDictBase:
    return batch
