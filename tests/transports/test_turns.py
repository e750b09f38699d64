"""How SlotTransport wakes: the chain of actors, and the server's sleep."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import torch
from tensordict import TensorDict

import transports.slot
from transports import SlotTransport

WAIT_S = 60.0


def one(value=0.0):
    """Make a request of one number."""
    return TensorDict({"obs": torch.tensor([float(value)])}, [])


class Gate:
    """A gate that notes who opens it, and can hold its actor back after it was woken."""

    def __init__(self, slot, log):
        self.slot, self.log = slot, log
        self.lock = threading.Lock()
        self.lock.acquire()
        self.locked = self.lock.locked
        self.is_waited_for = threading.Event()
        self.may_go = threading.Event()
        self.may_go.set()
        self.instead = None  # called in place of a wait; may raise

    def acquire(self, blocking=True, timeout=-1):
        if not blocking:
            return self.lock.acquire(blocking=False)
        if self.instead is not None:
            return self.instead()
        self.is_waited_for.set()
        is_open = self.lock.acquire(timeout=WAIT_S if timeout < 0 else timeout)
        assert self.may_go.wait(WAIT_S)
        return is_open

    def release(self):
        self.log.append((self.slot, threading.current_thread()))
        self.lock.release()


class Bell:
    """A doorbell that counts rings and takes no time: a wait runs the next of `script`."""

    def __init__(self, clock):
        self.clock, self.script = clock, []
        self.rings, self.is_rung, self.waits = 0, False, []

    def release(self):
        if self.is_rung:
            raise RuntimeError("release unlocked lock")
        self.rings += 1
        self.is_rung = True

    def acquire(self, blocking=True, timeout=-1):
        if blocking and not self.is_rung:
            self.waits.append(timeout)
            assert len(self.waits) < 100, "the server sleeps again and again"
            until = self.clock.now + timeout
            if self.script:
                self.script.pop(0)()
            if not self.is_rung:
                self.clock.now = until
        was_rung, self.is_rung = self.is_rung, False
        return was_rung


class Actor(threading.Thread):
    """A thread that makes one request and keeps the reply, or what was raised."""

    def __init__(self, client, value):
        super().__init__(daemon=True)
        self.client, self.value = client, value
        self.reply = self.error = None

    def run(self):
        try:
            self.reply = self.client(one(self.value))
        except BaseException as exc:  # noqa: BLE001 - looked at by the test
            self.error = exc

    def finish(self):
        """Wait for the end, and for the reply to be right."""
        self.join(WAIT_S)
        assert not self.is_alive(), "an actor sleeps on"
        assert self.error is None
        assert self.reply["action"].item() == 2 * self.value


class Stage:
    """A transport whose gates, doorbell and clock are the test's; the test is the server."""

    def __init__(self, monkeypatch, num_slots):
        self.now = 0.0
        monkeypatch.setattr(
            transports.slot, "time", SimpleNamespace(monotonic=lambda: self.now)
        )
        monkeypatch.setattr(transports.slot, "LOOK_S", WAIT_S)
        self.transport = SlotTransport(num_slots)
        self.transport.wait_for_work(0.0)  # we are its server
        self.log = []
        self.gates = [Gate(slot, self.log) for slot in range(num_slots)]
        self.transport._gates = self.gates
        self.bell = self.transport._doorbell = Bell(self)
        self.clients = [self.transport.client() for _ in range(num_slots)]
        self.actors = {}

    def park(self, *slots):
        """Start an actor on each slot; they wait at their gates, and stay there until `go`."""
        for slot in slots:
            self.gates[slot].may_go.clear()
            self.gates[slot].is_waited_for.clear()  # an earlier actor waited there, perhaps
            self.actors[slot] = Actor(self.clients[slot], slot)
            self.actors[slot].start()
        for slot in slots:
            assert self.gates[slot].is_waited_for.wait(WAIT_S)

    def go(self, slot):
        """Let a woken actor go on, and wait until it has done all it does."""
        self.gates[slot].may_go.set()
        self.actors[slot].finish()

    def run_out(self, wait_s):
        """Be a wait that ran out."""
        self.now += wait_s
        return False

    def answer(self, max_items=64):
        slots = self.transport.claim(max_items)
        batch = self.transport.gather(slots)
        self.transport.resolve_batch(slots, batch, batch.set("action", batch["obs"] * 2))
        return slots

    @property
    def woken(self):
        return [slot for slot, _ in self.log]

    @property
    def wakers(self):
        """Who opened each gate: a slot's number, or "server"."""
        of = {actor: slot for slot, actor in self.actors.items()}
        return [of.get(thread, "server") for _, thread in self.log]


