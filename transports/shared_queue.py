"""A shared queue under one lock, and a Future per request: the baseline.

Everything but queue, Condition and Future is `SlotTransport`'s own code, so a comparison of the
two compares signalling. The file is not called threading.py, which would hide the standard
library's module from scripts run in this folder.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from threading import TIMEOUT_MAX, Condition, Lock, Thread
from typing import Any, Self, TypeVar

from tensordict.base import TensorDictBase

from transports._batches import Outcome, compose
from transports._batching import BatchingTransport
from transports._checks import check_count
from transports._errors import ClientClosedError
from transports._requests import Request
from transports._serving import LOOK_S

_T = TypeVar("_T")


def create(num_slots: int, *, spec: TensorDictBase | None = None) -> ThreadingTransport:
    """Build the transport; `num_slots` is checked and not needed: clients are not counted."""
    check_count("num_slots", num_slots)
    return ThreadingTransport(spec=spec)


class ReplyFuture(Future[TensorDictBase]):
    """A Future of the reply, with its request; `cancel` works until the server has taken it.

    `result`, `exception` and `done` notice a server that died; `concurrent.futures.wait` and
    callbacks only do once one of these was called. A Future is Python's own, and Ctrl-C at the wrong
    moment inside of one can leave it locked; actors in the main thread are better off with slots.
    """

    def __init__(self, request: Request, transport: ThreadingTransport) -> None:
        super().__init__()
        self._request = request
        self._transport = transport
        self._submitted_at = time.monotonic()
        self._claimed_by: Thread | None = None

    def done(self) -> bool:
        """Tell whether `result` would return, or raise, at once."""
        if not super().done() and self._transport._service.is_dead:
            self._transport._withdraw(self, may_wait=True)
        return super().done()

    def result(self, timeout: float | None = None) -> TensorDictBase:
        """Return the reply; as `Reply.result`."""
        try:
            return self._wait(super().result, timeout)
        finally:
            del self  # as Future does: an error's traceback holds this frame

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what `result` would raise, or None; waits as it does."""
        return self._wait(super().exception, timeout)

    def _wait(self, get: Callable[[float], _T], timeout: float | None) -> _T:
        until = 0.0 if timeout is None else time.monotonic() + timeout
        wait_s = LOOK_S if timeout is None else min(timeout, LOOK_S)
        try:
            while True:
                try:
                    return get(wait_s)
                except TimeoutError:
                    self._transport._withdraw(self, may_wait=timeout is not None)
                    if self.done():  # answered in between, or this was the answer
                        return get(0.0)
                if timeout is not None:
                    wait_s = min(until - time.monotonic(), LOOK_S)
                    if wait_s <= 0.0:
                        raise TimeoutError(f"no reply within {timeout} s")
        finally:
            del self, get


