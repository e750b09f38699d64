"""The life of a request: stamps of actors and server, cut into phases without gaps.

A request's way is a row of boundaries, each at or after the one before; a phase is what lies
between two of them. So the phases sum to the round trip, whatever the stamps: what they may do
is contradict each other, and a request whose stamps do is counted and left out.

==========================  ==============================================================
write                       the actor: submit begins → the request can be seen
server busy                 → the server (or an actor that has its turn) looks for requests
wait for batch              → the batch is due: others are waited for, on purpose
signal → server awake       → the server's wait has returned
drain                       the server takes the batch's requests
collate                     → the policy has its input in memory. A lazy stack is stacked
                            when the policy reads it, which is collating, too
forward                     → the model has returned
resolve                     → the request's reply is handed over
wake → actor running        → the actor has its reply
==========================  ==============================================================

Where actors wake each other in a chain, "wake" holds the request's place in the chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slotbench.compute.percentiles import nearest_rank
from slotbench.records import Phase, Phases

Column = NDArray[np.int64]

PHASES: Final = (
    "write",
    "server busy",
    "wait for batch",
    "signal → server awake",
    "drain",
    "collate",
    "forward",
    "resolve",
    "wake → actor running",
)

_CUTS: Final = (
    *("write", "server busy", "wait for batch", "signal → server awake"),
    *("server busy", "drain", "wait for batch", "collate", "forward", "resolve"),
    "wake → actor running",
)
"""The phase between each two boundaries, in time: two of them come twice."""


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests that got a reply, one row each. Times are ns of ``perf_counter_ns``.

    Attributes:
        actor: who asked.
        submitted: submit begins.
        published: submit has returned; 0 where that is not seen.
        replied: the reply is back.
        batch: row of `Batches`; -1 where none was found.
        taken: row of `Batches.drains` that took it; -1 where none was found.
        resolved: its reply was handed over, as the server saw it.
    """

    actor: Column
    submitted: Column
    published: Column
    replied: Column
    batch: Column
    taken: Column
    resolved: Column

    def __len__(self) -> int:
        return len(self.actor)

    def at(self, rows: NDArray[np.bool_] | Column) -> "Requests":
        """Choose rows."""
        return Requests(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Drains:
    """The times that the server took requests, one row each, with the wait before it.

    Attributes:
        wait_begin, wait_end: the server's last wait that ended before the drain.
        due: when it was given the signal to wake; -1: nobody gave one, 0: with each request.
        begin, end: of the drain.
    """

    wait_begin: Column
    wait_end: Column
    due: Column
    begin: Column
    end: Column


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches, one row each, in the order served.

    Attributes:
        drained: the last of its drains has ended.
        read: the policy has its input.
        forward_end: the model has returned.
        size: rows.
        resolve_end: the last reply was handed over.
    """

    drained: Column
    read: Column
    forward_end: Column
    size: Column
    resolve_end: Column


def boundaries(requests: Requests, drains: Drains, batches: Batches) -> NDArray[np.int64]:
    """Place the boundaries of every request's phases.

    Args:
        requests: each with its batch and drain: see `seen`.
        drains: those that requests refer to.
        batches: those that requests refer to.

    Returns:
        [n, 12] ns. A row that falls anywhere has stamps that contradict each other.
    """
    taken, batch = requests.taken, requests.batch
    drain_begin, drain_end = drains.begin[taken], drains.end[taken]
    wait_begin = np.minimum(drains.wait_begin[taken], drain_begin)
    wait_end = np.minimum(drains.wait_end[taken], drain_begin)
    due = drains.due[taken]
    submitted = requests.submitted
    # It can be seen when its submit has returned, or earlier: the server may have taken it by then.
    # Where the end of the write is not seen, the write is left to the phase after it.
    seen = np.where(requests.published > 0, requests.published, submitted)
    seen = np.minimum(seen, drain_end)
    looked = np.maximum(seen, wait_begin)
    # Nobody signalled: the server waited for a batch until it gave up, or did not sleep at all.
    signalled = np.select([due < 0, due == 0], [wait_end, seen], due)
    signalled = np.maximum(looked, np.minimum(signalled, wait_end))
    awake = np.maximum(signalled, wait_end)
    drain_began = np.maximum(awake, drain_begin)
    drained = np.maximum(drain_end, batches.drained[batch])
    forward_end = batches.forward_end[batch]
    # A woken actor may run before the server has returned from waking it.
    resolved = np.minimum(np.maximum(requests.resolved, forward_end), requests.replied)
    return np.column_stack(
        [
            *(submitted, seen, looked, signalled, awake, drain_began, drain_end, drained),
            *(batches.read[batch], forward_end, resolved, requests.replied),
        ]
    )


def phases_ns(edges: NDArray[np.int64]) -> dict[str, Column]:
    """Measure the phases between boundaries: phase → ns of every request."""
    steps = np.diff(edges, axis=1)
    return {
        name: steps[:, [place for place, cut in enumerate(_CUTS) if cut == name]].sum(
            axis=1
        )
        for name in PHASES
    }


def summarise(
    requests: Requests,
    drains: Drains,
    batches: Batches,
    window: tuple[int, int],
    *,
    is_write_seen: bool,
) -> Phases | None:
    """Average the phases of the requests whose reply returned in the window.

    Args:
        requests: all of the trial.
        drains: all of the trial.
        batches: all of the trial.
        window: its begin and end, ns; a reply counts in (begin, end].
        is_write_seen: see `records.Phases`.

    Returns:
        None where no request's way was seen whole.
    """
    counts = (requests.replied > window[0]) & (requests.replied <= window[1])
    counted = requests.at(counts)
    whole = counted.at((counted.batch >= 0) & (counted.taken >= 0))
    edges = boundaries(whole, drains, batches)
    in_order = (np.diff(edges, axis=1) >= 0).all(axis=1)
    if not in_order.any():
        return None
    durations = phases_ns(edges[in_order])
    # From the actor's own stamps, and not from the boundaries that are to be checked.
    round_trip = (whole.replied - whole.submitted)[in_order]
    error_ns = np.abs(sum(durations.values()) - round_trip).max()
    return Phases(
        num_requests=int(in_order.sum()),
        num_unseen=len(counted) - len(whole),
        num_out_of_order=int((~in_order).sum()),
        max_error_s=float(error_ns) / 1e9,
        round_trip=_phase("round trip", round_trip),
        phases=tuple(_phase(name, durations[name]) for name in PHASES),
        is_write_seen=is_write_seen,
    )


def _phase(name: str, durations_ns: Column) -> Phase:
    ordered = np.sort(durations_ns)
    p50, p99 = (nearest_rank(ordered, percent) for percent in (50, 99))
    return Phase(
        name=name,
        mean_s=float(durations_ns.mean()) / 1e9,
        p50_s=None if p50 is None else p50 / 1e9,
        p99_s=None if p99 is None else p99 / 1e9,
    )


def match(
    rows: Sequence[Sequence[int]], num_actors: int, num_replied: Sequence[int]
) -> tuple[list[Column], list[Column]]:
    """Find each request's batch, and its row in it: an actor's k-th row is its k-th request.

    That holds because an actor has one request in flight; who carries the id of another request
    was told by the trial's identity check.

    Args:
        rows: of each batch, the actor of each row.
        num_actors: indices are below it; others are of nobody.
        num_replied: of each actor.

    Returns:
        By actor: batch, and row in it, of each replied request; -1 where there is none.
    """
    batch = [np.full(n, -1, np.int64) for n in num_replied]
    place = [np.full(n, -1, np.int64) for n in num_replied]
    so_far = [0] * num_actors
    for index, actors in enumerate(rows):
        for row, actor in enumerate(actors):
            if not 0 <= actor < num_actors:
                continue
            k = so_far[actor]
            so_far[actor] = k + 1
            if k < len(batch[actor]):
                batch[actor][k], place[actor][k] = index, row
    return batch, place
