"""The reference server: its arguments, and transports that have the contract only."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict

from transports import InferenceServer, SlotTransport, ThreadingTransport

WAIT_S = 60.0


class Plain:
    """A transport with the contract's methods and no other, around ours."""

    def __init__(self):
        self.inner = ThreadingTransport()
        self.refuse = None

    def client(self):
        return self.inner.client()

    def wait_for_work(self, timeout):
        self.inner.wait_for_work(timeout)

    def drain(self, max_items):
        return self.inner.drain(max_items)

    def resolve(self, callback, result):
        if self.refuse == callback:
            raise OSError("cannot resolve this one")
        self.inner.resolve(callback, result)

    def resolve_exception(self, callback, exc):
        assert not callback.done(), "an error was sent to a request that was answered"
        self.inner.resolve_exception(callback, exc)


def one(value=0.0):
    """Make a request of one number."""
    return TensorDict({"obs": torch.tensor([value])}, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size must be an int"),
        ({"max_batch_size": 2.0}, "max_batch_size must be an int"),
        ({"min_batch_size": True}, "min_batch_size must be an int"),
        (
            {"min_batch_size": 9, "max_batch_size": 8},
            "min_batch_size 9 exceeds max_batch_size 8",
        ),
        ({"timeout": 0}, "timeout must be a positive"),
        ({"timeout": float("inf")}, "timeout must be a positive"),
        ({"timeout": float("nan")}, "timeout must be a positive"),
        ({"timeout": "1"}, "timeout must be a positive"),
    ],
)
def test_arguments_are_checked_at_construction(options, message):
    """A value out of range is a ValueError that says which."""
    with pytest.raises(ValueError, match=message):
        InferenceServer(lambda td: td, SlotTransport(1), **options)


def test_a_plain_transport_is_served_by_default():
    """Drained, stacked, unbound and resolved; stopped without wake()."""
    transport = Plain()
    with InferenceServer(
        lambda td: td.set("action", td["obs"] + 1), transport, timeout=600.0
    ):
        client = transport.client()
        replies = [client.submit(one(float(n))) for n in range(10)]
        assert [r.result(WAIT_S)["action"].item() for r in replies] == [
            n + 1.0 for n in range(10)
        ]


def test_an_error_while_resolving_reaches_the_unanswered_only():
    """The first row was answered, the second cannot be: it and the third get the error."""
    transport = Plain()
    replies = [transport.inner.submit(one(float(n))) for n in range(3)]
    transport.refuse = replies[1]
    with InferenceServer(lambda td: td, transport):
        assert replies[0].result(WAIT_S)["obs"].item() == 0
        for reply in replies[1:]:
            with pytest.raises(OSError, match="cannot resolve"):
                reply.result(WAIT_S)


def test_the_model_runs_without_grad():
    """Also when its parameters need one."""
    weight = torch.nn.Parameter(torch.ones(1))
    modes = []

    def model(td):
        modes.append(torch.is_grad_enabled())
        return td.set("action", td["obs"] * weight).set("weight", weight.expand(1, 1))

    with InferenceServer(model, SlotTransport(1)) as server:
        reply = server.client()(one(2.0))
    assert modes == [False]
    assert not reply["action"].requires_grad
    assert not reply["weight"].requires_grad


def test_shutdown_without_start_does_nothing():
    """And may be repeated."""
    server = InferenceServer(lambda td: td, SlotTransport(1))
    server.shutdown()
    assert not server.is_alive
    with server:
        assert server.is_alive
    server.shutdown()
