"""Options and arguments that commands share, each declared once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from slotbench.errors import SlotbenchError


def parse_threshold(text: str) -> float:
    """Read "3%" or "0.03" as the ratio 0.03.

    Raises:
        typer.BadParameter: it is no number, or not between 0 and 100 %.
    """
    number, percent = text.strip(), 1.0
    if number.endswith("%"):
        number, percent = number[:-1], 100.0
    try:
        ratio = float(number) / percent
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number: write 3% or 0.03") from None
    if not 0.0 < ratio < 1.0:
        raise typer.BadParameter(f"{text!r} is not between 0 and 100 %: write 3% or 0.03")
    return ratio


def parse_duration(text: str) -> float:
    """Read "2ms", "800us" or "10m" as seconds.

    Raises:
        typer.BadParameter: it is no number above 0 with a unit behind it.
    """
    from slotbench.compute import durations

    try:
        return durations.parse_s(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


_ENDINGS: Final = {
    "html": (".html", ".htm"),
    "md": (".md",),
    "json": (".json",),
    "csv": (".csv",),
    "text": (".txt",),
}


def format_of(output: Path, noun: str, formats: Sequence[str]) -> str:
    """What format a file's ending asks for.

    Args:
        output: the file.
        noun: what is written, for messages: "a report".
        formats: those that there are.

    Raises:
        SlotbenchError: another ending.
    """
    known = {ending: name for name in formats for ending in _ENDINGS[name]}
    if output.suffix.lower() not in known:
        raise SlotbenchError(
            f"{output}: {noun} ends in {', '.join(known)}, or say which with --format"
        )
    return known[output.suffix.lower()]


def given(context: typer.Context) -> Iterator[str]:
    """Names of the options that stand on the command line."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            yield name


@dataclass(frozen=True, slots=True)
class MetricThreshold:
    """One ``--threshold``.

    Attributes:
        metric: that it is for; None is every metric that has none of its own.
        ratio: δ, between 0 and 1.
    """

    metric: str | None
    ratio: float


def parse_metric_threshold(text: str) -> MetricThreshold:
    """Read "3%" or "latency_p99=10%".

    Raises:
        typer.BadParameter: as `parse_threshold`, or nothing stands before the "=".
    """
    name, equals, ratio = text.rpartition("=")
    if equals and not name.strip():
        raise typer.BadParameter(f"{text!r} names no metric: write latency_p99=10%")
    return MetricThreshold(name.strip() or None, parse_threshold(ratio))


ResultsDir = Annotated[
    Path, typer.Option("--results", metavar="DIR", help="The folder that holds the runs.")
]
RESULTS_DIR = Path("results")

RUN_HELP: Final = "A run's id, the beginning or end of one, its folder, a scenario (its newest run), or 'newest'."

RunReference = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help=RUN_HELP,
        show_default="newest",
    ),
]

SetFields = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUES",
        help="Fix a field, or replace an axis, in every grid; repeatable.",
    ),
]

Thresholds = Annotated[
    list[MetricThreshold] | None,
    typer.Option(
        "--threshold",
        metavar="[METRIC=]RATIO",
        parser=parse_metric_threshold,
        help="A difference below this does not matter: 3%, 0.03 or latency_p99=10%; may be repeated.",
        show_default="the scenario's",
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="LABEL",
        help="Compare with this contender.",
        show_default="the scenario's",
    ),
]

Force = Annotated[bool, typer.Option("--force", help="Replace files that exist already.")]