@pytest.fixture
def stage(monkeypatch):
    """Return what makes a `Stage` of so many slots."""
    return lambda num_slots: Stage(monkeypatch, num_slots)


# ---- the chain


def test_the_server_wakes_one_and_each_actor_the_next(stage):
    """In circular slot order, and nobody is woken before the one in front of it went on."""
    s = stage(5)
    s.park(*range(5))
    s.transport._sweep_start = 2
    order = s.answer()
    assert order == [2, 3, 4, 0, 1]
    for position, slot in enumerate(order):
        assert s.woken == order[: position + 1]
        s.go(slot)
    assert s.woken == order
    assert s.wakers == ["server", 2, 3, 4, 0]
    assert not s.transport._is_waking


def test_who_is_not_parked_does_not_break_the_chain(stage):
    """It submitted and reads later, or gave up: whoever woke it wakes the next one too."""
    s = stage(4)
    later = s.clients[0].submit(one(7))
    s.gates[2].instead = lambda: s.run_out(0.5)
    gave_up = s.clients[2].submit(one(8))
    with pytest.raises(TimeoutError, match="slot 2"):
        gave_up.result(0.5)
    s.gates[2].instead = None
    s.park(1, 3)
    assert not later.done()
    s.answer()
    assert s.woken == [0, 1]
    s.go(1)
    assert s.woken == [0, 1, 2, 3]
    assert s.wakers == ["server", "server", 1, 1]
    s.go(3)
    assert later.done()
    assert later.result(0)["action"].item() == 14
    assert gave_up.result(0)["action"].item() == 16


def test_a_time_out_that_meets_the_release_hands_the_chain_on(stage):
    """Released while still parked, after its wait ran out: it wakes the next, and has a reply."""
    s = stage(2)
    s.park(1)
    reply = s.clients[0].submit(one(3))

    def run_out_then_be_woken():
        s.answer()
        assert s.woken == [0]
        return False

    s.gates[0].instead = run_out_then_be_woken
    assert reply.result(0.5)["action"].item() == 6
    assert s.woken == [0, 1]
    s.go(1)


def test_a_release_after_the_time_out_was_noted_goes_on_itself(stage):
    """No longer parked when woken: the server wakes the next, and the reply still is there."""
    s = stage(2)
    s.gates[0].instead = lambda: s.run_out(0.5)

    class Parked(bytearray):
        def __setitem__(self, slot, value):
            super().__setitem__(slot, value)
            if slot == 0 and value == 0:
                s.answer()

    s.transport._is_parked = Parked(s.transport._is_parked)
    s.park(1)
    reply = s.clients[0].submit(one(3))
    assert reply.result(0.5)["action"].item() == 6
    assert s.woken == [0, 1]
    assert s.wakers == ["server", "server"]
    s.go(1)


@pytest.mark.parametrize("is_answered", [False, True])
def test_an_interrupted_actor_hands_the_chain_on(stage, is_answered):
    """Ctrl-C at the gate reaches its caller; the others are woken, the reply can still be read."""
    s = stage(3)
    s.park(1, 2)
    reply = s.clients[0].submit(one(3))

    def interrupt():
        if is_answered:
            s.answer()
            assert s.woken == [0]
        raise KeyboardInterrupt

    s.gates[0].instead = interrupt
    with pytest.raises(KeyboardInterrupt):
        reply.result()
    if not is_answered:
        assert s.woken == []
        s.answer()
    assert s.woken == [0, 1]
    s.go(1)
    s.go(2)
    s.gates[0].instead = None
    assert reply.result(0)["action"].item() == 6


def test_a_second_batch_goes_behind_a_chain_under_way(stage):
    """Both sets are woken in order, none twice, and the server wakes nobody the second time."""
    s = stage(4)
    s.park(*range(4))
    assert s.answer(2) == [0, 1]
    assert s.answer(2) == [2, 3]
    assert s.woken == [0]
    for slot in range(4):
        s.go(slot)
    assert s.woken == [0, 1, 2, 3]
    assert s.wakers == ["server", 0, 1, 2]


