"""What became of every request, and whether the model's account agrees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any, Final

import numpy as np
import torch

ID_BITS: Final = 32
"""A request's id is its actor's number, shifted by this, plus its place in the actor's row."""


class BrokenPromiseError(AssertionError):
    """A transport broke a promise."""


class Fate(IntEnum):
    """How a request ended. OPEN: it has not."""

    OPEN = 0
    REPLIED = 1
    FAILED = 2  # with an error of the model's, or of its result's
    STOPPED = 3  # the server ended first
    DROPPED = 4  # nobody waits for it any more
    REFUSED = 5  # submit raised
    CANCELLED = 6


class Book:
    """One actor's requests, in their order, and their fates. Its thread's alone."""

    def __init__(self, actor: int) -> None:
        self.actor = actor
        self.first_id = actor << ID_BITS
        self.fates = bytearray()

    def begin(self) -> int:
        """Open the next request; return its place."""
        self.fates.append(Fate.OPEN)
        return len(self.fates) - 1

    def end(self, place: int, fate: Fate) -> None:
        """Note the fate of a request: once."""
        if self.fates[place] != Fate.OPEN:
            raise BrokenPromiseError(f"request {place} of actor {self.actor} ended twice")
        self.fates[place] = fate

    def count(self, fate: Fate) -> int:
        """Return how many requests ended so."""
        return self.fates.count(fate)


def problems(
    books: Sequence[Book],
    served: Sequence[torch.Tensor],
    failed: Sequence[torch.Tensor],
    *,
    may_lose_served: bool,
) -> Iterator[str]:
    """Yield what does not add up, a line a kind and actor.

    Args:
        books: one an actor, by its number.
        served: the ids of each batch that the model returned.
        failed: the ids of each that it raised on, or returned too few rows of.
        may_lose_served: whether a server may have died with a result in its hands.
    """
    counts = [_by_actor(ids) for ids in (served, failed)]
    for actor in {*counts[0], *counts[1]} - {book.actor for book in books}:
        yield f"the model was given requests of an actor {actor}, which there is not"
    for book in books:
        fates = np.frombuffer(bytes(book.fates), np.uint8)
        in_served, in_failed = (
            np.bincount(of.get(book.actor, _NONE), minlength=len(fates)) for of in counts
        )
        if len(in_served) > len(fates) or len(in_failed) > len(fates):
            yield f"actor {book.actor}: the model was given requests that it never made"
            continue
        for what, is_wrong in {
            "lost: never answered": fates == Fate.OPEN,
            "given to the model more than once": in_served + in_failed > 1,
            "answered, and no model served it": (fates == Fate.REPLIED) & (in_served == 0),
            "served, and answered with an error": (fates == Fate.FAILED) & (in_served > 0),
            "answered with an error of no batch": (fates == Fate.FAILED) & (in_failed == 0),
            "served, and given up for a stopped server": (fates == Fate.STOPPED)
            & (in_served > 0)
            & (not may_lose_served),
            "refused or cancelled, and given to the model": (fates >= Fate.REFUSED)
            & (in_served + in_failed > 0),
        }.items():
            where = np.flatnonzero(is_wrong)
            if len(where):
                yield f"actor {book.actor}: {len(where)} requests {what}: {_some(where)}"


_NONE: Final = np.zeros(0, np.int64)


def _by_actor(batches: Sequence[torch.Tensor]) -> dict[int, Any]:
    if not batches:
        return {}
    ids = np.sort(torch.cat(list(batches)).numpy())
    actors, starts = np.unique(ids >> ID_BITS, return_index=True)
    places = np.split(ids & ((1 << ID_BITS) - 1), starts[1:])
    return dict(zip(actors.tolist(), places, strict=True))


def _some(places: Any) -> str:
    return ", ".join(map(str, places[:5].tolist())) + (" …" if len(places) > 5 else "")
