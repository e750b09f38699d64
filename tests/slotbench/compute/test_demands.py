"""Z, a and b from calibrations and from scenarios; the line against numpy and by hand."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from slotbench.compute import demands
from slotbench.records import (
    CalibrationRecord,
    GymEnvironment,
    Model,
    ServicePoint,
    ThinkTime,
    Workload,
)
from tests.slotbench.conftest import build_workload
from tests.slotbench.support.calibrations import calibration

SLOW = dataclasses.replace(build_workload(8), model=Model("sleep", 1.0))


def thinking(mean_ms: float = 2.0, **changes: object) -> Workload:
    """A policy of 1 ms, and actors that think."""
    think = ThinkTime("exponential", mean_ms, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(SLOW, think_time=think)


@given(batch_s=st.floats(1e-6, 1.0), row_s=st.floats(0.0, 1e-2), sizes=st.integers(2, 6))
def test_points_on_a_line_give_the_line(batch_s: float, row_s: float, sizes: int) -> None:
    """Also where the batch is a thousand times the row."""
    points = [(4**k, batch_s + row_s * 4**k) for k in range(sizes)]
    found = demands.fit(points)

    for size, time_s in points:
        assert found.of(size) == pytest.approx(time_s, rel=1e-6)
    assert found.misfit_ratio < 1e-6


def test_the_line_is_numpys_weighted_one() -> None:
    """`numpy.polyfit` with the weights 1/t minimises the same sum."""
    rng = np.random.default_rng(3)
    sizes = np.array([1, 3, 8, 23, 64])
    times = (1e-3 + 2e-5 * sizes) * rng.uniform(0.9, 1.1, 5)
    row_s, batch_s = np.polyfit(sizes, times, 1, w=1 / times)
    found = demands.fit(list(zip(sizes.tolist(), times.tolist(), strict=True)))

    assert (found.batch_s, found.row_s) == (pytest.approx(batch_s), pytest.approx(row_s))
    off = np.abs((batch_s + row_s * sizes) / times - 1).max()
    assert found.misfit_ratio == pytest.approx(off)


def test_neither_part_is_below_zero() -> None:
    """A falling time has no time per row, one that rises faster than its size no time a batch."""
    falling = demands.fit([(1, 1.2e-3), (64, 1.0e-3)])
    rising = demands.fit([(1, 1e-3), (10, 20e-3)])

    assert falling.row_s == 0.0
    assert 1.0e-3 < falling.batch_s < 1.2e-3
    assert rising.batch_s == 0.0
    assert rising.row_s > 0.0
    assert rising.misfit_ratio > 0.1


def test_one_size_has_no_slope() -> None:
    """With one actor there are batches of one only."""
    assert demands.fit([(1, 2e-3)]) == demands.ServiceTime(2e-3, 0.0, 0.0)


@pytest.mark.parametrize("points", [[], [(1, 0.0)], [(1, -1.0), (2, 1.0)]])
def test_what_is_no_time_is_refused(points: list[tuple[int, float]]) -> None:
    """No points, and times that are none."""
    with pytest.raises(ValueError, match="above 0"):
        demands.fit(points)


def test_a_calibration_gives_what_it_measured() -> None:
    """Of actors that do not think, their own work; of the policy its line."""
    found = demands.calibrated(SLOW, calibration())

    assert found is not None
    assert found.think_s == pytest.approx(10e-6)
    assert found.service.batch_s == pytest.approx(1e-3)
    assert found.service.row_s == pytest.approx(2e-6)
    assert (found.think_gil_s, found.think_cpu_s) == (10e-6, 10e-6)
    # A sleeping policy computes nothing that a bound may count on.
    assert found.service_cpu == demands.NO_TIME
    assert (found.num_cpus, found.source) == (2, "calibrated")


def test_the_luck_of_few_draws_is_not_in_the_think_time() -> None:
    """2 ms are asked; 60 draws had a mean of 1.7; they took 80 µs longer: Z is 2.08 ms."""
    luck = calibration(
        think_mean_s=1.78e-3, think_excess_s=80e-6, think_cpu_s=60e-6, work_s=6e-6
    )
    found = demands.calibrated(thinking(), luck)

    assert found is not None
    assert found.think_s == pytest.approx(2.08e-3)
    assert found.excess_s == pytest.approx(80e-6)
    # The CPU time of going to sleep is no work: a busy machine takes less of it.
    assert (found.think_gil_s, found.think_cpu_s) == (6e-6, 6e-6)


@pytest.mark.parametrize("mode", ["idle", "busy", "busy_nogil"])
def test_synthetic_computing_is_no_limit(mode: str) -> None:
    """It ends at a time of day, whoever had the processor meanwhile: only the actor's own work is."""
    found = demands.calibrated(thinking(mode=mode), calibration())

    assert found is not None
    assert (found.think_gil_s, found.think_cpu_s) == (10e-6, 10e-6)


