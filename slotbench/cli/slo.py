"""``slotbench slo``: the highest load at which latencies keep to their limits."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from slotbench.cli._options import (
    RESULTS_DIR,
    ResultsDir,
    SetFields,
    parse_duration,
    parse_threshold,
)
from slotbench.errors import (
    EXIT_INVALID,
    EXIT_OK,
    EXIT_TRIAL_FAILED,
    ScenarioError,
    SlotbenchError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slotbench.measure.executor import LocalExecutor
    from slotbench.records import Scenario, Skipped, SloPlan
    from slotbench.store import StoredSlo

_ARRIVALS: Final = ("poisson", "constant")


def slo(
    scenario: Annotated[
        str | None,
        typer.Argument(
            metavar="SCENARIO",
            help="A scenario's name or its TOML file.",
            show_default="none, with --resume",
        ),
    ] = None,
    *,
    p50: Annotated[
        float | None,
        typer.Option(
            "--p50",
            metavar="TIME",
            parser=parse_duration,
            help="Limit of the median: 800us.",
        ),
    ] = None,
    p90: Annotated[
        float | None,
        typer.Option("--p90", metavar="TIME", parser=parse_duration, help="Limit of p90."),
    ] = None,
    p99: Annotated[
        float | None,
        typer.Option(
            "--p99", metavar="TIME", parser=parse_duration, help="Limit of p99: 2ms."
        ),
    ] = None,
    p999: Annotated[
        float | None,
        typer.Option(
            "--p999", metavar="TIME", parser=parse_duration, help="Limit of p99.9: 0.02s."
        ),
    ] = None,
    set_: SetFields = None,
    contender: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTENDER",
            help="Search this one; may be repeated.",
            show_default="the scenario's",
        ),
    ] = None,
    arrivals: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(_ARRIVALS),
            help="How each actor's requests come.",
            show_default="poisson",
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            parser=parse_threshold,
            help="Of two neighbouring loads: 5% or 0.05.",
            show_default="5%",
        ),
    ] = None,
    from_: Annotated[
        float | None,
        typer.Option(
            "--from",
            metavar="RATE",
            help="The first load tried, requests per second of all actors.",
            show_default="half of what a closed loop reaches",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            parser=parse_duration,
            help="Begin no step that would end later: 10m; what is shown by then stands.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of order and arrivals.")] = None,
    format_name: Annotated[
        str,
        typer.Option(
            "--format", metavar="text|md|html|json|csv", help="How to write the answer."
        ),
    ] = "text",
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="SLO", help="Go on with a search that was broken off, as it was begun."
        ),
    ] = None,
    allow_different: Annotated[
        bool,
        typer.Option(
            "--allow-different",
            help="Resume also where machine, Python, torch or code are others.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be searched; stop.")
    ] = False,
    results: ResultsDir = RESULTS_DIR,
) -> int:
    """Find the highest load that keeps latency to a limit, as an interval.

    Requests come by a schedule, whether or not the last ones have been answered, and latency counts
    from when each was due. Every contender has a search of its own: a load is tried by 4 to 12
    trials, each in a fresh process, and is decided by a test over them; the answer lies between
    the highest load shown to hold and the lowest shown not to, and is right for all contenders
    at once with 95 %. Where several limits are given all must hold.

    Exit code 3: no trial of a contender was usable; 4: and one failed.

    Examples:
      slotbench slo quickstart --p99 2ms
      slotbench slo grid --set num_slots=64 --set model.latency_ms=1 --p50 3ms --p99 8ms
      slotbench slo quickstart --p99 500us --contender slot --precision 10% --budget 5m
      slotbench slo --resume newest
    """
    from slotbench.draw import slo as drawn

    limits = {50.0: p50, 90.0: p90, 99.0: p99, 99.9: p999}
    # The user's own modules can be searched, but never hide an installed one.
    sys.path.append(str(Path.cwd()))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    drawn.check_format(format_name)
    if resume is not None:
        options: dict[str, object] = {
            "SCENARIO": scenario,
            **{f"--p{percent:g}".replace(".", ""): one for percent, one in limits.items()},
            "--set": set_,
            "--contender": contender,
            "--arrivals": arrivals,
            "--precision": precision,
            "--from": from_,
            "--seed": seed,
        }
        given = [name for name, value in options.items() if value not in (None, [])]
        if given:
            raise typer.BadParameter(
                f"a search is resumed as it was begun: leave out {', '.join(given)}"
            )
        if dry_run:
            _print_rest(resume, results, allow_different=allow_different)
            return EXIT_OK
        path = _resume(resume, results, budget, allow_different=allow_different)
        return _show(path, format_name)
    if scenario is None:
        raise SlotbenchError("name a scenario, or a search to go on with after --resume")
    if allow_different:
        raise typer.BadParameter("--allow-different goes with --resume")
    plan = _plan(limits, precision, from_, budget)
    loaded, skipped = _load(
        scenario, plan, arrivals or "poisson", set_ or (), contender or (), seed
    )
    for skip in skipped:
        _say(f"skipping {skip.label}: {skip.reason}")
    if dry_run:
        _print_plan(loaded, plan)
        return EXIT_OK
    return _show(_search(loaded, plan, results, skipped), format_name)


def _plan(
    limits: dict[float, float | None],
    precision: float | None,
    from_per_s: float | None,
    budget_s: float | None,
) -> "SloPlan":
    from slotbench.records import PRECISION, Limit, SloPlan

    given = tuple(Limit(p, limit_s) for p, limit_s in limits.items() if limit_s is not None)
    return SloPlan(given, precision or PRECISION, from_per_s=from_per_s, budget_s=budget_s)


def _load(  # noqa: PLR0917  # what the command line says of the scenario
    scenario: str,
    plan: "SloPlan",
    arrivals: str,
    overrides: "Sequence[str]",
    contenders: "Sequence[str]",
    seed: int | None,
) -> "tuple[Scenario, tuple[Skipped, ...]]":
    """The scenario as an open loop, and what it goes without."""
    from slotbench import searching
    from slotbench.scenario import load
    from slotbench.session import without_missing

    if arrivals not in _ARRIVALS:
        raise SlotbenchError(f"--arrivals is {' or '.join(_ARRIVALS)}, not {arrivals!r}")
    for text in overrides:
        if text.partition("=")[0].strip().startswith("load."):
            raise ScenarioError(
                f"--set {text}: the search sets the load itself; --arrivals says how requests "
                "come, --from where it begins"
            )
    searching.check_plan(plan)
    loaded = load(
        scenario, overrides=tuple(overrides), contenders=tuple(contenders), seed=seed
    )
    loaded, skipped = without_missing(loaded)
    wanted = searching.labels_of(loaded, contenders)
    how: searching.Arrivals = "constant" if arrivals == "constant" else "poisson"
    skipped += searching.left_out(loaded, wanted)
    return searching.prepare(loaded, plan, arrivals=how, contenders=wanted), skipped


def _search(
    scenario: "Scenario", plan: "SloPlan", results: Path, skipped: "Sequence[Skipped]"
) -> Path:
    """Search under a progress bar; return the folder."""
    from slotbench import searching
    from slotbench.cli._progress import ProgressBar

    folders: list[Path] = []
    try:
        with (
            ProgressBar(searching.estimate_s(scenario, plan)) as bar,
            _executor(scenario) as executor,
        ):
            return searching.search_scenario(
                scenario,
                executor,
                results,
                plan,
                skipped=skipped,
                command=("slotbench", *sys.argv[1:]),
                on_progress=bar.update,
                on_start=folders.append,
            )
    except KeyboardInterrupt:
        _say_interrupted(folders)
        raise


def _resume(
    reference: str, results: Path, budget_s: float | None, *, allow_different: bool
) -> Path:
    """Go on under a progress bar; return the folder."""
    from slotbench import searching, store
    from slotbench.cli._progress import ProgressBar

    path = store.find(reference, results, ("slo",))
    stored = store.read_slo(path)
    searching.check_resumable(stored)
    scenario, plan = stored.record.scenario, stored.record.plan
    folders: list[Path] = []
    try:
        with (
            ProgressBar(searching.estimate_s(scenario, plan)) as bar,
            _executor(scenario) as executor,
        ):
            return searching.resume_search(
                stored.path,
                executor,
                budget_s=budget_s,
                command=("slotbench", *sys.argv[1:]),
                allow_different=allow_different,
                on_progress=bar.update,
                on_start=folders.append,
            )
    except KeyboardInterrupt:
        _say_interrupted(folders)
        raise


def _print_rest(reference: str, results: Path, *, allow_different: bool) -> None:
    """Print what a search that was broken off still has to do."""
    from slotbench import searching, store
    from slotbench.compute import slo_answer
    from slotbench.draw import units

    stored = store.read_slo(store.find(reference, results, ("slo",)))
    searching.check_resumable(stored)
    record = stored.record
    if not allow_different:
        here = store.environment.collect(record.scenario.contenders)
        store.check_same_environment(record.slo_id, record.environment, here)
    found = slo_answer.searched(record, stored.trials)
    ended = sum(not one.is_open for one in found)
    print(
        f"{record.slo_id}: {ended} of {units.count(len(found), 'contender')} in a cell searched, "
        f"{units.count(len(stored.trials), 'trial')} recorded, {len(found) - ended} left"
    )


def _executor(scenario: "Scenario") -> "LocalExecutor":
    from slotbench.measure.executor import LocalExecutor

    return LocalExecutor(scenario)


def _say_interrupted(folders: "Sequence[Path]") -> None:
    if folders:
        _say(f"interrupted; go on with: slotbench slo --resume {folders[0]}")
    else:
        _say("interrupted; nothing recorded")


def _print_plan(scenario: "Scenario", plan: "SloPlan") -> None:
    """Print what would be done: on stdout, since here it is the data."""
    from slotbench import searching
    from slotbench.compute import slo_answer
    from slotbench.draw import slo as drawn
    from slotbench.draw import units

    print(f"{scenario.name}: {scenario.title}")
    print(f"\nlimits: {' and '.join(map(drawn.limit, plan.limits))}")
    print(f"\n{units.count(len(scenario.cells), 'cell')}:")
    for cell in scenario.cells:
        print(f"  {cell.name}")
    print(f"\n{units.count(len(scenario.contenders), 'contender')}:")
    for who in scenario.contenders:
        print(f"  {who.label}")
    number = slo_answer.num_searches(scenario)
    noun = "search" if number == 1 else "searches"
    print(
        f"\n{number} {noun} of {scenario.cells[0].workload.load.arrivals} arrivals, seed "
        f"{scenario.seed}; expected duration {units.duration(searching.estimate_s(scenario, plan))}"
    )


def _show(path: Path, format_name: str) -> int:
    """Print what was found; return the exit code."""
    from slotbench import store
    from slotbench.cli._screen import stdout_screen
    from slotbench.draw import slo as drawn

    stored = store.read_slo(path)
    print(drawn.render(stored, format_name, stdout_screen()), end="")
    if format_name == "text" and not stored.trials:
        print(f"\nRecorded in {path}")
    elif format_name == "text":
        print(f"\nRecorded in {path}; a page of it: slotbench report {path}")
    else:
        _say(f"recorded in {path}")
    return _exit_code(stored)


def _exit_code(stored: "StoredSlo") -> int:
    """Return 4 or 3 where a contender has no usable trial, 4 if one of its failed; else 0.

    A closed loop, which only says where to begin, counts where nothing came after it.
    """
    codes = set()
    for cell in stored.record.scenario.cells:
        for who in stored.record.scenario.contenders:
            mine = [
                one
                for one in stored.trials
                if (one.trial.cell, one.trial.contender) == (cell.name, who.label)
            ]
            is_open = [one for one in mine if one.load_index is not None]
            own = [one.trial for one in is_open or mine]
            if own and all(trial.status == "failed" or trial.is_invalid for trial in own):
                has_failed = any(trial.status == "failed" for trial in own)
                codes.add(EXIT_TRIAL_FAILED if has_failed else EXIT_INVALID)
    return max(codes, default=EXIT_OK)


def _say(text: str) -> None:
    print(f"slotbench: {text}", file=sys.stderr)
