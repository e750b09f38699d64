"""Guarantee 1: a reply belongs to its request; none is lost, doubled or swapped."""

from __future__ import annotations

import collections
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tensordict import TensorDict
from tensordict.base import TensorDictBase

from transports.conformance._actors import (
    Served,
    WatchedModel,
    expect,
    expect_reply,
    request,
    serve,
)
from transports.conformance._api import CheckFailedError, SystemFactory, check

_NUM_REQUESTS = 20


@check(1)
def replies_match_requests(factory: SystemFactory) -> None:
    """Each of 256 actors gets the replies to its own requests, in their order."""
    with serve(factory, num_clients=256) as served:
        _run_actors(served, 256)


@check(1)
def replies_match_requests_in_partial_batches(factory: SystemFactory) -> None:
    """Nor are replies mixed up where a batch takes a few of the waiting requests."""
    with serve(factory, num_clients=64, max_batch_size=5, min_batch_size=3) as served:
        _run_actors(served, 64)


@check(1)
def requests_served_once(factory: SystemFactory) -> None:
    """The model sees every request exactly once."""
    with serve(factory, num_clients=64, max_batch_size=8) as served:
        _run_actors(served, 64)
    seen = collections.Counter(row for batch in served.model.batches for row in batch)
    for actor in range(64):
        for sequence in range(_NUM_REQUESTS):
            if (times := seen.pop((actor, sequence), 0)) != 1:
                raise CheckFailedError(
                    f"the model saw actor {actor}'s request {sequence} {times} times"
                )
    if seen:
        raise CheckFailedError(f"the model saw requests nobody made: {[*seen][:3]}")


@check(1)
def nested_leaves_arrive(factory: SystemFactory) -> None:
    """A nested observation reaches the model, and a nested output comes back beside it."""

    def double(td: TensorDictBase) -> TensorDictBase:
        return td.set(("agent", "action"), td.get(("agent", "obs")) * 2)

    with serve(factory, WatchedModel(double), num_clients=1) as served:
        nested = request(agent=TensorDict({"obs": torch.tensor(3.0)}, []))
        reply = served.call(served.client(), nested).reply()
        expect(reply, ("agent", "action"), 6.0)
        expect(reply, ("agent", "obs"), 3.0)


def _run_actors(served: Served, count: int) -> None:
    """Let actors ask in a loop and check every reply, under much thread switching."""

    def ask(actor: int, client: Any) -> None:
        for sequence in range(_NUM_REQUESTS):
            if served.is_over:  # another actor failed
                return
            expect_reply(client(request(actor, sequence)), actor, sequence)

    with _tiny_switch_interval():
        tasks = [
            served.task(f"actor {i}", lambda i=i, c=c: ask(i, c))  # type: ignore[misc]  # a default binds the loop's value
            for i, c in enumerate(served.clients(count))
        ]
        served.wait_for(tasks)
    for task in tasks:
        task.reply()


@contextmanager
def _tiny_switch_interval() -> Iterator[None]:
    """Let threads interleave as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
