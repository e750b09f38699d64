"""Measuring from Python: `run` and `profile`."""

import contextlib
import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slotbench.api._profile import Profile, load_profile
from slotbench.api._run import Run, load
from slotbench.errors import SlotbenchError

if TYPE_CHECKING:
    from slotbench.measure.cluster import Cluster
    from slotbench.measure.runner import Progress
    from slotbench.records import Scenario, Sequential, Skipped


def run(
    scenario: str | Path,
    *,
    overrides: Mapping[str, object] | Sequence[str] = (),
    contenders: str | Sequence[str] = (),
    pythons: str | Sequence[str] = (),
    rounds: int | None = None,
    seed: int | None = None,
    until_decided: bool = False,
    max_rounds: int | None = None,
    budget_s: float | None = None,
    metrics: str | Sequence[str] = (),
    threshold: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
    results_dir: str | Path = "results",
    on_progress: "Callable[[Progress], None] | None" = None,
) -> Run:
    """Measure a scenario and record it, as ``slotbench run`` does.

    In a notebook a progress bar stands below the cell. What a run on a cluster loses or waits for is a warning
    (``UserWarning``). Interrupting the kernel ends the run
    and keeps what was recorded; ``slotbench run --resume`` goes on with it.

    Args:
        scenario: name or TOML file.
        overrides: field → value, or a list of values, which makes it an axis (a tuple is one
            value, such as a shape); or texts as after ``--set``.
        contenders: one, or several, to race in place of the scenario's, beside its baseline.
        pythons: one interpreter, or several, such as "python3.14t", to race every contender in; the baseline
            runs in the first.
        rounds: passes over all cells.
        seed: of order and think times.
        until_decided: go on, after these rounds, with the cells that are not decided; looks are
            planned beforehand, and intervals as much wider as keeps 95 % over all of them.
        max_rounds: with ``until_decided``, of a cell; None is 4 times the scenario's.
        budget_s: with ``until_decided``, of wall clock; None is no limit.
        metrics: with ``until_decided``, one or several whose verdicts decide; none is throughput, of open
            loops latency_p99.
        threshold: with ``until_decided``, δ of these verdicts; None is the scenario's.
        thresholds: with ``until_decided``, metric → another δ for it.
        executor: "ray" spreads the blocks over the nodes of a Ray cluster: the one that this process is
            connected to, or that at the address.
        address: with "ray", of the cluster; None is RAY_ADDRESS, or the one that runs here.
        results_dir: the run's folder is made in it.
        on_progress: told what the run is at; None is the bar in a notebook, else nothing.

    Raises:
        SlotbenchError: what is to be decided never can be, or not in that time; or one of these is given
            without ``until_decided``.
        ScenarioError, ContenderError: it cannot be run; nothing was recorded.
        RecordError: the results folder cannot be written.
        WorkerError: no worker process comes up.
        ClusterError: there is no cluster, or none of its nodes is left; what was recorded stays.
    """
    from slotbench.measure import budget
    from slotbench.measure.executor import LocalExecutor
    from slotbench.measure.on_ray import open_cluster
    from slotbench.measure.runner import estimate_s
    from slotbench.session import run_scenario

    if executor not in {"local", "ray"}:
        raise SlotbenchError(f"executor is {executor!r}: it must be 'local' or 'ray'")
    if address is not None and executor != "ray":
        raise SlotbenchError("address goes with executor='ray'")
    asked = Asked("run", scenario, overrides, contenders, seed, pythons)
    loaded, skipped = asked.load(rounds)
    goal = _Goal(
        max_rounds,
        budget_s,
        (metrics,) if isinstance(metrics, str) else tuple(metrics),
        threshold,
        thresholds or {},
    )
    if not until_decided and goal != _NO_GOAL:
        raise SlotbenchError(
            "max_rounds, budget_s, metrics, threshold and thresholds go with until_decided=True"
        )
    loaded, until = goal.plan(loaded) if until_decided else (loaded, None)
    with contextlib.ExitStack() as stack:
        by: LocalExecutor | Cluster
        if executor == "ray":
            by = stack.enter_context(open_cluster(loaded, address or ""))
            by.on_loss = _warn
            whole_s = budget.shared_s(estimate_s(loaded), by.num_nodes)
        else:
            by = stack.enter_context(LocalExecutor(loaded))
            whole_s = estimate_s(loaded)
        told = stack.enter_context(progress(on_progress, whole_s))
        words = goal.words() if until_decided else []
        if executor == "ray":
            words.append(("--executor", "ray"))
        path = run_scenario(
            loaded,
            by,
            Path(results_dir),
            skipped=skipped,
            command=asked.command(rounds, words),
            until=until,
            on_progress=told,
        )
    return load(path)


