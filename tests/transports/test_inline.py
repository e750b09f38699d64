"""Turns lent to actors (`inline`), and a crowd that does everything at once."""

from __future__ import annotations

import random
import threading
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from tensordict import TensorDict

from transports import InferenceServer, SlotTransport

WAIT_S = 60.0


def one(value=0.0):
    """Make a request of one number."""
    return TensorDict({"obs": torch.tensor([float(value)])}, [])


class Inline:
    """An inline transport and its server, which has gone to sleep for ten minutes."""

    def __init__(self, doorbell, model, num_slots, preallocate=False, **options):
        self.transport = SlotTransport(num_slots, preallocate=preallocate, inline=True)
        self.bell = doorbell(self.transport)
        self.server = InferenceServer(model, self.transport, timeout=600.0, **options)

    def __enter__(self):
        self.server.start()
        self.bell.wait_until_asleep()
        return self

    def __exit__(self, *exc_info):
        self.server.shutdown(WAIT_S)
        assert not self.server.is_alive


@pytest.fixture
def inline(doorbell):
    """Return `Inline`, without its first argument."""
    return partial(Inline, doorbell)


def double(td):
    """Answer with twice the observation."""
    return td.set("action", td["obs"] * 2)


def test_a_lone_actor_runs_the_model_itself(inline):
    """Without grad, and its own grad mode is as before; the server sleeps on."""
    seen = []

    def model(td):
        seen.append((threading.get_ident(), torch.is_grad_enabled()))
        return double(td)

    with inline(model, 1) as i:
        client = i.transport.client()
        for n in range(5):
            assert client(one(n))["action"].item() == 2 * n
            assert torch.is_grad_enabled()
        with torch.no_grad():
            client(one())
            assert not torch.is_grad_enabled()
    assert seen == [(threading.get_ident(), False)] * 6


@pytest.mark.parametrize("preallocate", [False, True])
def test_an_actors_inference_mode_stays_out_of_the_step(inline, preallocate):
    """Its tensors would reach the other actors, who could not write to them."""
    modes = []

    def model(td):
        modes.append(
            (
                threading.get_ident(),
                torch.is_inference_mode_enabled(),
                torch.is_grad_enabled(),
            )
        )
        return double(td)

    with inline(model, 1, preallocate=preallocate) as i:
        client = i.transport.client()
        with torch.inference_mode():
            reply = client(one(2))
            assert torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()
        assert not reply["action"].is_inference()
    assert modes == [(threading.get_ident(), False, False)]


def test_a_request_that_finds_the_server_about_to_lend_its_turn_rings():
    """The token is there and the turn is not, yet: nobody else would wake the server."""
    transport = SlotTransport(1, inline=True)
    client = transport.client()
    turn, replies, is_submitted = threading.Lock(), [], threading.Event()

    def submit_and_release():
        if not replies:
            replies.append(client.submit(one(2)))
            is_submitted.set()
        turn.release()

    transport._turn = SimpleNamespace(acquire=turn.acquire, release=submit_and_release)
    with InferenceServer(double, transport, timeout=600.0):
        assert is_submitted.wait(WAIT_S)
        assert replies[0].result(WAIT_S)["action"].item() == 4


def test_a_server_that_does_not_lend_runs_the_model(inline):
    """As TorchRL's, and ours with a collate_fn: `inline` does nothing then."""
    seen = []

    def model(td):
        seen.append(threading.get_ident())
        return double(td)

    with inline(model, 1, collate_fn=torch.stack) as i:
        assert i.transport.client()(one(2))["action"].item() == 4
    assert len(seen) == 1
    assert seen[0] != threading.get_ident()


def test_without_inline_the_server_runs_the_model(doorbell):
    """Its step is not taken."""
    seen = []

    def model(td):
        seen.append(threading.get_ident())
        return double(td)

    transport = SlotTransport(1)
    bell = doorbell(transport)
    with InferenceServer(model, transport, timeout=600.0) as server:
        bell.wait_until_asleep()
        server.client()(one())
    assert len(seen) == 1
    assert seen[0] != threading.get_ident()


