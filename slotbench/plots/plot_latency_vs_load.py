"""Latency over offered load: flat while the system keeps up, and a wall where it no longer does.

Shows: p99 (solid) and p50 (dashed) from the intended start, geometric means over trials with 95 % t
intervals; hollow where replies fell behind what was due: latency is there as long as the
window lets it become.

Source: the load sweeps of MLPerf LoadGen's Server scenario and of wrk2.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from slotbench.draw import units
from slotbench.frames import loads_frame
from slotbench.plots import _facets, _style
from slotbench.plots._facets import Facet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TITLE: Final = "Latency under load"
SUMMARY: Final = (
    "p99 latency (solid) and p50 (dashed) from the intended start over the offered load, with 95 % "
    "intervals; hollow where the backlog grew"
)
NEEDS: Final = "cells of an open loop (load.arrivals) with a usable trial"
FRAME: Final = loads_frame
_LOADS: Final = frozenset({"load.per_actor_per_s"})
_LOG_SPAN: Final = 8.0
"""Highest over lowest load, from which on the axis is logarithmic."""


def split(frame: "pd.DataFrame") -> list[Facet]:
    """A facet for each point of the axes other than the load."""
    known = frame[frame["latency_p50_s"].notna()]
    axes = [name for name in frame.attrs.get("axes", ()) if name not in _LOADS]
    varied = [name for name in axes if len(_facets.distinct(known, name)) > 1]
    if known.empty:
        return []
    if not varied:
        return [Facet("", known)]
    parts = known.groupby([known[name].map(str) for name in varied], sort=False)
    return [
        Facet(", ".join(f"{name}={part[name].iloc[0]}" for name in varied), part)
        for _, part in parts
    ]


def latency_vs_load(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.loads_frame` of one facet.

    Args:
        frame: rows of cells that differ in their load alone.
        ax: where to draw; None makes a new pyplot figure.
    """
    ax = _style.axes(ax)
    looks = _style.series(frame.attrs.get("contenders", _facets.labels(frame)))
    for label in _facets.labels(frame):
        part = frame[frame["contender"] == label].sort_values("offered_per_s")
        look, x = looks[label], part["offered_per_s"].to_numpy(float)
        is_hollow = part["is_saturated"].to_numpy(bool)
        for percent, dashes in ((99, "-"), (50, "--")):
            name = f"latency_p{percent}"
            y, low, high = (
                part[f"{name}{end}_s"].to_numpy(float) for end in ("", "_low", "_high")
            )
            named = _style.named(label) if percent == 99 else "_"
            ax.plot(x, y, color=look.color, linestyle=dashes, linewidth=1.3, label=named)
            ax.fill_between(x, low, high, color=look.color, alpha=0.13, linewidth=0)
            for chosen, face in ((~is_hollow, look.color), (is_hollow, "none")):
                ax.plot(
                    x[chosen],
                    y[chosen],
                    color=look.color,
                    marker=look.marker,
                    markerfacecolor=face,
                    markersize=4.5,
                    linestyle="none",
                )
    loads = np.asarray(_facets.values(frame, "offered_per_s"), float)
    is_log = loads.max() > _LOG_SPAN * loads.min()
    if is_log:
        ax.set_xscale("log")
    _style.numbers_axis(ax.xaxis, "requests/s", is_log=bool(is_log))
    ax.set_xlabel("offered load, requests/s")
    ax.set_yscale("log")
    _style.numbers_axis(ax.yaxis, "s", is_log=True)
    ax.set_ylabel("latency: p99 solid, p50 dashed")
    _style.legend(ax)
    return ax


def size(frame: "pd.DataFrame") -> tuple[float, float]:  # noqa: ARG001  # a plot's signature
    """Inches: two axes."""
    return _style.SIZE


def describe(frame: "pd.DataFrame") -> str:
    """Every p99, contender by contender, and from where on it is saturated."""
    parts = []
    for label in _facets.labels(frame):
        part = frame[frame["contender"] == label].sort_values("offered_per_s")
        shown = ", ".join(units.value(value, "s") for value in part["latency_p99_s"])
        hollow = part.loc[part["is_saturated"], "offered_per_s"]
        ends = "" if hollow.empty else f" (saturated from {_per_s(hollow.iloc[0])})"
        parts.append(f"{label}: {shown}{ends}")
    loads = ", ".join(map(_per_s, _facets.values(frame, "offered_per_s")))
    return f"p99 latency. At an offered load of {loads}: {'; '.join(parts)}."


def _per_s(load: float) -> str:
    return units.value(load, "requests/s")
