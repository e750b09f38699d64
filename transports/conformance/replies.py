"""Guarantee 1: a reply belongs to its request; none is lost, doubled or swapped."""

from __future__ import annotations

import collections
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from tensordict import TensorDict
from tensordict.base import TensorDictBase

from transports.conformance._actors import (
    MEETING_S,
    Served,
    Task,
    WatchedModel,
    expect,
    expect_reply,
    request,
    serve,
)
from transports.conformance._api import (
    CheckFailedError,
    SystemFactory,
    check,
    describe,
)

_NUM_REQUESTS = 20
_NUM_SHARING = 4


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
def replies_match_requests_of_a_shared_client(factory: SystemFactory) -> None:
    """Threads that share a client get their own replies, or are refused with a RuntimeError."""
    with serve(factory, num_clients=1) as served:
        shared = served.client()
        held = served.hold(shared)
        second = served.call(shared, request(1), "call by another thread")
        second.is_over(MEETING_S)  # time to wait for a reply that is not its own
        served.model.release()
        expect_reply(held.reply())
        _expect_own_or_refused(second)

        def ask(actor: int) -> None:
            for sequence in range(_NUM_REQUESTS):
                with suppress(RuntimeError):
                    expect_reply(shared(request(actor, sequence)), actor, sequence)

        with _tiny_switch_interval():
            tasks = [
                served.task(f"thread {i} of {_NUM_SHARING}", lambda i=i: ask(i))  # type: ignore[misc]  # as below
                for i in range(_NUM_SHARING)
            ]
            served.wait_for(tasks)
        for task in tasks:
            task.reply()
        expect_reply(served.call(shared, request(), "call after all these").reply())


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


def _expect_own_or_refused(task: Task) -> None:
    error = task.ending()
    if error is None:
        expect_reply(task.reply(), 1)
    elif not isinstance(error, RuntimeError):
        raise CheckFailedError(
            f"{task.name}: expected its reply or a RuntimeError, got {describe(error)}"
        )


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
