"""A slot per actor, each written by one actor; one raw lock per slot carries the reply.

Prior art: TorchRL's SlotTransport (slots, circular sweep, one request in flight). What differs:
the reply gate and the doorbell are raw locks used as binary semaphores, actors ring only a
server that sleeps, and whole batches are gathered without a TensorDict per request.

Invariants:

1. A slot is *free*, *ready*, *claimed* or *answered*, in this order, round and round. Its actor
   moves it free → ready and answered → free, the server ready → claimed → answered.
2. `_ready[i]` is 1 exactly while slot i is ready; it is written last on publishing.
3. `_gates[i]` is unlocked exactly while slot i is answered; it is released last on answering.
4. `_tokens` holds one token while the server sleeps, or is about to, and no actor has taken it.

Assumes:
    The GIL: each list.append, list.pop, bytearray.find and item assignment is atomic, and other
    threads see a thread's effects in the order of its program.
"""

from __future__ import annotations

import contextlib
import itertools
from threading import TIMEOUT_MAX, Lock
from typing import Final, NoReturn

import torch
from tensordict.base import TensorDictBase

from transports._batches import compose
from transports._batching import BatchingTransport, Outcome
from transports._buffers import RowBuffer
from transports._checks import check_count
from transports._errors import InFlightError, NoSlotLeftError
from transports._requests import Request

_READY: Final = 1


def create(
    num_slots: int, *, preallocate: bool = False, spec: TensorDictBase | None = None
) -> SlotTransport:
    """Build the transport; the factory that discovery calls."""
    return SlotTransport(num_slots, preallocate=preallocate, spec=spec)


class SlotReply:
    """The reply to a slot's request; its actor's thread only."""

    __slots__ = ("_client", "_outcome", "_reply", "_request")

    def __init__(self, client: SlotClient, request: Request) -> None:
        self._client = client
        self._request = request
        self._outcome: Outcome | None = None
        self._reply: TensorDictBase | None = None

    def done(self) -> bool:
        """Tell whether `result` would return, or raise the model's error, at once."""
        return self._outcome is not None or self._client._has_answer()

    def result(self, timeout: float | None = None) -> TensorDictBase:
        """Return the reply; reading it frees the client for its next request.

        Blocks:
            Until answered, or `timeout` seconds; None waits without end.

        Raises:
            TimeoutError: no answer within `timeout`; the request stays in flight.
            BaseException: what the model raised, as it is, TimeoutError included.
        """
        outcome = self._outcome
        if outcome is None:
            outcome = self._outcome = self._client._receive(timeout)
        if isinstance(outcome, BaseException):
            raise outcome
        if self._reply is None:
            self._reply = compose(self._request, outcome)
        return self._reply


class SlotClient:
    """An actor's handle on its slot: one thread at a time, one request in flight.

    A reply must be read (`result`) before the next submit, even if it is not wanted.
    """

    __slots__ = ("_pending", "_slot", "_transport")

    def __init__(self, transport: SlotTransport, slot: int) -> None:
        self._transport = transport
        self._slot = slot
        self._pending = False

    def __call__(self, td: TensorDictBase) -> TensorDictBase:
        """Submit `td`, wait without end, and return the reply."""
        return self.submit(td).result()

    def submit(self, td: TensorDictBase) -> SlotReply:
        """Put `td` into the slot, without waiting for the answer.

        Raises:
            RuntimeError: the last reply was not read yet.
            ValueError: `td` does not fit the schema; nothing is in flight then.
        """
        if self._pending:
            raise InFlightError(
                f"slot {self._slot} already has an in-flight request: read its reply with "
                "result() first, or use another client"
            )
        request = self._transport._schema.read(td)
        self._transport._store(self._slot, request)
        reply = SlotReply(self, request)
        self._pending = True
        self._transport._publish(self._slot)
        return reply

    def _has_answer(self) -> bool:
        return not self._transport._gates[self._slot].locked()

    def _receive(self, timeout: float | None) -> Outcome:
        outcome = self._transport._receive(self._slot, timeout)
        self._pending = False
        return outcome


