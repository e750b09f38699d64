"""Our transports as TorchRL's: subclasses of its ``InferenceTransport``.

TorchRL's ``InferenceServer`` and ``AsyncBatchedCollector`` accept instances of its own abstract
class alone, and read private attributes of it (``_batched_slot_io``), so a duck type is not
enough. docs/torchrl.md says how to use them and what differs from TorchRL's own.

Beyond what the contract asks, TorchRL's users may rely on two things, which are added here:

*Queue times.* Its server reports them where the transport has ``drain_with_timing``.

*Requests of several rows.* Its transports carry a TensorDict of any batch size, ours one row. So a
request with a batch size travels as the only entry of a TensorDict without, and is taken out
of it again for the server and in the reply.

Source: torchrl 0.14.1, ``torchrl.modules.inference_server._transport``, ``._server`` and
``._client``.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any, Final

import torch
from tensordict import TensorDict, TensorDictBase
from torchrl.modules.inference_server import InferenceTransport
from torchrl.modules.inference_server._client import (
    _REMOTE_INTERACTION_TYPE_KEY as _INTERACTION_TYPE,
)

import transports
from transports._batches import Outcome, compose
from transports._batching import BatchingTransport
from transports._checks import check_count
from transports._errors import RequestError
from transports._requests import Layout, Node, Request, RequestSchema
from transports._slot_client import SlotClient
from transports.shared_queue import ReplyFuture

_ROWS: Final = "_slotbench_rows"
_ONE_ROW: Final = torch.Size(())
# What TorchRL looks for on a transport beside the abstract methods.
_OPTIONAL: Final = (
    "drain_with_timing",
    "close",
    "_clients_require_registration",
    "_set_peer_alive",
    # A bank of slots that the server reads and writes by itself:
    "_batched_slot_io",
    "drain_slots",
    "gather_requests",
    "request_batch",
    "resolve_batch",
    "response_batch",
)


class _Schema(RequestSchema):
    """A schema that takes requests of several rows, and loses no interaction type."""

    def __init__(self, spec: TensorDictBase | None) -> None:
        super().__init__(_as_one_row(spec))
        self._has_interaction_type: bool | None = None

    @property
    def batch_size(self) -> torch.Size | None:
        """Of every request; None while no request has come."""
        if self.layout is None:
            return None
        key, entry = self.layout.root.entries[0]
        return entry.batch_size if key == _ROWS and isinstance(entry, Node) else _ONE_ROW

    @property
    def is_of_rows(self) -> bool:
        """Whether requests have several rows, and travel inside another TensorDict."""
        return bool(self.batch_size)

    def read(self, td: TensorDictBase) -> Request:
        """Check `td` as `RequestSchema.read` does; `td` may have a batch size.

        Raises:
            ValueError: also if `td` has another batch size than the requests before, or says how
                to sample and the schema would not tell the policy.
        """
        if isinstance(td, TensorDictBase):
            self._check_batch_size(td)
        request = super().read(_as_one_row(td))
        if self._has_interaction_type is None:
            assert self.layout is not None, "reading a request establishes it"
            self._has_interaction_type = any(
                leaf.path[-1] == _INTERACTION_TYPE for leaf in self.layout.leaves
            )
        fields = request.fields
        # It is for the server, so the reply, which is made in `fields`, does not repeat it.
        interaction_type = fields.get(_ROWS, fields).pop(_INTERACTION_TYPE, None)
        if interaction_type is not None and not self._has_interaction_type:
            raise RequestError(
                f"request leaf {_INTERACTION_TYPE!r} (PolicyClientModule and collectors set "
                "it) would not reach the policy: the first request had none, or spec= has "
                "none; use one kind of client for a transport, or add it to spec= as int8"
            )
        return request

    def _establish(self, td: TensorDictBase) -> Layout:
        layout = super()._establish(td)
        # Another actor's first request may have won.
        self._check_batch_size(td.get(_ROWS, td))
        return layout

    def _check_batch_size(self, td: TensorDictBase) -> None:
        expected = self.batch_size
        if expected is not None and td.batch_size != expected:
            raise RequestError(
                f"request of batch size {list(td.batch_size)}, expected {list(expected)}: all "
                "requests of a transport have the same, the first one's or that of spec="
            )


class _OfTorchRL(BatchingTransport[Any], InferenceTransport):  # type: ignore[misc]  # torchrl is untyped
    """What both transports add for TorchRL's server."""

    _schema: _Schema

    def drain(self, max_items: int) -> tuple[list[TensorDictBase], list[Any]]:
        """Drain as our transports do; each item has the batch size of its request."""
        items, callbacks = super().drain(max_items)
        if items and self._schema.is_of_rows:
            items = [item.get(_ROWS) for item in items]
        return items, callbacks

    def drain_with_timing(
        self, max_items: int
    ) -> tuple[list[TensorDictBase], list[Any], list[float]]:
        """Drain; return also when each request was submitted, in seconds of time.monotonic."""
        items, callbacks = self.drain(max_items)
        return items, callbacks, [self._submitted_at(callback) for callback in callbacks]

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        """Answer as our transports do, with as many rows as the request has."""
        if self._schema.is_of_rows and isinstance(result, TensorDictBase):
            result = TensorDict({_ROWS: result}, [])
        super().resolve(callback, result)

    def _submitted_at(self, callback: Any) -> float:
        raise NotImplementedError


