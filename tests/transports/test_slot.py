"""What only SlotTransport promises."""

from __future__ import annotations

import threading

import pytest
import torch
from tensordict import TensorDict

import transports
from transports.slot import SlotTransport

WAIT_S = 60.0


def one(value=0.0):
    """Make a request of one number."""
    return TensorDict({"obs": torch.tensor([value])}, [])


def test_clients_are_as_many_as_slots():
    """One more is a RuntimeError, every time."""
    transport = SlotTransport(2)
    transport.client()
    transport.client()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="2 slots"):
            transport.client()


def test_a_request_goes_through_a_client():
    """The transport's own submit is not supported and says what is."""
    with pytest.raises(NotImplementedError, match=r"client\(\)"):
        SlotTransport(1).submit(one())


def test_one_request_in_flight_until_its_reply_is_read():
    """A second submit is refused, also once answered; the first is not harmed."""
    transport = SlotTransport(1)
    client = transport.client()
    reply = client.submit(one(3.0))
    with pytest.raises(RuntimeError, match="already has an in-flight request"):
        client.submit(one(4.0))
    items, slots = transport.drain(8)
    assert slots == [0]
    assert items[0]["obs"].tolist() == [3.0]
    transport.resolve(0, items[0])
    assert reply.done()
    with pytest.raises(RuntimeError, match="already has an in-flight request"):
        client.submit(one(4.0))
    reply.result(0)
    client.submit(one(4.0))


def test_sweeps_are_round_robin():
    """With all slots ready all the time, every window of five serves is each slot once."""
    transport = SlotTransport(5)
    clients = [transport.client() for _ in range(5)]
    replies = [client.submit(one()) for client in clients]
    served = []
    for _ in range(20):
        items, slots = transport.drain(2)
        for item, slot in zip(items, slots, strict=True):
            transport.resolve(slot, item)
            replies[slot].result(0)
            replies[slot] = clients[slot].submit(one())
        served += slots
    assert served == [n % 5 for n in range(40)]


@pytest.mark.parametrize("bad", [0, -1, True, 2.0, "3", None])
def test_num_slots_is_a_count(bad):
    """Anything but an int of at least one is refused."""
    with pytest.raises(ValueError, match="num_slots must be an int of at least 1"):
        SlotTransport(bad)


def test_preallocate_is_a_bool():
    """A count passed in its place is refused."""
    with pytest.raises(TypeError, match="preallocate"):
        SlotTransport(1, preallocate=1)


def test_preallocate_copies_at_submit():
    """What the server gets is the observation as it was when it was submitted."""
    transport = SlotTransport(1, preallocate=True)
    td = one(1.0)
    transport.client().submit(td)
    td["obs"].fill_(9.0)
    assert transport.gather(transport.claim(1))["obs"].tolist() == [[1.0]]


def test_preallocated_rows_never_reach_a_batch_as_views():
    """All slots in order, or some: the next submit leaves an earlier batch alone."""
    transport = SlotTransport(2, preallocate=True)
    clients = [transport.client(), transport.client()]
    for order in ([0, 1], [1]):
        replies = [clients[i].submit(one(float(i))) for i in order]
        slots = transport.claim(2)
        batch = transport.gather(slots)
        transport.resolve_batch(slots, batch, batch)
        for reply in replies:
            reply.result(0)
        replies = [clients[i].submit(one(99.0)) for i in order]
        assert batch["obs"].flatten().tolist() == [float(s) for s in slots]
        for slot in transport.claim(2):
            transport.resolve_exception(slot, ValueError("enough"))
        for reply in replies:
            with pytest.raises(ValueError, match="enough"):
                reply.result(0)


@pytest.mark.parametrize("preallocate", [False, True])
def test_the_doorbell_loses_no_wake_up(preallocate, together, tiny_switch_interval):
    """A server that would sleep ten minutes serves every request: none was missed."""
    count, each = 4, 1500
    transport = SlotTransport(count, preallocate=preallocate)
    clients = [transport.client() for _ in range(count)]
    with transports.InferenceServer(lambda td: td, transport, timeout=600.0):

        def actor(index):
            td = one(float(index))
            for _ in range(each):
                assert clients[index].submit(td).result(WAIT_S)["obs"].item() == index

        together(count, actor)


def test_an_actor_looks_for_a_sleeper_after_it_published():
    """The other order would miss a server that announces itself in between."""
    transport = SlotTransport(1)
    ready_at_look = []

    class Watched(list):
        def __len__(self):
            ready_at_look.append(transport._ready[0])
            return super().__len__()

    transport._tokens = Watched()
    transport.client().submit(one())
    assert ready_at_look[0] == 1


def test_a_server_looks_for_work_after_it_announced_itself(together):
    """Work published between its first look and the announcement does not wait for the bell."""
    transport = SlotTransport(1)
    client = transport.client()

    class Late(list):
        def append(self, token):
            client.submit(one())
            super().append(token)

    transport._tokens = Late()
    together(1, lambda _: transport.wait_for_work(600.0))
    assert transport._tokens == []
    assert transport.claim(1) == [0]


def test_wait_for_work_returns_for_work_a_wake_and_a_timeout():
    """Ready work returns it at once; a wake before the wait is not lost; else the timeout."""
    for transport in (SlotTransport(1), transports.ThreadingTransport()):
        transport.wait_for_work(0.001)
        transport.wait_for_work(-1)
        transport.wake()
        transport.wake()
        transport.wait_for_work(600.0)
        transport.client().submit(one())
        transport.wait_for_work(600.0)
        transport.wait_for_work(float("inf"))


def test_the_first_request_is_raced_for_once(together, tiny_switch_interval):
    """Many first submits at once: one schema, one buffer, every row its actor's."""
    for _ in range(30):
        transport = SlotTransport(8, preallocate=True)
        clients = [transport.client() for _ in range(8)]
        together(8, lambda i: clients[i].submit(one(float(i))))  # noqa: B023 - joined
        batch = transport.gather(transport.claim(8))
        assert batch["obs"].flatten().tolist() == [float(i) for i in range(8)]


def test_shutdown_does_not_wait_for_the_servers_timeout(ours, serve):
    """Told to stop, a server that may sleep for ten minutes is woken."""
    idle = threading.Event()
    transport = ours.create(1)
    wait = transport.wait_for_work

    def noting(timeout):
        idle.set()
        wait(timeout)

    transport.wait_for_work = noting
    server = serve(ours, lambda td: td, transport, timeout=600.0)
    assert idle.wait(WAIT_S)
    server.shutdown(WAIT_S)
    assert not server.is_alive
