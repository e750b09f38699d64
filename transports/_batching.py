"""What the transports of this package have in common: everything but how requests travel.

A subclass says how a request gets from an actor to the server (`claim`, `wait_for_work`,
`wake`), what the request of a callback is, and how an outcome gets back. So two transports
differ in signalling only, and a comparison of them compares that.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from tensordict.base import TensorDictBase

from transports._batches import (
    Given,
    Outcome,
    build,
    remember,
    stack_requests,
    take_batch,
    take_row,
)
from transports._contract import Client, Reply
from transports._requests import Layout, Request, RequestSchema
from transports._serving import Service

CallbackT = TypeVar("CallbackT")


class BatchingTransport(abc.ABC, Generic[CallbackT]):
    """Meets `BatchedTransport`, given the abstract methods.

    Threads:
        `drain`, `gather`, `resolve`, `resolve_batch` and `resolve_exception` keep state without
        a lock: the server's thread only.
    """

    def __init__(self, spec: TensorDictBase | None) -> None:
        self._schema = RequestSchema(spec)
        self._service = Service()
        self._drained: dict[CallbackT, Given] = {}
        self._gathered: tuple[TensorDictBase, Given] | None = None

    @abc.abstractmethod
    def client(self) -> Client:
        """Return a new client."""

    @abc.abstractmethod
    def submit(self, td: TensorDictBase) -> Reply:
        """Submit without a client, where the transport can."""

    @abc.abstractmethod
    def wait_for_work(self, timeout: float) -> None:
        """Return when a request is ready, or after `timeout` seconds."""

    @abc.abstractmethod
    def wait_for_batch(self, min_items: int, timeout: float) -> None:
        """Return when `min_items` requests are ready, or the oldest was for `timeout` s."""

    def server_begins(self) -> None:
        """Note the calling thread as the server, before it waits for the first time."""
        self._service.note()

    def server_ended(self, reason: BaseException | None) -> None:
        """Note why the server ends, for the errors of requests that come after it."""
        self._service.end(reason)

    @abc.abstractmethod
    def wake(self) -> None:
        """Make the wait under way, or else the next one, return early."""

    @abc.abstractmethod
    def claim(self, max_items: int) -> list[CallbackT]:
        """Take up to `max_items` ready requests, as callbacks."""

    @abc.abstractmethod
    def _request(self, callback: CallbackT) -> Request:
        """Return the claimed request."""

    @abc.abstractmethod
    def _answer(self, callback: CallbackT, outcome: Outcome) -> None:
        """Hand the outcome to the actor, unless the request was answered before."""

    def _answer_all(self, callbacks: list[CallbackT], outcomes: Sequence[Outcome]) -> None:
        """Hand each actor of a batch its outcome."""
        for callback, outcome in zip(callbacks, outcomes, strict=True):
            self._answer(callback, outcome)

    def _columns(self, callbacks: list[CallbackT]) -> tuple[torch.Tensor, ...]:
        """Return each leaf of the claimed requests as a tensor `[n, ...]` no actor holds."""
        return stack_requests([self._request(callback) for callback in callbacks])

    @property
    def _layout(self) -> Layout:
        layout = self._schema.layout
        assert layout is not None, "requests are ready only after one fixed the schema"
        return layout

    def drain(self, max_items: int) -> tuple[list[TensorDictBase], list[CallbackT]]:
        """Take up to `max_items` ready requests; return the model's leaves of each, and callbacks.

        The leaves are copies (one stack per leaf for all of them), so whoever writes into the
        TensorDicts writes into nothing an actor holds.

        Blocks:
            Never. Returns nothing for `max_items` <= 0.
        """
        callbacks = self.claim(max_items)
        if not callbacks:
            return [], []
        layout = self._layout
        try:
            # Not _columns: what was drained may outlive the next batch's memory.
            columns = stack_requests([self._request(callback) for callback in callbacks])
            rows = zip(*(column.unbind(0) for column in columns), strict=True)
        except Exception as exc:  # noqa: BLE001 - it answers them: a server may call drain unguarded
            for callback in callbacks:
                self._answer(callback, exc)
            return [], []
        items: list[TensorDictBase] = []
        for callback, row in zip(callbacks, rows, strict=True):
            items.append(build(layout.root, row, ()))
            self._drained[callback] = remember(layout, row)
        return items, callbacks

    def gather(self, callbacks: list[CallbackT]) -> TensorDictBase:
        """Build the batch of claimed requests: tensors `[n, ...]`, row i of callback i."""
        layout, columns = self._layout, self._columns(callbacks)
        batch = build(layout.root, columns, (len(callbacks),))
        self._gathered = (batch, remember(layout, columns))
        return batch

    def resolve(self, callback: CallbackT, result: TensorDictBase) -> None:
        """Answer with the model's row for the request; a row that does not fit is an error reply.

        Leaves that are the very tensors `drain` gave, not written to since, are no outputs:
        the request's own stand. All others are copied. The first answer stands.
        """
        outcome: Outcome
        try:
            outcome = take_row(result, self._drained.pop(callback, {}))
        except Exception as exc:  # noqa: BLE001 - it is the answer
            outcome = exc
        self._answer(callback, outcome)

    def resolve_exception(self, callback: CallbackT, exc: BaseException) -> None:
        """Answer with an error; the first answer stands."""
        self._gathered = None
        self._drained.pop(callback, None)
        self._answer(callback, exc)

    def resolve_batch(
        self, callbacks: list[CallbackT], batch: TensorDictBase, result: TensorDictBase
    ) -> None:
        """Answer all of `callbacks`; a result that does not fit is an error reply to each.

        Leaves of the result that are the very tensors `gather` gave, not written to since, are
        no outputs: the requests' own stand. All others are copied, once per leaf.
        """
        given: Given = {}
        if self._gathered is not None and self._gathered[0] is batch:
            given = self._gathered[1]
        self._gathered = None
        if self._drained:  # two paths may be mixed
            for callback in callbacks:
                self._drained.pop(callback, None)
        outcomes: Sequence[Outcome]
        try:
            outcomes = take_batch(result, given, len(callbacks))
        except Exception as exc:  # noqa: BLE001 - it is the answer
            outcomes = [exc] * len(callbacks)
        self._answer_all(callbacks, outcomes)
