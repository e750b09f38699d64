"""A slot per actor, each written by one actor; one raw lock per slot carries the reply.

Prior art: TorchRL's SlotTransport (slots, circular sweep, one request in flight). What differs:

*Raw locks as gates.* A reply costs one release by whoever wakes the actor and one acquire by the
actor, where threading.Event takes 16 lock operations and allocates a lock.

*Actors wake each other.* Under the GIL a server that wakes n actors in a row makes n threads
fight for the one lock it still holds: each wakes, finds the GIL taken, sleeps, wakes again.
Here the server wakes one actor, which first wakes the next, and so on: a **chain**. At any moment
one thread runs and one is being woken.

*Server and actors take turns.* A server that starts on the first request it sees runs its
torch calls, each of which drops the GIL, against actors that come right back, and settles into
two alternating half batches. Here it sleeps until the chain has ended, and nobody rings it
before, if the last such wait showed that most actors do come right back; it tries again now and
then. With a full batch ready it waits only if the last chain took longer than the last model
call: where the model takes longer, waiting would cost more of its time than contention does.

docs/transport-log.md has what each of these was measured to be worth. tests/protocol/slot.pml is a
model of who wakes whom, which is searched exhaustively for lost wake-ups.

Invariants:

1. A slot is *free*, *ready* or *claimed*, in this order, round and round. Its actor moves it
   free → ready, the server ready → claimed → free. Who does not own the state leaves the slot's
   request and reply alone; the byte of the state is written last. One exception: what a dead
   server left, or none has come for, is taken back (→ free, with an error as the reply) by its
   actor, or by who looks for a slot, under the lock that the next server must take first.
2. *The state tells* whether a request was answered. The gate only tells that it is worth a look:
   it is released once an answer, by the chain, by `resolve` or by `resolve_exception` (never for
   a request that was taken back), and an actor that was interrupted, or looked by itself, leaves
   it open for its next request to find.
   A release that got lost (an interrupt between the pop and the release) costs `LOOK_S`.
3. `_tokens` holds a token while the server sleeps, or is about to, and nobody has undertaken
   to ring it. A ring that got lost (an interrupt between the pop and the ring) costs `LOOK_S`:
   actors that wait look, and ring, too.
4. While `_to_wake` holds slots, `_is_waking` is true, and some thread that is running, or was
   released and will run, is to take the next one. (If it dies first, every actor that looks
   goes on with the chain, and so does the server, see `wait_for_batch`.)
5. A slot belongs to one client, or is among `_given_back`, or nobody has had it yet. One that was
   given back with a request in flight is `_abandoned`: served for nobody, and given out again
   when it is found free. Until its next owner's first reply the chain may still wake it.

The memory model:
    What must be atomic: reading and writing one item of a list or a bytearray; append and pop at
    the end, copy, and clear of a list; setdefault of a dict (the one call that a client lets
    in); `in`, count and translate of a bytearray; attributes; the next number of
    itertools.count. Assignment to a list's front must not disturb a pop at its end.
    CPython's documentation ("Thread Safety Guarantees") says of these operations of lists and
    bytearrays, for the free-threaded build from 3.14 on, that they are safe and, but for
    reading an item or the length of a list, hold the object's own lock. Locks are locks.
    tests/transports/test_platform.py tries them all.
    What must be ordered: (a) what was written before a slot's state is seen by who reads that
    state: both hold the bytearray's lock. (b) Where two threads each write one thing and look
    at the other's (publish and token; the chain's list and its flag), at least one
    sees the other, because one of the two things is written and read under its own lock: what
    came before the earlier of them is seen after the later.
    Neither needs the GIL. All else that threads read of each other (`_min_items`, `_takes_turns`,
    `_was_woken`, times) may be late: that costs a timeout of the server's or a look, never a
    reply.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from threading import TIMEOUT_MAX, Lock, RLock, Thread, current_thread
from typing import Final, NoReturn

import torch
from tensordict.base import TensorDictBase

from transports._batches import Outcome, compose
from transports._batching import BatchingTransport
from transports._buffers import BatchBuffer, PinnedMemory, check_pinnable
from transports._checks import check_count, check_flag
from transports._errors import (
    InterruptedBatchError,
    NoSlotLeftError,
    ServerStoppedError,
    forget_frames,
)
from transports._requests import Request
from transports._serving import LOOK_S
from transports._slot_client import SlotClient

_FREE: Final = 0
_READY: Final = 1
_CLAIMED: Final = 2
_IS_READY: Final = bytes(state == _READY for state in range(256))
_BETWEEN_TRIES: Final = 16
_LENT_LOOK_S: Final = 0.2


def create(
    num_slots: int,
    *,
    preallocate: bool = False,
    inline: bool = False,
    pin_memory: bool = False,
    spec: TensorDictBase | None = None,
) -> SlotTransport:
    """Build the transport; the factory that discovery calls."""
    return SlotTransport(
        num_slots, preallocate=preallocate, inline=inline, pin_memory=pin_memory, spec=spec
    )


class SlotTransport(BatchingTransport[int]):
    """In-process transport with a slot per actor; a callback is the slot's number.

    Args:
        num_slots: how many clients there can be at a time. A slot is another client's after its
            own gave it back and what was in flight is answered.
        preallocate: build every batch in one buffer `[num_slots, ...]` per leaf, allocated with
            the first batch, instead of in fresh memory. The batch is a view of its first rows, so
            what the model keeps of it is overwritten by the next batch; replies never are.
            Pays from some tens of KB a row on, where fresh memory means page faults.
        inline: let an actor whose request is the one the server sleeps for run the model itself,
            in its own thread, instead of waking the server and sleeping: one actor at a time,
            never beside the server. Doubles the throughput of one actor, does little for
            many. `submit` then blocks for that batch, and no timeout of `result` bounds it. Needs a
            server that lends its step (`transports.InferenceServer` does; with any other it
            does nothing) and a model that any thread may call: not one that keeps thread-local
            state or was compiled with CUDA graphs, and no actors that set autocast or a default
            device around their calls.
        pin_memory: build every batch in page-locked memory, for a model on a GPU: `batch.to("cuda",
            non_blocking=True)` then copies while the host goes on. A batch may still be being copied
            when its model has returned; the next is built elsewhere. That is why it does
            not go with `preallocate`, whose one buffer would be written to under the copy; nor is there
            need to: torch gives the same memory out again, without page faults.
        spec: the leaves the model needs; None takes them from the first request.

    Threads:
        Each client: one thread at a time; another is refused. `client` and `wake`: any. The rest: the server's,
        or that of the actor that has its turn.
        A server that dies is noticed: nobody waits for it longer than a second.
    Ordering:
        Batches take ready slots in circular order, beginning after the last slot served, and
        their actors are woken in that order, each by the one before it. Any ready slot is
        served within ⌈num_slots / max_items⌉ + 1 batches.
    Cost:
        Once the schema exists: a request's gate is acquired once, by its actor, and released
        once, by whoever wakes it; no other lock (`inline`: the turn's), no Future, Event,
        Condition or Lock is made; no torch operation runs in the actor's thread (the server
        makes the replies), so that it drops the GIL only to wait, when it frees a tensor and,
        `inline`, to run the batch. A batch, whatever its size, rings the doorbell at most once (without
        a GIL each sleep of the server, of which a batch may take two) and costs a `torch.stack` per leaf (`preallocate`: and a `detach`), a `clone` and an
        `unbind` per output.
        tests/transports/test_costs.py counts these.

    Raises:
        ValueError: `num_slots` is no int of at least 1, or `spec` does not do; `pin_memory` with
            `preallocate`, or without a GPU.
        TypeError: `preallocate`, `inline` or `pin_memory` is no bool.
    """

    def __init__(
        self,
        num_slots: int,
        *,
        preallocate: bool = False,
        inline: bool = False,
        pin_memory: bool = False,
        spec: TensorDictBase | None = None,
    ) -> None:
        self._num_slots = check_count("num_slots", num_slots)
        check_flag("preallocate", preallocate)
        check_flag("inline", inline)
        if check_flag("pin_memory", pin_memory):
            if preallocate:
                raise ValueError(
                    "preallocate does not go with pin_memory: its buffer would be written to while it "
                    "is still being copied from; use pin_memory alone, which needs no fresh memory either"
                )
            check_pinnable()
        super().__init__(spec)
        self._buffer: BatchBuffer | PinnedMemory | None = None
        if preallocate:
            self._buffer = BatchBuffer(num_slots)
        elif pin_memory:
            self._buffer = PinnedMemory()
        # Whose slots are whose.
        self._next_slot = itertools.count()
        self._given_back: list[int] = []
        self._abandoned: list[int] = []
        # Per slot. Written by its actor while it is free, else by the server.
        self._states = bytearray(num_slots)
        self._requests: list[Request | None] = [None] * num_slots
        self._published_at = [0.0] * num_slots
        self._replies: list[TensorDictBase | BaseException | None] = [None] * num_slots
        self._gates = [_shut_lock() for _ in range(num_slots)]
        self._is_parked = bytearray(num_slots)  # its actor's: it waits at the gate
        self._claimed_by: list[Thread | None] = [None] * num_slots  # the server's
        # The chain. Any thread's.
        self._to_wake: list[int] = []  # the next one last
        self._is_waking = False
        # The server's sleep. `_tokens` is any thread's, the rest is read by all and written by
        # the server.
        self._tokens: list[None] = []
        self._doorbell = _shut_lock()
        self._min_items = 1
        self._min_items_in_chain = num_slots  # that are due although a chain is under way
        self._takes_turns = True
        self._was_woken = False
        # The server's alone.
        self._sweep_start = 0
        self._last_answered: list[int] = []
        self._num_batches_since_try = 0
        self._given_at = self._model_s = 0.0
        # Of the last chain; the end is written by the actor that ended it.
        self._chain_began_at = self._chain_ended_at = 0.0
        # The server's turn, where actors may take it.
        self._inline = inline
        self._turn = RLock()  # knows its owner; nobody takes it twice
        self._step: Callable[[], None] | None = None

    def client(self) -> SlotClient:
        """Return the client of a slot: one that was given back, else the next unused.

        Raises:
            RuntimeError: all slots are in use.
        """
        return SlotClient(self, self._take_slot())

    def submit(self, td: TensorDictBase) -> NoReturn:
        """Not supported: a request needs a slot, so it goes through `client()`."""
        raise NotImplementedError("SlotTransport has no submit(): use client().submit(td)")

    # ---- whose slot

    def _take_slot(self) -> int:
        with contextlib.suppress(IndexError):
            return self._given_back.pop()
        slot = next(self._next_slot)
        if slot < self._num_slots:
            return slot
        with self._service.lock:  # two threads must not find the same
            for slot in self._abandoned.copy():
                self._withdraw(slot, may_wait=False)  # what a dead server left
                if self._states[slot] == _FREE:
                    self._abandoned.remove(slot)
                    self._replies[slot] = None  # for nobody
                    return slot
        raise NoSlotLeftError(
            f"all {self._num_slots} slots are in use: make the transport with more slots, "
            "one per actor, or close clients"
        )

    def _give_back(self, slot: int) -> None:
        if self._states[slot] == _FREE:
            self._replies[slot] = None
            self._given_back.append(slot)
        else:
            self._abandoned.append(slot)

    # ---- the actor's side

    def _is_free(self, slot: int) -> bool:
        return self._states[slot] == _FREE

    def _is_orphaned(self, slot: int) -> bool:
        return self._states[slot] != _FREE and self._service.is_dead

    def _publish(self, slot: int, request: Request) -> None:
        self._requests[slot] = request
        if self._min_items > 1:
            self._published_at[slot] = time.monotonic()
        self._states[slot] = _READY  # from here on the slot is the server's
        # Only now look for a sleeper, who announced itself before it looked at the states:
        # whatever the interleaving, one of the two sees the other.
        if self._tokens and self._is_due():
            if self._step is None:
                self._ring_once()
            else:
                self._take_turn_or_ring()

    def _receive(self, slot: int, timeout: float | None) -> TensorDictBase | BaseException:
        gate, states, is_parked = self._gates[slot], self._states, self._is_parked
        until, wait_s = 0.0, LOOK_S
        if timeout is not None:
            until = time.monotonic() + timeout
            wait_s = max(0.0, min(timeout, LOOK_S))
        while True:
            is_parked[slot] = 1
            try:
                is_open = gate.acquire(timeout=wait_s)
            finally:
                # Whoever released our gate before this line saw us parked, and left the chain to
                # us; after it, goes on itself. Either way, and also if we were not released but
                # interrupted or timed out, waking one more is right: a second runner of the chain
                # does no harm, none at all would leave the others asleep.
                is_parked[slot] = 0
                if self._is_waking:
                    self._pass_on()
            if states[slot] == _FREE:
                break
            if not is_open:  # else that release was of an answer that was read without it
                with self._service.lock:
                    error = self._withdraw(slot, may_wait=timeout is not None)
                if error is not None:
                    return error
                if states[slot] == _FREE:
                    break
                # The server lives. Whoever should have rung it may have been interrupted.
                if self._is_due():
                    self._ring()
            if timeout is not None:
                wait_s = min(until - time.monotonic(), LOOK_S)
                if wait_s <= 0.0:
                    raise TimeoutError(f"no reply for slot {slot} within {timeout} s")
        # The slot is free: ours until the next publish. The reply stays until the client has it
        # safe, so that an interrupt in between does not lose it.
        reply = self._replies[slot]
        assert reply is not None, "the state is free after the reply is written"
        return reply

    def _settle(
        self, slot: int, timeout: float | None
    ) -> TensorDictBase | BaseException | None:
        """Wait as `_receive` does; None if the actor was interrupted before it published."""
        return (
            self._replies[slot]
            if self._states[slot] == _FREE
            else self._receive(slot, timeout)
        )

    def _withdraw(self, slot: int, *, may_wait: bool) -> ServerStoppedError | None:
        """Take a request back that nobody will answer, and return why; None if somebody may.

        Under the service's lock, so that no new server comes meanwhile.
        """
        state = self._states[slot]
        if state == _FREE:
            return None
        claimed_by = self._claimed_by[slot] if state == _CLAIMED else None
        error = self._service.why_unserved(claimed_by, may_wait=may_wait)
        if error is not None:
            if self._states[slot] == _FREE:  # answered, after we looked and before it ended
                return None
            self._requests[slot] = None
            self._replies[slot] = error
            self._states[slot] = _FREE
        return error

    # ---- the chain: the server begins it, the woken actors continue it

    def _wake_all(self, slots: list[int]) -> None:
        # In front of what an earlier chain, which a full batch did not wait for, has left:
        # lists are popped at their end.
        self._to_wake[:0] = slots[::-1]
        # After the line above. A runner that ends the old chain clears the flag and then looks
        # at the list again, so either we see the flag down or it sees our slots.
        if not self._is_waking:
            self._is_waking = True
            self._chain_began_at = time.monotonic()
            self._pass_on()

    def _pass_on(self) -> None:
        """Wake the next actor, which will go on; or, at the end of the chain, the server."""
        to_wake, gates, is_parked = self._to_wake, self._gates, self._is_parked
        while True:
            try:
                slot = to_wake.pop()
            except IndexError:
                self._is_waking = False
                # Added just now by a server that saw the flag still up? copy() looks under the
                # list's lock, as its truth value need not.
                if to_wake.copy():
                    self._is_waking = True
                    continue
                self._chain_ended_at = time.monotonic()
                # What was published meanwhile rang nobody.
                if self._tokens and self._is_due():
                    self._ring_once()
                return
            try:
                gates[slot].release()
            except RuntimeError:
                continue  # open: its actor did not need the last release, and looks anyway
            if is_parked[slot]:
                return
            # It is not waiting (it will read its reply later, or gave up): nobody there to
            # go on.

    # ---- the server's sleep

    def _is_due(self) -> bool:
        """Tell whether the server, if it sleeps, should wake."""
        if self._is_waking and self._takes_turns:
            min_items = self._min_items_in_chain
        else:
            min_items = self._min_items
        if min_items > 1:
            return self._states.count(_READY) >= min(min_items, self._num_slots)
        return _READY in self._states

    def wait_for_work(self, timeout: float) -> None:
        """Return when a slot is ready, when woken, or after `timeout` seconds.

        Blocks:
            At most `timeout` seconds; longer only while a chain is under way and moves, which
            only `resolve_batch` begins.
        """
        self.wait_for_batch(1, timeout)

    def wait_for_batch(self, min_items: int, timeout: float) -> None:
        """Return when `min_items` slots are ready, or the first of them was for `timeout` s.

        With none ready it returns after `timeout` seconds; if actors run the batches (`inline`)
        and `min_items` is 1, after 0.2 if that is longer. Actors do not ring before that many are
        ready, nor, if they have been coming right back, while others are still being woken;
        after such a chain the time begins anew.

        Blocks:
            At most twice that, while a chain is under way and moves, and while an actor runs
            a batch.
        """
        self._service.note()
        if min_items != self._min_items:
            # What is ready by now was not stamped, if the old number was one.
            self._published_at = [time.monotonic()] * self._num_slots
            self._min_items = min_items
        if self._is_due():
            return
        timeout = max(0.0, min(timeout, TIMEOUT_MAX / 2))
        if self._step is not None and min_items == 1:
            # Every look of ours stops an actor in its step: at the usual 10 ms a tenth of one
            # actor's throughput. Only who was left behind by a broken chain, or by an actor that
            # was interrupted as it was about to ring, waits for it.
            timeout = max(timeout, _LENT_LOOK_S)
        idle_until = time.monotonic() + timeout
        num_to_wake = len(self._to_wake)
        while not self._was_woken and not self._is_due():
            left = self._due_in(timeout, idle_until)
            if left <= 0.0:
                if not self._is_waking:
                    break
                # The timeout is for requests to come, not for a chain under way: a long one
                # may take longer. One in which nothing moved all the while was broken by an
                # actor that died between being woken and waking the next: wake the rest.
                if len(self._to_wake) == num_to_wake:
                    if timeout > 0.0:
                        self._mend_chain()
                    break
                idle_until = time.monotonic() + timeout
                num_to_wake = len(self._to_wake)
                continue
            self._sleep(left)
        self._was_woken = False

    def _due_in(self, timeout: float, idle_until: float) -> float:
        now = time.monotonic()
        if self._min_items > 1 and not self._is_waking:
            ready = itertools.compress(
                self._published_at, self._states.translate(_IS_READY)
            )
            oldest = min(ready, default=None)
            if oldest is not None:
                return oldest + timeout - now
        return idle_until - now

    def _sleep(self, timeout: float) -> None:
        # Announce, then look again. An actor publishes, then looks for the token. If we find
        # nothing due here, every later publisher finds the token, or finds that another
        # actor took it and will ring.
        self._tokens.append(None)
        if not self._is_due() and not self._was_woken:
            if self._step is not None:
                self._turn.release()
            try:
                is_rung = self._doorbell.acquire(timeout=timeout)
            finally:
                if self._step is not None:
                    self._turn.acquire()  # waits for an actor that runs a batch
            if is_rung:
                self._tokens.clear()  # there is one if wake() rang
                return
        # Published in between, or timed out. Take the token back. If an actor was faster its
        # ring is under way: take it if it is here already. One that comes later makes the next
        # sleep end early, which costs a look at the states; waiting for it could hang if its
        # actor was interrupted (Ctrl-C) between taking the token and ringing.
        if self._tokens:
            self._tokens.clear()
        else:
            self._doorbell.acquire(blocking=False)

    def _mend_chain(self) -> None:
        while self._to_wake:
            self._pass_on()
        self._is_waking = False

    def _ring_once(self) -> None:
        # Of all that see the token one takes it and rings; the others leave it to that one.
        try:
            self._tokens.pop()
        except IndexError:
            return
        self._ring()

    def _ring(self) -> None:
        # Rung already and not heard yet: the server will wake, once is enough.
        with contextlib.suppress(RuntimeError):
            self._doorbell.release()

    def wake(self) -> None:
        """Make the wait under way, or else the next one, return early."""
        self._was_woken = True
        self._ring()

    # ---- the server's turn, lent to actors

    def lend(self, step: Callable[[], None] | None) -> None:
        """Let actors run `step`, a server's whole turn, while the server sleeps; None ends it.

        Does nothing unless the transport is `inline`.

        Threads:
            The server's, which has the turn from the first call to the last, except asleep.
        """
        if not self._inline:
            return
        if step is not None:
            self._turn.acquire()
            self._step = step
        elif self._step is not None:
            self._step = None
            self._turn.release()

    def _take_turn_or_ring(self) -> None:
        has_turn = None
        try:
            has_turn = self._turn.acquire(blocking=False)
            # The server sleeps, and cannot return from its sleep before we are done.
            if has_turn and self._step is not None:  # it may have stopped just before
                self._step()
        except BaseException as exc:
            # The step answers what it caught. Ctrl-C may come before it can: between two
            # slots of `claim`, say, and we, whose slots they are, live on.
            self._reject_claimed(exc)
            raise
        finally:
            # None: interrupted between the acquire and the line's end, or before. The lock knows.
            if has_turn is not False:
                try:  # noqa: SIM105 - an interrupt may come inside suppress()
                    self._turn.release()
                except RuntimeError:
                    pass
        # With the turn: what was published meanwhile found it taken and rang, unless it came
        # before there was a token to be seen. Either way the server sees to it.
        if not has_turn or (self._tokens and self._is_due()):
            self._ring_once()

    def _reject_claimed(self, exc: BaseException) -> None:
        # Without it as the cause, which would keep our frames.
        error = InterruptedBatchError(
            f"the actor that ran the batch was interrupted by {exc!r}"
        )
        for slot in range(self._num_slots):
            if (
                self._states[slot] == _CLAIMED
                and self._claimed_by[slot] is current_thread()
            ):
                self._answer(slot, error)

    # ---- the server's turn

    def claim(self, max_items: int) -> list[int]:
        """Take up to `max_items` ready slots, in circular order after the last one served."""
        # An actor that runs a batch has the server's turn and is not the server.
        server = self._service.note() if self._step is None else current_thread()
        slots = [
            *itertools.compress(range(self._num_slots), self._states.translate(_IS_READY))
        ]
        if slots:
            self._learn(slots, max_items)
        after = bisect.bisect_left(slots, self._sweep_start)
        slots = [*slots[after:], *slots[:after]][: max(0, max_items)]
        if slots:
            states, claimed_by = self._states, self._claimed_by
            for slot in slots:
                claimed_by[slot] = server
                states[slot] = _CLAIMED  # its actor cannot set it before we answer
            self._sweep_start = (slots[-1] + 1) % self._num_slots
        return slots

    def _learn(self, ready: list[int], max_items: int) -> None:
        """Decide whether the next batch waits for the chain: keep what paid, else try later."""
        last = self._last_answered
        if not self._takes_turns:
            self._num_batches_since_try += 1
            self._takes_turns = self._num_batches_since_try >= _BETWEEN_TRIES
        elif (
            last
            and not self._is_waking
            and 2 * len(frozenset(last).intersection(ready)) < len(last)
        ):
            # Most of those answered last are not back, though all are awake: they think.
            self._takes_turns = False
            self._num_batches_since_try = 0
        chain_s = self._chain_ended_at - self._chain_began_at
        self._min_items_in_chain = max_items if self._model_s > chain_s else self._num_slots

    def _request(self, callback: int) -> Request:
        request = self._requests[callback]
        assert request is not None, f"slot {callback} holds no request"
        return request

    def _answer(self, callback: int, outcome: Outcome) -> None:
        # Once answered, or withdrawn, the slot may carry its actor's next request by now.
        if self._states[callback] == _CLAIMED:
            # An error needs no request: it is gone if `_hand_out` was interrupted.
            self._hand_out(
                callback,
                outcome
                if isinstance(outcome, BaseException)
                else compose(self._request(callback), outcome),
            )
            with contextlib.suppress(RuntimeError):
                self._gates[callback].release()
            if self._abandoned:
                self._drop_late([callback])

    def _answer_all(self, callbacks: list[int], outcomes: Sequence[Outcome]) -> None:
        self._model_s = time.monotonic() - self._given_at
        # Replies are made before the first is handed out: what interrupts that (no memory, Ctrl-C
        # in an inline step) leaves every slot claimed, to be answered with the error.
        slots, replies = [], []
        for slot, outcome in zip(callbacks, outcomes, strict=True):
            if self._states[slot] == _CLAIMED:
                slots.append(slot)
                replies.append(compose(self._request(slot), outcome))
        try:
            for slot, reply in zip(slots, replies, strict=True):
                self._hand_out(slot, reply)
        except BaseException:
            self._wake_all([slot for slot in slots if self._states[slot] == _FREE])
            raise
        self._last_answered = slots
        if self._abandoned:
            self._drop_late(slots)
        self._wake_all(slots)

    def _drop_late(self, slots: list[int]) -> None:
        # If one is another client's by now, that one's reply is still to be written, by us.
        for slot in slots:
            if slot in self._abandoned:
                self._replies[slot] = None

    def _hand_out(self, slot: int, reply: TensorDictBase | BaseException) -> None:
        if self._step is not None and isinstance(reply, BaseException):
            # Perhaps raised in an actor's thread, whose frames hold its client and its replies.
            forget_frames(reply)
        self._requests[slot] = None
        self._replies[slot] = reply
        self._states[slot] = _FREE  # and the actor's

    def _columns(self, callbacks: list[int]) -> tuple[torch.Tensor, ...]:
        if self._buffer is None:
            columns = super()._columns(callbacks)
        else:
            columns = self._buffer.stack([self._request(slot) for slot in callbacks])
        self._given_at = time.monotonic()
        return columns


def _shut_lock() -> Lock:
    lock = Lock()
    lock.acquire()
    return lock
