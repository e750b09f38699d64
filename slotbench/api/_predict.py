"""Predictions from Python: `predict`, and `check_predictions` of what was measured."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from slotbench.api._measure import progress
from slotbench.api._run import Run, load
from slotbench.errors import SlotbenchError
from slotbench.records import (
    PREDICTION_SCHEMA_VERSION,
    CheckedPrediction,
    CheckedRun,
    PredictedRow,
    PredictionCheck,
    Scalar,
    WhatIf,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from slotbench.measure.runner import Progress


Numbers = float | Sequence[float]
"""One number, or several to be compared."""

Names = str | Sequence[str]

_EXPECTED_S: Final = 5.0
"""Of a prediction, until the first rows have been timed."""
_OPTIONS: Final = ("step_mode", "observation", "cpus", "max_latency_ms")


@dataclass(frozen=True, repr=False)
class Predicted:
    """What is predicted, a row a combination, which a notebook shows as a table and ``print`` as text.

    Attributes:
        record: all that was supposed, and what comes of it.
    """

    record: WhatIf

    @property
    def frame(self) -> "pd.DataFrame":
        """One row per combination (`slotbench.frames.what_if_frame`); yours to change."""
        from slotbench.frames import what_if_frame

        return what_if_frame(self.record)

    @property
    def best(self) -> tuple[PredictedRow, ...]:
        """The rows to choose: one for each combination of what is given (environments, steps, policy)."""
        return tuple(self.record.rows[place] for place in self.record.best)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw requests per second over what has the most values (`slotbench.plots.draw_what_if`)."""
        from slotbench.plots import draw_what_if

        return draw_what_if(self.frame, ax)

    def to_json(self, path: str | Path) -> Path:
        """Write the record, as ``slotbench predict --format json`` prints it; a file there is replaced.

        Raises:
            RecordError: it cannot be written.
        """
        return _written(self.record, path)

    def __str__(self) -> str:
        from slotbench.draw import what_if

        return what_if.show(self.record)

    def __repr__(self) -> str:
        from slotbench.draw import what_if

        return f"<Predicted: {what_if.sentences(self.record)[0]}>"

    def _repr_html_(self) -> str:
        from slotbench.draw import what_if

        return what_if.fragment(self.record)


@dataclass(frozen=True, repr=False)
class CheckedPredictions:
    """Predictions held against recorded runs.

    Attributes:
        record: the runs, and a row for each of their cells and contenders.
    """

    record: PredictionCheck

    @property
    def frame(self) -> "pd.DataFrame":
        """One row per run, cell and contender (`slotbench.frames.checked_frame`); yours to change."""
        from slotbench.frames import checked_frame

        return checked_frame(self.record.rows)

    def to_json(self, path: str | Path) -> Path:
        """Write the record, as ``slotbench predict RUN --check --format json`` prints it.

        Raises:
            RecordError: it cannot be written.
        """
        return _written(self.record, path)

    def __str__(self) -> str:
        from slotbench.draw import prediction_check

        return prediction_check.show(self.record)

    def __repr__(self) -> str:
        from slotbench.draw import prediction_check

        return f"<CheckedPredictions: {prediction_check.sentences(self.record)[0]}>"

    def _repr_html_(self) -> str:
        from slotbench.draw import prediction_check

        return prediction_check.fragment(self.record)


