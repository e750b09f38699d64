"""Guarantee 6: a slot is reusable: another client gets it, never a reply to the one before."""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager, suppress
from typing import Any

from transports.conformance._actors import (
    PAIRS,
    Served,
    Task,
    expect_reply,
    need,
    request,
    serve,
)
from transports.conformance._api import (
    CheckFailedError,
    SystemFactory,
    check,
    describe,
)

_NUM_GENERATIONS = 3


@check(6)
def slot_reused_after_close(factory: SystemFactory) -> None:
    """Clients that were closed make room for as many new ones."""
    with serve(factory, num_clients=2) as served:
        for generation in range(_NUM_GENERATIONS):
            for client in _use_all(served, generation):
                served.task("close()", need(client, "close")).value()


@check(6)
def slot_reused_after_with(factory: SystemFactory) -> None:
    """Clients whose `with` block ended make room for as many new ones."""
    with serve(factory, num_clients=2) as served:
        for generation in range(_NUM_GENERATIONS):
            for client in _use_all(served, generation):
                need(client, "__enter__")
                with client:
                    pass


@check(6)
def slot_reused_after_drop(factory: SystemFactory) -> None:
    """Clients that nobody refers to any more make room for as many new ones."""
    with serve(factory, num_clients=2) as served:
        for generation in range(_NUM_GENERATIONS):
            _use_all(served, generation)
            gc.collect()


@check(6)
def call_after_close(factory: SystemFactory) -> None:
    """A closed client's call ends in an error."""
    with serve(factory, num_clients=1) as served:
        client = served.client()
        served.task("close()", need(client, "close")).value()
        served.call(client, request(), "call after close").error()


@check(6)
def close_twice(factory: SystemFactory) -> None:
    """A client closed twice gives its slot back once: no two clients after it share one."""
    with serve(factory, num_clients=2) as served:
        client, stayer = served.clients(2)
        close = need(client, "close")
        for _ in range(2):
            served.task("close()", close).value()
        held = served.hold(stayer)
        heirs = []
        # One is enough; a system that does not count its clients gives as many as one asks for.
        with suppress(Exception):
            for _ in range(3):
                heirs.append(served.client())  # noqa: PERF401 - keeps those before the error
        calls = [
            served.ask(heir, request(actor), "call of an heir")
            for actor, heir in enumerate(heirs, 1)
        ]
        served.model.release()
        expect_reply(held.reply())
        for actor, call in enumerate(calls, 1):
            expect_reply(call.reply(), actor)


@check(6)
def late_reply_after_close(factory: SystemFactory) -> None:
    """Who gets the slot of a client closed while its request is in the model gets only its own reply."""
    with _pairs(factory) as served:
        leaver, stayer = served.clients(2)
        close = need(leaver, "close")
        held = _hold_both(served, leaver, stayer)
        served.task("close()", close).value()
        _expect_heir_served(served, stayer, held)


@check(6)
def late_reply_after_drop(factory: SystemFactory) -> None:
    """Who gets the slot of a client dropped while its request is in the model gets only its own reply."""
    with _pairs(factory) as served:
        leaver, stayer = served.clients(2)
        held = _hold_both(served, leaver, stayer)
        del leaver
        gc.collect()
        _expect_heir_served(served, stayer, held)


@check(6)
def close_with_a_waiting_request(factory: SystemFactory) -> None:
    """Who gets the slot of a client closed while its request waits gets only its own reply."""
    with _pairs(factory) as served:
        leaver, stayer = served.clients(2)
        close = need(leaver, "close")
        served.submit(leaver, request(7))
        served.task("close()", close).value()
        _expect_heir_served(served, stayer)


@check(6)
def dead_actor(factory: SystemFactory) -> None:
    """The slot of a thread that ended with its request in flight serves another."""

    def live_and_die() -> None:
        need(served.system.client(), "submit")(request(7))

    with _pairs(factory) as served:
        stayer = served.client()
        served.task("actor that dies", live_and_die).value()
        gc.collect()
        _expect_heir_served(served, stayer)


def _use_all(served: Served, generation: int) -> list[Any]:
    """Take as many clients as there can be, and use each."""
    clients = []
    for actor in range(2):
        try:
            clients.append(served.client())
        except CheckFailedError:
            raise
        except Exception as exc:
            raise CheckFailedError(
                f"client {actor} of generation {generation}: {describe(exc)}"
            ) from exc
    for actor, client in enumerate(clients):
        call = served.call(client, request(actor, generation))
        expect_reply(call.reply(), actor, generation)
    return clients


def _pairs(factory: SystemFactory) -> AbstractContextManager[Served]:
    """Serve two clients, in batches of two where both ask."""
    return serve(factory, num_clients=2, **PAIRS)


def _hold_both(served: Served, leaver: Any, stayer: Any) -> Task:
    """Keep a batch of both in the model; return the stayer's call."""
    served.model.hold()
    served.submit(leaver, request(7))
    # The stayer completes the batch. Its thread may run the model, but not the leaver's.
    held = served.call(stayer, request(1))
    served.model.wait_for_batches(1)
    return held


def _expect_heir_served(served: Served, stayer: Any, held: Task | None = None) -> None:
    """Give the slot that was left to a new client, at once or as soon as the stayer is served.

    Args:
        served: the system.
        stayer: the client that did not leave.
        held: its call, if that is under way.
    """
    heir, early = None, None
    # To refuse is right while the old request is under way.
    with suppress(Exception):
        heir = served.client()
        early = served.ask(heir, request(2), "call of the heir")
    held = held or served.call(stayer, request(1))
    served.model.release()
    expect_reply(held.reply(), 1)
    if early is not None:
        expect_reply(early.reply(), 2)
    # When this is answered the server is done with all that came before.
    expect_reply(served.call(stayer, request(1, 1)).reply(), 1, 1)
    heir = heir or served.client()
    expect_reply(served.call(heir, request(2, 1), "call of the heir").reply(), 2, 1)
