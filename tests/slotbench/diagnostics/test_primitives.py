"""Primitives really hand over, really work on rows, and count what they say."""

import threading
from collections.abc import Callable

import pytest
import torch

from slotbench.compute import primitives as compute
from slotbench.diagnostics import primitives
from slotbench.measure import timing
from slotbench.measure.timing import Used
from slotbench.records import Primitive
from tests.slotbench.support import diagnoses

PLANS = {plan.name: plan for plan in primitives.catalogue()}
HAND_OVERS = [name for name, plan in PLANS.items() if plan.group == "hand-over"]
GATES = [
    *(primitives._EventGate, primitives._ConditionGate),
    *(primitives._QueueGate, primitives._FutureGate),
]


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.__name__)
def test_a_gate_lets_through_what_was_given_and_no_more(
    gate: Callable[[], primitives._Gate],
) -> None:
    """Each take waits for its own give, made by another thread; one take more waits."""
    there, back = gate(), gate()
    log: list[str] = []

    def answer() -> None:
        for number in range(30):
            there.take()
            log.append(f"taken {number}")
            back.give()

    other = threading.Thread(target=answer)
    other.start()
    for number in range(30):
        log.append(f"give {number}")
        there.give()
        back.take()
    other.join()
    assert log == [f"{what} {i}" for i in range(30) for what in ("give", "taken")]

    taken = threading.Event()

    def take() -> None:
        there.take()
        taken.set()

    one_more = threading.Thread(target=take)
    one_more.start()
    assert not taken.is_set()
    there.give()
    one_more.join()
    assert taken.is_set()


@pytest.mark.parametrize("name", HAND_OVERS)
def test_a_hand_over_is_between_two_threads_that_sleep(name: str) -> None:
    """On one CPU neither can run while the other does: two switches a round trip at least."""
    with timing.on_one_cpu():
        used = PLANS[name].prepare()(200)

    assert used.voluntary + used.involuntary >= 2 * 200


@pytest.mark.parametrize("name", [n for n in PLANS if n not in HAND_OVERS])
def test_work_on_rows_is_done_as_often_as_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its operation on 64 rows runs so many times between the two readings, and only there."""
    calls: list[object] = []
    used = timing.used

    def spying(work: Callable[[], object]) -> Used:
        with torch.profiler.profile() as profiled:
            result = used(work)
        calls.extend(
            event for event in profiled.events() if event.name.startswith("aten::")
        )
        return result

    monkeypatch.setattr(timing, "used", spying)
    with torch.no_grad():
        measured = PLANS[name].prepare()
        measured(1)
        once = len(calls)
        calls.clear()
        measured(5)

    assert once > 0
    assert len(calls) == 5 * once


def test_a_value_is_of_as_many_operations_as_take_long_enough() -> None:
    """Of 1 ms each, a value of 20 ms is of 20 to 24; per operation it is 1 ms, switches and CPU too."""
    asked: list[int] = []

    def measured(times: int) -> Used:
        asked.append(times)
        return Used(
            wall_s=1e-3 * times, cpu_s=5e-4 * times, voluntary=2 * times, involuntary=times
        )

    found = primitives.run(measured, num_values=3, value_s=0.02)

    assert 20 <= found.loops <= 24
    assert asked[-4:] == [found.loops] * 4, "the warm-up and three values"
    assert found.values_s == pytest.approx((1e-3,) * 3)
    assert found.warmup_s == pytest.approx(1e-3)
    assert (found.cpu_s, found.voluntary, found.involuntary) == pytest.approx((5e-4, 2, 1))


def test_a_dear_first_call_does_not_decide_how_many_operations_there_are() -> None:
    """A first call 1 000 times as dear as the others: values are long enough all the same."""
    calls = 0

    def measured(times: int) -> Used:
        nonlocal calls
        calls += times
        first_s = 0.01 if calls == times else 0.0
        return Used(first_s + 1e-5 * times, 0.0, 0, 0)

    found = primitives.run(measured, num_values=1, value_s=0.02)

    assert found.loops * found.values_s[0] >= 0.02


def test_the_order_is_drawn_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed gives the same order, another another; everything is measured once."""
    order: list[str] = []

    def prepare(name: str) -> primitives.Measured:
        order.append(name)
        return lambda times: Used(1.0 * times, 0.0, 0, 0)

    plans = tuple(
        primitives.PrimitivePlan(f"p{i}", "hand-over", "", lambda i=i: prepare(f"p{i}"))
        for i in range(8)
    )
    monkeypatch.setattr(primitives, "catalogue", lambda: plans)
    names = [plan.name for plan in plans]
    orders = []
    for seed in (1, 1, 2):
        order.clear()
        assert set(primitives.measure(names, seed, 1, 0.1)) == set(names)
        orders.append(tuple(order))

    assert sorted(orders[0]) == names
    assert orders[0] == orders[1] != orders[2]


def test_a_cost_is_of_processes() -> None:
    """Medians 6 and 24 µs: geometric mean 12, from 6 to 24; a long value of a process changes nothing."""
    runs = (diagnoses.run(6e-6), diagnoses.run(24e-6))
    found = compute.cost(Primitive("p", "hand-over", "", runs))

    assert found.time_s == pytest.approx(12e-6)
    assert (found.fastest_s, found.slowest_s) == (6e-6, 24e-6)
    assert found.cpu_s == pytest.approx(7.5e-6)
    assert (found.voluntary, found.involuntary) == (2.25, 0.5)
