"""Where the time of a request goes: its phases, one behind the other, by contender.

Shows: for one cell, of each contender the mean of every phase in the order of a request's life,
with the round trip at the end. Numbers above the bars say which phase it is; hatched: the request
waits. The times have the stamps' own cost in them.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from slotbench.draw import units
from slotbench.frames import phases_frame
from slotbench.plots import _facets, _style
from slotbench.plots._facets import Facet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

OF: Final = "profile"
TITLE: Final = "The life of a request"
SUMMARY: Final = (
    "Mean time of each phase of a request, in order, the stamps' own cost included; hatched: "
    "the request waits; at the end: the round trip"
)
NEEDS: Final = "a contender whose phases were seen"
FRAME: Final = phases_frame

_HEIGHT: Final = 0.52
_NEAREST: Final = 0.022
"""Share of the axis that two numbers above a bar stand apart at least."""

_LEAST: Final = 0.004
"""Share of the axis below which a phase is too thin to be seen, and has no number."""


def split(frame: "pd.DataFrame") -> list[Facet]:
    """A facet a cell."""
    return _facets.cells(frame)


def phases(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.phases_frame` of one cell.

    Args:
        frame: rows of one cell.
        ax: where to draw; None makes a new pyplot figure.

    Raises:
        SlotbenchError: the frame holds several cells.
    """
    _facets.only_cell(frame, "phases")
    ax = _style.axes(ax)
    ax.grid(visible=False, axis="y")
    labels = _facets.labels(frame)
    longest = max(float(frame["round_trip_s"].max()), 1e-9)
    seen: set[str] = set()
    for place, label in enumerate(labels):
        rows = _in_order(frame, label)
        _bar(ax, place, rows, longest, seen)
        whole = sum(row["time_s"] for row in rows)
        ax.text(
            whole + 0.01 * longest,
            place,
            units.seconds(whole),
            va="center",
            ha="left",
            fontsize=8,
            color=_style.INK,
        )
    names = [_style.wrapped(label) for label in labels]
    ax.set_yticks(range(len(labels)), names, fontsize=8, parse_math=False)
    ax.set_ylim(len(labels) - 0.5, -0.62)
    ax.set_xlim(0, 1.16 * longest)  # room for the round trip's number
    ax.locator_params(axis="x", nbins=6)
    _style.numbers_axis(ax.xaxis, "s")
    ax.set_xlabel("mean time per request, with stamps")
    _style.legend(ax)
    return ax


def size(frame: "pd.DataFrame") -> tuple[float, float]:
    """Inches: a row a contender, and wide, so that thin phases are seen."""
    return 8.4, 1.0 + 0.5 * max(len(_facets.distinct(frame, "contender")), 2)


def describe(frame: "pd.DataFrame") -> str:
    """Every phase of each contender, the round trip, and what the stamps cost."""
    parts = []
    for label in _facets.labels(frame):
        rows = _in_order(frame, label)
        times = ", ".join(f"{row['phase']} {units.seconds(row['time_s'])}" for row in rows)
        whole = units.seconds(sum(row["time_s"] for row in rows))
        parts.append(f"{label}: {whole}, of it {times}; {_probes(rows[0])}")
    return f"Mean times per request, the stamps' own cost included. {'. '.join(parts)}."


def _bar(
    ax: "Axes", place: int, rows: list[dict[str, Any]], longest: float, seen: set[str]
) -> None:
    """One contender: its phases end to end, with their numbers above."""
    left = 0.0
    middles: dict[int, float] = {}
    for row in rows:
        name, width = row["phase"], row["time_s"]
        number = int(row["position"])
        look = _style.PHASES.get(name, _style.Fill(_style.MUTED, "xx"))
        # Once in the legend, whichever contender is first.
        label = "_nolegend_" if name in seen else f"{number} {name}"
        seen.add(name)
        ax.barh(
            place,
            width,
            left=left,
            height=_HEIGHT,
            facecolor=look.color,
            edgecolor=_style.HATCH,
            hatch=look.hatch,
            linewidth=0.4,
            label=label,
        )
        middles[number] = left + width / 2
        left += width
    widths = {int(row["position"]): row["time_s"] for row in rows}
    for number in _numbered(widths, middles, longest):
        ax.text(
            middles[number],
            place - _HEIGHT / 2 - 0.03,
            str(number),
            ha="center",
            va="bottom",
            fontsize=7,
            color=_style.INK,
        )


def _numbered(
    widths: dict[int, float], middles: dict[int, float], longest: float
) -> list[int]:
    """The phases that have room for a number: of two too near to each other the longer one."""
    chosen: list[int] = []
    for number in sorted(widths, key=lambda one: -widths[one]):
        if widths[number] >= _LEAST * longest and all(
            abs(middles[number] - middles[other]) >= _NEAREST * longest for other in chosen
        ):
            chosen.append(number)
    return sorted(chosen)


def _in_order(frame: "pd.DataFrame", label: str) -> list[dict[str, Any]]:
    part = frame[frame["contender"] == label].sort_values("position")
    return [{str(k): v for k, v in row.items()} for row in part.to_dict("records")]


def _probes(row: dict[str, Any]) -> str:
    ratio, cost_s = row["probe_ratio"], row["probe_cost_s"]
    if np.isnan(ratio):
        return "what the stamps cost is not known"
    return (
        f"the stamps add {units.seconds(float(cost_s))}, throughput with them is "
        f"{units.ratio(float(ratio))} of that without"
    )
