"""Which drain belongs to which batch, and who waited for what."""

import numpy as np

from slotbench.compute import phases
from slotbench.profiling import sample
from slotbench.profiling._tables import Actors, Log, group, numbers, tables


def noted(**stamps: object) -> Log:
    """A log of these stamps."""
    made = {
        name: numbers(value) if isinstance(value, list) else value
        for name, value in stamps.items()
    }
    return Log(**made)  # type: ignore[arg-type]


def drains(*rows: tuple[int, int, int, int, int]) -> list[int]:
    return [value for row in rows for value in row]


def column(*values: int) -> phases.Column:
    return np.array(values, np.int64)


def test_a_batch_is_of_the_drains_just_before_it() -> None:
    log = noted(
        drains=drains((0, 10, 2, 0, 0), (20, 30, 1, 0, 0), (50, 60, 4, 0, 0)),
        model_begin=[40, 70],
        sizes=[3, 4],
    )
    assert group(log) == [[0, 1], [2]]


def test_drains_that_no_batch_came_of_are_left_out() -> None:
    """What was drained and refused, say: it stands between two batches and fits neither."""
    log = noted(
        drains=drains((0, 10, 2, 0, 0), (20, 30, 3, 0, 0)), model_begin=[40], sizes=[3]
    )
    assert group(log) == [[1]]
    log = noted(drains=drains((0, 10, 2, 0, 0)), model_begin=[40], sizes=[3])
    assert group(log) == [[]]


def whole(log: Log, rows: list[list[int]], **changes: object) -> phases.Requests:
    actors = Actors(
        submitted=[column(0), column(5)],
        published=[column(8), column(12)],
        replied=[column(100), column(110)],
    )
    options = {"min_batch_size": 1, "actor_of_thread": {}} | changes
    return tables(log, actors, rows, **options)[0]  # type: ignore[arg-type]


def test_each_row_has_its_own_drain_and_its_own_resolve() -> None:
    log = noted(
        waits=[1, 9, 11, 15],
        drains=drains((10, 11, 1, 1, 0), (16, 17, 1, 2, 0)),
        model_begin=[20],
        read=[25],
        model_end=[50],
        sizes=[2],
        runner=[1],
        num_resolved=[0],
        resolved=[60, 70],
    )
    requests = whole(log, [[1, 0]])
    assert requests.actor.tolist() == [0, 1]
    assert requests.taken.tolist() == [1, 0]
    assert requests.resolved.tolist() == [70, 60]
    log.is_resolved_whole = True
    assert whole(log, [[1, 0]]).resolved.tolist() == [60, 60]


def test_an_unknown_batch_leaves_its_requests_unseen() -> None:
    log = noted(
        drains=drains((10, 11, 3, 0, 0)),
        model_begin=[20],
        read=[25],
        model_end=[50],
        sizes=[2],
        runner=[1],
        num_resolved=[0],
    )
    requests = whole(log, [[0, 1]])
    assert requests.batch.tolist() == [-1, -1]
    assert requests.taken.tolist() == [-1, -1]


def test_a_drain_by_an_actor_ends_a_wait_that_goes_on() -> None:
    """The server sleeps from 30 on; actor 0, thread 7, drains at 40 what was there since 12."""
    log = noted(
        drains=drains((40, 45, 2, 0, 30)),
        model_begin=[46],
        read=[47],
        model_end=[60],
        sizes=[2],
        runner=[7],
        num_resolved=[0],
        resolved=[62, 64],
    )
    actors = Actors(
        [column(0), column(5)], [column(80), column(12)], [column(100), column(110)]
    )
    requests, found, _, runner = tables(
        log, actors, [[0, 1]], min_batch_size=1, actor_of_thread={7: 0}
    )
    assert runner.tolist() == [0]
    assert (found.wait_begin.tolist(), found.wait_end.tolist()) == ([30], [40])
    assert found.due.tolist() == [-1]
    # Its own submit returns long after it has drained; it had published before.
    assert requests.published.tolist() == [40, 12]
    # While an actor serves another batch, until 36 here, nobody waits for one.
    log.resolved.insert(0, 36)
    log.num_resolved[0] = 1
    again = tables(log, actors, [[0, 1]], min_batch_size=1, actor_of_thread={7: 0})
    assert again[1].wait_begin.tolist() == [36]
    assert again[0].resolved.tolist() == [62, 64]


