"""From the bound by way of a free transport and the floor to what was measured."""

import dataclasses
import math

import numpy as np
import pytest

from slotbench.compute import histogram, losses
from slotbench.compute.losses import Loss, Yardsticks
from slotbench.compute.statistics import RatioEstimate
from slotbench.records import CalibrationRecord, ThinkTime
from slotbench.store import StoredRun
from tests.slotbench.support import grids
from tests.slotbench.support.calibrations import calibrated, calibration

THREE = ("threading", "slot", "floor")


def ask(stored: StoredRun) -> dict[tuple[str, str], Loss]:
    """By cell and contender."""
    found = losses.losses(stored.run, stored.trials, stored.calibrations)
    return {(loss.cell, loss.contender): loss for loss in found}


def race(threading: float, slot: float, floor: float, **options: object) -> StoredRun:
    """64 actors, a policy of 1 ms, batches of 64 at most and of one at least."""
    place = grids.cell(64, 1.0)
    rates = {
        (place.name, "threading"): threading,
        (place.name, "slot"): slot,
        (place.name, "floor"): floor,
    }
    return grids.stored(rates, [place], labels=THREE, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_calibrated", [True, False])
def test_the_losses_multiply_to_the_bound(is_calibrated: bool) -> None:
    """Batching times waking times transport is bound over contender."""
    stored = grids.small_grid()
    found = ask(calibrated(stored) if is_calibrated else stored)

    assert len(found) == 16
    for loss in found.values():
        of = loss.yardsticks
        assert of.floor_per_s is not None
        assert loss.transport is not None
        assert of.floor_per_s / loss.measured_per_s == pytest.approx(loss.transport.point)
        if "latency_ms=0.0" in loss.cell:
            assert (of.demands, of.bound_per_s, of.batching, of.waking) == (None,) * 4
            assert loss.overhead is loss.added_s is None
            continue
        assert of.bound_per_s is not None
        assert of.free_per_s is not None
        assert of.batching is not None
        assert of.waking is not None
        assert loss.overhead is not None
        product = of.batching.point * of.waking.point * loss.transport.point
        assert product == pytest.approx(of.bound_per_s / loss.measured_per_s)
        assert loss.overhead.point == pytest.approx(of.waking.point * loss.transport.point)
        slots = of.num_slots
        assert loss.added_s == pytest.approx(
            slots / loss.measured_per_s - slots / of.free_per_s
        )


def test_nominal_times_are_the_scenarios() -> None:
    """64 actors without think time, 1 ms: 64 000/s, of which a greedy server loses half."""
    of = ask(race(9000.0, 3000.0, 10_000.0))[grids.cell(64, 1.0).name, "slot"].yardsticks

    assert of.bound_per_s == pytest.approx(64_000)
    assert of.limit == "times"
    assert of.free_per_s == pytest.approx(32_000, rel=0.01)
    assert of.num_calibrations == 0
    assert of.demands is not None
    assert of.demands.source == "nominal"
    assert of.batching is not None
    assert of.batching.low == of.batching.high == of.batching.point


def test_calibrated_times_are_those_of_the_rounds() -> None:
    """The bound falls with each round's policy; its interval is that of five calibrations."""
    stored = calibrated(race(9000.0, 3000.0, 10_000.0))
    of = ask(stored)[grids.cell(64, 1.0).name, "slot"].yardsticks

    assert of.num_calibrations == 5
    assert of.demands is not None
    assert of.demands.source == "calibrated"
    assert of.demands.think_s == pytest.approx(10e-6)
    # Middle round: 1 % of 1 ms and of 2 µs a row slower, twice.
    service_s = (1e-3 + 2e-6 * 64) * 1.01**2
    assert of.bound_per_s == pytest.approx(64 / (service_s + 10e-6), rel=0.01)


def test_what_a_round_does_to_all_cancels() -> None:
    """Policy, floor and contenders slow by a tenth in every other round: no loss is wider."""
    stored = race(9000.0, 3000.0, 10_000.0, noise=0.0)

    def factor(number: int) -> float:
        return 1.1 if number % 2 else 1.0

    trials = []
    for trial in stored.trials:
        assert trial.measurement is not None
        window_s = trial.measurement.window_s * factor(trial.round)
        measured = dataclasses.replace(trial.measurement, window_s=window_s)
        trials.append(dataclasses.replace(trial, measurement=measured))
    cell = stored.run.scenario.cells[0].name
    made = []
    for number in range(5):
        one = calibration(cell, number)
        points = tuple(
            dataclasses.replace(p, median_s=p.median_s * factor(number))
            for p in one.service
        )
        slow = factor(number) * 10e-6
        made.append(
            dataclasses.replace(
                one, service=points, think_mean_s=slow, think_excess_s=slow, work_s=slow
            )
        )
    stored = dataclasses.replace(stored, trials=tuple(trials), calibrations=tuple(made))
    loss = ask(stored)[cell, "slot"]

    for ratio in (loss.yardsticks.waking, loss.transport, loss.overhead):
        assert ratio is not None
        assert ratio.low is not None
        assert ratio.high is not None
        assert ratio.high / ratio.low < 1.002


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "failed", "service": (), "think_mean_s": None, "error": "it raised"},
        {"status": "failed", "error": "it hung"},
        {"attempt": 1},
    ],
)
def test_calibrations_that_do_not_count_are_left_out(wrong: dict[str, object]) -> None:
    """A failed one, and one before an attempt that does not count."""
    stored = calibrated(race(9000.0, 3000.0, 10_000.0))
    first, *others = stored.calibrations
    changed = dataclasses.replace(first, **wrong)  # type: ignore[arg-type]
    stored = dataclasses.replace(stored, calibrations=(changed, *others))
    found = ask(stored)

    assert {loss.yardsticks.num_calibrations for loss in found.values()} == {4}
    none = dataclasses.replace(stored, calibrations=(changed,))
    assert {loss.yardsticks.num_calibrations for loss in ask(none).values()} == {0}


