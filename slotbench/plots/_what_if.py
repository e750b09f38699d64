"""Predicted throughput along what has the most values; a line for each combination of the others."""

from typing import TYPE_CHECKING, Final

from slotbench.compute.what_if import AXES, Axis
from slotbench.errors import SlotbenchError
from slotbench.plots import _style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MAX_LINES: Final = 12
"""More of them nobody tells apart."""


def draw_what_if(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.what_if_frame`: requests per second, and what bounds them, dotted.

    Args:
        frame: whole, or filtered.
        ax: where to draw; None makes a new pyplot figure.

    Raises:
        SlotbenchError: it has no rows, or its other axes make more than 12 lines.
    """
    if frame.empty:
        raise SlotbenchError("there is nothing to draw: the frame has no rows")
    varied = [
        axis
        for axis in AXES
        if axis.field in frame.attrs.get("axes", [axis.field])
        and len(frame[[axis.field, "is_balanced"]].drop_duplicates()) > 1
    ]
    # n* is another number in each row: not something to stand along a plot.
    numbers = [
        axis
        for axis in varied
        if axis.kind is not str
        and not (axis.field == "min_batch_size" and frame["is_balanced"].any())
    ]
    along = max(numbers, key=lambda axis: frame[axis.field].nunique(), default=AXES[0])
    others = [axis for axis in varied if axis is not along]
    names = frame.apply(lambda row: _named(others, row), axis=1)
    if names.nunique() > MAX_LINES:
        raise SlotbenchError(
            f"{names.nunique()} lines are too many to tell apart: filter the frame to {MAX_LINES}, "
            f"by {', '.join(axis.field for axis in others)}"
        )
    ax = _style.axes(ax)
    looks = _style.suppositions(dict.fromkeys(names))
    for name in dict.fromkeys(names):
        part, look = frame[names == name].sort_values(along.field), looks[name]
        x = part[along.field].to_numpy(float)
        ax.plot(
            x,
            part["per_s"],
            color=look.color,
            marker=look.marker,
            linestyle=look.dashes,
            markersize=4.0,
            linewidth=1.4,
            label=name or "predicted",
        )
        ax.plot(x, part["bound_per_s"], color=look.color, linestyle=":", linewidth=1.0)
        ax.fill_between(
            x, part["low"], part["high"], color=look.color, alpha=0.13, linewidth=0
        )
    ticks = sorted(set(frame[along.field].astype(float)))
    _style.values_axis(ax, ticks, along.heading)
    if (frame["per_s"] > 0).all():
        ax.set_yscale("log")
    _style.numbers_axis(ax.yaxis, "requests/s", is_log=True)
    ax.set_ylabel("requests/s (dotted: bound)")
    _style.legend(ax)
    return ax


def _named(axes: "list[Axis]", row: "pd.Series[float]") -> str:
    parts = []
    for axis in axes:
        value = row[axis.field]
        if axis.field == "min_batch_size" and row["is_balanced"]:
            parts.append(f"{axis.heading} n*")
            continue
        parts.append(str(value) if axis.kind is str else f"{axis.heading} {value:g}")
    return ", ".join(parts)
