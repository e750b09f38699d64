"""What only ThreadingTransport promises."""

from __future__ import annotations

from concurrent.futures import CancelledError, as_completed

import pytest
import torch
from tensordict import TensorDict

from transports import InferenceServer, ThreadingTransport

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
