"""``slotbench compare``: verdicts inside one run."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from slotbench.cli._options import RESULTS_DIR, ResultsDir, RunReference, Threshold
from slotbench.errors import EXIT_INVALID, EXIT_OK, RecordError


def compare(
    run: RunReference = None,
    *,
    results: ResultsDir = RESULTS_DIR,
    format_name: Annotated[
        str, typer.Option("--format", metavar="text|md|json|csv", help="How to write it.")
    ] = "text",
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL",
            help="Compare with this contender.",
            show_default="the scenario's",
        ),
    ] = None,
    threshold: Threshold = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Compare by this metric; may be repeated.",
            show_default="throughput, p50 and p99 latency",
        ),
    ] = None,
) -> int:
    """Say who is faster in a run, by how much, and how sure that is.

    Every contender is compared with the run's baseline inside each cell, block by block.
    A difference counts when its 95 % interval lies beyond no difference, and matters when
    it exceeds the threshold. Exit code 3: every trial of the run is INVALID.

    Examples:
      slotbench compare
      slotbench compare 3fa9c1 --format md > comparison.md
      slotbench compare quickstart --results results/reference --threshold 5%
    """
    return show_comparison(
        run,
        results,
        format_name=format_name,
        baseline=baseline,
        threshold=threshold,
        metrics=metric,
    )


def show_comparison(
    run: str | Path | None,
    results: Path,
    *,
    format_name: str = "text",
    baseline: str | None = None,
    threshold: float | None = None,
    metrics: list[str] | None = None,
) -> int:
    """Write the comparison to stdout and notes to stderr.

    Returns:
        The exit code: EXIT_INVALID where every trial is INVALID, else EXIT_OK.

    Raises:
        SlotbenchError: there is no such run, contender, metric or format.
    """
    from slotbench import draw
    from slotbench.api import load
    from slotbench.cli._screen import stdout_screen

    loaded = load(run, results_dir=results)
    for note in loaded.notes:
        print(f"slotbench: note: {note}", file=sys.stderr)
    trials = loaded.stored.trials
    if not trials:
        raise RecordError(f"{loaded.path} holds no trials yet: there is nothing to compare")
    comparison = loaded.compare(baseline, threshold, metrics=metrics or None)
    print(draw.render(comparison, format_name, stdout_screen()), end="")
    return EXIT_INVALID if all(trial.is_invalid for trial in trials) else EXIT_OK
