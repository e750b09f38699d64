"""A progress bar below a notebook's cell: HTML that every front end shows, no widgets."""

import contextlib
import html
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from slotbench.draw import units
from slotbench.measure import budget
from slotbench.measure.runner import Progress

_EVERY_S: Final = 0.5
"""Between two drawings: each takes the kernel's time, and a trial may be running."""


def is_notebook() -> bool:
    """Whether a Jupyter kernel runs this, and not a terminal or a script."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


@contextlib.contextmanager
def progress(
    expected_s: float, counted: str = "trials"
) -> Iterator[Callable[[Progress], None]]:
    """A bar that goes away when the run ends.

    Args:
        expected_s: estimate of the whole run.
        counted: what is counted, in the plural.
    """
    from IPython.display import HTML, display

    handle: Any = display(HTML(""), display_id=True)
    began = time.monotonic()
    last = -_EVERY_S

    def told(state: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        is_last = state.num_done == state.num_trials
        if now - last >= _EVERY_S or is_last:
            last = now
            handle.update(HTML(bar(state, expected_s, now - began, counted)))

    try:
        yield told
    finally:
        handle.update(HTML(""))


def bar(
    state: Progress, expected_s: float, elapsed_s: float, counted: str = "trials"
) -> str:
    """The state as HTML: a bar, how many are done, how long it still takes, what it is at."""
    done = state.num_done / state.num_trials if state.num_trials else 0.0
    left = units.duration(budget.left_s(expected_s, elapsed_s, done))
    value = f'value="{done:.4f}"' if state.num_trials else ""
    number = f"{state.num_done}/{state.num_trials} {counted}, " if state.num_trials else ""
    return (
        f'<progress max="1" {value} style="width:20em"></progress> '
        f"{number}{left} left: {html.escape(state.doing)}"
    )
