"""Every trial, and the means of every cell and contender."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import blocks, metrics, workloads
from slotbench.compute.statistics import geometric_mean
from slotbench.records import Cell, OpenLoop, TrialMeasurement, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_NOT_SCALAR: Final = frozenset(
    {"latency", "batch_sizes", "replies_per_actor", "replies_per_slice"}
    | {"open_loop", "device"}
)
_OPEN_LOOP: Final = tuple(
    field.name for field in dataclasses.fields(OpenLoop) if field.name != "late"
)
_DEVICE: Final = {
    "device_num_batches": "num_batches",
    "device_staging_s": "staging_s",
    "device_returning_s": "returning_s",
}
"""Column → field of `slotbench.records.DeviceTimes`; a metric has its ``forward_s``."""
MEASUREMENTS: Final = tuple(
    field.name
    for field in dataclasses.fields(TrialMeasurement)
    if field.name not in _NOT_SCALAR
)
"""The measurement's fields that hold one number."""


def trials_frame(stored: "StoredRun") -> "pd.DataFrame":
    """One row per trial, in the order recorded, whatever came of it.

    Columns: cell; one for each axis of any grid, under its dotted name, lists as text,
    NaN or None for a cell whose grid does not vary it; contender, arm, round, attempt,
    position, trial_id; node: of the cluster, "" where there is none; counted: the trial is of the attempt of its block that counts; status,
    is_invalid, is_disturbed, is_gil_enabled (None where that is not known), duration_s; every metric and every scalar field of the measurement, NaN
    where there is none; those of its `slotbench.records.OpenLoop`, NaN in the closed loop; error.
    """
    import pandas as pd

    cells = {cell.name: cell for cell in stored.run.scenario.cells}
    axes = workloads.axes(stored.run.scenario.cells)
    counted = {trial.trial_id for trial in blocks.counted_trials(stored.run, stored.trials)}
    rows = [
        {
            "cell": trial.cell,
            **_coordinates(cells[trial.cell], axes),
            "contender": trial.contender,
            "arm": trial.arm,
            "round": trial.round,
            "attempt": trial.attempt,
            "position": trial.position,
            "trial_id": trial.trial_id,
            "node": trial.node,
            "counted": trial.trial_id in counted,
            "status": trial.status,
            "is_invalid": trial.is_invalid,
            "is_disturbed": trial.is_disturbed,
            "is_gil_enabled": trial.is_gil_enabled,
            "duration_s": trial.duration_s,
            **_numbers(trial.measurement),
            "error": trial.error,
        }
        for trial in stored.trials
    ]
    names = ["cell", *axes, "contender", "arm", "round", "attempt", "position", "trial_id"]
    names += [
        "node",
        "counted",
        "status",
        "is_invalid",
        "is_disturbed",
        "is_gil_enabled",
        "duration_s",
        *_numbers(None),
        "error",
    ]
    frame = pd.DataFrame(rows, columns=pd.Index(names))
    # A column of None alone would be of type object.
    own = [*_metric_functions(), *_OPEN_LOOP, *_DEVICE]
    frame = frame.astype(dict.fromkeys(own, "float64"))
    frame = frame.astype({"is_gil_enabled": "boolean"})
    frame.attrs["units"] = _units()
    return frame


def cells_frame(stored: "StoredRun") -> "pd.DataFrame":
    """One row per cell and contender, in the scenario's order, measured or not.

    Columns: cell; the coordinates; contender; num_trials: trials in the means; num_invalid
    and num_failed: trials left out of them (one may be both); the geometric mean of every
    metric over the trials that count, are "ok", are not INVALID and are of arm 0, as in
    a comparison. A mean leaves out the trials that have no such number (a p99 of too few
    samples); NaN where none has one.
    """
    import pandas as pd

    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in blocks.counted_trials(stored.run, stored.trials):
        if trial.arm == 0:
            groups.setdefault((trial.cell, trial.contender), []).append(trial)
    axes = workloads.axes(stored.run.scenario.cells)
    rows = [
        {
            "cell": cell.name,
            **_coordinates(cell, axes),
            "contender": contender.label,
            **_means(groups.get((cell.name, contender.label), [])),
        }
        for cell in stored.run.scenario.cells
        for contender in stored.run.scenario.contenders
    ]
    names = ["cell", *axes, "contender", *_means([])]
    frame = pd.DataFrame(rows, columns=pd.Index(names))
    frame = frame.astype(dict.fromkeys(_metric_functions(), "float64"))
    frame.attrs["units"] = _units()
    return frame


def _coordinates(cell: Cell, axes: Iterable[str]) -> dict[str, Any]:
    values = {axis: cell.coordinates.get(axis) for axis in axes}
    return {
        axis: str(value) if isinstance(value, list | tuple | dict) else value
        for axis, value in values.items()
    }


def _metric_functions() -> Mapping[str, Callable[[TrialMeasurement], float | None]]:
    return {name: metrics.get(name).value for name in metrics.available()}


def _units() -> dict[str, str]:
    return {name: metrics.get(name).unit for name in metrics.available()}


def _numbers(measurement: TrialMeasurement | None) -> dict[str, Any]:
    """Give every metric, then every scalar field that no metric is named like."""
    functions = _metric_functions()
    if measurement is None:
        return dict.fromkeys([*functions, *MEASUREMENTS, *_OPEN_LOOP, *_DEVICE])
    fields = {name: getattr(measurement, name) for name in MEASUREMENTS}
    values = {name: function(measurement) for name, function in functions.items()}
    of = measurement.open_loop
    own = {name: None if of is None else getattr(of, name) for name in _OPEN_LOOP}
    device = measurement.device
    there = {
        name: None if device is None else getattr(device, field)
        for name, field in _DEVICE.items()
    }
    rest = {name: fields[name] for name in fields if name not in values}
    return {**values, **rest, **own, **there}


def _means(trials: list[TrialRecord]) -> dict[str, Any]:
    usable = [
        trial.measurement
        for trial in trials
        if blocks.is_usable(trial) and trial.measurement is not None
    ]
    means: dict[str, Any] = {
        "num_trials": len(usable),
        "num_invalid": sum(trial.is_invalid for trial in trials),
        "num_failed": sum(trial.measurement is None for trial in trials),
    }
    for name, function in _metric_functions().items():
        values = [value for value in map(function, usable) if value is not None]
        means[name] = geometric_mean(values)
    return means
