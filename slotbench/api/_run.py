"""One recorded run."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slotbench import store
from slotbench.api._shown import Plots, fields
from slotbench.api._shown import report as report_of
from slotbench.compute.between import TwoRuns
from slotbench.compute.comparison import Comparison
from slotbench.records import RunRecord

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.api._predict import Predicted
    from slotbench.compute.scalability import Scalability
    from slotbench.compute.twins import Prediction


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

        found = answers.answer(
            self.stored.run, self.stored.trials, calibrations=self.stored.calibrations
        )
        is_open = not answers.closed(self.stored.run.scenario.cells)
        metrics = None if is_open else [answers.METRIC]
        said = answer.sentences(found, self.compare(metrics=metrics))
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
        explain: bool = False,
        twins: bool = False,
        scalability: bool = False,
    ) -> ShownComparison:
        """Compare every contender with the baseline, in every cell.

        Args:
            baseline: label of the contender to compare with; None is the scenario's.
            threshold: δ, a ratio (0.03 is 3 %); None is the scenario's.
            metrics: names of metrics; None is the usual ones, latency first in an open loop.
            thresholds: metric → another δ for it.
            explain: say, too, where throughput went: bound, free transport, floor, measured.
            twins: say, too, whether synthetic cells predict those of a real environment.
            scalability: say, too, how throughput scales with the actors.

        Raises:
            SlotbenchError: no such contender or metric, or a threshold outside 0 to 1.
        """
        from slotbench.compute import comparison, interpreters, loads, losses

        compared = comparison.compare(
            self.stored.run,
            self.stored.trials,
            metrics=None if metrics is None else tuple(metrics),
            threshold=threshold,
            thresholds=thresholds,
            baseline=baseline,
        )
        # A record says "running" until somebody says better: only the store sees who is gone.
        more: dict[str, object] = {"status": self.stored.state}
        more["loads"] = loads.points(self.stored.run, self.stored.trials)
        more["interpreters"] = interpreters.compare(
            self.stored.run, self.stored.trials, compared.thresholds
        )
        if explain:
            stored = self.stored
            more["losses"] = losses.losses(stored.run, stored.trials, stored.calibrations)
        if twins:
            more["twins"] = self._predictions(baseline, threshold)
        if scalability:
            more["scalability"] = self._scalability(baseline)
        return ShownComparison(**(fields(compared) | more))

    def _predictions(
        self, baseline: str | None, threshold: float | None
    ) -> "tuple[Prediction, ...]":
        from slotbench.compute import twins

        return twins.predictions(
            self.stored.run,
            self.stored.trials,
            self.stored.calibrations,
            baseline=baseline,
            threshold=threshold,
        )

    def _scalability(self, baseline: str | None) -> "Scalability":
        from slotbench.compute import scalability

        return scalability.scalability(
            self.stored.run, self.stored.trials, baseline=baseline
        )

    @property
    def losses(self) -> "pd.DataFrame":
        """Where throughput went, by cell and contender (`slotbench.frames.losses_frame`)."""
        from slotbench.frames import losses_frame

        return losses_frame(self.stored)

    @property
    def nodes(self) -> "pd.DataFrame":
        """The nodes of the cluster (`slotbench.frames.nodes_frame`); no row of a run on one machine."""
        from slotbench.frames import nodes_frame

        return nodes_frame(self.stored)

    @property
    def interpreters(self) -> "pd.DataFrame":
        """Each contender in another interpreter over itself in the first (`slotbench.frames.interpreters_frame`)."""
        from slotbench.frames import interpreters_frame

        return interpreters_frame(self.stored)

    @property
    def loads(self) -> "pd.DataFrame":
        """Latency under each offered load (`slotbench.frames.loads_frame`); no row in the closed loop."""
        from slotbench.frames import loads_frame

        return loads_frame(self.stored)

    @property
    def twins(self) -> "pd.DataFrame":
        """Whether twins predict real environments (`slotbench.frames.twins_frame`); no row without any."""
        from slotbench.frames import twins_frame

        return twins_frame(self.stored)

    @property
    def scalability(self) -> "pd.DataFrame":
        """How throughput scales with the actors (`slotbench.frames.scalability_frame`); no row without four slot counts."""
        from slotbench.frames import scalability_frame

        return scalability_frame(self.stored)

    @property
    def predictions(self) -> "pd.DataFrame":
        """What was predicted of what was measured, by cell and contender (`slotbench.frames.predictions_frame`)."""
        from slotbench.frames import predictions_frame

        return predictions_frame(self.stored)

    def predict(self, cell: str | None = None, **options: Any) -> "Predicted":
        """Say what a cell's workload would serve under what is supposed (`slotbench.predict`).

        Args:
            cell: its name; None where there is only one.
            options: as of `slotbench.predict`, which stand before what this run says.

        Raises:
            SlotbenchError: as `slotbench.predict`.
        """
        from slotbench.api._predict import predict

        return predict(run=self, cell=cell, **options)

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
            metrics: names of metrics; None is the usual ones, latency first in an open loop.
            thresholds: metric → another δ for it.
            absolute: compare the values, not their ratios to the baseline.
            allow_different: compare across machines, Pythons, torches and workloads, too.

        Raises:
            SlotbenchError: the runs have nothing in common or are not comparable, or there
                is no such contender or metric.
        """
        from slotbench.compute import between

        compared = between.compare(
            (base.stored.run, base.stored.trials),
            (self.stored.run, self.stored.trials),
            metrics=None if metrics is None else tuple(metrics),
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
        return ShownTwoRuns(**(fields(compared) | sides))

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
        return report_of(self.stored, self.record.run_id, path, format)

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
