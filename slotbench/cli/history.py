"""``slotbench history``: one metric over all runs of a results folder, with its changes."""

from pathlib import Path
from typing import Annotated

import typer

from slotbench.cli._options import (
    RESULTS_DIR,
    Force,
    ResultsDir,
    format_of,
    parse_threshold,
)
from slotbench.errors import EXIT_GATE_FAILED, EXIT_OK, SlotbenchError


def history(
    metric: Annotated[
        str, typer.Argument(metavar="METRIC", help="One of 'slotbench list'.")
    ] = "throughput",
    *,
    results: ResultsDir = RESULTS_DIR,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only runs of this scenario; may be repeated.",
            show_default="all",
        ),
    ] = None,
    cell: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only this cell; may be repeated.", show_default="all"
        ),
    ] = None,
    contender: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL",
            help="Only this one; may be repeated.",
            show_default="all but floors",
        ),
    ] = None,
    absolute: Annotated[
        bool,
        typer.Option(
            "--absolute",
            help="Follow the values, not their ratios to each run's own baseline.",
        ),
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            parser=parse_threshold,
            help="A change below this does not matter: 3% or 0.03.",
            show_default="the scenario's",
        ),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="regression",
            help="Exit with 1 if the newest level of a series is worse than its best earlier one, the whole "
            "interval beyond the threshold.",
        ),
    ] = None,
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="text|md|json|csv|html",
            help="How to write it.",
            show_default="as the file's name ends, else text",
        ),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file to write; '-' is stdout.",
            show_default="stdout",
        ),
    ] = None,
    force: Force = False,
) -> int:
    """Follow one metric over all runs of a results folder, and mark where it changed.

    A number is a contender over its run's own baseline. Runs are put in one series only where
    machine, Python, torch, scenario and workload are the same. A change is marked where the runs before
    and after it differ by more than runs of one level do, so that a history without a change is
    marked in at most 5 % of cases. Damaged and incomplete runs are named and left out.

    Examples:
      slotbench history
      slotbench history latency_p99 --results results/reference/history
      slotbench history --scenario quickstart -o history.html
      slotbench history --fail-on regression --threshold 5%
    """
    from slotbench import api
    from slotbench.cli._screen import stdout_screen
    from slotbench.draw import history as words

    if fail_on not in {None, "regression"}:
        raise SlotbenchError(
            f"a history cannot fail on {fail_on!r}: it is --fail-on regression"
        )
    is_file = output is not None and str(output) != "-"
    name = format_name or "text"
    if not format_name and is_file and output is not None:
        name = format_of(output, "a history", ("html", "md", "json", "csv", "text"))
    if name not in {*words.FORMATS, "html"}:
        raise SlotbenchError(
            f"unknown format {name!r}: a history is {', '.join(words.FORMATS)} or html"
        )
    found = api.history(
        metric,
        results_dir=results,
        scenario=tuple(scenario or ()),
        cell=tuple(cell or ()),
        contender=tuple(contender or ()),
        absolute=absolute,
        threshold=threshold,
    )
    if name == "text" and not is_file:
        text = words.render(found.record, name, stdout_screen())
    else:
        text = found.render(name)
    if is_file and output is not None:
        from slotbench.store.output import write_file

        write_file(output, text.encode("utf-8", "replace"), force=force)
        print(output)
    else:
        print(text, end="")
    return EXIT_GATE_FAILED if fail_on and found.regressed else EXIT_OK
