"""A small honest transport, and the same one broken on purpose, one fault each.

Named on the command line as ``wrong_transports:swapped``, so they also show that anybody's
transport can be raced.
"""

import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Any

from tensordict import TensorDictBase


class QueueTransport:
    """Honest: a deque in, a SimpleQueue per request out."""

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self._requests: deque[tuple[TensorDictBase, queue.SimpleQueue[Any]]] = deque()
        self._work = threading.Semaphore(0)
        self.num_resolved = 0

    def client(self) -> Any:
        replies: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def call(td: TensorDictBase) -> TensorDictBase:
            self._requests.append((td, replies))
            self._work.release()
            reply = replies.get()
            if isinstance(reply, BaseException):
                raise reply
            return reply

        return call

    def submit(self, td: TensorDictBase) -> Any:
        raise NotImplementedError

    def wait_for_work(self, timeout: float) -> None:
        if self._work.acquire(timeout=timeout):
            self._work.release()

    def drain(self, max_items: int) -> tuple[list[TensorDictBase], list[Any]]:
        items, callbacks = [], []
        while len(items) < max_items and self._work.acquire(blocking=False):
            td, replies = self._requests.popleft()
            items.append(td.copy())
            callbacks.append(replies)
        return items, callbacks

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        self.num_resolved += 1
        callback.put(result)

    def resolve_exception(self, callback: Any, exc: BaseException) -> None:
        callback.put(exc)


class Swapped(QueueTransport):
    """Once, two actors of one batch get each other's reply."""

    _held: Any = None

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        self.num_resolved += 1
        if self.num_resolved == 50:
            self._held = (callback, result)
        elif self._held is not None:
            held_callback, held_result = self._held
            self._held = None
            held_callback.put(result)
            callback.put(held_result)
        else:
            callback.put(result)


class Dropped(QueueTransport):
    """One reply is never delivered."""

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        self.num_resolved += 1
        if self.num_resolved != 50:
            callback.put(result)


class Doubled(QueueTransport):
    """One reply is delivered twice, so its actor's next request is answered by it."""

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        self.num_resolved += 1
        callback.put(result)
        if self.num_resolved == 50:
            callback.put(result)


class ServedTwice(QueueTransport):
    """One request is given to the model twice; the actor sees one reply."""

    num_drained = 0

    def drain(self, max_items: int) -> tuple[list[TensorDictBase], list[Any]]:
        items, callbacks = super().drain(max_items)
        self.num_drained += len(items)
        if items and self.num_drained > 50:
            self.num_drained = -(10**9)
            return [*items, items[0].copy()], [*callbacks, queue.SimpleQueue()]
        return items, callbacks


class Raising(QueueTransport):
    """A call fails."""

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        self.num_resolved += 1
        callback.put(OSError("lost the wire") if self.num_resolved == 50 else result)


class BreaksServer(QueueTransport):
    """Its drain raises in the server's thread."""

    def drain(self, max_items: int) -> tuple[list[TensorDictBase], list[Any]]:
        self.num_resolved += 1
        if self.num_resolved > 20:
            raise ValueError("drain broke")
        return super().drain(max_items)


class WithoutDrain:
    """No transport at all."""

    def client(self) -> Any:
        return None


def honest(num_slots: int) -> QueueTransport:
    return QueueTransport(num_slots)


def swapped(num_slots: int) -> QueueTransport:
    return Swapped(num_slots)


def dropped(num_slots: int) -> QueueTransport:
    return Dropped(num_slots)


def doubled(num_slots: int) -> QueueTransport:
    return Doubled(num_slots)


def served_twice(num_slots: int) -> QueueTransport:
    return ServedTwice(num_slots)


def raising(num_slots: int) -> QueueTransport:
    return Raising(num_slots)


def breaks_server(num_slots: int) -> BreaksServer:
    return BreaksServer(num_slots)


def without_drain(num_slots: int) -> WithoutDrain:
    return WithoutDrain()


def fails_to_build(num_slots: int) -> None:
    raise ValueError("no wire")


def dies(num_slots: int) -> None:
    if num_slots > 1:  # not when it is only checked
        os.kill(os.getpid(), 11)


def leaves_children(num_slots: int) -> QueueTransport:
    if num_slots > 1:
        subprocess.Popen(["sleep", "1000"])
    return QueueTransport(num_slots)


def exits(num_slots: int) -> None:
    sys.exit(3)


def hangs(num_slots: int) -> None:
    while num_slots > 1:
        time.sleep(0.01)
