"""``slotbench plot``: one plot of a recorded run or profile, as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from slotbench.cli._options import RESULTS_DIR, Baseline, Force, ResultsDir
from slotbench.cli._recorded import EITHER, RECORDED_HELP, read_recorded
from slotbench.errors import RecordError, SlotbenchError

if TYPE_CHECKING:
    from slotbench.store import StoredProfile, StoredRun, StoredSlo

SUFFIXES: Final = ("png", "svg", "pdf")


def plot(  # a command's options, given by name
    run: Annotated[str, typer.Argument(metavar="RUN", help=RECORDED_HELP)],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="One of those at the end of this help.")
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help=f"The picture: {', '.join(SUFFIXES)} by its ending.",
            show_default="a PNG named after run and plot, in the current folder",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AXIS=VALUE", help="Only the cells of this value; may be repeated."
        ),
    ] = None,
    contender: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Draw this one and no other; may be repeated."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of plots of a metric: which of 'slotbench list'.",
            show_default="throughput",
        ),
    ] = None,
    baseline: Baseline = None,
    force: Force = False,
    results: ResultsDir = RESULTS_DIR,
) -> None:
    """Draw one plot of a recorded run, profile or SLO search; nothing is measured.

    What one picture cannot hold side by side (each cell's latencies, say) is drawn in parts.
    stdout names the file.

    Examples:
      slotbench plot newest throughput
      slotbench plot grid ratio_map --results results/reference -o map.svg
      slotbench plot grid latency --where num_slots=64 --where model.latency_ms=1
    """
    from slotbench import frames, plots

    drawn = plots.get(name)
    stored = _read(run, results, drawn.of)
    if not stored.trials:
        raise SlotbenchError(f"{stored.path} holds no trials yet: there is nothing to draw")
    path = output or Path(f"{_file_name(frames.id_of(stored))}-{name}.png")
    suffix = path.suffix.removeprefix(".").lower()
    if suffix not in SUFFIXES:
        raise SlotbenchError(
            f"{path}: a picture ends in {', '.join(f'.{one}' for one in SUFFIXES)}"
        )
    options: dict[str, Any] = {"metric": metric, "baseline": baseline}
    figure = plots.figure(
        drawn, stored, _where(where or []), contenders=tuple(contender or ()), **options
    )
    _save(figure, path, suffix, force=force)
    print(path)


def plots_help() -> str:
    """Name the plots for the end of the help."""
    from slotbench import plots

    return f"Plots: {', '.join(plots.available())}. 'slotbench list' says what each shows."


def _read(
    reference: str, results: Path, kind: str
) -> "StoredRun | StoredProfile | StoredSlo":
    """Read the newest of what the plot is of; or what was named, to be refused if it is not."""
    try:
        return read_recorded(reference, results, (kind,))
    except RecordError:
        if reference == "newest":
            raise
        return read_recorded(reference, results, EITHER)


def _where(given: list[str]) -> dict[str, list[str]]:
    """Read "num_slots=64"; of several for the same axis any will do."""
    found: dict[str, list[str]] = {}
    for text in given:
        axis, equals, value = text.partition("=")
        if not equals or not axis.strip() or not value.strip():
            raise typer.BadParameter(f"{text!r}: write --where num_slots=64")
        found.setdefault(axis.strip(), []).append(value.strip())
    return found


def _save(figure: Any, path: Path, suffix: str, *, force: bool) -> None:
    import io

    from slotbench.store.output import check_free, write_file

    check_free(path, force=force)
    target = io.BytesIO()
    metadata = {"Date": None} if suffix == "svg" else {}
    figure.savefig(target, format=suffix, dpi=150, metadata=metadata)
    write_file(path, target.getvalue(), force=force)


def _file_name(run_id: str) -> str:
    from slotbench.exports._text import file_name

    return file_name(run_id)
