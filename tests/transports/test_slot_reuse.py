"""Slots change hands: closed, dropped and interrupted clients, and who is late for them."""

from __future__ import annotations

import gc
import sys
import threading

import pytest
import torch
from tensordict import TensorDict

from transports import InferenceServer, SlotTransport
from transports._errors import (
    ClientClosedError,
    InFlightError,
    NoSlotLeftError,
    ServerStoppedError,
    forget_frames,
)

WAIT_S = 60.0


def one(value=0.0):
    """Make a request of one number."""
    return TensorDict({"obs": torch.tensor([float(value)])}, [])


def double(td):
    """Answer twice the observation."""
    return td.set("action", td["obs"] * 2)


def answer(transport, slots):
    """Be the server: answer the claimed slots together."""
    if not slots:
        return
    batch = transport.gather(slots)
    transport.resolve_batch(slots, batch, double(batch))


def answer_singly(transport, slots):
    """Be a server that resolves one by one."""
    for slot in slots:
        transport.resolve(slot, one().set("action", torch.tensor([-1.0])))


def fail(transport, slots):
    """Be a server whose model failed."""
    for slot in slots:
        transport.resolve_exception(slot, ArithmeticError())


@pytest.fixture
def transport():
    """Return a transport of two slots, of which this thread is the server."""
    transport = SlotTransport(2)
    transport.wait_for_work(0.0)
    return transport


def let_go_of(clients, how):
    """Close the last client of the list, or drop it."""
    if how == "close":
        clients.pop().close()
    elif how == "with":
        with clients.pop():
            pass
    else:
        clients.pop()


@pytest.mark.parametrize("how", ["close", "with", "drop"])
def test_a_slot_is_given_out_again(transport, how):
    """Whoever let go of it had asked nothing, or had read its reply."""
    clients = [transport.client(), transport.client()]
    for n in range(3):
        let_go_of(clients, how)
        clients.append(transport.client())
        reply = clients[1].submit(one(n))
        answer(transport, transport.claim(2))
        assert reply.result(0)["action"].item() == 2 * n
        del reply
        with pytest.raises(NoSlotLeftError, match="all 2 slots are in use"):
            transport.client()


@pytest.mark.parametrize("is_taken", [False, True])
@pytest.mark.parametrize("how", ["close", "with", "drop"])
@pytest.mark.parametrize("answering", [answer, answer_singly, fail])
def test_a_late_reply_is_dropped(transport, how, is_taken, answering):
    """The slot is free once its last request is answered; its next owner sees nothing of it."""
    clients = [transport.client(), transport.client()]
    clients[1].submit(one(7))
    slots = transport.claim(2) if is_taken else []
    let_go_of(clients, how)
    with pytest.raises(NoSlotLeftError):
        transport.client()
    answering(transport, slots or transport.claim(2))
    clients.append(transport.client())
    assert transport._replies == [None, None]
    reply = clients[1].submit(one(3))
    assert not reply.done()
    answer(transport, transport.claim(2))
    assert reply.result(0)["action"].item() == 6


def test_a_reply_nobody_read_goes_with_its_client(transport):
    """Answered, then closed unread: the next owner starts with nothing."""
    client = transport.client()
    client.submit(one(7))
    answer(transport, transport.claim(2))
    client.close()
    assert transport._replies == [None, None]
    assert transport.client()._slot == 0


def test_a_chain_that_comes_late_wakes_the_next_owner_for_nothing(transport):
    """Its slot was answered and given on before the chain got there."""
    clients = [transport.client(), transport.client()]
    for n in range(2):
        clients[n].submit(one(n))
    slots = transport.claim(2)
    transport._is_waking = True  # an earlier chain is under way
    answer(transport, slots)
    assert transport._to_wake == [1, 0]
    clients.clear()
    successors = [transport.client(), transport.client()]
    replies = [client.submit(one(10 + n)) for n, client in enumerate(successors)]
    transport._pass_on()
    for reply in replies:
        with pytest.raises(TimeoutError):
            reply.result(0.01)
    answer(transport, transport.claim(2))
    assert [reply.result(0)["action"].item() for reply in replies] == [20, 22]


def test_a_closed_client_is_of_no_use(transport):
    """For calls, submits and replies not read; to close it again does nothing."""
    client = transport.client()
    reply = client.submit(one())
    for _ in range(2):
        client.close()
    assert reply.done()
    for use in (lambda: client(one()), lambda: client.submit(one()), reply.result):
        with pytest.raises(ClientClosedError, match=r"this client of slot \d is closed"):
            use()
    answer(transport, transport.claim(2))
    assert len({transport.client()._slot, transport.client()._slot}) == 1  # dropped at once


