"""``slotbench run``: measure a scenario, record it, and say how it ended."""

import signal
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slotbench.cli._options import (
    RESULTS_DIR,
    MetricThreshold,
    ResultsDir,
    SetFields,
    Thresholds,
    parse_duration,
)
from slotbench.cli._place import Place, Where
from slotbench.errors import (
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_OK,
    EXIT_TRIAL_FAILED,
    ClusterError,
    ContenderError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slotbench.api import Run
    from slotbench.cli._progress import ProgressBar
    from slotbench.measure.cluster import Cluster
    from slotbench.measure.executor import Executor
    from slotbench.records import Node, Scenario, Sequential, Skipped


def run(  # noqa: PLR0917  # a command's options, given by name
    scenario: Annotated[
        str | None,
        typer.Argument(
            metavar="SCENARIO",
            help="A scenario's name or its TOML file.",
            show_default=False,
        ),
    ] = None,
    set_: SetFields = None,
    contender: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTENDER",
            help="Race this one (and no other but the baseline); repeatable.",
        ),
    ] = None,
    python: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COMMAND",
            help="Race every contender in this interpreter, such as python3.14t; repeatable, the "
            "baseline runs in the first.",
        ),
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Passes over all cells.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of order and think times.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells, trials and duration; stop.")
    ] = False,
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided",
            help="Go on, round after round, with the cells that are not decided; the rate of false "
            "alarms stays.",
        ),
    ] = False,
    max_rounds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="With --until-decided: so many rounds of a cell at most.",
            show_default="4 times the scenario's",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            parser=parse_duration,
            help="With --until-decided: for so long at most, such as 90s, 30m or 2h.",
            show_default="no limit",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="With --until-decided: decide by this metric; may be repeated.",
            show_default="throughput; of open loops latency_p99",
        ),
    ] = None,
    threshold: Thresholds = None,
    results: ResultsDir = RESULTS_DIR,
    attempts: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How often, at most, to measure a block that the machine disturbs.",
            show_default="3",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Go on with a run that was killed or interrupted."
        ),
    ] = None,
    allow_different: Annotated[
        bool,
        typer.Option(
            "--allow-different", help="Resume on another machine or other versions, too."
        ),
    ] = False,
    executor: Annotated[
        Where,
        typer.Option(help="Where trials run: here, or on the nodes of a Ray cluster."),
    ] = Where.LOCAL,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="With --executor ray: of the cluster.",
            show_default="RAY_ADDRESS, or the one that runs here",
        ),
    ] = None,
) -> int:
    """Measure a scenario and record it, or go on with a run that was broken off.

    Every trial is recorded as it ends; Ctrl-C, a kill or a full disk keeps those that did,
    and --resume goes on from there: the block that was broken off is measured again whole.
    Ends with the comparison, the share of time not spent measuring, and the run's folder.
    With --until-decided the scenario's rounds are followed by more of those cells in which a
    contender is still inconclusive; looks are planned beforehand, and every interval is as much
    wider as keeps 95 % over all of them.
    With --executor ray the blocks are spread over the nodes of a cluster: one trial at a time on each, all
    of its CPUs reserved, and every block whole on one; what a lost node had begun is measured elsewhere.
    Exit code 3: a trial was INVALID; 4: a trial failed; 130: interrupted, by Ctrl-C or for want of nodes.

    Examples:
      slotbench run grid --set num_slots=4,16 --rounds 5 --dry-run
      slotbench run quickstart --contender slot --contender 'my.module:factory[depth=2]'
      slotbench run quickstart --until-decided --max-rounds 30 --budget 20m
      slotbench run --resume newest --executor ray --address 10.0.0.1:6379
    """
    changes = {
        "SCENARIO": scenario,
        "--set": set_,
        "--contender": contender,
        "--python": python,
        "--rounds": rounds,
        "--seed": seed,
    }
    of_until = {
        "--max-rounds": max_rounds,
        "--budget": budget,
        "--metric": metric,
        "--threshold": threshold,
    }
    lone = [name for name, value in of_until.items() if value not in (None, [])]
    if address is not None and executor is not Where.RAY:
        raise typer.BadParameter("--address goes with --executor ray")
    place = Place(executor, address or "")
    if resume is not None:
        given = [name for name, value in changes.items() if value not in (None, [])]
        given += lone + (["--until-decided"] if until_decided else [])
        if given:
            raise typer.BadParameter(
                f"a run is resumed as it was planned: leave out {', '.join(given)}"
            )
        return _resume(resume, results, attempts, allow_different, dry_run, place=place)
    if scenario is None:
        raise typer.BadParameter(
            "name a SCENARIO ('slotbench list' shows them), or a run with --resume"
        )
    if allow_different:
        raise typer.BadParameter("--allow-different goes with --resume")
    if lone and not until_decided:
        raise typer.BadParameter(f"{lone[0]} goes with --until-decided")
    from slotbench.scenario import load
    from slotbench.session import without_missing

    # The user's own modules can be raced, but never hide an installed one.
    sys.path.append(str(Path.cwd()))
    loaded = load(
        scenario,
        overrides=tuple(set_ or ()),
        contenders=tuple(contender or ()),
        pythons=tuple(python or ()),
        rounds=rounds,
        seed=seed,
    )
    loaded, skipped = without_missing(loaded)
    for skip in skipped:
        _say(f"skipping {skip.label}: {skip.reason}")
    for note in _notes(loaded):
        _say(f"note: {note}")
    until = None
    if until_decided:
        loaded, until = _until(loaded, max_rounds, budget, metric, threshold or ())
    if dry_run:
        _print_plan(loaded, until, place.num_nodes(loaded))
        return EXIT_OK
    from slotbench.measure.runner import MAX_ATTEMPTS, estimate_s
    from slotbench.session import run_scenario

    def begin(by: "Executor | Cluster", bar: "ProgressBar", told: list[Path]) -> Path:
        return run_scenario(
            loaded,
            by,
            results,
            skipped=skipped,
            command=_command(),
            max_attempts=attempts or MAX_ATTEMPTS,
            until=until,
            on_progress=bar.update,
            on_start=told.append,
        )

    return _report(_measure(loaded, estimate_s(loaded), begin, place), skipped)


