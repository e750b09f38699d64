"""A transport whose every wait, lock and object is known, and which keeps its own stamps.

As a contender: ``known_costs:create[write_ms=2,shared_locks=3]``.
"""

import concurrent.futures
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from tensordict import TensorDictBase

clock = time.perf_counter_ns


class Handle:
    """What submit returns; the reply comes through a SimpleQueue, which has no Python locks."""

    def __init__(self, transport: "KnownTransport", stamps: dict[str, int]) -> None:
        self._transport = transport
        self.stamps = stamps
        self.replies: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def result(self) -> TensorDictBase:
        reply = self.replies.get()
        if isinstance(reply, BaseException):
            raise reply
        pause(self._transport.wake_ms)
        self.stamps["returned"] = clock()
        self._transport.finished.append(self.stamps)
        result: TensorDictBase = reply
        return result


class KnownTransport:
    """Costs are options, in ms or in numbers a request (of drains: a drain).

    Attributes:
        finished: own stamps of each request that was answered, in ns.
    """

    def __init__(
        self,
        num_slots: int,
        *,
        write_ms: float = 0.0,
        signal_ms: float = 0.0,
        drain_ms: float = 0.0,
        resolve_ms: float = 0.0,
        wake_ms: float = 0.0,
        shared_locks: int = 0,
        own_locks: int = 0,
        drain_locks: int = 0,
        locks_made: int = 0,
        futures: int = 0,
        events: int = 0,
        copies: int = 0,
        held_ms: float = 0.0,
    ) -> None:
        self.num_slots = num_slots
        self.write_ms, self.signal_ms, self.drain_ms = write_ms, signal_ms, drain_ms
        self.resolve_ms, self.wake_ms, self.held_ms = resolve_ms, wake_ms, held_ms
        self.shared_locks, self.own_locks, self.drain_locks = (
            shared_locks,
            own_locks,
            drain_locks,
        )
        self.locks_made, self.futures, self.events = locks_made, futures, events
        self.copies = copies
        self.shared = threading.Lock()
        self.finished: list[dict[str, int]] = []
        self._inbox: queue.SimpleQueue[tuple[TensorDictBase, Handle]] = queue.SimpleQueue()
        self._ready: deque[tuple[TensorDictBase, Handle]] = deque()

    def client(self) -> "KnownClient":
        return KnownClient(self)

    def submit(self, td: TensorDictBase) -> Any:
        raise NotImplementedError

    def wait_for_work(self, timeout: float) -> None:
        if not self._ready:
            try:
                self._ready.append(self._inbox.get(timeout=timeout))
            except queue.Empty:
                return
            pause(self.signal_ms)
            self._ready[0][1].stamps["awake"] = clock()

    def drain(self, max_items: int) -> tuple[list[TensorDictBase], list[Handle]]:
        begun = clock()
        while True:
            try:
                self._ready.append(self._inbox.get_nowait())
            except queue.Empty:
                break
        taken = [self._ready.popleft() for _ in range(min(max_items, len(self._ready)))]
        if taken:
            pause(self.drain_ms)
            for _ in range(self.drain_locks):
                with self.shared:
                    pass
        for _, handle in taken:
            handle.stamps |= {"drain": begun, "drained": clock()}
        return [td.copy() for td, _ in taken], [handle for _, handle in taken]

    def resolve(self, callback: Handle, result: TensorDictBase) -> None:
        pause(self.resolve_ms)
        for _ in range(self.copies):
            torch.zeros(4).clone()
        callback.stamps["resolved"] = clock()
        callback.replies.put(result)

    def resolve_exception(self, callback: Handle, exc: BaseException) -> None:
        callback.replies.put(exc)


class KnownClient:
    """One actor's; its own lock is nobody else's."""

    def __init__(self, transport: KnownTransport) -> None:
        self._transport = transport
        self._own = threading.Lock()

    def submit(self, td: TensorDictBase) -> Handle:
        transport = self._transport
        stamps = {"submitted": clock()}
        pause(transport.write_ms)
        for _ in range(transport.shared_locks):
            with transport.shared:
                pause(transport.held_ms)
        for _ in range(transport.own_locks):
            with self._own:
                pass
        repeat(transport.locks_made, threading.Lock)
        repeat(transport.futures, concurrent.futures.Future)
        repeat(transport.events, threading.Event)
        handle = Handle(transport, stamps)
        stamps["published"] = clock()
        transport._inbox.put((td, handle))
        return handle

    def __call__(self, td: TensorDictBase) -> TensorDictBase:
        return self.submit(td).result()


class CallableOnly(KnownTransport):
    """Its clients can be called, and have nothing else."""

    def client(self) -> Any:
        client = KnownClient(self)
        return lambda td: client.submit(td).result()


class Ringing(KnownTransport):
    """Has a method named as ours, with an argument, and replies that are tuples."""

    def _ring(self, index: int) -> int:
        return index

    def wait_for_work(self, timeout: float) -> None:
        self._ring(1)
        super().wait_for_work(timeout)

    def client(self) -> Any:
        return TupleClient(self)


class TupleHandle(NamedTuple):
    """What cannot be counted: no constructor of its own."""

    handle: Handle

    def result(self) -> TensorDictBase:
        return self.handle.result()


class WithSlots(KnownTransport):
    """An object that lets nobody wrap its methods."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"wait_for_work", "drain", "resolve"}:
            raise AttributeError(f"'WithSlots' object attribute {name!r} is read-only")
        super().__setattr__(name, value)


class TupleClient(KnownClient):
    def submit(self, td: TensorDictBase) -> Any:
        return TupleHandle(super().submit(td))


class WithThread(KnownTransport):
    """Has a thread of its own, that computes as long as the transport is there."""

    def __init__(self, num_slots: int, **costs: Any) -> None:
        super().__init__(num_slots, **costs)
        threading.Thread(
            target=_compute, args=[weakref.ref(self)], name="actor-9000", daemon=True
        ).start()


def _compute(transport: Callable[[], object]) -> None:
    while transport() is not None:
        sum(range(1000))


class Notifying(KnownTransport):
    """Actors wait at one Condition, of which each keeps the lock for a while after waking one."""

    def __init__(self, num_slots: int, *, is_reentrant: bool = False, **costs: Any) -> None:
        super().__init__(num_slots, **costs)
        lock = threading.RLock() if is_reentrant else threading.Lock()
        self.condition = threading.Condition(lock)

    def client(self) -> Any:
        return NotifyingClient(self)


class NotifyingClient(KnownClient):
    def submit(self, td: TensorDictBase) -> Handle:
        condition = self._transport.condition  # type: ignore[attr-defined]
        with condition:
            condition.notify()
            pause(1.0)
            condition.wait(0.005)
        return super().submit(td)


def create(num_slots: int, **costs: Any) -> KnownTransport:
    return KnownTransport(num_slots, **costs)


def callable_only(num_slots: int, **costs: Any) -> KnownTransport:
    return CallableOnly(num_slots, **costs)


def with_slots(num_slots: int, **costs: Any) -> KnownTransport:
    return WithSlots(num_slots, **costs)


def pause(duration_ms: float) -> None:
    if duration_ms > 0:
        time.sleep(duration_ms / 1e3)


def repeat(times: int, call: Callable[[], object]) -> None:
    for _ in range(times):
        call()


def ringing(num_slots: int, **costs: Any) -> KnownTransport:
    return Ringing(num_slots, **costs)


def with_thread(num_slots: int, **costs: Any) -> KnownTransport:
    return WithThread(num_slots, **costs)


def notifying(num_slots: int, **costs: Any) -> KnownTransport:
    return Notifying(num_slots, **costs)
