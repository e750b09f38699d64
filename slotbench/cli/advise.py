"""``slotbench advise``: which transport and settings for these environments and this policy."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from slotbench.cli._options import RESULTS_DIR, Force, ResultsDir, format_of, given
from slotbench.errors import EXIT_OK

_SCENARIO = "--scenario"


def advise(  # noqa: PLR0917  # a command's options, given by name
    context: typer.Context,
    num_envs: Annotated[
        int | None,
        typer.Option(
            "--num-envs",
            metavar="N",
            help="Environments, an actor thread each.",
            show_default="required",
        ),
    ] = None,
    step_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            help="Mean time of one environment's step.",
            show_default="no time",
        ),
    ] = None,
    step_cv: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            help="Standard deviation of step times over their mean; 0 is always the same.",
            show_default="0.3",
        ),
    ] = None,
    step_distribution: Annotated[
        str | None,
        typer.Option(
            metavar="constant|exponential|lognormal",
            help="How step times scatter.",
            show_default="what --step-cv asks for",
        ),
    ] = None,
    step_mode: Annotated[
        str,
        typer.Option(
            metavar="idle|busy|busy_nogil",
            help="A step waits (or runs in another process); computes in Python; computes "
            "without the GIL.",
        ),
    ] = "idle",
    environment: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="A Gymnasium environment, which is timed, instead of these.",
            show_default="none",
        ),
    ] = None,
    observation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]DTYPE[SHAPE]",
            help="A leaf of an observation, as float32[84,84,4] or pixels=uint8[3,84,84]; repeatable.",
            show_default="float32[8]",
        ),
    ] = None,
    policy_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            help="What the policy takes for a batch, whatever it holds.",
            show_default="0",
        ),
    ] = None,
    policy_per_item_ms: Annotated[
        float | None,
        typer.Option(metavar="MS", help="What each row adds.", show_default="0"),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="Your policy, which is timed, instead of the two.",
            show_default="none",
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
    no_measure: Annotated[
        bool,
        typer.Option(
            "--no-measure",
            help="Forecast only; time nothing, this machine included, but what was not given.",
        ),
    ] = False,
    rounds: Annotated[
        int | None,
        typer.Option(help="Of the race.", show_default="5, fewer where --seconds is short"),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            help="How long the race may take, about; blocks measured again come to it. Too few for "
            "5 rounds (a minute, or more) mean fewer rounds, then one batching rule; no race takes less "
            "than about 15 s."
        ),
    ] = 90.0,
    results: ResultsDir = RESULTS_DIR,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="text|md|json",
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
    scenario: Annotated[
        Path | None,
        typer.Option(
            _SCENARIO, metavar="FILE", help="Write what is raced as a scenario, too."
        ),
    ] = None,
    force: Force = False,
) -> int:
    """Say which transport, batch sizes and timeout to use, and what throughput to expect.

    From the number of environments, the time of a step, the observation and the policy's time. A
    simulation says what each transport would serve under each batching rule; then a short race
    of the best of them checks it, recorded as any run. Where the two disagree the race is followed. Options
    that may be used only where something holds, such as slot[inline], are named beside.

    Examples:
      slotbench advise --num-envs 64 --step-ms 5 --policy-ms 20 --policy-per-item-ms 0.1
      slotbench advise --num-envs 16 --environment CartPole-v1 --policy my.module:policy
      slotbench advise --num-envs 256 --step-ms 2 --step-mode busy --policy-ms 1 --no-measure
      slotbench advise --num-envs 32 --observation 'uint8[3,84,84]' --policy-ms 3 --max-latency-ms 20
    """
    if num_envs is None:
        if not any(given(context)):
            print(context.get_help())
            return EXIT_OK
        raise typer.BadParameter("how many environments? give --num-envs")
    from slotbench.api import advise as ask
    from slotbench.cli._screen import stdout_screen
    from slotbench.draw import recommendation
    from slotbench.store.output import check_free, write_file

    if format_name is None:
        format_name = (
            "text"
            if output is None
            else format_of(output, "advice", ("md", "json", "text"))
        )
    recommendation.check_format(format_name)
    if output is not None:
        check_free(output, force=force)
    if scenario is not None:
        check_free(scenario, force=force, option=_SCENARIO)
    from slotbench.cli._progress import ProgressBar

    # What a cluster's scheduler sends ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    expected_s = 8.0 if no_measure else seconds + 8.0
    try:
        with ProgressBar(expected_s) as bar:
            found = ask(
                num_envs,
                step_ms=step_ms,
                step_cv=step_cv,
                step_distribution=step_distribution,
                step_mode=step_mode,
                environment=environment,
                observation=observation or (),
                policy_ms=policy_ms,
                policy_per_item_ms=policy_per_item_ms,
                policy=policy,
                max_latency_ms=max_latency_ms,
                measure=not no_measure,
                rounds=rounds,
                seconds=seconds,
                results_dir=results,
                command=("slotbench", *sys.argv[1:]),
                on_progress=bar.update,
            )
    except KeyboardInterrupt:
        _say("interrupted; what was raced is under the results folder")
        raise
    if scenario is not None:
        write_file(scenario, found.scenario.encode("utf-8"), force=force, option=_SCENARIO)
        _say(f"the scenario is in {scenario}: slotbench run {scenario}")
    if output is not None:
        text = recommendation.render(found.record, format_name)
        write_file(output, text.encode("utf-8"), force=force)
        _say(f"the advice is in {output}")
    else:
        print(recommendation.render(found.record, format_name, stdout_screen()), end="")
    return EXIT_OK


def _say(text: str) -> None:
    print(f"slotbench: {text}", file=sys.stderr)
