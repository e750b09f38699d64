"""A history as one page: what changed with which run, the plot, every run's number."""

import re
from dataclasses import dataclass

import slotbench
from slotbench import frames, plots
from slotbench.compute.history import History
from slotbench.draw import history as words
from slotbench.report import _html
from slotbench.report._figures import Figure


@dataclass(frozen=True, slots=True)
class _About:
    """What the page's head says."""

    title: str
    version: str


def render(history: History) -> str:
    """HTML that needs nothing else, in the look of a report."""
    frame = frames.history_frame(history)
    plot = plots.of_history()
    labels = frame.attrs["contenders"]
    name = re.sub(r"\W", "-", history.metric)
    figure = Figure(plot, tuple(plot.split(frame)), "")
    return _html.filled(
        "history.html.jinja",
        report=_About(words.title(history), slotbench.__version__),
        shown=words.page(history),
        figures=[_html.drawn(figure, f"history-{name}", labels, f"history-{name}")],
        contenders=labels,
    )
