"""An actor's handle on its slot of a `SlotTransport`.

It knows which reply belongs to whom, and leaves all that other threads may see to the transport.
"""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, Final, Self

from tensordict.base import TensorDictBase

from transports._errors import ClientClosedError, InFlightError, ServerStoppedError

if TYPE_CHECKING:
    from transports.slot import SlotTransport


_USER: Final = "user"


class SlotReply:
    """The reply to a slot's request; its actor's thread only."""

    __slots__ = ("__weakref__", "_client", "_reply")

    def __init__(self, client: SlotClient) -> None:
        self._client = client
        self._reply: TensorDictBase | BaseException | None = None

    def done(self) -> bool:
        """Tell whether `result` would return, or raise, at once; once true it stays so."""
        if self._reply is None and self._client._is_orphaned():
            with contextlib.suppress(TimeoutError, InFlightError):
                self._take(0.0)
        return self._reply is not None or self._client._has_answer()

    def result(self, timeout: float | None = None) -> TensorDictBase:
        """Return the reply.

        Blocks:
            Until answered, or `timeout` seconds; None waits as long as a server lives.

        Raises:
            TimeoutError: no answer within `timeout`; the request stays in flight.
            ServerStoppedError: nobody will answer, see `Reply.result`.
            ClientClosedError: the client was closed before this was read.
            Exception: what the model raised, as it is, TimeoutError included.
        """
        if self._reply is None:
            self._take(timeout)
        reply = self._reply
        if isinstance(reply, BaseException):
            # Its traceback holds this frame: make no cycle, and keep no client.
            try:
                raise reply
            finally:
                del reply, self
        assert reply is not None, "taken just now"
        return reply

    def _take(self, timeout: float | None) -> None:
        client, token = self._client, object()
        user = client._user
        try:
            client._enter(token)
            # Or another thread's request has settled this one since we looked.
            if self._reply is None:
                self._reply = client._receive(timeout)
                client._forget()
        finally:  # see SlotClient._enter
            try:
                if user[_USER] is token:
                    del user[_USER]
            except KeyError:
                pass


