"""Episodes in think times: their period, their mean, whose they are, and the bound over them."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from slotbench.compute import bound, demands, simulation, think_times
from slotbench.records import Batching, Model, ThinkTime, Window
from tests.slotbench.conftest import build_workload
from tests.slotbench.support.calibrations import calibration

SLOW = ThinkTime("constant", 1.0, reset_every=16, reset_ms=200.0)


def drawn(think: ThinkTime, index: int = 0, seed: int = 3) -> np.ndarray[Any, Any]:
    """An actor's think times, seconds."""
    return np.array(think_times.draw_s(think, think_times.actor_seed(seed, index)))


@pytest.mark.parametrize("every", [1, 7, 16, 200, 1024, 3000])
def test_resets_stay_as_far_apart_round_and_round(every: int) -> None:
    """Also where an episode does not divide the number drawn, and where it is longer."""
    times_s = drawn(dataclasses.replace(SLOW, reset_every=every))
    twice = np.concatenate([times_s, times_s])
    (resets,) = np.nonzero(twice > 0.1)

    assert len(times_s) >= think_times.NUM_DRAWN
    assert (np.diff(resets) == every).all()
    assert len(resets) == 2 * len(times_s) / every
    assert np.allclose(twice[resets], 0.201)
    assert np.allclose(np.delete(twice, resets), 1e-3)
    assert times_s.mean() == pytest.approx(think_times.mean_s(
        dataclasses.replace(SLOW, reset_every=every), 1))  # fmt: skip


def test_actors_do_not_reset_together() -> None:
    """Where in its episode an actor starts is drawn with its seed."""
    first = [int(np.argmax(drawn(SLOW, index) > 0.1)) for index in range(64)]

    assert len(set(first)) > 8
    assert set(first) <= set(range(16))


def test_only_so_many_actors_reset() -> None:
    """The seed says which actor it is of."""
    think = dataclasses.replace(SLOW, reset_actors=2)
    have = [bool((drawn(think, index, seed=2**32 - 1) > 0.1).any()) for index in range(5)]

    assert have == [True, True, False, False, False]
    assert think_times.actor_index(think_times.actor_seed(2**32 - 1, 16_383)) == 16_383


def test_resets_without_other_thinking() -> None:
    """Steps that take nothing but for the last of an episode; others draw nothing at all."""
    think = ThinkTime(reset_every=10, reset_ms=5.0, reset_actors=1)

    assert sorted(set(drawn(think))) == [0.0, 0.005]
    assert drawn(think, 1).tolist() == []


def test_a_reset_lasts_between_its_limits() -> None:
    """Uniformly, and the think times beside are those of the scenario without resets."""
    think = ThinkTime(
        "exponential", 1.0, reset_every=2, reset_ms=200.0, reset_max_ms=1000.0
    )
    plain = drawn(ThinkTime("exponential", 1.0))
    added = drawn(think) - plain
    resets = added[added > 1e-9]

    assert len(resets) == 512
    assert 0.2 <= resets.min() < 0.25
    assert 0.95 < resets.max() <= 1.0
    assert resets.mean() == pytest.approx(0.6, rel=0.06)
    assert think_times.mean_s(think, 4) == pytest.approx(0.301)


def test_the_mean_counts_each_actor_as_often_as_it_asks() -> None:
    """One actor of 13.5 ms and one of 1 ms make 14.5 requests in 13.5 ms: 1.86 ms each."""
    think = dataclasses.replace(SLOW, reset_actors=1)
    of_two = 2 / (1 / 13.5e-3 + 1 / 1e-3)

    assert think_times.mean_s(think, 2) == pytest.approx(of_two)
    assert think_times.mean_s(think, 1) == pytest.approx(13.5e-3)
    assert think_times.mean_s(SLOW, 2) == pytest.approx(13.5e-3)
    late = 2 / (1 / 14.5e-3 + 1 / 2e-3)
    assert think_times.mean_s(think, 2, excess_s=1e-3) == pytest.approx(late)
    # Of actors that ask again at once there is no end of requests.
    alone = ThinkTime(reset_every=16, reset_ms=200.0, reset_actors=1)
    assert think_times.mean_s(alone, 2) == 0.0
    assert think_times.mean_s(alone, 1) == pytest.approx(12.5e-3)


def test_demands_have_the_resets_in() -> None:
    """Nominal ones, and calibrated ones with the first actor's excess on top of all actors' mean."""
    think = dataclasses.replace(SLOW, reset_actors=1)
    workload = dataclasses.replace(
        build_workload(2), model=Model("sleep", 1.0), think_time=think
    )
    nominal = demands.nominal(workload)
    measured = demands.calibrated(
        workload, calibration(think_mean_s=15e-3, think_excess_s=1e-3)
    )

    assert nominal is not None
    assert measured is not None
    assert nominal.think_s == pytest.approx(think_times.mean_s(think, 2))
    assert measured.think_s == pytest.approx(think_times.mean_s(think, 2, 1e-3))
    resets_only = dataclasses.replace(
        build_workload(2), think_time=ThinkTime(reset_every=16, reset_ms=200.0)
    )
    assert demands.is_timed(resets_only)


@pytest.mark.parametrize("reset_actors", [None, 1, 7])
@pytest.mark.parametrize("mean_ms", [0.0, 1.0])
def test_the_bound_is_one_where_actors_differ(
    reset_actors: int | None, mean_ms: float
) -> None:
    """No simulation exceeds it; with the arithmetic mean of think times it would."""
    think = ThinkTime(
        "constant" if mean_ms else "none",
        mean_ms,
        reset_every=16,
        reset_ms=200.0,
        reset_actors=reset_actors,
    )
    workload = dataclasses.replace(
        build_workload(8),
        model=Model("sleep", 1.0, 0.1),
        think_time=think,
        batching=Batching(1, 8, 1.0),
    )
    found = demands.nominal(workload)
    assert found is not None
    limit = bound.of_demands(workload, found)
    free = simulation.of_cell(workload, found, seed=1)

    assert limit is not None
    assert free.per_s <= limit.per_s * (1 + 8 / free.num_requests)
    # And it is no bound of something else: actors that reset together are most of it.
    if reset_actors is None:
        assert free.per_s >= 0.5 * limit.per_s


def test_a_simulation_stalls_with_its_resetting_actor() -> None:
    """A server that waits for all eight waits for the one that resets: 13.5 ms and 1.8 a cycle."""
    workload = dataclasses.replace(
        build_workload(8),
        model=Model("sleep", 1.0, 0.1),
        think_time=dataclasses.replace(SLOW, reset_actors=1),
        batching=Batching(8, 8, 60_000.0),
        window=Window(measure_s=20.0, max_measure_s=20.0),
    )
    found = demands.nominal(workload)
    assert found is not None
    free = simulation.of_cell(workload, found, seed=1)

    assert free.mean_batch_size == 8
    assert free.per_s == pytest.approx(8 / 15.3e-3, rel=0.05)