def test_of_two_before_one_attempt_the_last_counts() -> None:
    """A run killed between calibration and first trial makes both anew, under one number."""
    stored = race(9000.0, 3000.0, 10_000.0)
    cell = stored.run.scenario.cells[0].name
    old = calibration(cell, 0, think_excess_s=1.0)
    both: tuple[CalibrationRecord, ...] = (old, calibration(cell, 0))
    of = ask(dataclasses.replace(stored, calibrations=both))[cell, "slot"].yardsticks

    assert of.num_calibrations == 1
    assert of.demands is not None
    assert of.demands.think_s == pytest.approx(10e-6)


def test_a_calibration_that_failed_last_is_not_replaced_by_an_earlier_one() -> None:
    """Nor forgotten: why it failed is said."""
    stored = race(9000.0, 3000.0, 10_000.0)
    cell = stored.run.scenario.cells[0].name
    both = (
        calibration(cell, 0),
        calibration(cell, 0, status="failed", error="the policy raised"),
    )
    of = ask(dataclasses.replace(stored, calibrations=both))[cell, "slot"].yardsticks

    assert of.num_calibrations == 0
    assert of.failure == "the policy raised"
    assert of.demands is not None
    assert of.demands.source == "nominal"


def test_each_round_is_simulated_with_its_own_seed_and_jitter() -> None:
    """Drawn think times are those of its trials; where none are drawn, its calibration's are."""
    place = grids.cell(16, 1.0)
    drawn = dataclasses.replace(
        place,
        workload=dataclasses.replace(
            place.workload, think_time=ThinkTime("exponential", 2.0)
        ),
    )
    rates = {(place.name, x): 4000.0 for x in THREE}
    alike = grids.stored(rates, [drawn], labels=THREE, noise=0.0)
    same = tuple(calibration(place.name, number) for number in range(5))
    seeded = tuple(dataclasses.replace(t, seed=t.round) for t in alike.trials)
    of = ask(dataclasses.replace(alike, trials=seeded, calibrations=same))
    overhead = of[place.name, "slot"].overhead
    assert overhead is not None
    assert overhead.log_sd is not None
    assert overhead.log_sd > 1e-4

    still = grids.stored(rates, [place], labels=THREE)
    late = histogram.count(np.array([0, 20_000_000] * 50))
    jittered = tuple(dataclasses.replace(one, think=late) for one in same)
    quiet, loud = (
        ask(dataclasses.replace(still, calibrations=made))[place.name, "slot"]
        for made in (same, jittered)
    )
    assert quiet.yardsticks.free_per_s is not None
    assert loud.yardsticks.free_per_s is not None
    assert loud.yardsticks.free_per_s < 0.5 * quiet.yardsticks.free_per_s


def test_nominal_think_times_are_drawn_for_each_round() -> None:
    """By the seeds of its trials: what luck does to a round is in the interval."""
    place = grids.cell(16, 1.0)
    workload = dataclasses.replace(place.workload, think_time=ThinkTime("exponential", 2.0))
    place = dataclasses.replace(place, workload=workload)
    rates = {(place.name, x): 4000.0 for x in THREE}
    stored = grids.stored(rates, [place], labels=THREE)
    seeded = tuple(dataclasses.replace(t, seed=t.round) for t in stored.trials)
    of = ask(dataclasses.replace(stored, trials=seeded))[place.name, "slot"].yardsticks

    assert of.batching is not None
    assert of.batching.low is not None
    assert of.batching.high is not None
    assert of.batching.low < of.batching.high


def test_without_a_floor_waking_and_transport_are_one() -> None:
    """What is below the free transport is known, not what of it is whose."""
    place = grids.cell(64, 1.0)
    rates = {(place.name, "threading"): 9000.0, (place.name, "slot"): 3000.0}
    stored = grids.stored(rates, [place], labels=("threading", "slot"))
    loss = ask(stored)[place.name, "slot"]

    assert loss.transport is loss.yardsticks.waking is loss.yardsticks.floor_per_s is None
    assert loss.overhead is not None
    assert loss.verdict is None