def test_a_signal_is_the_first_ring_of_its_wait() -> None:
    log = noted(
        waits=[10, 50, 60, 90],
        drains=drains((51, 52, 1, 1, 0), (91, 92, 1, 2, 0)),
        rings=[5, 45, 30, 95],
        model_begin=[55, 95],
        read=[56, 96],
        model_end=[57, 97],
        sizes=[1, 1],
        runner=[1, 1],
        num_resolved=[0, 1],
        resolved=[58, 98],
    )
    actors = Actors(
        [column(0), column(5)], [column(8), column(62)], [column(100), column(110)]
    )
    _, found, _, _ = tables(log, actors, [[0], [1]], min_batch_size=1, actor_of_thread={})
    assert found.due.tolist() == [30, -1]


def test_a_batch_is_due_when_its_smallest_size_is_there() -> None:
    log = noted(
        waits=[10, 50],
        drains=drains((51, 52, 2, 1, 0)),
        is_due_together=True,
        model_begin=[55],
        read=[56],
        model_end=[57],
        sizes=[2],
        runner=[1],
        num_resolved=[0],
        resolved=[58],
    )
    actors = Actors(
        [column(0), column(5)], [column(20), column(35)], [column(100), column(110)]
    )
    for least, due in ((1, 0), (2, 35), (3, -1)):
        found = tables(log, actors, [[0, 1]], min_batch_size=least, actor_of_thread={})[1]
        assert found.due.tolist() == [due]


def test_a_sample_keeps_a_stretch_and_the_slowest_with_their_batches() -> None:
    """Of 40 requests in 20 batches of two: the first stretch, and the slowest's batch."""
    number = 40
    rows = np.arange(number)
    submitted = 10 * rows
    replied = submitted + 5
    replied[31] += 1000
    requests = phases.Requests(
        rows % 2, submitted, submitted + 1, replied, rows // 2, rows // 2, replied - 1
    )
    per_batch = np.arange(20)
    drained = phases.Drains(*(per_batch for _ in range(5)))
    batches = phases.Batches(*(per_batch for _ in range(5)))
    taken = sample.take(
        requests, drained, batches, per_batch, (0, 10_000), for_s=100e-9, num_slowest=1, max_requests=8
    )  # fmt: skip
    assert taken.num_requests == number
    assert taken.requests.submitted.tolist() == [0, 10, 20, 30, 40, 50, 300, 310]
    (slow,) = taken.slowest
    assert taken.requests.submitted[slow] == 310
    # Renumbered: the last two are of the one batch that is kept of the later ones.
    assert taken.requests.batch.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert taken.runner.tolist() == [0, 1, 2, 15]


def test_looking_for_more_in_vain_is_waiting_for_the_batch() -> None:
    """One request taken at 20; of the smallest batch of two the other did not come until 90."""
    log = noted(
        waits=[1, 9, 21, 60, 62, 90],
        drains=drains((10, 20, 1, 1, 0)),
        empty_drains=[61, 91],
        model_begin=[95],
        read=[99],
        model_end=[110],
        sizes=[1],
        runner=[1],
        num_resolved=[0],
        resolved=[112],
    )
    actors = Actors([column(0)], [column(8)], [column(120)])
    requests, found, batches, _ = tables(
        log, actors, [[0]], min_batch_size=2, actor_of_thread={}
    )
    assert batches.drained.tolist() == [91]
    durations = phases.phases_ns(phases.boundaries(requests, found, batches))
    assert durations["wait for batch"].tolist() == [71]
    assert durations["collate"].tolist() == [8]