def _until(
    scenario: "Scenario",
    max_rounds: int | None,
    budget_s: float | None,
    metrics: "Sequence[str] | None",
    given: "Sequence[MetricThreshold]",
) -> "tuple[Scenario, Sequential]":
    """Plan a run until decided, and say so; a threshold for all metrics becomes the scenario's."""
    from slotbench.draw import looks
    from slotbench.measure import until_decided

    plain = [one.ratio for one in given if one.metric is None]
    if plain:
        scenario = replace(scenario, threshold=plain[-1])
    planned = until_decided.plan(
        scenario,
        metrics=metrics or (),
        thresholds={one.metric: one.ratio for one in given if one.metric is not None},
        max_rounds=max_rounds,
        budget_s=budget_s,
    )
    _say(looks.plan(planned))
    return scenario, planned


def _resume(
    reference: str,
    results: Path,
    attempts: int | None,
    allow_different: bool,
    dry_run: bool,
    *,
    place: Place,
) -> int:
    """Go on with the run that is meant."""
    from slotbench import store
    from slotbench.contenders import missing_requirement
    from slotbench.draw import units
    from slotbench.measure import runner
    from slotbench.session import check_environment, check_resumable, resume_run

    sys.path.append(str(Path.cwd()))
    stored = store.read(store.find(reference, results))
    check_resumable(stored)
    scenario = stored.run.scenario
    for contender in scenario.contenders:
        reason = missing_requirement(contender)
        if reason is not None:
            raise ContenderError(f"contender {contender.label}: {reason}")
    if not allow_different and place.executor is Where.LOCAL:
        check_environment(stored.run)
    left = sum(len(cells) for _, cells in runner.unfinished(stored.run, stored.trials))
    planned = sum(len(cells) for cells in stored.run.design.blocks)
    left_s = runner.estimate_rest_s(stored.run, stored.trials)
    text = (
        f"{stored.run.run_id}: {planned - left} of {units.count(planned, 'block')} measured, "
        f"{left} left; expected duration {units.duration(left_s)}"
    )
    if stored.run.sequential is not None and not stored.run.sequential.ended:
        text += ", then until decided"
    if dry_run:
        num_nodes = place.num_nodes(scenario)
        print(text + _on_nodes(left_s, num_nodes))
        return EXIT_OK
    _say(f"resuming {text}")

    def begin(by: "Executor | Cluster", bar: "ProgressBar", told: list[Path]) -> Path:
        return resume_run(
            stored.path,
            by,
            command=_command(),
            allow_different=allow_different,
            max_attempts=attempts,
            on_progress=bar.update,
            on_start=told.append,
        )

    return _report(_measure(scenario, left_s, begin, place, stored.run.nodes), ())