class QueueClient:
    """A handle on the queue; threads may share it and requests may overlap.

    It holds nothing: to close it only makes its further use an error.
    """

    __slots__ = ("_is_closed", "_transport")

    def __init__(self, transport: ThreadingTransport) -> None:
        self._transport = transport
        self._is_closed = False

    def __call__(self, td: TensorDictBase) -> TensorDictBase:
        """Submit `td`, wait as long as a server lives, and return the reply."""
        return self.submit(td).result()

    def submit(self, td: TensorDictBase) -> ReplyFuture:
        """Queue `td`; as the transport's `submit`.

        Raises:
            RuntimeError: the client is closed.
            ValueError: `td` does not fit the schema.
        """
        if self._is_closed:
            raise ClientClosedError(
                "this client is closed: ask the transport for a new one"
            )
        return self._transport.submit(td)

    def close(self) -> None:
        """Refuse requests from now on; those in flight are still answered."""
        self._is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class ThreadingTransport(BatchingTransport[Any]):
    """In-process transport with one queue for all actors; a callback is the request's Future.

    Args:
        spec: the leaves the model needs; None takes them from the first request.

    Threads:
        `client`, `submit`, `wake`: any. The rest: the server's.
        A server that dies is noticed: nobody waits for it longer than a second.
    Ordering:
        First in, first out, over all actors.
    """

    def __init__(self, *, spec: TensorDictBase | None = None) -> None:
        super().__init__(spec)
        self._queue: deque[ReplyFuture] = deque()
        # Entered by itself: a signal that comes while a Condition is entered leaves it locked.
        self._lock = Lock()
        self._has_work = Condition(self._lock)
        self._min_items = 1
        self._woken = False

    def client(self) -> QueueClient:
        """Return a new client; there can be any number."""
        return QueueClient(self)

    def submit(self, td: TensorDictBase) -> ReplyFuture:
        """Queue `td`, without waiting for the answer; any number may be in flight.

        A request may be cancelled until the server has taken it.

        Blocks:
            While another thread holds the queue's lock.

        Raises:
            ValueError: `td` does not fit the schema.
        """
        future = ReplyFuture(self._schema.read(td), self)
        with self._lock:
            self._queue.append(future)
            if len(self._queue) >= self._min_items:
                self._has_work.notify()
        return future

    def wait_for_work(self, timeout: float) -> None:
        """Return when the queue has a request, when woken, or after `timeout` seconds.

        Blocks:
            At most `timeout` seconds, and while another thread holds the queue's lock.
        """
        self.wait_for_batch(1, timeout)

    def wait_for_batch(self, min_items: int, timeout: float) -> None:
        """Return when the queue holds `min_items`, or its oldest waited for `timeout` s.

        With an empty queue it returns after `timeout` seconds.

        Blocks:
            At most twice `timeout` seconds, and while another thread holds the queue's lock.
        """
        self._service.note()
        timeout = max(0.0, min(timeout, TIMEOUT_MAX / 2))
        idle_until = time.monotonic() + timeout
        with self._lock:
            self._min_items = min_items
            while len(self._queue) < min_items and not self._woken:
                # submit() does not notify of the first of several: we look when idle time is
                # over, which is before that one's time is.
                until = (
                    self._queue[0]._submitted_at + timeout if self._queue else idle_until
                )
                left = until - time.monotonic()
                if left <= 0.0:
                    break
                self._has_work.wait(left)
            self._woken = False

    def wake(self) -> None:
        """Make the wait under way, or else the next one, return early."""
        with self._lock:
            self._woken = True
            self._has_work.notify()

    def claim(self, max_items: int) -> list[ReplyFuture]:
        """Take up to `max_items` requests, oldest first; cancelled ones are dropped."""
        server = self._service.note()
        futures: list[ReplyFuture] = []
        while True:
            with self._lock:
                count = max(0, min(len(self._queue), max_items - len(futures)))
                taken = [self._queue.popleft() for _ in range(count)]
            # Outside the lock that every actor takes. From here on none can be cancelled,
            # so answering it cannot fail.
            running = [future for future in taken if future.set_running_or_notify_cancel()]
            for future in running:
                future._claimed_by = server
            futures += running
            if len(running) == len(taken):
                return futures

    def _withdraw(self, future: ReplyFuture, *, may_wait: bool) -> None:
        """Take a request back that nobody will answer: its answer is why."""
        with self._service.lock:  # no new server comes meanwhile
            error = self._service.why_unserved(future._claimed_by, may_wait=may_wait)
            if error is None:
                return
            with self._lock, contextlib.suppress(ValueError):
                self._queue.remove(future)
        # No server has it or will. Outside of the locks: this calls back whoever waits for it.
        with contextlib.suppress(InvalidStateError):  # answered by now, or cancelled
            future.set_exception(error)

    def _request(self, callback: ReplyFuture) -> Request:
        return callback._request

    def _answer(self, callback: ReplyFuture, outcome: Outcome) -> None:
        if Future.done(callback):  # the first answer stands
            return
        reply = compose(callback._request, outcome)
        if isinstance(reply, BaseException):
            callback.set_exception(reply)
        else:
            callback.set_result(reply)