def profile(
    scenario: str | Path,
    *,
    overrides: Mapping[str, object] | Sequence[str] = (),
    contenders: str | Sequence[str] = (),
    rounds: int | None = None,
    tools: str | Sequence[str] = (),
    between: tuple[str, str] | None = None,
    seed: int | None = None,
    results_dir: str | Path = "results",
    on_progress: "Callable[[Progress], None] | None" = None,
) -> Profile:
    """Profile a scenario and record it, as ``slotbench profile`` does.

    Args:
        scenario: name or TOML file.
        overrides: as for `run`.
        contenders: one, or several, to profile in place of the scenario's, beside its baseline.
        rounds: of each pass of each contender; None is 3.
        tools: names of optional profilers to run, too: "flame", "memory", "torch".
        between: labels of the two contenders whose difference is explained; None is the baseline
            and the fastest.
        seed: of order and think times.
        results_dir: the profile's folder is made in it.
        on_progress: as for `run`.

    Raises:
        SlotbenchError: there is no such tool, no such contender to explain, or rounds is below 1.
        ScenarioError, ContenderError: it cannot be profiled; nothing was recorded.
        RecordError: the results folder cannot be written.
        WorkerError: no worker process comes up.
    """
    from slotbench import profiles
    from slotbench.draw.profile import check_between
    from slotbench.measure.executor import LocalExecutor

    asked = Asked("profile", scenario, overrides, contenders, seed)
    names = (tools,) if isinstance(tools, str) else tuple(tools)
    loaded, skipped = asked.load(None)
    check_between(between, [who.label for who in loaded.contenders])
    number = profiles.ROUNDS if rounds is None else rounds
    with (
        progress(on_progress, profiles.estimate_s(loaded, number, names)) as told,
        LocalExecutor(loaded) as executor,
    ):
        path = profiles.profile_scenario(
            loaded,
            executor,
            Path(results_dir),
            rounds=number,
            tool_names=names,
            between=between,
            skipped=skipped,
            command=asked.command(
                rounds,
                [
                    *(("--tool", name) for name in names),
                    *([("--between", *between)] if between else []),
                ],
            ),
            on_progress=told,
        )
    return load_profile(path)


def _warn(text: str) -> None:
    """Tell what a cluster has lost, while the run goes on."""
    warnings.warn(f"slotbench: {text}", stacklevel=2)


@dataclass(frozen=True, slots=True)
class _Goal:
    """What a run is to decide, and how long it may take."""

    max_rounds: int | None
    budget_s: float | None
    metrics: tuple[str, ...]
    threshold: float | None
    thresholds: Mapping[str, float]

    def plan(self, scenario: "Scenario") -> "tuple[Scenario, Sequential]":
        """The scenario with its δ, and when to look at it."""
        from slotbench.compute.comparison import check_threshold
        from slotbench.measure import until_decided

        if self.threshold is not None:
            check_threshold(self.threshold)
            scenario = replace(scenario, threshold=self.threshold)
        for delta in self.thresholds.values():
            check_threshold(delta)
        return scenario, until_decided.plan(
            scenario,
            metrics=self.metrics,
            thresholds=self.thresholds,
            max_rounds=self.max_rounds,
            budget_s=self.budget_s,
        )

    def words(self) -> list[tuple[str, ...]]:
        """The options that ask for the same."""
        from slotbench.compute import durations

        words: list[tuple[str, ...]] = [("--until-decided",)]
        if self.max_rounds is not None:
            words.append(("--max-rounds", str(self.max_rounds)))
        if self.budget_s is not None:
            words.append(("--budget", durations.written_s(self.budget_s)))
        words += [("--metric", name) for name in self.metrics]
        if self.threshold is not None:
            words.append(("--threshold", repr(self.threshold)))
        words += [("--threshold", f"{k}={v!r}") for k, v in self.thresholds.items()]
        return words


_NO_GOAL = _Goal(None, None, (), None, {})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks to be measured, as `run` is given it."""

    command_name: str
    scenario: str | Path
    overrides: Mapping[str, object] | Sequence[str]
    contenders: str | Sequence[str]
    seed: int | None
    pythons: str | Sequence[str] = ()

    def load(self, rounds: int | None) -> "tuple[Scenario, tuple[Skipped, ...]]":
        """The scenario with its changes, and what it goes without."""
        from slotbench import scenario as scenarios
        from slotbench.session import without_missing

        here = str(Path.cwd())
        if here not in sys.path:  # so that a notebook's own modules can be raced
            sys.path.append(here)
        loaded = scenarios.load(
            str(self.scenario),
            overrides=as_set(self.overrides),
            contenders=self.raced,
            pythons=self.interpreters,
            rounds=rounds,
            seed=self.seed,
        )
        return without_missing(loaded)

    def command(
        self, rounds: int | None, more: Sequence[tuple[str, ...]] = ()
    ) -> tuple[str, ...]:
        """The command line that does the same, for the record."""
        words = ["slotbench", self.command_name, str(self.scenario)]
        for option, values in (
            ("--set", as_set(self.overrides)),
            ("--contender", self.raced),
            ("--python", self.interpreters),
        ):
            for value in values:
                words += [option, value]
        for option, number in (("--rounds", rounds), ("--seed", self.seed)):
            if number is not None:
                words += [option, str(number)]
        return (*words, *(word for pair in more for word in pair))

    @property
    def raced(self) -> tuple[str, ...]:
        """The contenders that were named."""
        one = self.contenders
        return (one,) if isinstance(one, str) else tuple(one)

    @property
    def interpreters(self) -> tuple[str, ...]:
        """The interpreters that were named."""
        one = self.pythons
        return (one,) if isinstance(one, str) else tuple(one)


def as_set(overrides: Mapping[str, object] | Sequence[str]) -> tuple[str, ...]:
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


def progress(
    on_progress: "Callable[[Progress], None] | None",
    expected_s: float,
    counted: str = "trials",
) -> Any:
    """A context that gives what is to be told of progress: the caller's own, or a bar."""
    if on_progress is not None:
        return contextlib.nullcontext(on_progress)
    from slotbench import notebook

    if notebook.is_notebook():
        return notebook.progress(expected_s, counted)
    return contextlib.nullcontext(lambda _: None)
