"""What a notebook uses: ``slotbench.load()`` gives a run as tidy frames and a comparison.

Loads no torch; pandas only when a frame is asked for.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from slotbench import store
from slotbench.records import RunRecord

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.compute.between import TwoRuns
    from slotbench.compute.comparison import Comparison


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

    def compare(
        self,
        baseline: str | None = None,
        threshold: float | None = None,
        *,
        metrics: Sequence[str] | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> "Comparison":
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
        return dataclasses.replace(compared, status=self.stored.state)

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
    ) -> "TwoRuns":
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
        return dataclasses.replace(
            compared,
            base=dataclasses.replace(compared.base, status=base.stored.state),
            head=dataclasses.replace(compared.head, status=self.stored.state),
        )

    def __repr__(self) -> str:
        scenario, trials = self.record.scenario, len(self.stored.trials)
        return (
            f"<Run {self.record.run_id}: {self.stored.state}, {len(scenario.cells)} cells, "
            f"{len(scenario.contenders)} contenders, {trials} trials>"
        )


def load(path: str | Path | None = None, *, results_dir: str | Path = "results") -> Run:
    """Read a recorded run.

    Args:
        path: a run's folder, its id, the beginning or the end of one; None or "newest"
            is the newest run.
        results_dir: the folder that holds the runs, such as "results/reference".

    Raises:
        RecordError: there is no such run, or it is damaged.
    """
    return Run(store.read(store.find(path, results_dir)))
