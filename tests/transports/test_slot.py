"""What only SlotTransport promises."""

from __future__ import annotations

import contextlib
import threading

import pytest
import torch
from tensordict import TensorDict

import transports
from transports.slot import _READY, SlotTransport

WAIT_S = 60.0


def one(value=0.0):
    """Make a request of one number."""
    return TensorDict({"obs": torch.tensor([value])}, [])


def test_clients_are_as_many_as_slots():
    """One more is a RuntimeError, every time."""
    transport = SlotTransport(2)
    clients = [transport.client(), transport.client()]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="2 slots"):
            clients.append(transport.client())


def test_a_request_goes_through_a_client():
    """The transport's own submit is not supported and says what is."""
    with pytest.raises(NotImplementedError, match=r"client\(\)"):
        SlotTransport(1).submit(one())


def test_one_request_in_flight_until_it_is_answered():
    """A second submit is refused, the first not harmed; then its reply can be read late."""
    transport = SlotTransport(1)
    client = transport.client()
    reply = client.submit(one(3.0))
    with pytest.raises(RuntimeError, match="already has an in-flight request"):
        client.submit(one(4.0))
    items, slots = transport.drain(8)
    assert slots == [0]
    assert items[0]["obs"].tolist() == [3.0]
    with pytest.raises(RuntimeError, match="already has an in-flight request"):
        client.submit(one(4.0))
    transport.resolve(0, items[0])
    assert reply.done()
    second = client.submit(one(4.0))
    assert reply.done()
    assert reply.result(0)["obs"].tolist() == [3.0]
    assert not second.done()
    items, slots = transport.drain(8)
    transport.resolve(0, items[0])
    assert second.result(0)["obs"].tolist() == [4.0]
    assert reply.result(0)["obs"].tolist() == [3.0]


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


@pytest.mark.parametrize(
    ("num_slots", "max_items"), [(5, 1), (5, 2), (7, 3), (4, 4), (3, 9)]
)
@pytest.mark.parametrize("late", [0, 2])
def test_a_ready_slot_is_served_within_the_stated_number_of_batches(
    num_slots, max_items, late
):
    """Also one that becomes ready just after the sweep passed it, with all others always ready."""
    transport = SlotTransport(num_slots)
    clients = [transport.client() for _ in range(num_slots)]
    replies = {
        slot: clients[slot].submit(one()) for slot in range(num_slots) if slot != late
    }
    for start in range(2 * num_slots):
        for _ in range(start):
            _serve(transport, clients, replies, max_items)
        replies[late] = clients[late].submit(one())
        batches = 1
        while late not in _serve(transport, clients, replies, max_items, but=late):
            batches += 1
            assert batches <= -(-num_slots // max_items) + 1


def _serve(transport, clients, replies, max_items, but=None):
    """Serve one batch and let those served ask again, except one; return whom."""
    slots = transport.claim(max_items)
    batch = transport.gather(slots)
    transport.resolve_batch(slots, batch, batch)
    for slot in slots:
        replies.pop(slot).result(0)
        if slot != but:
            replies[slot] = clients[slot].submit(one())
    return slots


@pytest.mark.parametrize("bad", [0, -1, True, 2.0, "3", None])
def test_num_slots_is_a_count(bad):
    """Anything but an int of at least one is refused."""
    with pytest.raises(ValueError, match="num_slots must be an int of at least 1"):
        SlotTransport(bad)


@pytest.mark.parametrize("option", ["preallocate", "inline", "pin_memory"])
def test_an_option_is_a_bool(option):
    """A count passed in its place is refused."""
    with pytest.raises(TypeError, match=option):
        SlotTransport(1, **{option: 1})


def gathered(transport, replies):
    """Claim and gather all that is ready."""
    slots = transport.claim(len(replies))
    return slots, transport.gather(slots)


@pytest.mark.parametrize("preallocate", [False, True])
def test_requests_are_copied_when_the_server_gathers(preallocate):
    """Until then the tensors are read where they are; from then on nobody's edits matter."""
    transport = SlotTransport(1, preallocate=preallocate)
    td = one(1.0)
    reply = transport.client().submit(td)
    td["obs"].fill_(2.0)
    _, batch = gathered(transport, [reply])
    assert batch["obs"].tolist() == [[2.0]]
    td["obs"].fill_(9.0)
    assert batch["obs"].tolist() == [[2.0]]
    batch["obs"].fill_(5.0)
    assert td["obs"].tolist() == [9.0]


@pytest.mark.parametrize("preallocate", [False, True])
def test_only_a_preallocated_batch_is_overwritten_by_the_next(preallocate):
    """It is the first rows of one buffer, whoever sent them; a plain one is fresh memory."""
    transport = SlotTransport(3, preallocate=preallocate)
    clients = [transport.client() for _ in range(3)]
    batches = []
    for senders, value in (([0, 1, 2], 1.0), ([2], 7.0)):
        replies = [clients[i].submit(one(value + i)) for i in senders]
        slots, batch = gathered(transport, replies)
        assert slots == senders
        assert batch["obs"].flatten().tolist() == [value + i for i in senders]
        batches.append(batch)
        transport.resolve_batch(slots, batch, batch)
        for reply in replies:
            reply.result(0)
    first = batches[0]["obs"].flatten().tolist()
    assert first == ([9.0, 2.0, 3.0] if preallocate else [1.0, 2.0, 3.0])
    same = batches[0]["obs"].data_ptr() == batches[1]["obs"].data_ptr()
    assert same == preallocate


def _views(td):
    return TensorDict({"action": td["obs"][:, :1], "all": td["obs"]}, td.batch_size)


def _written(td):
    td["obs"].mul_(3)
    return td.set("action", td["obs"])


@pytest.mark.parametrize("preallocate", [False, True])
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda td: td, {"obs": 1.0}),
        (lambda td: td.clone(recurse=False), {"obs": 1.0}),
        (lambda td: td.set("action", td["obs"]), {"obs": 1.0, "action": 1.0}),
        (_views, {"obs": 1.0, "action": 1.0, "all": 1.0}),
        (_written, {"obs": 3.0, "action": 3.0}),
    ],
)
def test_replies_never_change(preallocate, model, expected):
    """Whatever of its batch the model returns, the next batches leave the reply alone."""
    transport = SlotTransport(2, preallocate=preallocate)
    clients = [transport.client(), transport.client()]
    kept = []
    for value in (1.0, 50.0, 60.0):
        replies = [client.submit(one(value)) for client in clients]
        slots, batch = gathered(transport, replies)
        transport.resolve_batch(slots, batch, model(batch))
        kept += [reply.result(0) for reply in replies]
        batch["obs"].fill_(77.0)
    for reply in kept[:2]:
        assert {key: reply[key].item() for key in reply.keys()} == expected  # noqa: SIM118


