"""What only ThreadingTransport promises."""

from __future__ import annotations

import threading
import types
from concurrent.futures import CancelledError, as_completed

import pytest
import torch
from tensordict import TensorDict

from transports import InferenceServer, ThreadingTransport, shared_queue

WAIT_S = 60.0


def one(value=0.0):
    """Make a request of one number."""
    return TensorDict({"obs": torch.tensor([value])}, [])


def test_requests_are_served_first_in_first_out():
    """Over several drains and clients, in the order of submission."""
    transport = ThreadingTransport()
    clients = [transport.client() for _ in range(3)]
    for n in range(9):
        clients[(n * 2) % 3].submit(one(float(n)))
    got = [item["obs"].item() for _ in range(3) for item in transport.drain(3)[0]]
    assert got == [float(n) for n in range(9)]


def test_a_shared_client_may_have_any_number_in_flight(together):
    """Four threads submit ten requests each through one client before they read a reply."""
    transport = ThreadingTransport()
    client = transport.client()
    with InferenceServer(lambda td: td.set("action", td["obs"] + 1), transport):

        def actor(index):
            futures = [client.submit(one(index * 100.0 + n)) for n in range(10)]
            for n, future in enumerate(futures):
                assert future.result(WAIT_S)["action"].item() == index * 100 + n + 1

        together(4, actor)


@pytest.mark.parametrize("collate_fn", [None, torch.stack])
def test_a_cancelled_request_is_skipped_and_harms_nobody(collate_fn):
    """Cancelled before the server took it; afterwards it cannot be cancelled."""
    transport = ThreadingTransport()
    kept, dropped, last = (transport.submit(one(float(n))) for n in range(3))
    assert dropped.cancel()
    seen = []

    def model(td):
        seen.append(td["obs"].flatten().tolist())
        assert not kept.cancel()
        return td

    with InferenceServer(model, transport, max_batch_size=2, collate_fn=collate_fn):
        assert kept.result(WAIT_S)["obs"].item() == 0
        assert last.result(WAIT_S)["obs"].item() == 2
    assert seen == [[0.0, 2.0]]
    with pytest.raises(CancelledError):
        dropped.result(0)


def test_a_reply_is_one_object_for_all_threads_and_waiters(together, tiny_switch_interval):
    """It is a Future: as_completed and exception() work, result() composes once."""
    transport = ThreadingTransport()
    with InferenceServer(lambda td: td, transport):
        for _ in range(50):
            future = transport.submit(one(1.0))
            replies = together(4, lambda _: future.result(WAIT_S))  # noqa: B023 - joined
            assert all(reply is replies[0] for reply in replies)
        assert list(as_completed([future], WAIT_S)) == [future]
        assert future.exception() is None


class Clock:
    """Stands in for the module `time` and for the queue's Condition: waiting moves the clock.

    Attributes:
        events: what happens during each wait in turn, once: called after `after` seconds of
            it; a wait without an event, or with one that notifies nobody, lasts its timeout.
        waits: how long each wait was asked to be.
    """

    def __init__(self):
        self.now = 1000.0
        self.events = []
        self.waits = []
        self.notified = 0

    def monotonic(self):
        return self.now

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        pass

    def notify(self):
        self.notified += 1

    def wait(self, timeout):
        self.waits.append(timeout)
        until, before = self.now + timeout, self.notified
        while self.events and self.notified == before:
            after, act = self.events[0]
            if self.now + after > until:
                break
            self.events.pop(0)
            self.now += after
            act()
        if self.notified == before:
            self.now = until
        return self.notified > before


@pytest.fixture
def clock(monkeypatch):
    """Let the module wait on a clock that only waiting moves."""
    made = Clock()
    monkeypatch.setattr(
        shared_queue, "time", types.SimpleNamespace(monotonic=made.monotonic)
    )
    return made


@pytest.fixture
def transport(clock):
    """A transport on that clock."""
    made = ThreadingTransport()
    made._has_work = made._lock = clock
    return made


def test_the_queue_is_locked_as_an_interrupt_cannot_leave_it(monkeypatch):
    """By the raw lock: a Condition is entered in Python code, between whose lines Ctrl-C may come."""
    entered = []
    monkeypatch.setattr(
        threading.Condition, "__enter__", lambda self: entered.append(self._lock.acquire())
    )
    transport = ThreadingTransport()
    future = transport.submit(one())
    del entered[:]  # a Future's own
    transport.wait_for_work(0.0)
    transport.wake()
    taken = transport.claim(1)
    assert entered == [True]  # that Future's
    assert taken == [future]


def test_waiting_for_a_batch_ends_at_once_when_it_is_there(transport, clock):
    """As many as asked for, or more."""
    for _ in range(3):
        transport.submit(one())
    transport.wait_for_batch(3, 10.0)
    transport.wait_for_batch(2, 10.0)
    assert clock.waits == []


def test_waiting_for_a_batch_ends_with_its_last_request(transport, clock):
    """Three seconds after the second of two came, though patience is for ten."""
    clock.events = [
        (1.0, lambda: transport.submit(one())),
        (3.0, lambda: transport.submit(one())),
    ]
    transport.wait_for_batch(2, 10.0)
    assert clock.now == 1004.0
    assert len(clock.waits) == 1, "the first of two was no reason to wake"


def test_waiting_for_a_batch_counts_from_the_oldest_request(transport, clock):
    """It came four seconds before the wait began: six are left of ten."""
    transport.submit(one())
    clock.now += 3.0
    transport.submit(one())
    clock.now += 1.0
    transport.wait_for_batch(3, 10.0)
    assert clock.now == 1010.0
    transport.wait_for_batch(3, 10.0)
    assert clock.now == 1010.0, "the oldest has waited long enough"


def test_a_request_that_comes_while_the_queue_idles_gets_its_own_timeout(transport, clock):
    """Seven seconds into ten of idling: the wait ends at seventeen, not at ten or twenty."""
    clock.events = [(7.0, lambda: transport.submit(one()))]
    transport.wait_for_batch(2, 10.0)
    assert clock.now == 1017.0


def test_waiting_on_an_empty_queue_ends_after_the_timeout(transport, clock):
    """Whatever the batch; and at once for none."""
    for count, min_items in enumerate((1, 5), start=1):
        transport.wait_for_batch(min_items, 10.0)
        assert clock.now == 1000.0 + 10.0 * count
    transport.wait_for_work(10.0)
    assert clock.now == 1030.0
    transport.wait_for_batch(1, 0.0)
    transport.wait_for_batch(1, -5.0)
    assert clock.now == 1030.0


def test_a_wake_ends_the_wait_under_way_or_else_the_next_one(transport, clock):
    """Once each."""
    clock.events = [(2.0, transport.wake)]
    transport.wait_for_batch(5, 10.0)
    assert clock.now == 1002.0
    transport.wake()
    transport.wait_for_batch(5, 10.0)
    assert clock.now == 1002.0
    transport.wait_for_batch(5, 10.0)
    assert clock.now == 1012.0


def test_a_submit_notifies_from_the_batch_asked_for_on(transport, clock):
    """And of the first one again when the server asks for one."""
    notified = []
    transport.wait_for_batch(3, 0.0)
    for _ in range(4):
        transport.submit(one())
        notified.append(clock.notified)
    assert notified == [0, 0, 1, 2]
    transport.claim(4)
    transport.wait_for_work(0.0)
    transport.submit(one())
    assert clock.notified == 3
