"""``slotbench profile``: why a contender is as fast as it is."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slotbench.cli._options import RESULTS_DIR, ResultsDir, SetFields
from slotbench.errors import EXIT_INVALID, EXIT_OK, EXIT_TRIAL_FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slotbench.records import Scenario, Skipped
    from slotbench.store import StoredProfile


def profile(
    scenario: Annotated[
        str,
        typer.Argument(metavar="SCENARIO", help="A scenario's name or its TOML file."),
    ],
    *,
    set_: SetFields = None,
    contender: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONTENDER",
            help="Profile this one (and no other but the baseline); repeatable.",
        ),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(min=1, help="How often each pass is made of each contender."),
    ] = 3,
    seed: Annotated[int | None, typer.Option(help="Seed of order and think times.")] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Run an optional profiler, too, one of those at the end of this help; "
            "may be repeated.",
        ),
    ] = None,
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="LABEL LABEL",
            help="The two contenders whose difference is explained.",
            show_default="the baseline and the fastest",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the passes and the duration; stop.")
    ] = False,
    results: ResultsDir = RESULTS_DIR,
) -> int:
    """Profile a scenario: the life of a request, what it costs, and what explains a difference.

    Extra trials with probes, which no comparison ever uses: how long each phase of a request
    takes; locks, objects, copies, torch operations, context switches and CPU time per request;
    who waits for the GIL; and a timeline that opens in https://ui.perfetto.dev. What the
    probes themselves cost is measured and shown. 'slotbench show' and 'slotbench report' show
    a recorded profile again. Exit code 3: a trial was INVALID; 4: a trial failed.

    Examples:
      slotbench profile quickstart
      slotbench profile quickstart --contender slot --set model.latency_ms=0
      slotbench profile grid --set num_slots=64 --between threading slot --tool flame
    """
    from slotbench.draw.profile import check_between
    from slotbench.profiling import tools
    from slotbench.scenario import load
    from slotbench.session import without_missing

    tool_names = tuple(dict.fromkeys(tool or ()))
    for name in tool_names:
        tools.get(name)
    # The user's own modules can be profiled, but never hide an installed one.
    sys.path.append(str(Path.cwd()))
    loaded = load(
        scenario,
        overrides=tuple(set_ or ()),
        contenders=tuple(contender or ()),
        seed=seed,
    )
    loaded, skipped = without_missing(loaded)
    check_between(between, [who.label for who in loaded.contenders])
    for skip in skipped:
        _say(f"skipping {skip.label}: {skip.reason}")
    for name in tool_names:
        if problem := tools.get(name).missing():
            _say(f"note: {problem}")
    if dry_run:
        _print_plan(loaded, rounds, tool_names)
        return EXIT_OK
    path = _measure(loaded, results, rounds, tool_names, skipped, between)
    return _report(path)


def tools_help() -> str:
    """Name the optional profilers for the end of the help."""
    from slotbench.profiling import tools

    listed = "; ".join(f"{name}: {tools.get(name).SUMMARY}" for name in tools.available())
    return f"Tools: {listed}."


def _measure(  # noqa: PLR0917  # what one call of it needs
    scenario: "Scenario",
    results: Path,
    rounds: int,
    tool_names: "Sequence[str]",
    skipped: "Sequence[Skipped]",
    between: tuple[str, str] | None,
) -> Path:
    """Measure under a progress bar; return the profile's folder."""
    from slotbench import profiles
    from slotbench.cli._progress import ProgressBar
    from slotbench.measure.executor import LocalExecutor

    folders: list[Path] = []
    # What a cluster's scheduler sends ends a profile as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    expected_s = profiles.estimate_s(scenario, rounds, tool_names)
    try:
        with ProgressBar(expected_s) as bar, LocalExecutor(scenario) as executor:
            return profiles.profile_scenario(
                scenario,
                executor,
                results,
                rounds=rounds,
                tool_names=tool_names,
                between=between,
                skipped=skipped,
                command=("slotbench", *sys.argv[1:]),
                on_progress=bar.update,
                on_start=folders.append,
            )
    except KeyboardInterrupt:
        where = f"what was recorded is in {folders[0]}" if folders else "nothing recorded"
        _say(f"interrupted; {where}")
        raise


def _print_plan(scenario: "Scenario", rounds: int, tool_names: "Sequence[str]") -> None:
    """Print what would be done: on stdout, since here it is the data."""
    from slotbench import profiles
    from slotbench.draw import units
    from slotbench.records import PASSES

    print(f"{scenario.name}: {scenario.title}")
    print(f"\n{units.count(len(scenario.cells), 'cell')}:")
    for cell in scenario.cells:
        print(f"  {cell.name}")
    print(f"\n{units.count(len(scenario.contenders), 'contender')}:")
    for who in scenario.contenders:
        print(f"  {who.label}")
    print(f"\n{len(PASSES)} passes: {', '.join(PASSES)}")
    if tool_names:
        print(f"\n{units.count(len(tool_names), 'tool')}: {', '.join(tool_names)}")
    number = profiles.num_trials(scenario, rounds)
    expected_s = profiles.estimate_s(scenario, rounds, tool_names)
    print(
        f"\n{units.count(number, 'trial')} in {units.count(rounds, 'round')}, seed "
        f"{scenario.seed}; expected duration {units.duration(expected_s)}"
    )


def _report(path: Path) -> int:
    """Print what was found; return the exit code."""
    from slotbench import store
    from slotbench.cli._screen import stdout_screen
    from slotbench.draw import profile as drawn

    stored = store.read_profile(path)
    print(drawn.show(stored, stdout_screen()), end="")
    print(f"\nRecorded in {path}; a page of it: slotbench report {path}")
    return _exit_code(stored)


def _exit_code(stored: "StoredProfile") -> int:
    """Return 4 if a trial failed, else 3 if one was INVALID, else 0."""
    trials = [one.trial for one in stored.trials]
    if any(trial.status == "failed" for trial in trials):
        return EXIT_TRIAL_FAILED
    return EXIT_INVALID if any(trial.is_invalid for trial in trials) else EXIT_OK


def _say(text: str) -> None:
    print(f"slotbench: {text}", file=sys.stderr)
