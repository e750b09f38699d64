"""From the stamps of a pass to tables of requests, drains and batches: which belongs to which."""

import bisect
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slotbench.compute import phases
from slotbench.compute.phases import Batches, Column, Drains, Requests

Numbers: TypeAlias = "array[int]"

DRAIN_FIELDS: Final = 5
_NONE = np.zeros(0, np.int64)


def numbers(values: Iterable[int] = ()) -> Numbers:
    """Room for whole numbers that grows: 8 bytes each, and appending one is one step (the GIL)."""
    return array("q", values)


@dataclass(slots=True)
class Log:
    """What a trial noted, each in the order of time; times in ns.

    Attributes:
        waits: begin and end of each wait, in turn.
        drains: of each drain that took something: begin, end, rows, how many waits had ended
            before it, and when the one began that was under way (an actor drains for the
            server, which sleeps); 0 where none was.
        empty_drains: the end of each drain that took nothing.
        rings: signals to the server; None where they are not told apart from submits.
        is_due_together: the server waits for a whole smallest batch, and is signalled when it
            is there.
        model_begin, read, model_end, sizes, runner: of each batch; the runner is a thread.
        num_resolved: of each batch, how many resolves had been noted when its model returned.
        resolved: the end of each resolve.
        is_resolved_whole: one resolve answers a batch, and not one request.
    """

    waits: Numbers = field(default_factory=numbers)
    drains: Numbers = field(default_factory=numbers)
    empty_drains: Numbers = field(default_factory=numbers)
    rings: "Numbers | None" = None
    is_due_together: bool = False
    model_begin: Numbers = field(default_factory=numbers)
    read: Numbers = field(default_factory=numbers)
    model_end: Numbers = field(default_factory=numbers)
    sizes: Numbers = field(default_factory=numbers)
    runner: Numbers = field(default_factory=numbers)
    num_resolved: Numbers = field(default_factory=numbers)
    resolved: Numbers = field(default_factory=numbers)
    is_resolved_whole: bool = False


@dataclass(frozen=True, slots=True)
class Actors:
    """What the actors noted, by actor; as many stamps as it got replies."""

    submitted: Sequence[Column]
    published: Sequence[Column]
    replied: Sequence[Column]


def group(log: Log) -> list[list[int]]:
    """Find the drains of each batch: the last ones before its model began that make its size.

    Returns:
        Rows of drains by batch; empty where none fit.
    """
    drains = np.array(log.drains, np.int64).reshape(-1, DRAIN_FIELDS)
    ended, rows = drains[:, 1].tolist(), drains[:, 2].tolist()
    groups: list[list[int]] = []
    used = 0
    for begin, size in zip(log.model_begin, log.sizes, strict=True):
        last = bisect.bisect_right(ended, begin)
        first, left = last, size
        while first > used and left > 0:
            first -= 1
            left -= rows[first]
        groups.append(list(range(first, last)) if left == 0 else [])
        used = last
    return groups


def tables(
    log: Log,
    actors: Actors,
    rows: Sequence[Sequence[int]],
    *,
    min_batch_size: int,
    actor_of_thread: dict[int, int],
) -> tuple[Requests, Drains, Batches, Column]:
    """Put together what belongs together.

    Args:
        log: of the server's side.
        actors: of the other.
        rows: of each batch, the actor of each row.
        min_batch_size: of the server's rule.
        actor_of_thread: thread → actor.

    Returns:
        Requests by time of submit, drains, batches, and who ran each batch: an actor, or -1.
    """
    groups = group(log)
    requests = _requests(log, actors, rows, groups)
    runner = np.array([actor_of_thread.get(t, -1) for t in log.runner], np.int64)
    drained = np.array(log.drains, np.int64).reshape(-1, DRAIN_FIELDS)
    wait_begin, wait_end = _waits(log, drained)
    due = _due(log, wait_begin, wait_end, requests, min_batch_size)
    due[drained[:, 4] > 0] = -1
    drains = Drains(wait_begin, wait_end, due, drained[:, 0], drained[:, 1])
    requests = _seen_by_runner(requests, drains, runner)
    last = np.array([drains_of[-1] if drains_of else -1 for drains_of in groups], np.int64)
    model_end = np.array(log.model_end, np.int64)
    batches = Batches(
        drained=_collected(log, drained, last),
        read=np.array(log.read, np.int64),
        forward_end=model_end,
        size=np.array(log.sizes, np.int64),
        resolve_end=_resolved(
            log, np.arange(len(groups)), np.array(log.sizes, np.int64) - 1
        ),
    )
    return requests, drains, batches, runner


def _collected(log: Log, drained: Column, last: Column) -> Column:
    """When each batch was together: its last drain, or the last look for more that found nothing.

    Looks end before the model begins; those before the batch's own drain are of no matter.
    """
    if not len(drained):
        return np.zeros(len(last), np.int64)
    collected = drained[last, 1]
    begin = np.array(log.model_begin, np.int64)
    for looked in (
        np.array(log.waits[1::2], np.int64),
        np.array(log.empty_drains, np.int64),
    ):
        if len(looked):
            before = np.searchsorted(looked, begin, side="right") - 1
            found = np.where(before >= 0, looked[before], 0)
            collected = np.maximum(collected, found)
    return np.where(last >= 0, collected, 0)


