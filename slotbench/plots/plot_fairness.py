"""Whether every actor was served alike: the replies of the one with the fewest.

Shows: its replies as a share of the mean actor's; 100 % is fair, and redder is less so. Where an
actor has few replies, chance alone makes a share of 1 less one over them.
"""

from typing import TYPE_CHECKING, Any, Final

from slotbench.draw import units
from slotbench.frames import fairness_frame
from slotbench.plots import _facets, _maps, _style
from slotbench.plots._facets import Facet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TITLE: Final = "Fairness"
SUMMARY: Final = (
    "Replies of the least served actor as a share of the mean actor's: 100 % is fair; with few "
    "replies an actor, chance alone makes less"
)
NEEDS: Final = "a trial with replies"
FRAME: Final = fairness_frame
_ALONG: Final = (_facets.SLOTS, _facets.SIZE, _facets.LATENCY)


def split(frame: "pd.DataFrame") -> list[Facet]:
    """Along actors, else observation size, else policy latency."""
    return _facets.split(frame, _ALONG)


def fairness(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Draw `slotbench.frames.fairness_frame`.

    Args:
        frame: any; where its cells cannot be told apart by one axis, each is a column.
        ax: where to draw; None makes a new pyplot figure.
    """
    ax = _style.axes(ax)
    axis = _facets.along(frame, _ALONG)
    labels = _facets.labels(frame)
    columns: list[Any]
    if axis is None:
        columns, key, names = list(dict.fromkeys(frame["cell"])), "cell", []
        names = [str(name) for name in columns]
    else:
        columns, key = _facets.values(frame, axis), axis
        names = [f"{value:g}" for value in columns]
    shares = {
        (who, where): share
        for who, where, share in zip(
            frame["contender"], frame[key], frame["least_share"], strict=True
        )
    }
    fields = [[_field(shares.get((label, x))) for x in columns] for label in labels]
    _maps.draw(ax, fields, labels, names)
    ax.tick_params(axis="y", labelsize=8)
    if axis is None and len(names) > 1:
        _style.slanted(ax)
    ax.set_xlabel("" if axis is None else _facets.NAMES.get(axis, axis))
    return ax


def size(frame: "pd.DataFrame") -> tuple[float, float]:
    """Inches: a row a contender, a column a cell; their names need room where no axis tells."""
    width, height = _style.rows_size(len(_facets.distinct(frame, "contender")))
    is_flat = _facets.along(frame, _ALONG) is None
    return (
        (width, height)
        if not is_flat
        else (2.6 + 0.6 * len(_facets.distinct(frame, "cell")), height + 1.2)
    )


def describe(frame: "pd.DataFrame") -> str:
    """The smallest share of each contender, and where."""
    parts = []
    for label in _facets.labels(frame):
        part = frame[frame["contender"] == label]
        worst = part.iloc[int(part["least_share"].argmin())]
        parts.append(
            f"{label}: {units.percent(float(worst['least_share']))} in {worst['cell']} "
            f"({units.significant(float(worst['replies_per_actor']))} replies an actor)"
        )
    return f"Smallest share of a mean actor's replies. {'; '.join(parts)}."


def _field(share: float | None) -> _maps.Field:
    from matplotlib.colors import to_rgb

    if share is None:
        return _maps.Field("", None)
    weight = min(1.0, max(0.0, 1.0 - share))
    return _maps.Field(f"{100 * share:.0f} %", (*to_rgb(_style.ORANGE), 0.8 * weight))