def predict(
    num_envs: int | Sequence[int] | None = None,
    *,
    step_ms: Numbers | None = None,
    step_distribution: Names | None = None,
    step_sigma: Numbers | None = None,
    step_mode: str | None = None,
    reset_every: int | Sequence[int] | None = None,
    reset_ms: Numbers | None = None,
    policy_ms: Numbers | None = None,
    policy_per_item_ms: Numbers | None = None,
    policy_distribution: Names | None = None,
    policy_sigma: Numbers | None = None,
    min_batch: int | str | Sequence[int | str] | None = None,
    max_batch: int | Sequence[int] | None = None,
    timeout_ms: Numbers | None = None,
    servers: int | Sequence[int] | None = None,
    queues: Names | None = None,
    transport: Names | None = None,
    observation: str | Sequence[str] = (),
    cpus: int | None = None,
    max_latency_ms: float | None = None,
    run: Run | str | Path | None = None,
    cell: str | None = None,
    results_dir: str | Path = "results",
    command: Sequence[str] = (),
    on_progress: "Callable[[Progress], None] | None" = None,
) -> Predicted:
    """Say what a workload would serve under what is supposed, as ``slotbench predict`` does.

    Nothing is measured. What has several values is an axis: every combination is a row.

    Args:
        num_envs: environments, an actor each; up to 100 000. Only a run's may be left out.
        step_ms: mean time of a step; None takes no time.
        step_distribution: "constant", "exponential" or "lognormal"; None is lognormal.
        step_sigma: of lognormal steps; None is 0.294, a coefficient of variation of 0.3.
        step_mode: "idle", "busy" or "busy_nogil", as of `slotbench.advise`; None is "idle".
        reset_every: steps of an episode, after which a reset adds to the step; None is never.
        reset_ms: what a reset takes.
        policy_ms: what a batch takes, whatever it holds,
        policy_per_item_ms: and what each row adds; None is 0.
        policy_distribution: of a batch's time over its mean; None is "constant".
        policy_sigma: of a lognormal one; None is 0.5.
        min_batch: least batch; "n*" is the one at which requests are made as fast as served. None is 1.
        max_batch: largest; None is 64.
        timeout_ms: None is 10.
        servers: that the policy runs in; None is 1.
        queues: "shared", of one process, or "own", a process, transport and share of the actors each.
        transport: labels whose fitted cost is added; None is "none", which costs nothing.
        observation: as of `slotbench.advise`; only a transport's cost depends on it.
        cpus: processors; None is as many as wanted.
        max_latency_ms: limit on the 99th percentile of reply times.
        run: recorded run, or what `slotbench.load` takes, whose times, batching rule, observation, processors and
            machine's pace stand where nothing is given; no contender of it: that is ``transport``.
        cell: of that run, by name; None where it has only one.
        results_dir: where the run is looked for.
        command: the command line, for the record; () is the one that does the same.
        on_progress: as for `slotbench.run`, with rows in the place of trials.

    Raises:
        SlotbenchError: a value that is none, one that contradicts another, or too many of them.
        RecordError: there is no such run, or it is damaged.
    """
    from slotbench.compute import what_if

    given: dict[str, Any] = {
        "num_envs": num_envs,
        "step_ms": step_ms,
        "step_distribution": step_distribution,
        "step_sigma": step_sigma,
        "reset_every": reset_every,
        "reset_ms": reset_ms,
        "policy_ms": policy_ms,
        "policy_per_item_ms": policy_per_item_ms,
        "policy_distribution": policy_distribution,
        "policy_sigma": policy_sigma,
        "min_batch_size": min_batch,
        "max_batch_size": max_batch,
        "timeout_ms": timeout_ms,
        "num_servers": servers,
        "queues": queues,
        "transport": transport,
    }
    options = {"step_mode": step_mode, "cpus": cpus, "max_latency_ms": max_latency_ms}
    leaves = (observation,) if isinstance(observation, str) else tuple(observation)
    if cell is not None and run is None:
        raise SlotbenchError("--cell is of a run: name one with --from")
    stored = (
        run if isinstance(run, Run) or run is None else load(run, results_dir=results_dir)
    )
    from slotbench.api import _predicting

    plan = _predicting.plan(given, options, leaves, stored, cell)
    found = what_if.cases(plan.basis, plan.values)
    with progress(on_progress, _EXPECTED_S, "rows") as told:
        rows = what_if.predict(
            plan.basis, found, lambda done: told(_state(done, len(found)))
        )
    return Predicted(
        WhatIf(
            schema_version=PREDICTION_SCHEMA_VERSION,
            created_at=_now(),
            command=tuple(command) or _command(given | options, leaves, stored, cell),
            run="" if stored is None else stored.record.run_id,
            cell=plan.cell,
            leaves=plan.basis.leaves,
            num_cpus=plan.basis.num_cpus,
            pace=plan.basis.pace,
            is_pace_known=plan.basis.is_pace_known,
            max_latency_s=plan.basis.max_latency_s,
            axes=what_if.axes(plan.values, rows),
            rows=rows,
            best=what_if.best(rows),
            notes=plan.notes,
        )
    )


