"""How contenders look: the same in every plot, and told apart without colour, too.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), which the colour-blind
tell apart; within a family of contenders marker and dashes differ. `slotbench.report` puts
CSS variables in the place of these colours, so that a page can be dark.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK: Final = "#1c2024"
MUTED: Final = "#68707a"
GRID: Final = "#d9dce1"
BLUE: Final = "#0072b2"
ORANGE: Final = "#d55e00"
GREEN: Final = "#009e73"
PURPLE: Final = "#b0568c"
SKY: Final = "#56b4e9"
AMBER: Final = "#b8860b"
GREY: Final = "#6e7781"

_FAMILIES: Final = {
    "slot": BLUE,
    "threading": ORANGE,
    "torchrl.slot": GREEN,
    "torchrl.threading": PURPLE,
    "floor": GREY,
}
_STRANGERS: Final = (SKY, AMBER, MUTED)
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_DASHES: Final = ("-", "--", "-.", ":", (0, (1, 1)), (0, (5, 1)), (0, (3, 1, 1, 1)))

SIZE: Final = (4.6, 3.3)
"""Inches of a plot with two axes."""

_NARROW: Final = 5.0
"""Span of a logarithmic axis below which even steps tell more than decades."""

MAX_ROW_LABEL: Final = 18
"""Characters of a contender's label that stand in one line beside a plot."""


_MAX_LINE: Final = 60
"""Characters of one line of such a label."""


@dataclass(frozen=True, slots=True)
class Series:
    """One contender's look.

    Attributes:
        dashes: as matplotlib's ``linestyle``.
    """

    label: str
    color: str
    marker: str
    dashes: Any


def series(labels: Iterable[str]) -> dict[str, Series]:
    """A look for each contender.

    Args:
        labels: of the whole run, in its order, so that one looks alike in all its plots.
    """
    families: dict[str, list[str]] = {}
    for label in labels:
        families.setdefault(_family(label), []).append(label)
    strangers = [name for name in families if name not in _FAMILIES]
    colors = {
        **_FAMILIES,
        **{
            name: _STRANGERS[place % len(_STRANGERS)]
            for place, name in enumerate(strangers)
        },
    }
    return {
        label: Series(
            label,
            colors[family],
            _MARKERS[place % len(_MARKERS)],
            ":" if family == "floor" else _DASHES[place % len(_DASHES)],
        )
        for family, members in families.items()
        for place, label in enumerate(members)
    }


def suppositions(names: Iterable[str]) -> dict[str, Series]:
    """A look for each line that is no contender's: no two of up to 63 are alike, with or without colour."""
    colors = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER, GREY)
    return {
        name: Series(
            name,
            colors[place % len(colors)],
            _MARKERS[place % len(_MARKERS)],
            "-" if place < len(colors) else "--",
        )
        for place, name in enumerate(names)
    }


@dataclass(frozen=True, slots=True)
class Fill:
    """How a phase of a request is filled.

    Attributes:
        hatch: as matplotlib's; "" where somebody works, else the request waits.
    """

    color: str
    hatch: str


HATCH: Final = "#000000"
"""Of fills, by day and night: their colours are bright enough for it on either page."""

PHASES: Final = {
    "write": Fill(SKY, ""),
    "server busy": Fill(ORANGE, "////"),
    "wait for batch": Fill(GREY, "...."),
    "signal → server awake": Fill(SKY, "\\\\\\\\"),
    "drain": Fill(PURPLE, ""),
    "collate": Fill(BLUE, ""),
    "forward": Fill(GREY, ""),
    "resolve": Fill(GREEN, ""),
    "wake → actor running": Fill(AMBER, "\\\\\\\\"),
}
"""Phase → its look; grey is time that the scenario asks for. No two are alike."""


def axes(ax: "Axes | None") -> "Axes":
    """The Axes given, or those of a new pyplot figure; either way with the house's look."""
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for name, spine in ax.spines.items():
        spine.set_visible(name in {"left", "bottom"})
        spine.set_color(GRID)
    ax.tick_params(colors=INK, which="both", labelsize=9, length=3, color=GRID)
    ax.grid(visible=True, color=GRID, linewidth=0.6)
    ax.set_axisbelow(True)
    for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
        text.set_color(INK)
        text.set_fontsize(10)
    return ax


