"""Cutting stamps into phases: known stamps, and any stamps at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench.compute import phases
from slotbench.compute.phases import PHASES, Batches, Drains, Requests


def column(*values: int) -> phases.Column:
    return np.array(values, np.int64)


def one_request(
    *, published: int = 110, due: int = 0, wait: tuple[int, int] = (50, 150)
) -> tuple[Requests, Drains, Batches]:
    """Submitted at 100, taken at 160 to 170, replied at 400."""
    requests = Requests(
        actor=column(0),
        submitted=column(100),
        published=column(published),
        replied=column(400),
        batch=column(0),
        taken=column(0),
        resolved=column(330),
    )
    drains = Drains(column(wait[0]), column(wait[1]), column(due), column(160), column(170))
    batches = Batches(
        drained=column(170),
        read=column(200),
        forward_end=column(300),
        size=column(1),
        resolve_end=column(330),
    )
    return requests, drains, batches


def cut(*tables: object) -> dict[str, int]:
    edges = phases.boundaries(*tables)  # type: ignore[arg-type]
    return {name: int(of[0]) for name, of in phases.phases_ns(edges).items() if of[0]}


def test_a_server_that_sleeps_is_signalled_with_the_request() -> None:
    assert cut(*one_request()) == {
        "write": 10,
        "signal → server awake": 40,
        "server busy": 10,  # between its wait and its drain
        "drain": 10,
        "collate": 30,
        "forward": 100,
        "resolve": 30,
        "wake → actor running": 70,
    }


def test_a_server_that_comes_later_was_busy() -> None:
    found = cut(*one_request(wait=(130, 150)))
    assert found["server busy"] == 20 + 10
    assert found["signal → server awake"] == 20


def test_until_the_signal_the_batch_was_waited_for() -> None:
    found = cut(*one_request(due=140))
    assert found["wait for batch"] == 30
    assert found["signal → server awake"] == 10


def test_a_wait_that_nobody_ended_was_for_the_batch() -> None:
    found = cut(*one_request(due=-1))
    assert found["wait for batch"] == 40
    assert "signal → server awake" not in found


def test_a_request_that_came_after_the_wake_waited_for_nothing() -> None:
    found = cut(*one_request(published=155))
    assert found["write"] == 55
    assert found["server busy"] == 5
    assert not {"wait for batch", "signal → server awake"} & found.keys()


def test_a_stamp_that_came_late_does_not_prolong_the_write() -> None:
    """The server took it before its actor noted that submit had returned."""
    found = cut(*one_request(published=390))
    assert found["write"] == 70
    assert sum(found.values()) == 300


def test_an_unseen_write_is_in_the_phase_after_it() -> None:
    found = cut(*one_request(published=0))
    assert "write" not in found
    assert found["signal → server awake"] == 50
    assert sum(found.values()) == 300


def test_rows_taken_early_wait_for_the_rest_of_their_batch() -> None:
    requests, drains, batches = one_request()
    late = Batches(
        column(190), batches.read, batches.forward_end, batches.size, batches.resolve_end
    )
    found = cut(requests, drains, late)
    assert found["wait for batch"] == 20
    assert found["collate"] == 10


def test_an_actor_may_run_before_the_server_has_noted_its_reply() -> None:
    requests, drains, batches = one_request()
    early = Requests(
        *(getattr(requests, name) for name in Requests.__slots__[:3]),
        column(320),
        *(getattr(requests, name) for name in Requests.__slots__[4:]),
    )
    found = cut(early, drains, batches)
    assert found["resolve"] == 20
    assert "wake → actor running" not in found


def test_stamps_that_contradict_each_other_are_counted_and_left_out() -> None:
    requests, drains, batches = one_request()
    wrong = Batches(
        batches.drained, column(350), column(300), batches.size, batches.resolve_end
    )
    whole = phases.summarise(requests, drains, wrong, (0, 1000), is_write_seen=True)
    assert whole is None
    good = phases.summarise(requests, drains, batches, (0, 1000), is_write_seen=True)
    assert good is not None
    assert (good.num_requests, good.num_out_of_order, good.num_unseen) == (1, 0, 0)
    assert good.round_trip.mean_s == pytest.approx(300e-9)
    assert good.round_trip.p50_s is None


def test_only_replies_of_the_window_count() -> None:
    tables = one_request()
    for window in ((0, 399), (400, 500)):
        assert phases.summarise(*tables, window, is_write_seen=True) is None
    assert phases.summarise(*tables, (399, 400), is_write_seen=True) is not None


@given(st.data())
def test_phases_of_any_stamps_sum_to_the_round_trip(data: st.DataObject) -> None:
    """Whatever the stamps: each phase is 0 or more where they are in order, and nothing is lost."""
    number = data.draw(st.integers(1, 5))
    times = st.integers(1, 1000)

    def any_column() -> phases.Column:
        return column(*data.draw(st.lists(times, min_size=number, max_size=number)))

    rows = column(*range(number))
    submitted = any_column()
    requests = Requests(
        rows, submitted, any_column(), submitted + any_column(), rows, rows, any_column()
    )
    drains = Drains(
        any_column(), any_column(), any_column() - 1, any_column(), any_column()
    )
    batches = Batches(any_column(), any_column(), any_column(), rows, any_column())
    edges = phases.boundaries(requests, drains, batches)
    found = phases.phases_ns(edges)
    assert tuple(found) == PHASES
    assert (sum(found.values()) == requests.replied - requests.submitted).all()
    in_order = (np.diff(edges, axis=1) >= 0).all(axis=1)
    for durations in found.values():
        assert (durations[in_order] >= 0).all()
    summary = phases.summarise(requests, drains, batches, (0, 5000), is_write_seen=True)
    assert (summary is None) == (not in_order.any())
    if summary is not None:
        assert summary.num_requests == in_order.sum()
        assert summary.num_out_of_order == number - in_order.sum()
        assert summary.max_error_s == 0.0


def test_the_kth_row_of_an_actor_is_its_kth_request() -> None:
    batch, place = phases.match([[0, 1], [1], [0, 7, 1]], 2, [3, 2])
    assert batch[0].tolist() == [0, 2, -1]
    assert place[0].tolist() == [0, 0, -1]
    assert batch[1].tolist() == [0, 1]
    assert place[1].tolist() == [1, 0]
