"""Several servers of one queue against closed forms and by hand, and what one server always did."""

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slotbench.compute import bound, forecast, simulation, think_times
from slotbench.compute.simulation import Processors, Simulated, simulate
from slotbench.records import (
    Batching,
    Leaf,
    Model,
    Observation,
    ThinkTime,
    Window,
    Workload,
)

FOREVER_MS = 1e9


def exponential(mean_s: float, seed: int) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    while True:
        yield from rng.exponential(mean_s, 1024).tolist()


def at(*times_s: float) -> list[Iterator[float]]:
    """Actors that ask once more after so long, and then never again to speak of."""
    return [itertools.chain([time_s], itertools.repeat(1e6)) for time_s in times_s]


@pytest.mark.parametrize(
    ("num_slots", "least", "most", "timeout_ms", "processors", "takes_turns", "expected"),
    # As they came out before there was more than one server.
    [
        (
            *(8, 1, 8, 10, Processors(), False),
            (1443.8298917106613, 1.6382978723404256, 0.0015127609624317373, 3003),
        ),
        (
            *(32, 16, 32, 3),
            Processors(2, 1e-4, 0, 1e-4, lambda n: 1e-5 * n, lambda n: 1e-5 * n),
            False,
            (4113.1534288785315, 15.39795918367347, 0.0029627129116578505, 3018),
        ),
        (
            *(64, 64, 64, 1, Processors(4, think_cpu_share=0.2), True),
            (5161.555312157724, 11.511450381679388, 0.0023839092815912694, 3016),
        ),
        (
            *(16, 4, 5, 0.5, Processors(None, 1e-4, 0, 1e-4), True),
            (2701.974765400143, 3.6311970979443773, 0.0016707756694768683, 3003),
        ),
        (
            *(5, 9, 3, 7, Processors(1, 2e-4), False),
            (755.0501541150406, 2.9791459781529297, 0.0024099502129350837, 3000),
        ),
    ],
)
def test_one_server_does_what_it_always_did(  # a row of the table
    num_slots: int,
    least: int,
    most: int,
    timeout_ms: float,
    processors: Processors,
    takes_turns: bool,
    expected: tuple[float, float, float, int],
) -> None:
    """To the last digit, with computing and taking turns: forecasts and losses of old stay."""
    found = simulate(
        [exponential(0.004, actor) for actor in range(num_slots)],
        Batching(least, most, timeout_ms),
        lambda rows: 1e-3 + 2e-5 * rows,
        warmup_s=0.1,
        min_requests=3000,
        processors=processors,
        takes_turns=takes_turns,
    )

    got = (found.per_s, found.mean_batch_size, found.mean_latency_s, found.num_requests)
    assert got == pytest.approx(expected, rel=1e-12)


def repairmen_per_s(
    num_slots: int, num_servers: int, think_s: float, served_s: float
) -> float:
    """M/M/c//N: the steady state of a birth-death chain on how many wait or are served.

    Source: the machine-repairman model, such as Kleinrock, Queueing Systems, vol. 1, 3.8.
    """
    logs = [0.0]
    for waiting in range(num_slots):
        born = (num_slots - waiting) / think_s
        died = min(waiting + 1, num_servers) / served_s
        logs.append(logs[-1] + math.log(born / died))
    weights = np.exp(np.array(logs) - max(logs))
    busy = np.minimum(np.arange(num_slots + 1), num_servers)
    return float((weights * busy).sum() / weights.sum() / served_s)


@pytest.mark.parametrize(
    ("num_slots", "num_servers", "think_s", "served_s"),
    [
        (10, 1, 1.0, 0.2),
        (10, 3, 1.0, 0.4),
        (40, 4, 1.0, 0.1),
        (40, 8, 0.5, 0.1),
        (3, 5, 1.0, 1.0),
    ],
)
def test_exponential_service_one_by_one_is_the_repairmens(
    num_slots: int, num_servers: int, think_s: float, served_s: float
) -> None:
    """Throughput, latency and utilisation within 1.5 % of M/M/c//N."""
    factors = exponential(1.0, 77)
    found = simulate(
        [exponential(think_s, actor) for actor in range(num_slots)],
        Batching(1, 1),
        lambda _: served_s * next(factors),
        min_requests=60_000,
        max_requests=120_000,
        num_servers=num_servers,
    )

    expected = repairmen_per_s(num_slots, num_servers, think_s, served_s)
    assert found.per_s == pytest.approx(expected, rel=0.015)
    # Little: those who do not think wait or are served.
    waits_s = num_slots / expected - think_s
    assert found.mean_latency_s == pytest.approx(waits_s, rel=0.03)
    assert found.busy_ratio == pytest.approx(expected * served_s / num_servers, rel=0.015)


