"""What a notebook uses: runs and profiles as tidy frames, comparisons, plots and reports.

`load` reads a recorded run, `load_profile` a recorded profile, `run` measures. Loads no torch; pandas and matplotlib only
when a frame or a plot is asked for. Objects show themselves as HTML in a notebook.
"""

import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slotbench import store
from slotbench.compute.between import TwoRuns
from slotbench.compute.comparison import Comparison
from slotbench.compute.profile import CellProfile, Difference
from slotbench.errors import SlotbenchError
from slotbench.records import ProfileRecord, ProfileTrial, RunRecord

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from slotbench.measure.runner import Progress


@dataclass(frozen=True)
class ShownComparison(Comparison):
    """A comparison inside a run that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        from slotbench.draw import render

        return render(self, "html")


@dataclass(frozen=True)
class ShownTwoRuns(TwoRuns):
    """A comparison of two runs that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        from slotbench.draw import render

        return render(self, "html")


@dataclass(frozen=True)
class ShownDifference(Difference):
    """A difference inside a profile that a notebook shows as tables.

    Attributes:
        of: the cell that it is in, with all contenders.
    """

    of: CellProfile

    def _repr_html_(self) -> str:
        from slotbench.draw.profile import fragment

        return fragment(self.of, self)


@dataclass(frozen=True, repr=False)
class Run:
    """One recorded run, read once; its frames are made when first asked for.

    Attributes:
        stored: the records as they lie on disk.
    """

    stored: store.StoredRun

    @property
    def record(self) -> RunRecord:
        """The run's plan, machine and end."""
        return self.stored.run

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.stored.path

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing or was left out, in words; empty for a complete run."""
        return self.stored.notes

    @property
    def trials(self) -> "pd.DataFrame":
        """One row per trial (`slotbench.frames.trials_frame`); yours to change."""
        return self._trials.copy(deep=False)

    @property
    def cells(self) -> "pd.DataFrame":
        """One row per cell and contender (`slotbench.frames.cells_frame`); yours to change."""
        return self._cells.copy(deep=False)

    @cached_property
    def _trials(self) -> "pd.DataFrame":
        from slotbench.frames import trials_frame

        return trials_frame(self.stored)

    @cached_property
    def _cells(self) -> "pd.DataFrame":
        from slotbench.frames import cells_frame

        return cells_frame(self.stored)

    @property
    def plot(self) -> "Plots":
        """Every plot by its name: ``run.plot.throughput()``; see `slotbench.plots`."""
        return Plots(self.stored)

    @property
    def answers(self) -> dict[str, str]:
        """What the run answers, in words: "Use", "By how much", "Preallocation", ….

        Each sentence is composed from verdicts, as at the head of its report; an answer of
        which the run holds nothing is not there.
        """
        return dict(self._answers)

    @cached_property
    def _answers(self) -> dict[str, str]:
        from slotbench.compute import answers
        from slotbench.draw import answer

        found = answers.answer(self.stored.run, self.stored.trials)
        said = answer.sentences(found, self.compare(metrics=[answers.METRIC]))
        return {one.about: one.text for one in said}

    def ratios(
        self,
        baseline: str | None = None,
        threshold: float | None = None,
        *,
        metrics: Sequence[str] = ("throughput",),
    ) -> "pd.DataFrame":
        """Give a comparison as a frame (`slotbench.frames.ratios_frame`).

        Args:
            baseline: as for `compare`.
            threshold: as for `compare`.
            metrics: names of metrics.

        Raises:
            SlotbenchError: as `compare`.
        """
        from slotbench.frames import ratios_frame

        return ratios_frame(
            self.stored, baseline=baseline, threshold=threshold, metric=metrics
        )

    def compare(
        self,
        baseline: str | None = None,
        threshold: float | None = None,
        *,
        metrics: Sequence[str] | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> ShownComparison:
        """Compare every contender with the baseline, in every cell.

        Args:
            baseline: label of the contender to compare with; None is the scenario's.
            threshold: δ, a ratio (0.03 is 3 %); None is the scenario's.
            metrics: names of metrics; None is the usual ones.
            thresholds: metric → another δ for it.

        Raises:
            SlotbenchError: no such contender or metric, or a threshold outside 0 to 1.
        """
        from slotbench.compute import comparison

        compared = comparison.compare(
            self.stored.run,
            self.stored.trials,
            metrics=comparison.DEFAULT_METRICS if metrics is None else tuple(metrics),
            threshold=threshold,
            thresholds=thresholds,
            baseline=baseline,
        )
        # A record says "running" until somebody says better: only the store sees who is gone.
        return ShownComparison(**(_fields(compared) | {"status": self.stored.state}))

    def compare_to(
        self,
        base: "Run",
        *,
        baseline: str | None = None,
        threshold: float | None = None,
        metrics: Sequence[str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        absolute: bool = False,
        allow_different: bool = False,
    ) -> ShownTwoRuns:
        """Say what changed from another run to this one, in every cell that both have.

        Args:
            base: the run to compare with, such as that of the main branch.
            baseline: label of the contender that each run is divided by; None is the
                scenarios' own, which must then be the same.
            threshold: δ, a ratio (0.03 is 3 %); None is this run's scenario's.
            metrics: names of metrics; None is the usual ones.
            thresholds: metric → another δ for it.
            absolute: compare the values, not their ratios to the baseline.
            allow_different: compare across machines, Pythons, torches and workloads, too.

        Raises:
            SlotbenchError: the runs have nothing in common or are not comparable, or there
                is no such contender or metric.
        """
        from slotbench.compute import between, comparison

        compared = between.compare(
            (base.stored.run, base.stored.trials),
            (self.stored.run, self.stored.trials),
            metrics=comparison.DEFAULT_METRICS if metrics is None else tuple(metrics),
            threshold=threshold,
            thresholds=thresholds,
            baseline=baseline,
            is_absolute=absolute,
            allow_different=allow_different,
        )
        sides = {
            "base": dataclasses.replace(compared.base, status=base.stored.state),
            "head": dataclasses.replace(compared.head, status=self.stored.state),
        }
        return ShownTwoRuns(**(_fields(compared) | sides))

    def report(
        self,
        path: str | Path | None = None,
        *,
        format: str = "html",  # noqa: A002  # as the command's option
    ) -> Path:
        """Write the run's report; nothing is measured.

        Args:
            path: the file, replaced if it exists; None is named after the run, in the
                current folder.
            format: "html" or "md".

        Returns:
            The file.

        Raises:
            SlotbenchError: no such format.
            RecordError: the run holds no trials yet, or the file cannot be written.
        """
        return _report(self.stored, self.record.run_id, path, format)

    def __repr__(self) -> str:
        scenario, trials = self.record.scenario, len(self.stored.trials)
        return (
            f"<Run {self.record.run_id}: {self.stored.state}, {len(scenario.cells)} cells, "
            f"{len(scenario.contenders)} contenders, {trials} trials>"
        )

    def _repr_html_(self) -> str:
        from slotbench.draw import as_html

        return as_html.card(
            title=self.record.scenario.title,
            facts=repr(self).strip("<>"),
            lines=self.notes,
            terms=self.answers if self.stored.trials else {},
        )


@dataclass(frozen=True, repr=False)
class Profile:
    """One recorded profile, read once; its frames are made when first asked for.

    Attributes:
        stored: the records as they lie on disk.
    """

    stored: store.StoredProfile

    @property
    def record(self) -> ProfileRecord:
        """The profile's plan, machine and end."""
        return self.stored.profile

    @property
    def path(self) -> Path:
        """The profile's folder."""
        return self.stored.path

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing or was left out, in words; empty for a complete profile."""
        return self.stored.notes

    @property
    def trials(self) -> tuple[ProfileTrial, ...]:
        """Every pass over every contender, in the order recorded."""
        return self.stored.trials

    @cached_property
    def cells(self) -> tuple[CellProfile, ...]:
        """Every cell, with phases, ledger, locks and claims of each contender."""
        from slotbench.compute import profile

        return profile.cells(self.record, self.trials)

    @property
    def phases(self) -> "pd.DataFrame":
        """A row a phase of a request (`slotbench.frames.phases_frame`); yours to change."""
        return self._phases.copy(deep=False)

    @property
    def ledger(self) -> "pd.DataFrame":
        """A row a thing counted (`slotbench.frames.ledger_frame`); yours to change."""
        return self._ledger.copy(deep=False)

    @property
    def locks(self) -> "pd.DataFrame":
        """A row a place that makes locks (`slotbench.frames.locks_frame`); yours to change."""
        return self._locks.copy(deep=False)

    @cached_property
    def _phases(self) -> "pd.DataFrame":
        from slotbench.frames import phases_frame

        return phases_frame(self.stored)

    @cached_property
    def _ledger(self) -> "pd.DataFrame":
        from slotbench.frames import ledger_frame

        return ledger_frame(self.stored)

    @cached_property
    def _locks(self) -> "pd.DataFrame":
        from slotbench.frames import locks_frame

        return locks_frame(self.stored)

    @property
    def plot(self) -> "Plots":
        """Every plot by its name: ``profile.plot.phases()``; see `slotbench.plots`."""
        return Plots(self.stored)

    @property
    def answers(self) -> dict[str, str]:
        """Cell → what explains the difference there, in words, as its report says it."""
        return dict(self._answers)

    @cached_property
    def _answers(self) -> dict[str, str]:
        from slotbench.draw.profile import page

        return {
            cell.name: " ".join(one.text for one in cell.sentences)
            for cell in page(self.stored).cells
        }

    def difference(
        self, first: str | None = None, second: str | None = None, cell: str | None = None
    ) -> ShownDifference:
        """Say what lies between two contenders in a cell.

        Args:
            first: label of one; None is the baseline.
            second: label of the other; None is the fastest of the others but the floor.
            cell: name of the cell; None is the first.

        Raises:
            SlotbenchError: no such contender or cell, or no two contenders with numbers there.
        """
        from slotbench.compute import profile

        scenario = self.record.scenario
        known = {one.cell.name: one for one in self.cells}
        name = next(iter(known)) if cell is None else cell
        if name not in known:
            raise SlotbenchError(
                f"no cell {name!r} in this profile: it has {', '.join(known)}"
            )
        found = known[name]
        if first is not None:
            found.of(first)
        if second is None:
            base = first or next((c.label for c in scenario.contenders if c.baseline), None)
            pair = profile.pair_to_explain(found, base)
            if pair is None or first not in {None, pair[0]}:
                raise SlotbenchError(
                    f"in {name} there are no two contenders with numbers: name both"
                )
        else:
            found.of(second)
            pair = first or self._rival(found, second), second
        if pair[0] == pair[1]:
            raise SlotbenchError(
                f"nothing lies between {pair[0]!r} and itself: name two contenders"
            )
        lies = profile.difference(self.record, self.trials, name, *pair)
        return ShownDifference(**_fields(lies), of=found)

    def _rival(self, cell: CellProfile, second: str) -> str:
        """The baseline, or else the first contender that is another."""
        labels = [one.contender.label for one in cell.contenders if one.contender.baseline]
        labels += [one.contender.label for one in cell.contenders]
        return next((label for label in labels if label != second), second)

    def report(
        self,
        path: str | Path | None = None,
        *,
        format: str = "html",  # noqa: A002  # as the command's option
    ) -> Path:
        """Write the profile's report; nothing is measured.

        Args:
            path: the file, replaced if it exists; None is named after the profile, in the
                current folder. Links to timelines begin there.
            format: "html" or "md".

        Returns:
            The file.

        Raises:
            SlotbenchError: no such format.
            RecordError: the profile holds no trials yet, or the file cannot be written.
        """
        return _report(self.stored, self.record.profile_id, path, format)

    def __repr__(self) -> str:
        scenario = self.record.scenario
        return (
            f"<Profile {self.record.profile_id}: {self.stored.state}, "
            f"{len(scenario.cells)} cells, {len(scenario.contenders)} contenders, "
            f"{len(self.trials)} trials>"
        )

    def _repr_html_(self) -> str:
        from slotbench.draw import as_html

        return as_html.card(
            title=self.record.scenario.title,
            facts=repr(self).strip("<>"),
            lines=self.notes,
            terms=self.answers if self.trials else {},
        )


class Plots:
    """The plots of a run, or of a profile: a method a plot, found by its name.

    Each takes ``where``, a mapping of columns to values that chooses cells;
    ``contenders``, labels to draw; ``baseline`` and, of a run, ``threshold``, as in a comparison;
    and, for plots of a metric, ``metric``. Each returns a `matplotlib.figure.Figure` with one Axes
    a facet, which a notebook shows. For one Axes: ``slotbench.plots.<name>(frame, ax)``.
    """

    def __init__(self, stored: store.StoredRun | store.StoredProfile) -> None:
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
                f"plot {name} is drawn of a {plot.of}, and this is a {kind}"
            )
        drawn = functools.partial(plots.figure, plot, self._stored)
        drawn.__doc__ = f"{plot.title}. {plot.summary}."  # type: ignore[method-assign,unused-ignore]
        return drawn


def load(path: str | Path | None = None, *, results_dir: str | Path = "results") -> Run:
    """Read a recorded run.

    Args:
        path: a run's folder, its id, the beginning or the end of one, or a scenario's name
            (its newest run); None or "newest" is the newest run.
        results_dir: the folder that holds the runs, such as "results/reference".

    Raises:
        RecordError: there is no such run, or it is damaged.
    """
    return Run(store.read(store.find(path, results_dir)))


def load_profile(
    path: str | Path | None = None, *, results_dir: str | Path = "results"
) -> Profile:
    """Read a recorded profile.

    Args:
        path: a profile's folder, its id, or the beginning or end of one; None or "newest" is
            the newest profile.
        results_dir: the folder that holds the profiles.

    Raises:
        RecordError: there is no such profile, or it is damaged.
    """
    return Profile(store.read_profile(store.find(path, results_dir, ("profile",))))


def run(
    scenario: str | Path,
    *,
    overrides: Mapping[str, object] | Sequence[str] = (),
    contenders: str | Sequence[str] = (),
    rounds: int | None = None,
    seed: int | None = None,
    results_dir: str | Path = "results",
    on_progress: "Callable[[Progress], None] | None" = None,
) -> Run:
    """Measure a scenario and record it, as ``slotbench run`` does.

    In a notebook a progress bar stands below the cell. Interrupting the kernel ends the run
    and keeps what was recorded; ``slotbench run --resume`` goes on with it.

    Args:
        scenario: name or TOML file.
        overrides: field → value, or a list of values, which makes it an axis (a tuple is one
            value, such as a shape); or texts as after ``--set``.
        contenders: one, or several, to race in place of the scenario's, beside its baseline.
        rounds: passes over all cells.
        seed: of order and think times.
        results_dir: the run's folder is made in it.
        on_progress: told what the run is at; None is the bar in a notebook, else nothing.

    Raises:
        ScenarioError, ContenderError: it cannot be run; nothing was recorded.
        RecordError: the results folder cannot be written.
        WorkerError: no worker process comes up.
    """
    from slotbench import scenario as scenarios
    from slotbench.measure.executor import LocalExecutor
    from slotbench.measure.runner import estimate_s
    from slotbench.session import run_scenario, without_missing

    here = str(Path.cwd())
    if here not in sys.path:  # so that a notebook's own modules can be raced
        sys.path.append(here)
    changes = _as_set(overrides)
    raced = (contenders,) if isinstance(contenders, str) else tuple(contenders)
    loaded = scenarios.load(
        str(scenario),
        overrides=changes,
        contenders=raced,
        rounds=rounds,
        seed=seed,
    )
    loaded, skipped = without_missing(loaded)
    with (
        _progress(on_progress, estimate_s(loaded)) as told,
        LocalExecutor(loaded) as executor,
    ):
        path = run_scenario(
            loaded,
            executor,
            Path(results_dir),
            skipped=skipped,
            command=_command(str(scenario), changes, raced, rounds, seed),
            on_progress=told,
        )
    return load(path)


def _report(
    stored: store.StoredRun | store.StoredProfile,
    name: str,
    path: str | Path | None,
    format_name: str,
) -> Path:
    """Write the report of one run or profile, by default in a file of that name."""
    from slotbench import report
    from slotbench.exports._text import file_name
    from slotbench.store.output import write_file

    target = Path(path or f"{file_name(name)}.{format_name}")
    text = report.render([stored], format_name, page_dir=target.parent)
    write_file(target, text.encode("utf-8"), force=True)
    return target


def _fields(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _as_set(overrides: Mapping[str, object] | Sequence[str]) -> tuple[str, ...]:
    """Write overrides as ``--set`` takes them."""
    if isinstance(overrides, str):
        return (overrides,)
    if not isinstance(overrides, Mapping):
        return tuple(overrides)
    return tuple(
        f"{field}={','.join(map(_text, value if isinstance(value, list | range) else [value]))}"
        for field, value in overrides.items()
    )


def _text(value: object) -> str:
    """A value as a scenario writes it; numpy's numbers as Python's."""
    return value if isinstance(value, str) else json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    raise SlotbenchError(f"{value!r} is no value that a scenario can hold")


def _command(
    scenario: str,
    changes: Sequence[str],
    contenders: Sequence[str],
    rounds: int | None,
    seed: int | None,
) -> tuple[str, ...]:
    """The command line that does the same, for the record."""
    words = ["slotbench", "run", scenario]
    for option, values in (("--set", changes), ("--contender", contenders)):
        for value in values:
            words += [option, value]
    for option, number in (("--rounds", rounds), ("--seed", seed)):
        if number is not None:
            words += [option, str(number)]
    return tuple(words)


def _progress(on_progress: "Callable[[Progress], None] | None", expected_s: float) -> Any:
    import contextlib

    if on_progress is not None:
        return contextlib.nullcontext(on_progress)
    from slotbench import notebook

    if notebook.is_notebook():
        return notebook.progress(expected_s)
    return contextlib.nullcontext(lambda _: None)
