"""``slotbench check``: which guarantees a transport keeps, and what breaks the others."""

import signal
import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from slotbench.errors import (
    EXIT_CHECK_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    ContenderError,
    SlotbenchError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from slotbench.measure.runner import Progress
    from slotbench.records import Conformance, Contender

_CONTENDER_S: Final = 30.0
"""What all checks of a contender take, about; for the first estimate of the time left."""


def check(
    contender: Annotated[
        list[str] | None,
        typer.Argument(metavar="CONTENDER", help="What to check.", show_default=False),
    ] = None,
    *,
    check_names: Annotated[
        list[str] | None,
        typer.Option("--check", metavar="NAME", help="Only this check; repeatable."),
    ] = None,
    list_only: Annotated[
        bool, typer.Option("--list", help="Show the checks and their promises; stop.")
    ] = False,
    format_name: Annotated[
        str, typer.Option("--format", metavar="text|md|json", help="How to write it.")
    ] = "text",
) -> int:
    """Check which guarantees a transport keeps.

    Every check runs in a process of its own, which is killed after 30 s.
    Ctrl-C shows what was found until then.
    Exit code 0: all passed, or do not apply (n/a); 1: a check failed; 4: the process that
    makes them did not start; 130: interrupted.

    Examples:
      slotbench check slot 'slot[preallocate]' torchrl.slot
      slotbench check my.module:factory --check replies-match-requests
      slotbench check --list
    """
    from slotbench.cli._screen import stdout_screen
    from slotbench.draw import findings

    findings.check_format(format_name)
    # The user's own modules can be checked, but never hide an installed one.
    sys.path.append(str(Path.cwd()))
    if contender and list_only:
        raise SlotbenchError(
            f"--list with contender {contender[0]}: it shows the checks and makes none; "
            "leave out one of the two"
        )
    if not (contender or list_only):
        raise SlotbenchError(
            "no contender given: write one, as in 'slotbench check slot', or --list"
        )
    chosen = _contenders(contender or [])
    try:
        found = _check(chosen, check_names or [])
    except KeyboardInterrupt:
        _say("interrupted; no check was made")
        raise
    outcomes = [finding.outcome for one in found.contenders for finding in one.findings]
    num_all = len(chosen) * len(found.checks)
    is_interrupted = len(outcomes) < num_all
    if is_interrupted:
        _say(f"interrupted after {len(outcomes)} of {num_all} checks")
    if outcomes or list_only:
        print(findings.render(found, format_name, stdout_screen()), end="")
    if is_interrupted:
        return EXIT_INTERRUPTED
    return EXIT_CHECK_FAILED if "fail" in outcomes else EXIT_OK


def _contenders(texts: list[str]) -> "list[Contender]":
    """Read the contenders; one that is given twice counts once."""
    from slotbench.contenders import missing_requirement, parse

    chosen = list({one.label: one for one in map(parse, texts)}.values())
    for one in chosen:
        if one.name == "floor":
            raise ContenderError(
                "contender floor: it is no transport and promises nothing; leave it out"
            )
        if reason := missing_requirement(one):
            raise ContenderError(f"contender {one.label}: {reason}")
    return chosen


def _check(contenders: "list[Contender]", names: list[str]) -> "Conformance":
    """Make the checks, with a progress bar if somebody sees it; Ctrl-C ends them early."""
    from slotbench.measure import checking
    from slotbench.measure.runner import Progress
    from slotbench.records import (
        CONFORMANCE_SCHEMA_VERSION,
        CheckedContender,
        CheckFinding,
        Conformance,
    )
    from slotbench.store import environment

    # What a cluster's scheduler sends ends the command as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    made: dict[str, list[CheckFinding]] = {one.label: [] for one in contenders}
    with ExitStack() as stack:
        on_progress = _progress(stack, len(contenders) * _CONTENDER_S)
        on_progress(Progress(0, 0, "starting a worker: importing torch, tensordict, …"))
        worker = stack.enter_context(checking.worker(contenders))
        guarantees, checks = checking.plan(worker, names)
        planned = Conformance(
            schema_version=CONFORMANCE_SCHEMA_VERSION,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=environment.collect(),
            guarantees=guarantees,
            checks=tuple(checks),
            contenders=(),
        )
        with suppress(KeyboardInterrupt):
            for label, finding in checking.check(worker, contenders, checks, on_progress):
                made[label].append(finding)
    checked = (CheckedContender(label, tuple(found)) for label, found in made.items())
    return replace(planned, contenders=tuple(checked))


def _progress(stack: ExitStack, expected_s: float) -> "Callable[[Progress], None]":
    """Open a progress bar, or nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        return lambda _: None
    from slotbench.cli._progress import ProgressBar

    return stack.enter_context(ProgressBar(expected_s)).update


def _say(text: str) -> None:
    print(f"slotbench: {text}", file=sys.stderr)
