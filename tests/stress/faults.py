"""What an actor does that it had better not, or seldom does; and how a server's thread is killed.

Each function takes the actor and leaves it with every request's fate noted.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator, Set
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Final

import torch
from tensordict import TensorDict

from tests.stress.ledger import BrokenPromiseError, Fate
from tests.stress.model import Planted
from transports import Client, Reply, ThreadingTransport, Transport
from transports._errors import ClientClosedError, ServerStoppedError

if TYPE_CHECKING:
    from tests.stress.actors import Actor

_TIMEOUTS_S: Final = (0.0, 1e-5, 1e-4, 1e-3)


class Died(BaseException):
    """Ends the actor's thread."""


class Killed(BaseException):
    """What a server's thread is killed with, between any two of its instructions."""


def bad_request(actor: Actor) -> None:
    """A request that does not fit is refused, and only this one."""
    width = actor.scene.width
    if not actor.book.count(Fate.REPLIED):
        return  # else this might be the first request, which fixes the schema
    place, _ = actor.next_request()
    bad = actor.rng.choice(
        [
            TensorDict({"another": torch.zeros(width)}),
            TensorDict({"observation": torch.zeros(width)}),
            TensorDict({"observation": torch.zeros(width + 1, dtype=torch.int64)}),
            TensorDict({"observation": torch.zeros(1, width, dtype=torch.int64)}, [1]),
        ]
    )
    assert actor.client is not None
    try:
        actor.client(bad)
    except ValueError as exc:
        if isinstance(exc, Planted):
            raise BrokenPromiseError("a request that does not fit was served") from exc
        actor.errors["refused"] += 1
        actor.book.end(place, Fate.REFUSED)
        actor.has_dropped = False
    except ServerStoppedError as exc:  # of a dropped one before it, which it waited for
        actor.book.end(place, actor.fate_of(exc, actor.book.first_id + place))
    else:
        raise BrokenPromiseError("a request that does not fit was served")


def dropped_reply(actor: Actor) -> None:
    """Nobody reads the reply."""
    submitted = actor.submit()
    if submitted is not None:
        actor.book.end(submitted[0], Fate.DROPPED)
        actor.has_dropped = True


def short_timeout(actor: Actor) -> None:
    """The wait runs out, some times, and is begun again."""
    submitted = actor.submit()
    if submitted is None:
        return
    place, reply = submitted
    for _ in range(actor.rng.randint(1, 3)):
        try:
            reply.result(actor.rng.choice(_TIMEOUTS_S))
        except TimeoutError as exc:
            if isinstance(exc, Planted):
                break
            actor.errors["timed out"] += 1
        except Exception:  # noqa: BLE001 - it is read again, and sorted
            break
        reply.done()
    actor.read(place, reply)


def cancelled(actor: Actor) -> None:
    """A request taken back before the server has it is never served."""
    submitted = actor.submit()
    assert submitted is not None
    place, reply = submitted
    assert isinstance(reply, Future)
    if not reply.cancel():
        actor.read(place, reply)
    elif isinstance(error_of(reply), CancelledError):
        actor.errors["cancelled"] += 1
        actor.book.end(place, Fate.CANCELLED)
    else:
        raise BrokenPromiseError("a cancelled request was answered")


def burst(actor: Actor) -> None:
    """Several requests in flight, read in any order."""
    submitted = [actor.submit() for _ in range(actor.rng.randint(2, 8))]
    actor.rng.shuffle(submitted)
    for each in submitted:
        assert each is not None
        actor.read(*each)


def closed_client(actor: Actor) -> None:
    """An idle client is closed; another takes its place."""
    client = actor.client
    assert client is not None
    client.close()
    _check_closed(actor, client)
    del client
    actor.take_client()


def client_closed_in_flight(actor: Actor) -> None:
    """A client is closed before its reply is there; who comes next does not get it."""
    submitted = actor.submit()
    if submitted is None:
        return
    place, reply = submitted
    client = actor.client
    assert client is not None
    client.close()
    try:
        reply.result()
    except ClientClosedError:
        actor.errors["ClientClosedError"] += 1
        actor.book.end(place, Fate.DROPPED)
    except Exception:  # noqa: BLE001 - it is read again, and sorted
        actor.read(place, reply)
    else:
        actor.read(place, reply)  # a queue's client holds nothing: the reply comes
    _check_closed(actor, client)
    del client, reply, submitted
    actor.take_client()


def client_dropped_in_flight(actor: Actor) -> None:
    """Nobody refers to the client any more."""
    dropped_reply(actor)
    actor.take_client()


def died_in_flight(actor: Actor) -> None:
    """The actor's thread ends; the round starts another."""
    dropped_reply(actor)
    raise Died


_EVERYBODYS: Final = (
    bad_request,
    dropped_reply,
    short_timeout,
    closed_client,
    client_closed_in_flight,
    client_dropped_in_flight,
    died_in_flight,
)
_OF_A_QUEUE: Final = (cancelled, burst)
NAMES: Final = frozenset(fault.__name__ for fault in (*_EVERYBODYS, *_OF_A_QUEUE))


def of(names: Set[str], transport: Transport) -> Iterator[Callable[[Actor], None]]:
    """Yield the faults of these names that the transport knows."""
    for fault in _EVERYBODYS:
        if fault.__name__ in names:
            yield fault
    if isinstance(transport, ThreadingTransport):
        for fault in _OF_A_QUEUE:
            if fault.__name__ in names:
                yield fault


def error_of(reply: Reply) -> Exception | None:
    """Return what reading an answered reply raises."""
    try:
        reply.result(0.0)
    except Exception as exc:  # noqa: BLE001 - it is looked at
        return exc
    return None


def kill(thread: threading.Thread) -> bool:
    """Raise `Killed` in a thread that lives, at whichever instruction it is next to run.

    Not inside the standard library's Condition, whose lock is then released twice or never: False.
    A wait is fine: it takes the lock again, whatever ends it.
    """
    assert thread.ident is not None
    before = sys.getswitchinterval()
    sys.setswitchinterval(1.0)  # so that the thread stays where we see it
    try:
        frame = sys._current_frames().get(thread.ident)
        if frame is None or (
            frame.f_code.co_filename == threading.__file__
            and "gotit" not in frame.f_locals  # set before a wait begins
        ):
            return False
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(Killed)
        )
    finally:
        sys.setswitchinterval(before)
    return True


def _check_closed(actor: Actor, client: Client) -> None:
    place, request = actor.next_request()
    try:
        client.submit(request)
    except ClientClosedError:
        actor.book.end(place, Fate.REFUSED)
    else:
        raise BrokenPromiseError("a closed client took a request")
