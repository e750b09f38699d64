"""Latency over percentiles, on the axis of HdrHistogram: each nine as wide as the one before.

Shows: of each percentile the geometric mean over trials, with a band from the least to the
largest trial. In a closed loop a slow transport is also asked less often, so these are
latencies at each contender's own throughput, not at an equal load.

Source: Gil Tene's HdrHistogram plots.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from slotbench.draw import units
from slotbench.frames import latencies_frame
from slotbench.plots import _facets, _style
from slotbench.plots._facets import Facet
from slotbench.plots._lines import Columns, bands

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TITLE: Final = "Latency"
SUMMARY: Final = (
    "Latency by percentile: mean over trials, band from the least trial to the largest; in a closed "
    "loop each contender is at its own throughput"
)
NEEDS: Final = "a trial with replies"
FRAME: Final = latencies_frame
_TICKS: Final = (50.0, 90.0, 99.0, 99.9, 99.99)
_LATENCY: Final = Columns("latency_s", "latency_min_s", "latency_max_s")
_SAID: Final = (50.0, 90.0, 99.0, 99.9)


def split(frame: "pd.DataFrame") -> list[Facet]:
    """A facet a cell."""
    return _facets.cells(frame)


def latency(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.latencies_frame` of one cell.

    Args:
        frame: rows of one cell.
        ax: where to draw; None makes a new pyplot figure.

    Raises:
        SlotbenchError: the frame holds several cells.
    """
    _facets.only_cell(frame, "latency")
    ax = _style.axes(ax)
    bands(ax, frame, "percent", _LATENCY, _nines)
    last = float(frame["percent"].max())
    ticks = [tick for tick in _TICKS if tick <= last]
    ax.set_xticks(_nines(np.asarray(ticks)), [f"{tick:g}" for tick in ticks])
    ax.set_yscale("log")
    _style.numbers_axis(ax.yaxis, "s", is_log=True)
    ax.set_xlabel("percentile")
    ax.set_ylabel("latency")
    _style.legend(ax)
    return ax


def size(frame: "pd.DataFrame") -> tuple[float, float]:  # noqa: ARG001  # as all plots
    """Inches."""
    return _style.SIZE


def describe(frame: "pd.DataFrame") -> str:
    """p50, p90, p99 and p99.9 of each contender."""
    parts = []
    for label in _facets.labels(frame):
        part = frame[frame["contender"] == label].set_index("percent")["latency_s"]
        numbers = [
            f"p{percent:g} {units.seconds(float(part[percent]))}"
            for percent in _SAID
            if percent in part.index
        ]
        parts.append(f"{label}: {', '.join(numbers)}")
    return f"Latency. {'; '.join(parts)}."


def _nines(percents: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> list[float]:
    """0.3, 1, 2, 3 for 50, 90, 99, 99.9."""
    return [float(value) for value in -np.log10(1.0 - percents / 100.0)]
