"""Carries observations and actions between actor threads and one batched policy.

Importing this package loads neither torch nor tensordict: every name below is imported on
first use (PEP 562). It knows nothing of the harness that measures it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from transports._contract import BatchedTransport, Client, Reply, Transport
    from transports._discovery import available, create
    from transports._errors import (
        ClientClosedError,
        InFlightError,
        InterruptedBatchError,
        ModelResultError,
        NoSlotLeftError,
        RequestError,
        ServerStoppedError,
        TransportError,
    )
    from transports._requests import RequestSchema
    from transports._server import InferenceServer
    from transports.shared_queue import ThreadingTransport
    from transports.slot import SlotTransport

# Says that this is slotbench's `transports` and not the unrelated package of that name on
# PyPI; it grows when `Transport` changes so that an older transport no longer fits.
CONTRACT_VERSION: Final = 1

__all__ = [
    "CONTRACT_VERSION",
    "BatchedTransport",
    "Client",
    "ClientClosedError",
    "InFlightError",
    "InferenceServer",
    "InterruptedBatchError",
    "ModelResultError",
    "NoSlotLeftError",
    "Reply",
    "RequestError",
    "RequestSchema",
    "ServerStoppedError",
    "SlotTransport",
    "ThreadingTransport",
    "Transport",
    "TransportError",
    "available",
    "create",
]

_HOMES: Final = {
    "BatchedTransport": "_contract",
    "Client": "_contract",
    "ClientClosedError": "_errors",
    "InFlightError": "_errors",
    "InferenceServer": "_server",
    "InterruptedBatchError": "_errors",
    "ModelResultError": "_errors",
    "NoSlotLeftError": "_errors",
    "Reply": "_contract",
    "RequestError": "_errors",
    "RequestSchema": "_requests",
    "ServerStoppedError": "_errors",
    "SlotTransport": "slot",
    "ThreadingTransport": "shared_queue",
    "Transport": "_contract",
    "TransportError": "_errors",
    "available": "_discovery",
    "create": "_discovery",
}


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'transports' has no attribute {name!r}") from None
    value = getattr(importlib.import_module(f"transports.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
