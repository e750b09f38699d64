"""Guarantee 4: one bad client harms no other, and nothing is silently cast, dropped or kept stale."""

from __future__ import annotations

import re
from typing import Any

import torch
from tensordict import TensorDict
from tensordict.base import TensorDictBase

from transports.conformance._actors import (
    PAIRS,
    Served,
    Task,
    WatchedModel,
    act,
    expect,
    expect_reply,
    request,
    serve,
)
from transports.conformance._api import (
    CheckFailedError,
    NotApplicableError,
    SystemFactory,
    check,
    describe,
)


@check(4)
def bad_client_missing_leaf(factory: SystemFactory) -> None:
    """A client whose request lacks a leaf gets a ValueError that names it; its neighbour is served."""
    _expect_bad_alone_refused(factory, request(1).exclude("obs"), ["obs"])


@check(4)
def bad_client_shape(factory: SystemFactory) -> None:
    """A client with another shape gets a ValueError with leaf, expected, got; its neighbour is served."""
    bad = request(1).set("obs", torch.zeros(4))
    _expect_bad_alone_refused(factory, bad, ["obs", "[3]", "[4]"])


@check(4)
def bad_client_dtype(factory: SystemFactory) -> None:
    """A client with another dtype gets a ValueError with leaf, expected, got; its neighbour is served."""
    bad = request(1).set("obs", torch.zeros(3, dtype=torch.int64))
    _expect_bad_alone_refused(factory, bad, ["obs", "float32", "int64"])


@check(4)
def bad_client_device(factory: SystemFactory) -> None:
    """A client on another device gets a ValueError with leaf, expected, got; its neighbour is served."""
    bad = request(1).set("obs", torch.zeros(3, device="meta"))
    _expect_bad_alone_refused(factory, bad, ["obs", "cpu", "meta"])


@check(4)
def bad_client_at_first_contact(factory: SystemFactory) -> None:
    """Of two clients who disagree at first at most one is served, none hangs, the server lives."""
    with serve(factory, num_clients=2, **PAIRS) as served:
        clients = served.clients(2)
        requests = _disagreeing()
        tasks = [
            served.call(c, td, "first call")
            for c, td in zip(clients, requests, strict=True)
        ]
        _expect_server_lives(served, clients, tasks)


@check(4)
def bad_client_before_start(factory: SystemFactory) -> None:
    """Of two clients who disagree before the server starts at most one is served, none hangs, it lives."""
    with serve(factory, num_clients=2, is_started=False) as served:
        clients = served.clients(2)
        tasks = [
            served.ask(c, td, "call before start")
            for c, td in zip(clients, _disagreeing(), strict=True)
        ]
        served.start()
        _expect_server_lives(served, clients, tasks)


@check(4)
def bad_client_recovers(factory: SystemFactory) -> None:
    """A client whose request was refused is served when its next one is good."""
    with serve(factory, num_clients=1) as served:
        client = served.client()
        expect_reply(served.call(client, request()).reply())
        bad = request().set("obs", torch.zeros(4))
        if _unless_refused(served.call(client, bad, "call with another shape")) is not None:
            raise NotApplicableError("a request of another shape is not refused")
        expect_reply(served.call(client, request(0, 1), "next call").reply(), 0, 1)


@check(4)
def nothing_is_cast(factory: SystemFactory) -> None:
    """2.7 sent where int64 came before is refused, or arrives as 2.7."""

    def echo(td: TensorDictBase) -> TensorDictBase:
        return td.set("seen", td.get("count").clone())

    with serve(factory, WatchedModel(echo), num_clients=1) as served:
        client = served.client()
        served.call(client, request(count=torch.tensor(1))).reply()
        later = served.call(client, request(count=torch.tensor(2.7)))
        if (reply := _unless_refused(later)) is not None:
            expect(reply, "seen", torch.tensor(2.7).item())