class SlotTransport(_OfTorchRL, transports.SlotTransport):
    """`transports.SlotTransport`, accepted by TorchRL's server and collector.

    Args:
        num_slots: at least the number of envs.
        preallocate: does nothing in TorchRL's server, which stacks what it drains itself.
        inline: does nothing in TorchRL's server, which does not lend its turn.
        pin_memory: does nothing there, for the same reason as `preallocate`.
        spec: the leaves the policy needs; None takes them from the first request.
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
        transports.SlotTransport.__init__(
            self,
            num_slots,
            preallocate=preallocate,
            inline=inline,
            pin_memory=pin_memory,
        )
        self._schema = _Schema(spec)
        # By slot. Any thread's, one item at a time.
        self._unused: dict[int, SlotClient] = {}

    def client(self) -> SlotClient:
        """Return the client of a slot, which keeps it until closed or, once used, dropped.

        TorchRL's users may count slots by clients that they do not keep.

        Raises:
            RuntimeError: all slots are in use.
        """
        client = super().client()
        self._unused[client._slot] = client
        return client

    def _publish(self, slot: int, request: Request) -> None:
        self._unused.pop(slot, None)
        self._published_at[slot] = time.monotonic()
        super()._publish(slot, request)

    def _submitted_at(self, callback: int) -> float:
        return self._published_at[callback]

    def _hand_out(self, slot: int, reply: TensorDictBase | BaseException) -> None:
        if self._schema.is_of_rows and isinstance(reply, TensorDictBase):
            reply = reply.get(_ROWS)
        super()._hand_out(slot, reply)


class ThreadingTransport(_OfTorchRL, transports.ThreadingTransport):
    """`transports.ThreadingTransport`, accepted by TorchRL's server and collector.

    Args:
        spec: the leaves the policy needs; None takes them from the first request.
    """

    def __init__(self, *, spec: TensorDictBase | None = None) -> None:
        transports.ThreadingTransport.__init__(self)
        self._schema = _Schema(spec)

    def _submitted_at(self, callback: Any) -> float:
        return float(callback._submitted_at)

    def _answer(self, callback: ReplyFuture, outcome: Outcome) -> None:
        if self._schema.is_of_rows and not Future.done(callback):
            reply = compose(callback._request, outcome)
            if isinstance(reply, TensorDictBase):
                # Here, not in result(): the Future's callbacks see what is set.
                callback.set_result(reply.get(_ROWS))
                return
            outcome = reply
        super()._answer(callback, outcome)


def _as_one_row(td: Any) -> Any:
    if getattr(td, "batch_size", None) and isinstance(td, TensorDictBase):
        return TensorDict({_ROWS: td}, [], device=td.device)
    return td


class AdaptedTransport(InferenceTransport):  # type: ignore[misc]  # torchrl is untyped
    """Any transport of our contract, for TorchRL's server.

    Whatever TorchRL looks for beside its abstract methods is the wrapped transport's, if it has
    it: `drain_with_timing`, without which there are no queue times, `close`, and so on.

    Args:
        transport: meets `transports.Transport`.

    Threads: as the wrapped transport's methods, to which every call goes.
    """

    def __init__(self, transport: transports.Transport) -> None:
        self.inner = transport
        for name in _OPTIONAL:
            if hasattr(transport, name):
                setattr(self, name, getattr(transport, name))

    def client(self) -> Any:
        """Return the wrapped transport's client."""
        return self.inner.client()

    def submit(self, td: TensorDictBase) -> Any:
        """Submit to the wrapped transport."""
        return self.inner.submit(td)

    def drain(self, max_items: int) -> tuple[list[TensorDictBase], list[Any]]:
        """Drain the wrapped transport."""
        return self.inner.drain(max_items)

    def wait_for_work(self, timeout: float) -> None:
        """Wait for the wrapped transport."""
        self.inner.wait_for_work(timeout)

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        """Resolve in the wrapped transport."""
        self.inner.resolve(callback, result)

    def resolve_exception(self, callback: Any, exc: BaseException) -> None:
        """Reject in the wrapped transport."""
        self.inner.resolve_exception(callback, exc)


_SUBCLASSES = ("slot", "threading")


def create(name: str, num_slots: int, **options: Any) -> InferenceTransport:
    """Make one of our transports as a subclass of TorchRL's, or adapt it where there is none."""
    if name not in _SUBCLASSES:
        return adapt(transports.create(name, num_slots, **options))
    if name == "slot":
        return SlotTransport(num_slots, **options)
    check_count("num_slots", num_slots)  # not needed: clients are not counted
    return ThreadingTransport(**options)


def adapt(transport: Any) -> InferenceTransport:
    """Return the transport if TorchRL accepts it as it is, else wrap it."""
    return (
        transport
        if isinstance(transport, InferenceTransport)
        else AdaptedTransport(transport)
    )
