"""Some requests of a trial, with their stamps, for a timeline."""

from dataclasses import dataclass

import numpy as np

from slotbench.compute.phases import Batches, Column, Drains, Requests


@dataclass(frozen=True, slots=True)
class Sample:
    """A stretch of a trial, and its slowest requests wherever they are.

    Attributes:
        requests: by time of submit; ``batch`` and ``taken`` are rows of the next two.
        drains, batches: those that the requests refer to.
        runner: of each batch, the actor that ran it in its own thread; -1: the server.
        slowest: rows of ``requests``, the slowest first.
        begin_ns: where times are counted from.
        num_requests: of the window, of which these are some.
    """

    requests: Requests
    drains: Drains
    batches: Batches
    runner: Column
    slowest: tuple[int, ...]
    begin_ns: int
    num_requests: int


def take(
    requests: Requests,
    drains: Drains,
    batches: Batches,
    runner: Column,
    window: tuple[int, int],
    *,
    for_s: float,
    num_slowest: int,
    max_requests: int,
) -> Sample:
    """Sample the window: all of its first seconds, and every request of the slowest's batches.

    Args:
        requests: of the whole trial, by time of submit.
        drains: of the whole trial.
        batches: of the whole trial.
        runner: see `Sample`.
        window: begin and end, ns.
        for_s: how long the first stretch is.
        num_slowest: requests to keep for being slow.
        max_requests: in all; the first stretch is cut where it has more.
    """
    whole = (requests.batch >= 0) & (requests.taken >= 0)
    inside = whole & (requests.replied > window[0]) & (requests.replied <= window[1])
    rows = np.flatnonzero(inside)
    trips = requests.replied[rows] - requests.submitted[rows]
    slowest = rows[np.argsort(-trips, kind="stable")[:num_slowest]]
    beside = inside & np.isin(requests.batch, requests.batch[slowest])
    if beside.sum() > max_requests // 2:
        beside = np.zeros_like(inside)
        beside[slowest] = True
    early = np.flatnonzero(
        inside & (requests.submitted < window[0] + for_s * 1e9) & ~beside
    )
    early = early[np.argsort(requests.submitted[early], kind="stable")]
    early = early[: max(0, max_requests - int(beside.sum()))]
    chosen = np.concatenate([early, np.flatnonzero(beside)])
    chosen = chosen[np.argsort(requests.submitted[chosen], kind="stable")]
    kept = requests.at(chosen)
    used_batches, batch = np.unique(kept.batch, return_inverse=True)
    used_drains, taken = np.unique(kept.taken, return_inverse=True)
    place = {int(row): index for index, row in enumerate(chosen)}
    return Sample(
        requests=Requests(
            kept.actor,
            kept.submitted,
            kept.published,
            kept.replied,
            batch.astype(np.int64),
            taken.astype(np.int64),
            kept.resolved,
        ),
        drains=Drains(*(getattr(drains, n)[used_drains] for n in Drains.__slots__)),
        batches=Batches(*(getattr(batches, n)[used_batches] for n in Batches.__slots__)),
        runner=runner[used_batches],
        slowest=tuple(place[int(row)] for row in slowest),
        begin_ns=window[0],
        num_requests=int(inside.sum()),
    )
