"""A system that keeps every promise, as plainly as can be: one lock, one list, one thread.

It is the checks' control: they pass on it, and each mutant is this with one thing wrong. It is
slow.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any, Final, Self

import torch
from tensordict import NestedKey, TensorDict
from tensordict.base import TensorDictBase

from transports.conformance._api import Model

# How often a waiting actor looks whether anybody is there to answer it, and an idle server
# whether it is to stop.
_LOOK_S: Final = 0.2


class PlainRequest:
    """A request, and the reply to it once there is one."""

    def __init__(self, system: PlainSystem, slot: int, td: TensorDictBase) -> None:
        self.system: Final = system
        self.slot: Final = slot
        self.td: Final = td
        self.leaves: Final[dict[NestedKey, Any]] = leaves_of(td)
        self.since_s: Final = time.monotonic()
        self.outcome: Any = None
        self.is_answered: Final = threading.Event()

    def done(self) -> bool:
        """Tell whether there is a reply."""
        return self.is_answered.is_set()

    def result(self, timeout: float | None = None) -> Any:
        """Return the reply, or raise the error that is the answer."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        while not self.is_answered.wait(max(0.0, min(_LOOK_S, until - time.monotonic()))):
            self.system.look_after(self, is_patient=timeout is not None)
            if not self.done() and time.monotonic() >= until:
                self.system.time_out(self)
                raise TimeoutError(f"no reply within {timeout} s; wait again, or not")
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def cancel(self) -> bool:
        """Withdraw the request if the server has not taken it; return whether that is so."""
        return self.system.withdraw(self, CancelledError("the request was cancelled"))

    def answer(self, outcome: Any) -> None:
        """Answer it; the first answer stands."""
        if not self.done():
            self.outcome = outcome
            self.is_answered.set()