def test_a_client_another_thread_waits_for_is_not_closed(together):
    """It is told so; the waiting thread gets its reply."""
    transport = SlotTransport(1)
    client = transport.client()
    entered, go = threading.Event(), threading.Event()

    def model(td):
        entered.set()
        assert go.wait(WAIT_S)
        return double(td)

    def close(_):
        assert entered.wait(WAIT_S)
        while not transport._is_parked[0]:
            pass
        with pytest.raises(InFlightError, match="somebody waits"):
            client.close()
        go.set()

    with InferenceServer(model, transport):
        reply, _ = together(2, lambda n: close(n) if n else client(one(3)))
    assert reply["action"].item() == 6


def test_a_dead_servers_slots_are_found_when_they_are_needed():
    """Abandoned with a request that nobody will answer, taken or not."""
    transport = SlotTransport(2)
    clients = [transport.client(), transport.client()]
    clients[0].submit(one())
    dead = threading.Thread(target=transport.drain, args=(1,), daemon=True)
    dead.start()
    dead.join(WAIT_S)
    clients[1].submit(one())
    clients.clear()
    clients += [transport.client(), transport.client()]
    assert {client._slot for client in clients} == {0, 1}
    with InferenceServer(double, transport):
        assert [c(one(n))["action"].item() for n, c in enumerate(clients)] == [0, 2]


def test_a_slot_is_found_once(together, tiny_switch_interval):
    """Of two threads that look for the same free one, one is told that there is none."""
    for _ in range(200):
        transport = SlotTransport(1)
        transport.wait_for_work(0.0)
        transport.client().submit(one())
        answer(transport, transport.claim(1))

        def take(_, transport=transport):
            try:
                return transport.client()
            except NoSlotLeftError:
                return None

        assert together(2, take).count(None) == 1


def test_a_reply_dropped_unread_does_not_block_its_client(transport):
    """A submit goes through once it is there, and says so before; the old answer is not given."""
    client = transport.client()
    client.submit(one(1))
    with pytest.raises(InFlightError, match="already has an in-flight request: wait for"):
        client.submit(one(2))
    answer(transport, transport.claim(2))
    reply = client.submit(one(3))
    answer(transport, transport.claim(2))
    assert reply.result(0)["action"].item() == 6


@pytest.mark.parametrize("way", ["call", "result"])
def test_a_client_that_got_an_error_is_dropped_like_others(transport, way):
    """The error's traceback holds no frame that holds the client, or an error in a cycle."""
    gc.collect()
    gc.disable()
    try:
        client = transport.client()
        dead = threading.Thread(target=transport.wait_for_work, args=(0.0,), daemon=True)
        dead.start()
        dead.join(WAIT_S)
        with pytest.raises(ServerStoppedError):
            client(one()) if way == "call" else client.submit(one()).result()
        del client
        assert transport._given_back == [0]
    finally:
        gc.enable()


@pytest.mark.parametrize("way", ["submit", "client"])
def test_an_error_of_an_inline_batch_keeps_nothing_of_its_actor(way, doorbell):
    """It was raised in the actor's own thread, and nobody reads it; its text is not lost."""

    def model(_td):
        raise ArithmeticError("no")

    transport = SlotTransport(1, inline=True)
    bell = doorbell(transport)

    def drop(client):
        reply = client.submit(one())
        assert reply.done()  # it ran here

    def come_and_go():
        drop(transport.client())

    with InferenceServer(model, transport, timeout=600.0):
        bell.wait_until_asleep()
        if way == "client":
            come_and_go()
            client = transport.client()
        else:
            client = transport.client()
            drop(client)
        with pytest.raises(ArithmeticError, match="no") as raised:
            client(one())
        assert "raise ArithmeticError" in "".join(raised.value.__notes__)


def test_a_call_waits_for_what_was_dropped():
    """And returns its own reply."""
    transport = SlotTransport(1)
    client = transport.client()
    client.submit(one(1))
    with InferenceServer(double, transport):
        assert client(one(3))["action"].item() == 6
        for n in range(20):
            client.submit(one(n))
            assert client(one(n + 0.5))["action"].item() == 2 * n + 1


