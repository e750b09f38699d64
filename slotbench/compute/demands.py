"""What a cell asks of actors, policy and processors: the numbers that a bound is made of.

Calibrated where a calibration was made beside the trials, nominal, what the scenario says,
where none was: of runs recorded before there were any. Nominal times leave out how late a
sleep ends, and everything that an actor does beside thinking.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from slotbench.compute import think_times, validity
from slotbench.records import CalibrationRecord, ServicePoint, Workload

Source = Literal["calibrated", "nominal"]

MAX_MISFIT_RATIO: Final = 0.1
"""Of a service time to its line a + b·n, beyond which the line is called approximate."""

ENOUGH_QUIET: Final = 2
"""Calibrations in quiet, from which on disturbed ones are left out: an interval needs two."""

_MS: Final = 1e-3
_LEAST_S: Final = 1e-9


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """S(n) = a + b·n.

    Attributes:
        batch_s: a, seconds a batch takes whatever it holds.
        row_s: b, seconds that each row adds.
        misfit_ratio: the largest distance of a measured point from the line, as a share of the
            point; 0 where nothing was measured.
        residual_ratio: the root mean square of these distances, which the line makes the least.
    """

    batch_s: float
    row_s: float
    misfit_ratio: float = 0.0
    residual_ratio: float = 0.0

    def of(self, rows: float) -> float:
        """Seconds that a batch of so many rows takes."""
        return self.batch_s + self.row_s * rows


NO_TIME: Final = ServiceTime(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Demands:
    """Times of one cell, each without any contention.

    Attributes:
        think_s: Z, mean: from a reply to the actor's next request.
        think_cpu_s: computing in it, which needs a processor.
        think_gil_s: computing in it that holds the GIL; 0 where that is not known, as of a
            real environment, and without a GIL.
        service: S(n).
        service_cpu: computing in it.
        excess_s: what each think takes beside what the scenario asks for; 0 for a real environment.
        num_cpus: that the trials could use; None where that is not known.
        source: where the numbers come from.
        service_gil: of ``service``, what holds the GIL; 0 where that is not known.
        on_device: of ``service``, the forward alone, as a device's own events time it; None on the host.
    """

    think_s: float
    think_cpu_s: float
    think_gil_s: float
    service: ServiceTime
    service_cpu: ServiceTime
    excess_s: float
    num_cpus: int | None
    source: Source
    service_gil: ServiceTime = NO_TIME
    on_device: ServiceTime | None = None


def is_timed(workload: Workload) -> bool:
    """Whether there is anything to wait for but the transport: else the floor alone bounds."""
    model = workload.model
    if workload.environment is not None or model.kind not in {"sleep", "spin"}:
        return True
    # Whatever is computed on a device, a batch goes there and comes back.
    return workload.device != "cpu" or _asks_for_time(workload)


def _asks_for_time(workload: Workload) -> bool:
    """Whether the scenario says of anything synthetic that it takes time."""
    takes_ms = workload.model.latency_ms + workload.model.latency_per_item_ms
    return takes_ms > 0.0 or think_times.takes_time(workload.think_time)


def calibrated(workload: Workload, calibration: CalibrationRecord) -> Demands | None:
    """Demands as a calibration found them.

    Args:
        workload: of the calibration's cell.
        calibration: one block's.

    Returns:
        None where it failed, and where `is_timed` says no.
    """
    if (
        not is_timed(workload)
        or not calibration.service
        or calibration.think_mean_s is None
    ):
        return None
    service = fit([(p.batch_size, p.median_s) for p in calibration.service])
    # A few dozen draws of a wide distribution have a mean of their own: the excess has not.
    excess_s = calibration.think_excess_s
    think_s = calibration.think_mean_s if excess_s is None else _asked_s(workload, excess_s)
    think_cpu_s, think_gil_s = _think_computing(workload, calibration)
    has_gil = calibration.is_gil_enabled
    return Demands(
        think_s=max(0.0, think_s),
        think_cpu_s=think_cpu_s,
        think_gil_s=think_gil_s if has_gil else 0.0,
        service=service,
        service_cpu=_service_computing(workload, calibration.service),
        excess_s=excess_s or 0.0,
        num_cpus=calibration.num_cpus,
        source="calibrated",
        on_device=_on_device(calibration.service),
    )


def _on_device(points: Sequence[ServicePoint]) -> ServiceTime | None:
    """The line of the forward's own times; a bound is made of the host's, which hold the way there, too."""
    timed = [(p.batch_size, p.device_s) for p in points if p.device_s is not None]
    if len(timed) < len(points):
        return None
    # A policy that computes nothing there takes a microsecond between two marks, or none.
    return fit([(size, max(time_s, _LEAST_S)) for size, time_s in timed])


def is_disturbed(calibration: CalibrationRecord) -> bool:
    """Whether the machine interfered: the limits are those of trials (`slotbench.compute.validity`)."""
    available_s = calibration.num_cpus * calibration.observed_s
    limits = (
        (calibration.steal_s, validity.MAX_STEAL_SHARE),
        (calibration.foreign_cpu_s, validity.MAX_FOREIGN_SHARE),
    )
    return any(
        used_s is not None and used_s > most * available_s for used_s, most in limits
    )


def nominal(workload: Workload) -> Demands | None:
    """Demands as the scenario asks for them.

    Returns:
        None where a time is not known beforehand (a real network or environment), and where
        there is none to wait for.
    """
    model = workload.model
    is_known = model.kind in {"sleep", "spin"} and workload.environment is None
    if not is_known or not _asks_for_time(workload):
        return None
    service = ServiceTime(model.latency_ms * _MS, model.latency_per_item_ms * _MS)
    return Demands(
        think_s=_asked_s(workload),
        think_cpu_s=0.0,
        think_gil_s=0.0,
        service=service,
        service_cpu=NO_TIME,
        excess_s=0.0,
        num_cpus=None,
        source="nominal",
    )


def mean(found: Sequence[Demands]) -> Demands:
    """The mean of several rounds' demands, time by time.

    Args:
        found: at least one, all of one cell and one source.
    """
    first = found[0]

    def average(value: Callable[[Demands], float]) -> float:
        return math.fsum(map(value, found)) / len(found)

    def line(of: Callable[[Demands], ServiceTime]) -> ServiceTime:
        return ServiceTime(
            average(lambda one: of(one).batch_s),
            average(lambda one: of(one).row_s),
            max(of(one).misfit_ratio for one in found),
            max(of(one).residual_ratio for one in found),
        )

    has_device = all(one.on_device is not None for one in found)

    return Demands(
        think_s=average(lambda one: one.think_s),
        think_cpu_s=average(lambda one: one.think_cpu_s),
        think_gil_s=average(lambda one: one.think_gil_s),
        service=line(lambda one: one.service),
        service_cpu=line(lambda one: one.service_cpu),
        excess_s=average(lambda one: one.excess_s),
        num_cpus=first.num_cpus,
        source=first.source,
        service_gil=line(lambda one: one.service_gil),
        on_device=line(lambda one: one.on_device or NO_TIME) if has_device else None,
    )


def fit(points: Sequence[tuple[int, float]]) -> ServiceTime:
    """Fit a + b·n, neither below 0, by least squares of relative errors.

    Relative, since a batch of 1 and one of 256 are timed equally well in percent.

    Args:
        points: (batch size, seconds), at least one.

    Raises:
        ValueError: no points, or a time that is not above 0.
    """
    sizes = np.array([size for size, _ in points], float)
    times = np.array([time_s for _, time_s in points], float)
    if not len(points) or not (times > 0).all():
        raise ValueError("a service time needs points above 0")
    # Rows of (1/t, n/t) against 1: the residual is the relative error.
    rows = np.stack((1.0 / times, sizes / times), axis=1)
    (batch_s, row_s), *_ = np.linalg.lstsq(rows, np.ones(len(times)), rcond=None)
    if row_s < 0.0 or len(points) == 1:
        batch_s, row_s = rows[:, 0].sum() / (rows[:, 0] ** 2).sum(), 0.0
    elif batch_s < 0.0:
        batch_s, row_s = 0.0, rows[:, 1].sum() / (rows[:, 1] ** 2).sum()
    off = (batch_s + row_s * sizes) / times - 1.0
    misfit, residual = np.abs(off).max(), math.sqrt(np.mean(off**2))
    return ServiceTime(float(batch_s), float(row_s), float(misfit), residual)


def _asked_s(workload: Workload, excess_s: float = 0.0) -> float:
    """Mean think time of the scenario, with what it takes beside; 0 for a real environment."""
    if workload.environment is not None:
        return 0.0
    return think_times.mean_s(workload.think_time, workload.num_slots, excess_s)


def _think_computing(
    workload: Workload, calibration: CalibrationRecord
) -> tuple[float, float]:
    """CPU time of a think, and how long it holds the GIL: what cannot be done at the same time.

    A sleep's own CPU time is left out: the less idle a machine is, the less it takes. So is
    synthetic computing that ends at a time of day (`slotbench.measure.waiting`), whoever computed
    meanwhile, so that two that wait for one processor take no longer than one. Of mode "work" it is
    CPU time that is asked for, and each has its own to compute.
    """
    if workload.environment is not None:
        return calibration.think_cpu_s or 0.0, 0.0
    work_s = calibration.work_s or 0.0
    if workload.think_time.mode == "work":
        work_s += think_times.mean_s(workload.think_time, workload.num_slots)
    return work_s, work_s


def _service_computing(workload: Workload, points: Sequence[ServicePoint]) -> ServiceTime:
    """CPU time of a batch; synthetic policies sleep, or compute until a time of day."""
    if workload.model.kind in {"sleep", "spin"}:
        return NO_TIME
    # Several threads of one policy spin while they wait for each other: that is no need. Nor is it
    # that the server's thread spins while it waits for a device.
    return fit([(p.batch_size, max(_needed_s(p), _LEAST_S)) for p in points])


def _needed_s(point: ServicePoint) -> float:
    return min(point.cpu_s, point.median_s) - (point.device_s or 0.0)
