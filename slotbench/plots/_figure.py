"""Several facets of a plot on one figure, under one legend."""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from slotbench.errors import SlotbenchError
from slotbench.plots import _style
from slotbench.plots._facets import select

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from slotbench.plots import Plot
    from slotbench.store import StoredRun

MAX_FACETS: Final = 36
_COLUMNS: Final = 3


def figure(
    plot: "Plot",
    stored: "StoredRun",
    where: Mapping[str, Any] | None = None,
    *,
    contenders: Sequence[str] = (),
    **options: Any,
) -> "Figure":
    """Draw a plot of a run, one Axes a facet.

    Args:
        plot: what to draw.
        stored: the run.
        where: column → value: the cells to draw; None is all.
        contenders: labels to draw; () is all.
        options: of the plot's frame: ``baseline``, ``threshold``, ``metric``.

    Raises:
        SlotbenchError: no such column, value, contender or option, or nothing to draw, or
            more facets than anybody could see.
    """
    from matplotlib import pyplot as plt

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
    frame = select(frame, {k: str(v) for k, v in (where or {}).items()})
    labels = list(dict.fromkeys(frame["contender"]))
    for label in contenders:
        if label not in labels:
            raise SlotbenchError(
                f"no contender {label!r} in plot {plot.name}: it has {', '.join(labels)}"
            )
    if contenders:
        frame = frame[frame["contender"].isin(contenders)]
    facets = plot.split(frame)
    if not facets:
        raise SlotbenchError(
            f"{stored.run.run_id} has nothing for plot {plot.name}: {plot.summary}"
        )
    if len(facets) > MAX_FACETS:
        raise SlotbenchError(
            f"plot {plot.name} would have {len(facets)} parts: choose cells by an axis, such "
            f"as {next(iter(frame.attrs['axes']), 'cell')}"
        )
    columns = min(_COLUMNS, len(facets)) if len(facets) != 4 else 2
    rows = math.ceil(len(facets) / columns)
    sizes = [plot.size(facet.frame) for facet in facets]
    width = columns * max(size[0] for size in sizes)
    height = rows * (max(size[1] for size in sizes) + 0.2)
    drawn = plt.figure(figsize=(width, height), layout="constrained")
    plt.close(drawn)  # shown because it is returned, not by pyplot as well
    names: dict[str, Any] = {}
    for place, facet in enumerate(facets):
        ax = plot.draw(facet.frame, drawn.add_subplot(rows, columns, place + 1))
        ax.set_title(facet.title, loc="left", fontsize=9, color=_style.INK)
        box = ax.get_legend()
        if box is not None:
            handles, said = ax.get_legend_handles_labels()
            names |= {name: handle for handle, name in zip(handles, said, strict=True)}
            box.remove()
    if names:
        drawn.legend(
            names.values(),
            [_style.wrapped(name) for name in names],
            loc="outside right upper",
            frameon=False,
            fontsize=8,
            labelcolor=_style.INK,
        )
    drawn.suptitle(plot.titled(frame), x=0.01, ha="left", fontsize=11, color=_style.INK)
    return drawn