def test_two_servers_take_two_batches_at_a_time() -> None:
    """Four actors that never think, batches of 2: two servers double one server's rate."""
    rates = [
        simulate(
            [itertools.repeat(0.0)] * 4,
            Batching(2, 2, FOREVER_MS),
            lambda _: 0.001,
            min_requests=400,
            num_servers=servers,
        )
        for servers in (1, 2)
    ]

    assert [round(one.per_s) for one in rates] == [2000, 4000]
    assert [one.busy_ratio for one in rates] == pytest.approx([1.0, 1.0], abs=0.01)


def first(
    starts_s: list[float],
    batching: Batching,
    service_s: Callable[[int], float],
    servers: int,
) -> Simulated:
    """Simulate actors that ask all 10 s, at the same moments of them."""
    return simulate(
        [itertools.repeat(9.9)] * len(starts_s),
        batching,
        service_s,
        min_requests=5 * len(starts_s),
        starts_s=starts_s,
        num_servers=servers,
    )


def test_an_idle_server_leaves_alone_what_another_gathers() -> None:
    """A gathers 0 and 1 s for its 3 rows; B, idle, takes neither: one batch of 3, at 2 s."""
    found = first([0.0, 1.0, 2.0], Batching(3, 3, FOREVER_MS), lambda _: 0.1, 2)

    assert found.mean_batch_size == 3
    assert found.timeout_ratio == 0


def test_the_timeout_of_any_server_counts_from_its_oldest() -> None:
    """Requests at 0 and 0.4 s with 0.5 s to wait for a third, which comes at 0.7: a batch of 2 at 0.5."""
    sizes: list[int] = []

    def service_s(rows: int) -> float:
        sizes.append(rows)
        return 0.1

    # In this cycle of 10 s the two are answered at 0.6 and the third at 1.3, its timeout being over.
    simulate(
        at(1e6, 1e6, 1e6),
        Batching(3, 3, 500.0),
        service_s,
        max_requests=1,
        starts_s=[0.0, 0.4, 0.7],
        num_servers=2,
    )

    assert sizes[:2] == [2, 1]


def test_latencies_begin_with_the_request() -> None:
    """Two of three wait 1 and 2 s for the last, then 0.1 s for the policy."""
    found = first([0.0, 1.0, 2.0], Batching(3, 3, FOREVER_MS), lambda _: 0.1, 2)

    # Once served together they ask together, so only the first counts: by a window of one batch.
    assert found.latency_p99_s == pytest.approx(0.1)
    spread = simulate(
        [itertools.repeat(1.0), itertools.repeat(2.0), itertools.repeat(3.0)],
        Batching(3, 3, FOREVER_MS),
        lambda _: 0.1,
        min_requests=30,
        num_servers=2,
    )
    assert spread.mean_latency_s == pytest.approx((2.1 + 1.1 + 0.1) / 3)
    assert spread.latency_p50_s == pytest.approx(1.1)
    assert spread.latency_p99_s == pytest.approx(2.1)


def test_how_often_time_was_up_is_counted() -> None:
    """One of two actors is away for long: the other's batch of two is always given up."""
    found = simulate(
        [itertools.repeat(0.0), itertools.repeat(1.0)],
        Batching(2, 2, timeout_ms=10.0),
        lambda _: 0.005,
        min_requests=200,
    )

    assert found.timeout_ratio == pytest.approx(1.0, abs=0.05)
    assert found.busy_ratio == pytest.approx(1 / 3, abs=0.02)


def test_what_holds_the_gil_in_servers_is_done_by_one_at_a_time() -> None:
    """Of 1 ms a batch half holds the GIL: four servers serve 2 000 batches a second, not 4 000."""
    found = simulate(
        [itertools.repeat(0.0)] * 32,
        Batching(1, 1),
        lambda _: 0.001,
        min_requests=8000,
        processors=Processors(service_gil_s=lambda _: 0.0005),
        num_servers=4,
    )

    assert found.per_s == pytest.approx(2000, rel=0.01)


def workload(num_slots: int, think: ThinkTime, model: Model, rule: Batching) -> Workload:
    leaves = (Leaf("observation", (8,), "float32"),)
    return Workload(num_slots, Observation(leaves), think, model, rule, Window())


