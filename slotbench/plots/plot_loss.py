"""Where throughput goes: measured, lost to the transport, lost to batching and waking threads.

Shows: for one cell, of each contender what was measured; up to the floor what the transport
loses; from the floor to the bound what batching and waking threads lose. A contender can pass
the floor, which wakes its actors in a row.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from slotbench.draw import units
from slotbench.frames import losses_frame
from slotbench.plots import _facets, _style
from slotbench.plots._facets import Facet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TITLE: Final = "What is lost to what"
SUMMARY: Final = (
    "Solid: measured; up to the floor: lost to the transport; from the floor to the bound: "
    "lost to batching and waking threads"
)
NEEDS: Final = "the floor as a contender, and another with a number"
FRAME: Final = losses_frame


def split(frame: "pd.DataFrame") -> list[Facet]:
    """A facet a cell, of those that a floor was raced in."""
    return _facets.cells(frame[frame["floor_per_s"].notna()])


def loss(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.losses_frame` of one cell.

    Args:
        frame: rows of one cell.
        ax: where to draw; None makes a new pyplot figure.

    Raises:
        SlotbenchError: the frame holds several cells.
    """
    _facets.only_cell(frame, "loss")
    ax = _style.axes(ax)
    ax.grid(visible=False, axis="y")
    labels = _facets.labels(frame)
    looks = _style.series(frame.attrs.get("contenders", labels))
    floor = float(frame["floor_per_s"].iloc[0])
    bound = float(frame["bound_per_s"].iloc[0])
    for place, label in enumerate(labels):
        measured = float(frame[frame["contender"] == label]["measured_per_s"].iloc[0])
        ax.barh(place, measured, height=0.7, color=looks[label].color)
        if floor > measured:
            ax.barh(
                place,
                floor - measured,
                left=measured,
                height=0.7,
                color=looks[label].color,
                alpha=0.3,
            )
        if bound > max(floor, measured):
            start = max(floor, measured)
            ax.barh(
                place, bound - start, left=start, height=0.7, color=_style.GREY, alpha=0.15
            )
    ax.axvline(floor, color=_style.GREY, linewidth=1.4, linestyle=":", label="floor")
    if not np.isnan(bound):
        ax.axvline(bound, color=_style.INK, linewidth=1.2, label="bound")
    names = [_style.wrapped(label) for label in labels]
    ax.set_yticks(range(len(labels)), names, fontsize=8, parse_math=False)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_xlim(left=0)
    _style.numbers_axis(ax.xaxis, "requests/s")
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlabel("requests/s")
    _style.legend(ax)
    return ax


def size(frame: "pd.DataFrame") -> tuple[float, float]:
    """Inches: a row a contender."""
    return _style.rows_size(len(_facets.distinct(frame, "contender")))


def describe(frame: "pd.DataFrame") -> str:
    """Bound, floor, and each contender's share of them."""
    first = frame.iloc[0]
    bound, floor = (
        units.value(_number(first[name]), "requests/s")
        for name in ("bound_per_s", "floor_per_s")
    )
    parts = [
        f"{row['contender']}: {units.value(float(row['measured_per_s']), 'requests/s')}, the "
        f"floor over it {units.ratio(_number(row['transport']))}"
        for row in frame.to_dict("records")
    ]
    return f"Bound {bound}, floor {floor}. {'; '.join(parts)}."


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
