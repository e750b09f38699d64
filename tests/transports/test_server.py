"""The reference server: its arguments, and transports that have the contract only."""

from __future__ import annotations

import threading

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


class Batched(Plain):
    """A transport with the fast path, whose wait says what it was asked and then runs a script.

    Args:
        script: what happens in each wait in turn; after its end a wait is the real one.
    """

    def __init__(self, *script):
        super().__init__()
        self.script = [*script]
        self.calls = []

    def wait_for_batch(self, min_items, timeout):
        self.calls.append(("wait", min_items, timeout))
        if self.script:
            self.script.pop(0)()
        else:
            self.inner.wait_for_work(timeout)

    def claim(self, max_items):
        self.calls.append(("claim", max_items))
        return self.inner.claim(max_items)

    def gather(self, callbacks):
        return self.inner.gather(callbacks)

    def resolve_batch(self, callbacks, batch, result):
        self.inner.resolve_batch(callbacks, batch, result)

    def wake(self):
        self.inner.wake()


class Lending(Batched):
    """One that is lent the server's turn, too."""

    def lend(self, step):
        self.calls.append(("lend", None if step is None else "step"))
        self.step = step


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


def test_a_batched_transport_is_waited_for_and_claimed_from():
    """The wait is told the least size and the patience, the claim the most; nothing is drained."""
    transport = Batched(lambda: transport.inner.submit(one()))
    transport.drain = transport.wait_for_work = None
    with InferenceServer(
        lambda td: td, transport, min_batch_size=2, max_batch_size=5, timeout=600.0
    ):
        transport.client()(one())
    assert transport.calls[:2] == [("wait", 2, 600.0), ("claim", 5)]
    assert {call for call in transport.calls if call[0] == "wait"} == {("wait", 2, 600.0)}


@pytest.mark.parametrize("kind", [ThreadingTransport, lambda: SlotTransport(4)])
def test_a_batch_is_not_begun_before_its_least_size(kind):
    """Two wait for the third, whatever the server could do meanwhile; then all are one batch."""
    sizes = []

    def model(td):
        sizes.append(len(td))
        return td

    transport = kind()
    with InferenceServer(model, transport, min_batch_size=3, timeout=600.0):
        clients = [transport.client() for _ in range(3)]
        for _ in range(20):
            replies = [client.submit(one()) for client in clients]
            for reply in replies:
                reply.result(WAIT_S)
    assert sizes == [3] * 20


@pytest.mark.parametrize("missing", ["wait_for_batch", "claim", "gather", "resolve_batch"])
def test_a_transport_without_all_of_the_fast_path_is_drained(missing):
    """One method short, it is served as a plain one, and never lent the turn."""
    transport = Lending()

    class Short:
        """The transport without one method."""

        def __getattr__(self, name):
            if name == missing:
                raise AttributeError(name)
            return getattr(transport, name)

    with InferenceServer(lambda td: td.set("action", td["obs"] + 1), Short()):
        assert transport.client()(one(1.0))["action"].item() == 2.0
    assert transport.calls == []


def test_the_turn_is_lent_before_the_first_wait_and_taken_back_after_the_last():
    """With a step, then with None, after what was pending was rejected."""
    transport = Lending()
    server = InferenceServer(lambda td: td, transport)
    with server:
        transport.client()(one())
    assert transport.calls[0] == ("lend", "step")
    assert transport.calls[-1] == ("lend", None)
    assert [call for call in transport.calls if call[0] == "lend"] == [
        ("lend", "step"),
        ("lend", None),
    ]
    assert transport.calls[-2][0] == "claim"


def test_a_lent_step_serves_what_is_ready_without_grad():
    """In the thread that calls it, at most a batch of the server's greatest size."""
    served = []

    def model(td):
        served.append((len(td), threading.get_ident(), torch.is_grad_enabled()))
        return td.set("action", td["obs"] + 1)

    asleep, go = threading.Event(), threading.Event()

    def sleep():
        asleep.set()
        assert go.wait(WAIT_S)

    transport = Lending(sleep)
    with InferenceServer(model, transport, max_batch_size=2, timeout=600.0):
        assert asleep.wait(WAIT_S)
        replies = [transport.inner.submit(one(float(n))) for n in range(3)]
        with torch.enable_grad():
            transport.step()
            transport.step()
            assert torch.is_grad_enabled()
        transport.step()
        try:
            assert [reply.result(0)["action"].item() for reply in replies] == [
                1.0,
                2.0,
                3.0,
            ]
        finally:
            go.set()
    me = threading.get_ident()
    assert served == [(2, me, False), (1, me, False)]