@check(4)
def outputs_keep_their_dtype(factory: SystemFactory) -> None:
    """A reply has the model's outputs, and the request's own leaves, in the dtypes they had."""
    dtypes = (torch.float16, torch.float32, torch.float64, torch.uint8, torch.bool)

    def give_each(td: TensorDictBase) -> TensorDictBase:
        for dtype in dtypes:
            td.set(f"as {dtype}", torch.ones(len(td), dtype=dtype))
        return td

    with serve(factory, WatchedModel(give_each), num_clients=1) as served:
        reply = served.call(served.client(), request()).reply()
        expected = {f"as {dtype}": dtype for dtype in dtypes}
        for name, dtype in {**expected, "obs": torch.float32, "id": torch.int64}.items():
            leaf = reply.get(name, None)
            if leaf is None or leaf.dtype != dtype:
                got = "nothing" if leaf is None else leaf.dtype
                raise CheckFailedError(f"expected {dtype} in {name!r}, got {got}")


@check(4)
def nothing_is_stale(factory: SystemFactory) -> None:
    """A leaf that a request lacks is not filled in from an earlier request."""

    def echo(td: TensorDictBase) -> TensorDictBase:
        goal = td.get("goal", None)
        return act(td) if goal is None else td.set("seen", goal.clone())

    with serve(factory, WatchedModel(echo), num_clients=1) as served:
        client = served.client()
        served.call(client, request(goal=torch.tensor(5.0))).reply()
        later = served.call(client, request(0, 1))
        reply = _unless_refused(later)
        stale = [] if reply is None else {"goal", "seen"}.intersection(reply.keys())
        if stale:
            raise CheckFailedError(
                f"the request had no 'goal'; its reply has {sorted(stale)} of an earlier one"
            )


@check(4)
def extra_leaf_stays(factory: SystemFactory) -> None:
    """A leaf that the first request lacked comes back in the reply."""
    with serve(factory, num_clients=1) as served:
        client = served.client()
        served.call(client, request()).reply()
        reply = served.call(client, request(0, 1, note=torch.tensor(7.0))).reply()
        expect_reply(reply, 0, 1)
        expect(reply, "note", 7.0, 0, 1)


def _expect_bad_alone_refused(
    factory: SystemFactory, bad: TensorDictBase, names: list[str]
) -> None:
    """Let a first request fix what fits, then make a good and a bad one at the same time."""
    with serve(factory, num_clients=2, **PAIRS) as served:
        good_client, bad_client = served.clients(2)
        first = [served.call(c, request()) for c in (good_client, bad_client)]
        for task in first:
            expect_reply(task.reply())
        good = served.call(good_client, request(0, 1), "call of the good client")
        refused = served.call(bad_client, bad, "call of the bad client")
        expect_reply(good.reply(), 0, 1)
        error = refused.error()
        # A shape may be told as a tuple or as a list.
        told = re.sub(r"\((\d+),\)", r"[\1]", str(error))
        if not isinstance(error, ValueError) or not all(name in told for name in names):
            raise CheckFailedError(
                f"{refused.name}: expected a ValueError with {', '.join(names)}, got "
                f"{describe(error)}"
            )


def _disagreeing() -> tuple[TensorDict, TensorDict]:
    return request(0), request(1).set("obs", torch.zeros(4))


def _expect_server_lives(served: Served, clients: list[Any], tasks: list[Task]) -> None:
    """Expect one reply at most, and after that one at least to requests that agree."""
    replies = [_unless_refused(task) for task in tasks]
    agreed = request().get("obs")
    for reply, td in zip(replies, _disagreeing(), strict=True):
        if reply is not None:
            agreed = td.get("obs")
    if None not in replies:
        raise CheckFailedError("both were served, though their shapes differ")
    again = [
        served.call(client, request(actor, 1).set("obs", agreed), "next call")
        for actor, client in enumerate(clients)
    ]
    num_served = 0
    for actor, task in enumerate(again):
        if (reply := _unless_refused(task)) is not None:
            num_served += 1
            expect(reply, "echo", [actor, 1], actor, 1)
            expect(reply, "action", (2 * agreed).tolist(), actor, 1)
    if not num_served:
        raise CheckFailedError("after that, requests that agree are refused as well")


def _unless_refused(task: Task) -> Any:
    """Return the reply, or None if the call ended in an error; fail if it did not end."""
    try:
        return task.value()
    except CheckFailedError:
        raise
    except Exception:  # noqa: BLE001 - that it was refused is all that counts
        return None