@settings(deadline=None, max_examples=30)
@given(
    num_slots=st.integers(1, 40),
    num_servers=st.integers(1, 6),
    least=st.integers(1, 40),
    most=st.integers(1, 64),
    think_ms=st.floats(0.01, 10),
    distribution=st.sampled_from(("constant", "exponential")),
    batch_ms=st.floats(0.01, 10),
    row_ms=st.one_of(st.just(0.0), st.floats(1e-3, 1.0)),
)
def test_no_number_of_servers_exceeds_its_bound(
    num_slots: int,
    num_servers: int,
    least: int,
    most: int,
    think_ms: float,
    distribution: str,
    batch_ms: float,
    row_ms: float,
) -> None:
    """k·n/(a + b·n) and N/(Z + a + b·n) hold for any rule, and more servers never lower the bound."""
    asked = workload(
        num_slots,
        ThinkTime(distribution, think_ms),  # type: ignore[arg-type]  # one of the names
        Model("sleep", batch_ms, row_ms),
        Batching(least, most, 1.0),
    )
    demands = forecast.nominal(asked, None)
    limits = [
        bound.of_demands(asked, demands, num_servers=servers)
        for servers in (num_servers, num_servers + 1)
    ]
    assert limits[0] is not None
    assert limits[1] is not None
    assert limits[1].per_s >= limits[0].per_s * (1 - 1e-9)
    found = simulation.of_many(asked, demands, seed=1, num_servers=num_servers)
    # What is drawn has a mean of its own: of 30 000 draws, 0.6 % in one of three.
    slack = 1.03 if distribution == "exponential" else 1.0
    edge = 1 + num_slots / found.num_requests + 1e-9
    assert found.per_s <= slack * limits[0].per_s * edge


def test_the_balance_is_where_made_and_served_meet() -> None:
    """N/(Z + a + b·n) = k·n/(a + b·n) at n*, for one server and for three."""
    for servers in (1, 3):
        rows = bound.balance(
            *(200,),
            max_batch_size=200,
            think_s=0.05,
            batch_s=0.02,
            row_s=1e-4,
            num_servers=servers,
        )
        served_s = 0.02 + 1e-4 * rows
        assert 1 < rows < 200
        assert 200 / (0.05 + served_s) == pytest.approx(servers * rows / served_s)


@pytest.mark.parametrize(
    ("think", "mean_s", "cv"),
    [
        (ThinkTime("none"), 0.0, 0.0),
        (ThinkTime("constant", 2.0), 2e-3, 0.0),
        (ThinkTime("exponential", 2.0), 2e-3, 1.0),
        (ThinkTime("lognormal", 2.0, 0.5), 2e-3, math.sqrt(math.exp(0.25) - 1)),
    ],
)
def test_many_actors_draw_from_one_stream(
    think: ThinkTime, mean_s: float, cv: float
) -> None:
    """All of it scatters as asked, each taking what comes next, plus what they take beside."""
    drawn = think_times.of_many_s(think, 100, seed=3, excess_s=1e-3)
    times_s = np.array([next(drawn[i % 100]) for i in range(60_000)]) - 1e-3

    assert times_s.mean() == pytest.approx(mean_s, rel=0.02)
    assert times_s.std() == pytest.approx(cv * mean_s, rel=0.03, abs=1e-9)


def test_resets_of_many_come_every_so_many_steps_of_each() -> None:
    """Of two actors that reset all 10 steps and one that never does, not in step with each other."""
    think = ThinkTime(
        "constant", 1.0, reset_every=10, reset_ms=50, reset_max_ms=60, reset_actors=20
    )
    drawn = think_times.of_many_s(think, 21, seed=1)
    steps = [[next(actor) for _ in range(40)] for actor in drawn]
    places = [[i for i, time_s in enumerate(one) if time_s > 0.002] for one in steps]

    assert places[20] == []
    assert all(np.diff(one).tolist() == [10, 10, 10] for one in places[:20])
    assert len({one[0] for one in places[:20]}) > 3
    assert all(
        0.051 <= time_s <= 0.061 for one in steps for time_s in one if time_s > 0.002
    )


def test_a_balance_without_anybody_is_refused() -> None:
    """No slot, no server, no room; no time below 0."""
    plain = {"max_batch_size": 8, "think_s": 1.0, "batch_s": 1.0, "row_s": 0.0}
    for wrong in ({"num_servers": 0}, {"max_batch_size": 0}, {"batch_s": -1.0}):
        with pytest.raises(ValueError, match="at least"):
            bound.balance(8, **(plain | wrong))  # type: ignore[arg-type]


def test_a_server_that_takes_turns_is_alone() -> None:
    """Nobody has said what several of them would do; and none is no server."""
    for options in ({"takes_turns": True, "num_servers": 2}, {"num_servers": 0}):
        with pytest.raises(ValueError, match="needs a server"):
            simulate([itertools.repeat(1.0)], Batching(), lambda _: 1.0, **options)  # type: ignore[arg-type]
