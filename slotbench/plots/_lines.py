"""Two ways to draw numbers with intervals: lines along an axis, and dots in rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from slotbench.draw import units
from slotbench.plots import _facets, _style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold a number and the ends of its interval or range."""

    point: str
    low: str
    high: str


def lines(ax: "Axes", frame: "pd.DataFrame", axis: str, columns: Columns) -> None:
    """One line a contender along an axis, with its interval as a band."""
    bands(ax, frame, axis, columns)
    ticks = _facets.values(frame, axis)
    _style.values_axis(ax, ticks, _facets.NAMES.get(axis, axis))
    if axis == _facets.SIZE:
        ax.set_xticks(ticks, [units.size(tick) for tick in ticks])
        _style.slanted(ax)


def bands(
    ax: "Axes",
    frame: "pd.DataFrame",
    axis: str,
    columns: Columns,
    place: "Callable[[np.ndarray[Any, Any]], Any]" = lambda x: x,
) -> None:
    """One line a contender, with its interval as a band.

    Args:
        ax: where to draw.
        frame: rows of several contenders.
        axis: column that stands along the plot.
        columns: what stands up it.
        place: from the axis's numbers to where they stand.
    """
    looks = _style.series(frame.attrs.get("contenders", _facets.labels(frame)))
    for label in _facets.labels(frame):
        part = frame[frame["contender"] == label].sort_values(axis)
        look, x = looks[label], place(part[axis].to_numpy(float))
        point, low, high = (
            part[name].to_numpy(float)
            for name in (columns.point, columns.low, columns.high)
        )
        ax.plot(
            x,
            point,
            color=look.color,
            marker=look.marker,
            linestyle=look.dashes,
            markersize=4.0,
            linewidth=1.4,
            label=_style.named(label),
        )
        ax.fill_between(x, low, high, color=look.color, alpha=0.13, linewidth=0)


def size(frame: "pd.DataFrame", axis: str | None) -> tuple[float, float]:
    """Inches: two axes, or as many rows as there are dots."""
    return _style.rows_size(len(frame)) if axis is None else _style.SIZE


def dots(ax: "Axes", frame: "pd.DataFrame", columns: Columns) -> None:
    """One row a contender, and a cell where there are several; intervals as bars."""
    looks = _style.series(frame.attrs.get("contenders", _facets.labels(frame)))
    is_one = len(_facets.distinct(frame, "cell")) == 1
    names = []
    for row in frame.itertuples(index=False):
        record = dict(zip(frame.columns, row, strict=True))
        names.append(
            _style.wrapped(record["contender"])
            if is_one
            else f"{record['cell']}\n{record['contender']}"
        )
        look, place = looks[record["contender"]], len(names) - 1
        point, low, high = (record[c] for c in (columns.point, columns.low, columns.high))
        if point is None or np.isnan(point):
            continue
        if not np.isnan(low):
            ax.plot([low, high], [place, place], color=look.color, linewidth=1.6, alpha=0.6)
        ax.plot([point], [place], color=look.color, marker=look.marker, markersize=6)
    ax.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    ax.set_ylim(len(names) - 0.5, -0.5)


def in_words(
    frame: "pd.DataFrame",
    axis: str | None,
    columns: Columns,
    unit: str,
    *,
    is_ratio: bool = False,
) -> str:
    """Every number, contender by contender: what a reader who sees no plot is told."""

    def shown(value: Any) -> str:
        if value is None or np.isnan(value):
            return units.MISSING
        return units.ratio(value) if is_ratio else units.value(value, unit)

    parts = []
    for label in _facets.labels(frame):
        part = frame[frame["contender"] == label]
        if axis is not None:
            part = part.sort_values(axis)
        numbers = ", ".join(shown(value) for value in part[columns.point])
        parts.append(f"{label}: {numbers}")
    where = ""
    if axis is not None:
        write = units.size if axis == _facets.SIZE else "{:g}".format
        ticks = ", ".join(write(value) for value in _facets.values(frame, axis))
        where = f"At {_facets.NAMES.get(axis, axis)} {ticks}: "
    elif len(_facets.distinct(frame, "cell")) > 1:
        where = f"In the cells {'; '.join(dict.fromkeys(frame['cell']))}: "
    return f"{where}{'; '.join(parts)}."
