"""The reference server: one thread that batches requests, runs the model and answers.

It knows the contract and no transport.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Self, cast

import torch
from tensordict.base import TensorDictBase

from transports._checks import check_count
from transports._contract import BatchedTransport, Client, Transport
from transports._errors import ModelResultError, ServerStoppedError

# How long shutdown may go unnoticed by a server idling on a transport that has no wake().
_UNWAKEABLE_WAIT_S: Final = 0.05

_Model = Callable[[Any], Any]
_Collate = Callable[[list[TensorDictBase]], TensorDictBase]


class InferenceServer:
    """Serves a model to the clients of a transport, from one daemon thread.

    A transport with the batched fast path is used through it, unless `collate_fn` is given.
    The model runs under `torch.no_grad()` and replies carry no gradient. It may write into its
    batch; what it changes of the observation there is an output, unless it writes through
    NumPy or `.data`, which torch does not count and the reply then does not show.

    An Exception of the model's is the reply of its batch. Anything else that it raises (SystemExit,
    KeyboardInterrupt) stops the server, and a ServerStoppedError that names it is the reply: an
    actor's thread should not end for it, silently.
    A request submitted before `start` or after the server stopped is answered if one starts
    in time, see `Reply.result`.

    Args:
        model: takes a TensorDict of batch size [n] and returns one.
        transport: whose requests to serve; one server each.
        max_batch_size: the most requests of a batch.
        min_batch_size: how many to wait for, until the oldest has been waiting for `timeout`.
        timeout: seconds. Also the longest wait for the first request, after which the server
            looks again; a transport with `wake` never needs that, and one that runs batches
            in its actors' threads may look less often.
        collate_fn: makes a batch of drained TensorDicts; None stacks them, if it is needed.

    Threads:
        All methods: any, one at a time.

    Raises:
        ValueError: a size is no int of at least 1, min exceeds max, or `timeout` is not a
            positive, finite number.
    """

    def __init__(
        self,
        model: _Model,
        transport: Transport,
        *,
        max_batch_size: int = 64,
        min_batch_size: int = 1,
        timeout: float = 0.01,
        collate_fn: _Collate | None = None,
    ) -> None:
        self._max_batch_size = check_count("max_batch_size", max_batch_size)
        self._min_batch_size = check_count("min_batch_size", min_batch_size)
        if min_batch_size > max_batch_size:
            raise ValueError(
                f"min_batch_size {min_batch_size} exceeds max_batch_size {max_batch_size}: no "
                "batch could satisfy both; lower the one or raise the other"
            )
        if (
            isinstance(timeout, bool)
            or not isinstance(timeout, int | float)
            or not (math.isfinite(timeout) and timeout > 0)
        ):
            raise ValueError(
                f"timeout must be a positive, finite number of seconds, got {timeout!r}"
            )
        self._model = model
        self._transport = transport
        self._timeout = float(timeout)
        self._collate = collate_fn or _stack
        self._batched = (
            cast("BatchedTransport", transport)
            if collate_fn is None
            and all(
                hasattr(transport, name)
                for name in ("wait_for_batch", "claim", "gather", "resolve_batch", "wake")
            )
            else None
        )
        self._lend: Callable[[Callable[[], None] | None], None] | None = (
            getattr(transport, "lend", None) if self._batched is not None else None
        )
        self._wake: Callable[[], None] | None = getattr(transport, "wake", None)
        self._server_begins: Callable[[], None] | None = getattr(
            transport, "server_begins", None
        )
        self._server_ended: Callable[[BaseException | None], None] | None = getattr(
            transport, "server_ended", None
        )
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None  # why it stopped, or is about to

    @property
    def is_alive(self) -> bool:
        """Whether the server's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def client(self) -> Client:
        """Return a new client of the transport."""
        return self._transport.client()

    def start(self) -> Self:
        """Start the thread; a server that was shut down may be started again.

        Raises:
            RuntimeError: it runs already.
        """
        if self.is_alive:
            raise RuntimeError("the server is running already: shut it down first")
        self._stopping = threading.Event()
        begun = threading.Event()
        self._thread = threading.Thread(
            target=self._run,
            args=(self._stopping, begun),
            name="inference-server",
            daemon=True,
        )
        self._thread.start()
        begun.wait()  # the transport knows: from here on no request is withdrawn
        return self

    def shutdown(self, timeout: float | None = 5.0) -> None:
        """Stop the server; what it has taken is still served, what is pending is rejected.

        Pending requests get a RuntimeError. Without effect if the server does not run.

        Blocks:
            Until the thread has ended, or `timeout` seconds; then it may still be in the
            model, as `is_alive` tells, and stops after that.
        """
        self._stopping.set()
        if self._wake is not None:
            self._wake()
        if self._thread is not None:
            self._thread.join(timeout)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()

    def _run(self, stopping: threading.Event, begun: threading.Event) -> None:
        self._failure = None
        try:
            if self._server_begins is not None:
                self._server_begins()
            begun.set()
            with torch.no_grad():
                if self._batched is not None:
                    self._run_batches(self._batched, stopping)
                else:
                    self._run_items(stopping)
        except BaseException as exc:
            self._failure = (
                exc  # the transport is broken: say so, here and to whoever waits
            )
            raise
        finally:
            begun.set()
            try:
                if self._server_ended is not None:
                    self._server_ended(self._failure)
                self._reject_pending(self._failure)
            finally:
                if self._lend is not None:
                    self._lend(None)

    def _run_batches(self, transport: BatchedTransport, stopping: threading.Event) -> None:
        def step() -> None:
            """Serve what is ready; an actor's thread, while ours waits."""
            earlier = self._failure
            serve()
            # Ctrl-C met the model: everybody has been told, and it is the main thread's own.
            if (
                self._failure is not earlier
                and isinstance(self._failure, KeyboardInterrupt)
                and threading.current_thread() is threading.main_thread()
            ):
                raise KeyboardInterrupt from None

        def serve() -> None:
            # As in our own thread: one actor's modes must not reach all replies.
            if torch.is_inference_mode_enabled():
                with torch.inference_mode(False), torch.no_grad():
                    self._serve_batch(transport)
                return
            # The same for less; the two contexts cost 10 to 20 µs of a batch.
            was_enabled = torch.is_grad_enabled()
            torch.set_grad_enabled(False)
            try:
                self._serve_batch(transport)
            finally:
                torch.set_grad_enabled(was_enabled)

        if self._lend is not None:
            self._lend(step)
        while not self._is_over(stopping):
            transport.wait_for_batch(self._min_batch_size, self._timeout)
            # The wait ends for shutdown, too, and for the failure of an actor's step.
            if not self._is_over(stopping):
                self._serve_batch(transport)

    def _serve_batch(self, transport: BatchedTransport) -> None:
        callbacks = transport.claim(self._max_batch_size)
        if not callbacks:
            return
        try:
            batch = transport.gather(callbacks)
            transport.resolve_batch(callbacks, batch, self._model(batch))
        except BaseException as exc:  # noqa: BLE001 - the actors get it, whatever it is
            self._fail(callbacks, exc)

    def _run_items(self, stopping: threading.Event) -> None:
        while not self._is_over(stopping):
            self._transport.wait_for_work(self._wait_s(self._timeout))
            items, callbacks = self._collect(stopping)
            if callbacks:
                self._serve_items(items, callbacks)

    def _collect(self, stopping: threading.Event) -> tuple[list[TensorDictBase], list[Any]]:
        """Drain a batch: at least `min_batch_size`, unless time or the server runs out."""
        items, callbacks = self._transport.drain(self._max_batch_size)
        if not callbacks or len(callbacks) >= self._min_batch_size:
            return items, callbacks
        deadline = time.monotonic() + self._timeout
        try:
            while len(callbacks) < self._min_batch_size and not stopping.is_set():
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                self._transport.wait_for_work(self._wait_s(remaining))
                more_items, more = self._transport.drain(
                    self._max_batch_size - len(callbacks)
                )
                items += more_items
                callbacks += more
        except BaseException as exc:
            self._fail(callbacks, exc)
            raise
        return items, callbacks

    def _serve_items(self, items: list[TensorDictBase], callbacks: list[Any]) -> None:
        answered = 0
        try:
            result = self._model(self._collate(items))
            for callback, row in zip(callbacks, _rows(result, len(callbacks)), strict=True):
                self._transport.resolve(callback, row)
                answered += 1
        except BaseException as exc:  # noqa: BLE001 - the actors get it, whatever it is
            self._fail(callbacks[answered:], exc)

    def _is_over(self, stopping: threading.Event) -> bool:
        return stopping.is_set() or self._failure is not None

    def _wait_s(self, timeout: float) -> float:
        return timeout if self._wake is not None else min(timeout, _UNWAKEABLE_WAIT_S)

    def _fail(self, callbacks: list[Any], exc: BaseException) -> None:
        """Answer with the error, and stop on one that is no Exception (SystemExit, Ctrl-C)."""
        if not isinstance(exc, Exception):
            self._failure = exc
            if self._wake is not None:
                self._wake()
            exc = _stopped(exc, "while it served the request")
        self._reject(callbacks, exc)

    def _reject(self, callbacks: list[Any], exc: BaseException) -> None:
        for callback in callbacks:
            self._transport.resolve_exception(callback, exc)

    def _reject_pending(self, reason: BaseException | None) -> None:
        error = _stopped(reason, "before it took the request")
        # One sweep: an actor that submits again at once must not keep the thread from ending.
        if self._batched is not None:
            self._reject(self._batched.claim(sys.maxsize), error)
        else:
            self._reject(self._transport.drain(sys.maxsize)[1], error)


def _stopped(reason: BaseException | None, when: str) -> ServerStoppedError:
    why = "was shut down" if reason is None else f"stopped on {reason!r}"
    error = ServerStoppedError(f"the inference server {why} {when}")
    error.__cause__ = reason
    return error


def _stack(items: list[TensorDictBase]) -> TensorDictBase:
    return cast("TensorDictBase", torch.stack(cast("Any", items), 0))


def _rows(result: Any, num_rows: int) -> tuple[TensorDictBase, ...]:
    if not isinstance(result, TensorDictBase) or result.batch_size != (num_rows,):
        got = getattr(result, "batch_size", None)
        raise ModelResultError(
            f"the model must return a TensorDict of batch size [{num_rows}], got "
            f"{type(result).__name__}"
            + ("" if got is None else f" of batch size {list(got)}")
        )
    rows: tuple[TensorDictBase, ...] = result.unbind(0)
    return rows
