"""One plot a file: a frame in, an `matplotlib.axes.Axes` out; every number comes in the frame.

``slotbench.plots.throughput(frame, ax=None)`` draws on the Axes given, or on those of a new
pyplot figure, and returns them. A frame comes from `slotbench.frames`, whole or filtered.
What one Axes cannot hold (several policy latencies, say) is cut into facets by `facets`.

A plot is a module ``plot_<name>.py`` of this folder. It has ``TITLE``; ``SUMMARY``, a line
that says what it shows; ``NEEDS``, what a run must hold for it; ``FRAME``, the function that makes its frame; ``split(frame)``, its
facets; ``describe(frame)``, one facet in words; ``size(frame)``, its inches; the function
``<name>``; and ``OF = "profile"`` or ``"slo"`` where it is drawn of a profile or a search and not of a run. Adding a plot is adding a file. Nothing here is imported to list names: ``slotbench --help`` shows them.

`draw_what_if` is none of these: it is drawn of predictions, which are of no run.
"""

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from slotbench.errors import SlotbenchError
from slotbench.plots._facets import Facet, distinct, select
from slotbench.plots._figure import figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from slotbench.frames import Kind
    from slotbench.plots._what_if import draw_what_if

__all__ = [
    "Facet",
    "Plot",
    "available",
    "draw_what_if",
    "drawn_of",
    "figure",
    "get",
    "of_history",
    "select",
    "summary",
]

_PREFIX: Final = "plot_"


@dataclass(frozen=True, slots=True)
class Plot:
    """What a plot's module says.

    Attributes:
        name: the module's stem without its prefix.
        of: what it is drawn of.
        title: for people.
        summary: what it shows, and how to read it, in one or two sentences.
        needs: what a run must hold for it, to be said where it does not.
        frame: makes its frame of a stored run, or profile; takes ``baseline``, and of a run
            ``threshold``.
        split: cuts a frame into what one Axes can hold.
        draw: the function itself.
        describe: what a facet shows, in words, for those who do not see it.
        size: width and height of a facet, in inches.
    """

    name: str
    of: "Kind"
    title: str
    summary: str
    needs: str
    frame: "Callable[..., pd.DataFrame]"
    split: "Callable[[pd.DataFrame], list[Facet]]"
    draw: "Callable[[pd.DataFrame, Axes | None], Axes]"
    describe: "Callable[[pd.DataFrame], str]"
    size: "Callable[[pd.DataFrame], tuple[float, float]]"

    def titled(self, frame: "pd.DataFrame") -> str:
        """The title, with the baseline's own name in it, and a metric's that is not throughput."""
        title = self.title.replace(
            "the baseline", str(frame.attrs.get("baseline", "the baseline"))
        )
        names = distinct(frame, "metric") if "metric" in frame.columns else []
        if names in ([], ["throughput"]):
            return title
        from slotbench.compute import metrics

        label = metrics.get(str(names[0])).label
        return label if title == "Throughput" else f"{title}, {label}"


def available(of: "Kind | None" = None) -> tuple[str, ...]:
    """Names of plots, sorted.

    Args:
        of: those drawn of a run, of a profile or of a search; None is all, and imports none of them.
    """
    names = sorted(
        module.name.removeprefix(_PREFIX)
        for module in pkgutil.iter_modules(__path__)
        if module.name.startswith(_PREFIX)
    )
    return tuple(name for name in names if of is None or of == drawn_of(name))


def summary(name: str) -> str:
    """What the plot shows, in one line.

    Raises:
        SlotbenchError: there is none; the nearest names are offered.
    """
    return str(_module(name).SUMMARY)


def drawn_of(name: str) -> "Kind":
    """Whether the plot is drawn of a run, of a profile or of a search.

    Raises:
        SlotbenchError: there is none; the nearest names are offered.
    """
    return _of(_module(name))


def get(name: str) -> Plot:
    """The plot of that name.

    Raises:
        SlotbenchError: there is none; the nearest names are offered.
    """
    module = _module(name)
    return Plot(
        name=name,
        of=_of(module),
        title=module.TITLE,
        summary=module.SUMMARY,
        needs=module.NEEDS,
        frame=module.FRAME,
        split=module.split,
        draw=_checked(getattr(module, name)),
        describe=module.describe,
        size=module.size,
    )


def of_history() -> Plot:
    """The plot of many runs, `slotbench.frames.history_frame`: no run's, and so among none of the others."""
    from slotbench.frames import history_frame
    from slotbench.plots import _history as module

    return Plot(
        name="history",
        of="run",
        title=module.TITLE,
        summary=module.SUMMARY,
        needs="complete runs",
        frame=history_frame,
        split=module.split,
        draw=_checked(module.history),
        describe=module.describe,
        size=module.size,
    )


def _checked(
    draw: "Callable[[pd.DataFrame, Axes | None], Axes]",
) -> "Callable[[pd.DataFrame, Axes | None], Axes]":
    """Refuse what no plot can draw, before it draws half of it."""

    @functools.wraps(draw)
    def checked(frame: "pd.DataFrame", ax: "Axes | None" = None) -> "Axes":
        if frame.empty:
            raise SlotbenchError("there is nothing to draw: the frame has no rows")
        if "metric" in frame.columns and len(distinct(frame, "metric")) > 1:
            names = ", ".join(map(str, distinct(frame, "metric")))
            raise SlotbenchError(f"a plot draws one metric at a time, and not {names}")
        return draw(frame, ax)

    return checked


def _of(module: ModuleType) -> "Kind":
    of: Kind = getattr(module, "OF", "run")
    return of


def _module(name: str) -> ModuleType:
    known = available()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
        raise SlotbenchError(f"unknown plot {name!r}: did you mean {', '.join(near)}?")
    return importlib.import_module(f"{__name__}.{_PREFIX}{name}")


def __dir__() -> list[str]:
    return [*__all__, *available()]


def __getattr__(name: str) -> Any:
    if name in available():
        return get(name).draw
    if name == "draw_what_if":  # what it imports, nobody who lists names waits for
        return importlib.import_module(f"{__name__}._what_if").draw_what_if
    raise AttributeError(f"module 'slotbench.plots' has no attribute {name!r}")
