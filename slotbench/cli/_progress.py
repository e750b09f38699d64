"""A progress bar with the time left, on stderr; plain lines where that is no terminal."""

import time
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from slotbench.draw import units
from slotbench.measure import budget
from slotbench.measure.runner import Progress as State

_LINE_EVERY_S: Final = 10.0


class ProgressBar:
    """Shows how far a run is.

    Args:
        expected_s: estimate of the whole run; corrected by what trials really take.
        counted: what is counted, in the plural.
    """

    def __init__(self, expected_s: float, counted: str = "trials") -> None:
        self._expected_s = expected_s
        self._counted = counted
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.fields[left]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),  # labels: slot[inline]
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            auto_refresh=False,  # a drawing thread would take the processor from the trial
        )
        self._task = self._bar.add_task("", total=None, left="")
        self._began = time.monotonic()
        self._last_line = -_LINE_EVERY_S

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line that stays, above the bar."""
        self._console.print(
            f"slotbench: {text}", soft_wrap=True, highlight=False, markup=False
        )

    def update(self, state: State) -> None:
        """Show the state."""
        left = f"{units.duration(self._left_s(state))} left"
        if self._console.is_terminal:
            self._bar.update(
                self._task,
                completed=state.num_done,
                total=state.num_trials or None,
                description=state.doing,
                left=left,
            )
            self._bar.refresh()
        elif time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._console.print(
                f"{self._done(state)}{left}: {state.doing}",
                soft_wrap=True,
                highlight=False,
                markup=False,
            )

    def _left_s(self, state: State) -> float:
        if state.num_trials == 0:
            return self._expected_s
        done = state.num_done / state.num_trials
        return budget.left_s(self._expected_s, time.monotonic() - self._began, done)

    def _done(self, state: State) -> str:
        if state.num_trials == 0:
            return ""
        return f"{state.num_done}/{state.num_trials} {self._counted}, "