def test_a_policy_that_spins_is_no_limit_either() -> None:
    """As an actor that does."""
    workload = dataclasses.replace(SLOW, model=Model("spin", 1.0, hold_gil=True))
    found = demands.calibrated(workload, calibration())

    assert found is not None
    assert found.service_cpu == demands.NO_TIME


def test_threads_that_wait_for_each_other_are_no_need() -> None:
    """A network on two threads takes twice its time in CPU seconds, some of them waiting."""
    workload = dataclasses.replace(SLOW, model=Model("mlp"))
    points = tuple(ServicePoint(n, 1e-3, 2e-3, 20) for n in (1, 8))
    found = demands.calibrated(workload, calibration(service=points))

    assert found is not None
    assert found.service_cpu.batch_s == pytest.approx(1e-3)


def test_without_a_gil_nobody_waits_for_it() -> None:
    """A free-threaded Python."""
    found = demands.calibrated(thinking(mode="busy"), calibration(is_gil_enabled=False))

    assert found is not None
    assert (found.think_gil_s, found.think_cpu_s) == (0.0, 10e-6)


def test_an_amount_of_work_is_everybodys_own() -> None:
    """It is CPU time that is asked for: under a GIL one computes at a time, and each all of it."""
    asked = thinking(mode="work")
    found = demands.calibrated(asked, calibration())
    free = demands.calibrated(asked, calibration(is_gil_enabled=False))

    assert found is not None
    assert free is not None
    assert found.think_gil_s == found.think_cpu_s == pytest.approx(2e-3 + 10e-6)
    assert (free.think_gil_s, free.think_cpu_s) == (0.0, found.think_cpu_s)


def test_a_real_environment_takes_what_it_takes() -> None:
    """Nothing is asked of it, and how much of it holds the GIL is not known."""
    real = dataclasses.replace(
        SLOW, model=Model("mlp"), environment=GymEnvironment("CartPole-v1")
    )
    found = demands.calibrated(
        real,
        calibration(
            think_mean_s=40e-6, think_excess_s=None, think_cpu_s=33e-6, work_s=None
        ),
    )

    assert found is not None
    assert (found.think_s, found.think_cpu_s, found.think_gil_s) == (40e-6, 33e-6, 0.0)
    assert found.service_cpu.batch_s == pytest.approx(50e-6)
    assert demands.nominal(real) is None


def test_what_there_is_nothing_to_wait_for_has_no_demands() -> None:
    """Decision 12: without think time and service time the floor alone bounds."""
    assert demands.nominal(build_workload()) is None
    assert demands.calibrated(build_workload(), calibration()) is None
    failed = calibration(service=(), think_mean_s=None)
    assert demands.calibrated(SLOW, failed) is None


def test_nominal_demands_are_the_scenarios() -> None:
    """2 ms of thinking, 1 ms of policy and 10 µs a row."""
    workload = dataclasses.replace(
        thinking(mode="busy"), model=Model("sleep", 1.0, latency_per_item_ms=0.01)
    )
    found = demands.nominal(workload)

    assert found is not None
    assert (found.think_s, found.think_gil_s) == (pytest.approx(2e-3), 0.0)
    assert found.service.of(10) == pytest.approx(1.1e-3)
    assert (found.source, found.num_cpus) == ("nominal", None)


