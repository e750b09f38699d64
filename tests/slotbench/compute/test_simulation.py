"""The free transport against closed forms, an embedded Markov chain, and by hand."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from slotbench.compute import bound, demands, histogram, simulation
from slotbench.compute.simulation import Processors, simulate
from slotbench.records import Batching, Model, ThinkTime
from tests.slotbench.conftest import build_workload
from tests.slotbench.support.calibrations import calibration

FOREVER_MS = 1e9


def exponential(mean_s: float, seed: int) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    while True:
        yield from rng.exponential(mean_s, 1024).tolist()


def constant(mean_s: float, first_s: float) -> Iterator[float]:
    yield first_s
    yield from itertools.repeat(mean_s)


def greedy_per_s(
    num_slots: int, think_s: float, batch_s: float, row_s: float, most: int
) -> float:
    """Exponential think times, no minimum: the chain on how many wait when a batch starts.

    Source: peers study 5.3; a closed batch queue embedded at the starts of services.
    """
    states = np.arange(1, num_slots + 1)
    chain = np.zeros((num_slots, num_slots))
    for row, waiting in enumerate(states):
        taken = min(waiting, most)
        arrives = -np.expm1(-(batch_s + row_s * taken) / think_s)
        left = waiting - taken
        # Those taken think only from the end on: nobody of them arrives in the meantime.
        came = stats.binom.pmf(
            np.arange(num_slots - waiting + 1), num_slots - waiting, arrives
        )
        for number, chance in enumerate(came):
            chain[row, max(left + number, 1) - 1] += chance
    values, vectors = np.linalg.eig(chain.T)
    steady = np.real(vectors[:, np.argmax(np.real(values))])
    steady /= steady.sum()
    taken = np.minimum(states, most)
    service = batch_s + row_s * taken
    is_alone = taken == states
    none_came = np.exp(-service * (num_slots - states) / think_s)
    idle = np.where(is_alone, none_came, 0.0) * think_s / num_slots
    return float((steady * taken).sum() / (steady * (service + idle)).sum())


@pytest.mark.parametrize(
    ("num_slots", "think_s", "batch_s", "row_s", "most"),
    [
        (8, 1.0, 0.3, 0.15, 8),
        (32, 1.0, 1.0, 0.01, 32),
        (64, 0.2, 2.0, 0.02, 64),
        (32, 5.0, 0.5, 0.05, 32),
        (16, 1.0, 0.2, 0.0, 4),
        (6, 1.0, 0.5, 0.0, 1),
    ],
)
def test_greedy_service_is_the_chains(
    num_slots: int, think_s: float, batch_s: float, row_s: float, most: int
) -> None:
    """Within 1 % of the embedded Markov chain, also with a small largest batch."""
    found = simulate(
        [exponential(think_s, actor) for actor in range(num_slots)],
        Batching(1, most, FOREVER_MS),
        lambda rows: batch_s + row_s * rows,
        warmup_s=50 * (think_s + batch_s),
        min_requests=100_000,
        max_requests=200_000,
    )

    expected = greedy_per_s(num_slots, think_s, batch_s, row_s, most)
    assert found.per_s == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("num_slots", "think_s", "batch_s", "row_s", "least", "expected"),
    # peers study 5.3, "const" of its table
    [
        (32, 1.0, 1.0, 0.01, 1, 13.80),
        (32, 1.0, 1.0, 0.01, 32, 13.79),
        (64, 0.2, 2.0, 0.02, 1, 12.12),
        (64, 0.2, 2.0, 0.02, 60, 17.65),
        (64, 0.2, 2.0, 0.02, 64, 18.39),
        (64, 5.0, 20.0, 0.1, 53, 1.75),
        (8, 1.0, 0.3, 0.15, 4, 4.21),
    ],
)
def test_constant_think_times_give_the_studys_rates(
    num_slots: int,
    think_s: float,
    batch_s: float,
    row_s: float,
    least: int,
    expected: float,
) -> None:
    """An independent simulation of the reference study, to its three digits."""
    rng = np.random.default_rng(1)
    found = simulate(
        [constant(think_s, think_s * rng.uniform()) for _ in range(num_slots)],
        Batching(least, num_slots, FOREVER_MS),
        lambda rows: batch_s + row_s * rows,
        warmup_s=50 * (think_s + batch_s),
        min_requests=50_000,
        max_requests=100_000,
    )

    assert found.per_s == pytest.approx(expected, rel=0.005)


def test_a_minimum_of_all_is_a_barrier() -> None:
    """N requests in each Z + S(N), exactly."""
    found = simulate(
        [itertools.repeat(0.004)] * 16,
        Batching(16, 64, FOREVER_MS),
        lambda rows: 0.001 + 1e-5 * rows,
    )

    assert found.per_s == pytest.approx(16 / (0.004 + 0.00116))
    assert found.mean_batch_size == 16
    assert found.mean_latency_s == pytest.approx(0.00116)


def test_without_think_time_a_greedy_server_has_two_parties() -> None:
    """It takes the first alone, and the others meanwhile wait: N requests in 2 S."""
    found = simulate(
        [itertools.repeat(0.0)] * 16, Batching(1, 64), lambda _: 0.001, min_requests=2000
    )

    assert found.per_s == pytest.approx(8_000)
    assert found.mean_batch_size == pytest.approx(8)


def test_the_timeout_counts_from_when_the_oldest_could_be_taken() -> None:
    """One of two actors thinks for 1 s: the other's batch of two is given up after 10 ms."""
    slow = itertools.chain([1.0], itertools.repeat(1.0))
    found = simulate(
        [itertools.repeat(0.0), slow],
        Batching(2, 2, timeout_ms=10.0),
        lambda _: 0.005,
        min_requests=50,
    )

    # Both at 0, served at 5 ms; then every 15 ms, 10 of which are waiting, the quick one alone.
    assert found.mean_batch_size == pytest.approx(1.0, abs=0.05)
    assert found.per_s == pytest.approx(1 / 0.015, rel=0.05)


