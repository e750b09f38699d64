"""The floor serves everybody, once each, in batches of the asked size."""

import sys
import threading
from collections import Counter

import pytest

from slotbench.measure.floor import FloorSystem
from slotbench.records import Batching


def drive(system: FloorSystem, num_actors: int, num_requests: int) -> None:
    """Let every actor ask so often; fail if one of them waits for ever."""
    clients = [system.client() for _ in range(num_actors)]

    def loop(index: int) -> None:
        for _ in range(num_requests):
            clients[index](None)

    threads = [
        threading.Thread(target=loop, args=(i,), daemon=True) for i in range(num_actors)
    ]
    system.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "an actor was never woken"
    assert system.shutdown(10)


@pytest.mark.parametrize("num_actors", [1, 2, 7, 33])
def test_every_request_is_served_once(num_actors: int) -> None:
    """Rows served are requests made: no wake-up is lost under constant thread switches."""
    sizes: list[int] = []
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        # A lost wake-up would have to wait for a timeout that nobody lives to see.
        system = FloorSystem(
            num_actors, Batching(timeout_ms=1e6), sizes.append, idle_wait_s=1e3
        )
        drive(system, num_actors, 300)
    finally:
        sys.setswitchinterval(before)

    assert sum(sizes) == num_actors * 300


def test_no_batch_is_larger_than_the_maximum() -> None:
    """With more actors than room, batches stay within it and nobody is left out."""
    sizes: list[int] = []
    drive(FloorSystem(8, Batching(max_batch_size=3, timeout_ms=1e6), sizes.append), 8, 100)

    assert max(sizes) <= 3
    assert sum(sizes) == 800


def test_a_batch_waits_for_its_minimum() -> None:
    """Where everybody is needed for a batch, every batch has everybody."""
    sizes: list[int] = []
    batching = Batching(min_batch_size=4, max_batch_size=4, timeout_ms=1e6)
    drive(FloorSystem(4, batching, sizes.append), 4, 100)

    assert sizes == [4] * 100


def test_the_timeout_serves_a_batch_that_cannot_fill() -> None:
    """Fewer actors than the minimum are served after the timeout, not never."""
    sizes: list[int] = []
    system = FloorSystem(
        2, Batching(min_batch_size=4, max_batch_size=4, timeout_ms=1.0), sizes.append
    )
    drive(system, 2, 5)

    assert sum(sizes) == 10


def test_the_sweep_goes_round() -> None:
    """With everybody ready and room for two, all are served before any is served twice."""
    system = FloorSystem(6, Batching(max_batch_size=2), lambda size: None)
    system._ready[:] = bytes([1] * 6)
    served: Counter[int] = Counter()
    for _ in range(9):
        slots = system._take(2)
        served.update(slots)
        for slot in slots:
            system._ready[slot] = 1

    assert set(served.values()) == {3}


def test_a_request_between_the_look_and_the_sleep_is_seen() -> None:
    """The server looks again after it has put down the token: nobody would ring any more."""
    system = FloorSystem(1, Batching(), lambda size: None)
    tokens = system._sleeping

    class Racing(list[bool]):
        def append(self, token: bool) -> None:
            system._ready[0] = (
                1  # an actor that looked for the token just before it was there
            )
            super().append(token)

    system._sleeping = Racing(tokens)
    system._wait_for_work(1e3)

    assert system._take(1) == [0]


def test_a_ring_under_way_is_not_left_over() -> None:
    """A token taken by an actor whose request was seen anyway: its ring is consumed."""
    system = FloorSystem(1, Batching(), lambda size: None)

    class Taken(list[bool]):
        def append(self, token: bool) -> None:
            system._ready[0] = 1
            system._bell.release()  # an actor took the token at once and rang

    system._sleeping = Taken()
    system._wait_for_work(1e3)

    assert not system._bell.acquire(blocking=False)
