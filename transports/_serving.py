"""Who serves a transport, and whether that thread still lives.

It must not know how requests travel. A server need not say anything: the thread that waits for
work is the server, so TorchRL's is known as well as ours. It has to be a `threading.Thread`: of any
other Python does not tell that it ended.
"""

from __future__ import annotations

import threading
from threading import Lock
from typing import Final

from transports._errors import ServerStoppedError

LOOK_S: Final = 0.5
"""How long an actor waits between two looks at whether its server lives.

So a wait that nobody will end ends within a second. A reply wakes its actor by itself: the looks
cost only those who wait longer than this.
"""


class Service:
    """The thread that serves a transport.

    `lock` orders its coming against the withdrawal of requests that nobody serves: who holds it
    and finds the server dead may take them back, since no other can come meanwhile.
    """

    __slots__ = ("_reason", "_thread", "lock")

    def __init__(self) -> None:
        self.lock = Lock()
        self._thread: threading.Thread | None = None
        self._reason: BaseException | None = None

    def note(self) -> threading.Thread:
        """Note that the calling thread is the server, and return it; before it takes anything."""
        thread = threading.current_thread()
        if thread is not self._thread:
            with self.lock:
                self._thread, self._reason = thread, None
        return thread

    def end(self, reason: BaseException | None) -> None:
        """Note why the server, which is the calling thread, is about to end; None: as told to."""
        if threading.current_thread() is self._thread:
            self._reason = reason

    @property
    def is_there(self) -> bool:
        """Whether a server's thread lives."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_dead(self) -> bool:
        """Whether there was a server, and its thread has ended."""
        return self._thread is not None and not self._thread.is_alive()

    def why_unserved(
        self, claimed_by: threading.Thread | None, *, may_wait: bool
    ) -> ServerStoppedError | None:
        """Return the error of a request that nobody will answer; None if somebody may.

        Args:
            claimed_by: the thread that took the request, or None if it is still to be taken.
            may_wait: whether a server that has not come yet may be waited for.
        """
        thread = claimed_by or self._thread
        if thread is None:
            if may_wait:
                return None
            return ServerStoppedError(
                "no inference server has served this transport yet: start one first, or wait for "
                "it with submit(td).result(timeout)"
            )
        if thread.is_alive():
            return None
        reason = self._reason if thread is self._thread else None
        error = ServerStoppedError(
            f"the inference server's thread {thread.name!r} has ended"
            + ("" if reason is None else f", on {reason!r}")
            + ": the request was withdrawn; start a server and submit again"
        )
        error.__cause__ = reason
        return error
