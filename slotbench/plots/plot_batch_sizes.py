"""How large batches were: for each contender, the share of its batches of each size.

Shows: darker is more of the contender's batches; the stroke is their mean size.
"""

import math
from typing import TYPE_CHECKING, Final

from slotbench.draw import units
from slotbench.frames import batch_sizes_frame
from slotbench.plots import _facets, _style
from slotbench.plots._facets import Facet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TITLE: Final = "Batch sizes"
SUMMARY: Final = "Share of batches by size, darker is more; the stroke is the mean size"
NEEDS: Final = "a trial with batches"
FRAME: Final = batch_sizes_frame
_MAX_BINS: Final = 64


def split(frame: "pd.DataFrame") -> list[Facet]:
    """A facet a cell."""
    return _facets.cells(frame)


def batch_sizes(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.batch_sizes_frame` of one cell.

    Args:
        frame: rows of one cell.
        ax: where to draw; None makes a new pyplot figure.

    Raises:
        SlotbenchError: the frame holds several cells.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    _facets.only_cell(frame, "batch_sizes")
    ax = _style.axes(ax)
    ax.grid(visible=False)
    labels = _facets.labels(frame)
    largest = int(frame["batch_size"].max())
    width = math.ceil(largest / _MAX_BINS)
    looks = _style.series(frame.attrs.get("contenders", labels))
    for place, label in enumerate(labels):
        part = frame[frame["contender"] == label]
        shares: dict[int, float] = {}
        for size, share in zip(part["batch_size"], part["batch_share"], strict=True):
            number = (int(size) - 1) // width
            shares[number] = shares.get(number, 0.0) + float(share)
        for number, share in shares.items():
            # The root lets a tenth of the batches be seen beside nine tenths.
            shade = (*to_rgb(looks[label].color), min(1.0, math.sqrt(share)))
            left = number * width + 0.5
            ax.add_patch(
                Rectangle((left, place - 0.4), width, 0.8, facecolor=shade, linewidth=0)
            )
        mean = float((part["batch_size"] * part["batch_share"]).sum())
        ax.plot([mean, mean], [place - 0.4, place + 0.4], color=_style.INK, linewidth=1.6)
    ax.set_xlim(0.5, max(largest, 2) + 0.5)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    names = [_style.wrapped(label) for label in labels]
    ax.set_yticks(range(len(labels)), names, fontsize=8, parse_math=False)
    ax.set_xlabel("rows in a batch")
    ax.locator_params(axis="x", integer=True)
    return ax


def size(frame: "pd.DataFrame") -> tuple[float, float]:
    """Inches: a row a contender."""
    return _style.rows_size(len(_facets.distinct(frame, "contender")))


def describe(frame: "pd.DataFrame") -> str:
    """Mean and most frequent size of each contender."""
    parts = []
    for label in _facets.labels(frame):
        part = frame[frame["contender"] == label]
        mean = float((part["batch_size"] * part["batch_share"]).sum())
        top = part.iloc[int(part["batch_share"].argmax())]
        parts.append(
            f"{label}: mean {units.significant(mean)}, most often {int(top['batch_size'])} "
            f"({units.percent(float(top['batch_share']))} of batches)"
        )
    return f"Rows in a batch. {'; '.join(parts)}."
