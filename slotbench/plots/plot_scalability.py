"""How throughput scales with the number of actors: measured, and the fitted law.

Shows: along actors, throughput as measured, a mark a cell; the Universal Scalability Law fitted to
it, drawn over the measured slot counts and no further; dotted, so many times what one actor
gets. A law that does not fit (off by more than a tenth somewhere) is drawn faint.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from slotbench.compute import scalability as law
from slotbench.draw import units
from slotbench.frames import scalability_frame
from slotbench.plots import _facets, _style
from slotbench.plots._facets import Facet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TITLE: Final = "How throughput scales"
SUMMARY: Final = (
    "Marks: requests per second as measured, with their 95 % intervals; lines: the scalability law fitted to them, faint where it "
    "is off by more than 10 %; dotted: the baseline's linear scaling. Under a GIL a line bends mostly "
    "because one thread runs Python at a time"
)
NEEDS: Final = "cells that differ in num_slots alone, with at least four slot counts"
FRAME: Final = scalability_frame
_NUM_POINTS: Final = 60
_FAINT: Final = 0.3


def split(frame: "pd.DataFrame") -> list[Facet]:
    """A facet a row of cells."""
    names = _facets.distinct(frame, "row")
    return [Facet(str(name), frame[frame["row"] == name]) for name in names]


def scalability(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.scalability_frame` of one row of cells.

    Args:
        frame: rows of one facet.
        ax: where to draw; None makes a new pyplot figure.
    """
    ax = _style.axes(ax)
    labels = _facets.labels(frame)
    looks = _style.series(frame.attrs.get("contenders", labels))
    for label in labels:
        part = frame[frame["contender"] == label].sort_values("num_slots")
        first, look = part.iloc[0], looks[label]
        slots = part["num_slots"].to_numpy(float)
        along = np.geomspace(slots[0], slots[-1], _NUM_POINTS)
        fitted = law.law_per_s(
            along, first["rate_per_s"], first["contention"], first["coherency"]
        )
        is_fit = first["misfit_ratio"] <= law.MAX_MISFIT_RATIO
        ax.plot(
            slots,
            part["measured_per_s"],
            color=look.color,
            marker=look.marker,
            linestyle="none",
            markersize=4.5,
            label=_style.named(label),
        )
        ax.vlines(
            slots,
            part["measured_per_s_low"],
            part["measured_per_s_high"],
            color=look.color,
            linewidth=1.4,
        )
        ax.plot(
            along,
            fitted,
            color=look.color,
            linestyle=look.dashes,
            linewidth=1.3,
            alpha=1.0 if is_fit else _FAINT,
        )
    base = frame[frame["contender"] == frame.attrs.get("baseline", labels[0])]
    base = frame[frame["contender"] == labels[0]] if base.empty else base
    base = base.sort_values("num_slots")
    ax.plot(
        base["num_slots"],
        base["linear_per_s"],
        color=_style.MUTED,
        linestyle=":",
        linewidth=1.2,
        label="linear",
    )
    _style.values_axis(ax, _facets.values(frame, "num_slots"), _facets.NAMES["num_slots"])
    ax.set_yscale("log")
    # What was measured, and not how high a line would go.
    top = float(frame["measured_per_s"].max())
    ax.set_ylim(float(frame["measured_per_s"].min()) / 1.5, top * 2.0)
    _style.numbers_axis(ax.yaxis, "requests/s", is_log=True)
    ax.set_ylabel("requests/s")
    _style.legend(ax)
    return ax


def size(frame: "pd.DataFrame") -> tuple[float, float]:
    """Inches: two axes."""
    del frame
    return _style.SIZE


def describe(frame: "pd.DataFrame") -> str:
    """Every contender's constants, and how far its law is off."""
    parts = []
    for label in _facets.labels(frame):
        part = frame[frame["contender"] == label].sort_values("num_slots")
        first = part.iloc[0]
        measured = ", ".join(units.value(x, "requests/s") for x in part["measured_per_s"])
        parts.append(
            f"{label}: {measured}; contention {first['contention']:.3g}, coherency "
            f"{first['coherency']:.3g}, off by up to {units.percent(first['misfit_ratio'])}"
        )
    slots = ", ".join(f"{number:g}" for number in _facets.values(frame, "num_slots"))
    return f"Requests per second at {slots} actors. {'; '.join(parts)}."