class SlotClient:
    """An actor's handle on its slot: one thread at a time, one request in flight.

    A call that comes while another is in here, in a call, `submit`, `result` or `close`, is
    refused, be it another thread's or a signal handler's: two that take turns unawares would get
    each other's replies.

    Whether its reply is read or dropped does not matter: the next request may be made as soon as
    the last one is answered. The client gives its slot back when it is closed, left as a context
    manager, or dropped (in a reference cycle, say by keeping an error it raised: when that is
    collected).
    """

    __slots__ = ("_is_closed", "_pending", "_slot", "_transport", "_unread", "_user")

    def __init__(self, transport: SlotTransport, slot: int) -> None:
        self._transport = transport
        self._slot = slot
        self._pending = False  # also once closed, so that one look tells
        self._is_closed = False
        self._unread: weakref.ref[SlotReply] | None = None
        self._user: dict[str, object] = {}  # the call that is in here, under the one key

    def __call__(self, td: TensorDictBase) -> TensorDictBase:
        """Submit `td`, wait as long as a server lives, and return the reply.

        If the last request is not answered yet, waits for that first.

        Raises:
            RuntimeError: another thread uses the client just now, or it is closed.
            Exception: as `submit` and `SlotReply.result` do.
        """
        user, token = self._user, object()
        try:
            self._enter(token)
            if self._pending:
                self._settle(may_wait=True)
            self._send(td)
            reply = self._receive(None)
            self._pending = False
            self._transport._replies[self._slot] = None
        finally:  # see _enter
            try:
                if user[_USER] is token:
                    del user[_USER]
            except KeyError:
                pass
        if isinstance(reply, BaseException):
            # Its traceback holds this frame: make no cycle, and keep no client.
            try:
                raise reply
            finally:
                del reply, self
        return reply

    def submit(self, td: TensorDictBase) -> SlotReply:
        """Put `td` into the slot, without waiting for the answer.

        Blocks:
            Never on the server; on an `inline` transport for the time of a batch, if this
            actor runs it.

        Raises:
            RuntimeError: the last request is not answered yet, another thread uses the client
                just now, or it is closed.
            ValueError: `td` does not fit the schema; nothing is in flight then.
        """
        user, token = self._user, object()
        try:
            self._enter(token)
            if self._pending:
                self._settle(may_wait=False)
            self._send(td)
            reply = SlotReply(self)
            self._unread = weakref.ref(reply)
        finally:  # see _enter
            try:
                if user[_USER] is token:
                    del user[_USER]
            except KeyError:
                pass
        return reply

    def close(self) -> None:
        """Give the slot back; a request in flight is served for nobody, its reply dropped.

        Threads:
            Any, while no other uses the client; also a garbage collector's.
        Blocks:
            Never, and takes no lock.

        Raises:
            RuntimeError: the client is in use just now: by another thread, or by this one,
                which a signal handler has interrupted.
        """
        user, token = self._user, object()
        try:
            if user.setdefault(_USER, token) is not token and not self._is_closed:
                raise InFlightError(
                    f"slot {self._slot} cannot be given back while somebody waits for its "
                    "reply: close the client when that call is over"
                )
            self._give_back()
        finally:  # see _enter
            try:
                if user[_USER] is token:
                    del user[_USER]
            except KeyError:
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        self._give_back()

    def _enter(self, token: object) -> None:
        """Let this call in, or refuse it.

        `dict.setdefault` is one atomic step: of two calls one finds the other's token there. Who
        calls this must take the token out again in a `finally` that makes no call itself: a
        signal is handled as a call begins or ends, and would leave the client locked.
        """
        if self._user.setdefault(_USER, token) is not token:
            raise InFlightError(
                f"slot {self._slot} already has an in-flight request, of another call that is in "
                "this client just now: a client is for one thread at a time, ask the transport "
                "for one each"
            )

    def _give_back(self) -> None:
        if not self._is_closed:
            self._is_closed = self._pending = True
            self._transport._give_back(self._slot)

    def _send(self, td: TensorDictBase) -> None:
        transport = self._transport
        request = transport._schema.read(td)
        self._pending = True
        transport._publish(self._slot, request)

    def _has_answer(self) -> bool:
        return self._is_closed or self._transport._is_free(self._slot)

    def _is_orphaned(self) -> bool:
        return not self._is_closed and self._transport._is_orphaned(self._slot)

    def _receive(self, timeout: float | None) -> TensorDictBase | BaseException:
        if self._is_closed:
            return self._closed_error()
        return self._transport._receive(self._slot, timeout)

    def _forget(self) -> None:
        """Let go of the reply in the slot, which is safe elsewhere."""
        if not self._is_closed:
            self._pending = False
            self._transport._replies[self._slot] = None

    def _settle(self, *, may_wait: bool) -> None:
        """End the request in flight: its answer goes to its reply, if anybody still has that."""
        if self._is_closed:
            raise self._closed_error()
        try:
            answer = self._transport._settle(self._slot, None if may_wait else 0.0)
        except TimeoutError:
            raise InFlightError(
                f"slot {self._slot} already has an in-flight request: wait for its result(), call "
                "the client, which waits, or use another client"
            ) from None
        reply = None if self._unread is None else self._unread()
        # One that has its answer is of an earlier request: the one in flight was dropped, or a
        # call that was interrupted (Ctrl-C).
        if reply is not None and reply._reply is None:
            reply._reply = answer
        self._forget()
        if (
            may_wait
            and isinstance(answer, ServerStoppedError)
            and not self._transport._service.is_there
        ):
            raise answer  # as the next one would be, half a second later

    def _closed_error(self) -> ClientClosedError:
        return ClientClosedError(
            f"this client of slot {self._slot} is closed: ask the transport for a new one"
        )