def test_a_batch_that_comes_as_the_chain_ends_is_woken(stage):
    """The runner has seen the list empty and the flag is still up: the server leaves it to it."""
    s = stage(2)
    s.park(0, 1)
    answered = []

    class Ending(list):
        def pop(self):
            try:
                return super().pop()
            except IndexError:
                if not answered:
                    answered.append(s.answer(1))
                raise

    s.transport._to_wake = Ending()
    s.answer(1)
    s.go(0)
    assert answered == [[1]]
    assert s.woken == [0, 1]
    s.go(1)
    assert not s.transport._is_waking
    assert s.woken == [0, 1]


def test_a_broken_chain_is_mended_after_a_timeout_without_progress(stage):
    """A waiting server leaves a chain that moves alone, and wakes the rest of one that does not."""
    s = stage(4)
    s.park(*range(4))
    s.answer()
    s.bell.script = [lambda: s.go(0), lambda: None]
    s.transport.wait_for_batch(1, 10.0)  # 1 was woken meanwhile and never goes on
    assert s.bell.waits == [10.0, 10.0]
    assert s.woken == [0, 1, 2, 3]
    assert s.wakers == ["server", 0, "server", "server"]
    assert not s.transport._is_waking
    for slot in (2, 3, 1):
        s.go(slot)
    assert s.woken == [0, 1, 2, 3]


def test_a_request_in_a_broken_chain_is_served(stage):
    """The one woken last never says that the chain has ended: the timeout does."""
    s = stage(2)
    s.park(0)
    s.answer()
    s.bell.script = [lambda: s.clients[1].submit(one())]
    s.transport.wait_for_batch(1, 10.0)
    assert s.bell.rings == 0
    assert s.transport.claim(2) == [1]
    s.go(0)


# ---- turns


def test_in_a_chain_only_the_last_one_rings(stage):
    """Those who come back before leave the token alone."""
    s = stage(3)
    s.park(0, 1, 2)
    s.answer()
    s.transport._tokens.append(None)  # the server is about to sleep
    for slot in (0, 1):
        s.go(slot)
        s.clients[slot].submit(one())
        assert (s.bell.rings, s.transport._tokens) == (0, [None])
    s.go(2)
    assert (s.bell.rings, s.transport._tokens) == (1, [])


def test_a_chain_that_ends_with_nothing_ready_rings_nobody(stage):
    """The next request does."""
    s = stage(2)
    s.park(0, 1)
    s.answer()
    s.transport._tokens.append(None)
    s.go(0)
    s.go(1)
    assert (s.bell.rings, s.transport._tokens) == (0, [None])
    s.clients[0].submit(one())
    assert (s.bell.rings, s.transport._tokens) == (1, [])


def test_without_turns_a_request_rings_during_a_chain(stage):
    """Where waiting did not pay, the first one back wakes the server."""
    s = stage(3)
    s.transport._takes_turns = False
    s.park(0, 1)
    s.answer()
    s.transport._tokens.append(None)
    s.clients[2].submit(one())
    assert (s.bell.rings, s.transport._tokens) == (1, [])
    s.go(0)
    s.go(1)


@pytest.mark.parametrize("num_back", [1, 2, 4])
def test_turns_are_taken_while_most_come_right_back(stage, num_back):
    """Half or more of the last batch keep it; with fewer it stops and tries after 16 batches."""
    s = stage(4)
    replies = [client.submit(one()) for client in s.clients]
    s.answer()
    for reply in replies:
        reply.result(0)
    replies = [client.submit(one()) for client in s.clients[:num_back]]
    assert s.transport._takes_turns
    s.answer()
    assert s.transport._takes_turns == (num_back >= 2)
    if num_back >= 2:
        return
    taken = []
    for _ in range(16):
        replies[0].result(0)
        replies[0] = s.clients[0].submit(one())
        s.answer()
        taken.append(s.transport._takes_turns)
    assert taken == [False] * 15 + [True]