@pytest.mark.parametrize(
    "where", ["before it published", "while it waited", "with the gate"]
)
def test_an_interrupted_call_does_not_block_its_client(transport, where):
    """Ctrl-C in `client(td)`: the next call is answered with its own reply."""
    client = transport.client()

    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    class Gate:
        def __init__(self, gate):
            self.gate, self.release, self.locked = gate, gate.release, gate.locked

        def acquire(self, blocking=True, timeout=-1):
            if where == "with the gate":
                answer(transport, transport.claim(2))
                assert self.gate.acquire(blocking=False)
            raise KeyboardInterrupt

    gate = transport._gates[0]
    if where == "before it published":
        transport._publish = interrupt
    else:
        transport._gates[0] = Gate(gate)
    with pytest.raises(KeyboardInterrupt):
        client(one(1))
    if where == "before it published":
        del transport._publish
    transport._gates[0] = gate
    answer(transport, transport.claim(2))
    assert transport._states[0] == 0
    reply = client.submit(one(3))
    answer(transport, transport.claim(2))
    assert reply.result(0)["action"].item() == 6


def test_clients_come_and_go_under_load(together, tiny_switch_interval):
    """Each of 16 threads takes a client, asks, drops it in one of many ways, 60 times; 8 slots."""
    transport = SlotTransport(8)
    room = threading.Semaphore(8)

    def actor(index):
        for n in range(60):
            with room:
                client = take(transport)
                value = 1000 * index + n
                way = (index + n) % 4
                if way == 0:
                    assert client(one(value))["action"].item() == 2 * value
                    client.close()
                elif way == 1:
                    client.submit(one(value))
                    client.close()
                elif way == 2:
                    client.submit(one(value))
                    assert client(one(value + 1))["action"].item() == 2 * value + 2
                elif way == 3:
                    client.submit(one(value))
                del client

    def take(transport):
        while True:  # those abandoned in flight are not there yet
            try:
                return transport.client()
            except NoSlotLeftError:
                continue

    with InferenceServer(double, transport, max_batch_size=4):
        together(16, actor)
        left = [take(transport) for _ in range(8)]
        assert {client._slot for client in left} == set(range(8))
        assert [c(one(n))["action"].item() for n, c in enumerate(left)] == [
            2.0 * n for n in range(8)
        ]
    assert transport._abandoned == []


def test_a_clients_end_is_seen_through_a_cycle(transport):
    """Garbage collection counts as dropping it."""
    client = transport.client()
    cycle = [client]
    cycle.append(cycle)
    slot = client._slot
    del client, cycle
    gc.collect()
    assert transport.client()._slot == slot


def test_an_error_tells_once_where_it_was_raised():
    """Though it answers a whole batch, some of which have raised it by then."""
    error = ArithmeticError("no")
    for _ in range(20):
        with pytest.raises(ArithmeticError):
            raise error
        forget_frames(error)
        assert error.__traceback__ is None
    assert len(error.__notes__) == 1


def test_an_error_that_was_never_raised_says_nothing_of_where():
    """It has no frames to forget."""
    error = ArithmeticError("no")
    forget_frames(error)
    assert not hasattr(error, "__notes__")


# ---- a client is for one thread at a time


def in_thread(call):
    """Run the call in a thread of its own; return its value, or the error it raised."""
    made = []

    def run():
        try:
            made.append(call())
        except Exception as error:  # noqa: BLE001 - looked at by the test
            made.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    return made[0]


@pytest.mark.parametrize("waits_in", ["call", "result"])
@pytest.mark.parametrize("options", [{}, {"preallocate": True}, {"inline": True}])
def test_a_second_thread_is_refused_and_takes_no_reply(waits_in, options):
    """Whatever it tries; the first gets its own reply, and after it the second may come."""
    entered, go = threading.Event(), threading.Event()

    def model(td):
        entered.set()
        assert go.wait(WAIT_S)
        return double(td)

    transport = SlotTransport(1, **options)
    client = transport.client()
    got = []

    def first():
        if waits_in == "call":
            got.append(client(one(3)))
        else:
            got.append(client.submit(one(3)).result(WAIT_S))

    with InferenceServer(model, transport):
        actor = threading.Thread(target=first, daemon=True)
        actor.start()
        assert entered.wait(WAIT_S)
        # `submit` has been left when the actor is parked in `result`, or in the model.
        while not client._user:
            pass
        for attempt in (lambda: client(one(4)), lambda: client.submit(one(4))):
            error = in_thread(attempt)
            assert isinstance(error, InFlightError)
            assert "slot 0 already has an in-flight request" in str(error)
        assert isinstance(in_thread(client.close), InFlightError)
        go.set()
        actor.join(WAIT_S)
        assert got[0]["action"].item() == 6
        assert in_thread(lambda: client(one(5)))["action"].item() == 10
    assert client._user == {}