class SlotTransport(BatchingTransport[int]):
    """In-process transport with a slot per actor; a callback is the slot's number.

    Args:
        num_slots: how many clients there can be; a client's slot is never given to another.
        preallocate: keep one buffer `[num_slots, ...]` per leaf, allocated at the first submit
            (or from `spec`). An actor copies its leaves into its row, and the server takes the
            batch out with one index_select per leaf; else it stacks the actors' tensors.
        spec: the leaves the model needs; None takes them from the first request.

    Threads:
        Each client: one thread at a time. `client` and `wake`: any. The rest: the server's.
    Ordering:
        A sweep over the slots in circular order, beginning after the last slot served; among
        ready slots no other promise.
    Cost:
        Once the schema exists a request acquires one lock, its slot's own, and allocates no
        `concurrent.futures.Future`; tests/transports/test_costs.py counts both.

    Raises:
        ValueError: `num_slots` is no int of at least 1, or `spec` does not do.
        TypeError: `preallocate` is no bool.
    """

    def __init__(
        self,
        num_slots: int,
        *,
        preallocate: bool = False,
        spec: TensorDictBase | None = None,
    ) -> None:
        self._num_slots = check_count("num_slots", num_slots)
        if not isinstance(preallocate, bool):
            raise TypeError(f"preallocate must be a bool, got {preallocate!r}")
        super().__init__(spec)
        self._next_slot = itertools.count()
        self._requests: list[Request | None] = [None] * num_slots
        self._outcomes: list[Outcome | None] = [None] * num_slots
        self._ready = bytearray(num_slots)
        self._claimed = bytearray(num_slots)  # the server's alone
        self._sweep_start = 0  # the server's alone
        self._gates = [Lock() for _ in range(num_slots)]
        for gate in self._gates:
            gate.acquire()
        self._doorbell = Lock()
        self._doorbell.acquire()
        self._tokens: list[None] = []
        self._buffer = RowBuffer(self._schema, num_slots) if preallocate else None

    def client(self) -> SlotClient:
        """Return the client of the next free slot.

        Raises:
            RuntimeError: all slots are taken.
        """
        slot = next(self._next_slot)
        if slot >= self._num_slots:
            raise NoSlotLeftError(
                f"all {self._num_slots} slots are taken: make the transport with more slots, "
                "one per actor"
            )
        return SlotClient(self, slot)

    def submit(self, td: TensorDictBase) -> NoReturn:
        """Not supported: a request needs a slot, so it goes through `client()`."""
        raise NotImplementedError("SlotTransport has no submit(): use client().submit(td)")

    def wait_for_work(self, timeout: float) -> None:
        """Return when a slot is ready, when woken, or after `timeout` seconds.

        Blocks:
            At most `timeout` seconds.
        """
        if self._ready.find(_READY) >= 0:
            return
        # Announce, then look again. An actor publishes, then looks for the token. Whatever the
        # interleaving one of the two sees the other: if we find nothing ready here, every
        # later publisher finds the token, or finds that another actor took it and will ring.
        self._tokens.append(None)
        if self._ready.find(_READY) < 0 and self._doorbell.acquire(
            timeout=max(0.0, min(timeout, TIMEOUT_MAX))
        ):
            self._tokens.clear()  # rung by the actor who took the token, or by wake()
            return
        # Published in between, or timed out. Take the token back. If an actor was faster its
        # ring is under way: take it if it is here already. One that comes later makes the next
        # wait return early, which costs a look at the flags; waiting for it could hang if its
        # actor was interrupted (Ctrl-C) between taking the token and ringing.
        if self._tokens:
            self._tokens.clear()
        else:
            self._doorbell.acquire(blocking=False)

    def wake(self) -> None:
        """Make the wait under way, or else the next one, return early."""
        self._ring()

    def claim(self, max_items: int) -> list[int]:
        """Take up to `max_items` ready slots, in circular order after the last one served."""
        slots: list[int] = []
        start, ready = self._sweep_start, self._ready
        for first, end in ((start, self._num_slots), (0, start)):
            slot = first - 1
            while len(slots) < max_items:
                slot = ready.find(_READY, slot + 1, end)
                if slot < 0:
                    break
                # Its actor cannot set the flag again before we answer.
                ready[slot] = 0
                self._claimed[slot] = 1
                slots.append(slot)
        if slots:
            self._sweep_start = (slots[-1] + 1) % self._num_slots
        return slots

    def _store(self, slot: int, request: Request) -> None:
        # The actor's; the slot is free, so the server does not look at it.
        if self._buffer is not None:
            self._buffer.write(slot, request.leaves)
        self._requests[slot] = request

    def _publish(self, slot: int) -> None:
        self._ready[slot] = _READY  # from here on the slot is the server's
        # Only now look for a sleeper (see wait_for_work). Of all actors that see the token
        # one takes it and rings; the others leave it to that one.
        if self._tokens:
            try:
                self._tokens.pop()
            except IndexError:
                return
            self._ring()

    def _ring(self) -> None:
        # Rung already and not heard yet: the server will wake, once is enough.
        with contextlib.suppress(RuntimeError):
            self._doorbell.release()

    def _receive(self, slot: int, timeout: float | None) -> Outcome:
        wait_s = -1.0 if timeout is None else max(0.0, min(timeout, TIMEOUT_MAX))
        if not self._gates[slot].acquire(timeout=wait_s):
            raise TimeoutError(f"no reply for slot {slot} within {timeout} s")
        # The gate is shut again and the slot free: ours until the next publish.
        outcome = self._outcomes[slot]
        assert outcome is not None, "the gate opens after the outcome is written"
        self._outcomes[slot] = None
        return outcome

    def _request(self, callback: int) -> Request:
        request = self._requests[callback]
        assert request is not None, f"slot {callback} holds no request"
        return request

    def _answer(self, callback: int, outcome: Outcome) -> None:
        if not self._claimed[callback]:
            return  # answered before; the slot may carry its actor's next request by now
        self._claimed[callback] = 0
        self._requests[callback] = None
        self._outcomes[callback] = outcome
        self._gates[callback].release()  # last: from here on the slot is the actor's

    def _columns(self, callbacks: list[int]) -> tuple[torch.Tensor, ...]:
        # Copies either way: a row of the buffer is overwritten at its actor's next submit.
        if self._buffer is None:
            return super()._columns(callbacks)
        return self._buffer.columns(callbacks)