def test_what_holds_the_gil_is_done_by_one_at_a_time() -> None:
    """However many actors and processors there are: 1 ms of it each, 1 000 a second."""
    found = simulate(
        [itertools.repeat(0.001)] * 16,
        Batching(),
        lambda _: 1e-5,
        min_requests=5000,
        processors=Processors(64, think_cpu_s=0.001, think_gil_s=0.001),
    )

    assert found.per_s == pytest.approx(1000, rel=0.01)


def test_computing_is_done_by_as_many_as_there_are_processors() -> None:
    """3 of them, 1 ms each: 3 000 a second; 2 are left where the policy always computes."""
    times = [itertools.repeat(0.001)] * 16
    idle = Processors(3, think_cpu_s=0.001)
    found = simulate(times, Batching(), lambda _: 1e-5, min_requests=5000, processors=idle)
    assert found.per_s == pytest.approx(3000, rel=0.01)

    busy = dataclasses.replace(idle, service_cpu_s=lambda rows: 0.0005 * rows)
    found = simulate(
        times, Batching(1, 1), lambda _: 0.0, min_requests=5000, processors=busy
    )
    assert found.per_s == pytest.approx(2000, rel=0.01)


TIMES = st.one_of(st.just(0.0), st.floats(1e-5, 1e-2))


@settings(deadline=None, max_examples=40)
@given(
    num_slots=st.integers(1, 40),
    least=st.integers(1, 40),
    most=st.integers(1, 64),
    think_s=TIMES,
    batch_s=st.floats(1e-5, 1e-2),
    row_s=st.one_of(st.just(0.0), st.floats(1e-6, 1e-3)),
    work_share=st.floats(0.0, 1.0),
    num_cpus=st.integers(1, 4),
)
def test_nothing_that_is_simulated_exceeds_the_bound(
    num_slots: int,
    least: int,
    most: int,
    think_s: float,
    batch_s: float,
    row_s: float,
    work_share: float,
    num_cpus: int,
) -> None:
    """Any minimum, any largest batch, any share of computing: X* holds."""
    workload = dataclasses.replace(
        build_workload(num_slots),
        think_time=ThinkTime("constant", think_s * 1e3) if think_s else ThinkTime(),
        batching=Batching(least, most, 1.0),
    )
    found = demands.Demands(
        think_s=think_s,
        think_cpu_s=think_s * work_share,
        think_gil_s=think_s * work_share / 2,
        service=demands.ServiceTime(batch_s, row_s),
        service_cpu=demands.ServiceTime(batch_s / 2, row_s / 2),
        excess_s=0.0,
        num_cpus=num_cpus,
        source="calibrated",
    )
    limit = bound.of_demands(workload, found)
    free = simulation.of_cell(workload, found, seed=1)

    assert limit is not None
    # Each actor may enter the window with one request made before it.
    assert free.per_s <= limit.per_s * (1 + num_slots / free.num_requests + 1e-9)


def test_a_trial_is_simulated_with_its_own_think_times() -> None:
    """Another seed draws others; the same seed the same."""
    workload = dataclasses.replace(
        build_workload(4),
        model=Model("sleep", 1.0),
        think_time=ThinkTime("exponential", 2.0),
    )
    found = demands.nominal(workload)
    assert found is not None
    first, again, other = (
        simulation.of_cell(workload, found, seed=seed) for seed in (1, 1, 2)
    )

    assert first == again
    assert first != other
    # Some 1 000 requests a second were drawn of 2 ms: their mean is a few percent off.
    assert first.per_s == pytest.approx(other.per_s, rel=0.2)
    late = dataclasses.replace(found, think_s=3e-3, excess_s=1e-3)
    assert simulation.of_cell(workload, late, seed=1).per_s < 0.85 * first.per_s


