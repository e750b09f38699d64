"""Our transports as TorchRL's: subclasses of its ``InferenceTransport``.

TorchRL's ``InferenceServer`` accepts instances of its own abstract class alone, and reads
private attributes of it (``_batched_slot_io``), so a duck type is not enough.

Source: torchrl 0.14.1, ``torchrl.modules.inference_server._transport`` and ``._server``.
"""

from typing import Any

from tensordict import TensorDictBase
from torchrl.modules.inference_server import InferenceTransport

import transports


class SlotTransport(transports.SlotTransport, InferenceTransport):  # type: ignore[misc]  # torchrl is untyped
    """`transports.SlotTransport`, accepted by TorchRL's inference server."""


class ThreadingTransport(transports.ThreadingTransport, InferenceTransport):  # type: ignore[misc]  # torchrl is untyped
    """`transports.ThreadingTransport`, accepted by TorchRL's inference server."""


class AdaptedTransport(InferenceTransport):  # type: ignore[misc]  # torchrl is untyped
    """Any transport of our contract, for TorchRL's server.

    Args:
        transport: meets `transports.Transport`.

    Threads: as the wrapped transport's methods, to which every call goes.
    """

    def __init__(self, transport: transports.Transport) -> None:
        self.inner = transport

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


_SUBCLASSES = {"slot": SlotTransport, "threading": ThreadingTransport}


def create(name: str, num_slots: int, **options: Any) -> InferenceTransport:
    """Make one of our transports as a subclass of TorchRL's, or adapt it where there is none."""
    if name not in _SUBCLASSES:
        return adapt(transports.create(name, num_slots, **options))
    sized = {"num_slots": num_slots} if name == "slot" else {}
    return _SUBCLASSES[name](**sized, **options)


def adapt(transport: Any) -> InferenceTransport:
    """Return the transport if TorchRL accepts it as it is, else wrap it."""
    return (
        transport
        if isinstance(transport, InferenceTransport)
        else AdaptedTransport(transport)
    )