def test_the_turn_is_taken_back_when_the_wait_fails(monkeypatch):
    """The transport is broken: what waits is rejected with its error, and no step stays lent."""
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)

    def fail():
        raise OSError("broken wait")

    transport = Lending(fail)
    reply = transport.inner.submit(one())
    with (
        InferenceServer(lambda td: td, transport),
        pytest.raises(RuntimeError, match="broken wait"),
    ):
        reply.result(WAIT_S)
    assert transport.calls[-1] == ("lend", None)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_an_exit_in_a_lent_step_stops_the_server(error, together):
    """Batch and pending get a RuntimeError that names it, and the model no more."""
    calls = []

    def model(_td):
        calls.append(threading.current_thread())
        raise error

    asleep, go = threading.Event(), threading.Event()

    def sleep():
        asleep.set()
        assert go.wait(WAIT_S)

    transport = Lending(sleep)
    with InferenceServer(model, transport, max_batch_size=1, timeout=600.0):
        assert asleep.wait(WAIT_S)
        first, second = transport.inner.submit(one()), transport.inner.submit(one())
        try:
            together(1, lambda _: transport.step())
        finally:
            go.set()
        rejections = [first.exception(WAIT_S), second.exception(WAIT_S)]
    for rejection in rejections:
        assert isinstance(rejection, RuntimeError)
        assert type(error).__name__ in str(rejection)
        assert rejection.__cause__ is error
    assert len(calls) == 1


def test_the_main_thread_is_interrupted_by_its_own_step_only(together):
    """Not by the Ctrl-C that another's met, which the server, still asleep, will end by."""

    def model(_td):
        raise KeyboardInterrupt

    asleep, go = threading.Event(), threading.Event()

    def sleep():
        asleep.set()
        assert go.wait(WAIT_S)

    transport = Lending(sleep)
    with InferenceServer(model, transport, timeout=600.0):
        assert asleep.wait(WAIT_S)
        try:
            transport.inner.submit(one())
            together(1, lambda _: transport.step())
            transport.step()
        finally:
            go.set()


def test_a_transport_that_cannot_be_woken_still_waits_for_its_batch():
    """The server looks often whether to stop, but its patience for a batch is what was asked."""
    sizes = []

    class Unwakeable(Batched):
        """Waits that end on time, as the server asked; in the third the other request comes."""

        wake = property()  # no attribute, as hasattr sees it
        num_waits = 0

        def wait_for_work(self, timeout):
            self.num_waits += 1
            if self.num_waits == 3 or timeout >= 600.0:
                self.inner.submit(one())

        def wait_for_batch(self, min_items, timeout):
            self.wait_for_work(timeout)

    def model(td):
        sizes.append(len(td))
        return td

    transport = Unwakeable()
    first = transport.inner.submit(one())
    with InferenceServer(model, transport, min_batch_size=2, timeout=600.0):
        first.result(WAIT_S)
    assert sizes[:1] == [2]


def test_shutdown_rejects_what_was_too_little_for_a_batch():
    """One request waits for another that never comes: it was not taken, so it is not served."""
    sizes = []

    def model(td):
        sizes.append(len(td))
        return td

    transport = Batched()
    asleep = threading.Event()

    def sleep():
        asleep.set()
        assert woken.wait(WAIT_S)

    woken = threading.Event()
    transport.script.append(sleep)
    transport.wake = woken.set
    reply = transport.inner.submit(one())
    with InferenceServer(model, transport, min_batch_size=2, timeout=600.0):
        assert asleep.wait(WAIT_S)
    with pytest.raises(RuntimeError, match="shut down"):
        reply.result(WAIT_S)
    assert sizes == []
