"""Throughput along the number of actors, with what bounds it.

Shows: requests per second of every contender and of the floor, each with the 95 % t interval of
its own value, which is wider than that of a ratio paired by block; the bound, where the
workload's times are known.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from slotbench.compute import metrics
from slotbench.frames import ratios_frame
from slotbench.plots import _facets, _lines, _style
from slotbench.plots._facets import Facet
from slotbench.plots._lines import Columns, dots, in_words, lines

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TITLE: Final = "Throughput"
SUMMARY: Final = (
    "Requests per second with the 95 % interval of each value; the floor carries no payload, "
    "the bound is what think time and the policy's own time leave"
)
NEEDS: Final = "a trial with a number"
FRAME: Final = ratios_frame
_ALONG: Final = (_facets.SLOTS, _facets.SIZE, _facets.LATENCY)
_VALUE: Final = Columns("value", "value_low", "value_high")


def split(frame: "pd.DataFrame") -> list[Facet]:
    """Along actors, else observation size, else policy latency."""
    facets = _facets.split(frame, _ALONG, is_apart=True)
    return [facet for facet in facets if (facet.frame["value"] > 0).any()]


def throughput(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.ratios_frame` of one metric.

    Args:
        frame: rows of one facet, or of several cells, which then stand in rows.
        ax: where to draw; None makes a new pyplot figure.
    """
    ax = _style.axes(ax)
    axis = _facets.along(frame, _ALONG)
    metric = metrics.get(str(frame["metric"].iloc[0]))
    name = "requests/s" if metric.unit == "requests/s" else metric.label
    if axis is None:
        dots(ax, frame, _VALUE)
        _style.numbers_axis(ax.xaxis, metric.unit)
        ax.set_xlabel(name)
        ax.set_xlim(left=0)
        return ax
    lines(ax, frame, axis, _VALUE)
    limits = frame.drop_duplicates(axis).sort_values(axis)
    bounds = limits["bound_per_s"].to_numpy(float)
    if not np.isnan(bounds).all():
        ax.plot(limits[axis], bounds, color=_style.INK, linewidth=1.2, label="bound")
    if (frame["value"] > 0).any():
        ax.set_yscale("log")
    _style.numbers_axis(ax.yaxis, metric.unit, is_log=True)
    ax.set_ylabel(name)
    _style.legend(ax)
    return ax


def size(frame: "pd.DataFrame") -> tuple[float, float]:
    """Inches: two axes, or as many rows as there are dots."""
    return _lines.size(frame, _facets.along(frame, _ALONG))


def describe(frame: "pd.DataFrame") -> str:
    """Every value, contender by contender."""
    axis = _facets.along(frame, _ALONG)
    metric = metrics.get(str(frame["metric"].iloc[0]))
    what = "Requests per second" if metric.unit == "requests/s" else metric.label
    return f"{what}. {in_words(frame, axis, _VALUE, metric.unit)}"
