"""Every load that a search tried: the percentile of each trial, its limit, and the interval found.

Shows: a mark a trial, hollow where the machine disturbed it; INVALID and failed trials are not drawn.
The stroke across is the limit; the band below each contender's colour is its interval, from the highest load
shown to hold to the lowest shown not to.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from slotbench.draw import units
from slotbench.frames import slo_frame
from slotbench.plots import _facets, _style
from slotbench.plots._facets import Facet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

OF: Final = "slo"
TITLE: Final = "Latency over load"
SUMMARY: Final = (
    "The percentile that has a limit, a mark a trial, over the load of all actors; across: the limit; "
    "bands: between the highest load shown to hold and the lowest shown not to"
)
NEEDS: Final = "a trial in the open loop with usable numbers"
FRAME: Final = slo_frame


def split(frame: "pd.DataFrame") -> list[Facet]:
    """A facet a cell and limit."""
    facets = []
    for facet in _facets.cells(frame):
        for percent in sorted(_facets.distinct(facet.frame, "percent")):
            part = facet.frame[facet.frame["percent"] == percent]
            if not bool(_drawn(part).any()):
                continue
            is_one = len(_facets.distinct(frame, "percent")) == 1
            title = facet.title if is_one else f"{facet.title}, p{percent:g}"
            facets.append(Facet(title, part))
    return facets


def slo(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.slo_frame` of one cell and limit.

    Args:
        frame: rows of one cell and limit.
        ax: where to draw; None makes a new pyplot figure.

    Raises:
        SlotbenchError: the frame holds several cells.
    """
    _facets.only_cell(frame, "slo")
    ax = _style.axes(ax)
    looks = _style.series(frame.attrs.get("contenders", _facets.labels(frame)))
    drawn = frame[_drawn(frame)]
    for label in _facets.labels(frame):
        look, part = looks[label], drawn[drawn["contender"] == label]
        calm, disturbed = part[~part["is_disturbed"]], part[part["is_disturbed"]]
        ax.plot(
            calm["load_per_s"].to_numpy(float),
            calm["latency_s"].to_numpy(float),
            color=look.color,
            marker=look.marker,
            linestyle="",
            markersize=4.0,
            alpha=0.75,
            label=_style.named(label),
        )
        if len(disturbed):
            ax.plot(
                disturbed["load_per_s"].to_numpy(float),
                disturbed["latency_s"].to_numpy(float),
                color=look.color,
                marker=look.marker,
                linestyle="",
                markersize=4.0,
                markerfacecolor="none",
                label="_nolegend_",
            )
        low, high = _interval(frame, label)
        if low is not None and high is not None:
            ax.axvspan(low, high, color=look.color, alpha=0.16, linewidth=0)
        elif low is not None or high is not None:
            ax.axvline(low or high or 0.0, color=look.color, alpha=0.4, linestyle=":")
    ax.axhline(float(frame["limit_s"].iloc[0]), color=_style.INK, linewidth=1.0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    _style.numbers_axis(ax.xaxis, "requests/s", is_log=True)
    _style.numbers_axis(ax.yaxis, "s", is_log=True)
    ax.set_xlabel("load of all actors (requests/s)")
    ax.set_ylabel(f"p{float(frame['percent'].iloc[0]):g} latency")
    _style.legend(ax)
    return ax


def size(frame: "pd.DataFrame") -> tuple[float, float]:  # noqa: ARG001  # as all plots
    """Inches."""
    return _style.SIZE


def describe(frame: "pd.DataFrame") -> str:
    """The interval of each contender, and how many trials it rests on."""
    limit = f"p{float(frame['percent'].iloc[0]):g} below {units.seconds(float(frame['limit_s'].iloc[0]))}"
    parts = []
    for label in _facets.labels(frame):
        ends = [
            "none" if end is None else f"{units.significant(end)}/s"
            for end in _interval(frame, label)
        ]
        number = int((frame["contender"] == label).sum())
        parts.append(
            f"{label}: {ends[0]} shown to hold, {ends[1]} shown not to, "
            f"{units.count(number, 'trial')}"
        )
    return f"{limit}. {'; '.join(parts)}."


def _drawn(frame: "pd.DataFrame") -> "pd.Series[bool]":
    usable = frame["is_usable"].astype(bool) & frame["latency_s"].notna()
    return usable & (frame["latency_s"] > 0.0)


def _interval(frame: "pd.DataFrame", label: str) -> tuple[float | None, float | None]:
    part = frame[frame["contender"] == label]
    ends = (float(part[name].iloc[0]) for name in ("held_per_s", "failed_per_s"))
    low, high = (None if np.isnan(end) else end for end in ends)
    return low, high
