"""Which plots stand in a report, and of which cells."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from slotbench import frames
from slotbench.compute import answers, sequential
from slotbench.compute.statistics import CONFIDENCE
from slotbench.draw import units
from slotbench.plots import Facet, Plot
from slotbench.plots import available as available_plots
from slotbench.plots import get as get_plot
from slotbench.store import StoredProfile, StoredRun, StoredSlo

_ORDER: Final[tuple[str, ...]] = (
    *("latency_vs_load", "throughput", "scalability", "ratio_map", "preallocate"),
    *("loss", "latency", "batch_sizes", "fairness"),
)
"""Of the plots, the most wanted first; one that is not here comes after them."""

_OF_A_CELL: Final = frozenset({"latency", "batch_sizes", "loss", "phases"})
"""Plots of one cell each, of which a page of a large grid shows a few."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One plot with its facets.

    Attributes:
        facets: those shown.
        note: what is not shown, and how to see it; "".
    """

    plot: Plot
    facets: tuple[Facet, ...]
    note: str


def figures(
    stored: StoredRun | StoredProfile | StoredSlo, **options: Any
) -> Iterable[Figure]:
    """Every plot of a run, a profile or a search that has something to show.

    Args:
        stored: the run, profile or search.
        options: of the plots' frames.
    """
    known = available_plots(frames.kind_of(stored))
    names = [name for name in _ORDER if name in known]
    names += [name for name in known if name not in _ORDER]
    few = {cell.name for cell in answers.spread(frames.scenario_of(stored).cells)}
    made: dict[Any, Any] = {}
    for name in names:
        plot = get_plot(name)
        if plot.frame not in made:
            made[plot.frame] = plot.frame(stored, **options)
        facets = plot.split(made[plot.frame])
        shown = [f for f in facets if name not in _OF_A_CELL or f.title in few]
        if not shown:
            continue
        note = ""
        if len(shown) < len(facets):
            command = f"slotbench plot {frames.id_of(stored)} {name}"
            note = f"{len(shown)} of {len(facets)} cells; any other: {command} --where AXIS=VALUE"
        yield Figure(_as_sure(plot, stored), tuple(shown), note)


def _as_sure(plot: Plot, stored: StoredRun | StoredProfile | StoredSlo) -> Plot:
    """The plot, described with the confidence that this run's intervals have."""
    if not isinstance(stored, StoredRun):
        return plot
    usual, has = (
        f"{units.percent(level)} interval"
        for level in (CONFIDENCE, sequential.confidence_of(stored.run))
    )
    return replace(plot, summary=plot.summary.replace(usual, has))
