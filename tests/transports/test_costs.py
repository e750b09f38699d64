"""The counts that docstrings state."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest
import torch
from tensordict import TensorDict

import transports._buffers
import transports._requests
import transports.slot
from transports import InferenceServer, SlotTransport


@pytest.mark.parametrize("preallocate", [False, True])
def test_a_slots_request_takes_its_own_gate_only_and_no_future(preallocate, monkeypatch):
    """In the actor's thread, once the schema exists: one acquire a request, of its own lock."""
    acquired: list[tuple[int, int]] = []
    futures: list[object] = []

    class CountingLock:
        """A raw lock that notes by whom it is acquired."""

        def __init__(self):
            self.lock = threading.Lock()
            self.release, self.locked = self.lock.release, self.lock.locked

        def acquire(self, blocking=True, timeout=-1):
            acquired.append((threading.get_ident(), id(self)))
            return self.lock.acquire(blocking, timeout)

        def __enter__(self):
            return self.acquire()

        def __exit__(self, *exc_info):
            self.release()

    for module in (transports.slot, transports._requests, transports._buffers):
        monkeypatch.setattr(module, "Lock", CountingLock)
    init = concurrent.futures.Future.__init__
    monkeypatch.setattr(
        concurrent.futures.Future,
        "__init__",
        lambda self: (futures.append(self), init(self))[1],
    )
    transport = SlotTransport(2, preallocate=preallocate)
    client = transport.client()
    td = TensorDict({"obs": torch.ones(2)})
    with InferenceServer(lambda td: td.set("action", td["obs"] * 2), transport):
        client(td)
        acquired.clear()
        for _ in range(100):
            client(td)
        mine = [lock for thread, lock in acquired if thread == threading.get_ident()]
    assert mine == [id(transport._gates[0])] * 100
    assert futures == []
