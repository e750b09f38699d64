"""The floor: what the same threads and the same service time cost with no transport.

A request is a byte set in a shared bytearray; a reply is one raw lock released. No
payload, no TensorDict, no check of what comes back: a yardstick of which every contender
is read as a share. Not a proof of a limit: the server wakes all actors of a batch in a row,
and waking them in a chain (`transports.SlotTransport`) takes fewer context switches, so
that with many actors a transport that carries a payload may come near it or pass it.
A trial driver rather than a transport: it has no payload that a policy could serve, and
is nobody's baseline.

The batching rule is the reference server's on a transport without the batched fast path:
the timeout counts from the moment the oldest request of the batch was taken.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from slotbench.records import Batching


class FloorSystem:
    """Actors, a server thread, and as little as possible between them.

    Args:
        num_slots: number of actors.
        batching: the server's rule.
        serve: spends the service time of a batch of n; called by the server's thread.
        idle_wait_s: how long the server sleeps before it looks whether it shall stop.

    Threads: ``client()``, ``start`` and ``shutdown`` by the main thread; each client by
    its actor alone.
    Assumes: storing to and finding in a bytearray, and ``list.append`` and ``list.pop``,
    each happen as a whole: under the GIL, or, without one, under the object's own lock (CPython's
    "Thread Safety Guarantees", from 3.14 on). Whether the server sleeps is read without a lock. That
    is enough: actor and server each write one thing and look at the other's, and of the two the flags are
    both written and searched under their lock; if the server searched before an actor's flag was
    there, that actor sees the token that was there before. A look that comes too late all the same costs
    ``idle_wait_s``.
    Without a GIL all actors contend for the flags' one lock, which transports of other designs need not
    have: they pass the floor more easily there.
    """

    def __init__(
        self,
        num_slots: int,
        batching: Batching,
        serve: Callable[[int], None],
        *,
        idle_wait_s: float = 0.05,
    ) -> None:
        self._batching = batching
        self._serve = serve
        self._idle_wait_s = idle_wait_s
        self._ready = bytearray(num_slots)
        self._gates = [threading.Lock() for _ in range(num_slots)]
        for gate in self._gates:
            gate.acquire()
        self._bell = threading.Lock()
        self._bell.acquire()
        self._sleeping: list[bool] = []
        self._num_clients = 0
        self._sweep_start = 0
        self._is_running = True
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    def collate(self, items: list[Any]) -> list[Any]:
        """Return the requests: there is nothing to collate."""
        return items

    def client(self) -> Callable[[Any], None]:
        """Return the next actor's call; its argument is ignored."""
        slot = self._num_clients
        self._num_clients += 1
        ready, sleeping, wait = self._ready, self._sleeping, self._gates[slot].acquire
        ring = self._ring

        def call(request: Any) -> None:  # noqa: ARG001  # same call as a transport's client
            ready[slot] = 1
            if sleeping:
                ring()
            wait()

        return call

    def halves(self) -> tuple[Callable[[], None], Callable[[], object]]:
        """Return the next actor's call in its two halves: ask, and wait for the reply."""
        slot = self._num_clients
        self._num_clients += 1
        ready, sleeping, ring = self._ready, self._sleeping, self._ring

        def ask() -> None:
            ready[slot] = 1
            if sleeping:
                ring()

        return ask, self._gates[slot].acquire

    def start(self) -> None:
        """Start the server's thread."""
        self._thread.start()

    def shutdown(self, timeout_s: float) -> bool:
        """Stop the server; return whether its thread ended in time."""
        self._is_running = False
        self._ring()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _ring(self) -> None:
        """Wake the server if it sleeps. Any thread."""
        try:
            # Only one of several threads gets the token, so the bell is rung once.
            self._sleeping.pop()
        except IndexError:
            return
        self._bell.release()

    def _run(self) -> None:
        while self._is_running:
            self._wait_for_work(self._idle_wait_s)
            slots = self._take(self._batching.max_batch_size)
            if not slots:
                continue
            self._accumulate(slots)
            self._serve(len(slots))
            self._reply(slots)

    def _reply(self, slots: list[int]) -> None:
        for slot in slots:
            self._gates[slot].release()

    def _accumulate(self, slots: list[int]) -> None:
        if len(slots) >= self._batching.min_batch_size:
            return
        deadline = time.monotonic() + self._batching.timeout_ms / 1e3
        while len(slots) < self._batching.min_batch_size:
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                return
            self._wait_for_work(remaining_s)
            slots += self._take(self._batching.max_batch_size - len(slots))

    def _wait_for_work(self, timeout_s: float) -> None:
        if self._ready.find(1) >= 0:
            return
        self._sleeping.append(True)
        # An actor that set its flag before the token was there has not rung: look again.
        if self._ready.find(1) < 0 and self._bell.acquire(timeout=timeout_s):
            return
        try:
            self._sleeping.pop()
        except IndexError:
            # Somebody took the token, so a ring is under way: it must not be left over.
            self._bell.acquire()

    def _take(self, max_items: int) -> list[int]:
        """Sweep once around from where the last sweep ended."""
        ready, start = self._ready, self._sweep_start
        slots: list[int] = []
        for low, high in ((start, len(ready)), (0, start)):
            slot = low
            while len(slots) < max_items:
                slot = ready.find(1, slot, high)
                if slot < 0:
                    break
                ready[slot] = 0
                slots.append(slot)
                slot += 1
        if slots:
            self._sweep_start = (slots[-1] + 1) % len(ready)
        return slots
