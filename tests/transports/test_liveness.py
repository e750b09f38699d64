"""Nobody waits for a server that will not answer: each wait ends, and says why."""

from __future__ import annotations

import threading

import pytest
import torch
from tensordict import TensorDict

import transports._serving
import transports.shared_queue
import transports.slot
from transports import InferenceServer, SlotTransport
from transports._errors import ServerStoppedError

WAIT_S = 60.0


def one(value=0.0):
    """Make a request of one number."""
    return TensorDict({"obs": torch.tensor([float(value)])}, [])


def double(td):
    """Answer twice the observation."""
    return td.set("action", td["obs"] * 2)


def in_thread(call, *args):
    """Run the call in a thread of its own, to its end."""
    results = []
    thread = threading.Thread(target=lambda: results.append(call(*args)), daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    return results[0]


@pytest.fixture(autouse=True)
def look_often(monkeypatch):
    """Look every 10 ms, so that the tests need not wait for the second look."""
    for module in (transports.slot, transports.shared_queue):
        monkeypatch.setattr(module, "LOOK_S", 0.01)


def test_a_wait_is_looked_at_twice_a_second():
    """What makes the promised second of the time between two looks."""
    assert transports._serving.LOOK_S == 0.5


def test_without_a_server_a_call_ends(contender):
    """It says that none has come, and the client can be used when one has."""
    transport = contender.create(1)
    client = transport.client()
    for _ in range(2):
        with pytest.raises(ServerStoppedError, match="no inference server has served"):
            client(one())
    with InferenceServer(double, transport):
        assert client(one(3))["action"].item() == 6


def test_without_a_server_a_timeout_is_waited_for(contender):
    """The request stays, and is served by a server that comes later."""
    transport = contender.create(1)
    reply = transport.client().submit(one(3))
    with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
        reply.result(0.05)
    assert not reply.done()
    with InferenceServer(double, transport):
        assert reply.result(WAIT_S)["action"].item() == 6


def drain(transport):
    """Be the server for as long as it takes to take everything; return the callbacks."""
    return in_thread(transport.drain, 64)[1]


@pytest.mark.parametrize("is_taken", [False, True])
@pytest.mark.parametrize("timeout", [None, 0.0, WAIT_S])
def test_a_dead_servers_requests_are_withdrawn(contender, is_taken, timeout):
    """Taken or not, whatever the timeout; the next server serves the next request."""
    transport = contender.create(2)
    client = transport.client()
    in_thread(transport.wait_for_work, 0.0)
    reply = client.submit(one(3))
    taken = drain(transport) if is_taken else []
    with pytest.raises(
        ServerStoppedError, match=r"thread 'Thread-.* has ended: the request"
    ):
        reply.result(timeout)
    with pytest.raises(ServerStoppedError):  # the same again
        reply.result()
    assert reply.done()
    for callback in taken:  # too late
        transport.resolve(callback, one(99).set("action", torch.tensor([99.0])))
    with InferenceServer(double, transport):
        assert client(one(4))["action"].item() == 8


def test_done_tells_that_a_request_is_lost(contender):
    """A loop that polls for it ends."""
    transport = contender.create(1)
    in_thread(transport.wait_for_work, 0.0)
    reply = transport.client().submit(one())
    while not reply.done():
        pass
    with pytest.raises(ServerStoppedError):
        reply.result(0)


def test_the_error_names_what_the_server_ended_on(contender):
    """Long after it did, in a request that came later."""

    def model(_td):
        raise SystemExit("enough")

    transport = contender.create(1)
    client = transport.client()
    with InferenceServer(model, transport) as server:
        with pytest.raises(ServerStoppedError, match="stopped on SystemExit"):
            client(one())
        server._thread.join(WAIT_S)
        with pytest.raises(
            ServerStoppedError, match=r"'inference-server' has ended, on SystemExit"
        ) as raised:
            client(one())
    assert isinstance(raised.value.__cause__, SystemExit)


def test_a_living_server_is_waited_for(contender):
    """However slow it is: many looks, and the reply."""
    looks, enough = [], threading.Event()
    is_alive = threading.Thread.is_alive

    class Server(threading.Thread):
        def is_alive(self):
            looks.append(1)
            if len(looks) == 20:
                enough.set()
            return is_alive(self)

    transport = contender.create(1)
    client = transport.client()

    def serve():
        transport.wait_for_work(WAIT_S)
        callbacks = transport.claim(1)
        batch = transport.gather(callbacks)
        assert enough.wait(WAIT_S)
        transport.resolve_batch(callbacks, batch, double(batch))

    server = Server(target=serve, daemon=True)
    server.start()
    assert client(one(3))["action"].item() == 6
    server.join(WAIT_S)


def test_a_server_that_comes_while_a_request_is_being_withdrawn_gets_it(contender):
    """Who takes the lock first decides: the request is served or withdrawn, never both."""
    transport = contender.create(1)
    in_thread(transport.wait_for_work, 0.0)
    reply = transport.client().submit(one(3))
    why = transport._service.why_unserved
    came = []

    class Lock:
        """Let a server come just before the withdrawing actor has the lock."""

        def __init__(self, lock):
            self.lock = lock

        def __enter__(self):
            if not came:
                came.append(True)
                came.append(InferenceServer(double, transport).start())
                assert reply_is_there.wait(WAIT_S)
            return self.lock.__enter__()

        def __exit__(self, *exc_info):
            return self.lock.__exit__(*exc_info)

    reply_is_there = threading.Event()
    resolve_batch = transport.resolve_batch

    def resolved(*args):
        resolve_batch(*args)
        reply_is_there.set()

    transport.resolve_batch = resolved
    transport._service.lock = Lock(transport._service.lock)
    assert why(None, may_wait=False) is not None
    try:
        assert reply.result()["action"].item() == 6
    finally:
        came[1].shutdown()


def test_a_server_comes_under_the_lock(contender):
    """So that none comes between the look at the last one and the withdrawal."""
    transport = contender.create(1)
    came = []

    class Lock:
        def __enter__(self):
            came.append(transport._service._thread)

        def __exit__(self, *exc_info):
            came.append(transport._service._thread)

    transport._service.lock = Lock()
    transport.wait_for_work(0.0)
    transport.wait_for_work(0.0)
    assert came == [None, threading.current_thread()]


@pytest.mark.parametrize("timeout", [None, 0.0])
def test_an_answer_that_a_server_gave_before_it_ended_is_not_withdrawn(
    timeout, monkeypatch
):
    """It comes between the look at the state and the look at the thread."""
    transport = SlotTransport(1)
    client = transport.client()
    reply = client.submit(one(3))
    why = transports._serving.Service.why_unserved
    claimed, go = threading.Event(), threading.Event()

    def serve():
        slots = transport.claim(1)
        claimed.set()
        assert go.wait(WAIT_S)
        batch = transport.gather(slots)
        transport.resolve_batch(slots, batch, double(batch))

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    assert claimed.wait(WAIT_S)

    def answer_and_look(service, claimed_by, *, may_wait):
        go.set()
        server.join(WAIT_S)
        return why(service, claimed_by, may_wait=may_wait)

    monkeypatch.setattr(transports._serving.Service, "why_unserved", answer_and_look)
    assert reply.result(timeout)["action"].item() == 6


def test_a_second_servers_death_does_not_take_the_firsts_requests():
    """Claimed by a thread that lives: only its own death would lose it."""
    transport = SlotTransport(1)
    client = transport.client()
    reply = client.submit(one(3))
    slots = transport.claim(1)
    in_thread(transport.wait_for_work, 0.0)
    with pytest.raises(TimeoutError):
        reply.result(0.05)
    batch = transport.gather(slots)
    transport.resolve_batch(slots, batch, double(batch))
    assert reply.result(0)["action"].item() == 6


def test_a_lost_wake_up_costs_a_look():
    """An actor interrupted between taking the next of the chain and waking it: that one looks."""
    transport = SlotTransport(1)
    client = transport.client()
    transport.wait_for_work(0.0)
    reply = client.submit(one(3))
    slots = transport.claim(1)
    batch = transport.gather(slots)

    class Dropping(list):
        def pop(self):
            super().pop()
            raise KeyboardInterrupt

    transport._to_wake = Dropping()
    with pytest.raises(KeyboardInterrupt):
        transport.resolve_batch(slots, batch, double(batch))
    assert transport._gates[0].locked()
    transport._to_wake = []
    assert reply.result()["action"].item() == 6


def test_a_lost_ring_costs_a_look():
    """An actor interrupted between taking the token and ringing: it, or another, rings later."""
    transport = SlotTransport(2)
    clients = [transport.client() for _ in range(2)]
    asleep = threading.Event()

    class Tokens(list):
        def append(self, token):
            super().append(token)
            asleep.set()

        def pop(self):
            super().pop()
            transport._tokens = []
            raise KeyboardInterrupt

    transport._tokens = Tokens()
    with InferenceServer(double, transport, timeout=600.0):
        assert asleep.wait(WAIT_S)
        with pytest.raises(KeyboardInterrupt):
            clients[0](one(3))
        assert clients[0](one(4))["action"].item() == 8


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_at_the_turn_leaves_it_to_others(when, doorbell):
    """Ctrl-C as the lock is taken, or just after: it is not kept."""
    transport = SlotTransport(1, inline=True)
    client = transport.client()
    turn = transport._turn

    class Turn:
        is_armed = True

        def acquire(self, blocking=True, timeout=-1):
            if blocking or not self.is_armed:
                return turn.acquire(blocking, timeout)
            self.is_armed = False
            if when == "after":
                assert turn.acquire(blocking=False)
            raise KeyboardInterrupt

        def release(self):
            turn.release()

    transport._turn = Turn()
    bell = doorbell(transport)
    with InferenceServer(double, transport, timeout=600.0) as server:
        bell.wait_until_asleep()
        with pytest.raises(KeyboardInterrupt):
            client(one(3))
        assert client(one(4))["action"].item() == 8
        server.shutdown(WAIT_S)
        assert not server.is_alive


def test_an_interrupted_read_can_be_done_again():
    """Ctrl-C between taking the reply and having it: it is still there."""
    transport = SlotTransport(1)
    client = transport.client()
    with InferenceServer(double, transport):
        reply = client.submit(one(3))
        receive, interrupted = transport._receive, []

        def receive_and_be_interrupted(*args):
            receive(*args)
            interrupted.append(True)
            raise KeyboardInterrupt

        transport._receive = receive_and_be_interrupted
        for way in (reply.result, lambda: client(one(4))):
            with pytest.raises(KeyboardInterrupt):
                way()
        transport._receive = receive
        assert interrupted == [True, True]
        assert reply.result()["action"].item() == 6
        assert client(one(5))["action"].item() == 10


def test_an_interrupted_read_of_a_lost_request_can_be_done_again():
    """So that it is told again why, once its request was withdrawn."""
    transport = SlotTransport(1)
    client = transport.client()
    in_thread(transport.wait_for_work, 0.0)
    reply = client.submit(one(3))
    receive = transport._receive

    def receive_and_be_interrupted(*args):
        receive(*args)
        raise KeyboardInterrupt

    transport._receive = receive_and_be_interrupted
    with pytest.raises(KeyboardInterrupt):
        reply.result()
    transport._receive = receive
    with pytest.raises(ServerStoppedError, match="has ended"):
        reply.result()


def test_a_dropped_requests_error_is_not_the_next_ones():
    """Unless there still is no server: then it is, without another look."""
    transport = SlotTransport(1)
    client = transport.client()
    calls = []

    def model(td):
        calls.append(1)
        if len(calls) == 1:
            raise SystemExit("once")
        return double(td)

    client.submit(one(1))
    with InferenceServer(model, transport) as server:
        server._thread.join(WAIT_S)
        with pytest.raises(ServerStoppedError, match="once"):
            client(one(2))
        with pytest.raises(ServerStoppedError, match="has ended"):
            client(one(3))
        client.submit(one(4))
        with pytest.raises(ServerStoppedError, match="has ended"):
            client(one(5))
        client.submit(one(6))
        second = client.submit(one(6.5))  # it does not wait, so it does not tell
        with pytest.raises(ServerStoppedError, match="has ended"):
            second.result()
        client.submit(one(6))
        server.start()
        assert client(one(7))["action"].item() == 14
        calls.clear()
        client.submit(one(8))
        server._thread.join(WAIT_S)
        server.start()
        assert client(one(9))["action"].item() == 18


def test_a_server_that_was_started_is_not_dead(contender, monkeypatch):
    """From the end of `start` on, however late its thread gets to wait for work."""
    transport = contender.create(1)
    client = transport.client()
    in_thread(transport.wait_for_work, 0.0)
    waiting, go = threading.Event(), threading.Event()
    wait_for_batch = transport.wait_for_batch

    def wait(*args):
        waiting.set()
        assert go.wait(WAIT_S)
        wait_for_batch(*args)

    transport.wait_for_batch = wait
    with InferenceServer(double, transport):
        reply = client.submit(one(3))
        with pytest.raises(TimeoutError):
            reply.result(0.0)
        assert not reply.done()
        go.set()
        assert reply.result(WAIT_S)["action"].item() == 6


def test_ctrl_c_in_a_model_that_the_main_thread_runs_is_raised_there(doorbell):
    """And not only told as an error, which a program may catch; others get that."""
    transport = SlotTransport(2, inline=True)
    clients = [transport.client() for _ in range(2)]
    bell = doorbell(transport)

    def model(td):
        raise KeyboardInterrupt

    with InferenceServer(model, transport, min_batch_size=2, timeout=600.0) as server:
        bell.wait_until_asleep()
        other = clients[1].submit(one())
        assert threading.current_thread() is threading.main_thread()
        with pytest.raises(KeyboardInterrupt):
            clients[0](one())
        with pytest.raises(ServerStoppedError, match="KeyboardInterrupt"):
            other.result(WAIT_S)
        server._thread.join(WAIT_S)
        assert not server.is_alive


def test_a_gate_left_open_does_not_answer_the_next_request():
    """The reply was read by looking, its release came later: the next wait sees through it."""
    transport = SlotTransport(1)
    client = transport.client()
    with InferenceServer(double, transport):
        assert client(one(3))["action"].item() == 6
        transport._gates[0].release()
        reply = client.submit(one(4))
        assert reply.result()["action"].item() == 8
        assert client(one(5))["action"].item() == 10


def test_a_release_of_an_open_gate_wakes_the_next_all_the_same():
    """In a chain of two of which the first is open already."""
    transport = SlotTransport(2)
    clients = [transport.client() for _ in range(2)]
    replies = [client.submit(one(n)) for n, client in enumerate(clients)]
    transport._gates[0].release()
    slots = transport.claim(2)
    batch = transport.gather(slots)
    transport.resolve_batch(slots, batch, double(batch))
    assert [reply.result(0)["action"].item() for reply in replies] == [0, 2]
    assert not transport._gates[0].acquire(blocking=False)


@pytest.mark.parametrize("at", [0, 1])
def test_an_interrupted_inline_step_leaves_nobody_claimed(at, together, doorbell):
    """Ctrl-C in the actor's thread while it claims: the others get an error, the server lives."""
    transport = SlotTransport(2, inline=True)
    clients = [transport.client() for _ in range(2)]
    bell = doorbell(transport)

    class States(bytearray):
        num_left = at

        def __setitem__(self, slot, value):
            super().__setitem__(slot, value)
            if value == transports.slot._CLAIMED and armed:
                if not States.num_left:
                    armed.clear()
                    raise KeyboardInterrupt
                States.num_left -= 1

    armed = []
    with InferenceServer(double, transport, min_batch_size=2, timeout=600.0):
        bell.wait_until_asleep()
        transport._states = States(transport._states)
        first = clients[0].submit(one(1))
        armed.append(True)
        with pytest.raises(KeyboardInterrupt):
            clients[1](one(2))
        with pytest.raises(RuntimeError, match="interrupted by KeyboardInterrupt"):
            first.result(WAIT_S)
        if at == 0:  # the interrupted actor's own request was not claimed yet
            assert clients[0](one(3))["action"].item() == 6
        replies = together(2, lambda index: clients[index](one(index)))
        assert [reply["action"].item() for reply in replies] == [0, 2]