class PlainClient:
    """An actor's handle, which owns a slot until it is closed or dropped."""

    def __init__(self, system: PlainSystem, slot: int) -> None:
        self.system: Final = system
        self.slot: Final = slot
        self.is_closed = False

    def __call__(self, td: TensorDictBase) -> Any:
        """Submit, wait, and return the reply."""
        return self.submit(td).result()

    def submit(self, td: TensorDictBase) -> PlainRequest:
        """Submit without waiting."""
        if self.is_closed:
            raise RuntimeError("the client is closed")
        return self.system.submit(self.slot, td)

    def close(self) -> None:
        """Give the slot back."""
        with self.system.changed:
            if not self.is_closed:
                self.is_closed = True
                self.system.free_slots.append(self.slot)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class PlainSystem:
    """Transport and server in one; the arguments are those of `SystemFactory`."""

    client_class: type[PlainClient] = PlainClient

    def __init__(
        self,
        model: Model,
        *,
        num_clients: int,
        max_batch_size: int = 64,
        min_batch_size: int = 1,
        timeout_s: float = 0.01,
    ) -> None:
        self.check_arguments(num_clients, max_batch_size, min_batch_size, timeout_s)
        self.model: Final = model
        self.max_batch_size: Final = max_batch_size
        self.min_batch_size: Final = min_batch_size
        self.timeout_s: Final = timeout_s
        self.changed: Final = threading.Condition()  # guards all of the following
        self.free_slots: Final = list(range(num_clients))
        self.waiting: list[PlainRequest] = []  # the oldest first
        self.schema: dict[NestedKey, Any] = {}
        self.thread: threading.Thread | None = None
        self.is_stopping = False
        self.cause: BaseException | None = None

    def check_arguments(
        self, num_clients: int, max_batch_size: int, min_batch_size: int, timeout_s: float
    ) -> None:
        """Refuse what makes no sense."""
        if min(num_clients, max_batch_size, min_batch_size) < 1:
            raise ValueError("there must be at least one client, and one row in a batch")
        if min_batch_size > max_batch_size:
            raise ValueError("min_batch_size exceeds max_batch_size")
        if not 0 < timeout_s < math.inf:
            raise ValueError("timeout_s must be positive and finite")

    # ---- the actors' side

    def client(self) -> PlainClient:
        """Return a client with a slot of its own."""
        with self.changed:
            if not self.free_slots:
                raise RuntimeError("all slots are taken")
            return self.client_class(self, self.free_slots.pop(0))

    def submit(self, slot: int, td: TensorDictBase) -> PlainRequest:
        """Put a request into the list."""
        with self.changed:
            self.check_fits(td)
            request = PlainRequest(self, slot, td)
            self.waiting.append(request)
            self.changed.notify_all()
        return request

    def check_fits(self, td: TensorDictBase) -> None:
        """Refuse a request unlike the first one."""
        form = {key: _form(value) for key, value in leaves_of(td).items()}
        self.schema = self.schema or form
        for name, expected in self.schema.items():
            if (got := form.get(name)) != expected:
                raise ValueError(f"leaf {name!r}: expected {expected}, got {got}")

    def withdraw(self, request: PlainRequest, why: BaseException) -> bool:
        """Answer a request with an error unless the server has taken it."""
        with self.changed:
            if request not in self.waiting:
                return False
            self.waiting.remove(request)
        request.answer(why)
        return True

    def look_after(self, request: PlainRequest, *, is_patient: bool) -> None:
        """Answer the request with an error if there is nobody else to answer it."""
        with self.changed:
            if self.thread is None and is_patient:
                return
            if self.thread is None or not self.thread.is_alive():
                self.withdraw(request, self.stopped())
                request.answer(self.stopped())

    def time_out(self, request: PlainRequest) -> None:
        """Do nothing: the request may be waited for again."""

    # ---- the server's side

    def start(self) -> None:
        """Start the thread; again, if it was shut down or died."""
        with self.changed:
            if self.thread is not None and self.thread.is_alive():
                raise RuntimeError("it runs already")
            self.is_stopping = False
            self.cause = None
            self.thread = threading.Thread(
                target=self.run, name="plain-server", daemon=True
            )
            self.thread.start()

    def shutdown(self, timeout_s: float) -> None:
        """Stop the thread."""
        with self.changed:
            self.is_stopping = True
            self.changed.notify_all()
            thread = self.thread
        if thread is not None:
            thread.join(timeout_s)

    def run(self) -> None:
        """Serve until told to stop, or until something other than an Exception is raised."""
        try:
            with torch.no_grad():
                while batch := self.next_batch():
                    self.serve(batch)
        except BaseException as exc:  # noqa: BLE001 - told to everyone who waits
            self.cause = exc
        self.reject_waiting()

    def reject_waiting(self) -> None:
        """Tell those who wait that the server stops."""
        with self.changed:
            for request in [*self.waiting]:
                self.withdraw(request, self.stopped())

    def stopped(self) -> Exception:
        """Return the error that says that no server runs, and why."""
        why = "not started" if self.thread is None else "shut down"
        error = RuntimeError(f"the server has stopped or was {why}: {self.cause!r}")
        error.__cause__ = self.cause
        return error

    def next_batch(self) -> list[PlainRequest]:
        """Wait for a batch; an empty one means that the server is to stop."""
        with self.changed:
            while not self.is_stopping:
                if (left_s := self.due_in_s()) <= 0:
                    return self.take()
                self.changed.wait(left_s)
        return []

    def due_in_s(self) -> float:
        """Return how long to wait before the next batch is due; the oldest request decides."""
        if len(self.waiting) >= self.min_batch_size:
            return 0.0
        if self.waiting:
            return self.waiting[0].since_s + self.timeout_s - time.monotonic()
        return _LOOK_S

    def take(self) -> list[PlainRequest]:
        """Take the oldest requests."""
        batch = self.waiting[: self.max_batch_size]
        self.waiting = self.waiting[self.max_batch_size :]
        return batch

    def serve(self, batch: list[PlainRequest]) -> None:
        """Run the model on the batch and answer each request."""
        outcomes: Sequence[Any]
        try:
            rows = self.take_apart(self.model(self.stack(batch)), len(batch))
            outcomes = [self.compose(r, row) for r, row in zip(batch, rows, strict=True)]
        except Exception as exc:  # noqa: BLE001 - the answer, whatever it is
            outcomes = [exc] * len(batch)
        except BaseException as exc:
            self.cause = exc
            self.answer_all(batch, [self.stopped()] * len(batch))
            raise
        self.answer_all(batch, outcomes)

    def answer_all(self, batch: list[PlainRequest], outcomes: Sequence[Any]) -> None:
        """Answer each request of a batch."""
        for request, outcome in zip(batch, outcomes, strict=True):
            request.answer(outcome)

    def stack(self, batch: list[PlainRequest]) -> TensorDict:
        """Build the model's input, of tensors that nobody else has."""
        leaves = {
            name: torch.stack([request.leaves[name] for request in batch])
            for name in self.schema
        }
        return TensorDict(leaves, [len(batch)])

    def take_apart(self, result: Any, num_rows: int) -> list[dict[NestedKey, Any]]:
        """Copy the model's result into rows of tensors that nobody else has."""
        if not isinstance(result, TensorDictBase) or result.batch_size != (num_rows,):
            raise RuntimeError(f"the model must return a TensorDict of {num_rows} rows")
        columns = {
            name: value.detach().clone().unbind(0)
            for name, value in leaves_of(result).items()
        }
        return [{name: rows[i] for name, rows in columns.items()} for i in range(num_rows)]

    def compose(self, request: PlainRequest, row: dict[NestedKey, Any]) -> TensorDictBase:
        """Make the reply: the request's own leaves and the model's outputs, which win."""
        return TensorDict({**request.leaves, **row}, [], device=request.td.device)


def leaves_of(td: TensorDictBase) -> dict[NestedKey, Any]:
    """Return the tensors of a TensorDict, nested ones under a tuple of names."""
    return dict(td.items(include_nested=True, leaves_only=True))


def _form(value: Any) -> tuple[Any, ...]:
    return value.dtype, [*value.shape], str(value.device)