def check_predictions(
    runs: Iterable[Run | str | Path],
    *,
    results_dir: str | Path = "results",
    command: Sequence[str] = (),
    on_progress: "Callable[[Progress], None] | None" = None,
) -> CheckedPredictions:
    """Predict every measured cell × contender of recorded runs, and hold it against what was measured.

    Args:
        runs: recorded runs, or what `slotbench.load` takes.
        results_dir: where they are looked for.
        command: the command line, for the record.
        on_progress: as for `slotbench.run`, with contenders in cells in the place of trials.

    Raises:
        SlotbenchError: no run is given, or none of what they hold can be predicted.
        RecordError: there is no such run, or it is damaged.
    """
    from slotbench.compute import predictions

    stored = [
        one.stored if isinstance(one, Run) else load(one, results_dir=results_dir).stored
        for one in runs
    ]
    sizes = [len(x.run.scenario.cells) * len(x.run.scenario.contenders) for x in stored]
    checked: list[CheckedRun] = []
    rows: list[CheckedPrediction] = []
    with progress(on_progress, _EXPECTED_S, "contenders in cells") as told:
        for place, one in enumerate(stored):
            done = sum(sizes[:place])
            of_run, found = predictions.check(
                one.run,
                one.trials,
                one.calibrations,
                lambda number, done=done: told(_state(done + number, sum(sizes))),  # type: ignore[misc]
            )
            # A folder that somebody named tells two runs of one scenario apart.
            name = one.path.name
            checked.append(of_run if name == of_run.run_id else replace(of_run, name=name))
            rows += found
    if not rows:
        from slotbench.compute import transport_costs

        fitted = sorted(transport_costs.load().costs)
        names = ", ".join(one.run.run_id for one in stored) or "no run"
        raise SlotbenchError(
            f"{names}: nothing can be predicted: its cells are open loops or their times are not known, "
            f"or it has none of the contenders whose costs were fitted: {', '.join(fitted)}"
        )
    return CheckedPredictions(
        PredictionCheck(
            schema_version=PREDICTION_SCHEMA_VERSION,
            created_at=_now(),
            command=tuple(command),
            margin=predictions.MARGIN,
            runs=tuple(checked),
            rows=tuple(rows),
        )
    )


def load_prediction(path: str | Path) -> Predicted:
    """Read what ``slotbench predict --format json`` wrote.

    Raises:
        RecordError: it cannot be read, is damaged, or is of a later slotbench.
    """
    from slotbench.store import read_what_if

    return Predicted(read_what_if(path))


def _written(record: WhatIf | PredictionCheck, path: str | Path) -> Path:
    from slotbench.store import document
    from slotbench.store.output import write_file

    write_file(Path(path), document(record), force=True)
    return Path(path)


def _state(done: int, total: int) -> "Progress":
    from slotbench.measure.runner import Progress

    return Progress(done, total, "simulating")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _command(
    given: dict[str, Any], leaves: Sequence[str], run: Run | None, cell: str | None
) -> tuple[str, ...]:
    """The command line that does the same."""
    from slotbench.compute.what_if import AXES

    words = ["slotbench", "predict"]
    if run is not None:
        words += ["--from", run.record.run_id]
        words += ["--cell", cell] if cell is not None else []
    names = {axis.field: axis.option for axis in AXES}
    names |= {name: f"--{name.replace('_', '-')}" for name in _OPTIONS}
    for field, value in given.items():
        if value is not None:
            value = value.tolist() if hasattr(value, "tolist") else value  # noqa: PLW2901
            some = (
                value
                if isinstance(value, Sequence) and not isinstance(value, str)
                else [value]
            )
            words += [names[field], ",".join(map(_word, some))]
    for text in leaves:
        words += ["--observation", text]
    return tuple(words)


def _word(value: Scalar) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if int(value) == value else repr(value)
