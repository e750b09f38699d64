"""One metric over many runs, with its levels and where they change.

Shows: runs in their order; each run's number with the interval inside it; the level of each segment as a
line; at a change a mark and its size. It is drawn of a `slotbench.frames.history_frame`, not of a run, so it is no
``plot_<name>.py``.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from slotbench.compute import metrics
from slotbench.draw import units
from slotbench.plots import _facets, _style
from slotbench.plots._facets import Facet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TITLE: Final = "Run by run"
SUMMARY: Final = (
    "Each run's number with the interval inside it; lines are the levels between changes; a change is marked where "
    "levels differ by more than runs of one level do"
)
_GROUP: Final = ("machine", "scenario", "cell", "workload", "baseline")
_MARKS: Final = {"faster": "▲", "slower": "▼", "different": "≠", "equivalent": "="}
_MAX_TICKS: Final = 12
_PER_RUN_IN: Final = 0.28
_WIDEST_IN: Final = 11.0


def split(frame: "pd.DataFrame") -> list[Facet]:
    """A facet a machine, scenario, cell, workload and baseline."""
    found = []
    many = {name for name in _GROUP if len(_facets.distinct(frame, name)) > 1}
    for _, part in frame.groupby(list(_GROUP), sort=False, dropna=False):
        first = part.iloc[0]
        said = [str(first["scenario"])] if "scenario" in many else []
        if first["cell"] != "all":
            said.append(str(first["cell"]))
        if "workload" in many:
            said.append(f"workload {first['workload']}")
        said += [str(first[name]) for name in ("machine",) if name in many]
        found.append(Facet(", ".join(said), part))
    return found


def history(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.history_frame` of one facet.

    Args:
        frame: rows of one facet.
        ax: where to draw; None makes a new pyplot figure.
    """
    ax = _style.axes(ax)
    runs = _runs(frame)
    places = {run_id: place for place, run_id in enumerate(runs)}
    labels = _facets.labels(frame)
    looks = _style.series(frame.attrs.get("contenders", labels))
    for label in labels:
        part = frame[frame["contender"] == label]
        look = looks[label]
        x = np.array([places[run_id] for run_id in part["run_id"]], float)
        ax.vlines(x, part["value_low"], part["value_high"], color=look.color, linewidth=1.2, alpha=0.5)  # fmt: skip
        ax.plot(
            x,
            part["value"],
            color=look.color,
            marker=look.marker,
            linestyle="none",
            markersize=4.0,
            label=_style.named(label),
        )
        for _, segment in part.groupby("segment", sort=False):
            at = [places[run_id] for run_id in segment["run_id"]]
            level = float(segment["level"].iloc[0])
            ax.plot(
                [at[0] - 0.4, at[-1] + 0.4],
                [level, level],
                color=look.color,
                linestyle=look.dashes,
                linewidth=1.4,
            )
        for row in part[part["change"].notna()].to_dict("records"):
            _mark(ax, row, places[row["run_id"]], look.color)
    _axes(ax, frame, runs)
    _style.legend(ax)
    return ax


def size(frame: "pd.DataFrame") -> tuple[float, float]:
    """Inches: wider for more runs."""
    return min(_WIDEST_IN, max(_style.SIZE[0], _PER_RUN_IN * len(_runs(frame)) + 1.5)), 3.5


def describe(frame: "pd.DataFrame") -> str:
    """First and last number of every contender, and its changes."""
    parts = []
    for label in _facets.labels(frame):
        part = frame[frame["contender"] == label]
        values = [_shown(frame, float(part["value"].iloc[place])) for place in (0, -1)]
        said = f"{label}: {values[0]} first, {values[1]} last"
        for row in part[part["change"].notna()].to_dict("records"):
            said += f", {row['verdict']} {units.ratio(row['change'])} with {row['run_id']}"
        parts.append(said)
    return f"{units.count(len(_runs(frame)), 'run')}. {'; '.join(parts)}."


def _runs(frame: "pd.DataFrame") -> list[str]:
    """Ids in the order of time."""
    mine = {str(run_id) for run_id in frame["run_id"]}
    if "runs" in frame.attrs:
        return [run_id for run_id in frame.attrs["runs"] if run_id in mine]
    # Without the attributes, as of a file: in a second in the order of the rows, which is the series'.
    ordered = frame.drop_duplicates("run_id").sort_values("created_at", kind="stable")
    return [str(run_id) for run_id in ordered["run_id"]]


def _mark(ax: "Axes", row: dict[Any, Any], place: int, color: str) -> None:
    sign = _MARKS.get(row["verdict"], "")
    unsure = "" if row["is_confirmed"] else "?"
    ax.axvline(place - 0.5, color=color, linewidth=0.8, linestyle=":")
    ax.annotate(
        f"{sign} {units.ratio(row['change'])}{unsure}",
        (place - 0.4, row["level"]),
        xytext=(0, 9),
        textcoords="offset points",
        color=_style.INK,
        fontsize=8,
    )


def _axes(ax: "Axes", frame: "pd.DataFrame", runs: list[str]) -> None:
    said = {
        row["run_id"]: f"{row['created_at'][:10]} {row['commit'][:7]}".strip()
        for row in frame.to_dict("records")
    }
    ticks = list(range(0, len(runs), -(-len(runs) // _MAX_TICKS)))
    names = [said[runs[tick]] for tick in ticks]
    ax.set_xticks(ticks, names, parse_math=False)
    _style.slanted(ax)
    ax.set_xlim(-0.8, len(runs) - 0.2)
    numbers = frame[["value", "value_low", "value_high"]].to_numpy(float)
    low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    ax.set_yscale("log")
    ax.set_ylim(low / 1.08, high * 1.12)
    if frame.attrs.get("is_absolute"):
        _style.numbers_axis(ax.yaxis, str(frame.attrs["unit"]), is_log=True)
        ax.set_ylabel(metrics.get(str(frame.attrs["metric"])).label)
        return
    _style.ratios_axis(ax.yaxis, low, high)
    if low < 1.0 < high:
        ax.axhline(1.0, color=_style.INK, linewidth=0.8)
    ax.set_ylabel(f"over {frame['baseline'].iloc[0]}")


def _shown(frame: "pd.DataFrame", value: float) -> str:
    if frame.attrs.get("is_absolute"):
        return units.value(value, str(frame.attrs["unit"]))
    return units.ratio(value)