@pytest.mark.parametrize("model_s", [0.0, 5.0])
def test_a_full_batch_is_due_in_a_chain_shorter_than_the_model(stage, model_s):
    """Waiting would cost the model's time; otherwise all the slots are waited for."""
    s = stage(4)
    reply = s.clients[0].submit(one())
    slots = s.transport.claim(2)
    batch = s.transport.gather(slots)
    s.now += model_s
    s.transport.resolve_batch(slots, batch, batch.set("action", batch["obs"] * 2))
    reply.result(0)
    s.park(0)
    s.answer(2)
    assert s.transport._is_waking
    s.transport._tokens.append(None)
    rings = []
    for client in s.clients[1:]:
        client.submit(one())
        rings.append(s.bell.rings)
    assert rings == ([0, 1, 1] if model_s else [0, 0, 0])
    s.go(0)
    assert s.bell.rings == 1


# ---- the server's wait


def test_a_wait_for_a_batch_is_rung_by_its_last_request(stage):
    """The ones before leave the server asleep."""
    s = stage(4)
    rings = []

    def submit_three():
        for client in s.clients[:3]:
            client.submit(one())
            rings.append(s.bell.rings)

    s.bell.script = [submit_three]
    s.transport.wait_for_batch(3, 10.0)
    assert rings == [0, 0, 1]
    assert s.bell.waits == [10.0]
    assert s.now == 0.0
    s.transport.wait_for_batch(3, 10.0)
    assert s.bell.waits == [10.0]


def test_more_than_all_slots_counts_as_all(stage):
    """A larger min_items would never be met."""
    s = stage(2)
    s.bell.script = [lambda: [client.submit(one()) for client in s.clients]]
    s.transport.wait_for_batch(64, 10.0)
    assert (s.bell.rings, s.now) == (1, 0.0)


def test_a_wait_for_a_batch_ends_with_the_oldest_requests_patience(stage):
    """Counted from its submit, in this wait or before it; the later ones do not prolong it."""
    s = stage(3)

    def submit_at(client, now):
        s.now = now
        client.submit(one())

    s.bell.script = [
        lambda: submit_at(s.clients[1], 4.0),
        lambda: submit_at(s.clients[0], 12.0),
    ]
    s.transport.wait_for_batch(3, 10.0)
    assert s.bell.waits == [10.0, 4.0]
    assert s.now == 14.0
    assert s.bell.rings == 0
    s.answer()
    submit_at(s.clients[2], 15.0)
    s.now = 21.0
    s.transport.wait_for_batch(3, 10.0)
    assert s.now == 25.0


def test_with_nothing_ready_a_wait_ends_after_its_timeout(stage):
    """And leaves no token behind."""
    for min_items in (1, 2):
        s = stage(2)
        s.transport.wait_for_batch(min_items, 10.0)
        assert s.bell.waits == [10.0]
        assert s.transport._tokens == []


@pytest.mark.parametrize(("min_items", "expected_s"), [(1, 0.2), (2, 0.01)])
def test_a_server_that_lends_its_turn_seldom_looks(stage, min_items, expected_s):
    """Each look stops an actor in its step; only a timeout that counts for requests is kept."""
    s = stage(2)
    s.transport._turn.acquire()
    s.transport._step = lambda: None
    s.transport.wait_for_batch(min_items, 0.01)
    assert s.bell.waits == [expected_s]
    s.transport.wait_for_batch(min_items, 600.0)
    assert s.bell.waits == [expected_s, 600.0]


def test_a_wake_ends_one_wait(stage):
    """The one under way, or the next; the one after that sleeps in full."""
    s = stage(2)
    s.bell.script = [s.transport.wake]
    s.transport.wait_for_batch(2, 10.0)
    assert s.now == 0.0
    s.transport.wait_for_batch(2, 10.0)
    assert s.now == 10.0
    s.transport.wake()
    s.transport.wait_for_batch(2, 10.0)
    assert s.now == 10.0
    s.transport.wait_for_batch(2, 10.0)
    assert s.now == 20.0


def test_a_stale_ring_does_not_end_a_wait(stage):
    """An old ring is heard, and the server sleeps on until the batch is full."""
    s = stage(2)
    s.bell.is_rung = True
    s.clients[0].submit(one())
    s.bell.script = [lambda: s.clients[1].submit(one())]
    s.transport.wait_for_batch(2, 10.0)
    assert s.bell.waits == [10.0]
    assert s.transport.claim(2) == [0, 1]
