"""What recording itself costs a contender: the same code with and without it, timed apart.

Each cost is the least of several short passes: a pass that was interrupted tells of the
machine, not of the recorder.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import torch
from tensordict import TensorDict, TensorDictBase

from slotbench.measure import timing
from slotbench.measure.actors import Actor
from slotbench.measure.identity import REPLY_ID, REQUEST_ID, IdentityCheck
from slotbench.measure.served import ServedModel

Collate = Callable[[list[TensorDictBase]], Any]

_PASSES_FOR_S: Final = 0.008
"""How long each cost is timed again and again: dozens of passes, a few where one is dear.
Fewer left single cold or interrupted passes standing, and honest trials INVALID."""

MAX_ROWS: Final = 8
"""Rows of a pass: of one batch, or of several smaller ones, so that no pass is a single cold
call. Per row, larger batches cost the same or less."""


class _NullEnvironment:
    def request(self) -> Any:
        return None

    def step(self, reply: Any) -> None:
        pass


def recording_cost_s(num_slots: int, collate: Collate, device: str | None) -> float:
    """Time what the harness adds to a request of this contender, in seconds.

    The actor's part is its whole loop on an instant client: two stamps and the id check.
    The server's part is a batch with the id leaf, its echo and its stamps, less the same
    batch without, through the contender's own collate: where collating goes leaf by leaf
    and row by row, one leaf more is dear.

    Args:
        num_slots: rows of the batch, at most 8.
        collate: makes a batch of requests, as the contender's server does.
        device: device metadata of the requests.

    Excludes what one more leaf costs inside the transport, and contention for the GIL.
    """
    actor_s = actor_s_per_request(has_check=True)
    with_id_s, without_s = (
        server_s_per_request(num_slots, collate, device, has_id=has_id)
        for has_id in (True, False)
    )
    return actor_s + max(0.0, with_id_s - without_s)


def actor_s_per_request(*, has_check: bool) -> float:
    """Time an actor's loop on an instant client: the least of several passes, in seconds.

    Args:
        has_check: whether replies' ids are checked; without, it is two stamps and the loop.
    """
    return timing.least_s(lambda: _actor_pass_s(has_check), _PASSES_FOR_S)


def server_s_per_request(
    num_slots: int, collate: Collate, device: str | None, *, has_id: bool
) -> float:
    """Time a batch's collating, echo and unbinding: the least of several passes, in seconds.

    Args:
        num_slots: rows of the batch, at most 8.
        collate: makes a batch of requests.
        device: device metadata of the requests.
        has_id: whether requests carry the id leaf, the model's wrapper echoes it, and the
            batch is stamped.
    """
    rows = min(num_slots, MAX_ROWS)
    with torch.no_grad():
        return timing.least_s(
            lambda: _server_pass_s(rows, collate, device, has_id), _PASSES_FOR_S
        )


def _actor_pass_s(has_check: bool) -> float:
    identity = IdentityCheck(0)
    replies = [TensorDict({REPLY_ID: i}, batch_size=[]) for i in identity.ids] * 2
    checked = identity if has_check else None
    actor = Actor(0, _NullEnvironment(), checked, len(replies))
    next_reply = iter(replies).__next__
    began = time.perf_counter()
    actor.loop(lambda request: next_reply(), threading.Event())  # noqa: ARG005  # a client's call
    return (time.perf_counter() - began) / len(replies)


def _server_pass_s(
    num_rows: int, collate: Collate, device: str | None, has_id: bool
) -> float:
    leaves: dict[str, torch.Tensor] = {"observation": torch.zeros(8)}
    if has_id:
        leaves[REQUEST_ID] = torch.tensor(0)
    # New ones for every batch: a lazily stacked one writes its outputs into them.
    batches: list[list[TensorDictBase]] = [
        [TensorDict(dict(leaves), batch_size=[], device=device) for _ in range(num_rows)]
        for _ in range(-(-MAX_ROWS // num_rows))
    ]
    serve = ServedModel(_act, _no_service, max_batches=len(batches)) if has_id else _act
    began = time.perf_counter()
    for rows in batches:
        serve(collate(rows)).unbind(0)
    return (time.perf_counter() - began) / (num_rows * len(batches))


def _act(batch: TensorDictBase) -> TensorDictBase:
    return batch.set("action", batch.get("observation")[:, :4].clone())


def _no_service(batch_size: int) -> None:
    """Take no time, whatever the batch size."""
