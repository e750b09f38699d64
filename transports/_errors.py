"""The errors transports and the server raise about their use; a model's own pass unchanged."""

from __future__ import annotations


class TransportError(Exception):
    """Something a transport or its server was asked to do cannot be done."""


class RequestError(TransportError, ValueError):
    """A request lacks a leaf the model needs, or has it in another shape, dtype or device."""


class NoSlotLeftError(TransportError, RuntimeError):
    """More clients were asked for than the transport has slots."""


class InFlightError(TransportError, RuntimeError):
    """A client submitted a request before it read the reply to its last one."""


class ClientClosedError(TransportError, RuntimeError):
    """A client was used after it had given its slot back."""


class ModelResultError(TransportError, RuntimeError):
    """What the model returned does not hold one row per request of its batch."""


class ServerStoppedError(TransportError, RuntimeError):
    """The server stopped before it answered the request, or there is none; says why."""


class InterruptedBatchError(TransportError, RuntimeError):
    """The actor's thread that ran a batch was interrupted before it had answered it."""
