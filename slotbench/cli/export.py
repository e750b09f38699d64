"""``slotbench export``: a recorded run, written for other tools."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from slotbench import exports
from slotbench.cli._options import RESULTS_DIR, RUN_HELP, Force, ResultsDir


def export(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help=RUN_HELP),
    ],
    format_name: Annotated[
        str, typer.Argument(metavar="FORMAT", help="One of those at the end of this help.")
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="The file or folder to write.",
            show_default="named after the run, in the current folder",
        ),
    ] = None,
    force: Force = False,
    results: ResultsDir = RESULTS_DIR,
) -> None:
    """Write a recorded run in another tool's format; nothing is measured.

    The trials are those that a comparison uses: INVALID and failed ones, and the baseline's
    second arm, are left out and counted (the tables hold all, with columns that say so).
    stdout names the files, one a line. Exit code 3: every trial of the run is INVALID.

    Examples:
      slotbench export newest csv
      slotbench export quickstart pyperf -o pyperf --results results/reference
      slotbench export 3fa9c1 benchfmt -o run.txt && benchstat -col /contender run.txt
    """
    from slotbench import store

    stored = store.read(store.find(run, results))
    for note in stored.notes:
        print(f"slotbench: note: {note}", file=sys.stderr)
    written = exports.export(stored, format_name, output, force=force)
    for note in written.notes:
        print(f"slotbench: {note}", file=sys.stderr)
    for path in written.paths:
        print(path)


def formats_help() -> str:
    r"""List the formats for the end of the help; "\b" keeps the lines as they are."""
    names = exports.available()
    width = max(map(len, names))
    lines = [f"  {name.ljust(width)}  {exports.summary(name)}" for name in names]
    return "\n".join(["\b", "Formats:", *lines])