def test_a_reply_that_another_threads_request_settled_is_still_its_own(transport):
    """Answered, unread; another thread asks: the first reads its own reply, not the other's."""
    client = transport.client()
    reply = client.submit(one(1))
    answer(transport, transport.claim(1))
    assert reply._reply is None
    other = in_thread(lambda: client.submit(one(2)))
    answer(transport, transport.claim(1))
    assert reply.result(0)["action"].item() == 2
    assert other.result(0)["action"].item() == 4


def test_a_reply_that_is_settled_while_its_reader_comes_is_not_taken_again(transport):
    """The other thread's request goes in between the reader's look and its turn."""
    client = transport.client()
    reply = client.submit(one(1))
    answer(transport, transport.claim(1))
    enter = type(client)._enter
    others = []

    def enter_late(self, me):
        if not others:
            others.append(None)
            others[0] = in_thread(lambda: client.submit(one(2)))
            answer(transport, transport.claim(1))
        enter(self, me)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(client), "_enter", enter_late)
        assert reply.result(0)["action"].item() == 2
    assert others[0].result(0)["action"].item() == 4


def test_threads_that_share_a_client_get_their_own_replies_or_none(
    together, tiny_switch_interval
):
    """Calls and submits of four threads, as often as they can; never another's reply."""
    transport = SlotTransport(1)
    client = transport.client()

    def actor(index):
        served = 0
        for n in range(200):
            value = 1000 * index + n
            try:
                way = client if n % 2 else (lambda td: client.submit(td).result())
                reply = way(one(value))
            except InFlightError:
                continue
            assert reply["action"].item() == 2 * value
            served += 1
        return served

    with InferenceServer(double, transport):
        assert sum(together(4, actor)) > 0
        assert client(one(7))["action"].item() == 14


@pytest.mark.parametrize("way", ["close", "call", "submit"])
def test_a_call_inside_a_call_is_refused(way, doorbell):
    """By the same thread, as a signal handler would make it: the model stands for that here."""
    transport = SlotTransport(2, inline=True)
    bell = doorbell(transport)
    client, other = transport.client(), transport.client()
    refused = []

    def model(td):
        act = {
            "close": client.close,
            "call": lambda: client(one()),
            "submit": lambda: client.submit(one()),
        }
        with pytest.raises(InFlightError) as caught:
            act[way]()
        refused.append(str(caught.value))
        return double(td)

    with InferenceServer(model, transport, timeout=600.0):
        bell.wait_until_asleep()
        assert client(one(3))["action"].item() == 6
        assert client._user == {}
        assert len(refused) == 1
    assert other._slot != client._slot


@pytest.mark.parametrize("way", ["call", "submit", "result", "close"])
def test_an_interrupt_never_locks_a_client(way):
    """Ctrl-C as any function is entered on the way: another thread may use the client after it."""
    reached = 0
    while True:
        transport = SlotTransport(1)
        with InferenceServer(double, transport):
            client = transport.client()
            client(one())
            reply = client.submit(one(1)) if way == "result" else None
            act = {
                "call": lambda: client(one(2)),  # noqa: B023 - called in this round
                "submit": lambda: client.submit(one(2)),  # noqa: B023 - likewise
                "result": lambda: reply.result(WAIT_S),  # noqa: B023 - likewise
                "close": client.close,
            }[way]
            if not interrupted_at_entry(act, reached):
                break
            assert client._user == {}
            if not client._is_closed:
                assert in_thread(lambda: client(one(5)))["action"].item() == 10  # noqa: B023 - likewise
        reached += 1
    assert reached >= 2


def interrupted_at_entry(call, number):
    """Raise KeyboardInterrupt as the number-th Python function is entered; False if there is none."""
    left = [number]

    def trace(frame, event, _arg):
        if event == "call":
            if left[0] == 0:
                left[0] = -1
                raise KeyboardInterrupt
            left[0] -= 1

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_who_is_in_a_client_is_found_out_in_one_step(transport):
    """A look and then a write would let two in."""

    class OneStep(dict):
        def get(self, *args):
            raise AssertionError("looked before it wrote")

        __contains__ = __setitem__ = get

    client = transport.client()
    client._user = OneStep()
    client.submit(one())
    client._user = OneStep(user=object())
    with pytest.raises(InFlightError):
        client.submit(one())
