"""The columns that say where a row belongs: which cell, where in the grid."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import comparison, sequential, workloads
from slotbench.frames._stored import scenario_of
from slotbench.records import Cell

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.frames._stored import Stored

PLACE: Final = ("cell", "num_slots", "model.latency_ms", "observation_bytes")
"""Columns that every cell has, whatever its grid varies."""


def places(stored: "Stored") -> dict[str, dict[str, Any]]:
    """Cell → the columns of `PLACE`, then one for each axis of the scenario."""
    cells = scenario_of(stored).cells
    axes = workloads.axes(cells)
    return {cell.name: _place(cell, axes) for cell in cells}


def tidy(
    stored: "Stored",
    rows: Sequence[Mapping[str, Any]],
    columns: Iterable[str],
    *,
    baseline: str | None = None,
    threshold: float | None = None,
) -> "pd.DataFrame":
    """A frame of rows without their places, which are put before them.

    Args:
        stored: the run, or profile.
        rows: each has "cell" and the columns.
        columns: names after those of the place.
        baseline: label for the attributes; None is the scenario's, if it has one.
        threshold: δ for the attributes; None is the run's own, of throughput.

    Raises:
        SlotbenchError: no such baseline, or a threshold that is no ratio.
    """
    import pandas as pd

    scenario = scenario_of(stored)
    where = places(stored)
    names = list(dict.fromkeys([*next(iter(where.values())), *columns]))
    frame = pd.DataFrame(
        [{**where[row["cell"]], **row} for row in rows], columns=pd.Index(names)
    )
    labels = [c.label for c in scenario.contenders]
    if baseline is None:
        base = next((c.label for c in scenario.contenders if c.baseline), labels[0])
    else:
        base = comparison.baseline_label(scenario.contenders, baseline)
    delta = _delta(stored) if threshold is None else threshold
    comparison.check_threshold(delta)
    order = {name: place for place, name in enumerate(where)}
    in_order = [c.label for c in comparison.in_order(scenario.contenders, base)]
    ranks = {label: place for place, label in enumerate(in_order)}
    frame = frame.sort_values(
        ["cell", "contender"],
        key=lambda column: column.map(order if column.name == "cell" else ranks),
        kind="stable",
        ignore_index=True,
    )
    frame.attrs.update(
        axes=list(workloads.axes(scenario.cells)),
        coordinates=_Shared(
            (cell.name, workloads.coordinates(cell, cell.coordinates))
            for cell in scenario.cells
        ),
        contenders=in_order,
        floors=[c.label for c in scenario.contenders if c.name == comparison.FLOOR],
        baseline=base,
        threshold=delta,
    )
    return frame


def _delta(stored: "Stored") -> float:
    from slotbench.store import StoredRun

    if isinstance(stored, StoredRun):
        return sequential.threshold_of(stored.run, "throughput")
    return scenario_of(stored).threshold


class _Shared(dict[str, dict[str, Any]]):
    """Not to be changed, so not copied: pandas copies attributes deeply at every step."""

    def __deepcopy__(self, memo: object) -> "_Shared":
        return self


def _place(cell: Cell, axes: Iterable[str]) -> dict[str, Any]:
    workload = cell.workload
    return {
        "cell": cell.name,
        "num_slots": workload.num_slots,
        "model.latency_ms": workload.model.latency_ms,
        "observation_bytes": workloads.observation_bytes(workload.observation.leaves),
        **workloads.coordinates(
            cell, [axis for axis in axes if axis not in {"num_slots", "model.latency_ms"}]
        ),
    }
