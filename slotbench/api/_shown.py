"""What runs, profiles and searches have in common in a notebook: plots by name, a report."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slotbench import store
from slotbench.errors import SlotbenchError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Plots:
    """The plots of a run, of a profile or of a search: a method a plot, found by its name.

    Each takes ``where``, a mapping of columns to values that chooses cells;
    ``contenders``, labels to draw; ``baseline`` and, of a run, ``threshold``, as in a comparison;
    and, for plots of a metric, ``metric``. Each returns a `matplotlib.figure.Figure` with one Axes
    a facet, which a notebook shows. For one Axes: ``slotbench.plots.<name>(frame, ax)``.
    """

    def __init__(
        self, stored: store.StoredRun | store.StoredProfile | store.StoredSlo
    ) -> None:
        self._stored = stored

    def __dir__(self) -> list[str]:
        from slotbench import frames, plots

        return list(plots.available(frames.kind_of(self._stored)))

    def __getattr__(self, name: str) -> "Callable[..., Figure]":
        from slotbench import frames, plots

        if name.startswith("_"):
            raise AttributeError(name)
        try:
            plot = plots.get(name)
        except SlotbenchError as error:
            raise AttributeError(str(error)) from None
        kind = frames.kind_of(self._stored)
        if plot.of != kind:
            raise AttributeError(
                f"plot {name} is drawn of {frames.NOUNS[plot.of]}, and this is "
                f"{frames.NOUNS[kind]}"
            )
        drawn = functools.partial(plots.figure, plot, self._stored)
        drawn.__doc__ = f"{plot.title}. {plot.summary}."  # type: ignore[method-assign,unused-ignore]
        return drawn


def report(
    stored: store.StoredRun | store.StoredProfile | store.StoredSlo,
    name: str,
    path: str | Path | None,
    format_name: str,
) -> Path:
    """Write the report of one run, profile or search, by default in a file of that name."""
    from slotbench import report
    from slotbench.exports._text import file_name
    from slotbench.store.output import write_file

    target = Path(path or f"{file_name(name)}.{format_name}")
    text = report.render([stored], format_name, page_dir=target.parent)
    write_file(target, text.encode("utf-8"), force=True)
    return target


def fields(record: Any) -> dict[str, Any]:
    """A record's fields, to make another of."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
