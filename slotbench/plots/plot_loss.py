"""Where throughput goes: measured, and lost to the transport, to waking threads, to the batching rule.

Shows: for one cell, of each contender what was measured; up to the floor what the transport
loses; from the floor to a free transport what waking threads loses; from there to the bound
what the batching rule loses. A contender can pass the floor, which wakes its actors in a row and
waits for no more requests than the rule asks.
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
    "Solid: measured; up to the floor: lost to the transport; on to a free transport: lost to "
    "waking threads; on to the bound: lost to the batching rule. Contenders whose actors are "
    "processes have yardsticks of their own: see compare --explain"
)
NEEDS: Final = "a closed loop with the floor as a contender, and another with a number"
FRAME: Final = losses_frame


def split(frame: "pd.DataFrame") -> list[Facet]:
    """A facet a cell and interpreter, of those that a floor was raced in."""
    # Contenders whose actors are processes have yardsticks of their own, and no floor.
    of_cells = _facets.cells(frame[frame["floor_per_s"].notna()])
    return [
        Facet(
            f"{facet.title} · {python}" if python else facet.title,
            facet.frame[facet.frame["python"] == python],
        )
        for facet in of_cells
        for python in _facets.distinct(facet.frame, "python")
    ]


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
    floor, free, bound = (
        float(frame[name].iloc[0]) for name in ("floor_per_s", "free_per_s", "bound_per_s")
    )
    for place, label in enumerate(labels):
        measured = float(frame[frame["contender"] == label]["measured_per_s"].iloc[0])
        ax.barh(place, measured, height=0.7, color=looks[label].color)
        start = measured
        # What is not above the step before it loses nothing more.
        for end, color, alpha in (
            (floor, looks[label].color, 0.3),
            (free, _style.GREY, 0.3),
            (bound, _style.GREY, 0.15),
        ):
            if end > start:
                ax.barh(
                    place, end - start, left=start, height=0.7, color=color, alpha=alpha
                )
                start = end
    ax.axvline(floor, color=_style.GREY, linewidth=1.4, linestyle=":", label="floor")
    if not np.isnan(bound):
        ax.axvline(
            free, color=_style.GREY, linewidth=1.4, linestyle="--", label="free transport"
        )
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
    """Bound, free transport, floor, and each contender's share of the last."""
    first = frame.iloc[0]
    bound, free, floor = (
        units.value(_number(first[name]), "requests/s")
        for name in ("bound_per_s", "free_per_s", "floor_per_s")
    )
    parts = [
        f"{row['contender']}: {units.value(float(row['measured_per_s']), 'requests/s')}, the "
        f"floor over it {units.ratio(_number(row['transport']))}"
        for row in frame.to_dict("records")
    ]
    return f"Bound {bound}, free transport {free}, floor {floor}. {'; '.join(parts)}."


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
