"""The bound is the best that any mean batch allows."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench.compute import bound
from slotbench.records import GymEnvironment, Model, ThinkTime
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


def test_what_takes_an_unknown_time_has_no_bound() -> None:
    """A real network, a real environment, and nothing at all."""
    workload = build_workload()
    assert bound.of_workload(workload) is None
    for changes in (
        {"model": Model("mlp")},
        {"model": Model("sleep", 1.0), "environment": GymEnvironment("CartPole-v1")},
    ):
        assert bound.of_workload(dataclasses.replace(workload, **changes)) is None
    slow = dataclasses.replace(workload, model=Model("sleep", 1.0))
    assert bound.of_workload(slow) == pytest.approx(8_000)
    thinking = dataclasses.replace(slow, think_time=ThinkTime("constant", 9.0))
    assert bound.of_workload(thinking) == pytest.approx(800)


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
