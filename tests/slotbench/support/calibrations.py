"""Calibrations built from numbers, nothing measured."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from slotbench.compute import histogram
from slotbench.records import CalibrationRecord, ServicePoint
from slotbench.store import StoredRun


def calibration(
    cell: str = "num_slots=8", number: int = 0, **changes: Any
) -> CalibrationRecord:
    """Actors that take 10 µs of Python beside thinking; a policy of 1 ms and 2 µs a row."""
    record = CalibrationRecord(
        round=number,
        cell=cell,
        attempt=0,
        status="ok",
        started_at="2026-11-28T00:00:00+00:00",
        duration_s=0.3,
        think=histogram.count(np.full(100, 10_000)),
        think_mean_s=10e-6,
        think_excess_s=10e-6,
        think_cpu_s=10e-6,
        work_s=10e-6,
        service=tuple(ServicePoint(n, 1e-3 + 2e-6 * n, 50e-6, 20) for n in (1, 4, 8)),
        num_cpus=2,
    )
    return dataclasses.replace(record, **changes)


def calibrated(stored: StoredRun, changes: Mapping[str, Any] | None = None) -> StoredRun:
    """The run with a calibration of every block, each round's 1 % slower than the one before.

    Args:
        stored: a run.
        changes: of each calibration.
    """
    made = []
    for number in range(stored.run.design.rounds):
        factor = 1.01**number
        service = tuple(
            ServicePoint(n, (1e-3 + 2e-6 * n) * factor, 50e-6, 20) for n in (1, 4, 8)
        )
        fields = {"service": service, **(changes or {})}
        made += [
            calibration(cell.name, number, **fields) for cell in stored.run.scenario.cells
        ]
    return dataclasses.replace(stored, calibrations=tuple(made))
