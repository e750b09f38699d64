"""Tallies that each thread keeps for itself, and where in a request's life it is."""

import threading
from collections.abc import Callable, Hashable
from threading import get_ident
from typing import Any


class Tally:
    """What one thread counted.

    Attributes:
        place: where the thread is, of `records.PLACES`.
        counts: whatever → [times, and two sums].
        is_actor: it has been in a client's call.
    """

    __slots__ = ("counts", "is_actor", "place")

    def __init__(self) -> None:
        self.place = "other"
        self.counts: dict[Hashable, list[int]] = {}
        self.is_actor = False

    def add(self, key: Hashable, first: int = 0, second: int = 0) -> None:
        """Count one more. The thread's own."""
        counts = self.counts
        row = counts.get(key)
        if row is None:
            counts[key] = [1, first, second]
        else:
            row[0] += 1
            row[1] += first
            row[2] += second


class Tallies:
    """A tally for every thread but the main one, whose doings are the harness's.

    Threads: `mine` by any; `clear` and `take` by the main thread, beside which others may go
    on counting: what they count meanwhile is on one side or the other.
    """

    def __init__(self) -> None:
        self._by_thread: dict[int, Tally] = {}
        self._main = threading.main_thread().ident

    def mine(self) -> Tally:
        """The calling thread's."""
        ident = get_ident()
        tally = self._by_thread.get(ident)
        if tally is None:
            tally = self._by_thread[ident] = Tally()
        return tally

    def clear(self) -> None:
        """Begin to count anew."""
        for tally in self._by_thread.copy().values():
            tally.counts = {}

    def take(self) -> dict[int, tuple[Tally, dict[Hashable, list[int]]]]:
        """Give what was counted since `clear`, by thread; what comes later goes elsewhere."""
        taken = {}
        for ident, tally in self._by_thread.copy().items():
            counts, tally.counts = tally.counts, {}
            if ident != self._main:
                taken[ident] = (tally, counts)
        return taken

    def placed(self, place: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, during which the thread's place is this one."""

        def there(*args: Any, **kwargs: Any) -> Any:
            tally = self.mine()
            before, tally.place = tally.place, place
            try:
                return call(*args, **kwargs)
            finally:
                tally.place = before

        return there
