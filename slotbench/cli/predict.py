"""``slotbench predict``: what a workload would serve under what is supposed, up to 100 000 environments."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from slotbench.cli._options import RESULTS_DIR, Force, ResultsDir, format_of, given
from slotbench.errors import EXIT_OK

if TYPE_CHECKING:
    from slotbench.api import CheckedPredictions, Predicted
    from slotbench.measure.runner import Progress

_FROM: Final = "--from"
_CHECK: Final = "--check"
_EXPECTED_S: Final = 5.0
"""Of the whole, until the first rows have been timed."""
_SILENT_S: Final = 2.0
"""What takes no longer needs no bar."""


def numbers(text: str, option: str, kind: type = float) -> list[float]:
    """Read "1,2,4".

    Raises:
        typer.BadParameter: one of them is no number of the kind.
    """
    found = []
    for one in text.split(","):
        try:
            found.append(kind(one.strip()))
        except ValueError:
            what = "whole number" if kind is int else "number"
            raise typer.BadParameter(
                f"{option} {text!r}: {one.strip()!r} is no {what}: write one, or several as 1,2,4"
            ) from None
    return found


def names(text: str) -> list[str]:
    """Read "slot[a=1,b=2],threading": commas inside brackets belong to a label."""
    found, depth = [""], 0
    for sign in text:
        depth += (sign == "[") - (sign == "]")
        if sign == "," and depth == 0:
            found.append("")
        else:
            found[-1] += sign
    return [one.strip() for one in found]


def predict(  # noqa: PLR0917  # a command's options, given by name
    context: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN...", help="With --check: recorded runs.", show_default="none"
        ),
    ] = None,
    num_envs: Annotated[
        str | None,
        typer.Option(
            metavar="N,…",
            help="Environments, an actor each, up to 100000.",
            show_default="required, or the run's",
        ),
    ] = None,
    step_ms: Annotated[
        str | None,
        typer.Option(
            metavar="MS,…",
            help="Mean time of one environment's step.",
            show_default="no time",
        ),
    ] = None,
    step_distribution: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="How step times scatter: constant, exponential, lognormal.",
            show_default="lognormal",
        ),
    ] = None,
    step_sigma: Annotated[
        str | None,
        typer.Option(
            metavar="SIGMA,…",
            help="Of lognormal step times: standard deviation of the logarithm.",
            show_default="0.294",
        ),
    ] = None,
    step_mode: Annotated[
        str | None,
        typer.Option(
            metavar="idle|busy|busy_nogil",
            help="A step waits (or runs in another process); computes in Python; computes "
            "without the GIL.",
            show_default="idle",
        ),
    ] = None,
    reset_every: Annotated[
        str | None,
        typer.Option(
            metavar="STEPS,…", help="Steps of an episode.", show_default="no resets"
        ),
    ] = None,
    reset_ms: Annotated[
        str | None,
        typer.Option(
            metavar="MS,…", help="What a reset adds to its step.", show_default="none"
        ),
    ] = None,
    policy_ms: Annotated[
        str | None,
        typer.Option(
            metavar="MS,…",
            help="What the policy takes for a batch, whatever it holds.",
            show_default="0",
        ),
    ] = None,
    policy_per_item_ms: Annotated[
        str | None,
        typer.Option(metavar="MS,…", help="What each row adds.", show_default="0"),
    ] = None,
    policy_distribution: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="How a batch's time scatters about that: as of steps.",
            show_default="constant",
        ),
    ] = None,
    policy_sigma: Annotated[
        str | None,
        typer.Option(
            metavar="SIGMA,…", help="Of lognormal policy times.", show_default="0.5"
        ),
    ] = None,
    min_batch: Annotated[
        str | None,
        typer.Option(
            metavar="N,…",
            help="Least batch; n* is the one at which requests are made as fast as served.",
            show_default="1",
        ),
    ] = None,
    max_batch: Annotated[
        str | None, typer.Option(metavar="N,…", help="Largest batch.", show_default="64")
    ] = None,
    timeout_ms: Annotated[
        str | None,
        typer.Option(
            metavar="MS,…",
            help="How long a batch below the least is waited for, from when its oldest request "
            "could have been taken.",
            show_default="10",
        ),
    ] = None,
    servers: Annotated[
        str | None,
        typer.Option(
            metavar="N,…",
            help="Servers, each with the policy to itself.",
            show_default="1",
        ),
    ] = None,
    queues: Annotated[
        str | None,
        typer.Option(
            metavar="shared,own",
            help="Several servers take batches off one queue; or each is a process with a transport "
            "and an equal share of the environments.",
            show_default="shared",
        ),
    ] = None,
    transport: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL,…",
            help="Add what this transport costs, as fitted to recorded runs.",
            show_default="none, which costs nothing",
        ),
    ] = None,
    observation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]DTYPE[SHAPE]",
            help="A leaf of an observation, of which a transport's cost depends; repeatable.",
            show_default="float32[8]",
        ),
    ] = None,
    cpus: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Processors, for steps that compute.",
            show_default="as many as wanted, or the run's",
        ),
    ] = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            help="99 % of replies are to come within this.",
            show_default="no limit",
        ),
    ] = None,
    from_run: Annotated[
        str | None,
        typer.Option(
            _FROM,
            metavar="RUN",
            help="Take times and the batching rule from this recorded run, where none is given.",
            show_default="none",
        ),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The cell of that run.", show_default="its only one"
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            _CHECK, help="Predict what was measured in RUN, and say how good that was."
        ),
    ] = False,
    results: ResultsDir = RESULTS_DIR,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="text|md|json|csv",
            help="How to write it.",
            show_default="what the output's ending says; text",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write it there.",
            show_default="to stdout",
        ),
    ] = None,
    force: Force = False,
) -> int:
    """Predict throughput and latency by simulation: up to 100 000 environments and many servers.

    Nothing is measured. Every option with several values is an axis: each combination is a row, and the
    best one for what is given is marked. What the model has and has not, and how good it was
    where it could be held against measurements, is in docs/predict.md.

    Examples:
      slotbench predict --num-envs 1000,10000 --step-ms 5 --policy-ms 20 --policy-per-item-ms 0.1 --servers 1,4,16 --max-batch 1024
      slotbench predict --num-envs 256 --step-ms 5 --step-sigma 0.3,1 --policy-ms 20 --min-batch '1,n*' --transport slot,threading
      slotbench predict --from rl_pixels_8 --results results/reference --num-envs 8,64 --servers 1,2 --transport none,slot
      slotbench predict grid losses --check --results results/reference
    """
    stated = set(given(context))
    if not stated:
        print(context.get_help())
        return EXIT_OK
    from slotbench.draw import told

    if format_name is None:
        format_name = (
            "text"
            if output is None
            else format_of(output, "a prediction", ("md", "json", "text", "csv"))
        )
    told.check_format(format_name)
    if output is not None:
        from slotbench.store.output import check_free

        check_free(output, force=force)
    if check:
        others = sorted(
            stated - {"runs", "check", "results", "format_name", "output", "force"}
        )
        if others or not runs:
            option = f"--{others[0].replace('_', '-')}" if others else ""
            raise typer.BadParameter(
                "--check needs a RUN"
                if not runs
                else f"--check takes all from its RUN: leave out {option.replace('--from-run', _FROM)}"
            )
        return _write(_check(runs, results), format_name, output, force=force)
    if runs:
        raise typer.BadParameter(
            f"{runs[0]}: say {_FROM} {runs[0]} to take its times, or add {_CHECK} to predict it"
        )
    from slotbench.api import predict as ask

    def of(text: str | None, option: str, kind: type = float) -> "list[float] | None":
        return None if text is None else numbers(text, option, kind)

    def words(text: str | None) -> list[str] | None:
        return None if text is None else names(text)

    least = None
    if min_batch is not None:
        least = [
            one if one == "n*" else int(numbers(one, "--min-batch", int)[0])
            for one in names(min_batch)
        ]
    with _Bar("rows") as bar:
        found = ask(
            of(num_envs, "--num-envs", int),  # type: ignore[arg-type]  # whole numbers
            step_ms=of(step_ms, "--step-ms"),
            step_distribution=words(step_distribution),
            step_sigma=of(step_sigma, "--step-sigma"),
            step_mode=step_mode,
            reset_every=of(reset_every, "--reset-every", int),  # type: ignore[arg-type]
            reset_ms=of(reset_ms, "--reset-ms"),
            policy_ms=of(policy_ms, "--policy-ms"),
            policy_per_item_ms=of(policy_per_item_ms, "--policy-per-item-ms"),
            policy_distribution=words(policy_distribution),
            policy_sigma=of(policy_sigma, "--policy-sigma"),
            min_batch=least,
            max_batch=of(max_batch, "--max-batch", int),  # type: ignore[arg-type]
            timeout_ms=of(timeout_ms, "--timeout-ms"),
            servers=of(servers, "--servers", int),  # type: ignore[arg-type]
            queues=words(queues),
            transport=words(transport),
            observation=observation or (),
            cpus=cpus,
            max_latency_ms=max_latency_ms,
            run=from_run,
            cell=cell,
            results_dir=results,
            command=("slotbench", *sys.argv[1:]),
            on_progress=bar.update,
        )
    return _write(found, format_name, output, force=force)


def _check(runs: list[str], results: Path) -> "CheckedPredictions":
    from slotbench.api import check_predictions

    with _Bar("contenders in cells") as bar:
        return check_predictions(
            runs,
            results_dir=results,
            command=("slotbench", *sys.argv[1:]),
            on_progress=bar.update,
        )


def _write(
    found: "Predicted | CheckedPredictions",
    format_name: str,
    output: Path | None,
    *,
    force: bool,
) -> int:
    from slotbench.cli._screen import stdout_screen
    from slotbench.draw import prediction_check, what_if
    from slotbench.draw.screen import PAPER
    from slotbench.records import WhatIf
    from slotbench.store.output import write_file

    record = found.record
    screen = stdout_screen() if output is None else PAPER
    text = (
        what_if.render(record, format_name, screen)
        if isinstance(record, WhatIf)
        else prediction_check.render(record, format_name, screen)
    )
    if output is None:
        print(text, end="")
        return EXIT_OK
    write_file(output, text.encode("utf-8"), force=force)
    print(f"slotbench: the prediction is in {output}", file=sys.stderr)
    return EXIT_OK


class _Bar:
    """A progress bar that nobody sees where all is done at once."""

    def __init__(self, counted: str) -> None:
        from slotbench.cli._progress import ProgressBar

        self._bar = ProgressBar(_EXPECTED_S, counted)
        self._began = time.monotonic()

    def __enter__(self) -> "_Bar":
        self._bar.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.__exit__(*exc_info)

    def update(self, state: "Progress") -> None:
        """Show how far it is."""
        if time.monotonic() - self._began >= _SILENT_S:
            self._bar.update(state)