def _command() -> tuple[str, ...]:
    """The command line, for the record; without a cluster's address, which is nobody else's."""
    words = iter(sys.argv[1:])
    kept = []
    for word in words:
        if word == "--address":
            next(words, None)
        elif not word.startswith("--address="):
            kept.append(word)
    return ("slotbench", *kept)


def _notes(scenario: "Scenario") -> list[str]:
    """Say what a scenario asks for that may not be meant."""
    from slotbench.compute.percentiles import MIN_SAMPLES
    from slotbench.measure import budget

    open_loops = [cell for cell in scenario.cells if cell.workload.load.is_open]
    due = {cell.name: budget.num_due(cell.workload) for cell in open_loops}
    return [
        f"in cell {name!r}, some {number} requests are due in a window; p99 needs {MIN_SAMPLES[99.0]}: "
        "raise window.max_measure_s or min_requests"
        for name, number in due.items()
        if number < MIN_SAMPLES[99.0]
    ] + [
        f"in cell {cell.name!r}, min_batch_size {cell.workload.batching.min_batch_size} exceeds "
        f"the {cell.workload.num_slots} actors: batches wait for their timeout, slot's alone do not"
        for cell in scenario.cells
        if cell.workload.batching.min_batch_size > cell.workload.num_slots
    ]


def _print_plan(scenario: "Scenario", until: "Sequential | None", num_nodes: int) -> None:
    """Print what a run would do: on stdout, since here it is the data.

    Args:
        scenario: to be run.
        until: its looks, if it is to go on until decided.
        num_nodes: of the cluster that it is spread over; 0 is this machine alone.
    """
    from slotbench.draw import units
    from slotbench.measure import design, runner, until_decided

    print(f"{scenario.name}: {scenario.title}")
    if scenario.citation:
        print(textwrap.fill(f"from {scenario.citation}", 100))
    print(f"\n{units.count(len(scenario.cells), 'cell')}:")
    for cell in scenario.cells:
        print(f"  {cell.name}")
    print(f"\n{units.count(len(scenario.contenders), 'contender')}:")
    for contender in scenario.contenders:
        note = "  (baseline, twice in every block)" if contender.baseline else ""
        print(f"  {contender.label}{note}")
    num_trials = design.draw(scenario).num_trials
    least = (
        f"{units.count(num_trials, 'trial')} in {units.count(scenario.rounds, 'round')}, seed {scenario.seed}; "
        f"expected duration {units.duration(runner.estimate_s(scenario))}"
        f"{_on_nodes(runner.estimate_s(scenario), num_nodes)}"
    )
    if until is None:
        print(f"\n{least}")
        return
    most = num_trials // scenario.rounds * until.max_rounds
    most_s = until_decided.most_s(scenario, until)
    print(f"\nat least {least}")
    print(
        f"at most {units.count(most, 'trial')} in {until.max_rounds} rounds, if no cell is decided "
        f"before; expected duration {units.duration(most_s)}{_on_nodes(most_s, num_nodes)}"
    )


def _on_nodes(alone_s: float, num_nodes: int) -> str:
    """Say what becomes of a duration that was said before it; nothing without a cluster."""
    from slotbench.draw import units
    from slotbench.measure import budget

    if num_nodes == 0:
        return ""
    shared = units.duration(budget.shared_s(alone_s, num_nodes))
    return f" on one machine, {shared} on the cluster's {units.count(num_nodes, 'node')}"


