"""One recorded search for the highest load that keeps to its limits, and making one: `slo`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, SupportsFloat

from slotbench import store
from slotbench.api._measure import Asked, progress
from slotbench.api._shown import Plots
from slotbench.api._shown import report as report_of
from slotbench.compute import durations
from slotbench.compute.slo_answer import Lead, Searched
from slotbench.errors import SlotbenchError
from slotbench.records import Limit, SloPlan, SloRecord, SloTrial

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.measure.runner import Progress
    from slotbench.searching import Arrivals


@dataclass(frozen=True, repr=False)
class Slo:
    """One recorded search, read once, which a notebook shows as tables and ``print`` as text.

    Attributes:
        stored: the records as they lie on disk.
    """

    stored: store.StoredSlo

    @property
    def record(self) -> SloRecord:
        """The search's plan, machine and end."""
        return self.stored.record

    @property
    def path(self) -> Path:
        """The search's folder."""
        return self.stored.path

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing or was left out, in words; empty for a complete search."""
        return self.stored.notes

    @property
    def trials(self) -> tuple[SloTrial, ...]:
        """Every trial, in the order recorded."""
        return self.stored.trials

    @cached_property
    def searches(self) -> tuple[Searched, ...]:
        """Each contender in each cell: its loads, its interval, how it ended."""
        from slotbench.compute import slo_answer

        return slo_answer.searched(self.record, self.trials)

    @property
    def leads(self) -> tuple[Lead, ...]:
        """Every pair of contenders whose intervals are apart, with the least that lies between."""
        from slotbench.compute import slo_answer

        return slo_answer.leads(self.searches)

    @property
    def answers(self) -> dict[str, str]:
        """Cell → what was found there, in words; "Answer" where there is one cell."""
        from slotbench.draw import slo as drawn

        return {one.about: one.text for one in drawn.sentences(self.stored)}

    @property
    def frame(self) -> "pd.DataFrame":
        """A row a trial and limit (`slotbench.frames.slo_frame`); yours to change."""
        return self._frame.copy(deep=False)

    @cached_property
    def _frame(self) -> "pd.DataFrame":
        from slotbench.frames import slo_frame

        return slo_frame(self.stored)

    @property
    def plot(self) -> Plots:
        """Every plot by its name: ``found.plot.slo()``; see `slotbench.plots`."""
        return Plots(self.stored)

    def report(
        self,
        path: str | Path | None = None,
        *,
        format: str = "html",  # noqa: A002  # as the command's option
    ) -> Path:
        """Write the search's report; nothing is measured.

        Args:
            path: the file, replaced if it exists; None is named after the search, in the
                current folder.
            format: "html" or "md".

        Returns:
            The file.

        Raises:
            SlotbenchError: no such format.
            RecordError: the search holds no trials yet, or the file cannot be written.
        """
        return report_of(self.stored, self.record.slo_id, path, format)

    def __str__(self) -> str:
        from slotbench.draw import slo as drawn

        return drawn.render(self.stored).rstrip("\n")

    def __repr__(self) -> str:
        scenario = self.record.scenario
        return (
            f"<Slo {self.record.slo_id}: {self.stored.state}, {len(scenario.cells)} cells, "
            f"{len(scenario.contenders)} contenders, {len(self.trials)} trials>"
        )

    def _repr_html_(self) -> str:
        from slotbench.draw import slo as drawn

        return drawn.render(self.stored, "html")


def slo(
    scenario: str | Path,
    *,
    p50: float | str | None = None,
    p90: float | str | None = None,
    p99: float | str | None = None,
    p999: float | str | None = None,
    overrides: Mapping[str, object] | Sequence[str] = (),
    contenders: str | Sequence[str] = (),
    arrivals: "Arrivals" = "poisson",
    precision: float = 0.05,
    from_per_s: float | None = None,
    budget_s: float | None = None,
    seed: int | None = None,
    results_dir: str | Path = "results",
    on_progress: "Callable[[Progress], None] | None" = None,
) -> Slo:
    """Find the highest load that keeps to its limits and record it, as ``slotbench slo`` does.

    Args:
        scenario: name or TOML file.
        p50: limit of that percentile, from a request's intended start to its reply: seconds, or
            a text such as "2ms"; at least one of the four,
        p90: and all that are given must hold,
        p99: likewise,
        p999: likewise.
        overrides: as for `slotbench.run`; the load is the search's own.
        contenders: one, or several, to search in place of the scenario's.
        arrivals: "poisson" or "constant".
        precision: two neighbouring loads differ by this ratio less 1.
        from_per_s: the first load tried, of all actors; None is half of what a closed loop reaches.
        budget_s: after which no further step begins.
        seed: of order and arrivals.
        results_dir: the search's folder is made in it.
        on_progress: as for `slotbench.run`.

    Raises:
        SlotbenchError: no limit, or one that is none.
        ScenarioError, ContenderError: it cannot be searched; nothing was recorded.
        RecordError: the results folder cannot be written.
        WorkerError: no worker process comes up.
    """
    from slotbench import searching
    from slotbench.measure.executor import LocalExecutor

    given = {50.0: p50, 90.0: p90, 99.0: p99, 99.9: p999}
    plan = SloPlan(
        tuple(
            Limit(percent, _seconds(value, f"the limit of p{percent:g}"))
            for percent, value in given.items()
            if value is not None
        ),
        _number(precision, "precision"),
        from_per_s=None if from_per_s is None else _number(from_per_s, "from_per_s"),
        budget_s=None if budget_s is None else _number(budget_s, "budget_s"),
    )
    searching.check_plan(plan)
    asked = Asked("slo", scenario, overrides, contenders, seed)
    loaded, skipped = asked.load(None)
    wanted = searching.labels_of(loaded, asked.raced)
    skipped += searching.left_out(loaded, wanted)
    loaded = searching.prepare(loaded, plan, arrivals=arrivals, contenders=wanted)
    with (
        progress(on_progress, searching.estimate_s(loaded, plan)) as told,
        LocalExecutor(loaded) as executor,
    ):
        path = searching.search_scenario(
            loaded,
            executor,
            Path(results_dir),
            plan,
            skipped=skipped,
            command=asked.command(None, _options(plan, arrivals)),
            on_progress=told,
        )
    return load_slo(path)


def load_slo(path: str | Path | None = None, *, results_dir: str | Path = "results") -> Slo:
    """Read a recorded search.

    Args:
        path: a search's folder, its id, or the beginning or end of one; None or "newest" is
            the newest search.
        results_dir: the folder that holds the searches.

    Raises:
        RecordError: there is no such search, or it is damaged.
    """
    return Slo(store.read_slo(store.find(path, results_dir, ("slo",))))


def _seconds(value: float | str, name: str) -> float:
    if not isinstance(value, str):
        return _number(value, name, ' or a text such as "2ms"')
    try:
        return durations.parse_s(value)
    except ValueError as error:
        raise SlotbenchError(str(error)) from None


def _number(value: object, name: str, otherwise: str = "") -> float:
    if isinstance(value, str) or not isinstance(value, SupportsFloat):
        raise SlotbenchError(f"{name} is a number{otherwise}, not {value!r}")
    return float(value)


def _options(plan: SloPlan, arrivals: str) -> list[tuple[str, ...]]:
    """The plan as the command line has it."""
    options: list[tuple[str, ...]] = [
        (f"--p{one.percent:g}".replace(".", ""), f"{one.limit_s * 1e3:.9g}ms")
        for one in plan.limits
    ]
    options += [("--arrivals", arrivals), ("--precision", f"{plan.precision:g}")]
    if plan.from_per_s is not None:
        options.append(("--from", f"{plan.from_per_s:.9g}"))
    if plan.budget_s is not None:
        options.append(("--budget", f"{plan.budget_s:.9g}s"))
    return options
