"""``slotbench report``: recorded runs, profiles and SLO searches as one document."""

from pathlib import Path
from typing import Annotated

import typer

from slotbench.cli._options import (
    RESULTS_DIR,
    Baseline,
    Force,
    MetricThreshold,
    ResultsDir,
    Thresholds,
    format_of,
)
from slotbench.cli._recorded import RECORDED_HELP, read_recorded
from slotbench.errors import SlotbenchError


def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN...",
            help=f"{RECORDED_HELP} Several are told one after the other, and runs compared with "
            "the first run.",
            show_default="newest",
        ),
    ] = None,
    *,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="html|md",
            help="How to write it.",
            show_default="as the file's name ends, else html",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file to write; '-' is stdout.",
            show_default="named after the run, in the current folder",
        ),
    ] = None,
    baseline: Baseline = None,
    threshold: Thresholds = None,
    force: Force = False,
    results: ResultsDir = RESULTS_DIR,
) -> None:
    """Write a report of runs, profiles and SLO searches: the answer in words, then what it rests on.

    The HTML is one file that needs no network: plots with their data, what was left out and
    why, every cell in full, and how to reproduce it. The Markdown has no plots. Nothing is
    measured. A profile's timelines and other files are linked, not held. stdout names the file.

    Examples:
      slotbench report
      slotbench report grid --results results/reference -o grid.html
      slotbench report OLD_RUN NEW_RUN PROFILE --format md -o -
    """
    from slotbench import frames
    from slotbench import report as document

    found = [read_recorded(one, results) for one in runs or ("newest",)]
    name = format_name
    if name is None:
        is_file = output is not None and str(output) != "-" and not output.is_dir()
        name = "html"
        if output is not None and is_file:
            name = format_of(output, "a report", ("html", "md"))
    path = output or Path(f"{_name([frames.id_of(stored) for stored in found])}.{name}")
    text = document.render(
        found,
        name,
        baseline=baseline,
        threshold=_threshold(threshold or []),
        page_dir=None if str(path) == "-" else path.parent,
    )
    if str(output) == "-":
        print(text, end="")
        return
    from slotbench.store.output import write_file

    write_file(path, text.encode("utf-8", "replace"), force=force)
    print(path)


def _threshold(given: list[MetricThreshold]) -> float | None:
    """The one δ of a report; the last one given holds."""
    for one in given:
        if one.metric is not None:
            raise SlotbenchError(
                f"a report has one threshold for all metrics: write --threshold "
                f"{100 * one.ratio:g}%"
            )
    return given[-1].ratio if given else None


def _name(run_ids: list[str]) -> str:
    from slotbench.exports._text import file_name

    more = f"-and-{len(run_ids) - 1}-more" if len(run_ids) > 1 else ""
    return file_name(run_ids[0]) + more