def test_the_model_runs_in_one_thread_at_a_time(inline, together, tiny_switch_interval):
    """Eight actors and the server: all replies right, the model never entered twice."""
    busy = threading.Lock()
    seen = set()

    def model(td):
        assert busy.acquire(blocking=False), "two threads are in the model"
        seen.add(threading.get_ident())
        double(td)
        busy.release()
        return td

    with inline(model, 8) as i:
        clients = [i.transport.client() for _ in range(8)]
        clients[0](one())
        assert seen == {threading.get_ident()}

        def actor(index):
            for n in range(200):
                value = 1000 * index + n
                assert clients[index](one(value))["action"].item() == 2 * value

        together(8, actor)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_the_model_raises_in_an_inline_step_reaches_its_actor(inline, error, together):
    """And stops the server, wherever the model ran, if it is no Exception."""
    errors = [error("no")]

    def model(td):
        if errors:
            raise errors.pop()
        return double(td)

    with inline(model, 1) as i:
        client = i.transport.client()
        is_exception = issubclass(error, Exception)
        with pytest.raises(error if is_exception else RuntimeError, match="no"):
            together(1, lambda _: client(one()))  # the main thread's Ctrl-C is its own
        if is_exception:
            assert client(one(2))["action"].item() == 4
            assert i.server.is_alive
        else:
            i.server._thread.join(WAIT_S)
            assert not i.server.is_alive


def test_shutdown_waits_for_an_inline_step_and_then_rejects(inline):
    """The actor gets its reply; who came meanwhile is told that the server stopped."""
    is_in, may_go = threading.Event(), threading.Event()

    def model(td):
        is_in.set()
        assert may_go.wait(WAIT_S)
        return double(td)

    with inline(model, 2) as i:
        client, replies = i.transport.client(), []
        actor = threading.Thread(target=lambda: replies.append(client(one(3))), daemon=True)
        actor.start()
        assert is_in.wait(WAIT_S)
        i.server.shutdown(0)
        pending = i.transport.client().submit(one())
        assert i.server.is_alive
        may_go.set()
        actor.join(WAIT_S)
        assert replies[0]["action"].item() == 6
        i.server.shutdown(WAIT_S)
        assert not i.server.is_alive
        with pytest.raises(RuntimeError, match="was shut down"):
            pending.result(WAIT_S)


def test_an_inline_server_can_be_started_again(inline):
    """And lends its turn anew; a request in between waits for it."""
    seen = []

    def model(td):
        seen.append(threading.get_ident())
        return double(td)

    with inline(model, 1) as i:
        client = i.transport.client()
        client(one())
        i.server.shutdown(WAIT_S)
        assert not i.server.is_alive
        reply = client.submit(one(2))
        i.server.start()
        assert reply.result(WAIT_S)["action"].item() == 4
        i.bell.wait_until_asleep()
        assert client(one(3))["action"].item() == 6
    assert [thread == threading.get_ident() for thread in seen] == [True, False, True]


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("preallocate", [False, True])
def test_nobody_is_lost_in_a_crowd(
    preallocate, inline, together, tiny_switch_interval, no_looks
):
    """Calls, late readers and impatient ones mixed: each of 64 actors gets all its replies."""
    transport = SlotTransport(64, preallocate=preallocate, inline=inline)
    clients = [transport.client() for _ in range(64)]

    def actor(index):
        dice = random.Random(index)
        client = clients[index]
        for n in range(25):
            value = 100 * index + n
            way = dice.randrange(3)
            if way == 0:
                reply = client(one(value))
            else:
                pending = client.submit(one(value))
                reply = pending.result() if way == 1 else None
                while reply is None:
                    try:
                        reply = pending.result(dice.choice((0, 1e-5, 1e-3)))
                    except TimeoutError:
                        continue
            assert reply["action"].item() == 2 * value
            assert reply["obs"].item() == value

    with InferenceServer(double, transport, max_batch_size=32, timeout=600.0):
        together(64, actor)
    assert not transport._is_waking
    assert bytes(transport._states) == bytes(64)