def test_a_real_environments_times_are_drawn_from_its_histogram() -> None:
    """A third of the steps take 7 ms, the others 1 ms: 3 ms on average."""
    workload = dataclasses.replace(build_workload(1), model=Model("sleep", 1.0))
    steps = histogram.count(np.array([1_000_000, 1_000_000, 7_000_000] * 30))
    found = demands.calibrated(
        workload, calibration(think_mean_s=3e-3, think_excess_s=None)
    )
    assert found is not None
    free = simulation.of_cell(workload, found, seed=1, thinks=steps)

    assert free.per_s == pytest.approx(1 / (3e-3 + 1.002e-3), rel=0.05)


def test_the_first_to_come_is_the_first_served() -> None:
    """With room for one of three, nobody is served twice before all were: they wait alike."""
    found = simulate(
        [itertools.repeat(0.0)] * 3, Batching(1, 1), lambda _: 0.001, min_requests=300
    )

    # Each waits for the two others, then is served: always 3 ms.
    assert found.mean_latency_s == pytest.approx(0.003)


def test_what_a_think_takes_it_computes() -> None:
    """Two processors, and draws of 1 and 3 ms that compute all the while: 1 000 requests a second."""
    times = [itertools.cycle([0.001, 0.003]) for _ in range(8)]
    found = simulate(
        times,
        Batching(),
        lambda _: 1e-6,
        min_requests=4000,
        processors=Processors(2, think_cpu_share=1.0),
    )

    assert found.per_s == pytest.approx(1000, rel=0.02)


def test_the_window_is_what_was_asked() -> None:
    """Two seconds of it, after one that does not count, though a few requests would do."""
    found = simulate(
        [itertools.repeat(0.0)] * 4,
        Batching(4, 4, FOREVER_MS),
        lambda _: 0.01,
        warmup_s=1.0,
        measure_s=2.0,
    )

    assert found.num_requests == pytest.approx(800, abs=8)


def test_the_warm_up_does_not_count() -> None:
    """Ten slow cycles, then quick ones: after a second only these are left."""
    times = [itertools.chain(itertools.repeat(0.09, 10), itertools.repeat(0.0))]
    found = simulate(
        times, Batching(), lambda _: 0.01, warmup_s=1.0, measure_s=2.0, min_requests=10
    )

    assert found.per_s == pytest.approx(100)


def test_what_does_not_count_does_not_shorten_the_window() -> None:
    """However many requests the warm-up takes."""
    found = simulate(
        [itertools.repeat(0.0)] * 4,
        Batching(4, 4, FOREVER_MS),
        lambda _: 0.001,
        warmup_s=1.0,
        min_requests=400,
        max_requests=500,
    )

    assert found.num_requests == pytest.approx(400, abs=8)


def test_equal_think_times_do_not_march_in_step() -> None:
    """8 actors, 5 ms, a policy of 1 ms: of phases drawn anew, not all at once and one after the other."""
    workload = dataclasses.replace(
        build_workload(8), model=Model("sleep", 1.0), think_time=ThinkTime("constant", 5.0)
    )
    found = demands.nominal(workload)
    assert found is not None
    rates = {simulation.of_cell(workload, found, seed=seed).per_s for seed in range(4)}

    assert len(rates) > 1
    assert max(rates) <= 8 / 6e-3


def test_jitter_is_that_of_the_calibration() -> None:
    """Where nothing is drawn, what was calibrated is: half of the thinks end 2 ms late."""
    workload = dataclasses.replace(build_workload(1), model=Model("sleep", 1.0))
    found = demands.calibrated(workload, calibration())
    assert found is not None
    late = histogram.count(np.array([0, 2_000_000] * 50))
    free = simulation.of_cell(workload, found, seed=1, thinks=late)

    assert free.per_s == pytest.approx(1 / 2.002e-3, rel=0.05)


def test_what_cannot_be_simulated_is_refused() -> None:
    """Nobody, no room, no time."""
    with pytest.raises(ValueError, match="needs an actor"):
        simulate([], Batching(), lambda _: 1.0)
    with pytest.raises(ValueError, match="needs an actor"):
        simulate([itertools.repeat(1.0)], Batching(1, 0), lambda _: 1.0)
    with pytest.raises(ValueError, match="nothing takes any time"):
        simulate([itertools.repeat(0.0)], Batching(), lambda _: 0.0)
