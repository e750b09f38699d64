"""Several facets of a plot on one figure, under one legend."""

import inspect
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from slotbench.errors import SlotbenchError
from slotbench.plots import _style
from slotbench.plots._facets import select

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from slotbench.frames._stored import Stored
    from slotbench.plots import Plot

MAX_FACETS: Final = 36
_COLUMNS: Final = 3
_WIDEST_IN: Final = 17.0
"""Inches of parts beside each other: three of most plots."""

_LEGEND_IN: Final = 2.3
"""Inches for the names beside the parts."""


def figure(
    plot: "Plot",
    stored: "Stored",
    where: Mapping[str, Any] | None = None,
    *,
    contenders: str | Sequence[str] = (),
    **options: Any,
) -> "Figure":
    """Draw a plot of a run, or of a profile, one Axes a facet.

    Args:
        plot: what to draw.
        stored: the run, or the profile where the plot is of one.
        where: column → value, or a list of values: the cells to draw; None is all.
        contenders: a label or labels to draw; () is all.
        options: of the plot's frame: ``baseline``, ``threshold``, ``metric``.

    Raises:
        SlotbenchError: the plot is of the other kind; no such column, value, contender or
            option, or nothing to draw, or more facets than anybody could see.
    """
    from slotbench.frames import id_of

    _check_kind(plot, stored)
    given = {name: value for name, value in options.items() if value is not None}
    known = [n for n in inspect.signature(plot.frame).parameters if n != "stored"]
    for name in given:
        if name not in known:
            raise SlotbenchError(
                f"plot {plot.name} has no {name}: it has {', '.join(known)}"
            )
    if isinstance(given.get("metric"), list | tuple):
        raise SlotbenchError(f"plot {plot.name} draws one metric at a time")
    frame = plot.frame(stored, **given)
    frame = select(frame, where or {})
    wanted = [contenders] if isinstance(contenders, str) else list(contenders)
    labels = list(dict.fromkeys(frame["contender"]))
    for label in wanted:
        if label not in labels:
            raise SlotbenchError(
                f"no contender {label!r} in plot {plot.name}: it has {', '.join(labels)}"
            )
    if wanted:
        frame = frame[frame["contender"].isin(wanted)]
    if not plot.split(frame):
        raise SlotbenchError(
            f"{id_of(stored)} has nothing for plot {plot.name}: it needs {plot.needs}"
        )
    return drawn_frame(plot, frame)


def drawn_frame(plot: "Plot", frame: "pd.DataFrame") -> "Figure":
    """Draw a plot's frame, one Axes a facet.

    Args:
        plot: what to draw.
        frame: that has at least one facet.

    Raises:
        SlotbenchError: more facets than anybody could see.
    """
    import numpy as np
    from matplotlib import pyplot as plt
    from matplotlib.figure import Figure

    facets = plot.split(frame)
    if len(facets) > MAX_FACETS:
        raise SlotbenchError(
            f"plot {plot.name} would have {len(facets)} parts: choose cells by an axis, such "
            f"as {next(iter(frame.attrs.get('axes', ())), 'cell')}"
        )
    sizes = [plot.size(facet.frame) for facet in facets]
    width, height = (max(size[side] for size in sizes) for side in (0, 1))
    columns = min(_COLUMNS, len(facets)) if len(facets) != 4 else 2
    columns = max(1, min(columns, int(_WIDEST_IN / width)))
    rows = math.ceil(len(facets) / columns)
    # Tried on the first part, for the names' room is laid out before anything is drawn.
    first = plot.draw(facets[0].frame, Figure().add_subplot())
    legend_in = _LEGEND_IN if first.get_legend() is not None else 0.01
    drawn = plt.figure(
        figsize=(columns * width + legend_in, rows * (height + 0.4) + 0.3),
        layout="constrained",
    )
    plt.close(drawn)  # shown because it is returned, not by pyplot as well
    sides: Any = drawn.subfigures(1, 2, width_ratios=(columns * width, legend_in))
    body, side = sides
    # A part of the figure each, so that the long names of one do not squeeze all.
    parts = np.ravel(body.subfigures(rows, columns))
    names: dict[str, Any] = {}
    for part, facet in zip(parts, facets, strict=False):
        ax = plot.draw(facet.frame, part.add_subplot())
        title = textwrap.fill(facet.title, max(20, int(9 * width)))
        ax.set_title(title, loc="left", fontsize=9, color=_style.INK, parse_math=False)
        box = ax.get_legend()
        if box is not None:
            handles, said = ax.get_legend_handles_labels()
            names |= {name: handle for handle, name in zip(handles, said, strict=True)}
            box.remove()
    if names:
        box = side.legend(
            names.values(),
            [_style.wrapped(name) for name in names],
            loc="upper left",
            frameon=False,
            fontsize=8,
            labelcolor=_style.INK,
        )
        for text in box.get_texts():
            text.set_parse_math(False)
    drawn.suptitle(
        plot.titled(frame),
        x=0.01,
        ha="left",
        fontsize=11,
        color=_style.INK,
        parse_math=False,
    )
    return drawn


def _check_kind(plot: "Plot", stored: "Stored") -> None:
    """Refuse a run's plot of a profile or a search, and the other way."""
    from slotbench import frames

    kind = frames.kind_of(stored)
    if plot.of != kind:
        scenario = frames.scenario_of(stored).name
        raise SlotbenchError(
            f"plot {plot.name} is drawn of {frames.NOUNS[plot.of]}, and {frames.id_of(stored)} is "
            f"{frames.NOUNS[kind]}: make one with 'slotbench {plot.of} {scenario}'"
        )