def test_the_mean_of_rounds_is_taken_time_by_time() -> None:
    """And the worst misfit is kept."""
    first = demands.calibrated(SLOW, calibration())
    crooked = (
        ServicePoint(1, 1e-3, 0.0, 3),
        ServicePoint(4, 3e-3, 0.0, 3),
        ServicePoint(8, 2e-3, 0.0, 3),
    )
    other = demands.calibrated(SLOW, calibration(think_excess_s=30e-6, service=crooked))
    assert first is not None
    assert other is not None
    found = demands.mean([first, other])

    assert found.think_s == pytest.approx(20e-6)
    mean_s = (first.service.batch_s + other.service.batch_s) / 2
    assert found.service.batch_s == pytest.approx(mean_s)
    assert found.service.misfit_ratio == other.service.misfit_ratio > 0.1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"foreign_cpu_s": 0.05}, False),
        # 2 CPUs for 0.3 s: a tenth of that is 60 ms.
        ({"foreign_cpu_s": 0.07}, True),
        ({"steal_s": 0.07}, True),
        ({"foreign_cpu_s": None, "steal_s": None}, False),
    ],
)
def test_the_machine_is_judged_as_in_trials(
    changes: dict[str, object], expected: bool
) -> None:
    """By what the hypervisor and other processes took, never by what came out."""
    assert demands.is_disturbed(calibration(observed_s=0.3, **changes)) == expected


def test_the_residual_is_that_of_scipys_least_squares() -> None:
    """Root mean square of the relative errors that the line leaves, which no other line makes less."""
    rng = np.random.default_rng(5)
    sizes = np.array([1, 3, 8, 23, 64])
    times = (4e-4 + 3e-6 * sizes) * rng.uniform(0.95, 1.05, 5)
    found = demands.fit(list(zip(sizes.tolist(), times.tolist(), strict=True)))

    def relative(line: np.ndarray) -> np.ndarray:
        return (line[0] * 1e-4 + line[1] * 1e-6 * sizes) / times - 1

    best = optimize.least_squares(relative, [1.0, 1.0], xtol=1e-14, ftol=1e-14)
    assert found.batch_s == pytest.approx(best.x[0] * 1e-4, rel=1e-6)
    assert found.row_s == pytest.approx(best.x[1] * 1e-6, rel=1e-6)
    assert found.residual_ratio == pytest.approx(math.sqrt(2 * best.cost / 5), rel=1e-6)
    assert 0 < found.residual_ratio < found.misfit_ratio


def on_device(**changes: Any) -> CalibrationRecord:
    """The host's call takes 1 ms and 2 µs a row; of it the forward 0.4 ms and 1.5 µs a row."""
    points = tuple(
        ServicePoint(n, 1e-3 + 2e-6 * n, 1e-3, 20, 4e-4 + 1.5e-6 * n) for n in (1, 4, 8)
    )
    return calibration(**{"service": points, **changes})


def test_a_devices_own_times_have_a_line_of_their_own() -> None:
    """The bound's is the host's: for staging and return a client waits, too."""
    workload = dataclasses.replace(SLOW, device="cuda")
    found = demands.calibrated(workload, on_device())

    assert found is not None
    assert found.service.batch_s == pytest.approx(1e-3)
    assert found.on_device is not None
    assert found.on_device.batch_s == pytest.approx(4e-4)
    assert found.on_device.row_s == pytest.approx(1.5e-6)
    assert found.on_device.residual_ratio < 1e-9
    both = demands.mean([found, found])
    assert both.on_device == found.on_device
    on_host = demands.calibrated(SLOW, calibration())
    assert on_host is not None
    assert on_host.on_device is None
    assert demands.mean([on_host, found]).on_device is None


def test_a_forward_that_takes_no_time_is_no_error() -> None:
    """Two marks one after the other, of a policy that has nothing to do there."""
    points = tuple(ServicePoint(n, 1e-3, 1e-3, 20, 0.0) for n in (1, 8))
    found = demands.calibrated(
        dataclasses.replace(SLOW, device="cuda"), on_device(service=points)
    )

    assert found is not None
    assert found.on_device is not None
    assert found.on_device.of(8) < 1e-8


def test_waiting_for_a_device_is_no_computing() -> None:
    """The server's thread spins while it waits: of 1 ms that it computes the device takes 0.4."""
    workload = dataclasses.replace(SLOW, model=Model("mlp"), device="cuda")
    found = demands.calibrated(workload, on_device())

    assert found is not None
    assert found.service_cpu.of(4) == pytest.approx(1e-3 - 4.06e-4, rel=0.02)


def test_a_batch_on_a_device_takes_time_whatever_it_computes() -> None:
    """So it has a bound once it is calibrated, and none before."""
    free = build_workload(8)
    there = dataclasses.replace(free, device="cuda")
    assert not demands.is_timed(free)
    assert demands.is_timed(there)
    assert demands.calibrated(there, on_device()) is not None
    assert demands.nominal(there) is None
