"""One metric over all runs of a results folder: `history`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from slotbench.compute.history import History, Series
from slotbench.errors import RecordError, SlotbenchError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from slotbench.records import RunRecord, TrialRecord


@dataclass(frozen=True, repr=False)
class ShownHistory:
    """A history, which a notebook shows as tables and ``print`` as text.

    Attributes:
        record: all series, their segments and changes, and what was left out.
    """

    record: History

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """One row per series and run (`slotbench.frames.history_frame`)."""
        from slotbench.frames import history_frame

        return history_frame(self.record)

    @cached_property
    def changes(self) -> "pd.DataFrame":
        """One row per change (`slotbench.frames.changes_frame`)."""
        from slotbench.frames import changes_frame

        return changes_frame(self.record)

    @property
    def regressed(self) -> tuple[Series, ...]:
        """Series whose newest level is worse than their best earlier one, the interval beyond δ."""
        from slotbench.compute.history import regressed

        return regressed(self.record)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, in words."""
        return self.record.notes

    def plot(self) -> "Figure":
        """Draw every cell's series, one Axes a cell, with the changes marked."""
        from slotbench import plots
        from slotbench.plots._figure import drawn_frame

        return drawn_frame(plots.of_history(), self.frame)

    def render(self, format: str = "text") -> str:  # noqa: A002  # as the command's option
        """Write it as "text", "md", "json", "csv" or "html", a page that needs no network.

        Raises:
            SlotbenchError: no such format.
        """
        if format == "html":
            from slotbench.report import _history

            return _history.render(self.record)
        from slotbench.draw import history as words

        return words.render(self.record, format)

    def __str__(self) -> str:
        return self.render()

    def __repr__(self) -> str:
        from slotbench.draw import history as words

        return f"<History of {self.record.metric}: {words.opening(self.record)}>"

    def _repr_html_(self) -> str:
        from slotbench.draw import history as words

        return words.fragment(self.record)


def history(
    metric: str = "throughput",
    *,
    results_dir: str | Path = "results",
    scenario: str | Sequence[str] = (),
    cell: str | Sequence[str] = (),
    contender: str | Sequence[str] = (),
    absolute: bool = False,
    threshold: float | None = None,
) -> ShownHistory:
    """Follow one metric over all complete runs of a results folder, as ``slotbench history`` does.

    Args:
        metric: its name.
        results_dir: the folder that holds the runs; profiles in it are passed over.
        scenario: name or names of scenarios; () is all.
        cell: name or names of cells; () is all.
        contender: label or labels; () is all but floors.
        absolute: follow the values, not the ratios to each run's own baseline.
        threshold: δ, a ratio (0.03 is 3 %); None is each run's own.

    Raises:
        SlotbenchError: no such metric, scenario, cell or contender.
        RecordError: there is no complete run that can be read.
    """
    from slotbench.compute import history as followed
    from slotbench.compute.metrics import get as get_metric

    get_metric(metric)
    runs, notes = _read_all(Path(results_dir))
    return ShownHistory(
        followed.history(
            runs,
            metric,
            is_absolute=absolute,
            threshold=threshold,
            chosen=followed.Chosen(_names(scenario), _names(cell), _names(contender)),
            notes=notes,
        )
    )


def _read_all(
    results: Path,
) -> "tuple[list[tuple[RunRecord, Sequence[TrialRecord]]], list[str]]":
    """Complete runs, oldest first, each once, and why others were left out."""
    from slotbench import store

    folders = store.all_runs(results)
    if not folders:
        raise RecordError(
            f"there is no run in {results}: make one with 'slotbench run quickstart', or name a "
            "folder with --results"
        )
    runs: list[tuple[RunRecord, Sequence[TrialRecord]]] = []
    notes = []
    known: dict[str, str] = {}
    for folder in folders:
        try:
            stored = store.read(folder)
        except SlotbenchError as error:
            notes.append(f"left out: {error}")
            continue
        if stored.state != "complete":
            notes.append(f"left out: {stored.run.run_id}, which is {stored.state}")
            continue
        first = known.setdefault(stored.run.run_id, folder.name)
        if first != folder.name:
            notes.append(
                f"left out: {folder.name}, another copy of {stored.run.run_id}, which is in {first}"
            )
            continue
        runs.append((stored.run, stored.trials))
    if not runs:
        raise RecordError(f"no run in {results} can be used: {'; '.join(notes)}")
    return runs, notes


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
