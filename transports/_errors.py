"""The errors transports and the server raise about their use; a model's own pass unchanged."""

from __future__ import annotations

import traceback
from typing import Final


class TransportError(Exception):
    """Something a transport or its server was asked to do cannot be done."""


class RequestError(TransportError, ValueError):
    """A request lacks a leaf the model needs, or has it in another shape, dtype or device."""


class NoSlotLeftError(TransportError, RuntimeError):
    """More clients were asked for than the transport has slots."""


class InFlightError(TransportError, RuntimeError):
    """A client was used, or closed, while its last request waits for an answer."""


class ClientClosedError(TransportError, RuntimeError):
    """A client was used after it had given its slot back."""


class ModelResultError(TransportError, RuntimeError):
    """What the model returned does not hold one row per request of its batch."""


class ServerStoppedError(TransportError, RuntimeError):
    """The server stopped before it answered the request, or there is none; says why."""


class InterruptedBatchError(TransportError, RuntimeError):
    """The actor's thread that ran a batch was interrupted before it had answered it."""


_RAISED_HERE: Final = "It was raised here:\n"


def forget_frames(error: BaseException) -> None:
    """Turn the traceback of an error, and of its causes, into a note: the text without the frames.

    A frame keeps what its function and all its callers had in their hands. So an error that waits
    to be read would keep alive clients and replies of the thread that it was raised in.
    """
    chain: list[BaseException] = []
    rest: list[BaseException | None] = [error]
    while rest:
        link = rest.pop()
        if link is not None and link not in chain:
            chain.append(link)
            rest += [link.__cause__, link.__context__]
    if all(link.__traceback__ is None for link in chain):
        return
    # Once: one error answers a whole batch, and whoever has raised it meanwhile gave it frames anew.
    notes = getattr(error, "__notes__", ())
    if not any(note.startswith(_RAISED_HERE) for note in notes):
        error.add_note(_RAISED_HERE + "".join(traceback.format_exception(error)).rstrip())
    for link in chain:
        link.__traceback__ = None
