"""What an open loop's window holds, from stamps made by hand: requests count from their intended start."""

import numpy as np
import pytest

from slotbench.measure.intended import Scheduled, of_window
from slotbench.measure.summary import Moment, Observed, summarise
from slotbench.records import OpenLoop, TrialMeasurement

MS = 1_000_000


def ns(*values_ms: float) -> np.ndarray:
    return np.array([round(value * MS) for value in values_ms], dtype=np.int64)


def window(
    *actors: Scheduled, begin: float = 100, end: float = 200
) -> tuple[list, OpenLoop]:
    """Latencies in ms, and the rest; given up 5 ms after the end."""
    latencies_ns, of = of_window(
        actors,
        begin_ns=round(begin * MS),
        end_ns=round(end * MS),
        given_up_ns=round((end + 5) * MS),
    )
    return [round(one / MS, 6) for one in latencies_ns.tolist()], of


def test_what_was_due_in_the_window_counts() -> None:
    """(100, 200]: due at 100 is before it, at 200 in it, though answered after it."""
    actor = Scheduled(
        ns(100, 101, 200, 201), ns(100, 101, 200, 201), ns(101, 103, 209, 210)
    )
    latencies, of = window(actor)

    assert latencies == [2, 9]
    assert (of.num_intended, of.num_unanswered) == (2, 0)


def test_a_reply_in_the_window_to_what_was_due_before_it_does_not_count() -> None:
    """It would be the backlog's, and how long that is depends on the warm-up."""
    latencies, of = window(Scheduled(ns(90, 150), ns(90, 150), ns(120, 152)))

    assert latencies == [2]
    assert of.num_intended == 1


def test_a_stall_counts_for_all_that_waited_for_it() -> None:
    """One reply takes 50 ms of four due every 10: the wait for the slot is theirs, too."""
    actor = Scheduled(
        intended=ns(110, 120, 130, 140, 170),
        submitted=ns(110, 160, 161, 162, 170),
        replied=ns(160, 161, 162, 163, 171),
    )
    latencies, of = window(actor)

    assert latencies == [1, 23, 32, 41, 50]
    # Coordinated omission would have shown one slow request, and p50 of 1 ms.
    assert of.late_mean_s == 0


def test_only_a_delay_with_a_free_slot_is_the_generators() -> None:
    """0.5 ms overslept; 0.25 ms after the slot was free; a busy slot's 8 ms are not."""
    actor = Scheduled(
        intended=ns(110, 112, 150),
        submitted=ns(110.5, 120.25, 150),
        replied=ns(120, 121, 151),
    )
    _, of = window(actor)

    assert of.late_mean_s == pytest.approx(0.25e-3)
    assert sum(count for _, count in of.late.buckets) == 3


def test_the_slot_was_busy_also_with_what_does_not_count() -> None:
    """The request before is the warm-up's."""
    _, of = window(Scheduled(ns(95, 101), ns(95, 130), ns(130, 131)))

    assert of.late_mean_s == 0


def test_what_was_never_submitted_counts_with_its_age() -> None:
    """At 205 ms, when it was given up; due after the window it does not count."""
    actor = Scheduled(ns(110, 150, 190, 210), ns(110), ns(204))
    latencies, of = window(actor)

    assert latencies == [15, 55, 94]
    assert (of.num_intended, of.num_unanswered) == (3, 2)


def test_percentiles_of_call_and_of_latency_without_delay() -> None:
    """500 requests, 10 ms apart: 1 ms each, but 20 of them overslept by 4 and 10 served in 3 ms."""
    due = np.arange(500) * 10 + 1000.0
    overslept = np.where(np.arange(500) % 25 == 0, 4.0, 0.0)
    served = np.where(np.arange(500) % 50 == 7, 3.0, 1.0)
    submitted = due + overslept
    actor = Scheduled(ns(*due), ns(*submitted), ns(*(submitted + served)))
    latencies, of = window(actor, begin=0, end=10_000)

    assert latencies[494] == 5
    assert of.late_p99_s == pytest.approx(4e-3)
    assert (of.call_p50_s, of.call_p99_s) == (pytest.approx(1e-3), pytest.approx(3e-3))
    assert (of.free_p50_s, of.free_p99_s) == (pytest.approx(1e-3), pytest.approx(3e-3))


def test_actors_are_counted_apart_and_shown_together() -> None:
    """One that had no reply at all is there, too."""
    latencies, of = window(
        Scheduled(ns(150), ns(150), ns(151)), Scheduled(ns(160, 170), ns(), ns())
    )

    assert latencies == [1, 35, 45]
    assert (of.num_intended, of.num_unanswered) == (3, 2)


def summary(**changes: object) -> TrialMeasurement:
    """One actor: due at 90, 110, 120, 190; the first reply takes until 150 ms."""
    fields: dict = {
        "origin_ns": 0,
        "begin": Moment(100 * MS, cpu_s=0.0, voluntary=0, involuntary=0),
        "end": Moment(200 * MS, cpu_s=0.0, voluntary=0, involuntary=0),
        "actors": [(ns(90, 150, 155, 190), ns(150, 155, 160, 201))],
        "batches": (ns(90, 150, 155, 190), ns(150, 155, 160, 201), np.array([1, 1, 1, 1])),
        "num_submitted": 4,
        "num_replied": 4,
        "num_served": 4,
        "sent_ns": 0,
        "joined_ns": 210 * MS,
        "recorder_cost_s": 0.0,
        "intended": [ns(90, 110, 120, 190)],
        "given_up_ns": 205 * MS,
    }
    return summarise(Observed(**(fields | changes)))


def test_throughput_counts_replies_and_latency_requests() -> None:
    """Replies in the window at 150, 155, 160; latencies of those due at 110, 120, 190."""
    measured = summary()

    assert (measured.num_replies, measured.replies_per_actor) == (3, (3,))
    assert measured.latency_mean_s == pytest.approx((0.045 + 0.040 + 0.011) / 3)
    assert measured.latency_max_s == pytest.approx(0.045)
    assert sum(count for _, count in measured.latency.buckets) == 3
    assert measured.open_loop is not None
    assert measured.open_loop.num_intended == 3


def test_an_open_loop_has_no_think_time() -> None:
    """Between a reply and the next request an actor waits for its schedule."""
    assert summary().think_mean_s is None


def test_a_closed_loop_has_no_schedule() -> None:
    """Its latencies are submit to reply, of replies in the window."""
    measured = summary(intended=())

    assert measured.open_loop is None
    assert measured.latency_mean_s == pytest.approx((0.060 + 0.005 + 0.005) / 3)