@pytest.mark.parametrize("preallocate", [False, True])
def test_what_a_model_makes_of_a_batch_tensor_does_not_stay(preallocate):
    """Asking for a gradient, or a try at another shape: the next batch is as the first was."""
    transport = SlotTransport(2, preallocate=preallocate)
    clients = [transport.client(), transport.client()]
    for value in (1.0, 2.0, 3.0):
        replies = [client.submit(one(value)) for client in clients]
        slots, batch = gathered(transport, replies)
        obs = batch["obs"]
        assert obs.shape == (2, 1)
        assert not obs.requires_grad
        assert obs.tolist() == [[value]] * 2
        # A tensor that is detached from another may refuse; it may not give in for good.
        with contextlib.suppress(RuntimeError):
            obs.unsqueeze_(0)
        obs.requires_grad_()
        transport.resolve_batch(slots, batch, TensorDict({"a": torch.ones(2)}, [2]))
        for reply in replies:
            assert reply.result(0)["a"].item() == 1


@pytest.mark.parametrize("preallocate", [False, True])
def test_the_doorbell_loses_no_wake_up(
    preallocate, together, tiny_switch_interval, no_looks
):
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
            ready_at_look.append(transport._states[0])
            return super().__len__()

    transport._tokens = Watched()
    transport.client().submit(one())
    assert ready_at_look[0] == _READY


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
    """Many first submits at once: one schema, every row its actor's."""
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

    def noted(wait):
        def noting(*args):
            idle.set()
            wait(*args)

        return noting

    # The one the server calls, which depends on its path.
    transport.wait_for_work = noted(transport.wait_for_work)
    transport.wait_for_batch = noted(transport.wait_for_batch)
    server = serve(ours, lambda td: td, transport, timeout=600.0)
    assert idle.wait(WAIT_S)
    server.shutdown(WAIT_S)
    assert not server.is_alive


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("interrupted", ["compose", "_hand_out"])
def test_what_interrupts_the_answering_reaches_whom_it_left_unanswered(
    interrupted, error, monkeypatch
):
    """At the third of four: everybody gets a reply or the error, nobody waits on."""
    transport = SlotTransport(4)
    replies = [transport.client().submit(one(float(n))) for n in range(4)]
    owner = transports.slot if interrupted == "compose" else SlotTransport
    original, calls = getattr(owner, interrupted), []

    def third_fails(*args):
        calls.append(args)
        if len(calls) == 3:
            raise error("in between")
        return original(*args)

    monkeypatch.setattr(owner, interrupted, third_fails)
    slots = transport.claim(4)
    batch = transport.gather(slots)
    with pytest.raises(error):
        transport.resolve_batch(slots, batch, batch.set("action", batch["obs"] * 2))
    for slot in slots:
        transport.resolve_exception(slot, error("for the rest"))
    num_answered = 0 if interrupted == "compose" else 2
    for n, reply in enumerate(replies[:num_answered]):
        assert reply.result(0)["action"].item() == 2 * n
    for reply in replies[num_answered:]:
        with pytest.raises(error, match="for the rest"):
            reply.result(0)
