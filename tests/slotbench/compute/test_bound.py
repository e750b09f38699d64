"""The bound is the best that any mean batch allows."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench.compute import bound
from slotbench.compute.demands import NO_TIME, Demands, ServiceTime
from tests.slotbench.conftest import build_workload

TIMES = st.one_of(st.just(0.0), st.floats(1e-6, 1.0))


@pytest.mark.parametrize(
    ("num_slots", "latency_s", "expected"),
    # reference study: a model of 1 and 5 ms with a minimum batch of all actors
    [(16, 1e-3, 16_000), (64, 5e-3, 12_800), (16, 5e-3, 3_200)],
)
def test_without_think_time_all_actors_are_one_batch(
    num_slots: int, latency_s: float, expected: float
) -> None:
    """Everybody waits for every batch: N requests in each service time."""
    found = bound.requests_per_s(
        num_slots, max_batch_size=64, think_s=0.0, batch_s=latency_s, row_s=0.0
    )
    assert found == pytest.approx(expected)


@given(
    num_slots=st.integers(1, 300),
    max_batch_size=st.integers(1, 300),
    think_s=TIMES,
    batch_s=TIMES,
    row_s=TIMES,
)
def test_no_mean_batch_gives_more(
    num_slots: int, max_batch_size: int, think_s: float, batch_s: float, row_s: float
) -> None:
    """Against every mean batch on a fine grid: none beats it, and one comes close."""
    found = bound.requests_per_s(
        num_slots,
        max_batch_size=max_batch_size,
        think_s=think_s,
        batch_s=batch_s,
        row_s=row_s,
    )
    if found is None:
        assert batch_s == row_s == think_s == 0.0
        return
    rows = np.linspace(1.0, min(num_slots, max_batch_size), 20_001)
    service_s = batch_s + row_s * rows
    with np.errstate(divide="ignore"):
        tried = np.minimum(num_slots / (think_s + service_s), rows / service_s).max()
    assert tried <= found * (1 + 1e-9)
    assert found <= tried * 1.05


def test_think_time_alone_bounds_what_is_made() -> None:
    """A server that takes no time serves what 8 actors make, each 100 a second."""
    found = bound.requests_per_s(8, max_batch_size=64, think_s=0.01, batch_s=0, row_s=0)
    assert found == pytest.approx(800)


def demand(**changes: object) -> Demands:
    """8 actors' worth of nothing but a policy of 1 ms."""
    sound = Demands(
        think_s=0.0,
        think_cpu_s=0.0,
        think_gil_s=0.0,
        service=ServiceTime(1e-3, 0.0),
        service_cpu=NO_TIME,
        excess_s=0.0,
        num_cpus=2,
        source="nominal",
    )
    return dataclasses.replace(sound, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "per_s", "limit"),
    [
        ({}, 8_000, "times"),
        # 250 µs under the GIL: no more than 4 000 a second, whoever they are.
        ({"think_s": 250e-6, "think_gil_s": 250e-6, "think_cpu_s": 250e-6}, 4_000, "GIL"),
        # The same without it: 2 CPUs, 8 000 a second; but 8/(250 µs + 1 ms) are asked.
        ({"think_s": 250e-6, "think_cpu_s": 250e-6}, 6_400, "times"),
        ({"think_s": 500e-6, "think_cpu_s": 500e-6}, 4_000, "processors"),
        # The policy computes, too: 1 ms for each batch of 8 at most, beside 375 µs of an actor.
        (
            {"think_cpu_s": 375e-6, "service_cpu": ServiceTime(1e-3, 0.0)},
            4_000,
            "processors",
        ),
        ({"service": NO_TIME}, None, None),
    ],
)
def test_the_least_limit_is_the_bound(
    changes: dict[str, object], per_s: float | None, limit: str | None
) -> None:
    """Worked by hand, for 8 actors."""
    found = bound.of_demands(build_workload(8), demand(**changes))

    if per_s is None:
        assert found is None
    else:
        assert found is not None
        assert (found.per_s, found.limit) == (pytest.approx(per_s), limit)


def test_without_the_number_of_cpus_they_are_no_limit() -> None:
    """A record that does not say how many there were."""
    found = bound.of_demands(
        build_workload(8), demand(think_s=0.5, think_cpu_s=0.5, num_cpus=None)
    )

    assert found is not None
    assert found.limit == "times"


@pytest.mark.parametrize(
    "wrong", [{"num_slots": 0}, {"max_batch_size": 0}, {"row_s": -1.0}]
)
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    """No slots, no room, negative times."""
    sound = {
        "num_slots": 1,
        "max_batch_size": 1,
        "think_s": 0.0,
        "batch_s": 1.0,
        "row_s": 0.0,
    }
    with pytest.raises(ValueError, match="at least"):
        bound.requests_per_s(**{**sound, **wrong})  # type: ignore[arg-type]
