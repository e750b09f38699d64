"""Cuts a frame into what one Axes can hold, and chooses what stands along it."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from slotbench.errors import SlotbenchError

if TYPE_CHECKING:
    import pandas as pd

SLOTS: Final = "num_slots"
LATENCY: Final = "model.latency_ms"
SIZE: Final = "observation_bytes"

_SAID_BY: Final = {
    SIZE: ("observation.shape", "observation.dtype"),
}
"""Axis → those that it says already."""

NAMES: Final = {
    SLOTS: "actors",
    LATENCY: "policy latency (ms)",
    SIZE: "observation",
}
"""Axis → what stands below it."""


@dataclass(frozen=True, slots=True)
class Facet:
    """A part of a frame that one Axes can hold.

    Attributes:
        title: what its cells have in common and others have not; "" for all cells.
    """

    title: str
    frame: "pd.DataFrame"


def select(frame: "pd.DataFrame", where: Mapping[str, Any]) -> "pd.DataFrame":
    """The rows in which every column named has that value.

    Args:
        frame: of `slotbench.frames`.
        where: column → value, or a list of values of which any will do; as written on a
            command line, too: numbers compare as numbers.

    Raises:
        SlotbenchError: no such column, or no row of that value; what there is is named.
    """
    for column, given in where.items():
        if column not in frame.columns:
            known = ", ".join(dict.fromkeys([*_axes_of(frame), "cell", "contender"]))
            raise SlotbenchError(f"no axis {column!r} in this run: it has {known}")
        for wanted in given if isinstance(given, list) else [given]:
            if not any(_equals(value, str(wanted)) for value in frame[column]):
                values = ", ".join(_written(value) for value in distinct(frame, column))
                raise SlotbenchError(f"no cell has {column}={wanted}: there is {values}")
        choices = [str(one) for one in (given if isinstance(given, list) else [given])]
        frame = frame[[any(_equals(x, one) for one in choices) for x in frame[column]]]
    return frame


def along(frame: "pd.DataFrame", preferred: Sequence[str]) -> str | None:
    """The first of these axes that tells every mark of a contender from its others.

    Returns:
        None where none does: the cells are then drawn one beside the other.
    """
    for axis in preferred:
        if len(distinct(frame, axis)) < 2:
            continue
        marks = frame.groupby(["contender", axis], sort=False)["cell"].nunique()
        if int(marks.max()) == 1:
            return axis
    return None


def split(
    frame: "pd.DataFrame", preferred: Sequence[str], *, is_apart: bool = False
) -> list[Facet]:
    """Facets along the first axis possible, then the next; cells that fit none come last.

    Args:
        frame: with the columns of `slotbench.frames.PLACE`.
        preferred: axes that can stand along a plot, the most wanted first.
        is_apart: these last cells have a facet each, and not one together.
    """
    facets: list[Facet] = []
    left = distinct(frame, "cell")
    for axis in preferred:
        if len(distinct(frame, axis)) < 2:
            continue
        others = _others(frame, axis)
        for part in _groups(frame, others):
            inside = set(distinct(part, "cell"))
            # A cell may stand in two facets, but none is made of such cells alone.
            if len(distinct(part, axis)) < 2 or not inside & set(left):
                continue
            facets.append(Facet(_title(part, axis), part))
            left = [cell for cell in left if cell not in inside]
    rest = frame[frame["cell"].isin(left)]
    if left and is_apart:
        facets += cells(rest)
    elif left:
        title = _title(rest, None) if len(left) == 1 or not facets else "other cells"
        facets.append(Facet(title, rest))
    return facets


def cells(frame: "pd.DataFrame") -> list[Facet]:
    """A facet a cell, in the scenario's order."""
    present = distinct(frame, "cell")
    known = [name for name in frame.attrs.get("coordinates", ()) if name in present]
    names = known or present
    return [Facet(name, frame[frame["cell"] == name]) for name in names]


def only_cell(frame: "pd.DataFrame", what: str) -> str:
    """The one cell of a frame.

    Raises:
        SlotbenchError: it holds several, or none.
    """
    names = distinct(frame, "cell")
    if len(names) != 1:
        such = f", such as {names[0]!r}" if names else ""
        raise SlotbenchError(
            f"{what} draws one cell, and this frame holds {len(names)}{such}: filter it, or "
            f"take its facets: slotbench.plots.get({what!r}).split(frame)"
        )
    return str(names[0])


def labels(frame: "pd.DataFrame") -> list[str]:
    """The contenders of the frame in the run's order."""
    present = set(frame["contender"])
    known = [label for label in frame.attrs.get("contenders", ()) if label in present]
    return known or distinct(frame, "contender")


def distinct(frame: "pd.DataFrame", column: str) -> list[Any]:
    """The values of a column, each once, in the order of the rows; NaN is one value."""
    found = frame[column].tolist()
    return list(dict.fromkeys(None if _is_nan(value) else value for value in found))


def values(frame: "pd.DataFrame", axis: str) -> list[Any]:
    """What the axis is in these rows, rising."""
    return sorted(distinct(frame, axis))


def _axes_of(frame: "pd.DataFrame") -> list[str]:
    return [SLOTS, LATENCY, SIZE, *frame.attrs.get("axes", ())]


def _others(frame: "pd.DataFrame", axis: str) -> list[str]:
    """Axes by which cells differ, but for what the one along the plot says already."""
    said = {axis, *_SAID_BY.get(axis, ())}
    names = dict.fromkeys([SLOTS, LATENCY, *frame.attrs.get("axes", ())])
    return [name for name in names if name not in said and len(distinct(frame, name)) > 1]


def _groups(frame: "pd.DataFrame", by: Sequence[str]) -> "Iterable[pd.DataFrame]":
    if not by:
        return [frame]
    keys: dict[tuple[Hashable, ...], list[int]] = {}
    columns = [frame[name].tolist() for name in by]
    for row, key in enumerate(zip(*columns, strict=True)):
        keys.setdefault(tuple(map(str, key)), []).append(row)
    return [frame.iloc[rows] for rows in keys.values()]


def _title(frame: "pd.DataFrame", axis: str | None) -> str:
    """What the facet's cells have in common, of what their own grids name."""
    own = frame.attrs.get("coordinates", {})
    names = distinct(frame, "cell")
    if axis is None:
        return names[0] if len(names) == 1 and names[0] != "all" else ""
    said = {axis, *_SAID_BY.get(axis, ())}
    found: dict[str, Any] = {}
    for name in names:
        found |= {k: v for k, v in own.get(name, {}).items() if k not in said}
    return ", ".join(
        f"{key}={_written(frame[key].iloc[0])}"
        for key in found
        if key in frame.columns and len(distinct(frame, key)) == 1
    )


def _written(value: Any) -> str:
    """As a scenario writes it: 1 and not 1.0, true and not True."""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if str(value) in {"True", "False"} else str(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _equals(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return str(value).lower() == wanted.lower()
    try:
        return float(value) == float(wanted)
    except (TypeError, ValueError):
        return "".join(str(value).split()) == "".join(wanted.split())