def test_the_floor_is_no_yardstick_of_a_policy_on_a_device() -> None:
    """Its batches make no way there and back: that would be laid to the transports."""
    place = grids.cell(64, 1.0)
    there = dataclasses.replace(
        place, workload=dataclasses.replace(place.workload, device="cuda")
    )
    rates = {(place.name, label): 5e3 for label in THREE}
    loss = ask(grids.stored(rates, [there], labels=THREE))[place.name, "slot"]

    assert loss.transport is loss.yardsticks.waking is loss.yardsticks.floor_per_s is None
    assert loss.overhead is not None


def test_the_largest_loss_is_named_where_intervals_do_not_overlap() -> None:
    """64 000/s bound, 32 000/s free: what the floor serves says who loses most."""
    cell = grids.cell(64, 1.0).name
    found = ask(race(9000.0, 25_000.0, 30_000.0))
    assert found[cell, "threading"].verdict == "transport"
    assert found[cell, "slot"].verdict == "batching"
    assert ask(race(9000.0, 9000.0, 10_000.0))[cell, "slot"].verdict == "waking"
    # What passes the floor loses nothing to it, however far away the bound is.
    assert (
        ask(race(9000.0, 3000.0, 4000.0))[cell, "threading"].verdict == "passes the floor"
    )
    one = ask(race(9000.0, 3000.0, 60_000.0, rounds=1))
    assert {loss.verdict for loss in one.values()} == {None}


def interval(points: tuple[float, float, float] | None) -> RatioEstimate | None:
    return None if points is None else RatioEstimate(*points, num_pairs=5, log_sd=0.1)


@pytest.mark.parametrize(
    ("batching", "waking", "transport", "expected"),
    [
        ((2.0, 1.8, 2.2), (1.0, 0.9, 1.1), (1.5, 1.4, 1.6), "batching"),
        ((1.5, 1.4, 1.6), (1.0, 0.9, 1.1), (2.0, 1.8, 2.2), "transport"),
        ((1.5, 1.4, 1.6), (2.0, 1.8, 2.2), (1.0, 0.9, 1.1), "waking"),
        ((2.0, 1.5, 2.6), (1.0, 0.9, 1.1), (1.5, 1.3, 1.7), None),
        ((2.0, 1.8, 2.2), (2.0, 1.8, 2.2), (0.9, 0.8, 0.95), "passes the floor"),
        ((2.0, 1.0, 4.0), (1.0, 0.9, 1.1), (0.9, 0.7, 1.1), None),
        (None, None, (0.9, 0.8, 0.95), "passes the floor"),
        (None, None, (1.5, 1.4, 1.6), None),
        ((2.0, 1.8, 2.2), (1.0, 0.9, 1.1), None, None),
    ],
)
def test_a_loss_is_judged_by_intervals(
    batching: tuple[float, float, float] | None,
    waking: tuple[float, float, float] | None,
    transport: tuple[float, float, float] | None,
    expected: str | None,
) -> None:
    """Never by points alone."""
    of = Yardsticks("c", 8, batching=interval(batching), waking=interval(waking))
    assert (
        Loss("c", "slot", of, False, 1.0, 1.0, interval(transport), None).verdict
        == expected
    )


def test_bounds_are_the_losses_own() -> None:
    """One a cell, None where only the floor bounds."""
    stored = calibrated(grids.small_grid())
    found = losses.bounds(stored.run, stored.trials, stored.calibrations)

    assert found == {
        loss.cell: loss.yardsticks.bound_per_s for loss in ask(stored).values()
    }
    assert None in found.values()


def test_flat_fields_hold_no_infinity() -> None:
    """JSON has none: an end that is not finite is missing."""
    wild = RatioEstimate(2.0, 0.0, math.inf, 2, 9.0)
    flat = losses.flat(Loss("c", "slot", Yardsticks("c", 8), False, 1.0, 1.0, wild, None))

    assert (flat["transport"], flat["transport_low"], flat["transport_high"]) == (
        2.0,
        0.0,
        None,
    )
    assert flat["bound_per_s"] is flat["source"] is None


def test_actors_in_processes_have_yardsticks_of_their_own() -> None:
    """No GIL bounds them, and bare threads are no floor of theirs; threads' own do not change."""
    place = grids.cell(64, 1.0)
    labels = ("threading", "torchrl.mp", "floor")
    rates = {(place.name, label): 5e3 for label in labels}
    # Two processors, 64 actors of which each holds the GIL for 100 µs: 10 000 a second at most.
    stored = calibrated(
        grids.stored(rates, [place], labels=labels), {"work_s": 100e-6, "think_cpu_s": 1e-4}
    )
    found = ask(stored)
    threads = found[place.name, "threading"].yardsticks
    apart = found[place.name, "torchrl.mp"].yardsticks

    assert (threads.has_gil, threads.limit) == (True, "GIL")
    assert threads.bound_per_s == pytest.approx(1e4)
    assert threads.floor_per_s is not None
    assert (apart.has_gil, apart.limit) == (False, "processors")
    assert apart.bound_per_s == pytest.approx(2e4)
    assert apart.floor_per_s is apart.waking is None
    assert found[place.name, "torchrl.mp"].transport is None
    assert found[place.name, "torchrl.mp"].overhead is not None