def values_axis(ax: "Axes", ticks: Sequence[float], label: str) -> None:
    """Let the x axis stand at these values: logarithmic where they span a factor of 4."""
    low, high = min(ticks), max(ticks)
    if low > 0 and high / low >= 4:
        ax.set_xscale("log", base=2)
    elif low == 0 and high > 0:
        ax.set_xscale("symlog", linthresh=min(tick for tick in ticks if tick > 0), base=2)
    ax.set_xticks(list(ticks), [f"{tick:,g}".replace(",", " ") for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel(label)


def numbers_axis(axis: Any, unit: str, *, is_log: bool = False) -> None:
    """Label an axis of a metric shortly: 500, 2k, 1.5M; of seconds 20 µs, 1 ms."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    write = duration if unit == "s" else rate
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    if is_log:
        low, high = sorted(axis.get_view_interval())
        if low > 0 and high / low < _NARROW:
            axis.set_major_locator(MaxNLocator(5))
        else:
            axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        axis.set_minor_formatter(NullFormatter())


def rate(value: float) -> str:
    """A round number, short: 500, 2k, 1.5M."""
    for step, sign in ((1e6, "M"), (1e3, "k")):
        if value >= step:
            return f"{value / step:g}{sign}"
    return f"{value:g}"


def duration(value: float) -> str:
    """A round number of seconds, short: 20 µs, 1 ms, 2 s, 0."""
    if value == 0.0:
        return "0"
    for step, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= step * 0.999:
            return f"{value / step:g} {name}"
    return f"{value * 1e9:g} ns"


def ratios_axis(axis: Any, low: float, high: float) -> None:
    """A logarithmic axis of ratios around 1: ticks such as 0.5×, 0.8×, 1×, 1.25×, 2×."""
    import math

    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    low, high = min(low, 0.95), max(high, 1.05)
    span = math.log(high / low)
    fine = (0.9, 1.0, 1.1) if span < 0.5 else ()
    middle = (0.8, 1.0, 1.25) if span < 1.2 else ()
    coarse = [2.0**power for power in range(-8, 9)]
    ticks = sorted({*fine, *middle, *coarse, *((0.7, 1.5, 3.0) if span < 2.5 else ())})
    inside = [tick for tick in ticks if low / 1.02 <= tick <= high * 1.02]
    axis.set_major_locator(FixedLocator(inside))
    axis.set_major_formatter(FixedFormatter([f"{tick:.3g}×" for tick in inside]))
    axis.set_minor_locator(NullLocator())


def named(label: str) -> str:
    """A contender's label for a legend, which leaves out those that begin with "_"."""
    return f" {label}" if label.startswith("_") else label


def wrapped(label: str) -> str:
    """A contender's label in lines where it is long: its options below its name."""
    name, bracket, rest = label.partition("[")
    lines = [label]
    if bracket and len(label) > MAX_ROW_LABEL:
        lines = [name, f"[{rest}"]
    # A plot has room for so many; a label may be of any length, without a blank to break it at.
    return "\n".join(
        line[begin : begin + _MAX_LINE]
        for line in lines
        for begin in range(0, max(len(line), 1), _MAX_LINE)
    )


def rows_size(num_rows: int) -> tuple[float, float]:
    """Inches of a plot with that many rows of contenders."""
    return 5.4, 0.9 + 0.32 * max(num_rows, 3)


def slanted(ax: "Axes") -> None:
    """Slant the names below an axis, so that long ones have room."""
    for text in ax.get_xticklabels():
        text.set(rotation=30, ha="right", fontsize=8)


def legend(ax: "Axes") -> None:
    """Names beside the plot."""
    handles, names = ax.get_legend_handles_labels()
    if not handles:
        return
    box = ax.legend(
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )
    box.set_in_layout(True)
    for text in box.get_texts():
        text.set_parse_math(False)


def _family(label: str) -> str:
    return label.partition("[")[0].partition("@")[0]
