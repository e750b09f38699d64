"""What preallocation is worth: the same contender with it on, over it off.

Shows: the ratio of throughputs, paired by block, with its 95 % interval; the grey band is ±δ,
within which a difference does not matter.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from slotbench.frames import switched_frame
from slotbench.plots import _facets, _lines, _style
from slotbench.plots._facets import Facet
from slotbench.plots._lines import Columns, dots, in_words, lines

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TITLE: Final = "Preallocate on over off"
SUMMARY: Final = (
    "Throughput with preallocation over the same contender's without, with its 95 % interval; "
    "above 1 it pays, inside the grey band it does not matter"
)
NEEDS: Final = "a contender with and without preallocate"
FRAME: Final = switched_frame
_ALONG: Final = (_facets.SIZE, _facets.SLOTS, _facets.LATENCY)
_RATIO: Final = Columns("ratio", "ratio_low", "ratio_high")


def split(frame: "pd.DataFrame") -> list[Facet]:
    """Along observation size, else actors, else policy latency; none of an empty frame."""
    return _facets.split(frame, _ALONG) if len(frame) else []


def preallocate(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.switched_frame`.

    Args:
        frame: rows of one facet, or of several cells, which then stand in rows.
        ax: where to draw; None makes a new pyplot figure.
    """
    ax = _style.axes(ax)
    axis = _facets.along(frame, _ALONG)
    delta = frame.attrs.get("threshold", 0.0)
    numbers = frame[["ratio", "ratio_low", "ratio_high"]].to_numpy(float)
    low, high = (
        (float(np.nanmin(numbers)), float(np.nanmax(numbers)))
        if np.isfinite(numbers).any()
        else (1.0, 1.0)
    )
    if axis is None:
        dots(ax, frame, _RATIO)
        ax.axvspan(1 / (1 + delta), 1 + delta, color=_style.GRID, linewidth=0, zorder=0)
        ax.axvline(1.0, color=_style.INK, linewidth=0.8)
        ax.set_xscale("log")
        _style.ratios_axis(ax.xaxis, low, high)
        ax.set_xlabel("on over off")
        return ax
    lines(ax, frame, axis, _RATIO)
    ax.axhspan(1 / (1 + delta), 1 + delta, color=_style.GRID, linewidth=0, zorder=0)
    ax.axhline(1.0, color=_style.INK, linewidth=0.8)
    ax.set_yscale("log")
    _style.ratios_axis(ax.yaxis, low, high)
    ax.set_ylabel("on over off")
    _style.legend(ax)
    return ax


def size(frame: "pd.DataFrame") -> tuple[float, float]:
    """Inches: two axes, or as many rows as there are dots."""
    return _lines.size(frame, _facets.along(frame, _ALONG))


def describe(frame: "pd.DataFrame") -> str:
    """Every ratio, contender by contender."""
    axis = _facets.along(frame, _ALONG)
    return f"Preallocation on over off. {in_words(frame, axis, _RATIO, '', is_ratio=True)}"
