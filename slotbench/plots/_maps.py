"""Tables whose fields have colours: what is read off the text stands in the text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from slotbench.plots import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HATCH: Final = "////"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a map.

    Attributes:
        text: what stands in it.
        color: RGBA, 0 to 1 each, or a name that matplotlib knows; None for an empty field.
        ink: of the text.
        is_hatched: for what is not decided.
    """

    text: str
    color: Any
    ink: str = _style.INK
    is_hatched: bool = False


def draw(
    ax: "Axes",
    fields: Sequence[Sequence[Field]],
    rows: Sequence[str],
    columns: Sequence[str],
) -> None:
    """Draw the fields, the first row on top.

    Args:
        ax: with the house's look.
        fields: as many as rows, each as wide as columns.
        rows: names.
        columns: names.
    """
    from matplotlib.patches import Rectangle

    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    for top, line in enumerate(fields):
        for left, field in enumerate(line):
            if field.color is None:
                continue
            ax.add_patch(
                Rectangle(
                    (left - 0.5, top - 0.5),
                    1,
                    1,
                    facecolor=field.color,
                    edgecolor=_style.MUTED if field.is_hatched else "none",
                    hatch=_HATCH if field.is_hatched else None,
                    linewidth=0,
                )
            )
            if field.text:
                box = {"facecolor": field.color, "edgecolor": "none", "pad": 1.0}
                ax.text(
                    left,
                    top,
                    field.text,
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=field.ink,
                    bbox=box if field.is_hatched else None,
                )
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xticks(range(len(columns)), columns, parse_math=False)
    names = [_style.wrapped(row) for row in rows]
    ax.set_yticks(range(len(rows)), names, parse_math=False)
    ax.tick_params(length=0)
