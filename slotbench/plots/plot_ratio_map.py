"""Every contender over the baseline, as a map of actors by policy latency.

Shows: the ratio of throughputs in each cell. Hatched and in brackets where the verdict is
inconclusive, "=" behind what is equivalent; blue is better than the baseline, orange worse,
on one scale for all maps of a frame.
"""

import math
from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import metrics
from slotbench.draw import units
from slotbench.frames import ratios_frame
from slotbench.plots import _facets, _maps, _style
from slotbench.plots._facets import Facet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TITLE: Final = "Ratio to the baseline"
SUMMARY: Final = (
    "Each contender over the baseline; hatched and in brackets: undecided; =: "
    "equivalent; blue: better, orange: worse"
)
NEEDS: Final = "two contenders besides floors"
FRAME: Final = ratios_frame
_FULL: Final = 4.0
"""Ratio, or one over it, at which a colour is full."""


def split(frame: "pd.DataFrame") -> list[Facet]:
    """A map a contender where cells are a grid of actors by latency; else one of all cells."""
    judged = _judged(frame)
    if not _is_grid(judged):
        return [Facet("", judged)] if len(judged) else []
    return [
        Facet(label, judged[judged["contender"] == label])
        for label in _facets.labels(judged)
    ]


def ratio_map(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.ratios_frame` of one metric.

    Args:
        frame: of one contender whose cells are a grid of actors by policy latency, or of any:
            cells are then rows, and contenders columns.
        ax: where to draw; None makes a new pyplot figure.
    """
    ax = _style.axes(ax)
    judged = _judged(frame)
    if _is_grid(judged) and len(_facets.distinct(judged, "contender")) == 1:
        slots = _facets.values(judged, _facets.SLOTS)
        latencies = _facets.values(judged, _facets.LATENCY)
        found = {
            (row[_facets.LATENCY], row[_facets.SLOTS]): _field(row) for row in _rows(judged)
        }
        fields = [[found.get((y, x), _EMPTY) for x in slots] for y in latencies]
        _maps.draw(ax, fields, [f"{y:g}" for y in latencies], [f"{x:g}" for x in slots])
        ax.set_xlabel(_facets.NAMES[_facets.SLOTS])
        ax.set_ylabel(_facets.NAMES[_facets.LATENCY])
        return ax
    cells = list(dict.fromkeys(judged["cell"]))
    labels = _facets.labels(judged)
    found = {(row["cell"], row["contender"]): _field(row) for row in _rows(judged)}
    fields = [[found.get((cell, label), _EMPTY) for label in labels] for cell in cells]
    _maps.draw(ax, fields, cells, labels)
    _style.slanted(ax)
    return ax


def size(frame: "pd.DataFrame") -> tuple[float, float]:
    """Inches: a field of a map is 0.6 by 0.35; cells and contenders need room for names."""
    judged = _judged(frame)
    if _is_grid(judged) and len(_facets.distinct(judged, "contender")) == 1:
        width, height = (
            len(_facets.distinct(judged, _facets.SLOTS)),
            len(_facets.distinct(judged, _facets.LATENCY)),
        )
        return 1.0 + 0.65 * width, 0.9 + 0.38 * height
    longest = max((len(str(cell)) for cell in judged["cell"]), default=0)
    return 1.2 + 0.085 * longest + 0.75 * len(
        _facets.distinct(judged, "contender")
    ), 1.8 + 0.35 * len(_facets.distinct(judged, "cell"))


def describe(frame: "pd.DataFrame") -> str:
    """Every ratio with its verdict."""
    parts = [
        f"{row['contender']} in {row['cell']}: {_said(row)}"
        for row in _rows(_judged(frame))
    ]
    return f"Ratios to {frame.attrs.get('baseline', 'the baseline')}. {'; '.join(parts)}."


_EMPTY: Final = _maps.Field("", None)


def _judged(frame: "pd.DataFrame") -> "pd.DataFrame":
    return frame[~(frame["is_baseline"] | frame["is_floor"])]


def _is_grid(frame: "pd.DataFrame") -> bool:
    """Whether a contender's cells are told apart by actors and latency, and vary in one."""
    if frame.empty:
        return False
    one = frame[frame["contender"] == frame["contender"].iloc[0]]
    places = one[[_facets.SLOTS, _facets.LATENCY]].drop_duplicates()
    return (
        len(places) == len(one)
        and len(_facets.distinct(one, _facets.SLOTS)) > 1
        and (len(_facets.distinct(one, _facets.LATENCY)) > 1)
    )


def _rows(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _field(row: dict[str, Any]) -> _maps.Field:
    ratio = row["ratio"]
    if ratio is None or math.isnan(ratio):
        return _maps.Field(units.MISSING, (0.5, 0.5, 0.5, 0.15), is_hatched=True)
    is_undecided = row["verdict"] == "inconclusive"
    text = units.ratio(ratio)
    if is_undecided:
        text = f"({text})"
    elif row["verdict"] == "equivalent":
        text += " ="
    color, ink = _color(ratio, metrics.get(row["metric"]).better)
    return _maps.Field(text, color, ink, is_hatched=is_undecided)


def _color(ratio: float, better: str) -> tuple[tuple[float, float, float], str]:
    """White at 1, full at `_FULL`; black or white on it, whichever is read better."""
    from matplotlib.colors import to_rgb

    share = max(-1.0, min(1.0, math.log(ratio) / math.log(_FULL))) if ratio > 0 else -1.0
    is_good = (share > 0) == (better != "lower")
    full = to_rgb(_style.BLUE if is_good else _style.ORANGE)
    weight = abs(share)
    red, green, blue = (1.0 - weight * (1.0 - part) for part in full)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (red, green, blue), "black" if luminance > 0.5 else "white"


def _said(row: dict[str, Any]) -> str:
    ratio = row["ratio"]
    if ratio is None or math.isnan(ratio):
        return "no usable pair"
    return f"{units.ratio(ratio)} {row['verdict']}"