def _measure(
    scenario: "Scenario",
    alone_s: float,
    begin: "Callable[[Executor | Cluster, ProgressBar, list[Path]], Path]",
    place: Place,
    earlier: "Sequence[Node]" = (),
) -> Path:
    """Measure under a progress bar; return the run's folder.

    Args:
        scenario: whose contenders the worker imports.
        alone_s: on one machine, for the progress bar.
        begin: measures; puts the run's folder into the list before the first trial.
        place: where.
        earlier: nodes of earlier sittings of the run.
    """
    from slotbench.cli._progress import ProgressBar
    from slotbench.measure import budget
    from slotbench.measure.cluster import Cluster

    folders: list[Path] = []
    try:
        with place.opened(scenario, earlier) as by:
            # What a cluster's scheduler sends ends a run as Ctrl-C does; Ray has its own idea of it.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            if not isinstance(by, Cluster):
                with ProgressBar(alone_s) as bar:
                    return begin(by, bar, folders)
            with ProgressBar(budget.shared_s(alone_s, by.num_nodes)) as bar:
                by.on_event = bar.say
                return begin(by, bar, folders)
    except ClusterError as error:
        if not folders:
            raise
        _say(f"interrupted: {error}; {_safe_in(folders[0], place)}")
        raise typer.Exit(EXIT_INTERRUPTED) from error
    except KeyboardInterrupt:
        where = "nothing recorded"
        if folders:
            where = _safe_in(folders[0], place)
        _say(f"interrupted; {where}")
        raise


def _safe_in(folder: Path, place: Place) -> str:
    """Say what is left of a run that was broken off, and how it goes on."""
    on_ray = " --executor ray" if place.executor is Where.RAY else ""
    on_ray += f" --address {place.address}" if place.address else ""
    return (
        f"the recorded trials are safe in {folder}; go on with "
        f"'slotbench run --resume {folder}{on_ray}'"
    )


def _report(path: Path, skipped: "Sequence[Skipped]") -> int:
    """Print how the run ended; return the exit code."""
    from slotbench import load
    from slotbench.cli._screen import stdout_screen
    from slotbench.draw import looks, render, units

    run = load(path)
    known = {skip.label for skip in skipped}
    for skip in run.record.skipped:
        if skip.label not in known:
            _say(f"skipped {skip.label}: {skip.reason}")
    print(render(run.compare(), "text", stdout_screen()), end="")
    accounting = run.record.accounting
    if accounting is not None:
        of_whom = ""
        before = [resumed.num_trials for resumed in run.record.resumptions[-1:]]
        number = len(run.stored.trials) - sum(before)
        since = f" after {before[0]} before" if before else ""
        if accounting.node_s is not None:
            last = run.record.nodes[-1].sitting
            took_part = sum(n.is_admitted and n.sitting == last for n in run.record.nodes)
            since += f" on {units.count(took_part, 'node')}"
            of_whom = ", all together" if took_part > 1 else ""
        print(
            f"\n{units.count(number, 'trial')}{since} in {units.duration(accounting.total_s)}; "
            f"{accounting.overhead_ratio:.0%} of it outside warm-up and measurement "
            f"({units.duration(accounting.worker_start_s)} starting workers{of_whom})."
        )
    for line in looks.lines(run.record, run.stored.trials):
        print(line)
    print(f"Recorded in {path}")
    return exit_code(run)


def exit_code(run: "Run") -> int:
    """Return 4 if a trial that counts failed, else 3 if one was INVALID, else 0."""
    from slotbench.compute.blocks import counted_trials

    trials = counted_trials(run.record, run.stored.trials)
    if any(trial.status == "failed" for trial in trials):
        return EXIT_TRIAL_FAILED
    return EXIT_INVALID if any(trial.is_invalid for trial in trials) else EXIT_OK


def _say(text: str) -> None:
    print(f"slotbench: {text}", file=sys.stderr)