def _waits(log: Log, drained: Column) -> tuple[Column, Column]:
    """Begin and end of the wait before each drain.

    A drain by an actor comes while the server sleeps: it waits from when the last one's batch
    was answered, until the actor drains.
    """
    waits = np.array(log.waits or (0, 0), np.int64).reshape(-1, 2)
    index = drained[:, 3] - 1
    begin, end = (
        np.where(index >= 0, waits[index, side], drained[:, 0]) for side in (0, 1)
    )
    resolved = np.append(0, np.array(log.resolved, np.int64))
    answered = resolved[np.searchsorted(resolved, drained[:, 0]) - 1]
    is_actors = drained[:, 4] > 0
    begin = np.where(is_actors, np.maximum(drained[:, 4], answered), begin)
    return begin, np.where(is_actors, drained[:, 0], end)


def _seen_by_runner(requests: Requests, drains: Drains, runner: Column) -> Requests:
    """An actor that drains has published before; its submit returns long after."""
    mine = (requests.batch >= 0) & (requests.taken >= 0)
    mine[mine] = runner[requests.batch[mine]] == requests.actor[mine]
    published = requests.published.copy()
    published[mine] = np.minimum(published[mine], drains.begin[requests.taken[mine]])
    return replace(requests, published=published)


def _requests(
    log: Log,
    actors: Actors,
    rows: Sequence[Sequence[int]],
    groups: Sequence[Sequence[int]],
) -> Requests:
    counts = [len(replied) for replied in actors.replied]
    found = phases.match(rows, len(counts), counts)
    batch, place = (np.concatenate([*of_actors, _NONE]) for of_actors in found)
    taken = _taken(log, groups, batch, place)
    owner = [np.full(n, i, np.int64) for i, n in enumerate(counts)]
    requests = Requests(
        actor=np.concatenate([*owner, _NONE]),
        submitted=np.concatenate([*actors.submitted, _NONE]),
        published=np.concatenate([*actors.published, _NONE]),
        replied=np.concatenate([*actors.replied, _NONE]),
        batch=np.where(taken >= 0, batch, -1),
        taken=taken,
        resolved=_resolved(log, batch, place),
    )
    return requests.at(np.argsort(requests.submitted, kind="stable"))


def _taken(
    log: Log, groups: Sequence[Sequence[int]], batch: Column, place: Column
) -> Column:
    """The drain of each request: a batch's rows are in the order in which they were taken."""
    counts = log.drains[2::DRAIN_FIELDS]
    by_batch = [
        np.repeat(np.array(drains, np.int64), [counts[d] for d in drains])
        for drains in groups
    ]
    begins = np.cumsum([0, *map(len, by_batch)])
    flat = np.concatenate([*by_batch, _NONE])
    sizes = np.diff(begins)
    taken = np.full(len(batch), -1, np.int64)
    known = batch >= 0
    known[known] = place[known] < sizes[batch[known]]
    taken[known] = flat[begins[batch[known]] + place[known]]
    return taken


def _resolved(log: Log, batch: Column, place: NDArray[np.int64]) -> Column:
    """When the reply of each row was handed over; 0 where that was not noted."""
    resolved = np.array(log.resolved, np.int64)
    if not len(resolved) or not len(log.num_resolved):
        return np.zeros(len(batch), np.int64)
    index = np.array(log.num_resolved, np.int64)[batch]
    if not log.is_resolved_whole:
        index = index + np.maximum(place, 0)
    known = (batch >= 0) & (index < len(resolved))
    return np.where(known, resolved[np.minimum(index, len(resolved) - 1)], 0)


def _due(
    log: Log, wait_begin: Column, wait_end: Column, requests: Requests, min_batch_size: int
) -> Column:
    """When each drain's wait was given the signal to end; see `Drains`."""
    num_drains = len(wait_begin)
    if log.rings is not None:
        rings = np.sort(np.array(log.rings, np.int64))
        place = np.searchsorted(rings, wait_begin)
        first = np.append(rings, 0)[place]
        return np.where((place < len(rings)) & (first <= wait_end), first, -1)
    if min_batch_size == 1 or not log.is_due_together:
        return np.zeros(num_drains, np.int64)
    due = np.full(num_drains, -1, np.int64)
    seen = requests.at((requests.taken >= 0) & (requests.published > 0))
    order = np.lexsort((seen.published, seen.taken))
    taken, published = seen.taken[order], seen.published[order]
    wanted = np.searchsorted(taken, np.arange(num_drains)) + min_batch_size - 1
    there = np.flatnonzero(wanted < len(taken))
    there = there[taken[wanted[there]] == there]
    due[there] = published[wanted[there]]
    return due
