"""``slotbench check``: which guarantees a transport keeps, and what breaks the others."""

import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Self

import typer

from slotbench.errors import (
    EXIT_CHECK_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    ContenderError,
    SlotbenchError,
)

if TYPE_CHECKING:
    from types import FrameType

    from slotbench.records import Conformance, Contender

_CONTENDER_S: Final = 30.0
"""What all checks of a contender take, about; for the first estimate of the time left."""

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what a cluster's scheduler sends."""


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
    from slotbench.draw.findings import check_format

    check_format(format_name)
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
    with _Stop() as stop:
        return _check_and_show(contender or [], check_names or [], format_name, stop)


class _Stop:
    """Makes of Ctrl-C and SIGTERM one KeyboardInterrupt, however often they come.

    None is raised after `finish`: what was found is shown whole, and Ctrl-C changes only the
    exit code. Until then the first may be lost where Python swallows exceptions, as in
    ``__del__``; so those who loop ask `check`.

    Threads: the main one.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._may_raise = True

    def __enter__(self) -> Self:
        # One that whoever started us ignores (a shell, for what it puts into the background)
        # stays ignored.
        self._before = {
            number: handler
            for number in _STOP_SIGNALS
            if (handler := signal.getsignal(number)) not in {signal.SIG_IGN, None}
        }
        for number in self._before:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._before.items():
            # A process that was asked to end does so now. Python takes handlers of its own away
            # before it has ended, and would die of the next signal.
            signal.signal(number, signal.SIG_IGN if self.is_asked else handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was asked for."""
        if self.is_asked:
            raise KeyboardInterrupt

    def finish(self) -> None:
        """From now on only remember that it was asked for."""
        self._may_raise = False

    def _note(self, number: int, frame: "FrameType | None") -> None:
        del number, frame
        if self.is_asked:
            return
        self.is_asked = True
        if self._may_raise:
            raise KeyboardInterrupt


def _check_and_show(
    texts: list[str], names: list[str], format_name: str, stop: _Stop
) -> int:
    """Make the checks and print what was found; return the exit code."""
    from slotbench.cli._screen import stdout_screen
    from slotbench.draw import findings

    chosen = _contenders(texts)
    found = _check(chosen, names, stop)
    if found is None:
        return EXIT_INTERRUPTED
    outcomes = [finding.outcome for one in found.contenders for finding in one.findings]
    if stop.is_asked:
        num_all = len(chosen) * len(found.checks)
        _say(f"interrupted after {len(outcomes)} of {num_all} checks")
    if outcomes or not chosen:
        print(findings.render(found, format_name, stdout_screen()), end="")
    if stop.is_asked:
        return EXIT_INTERRUPTED
    return EXIT_CHECK_FAILED if "fail" in outcomes else EXIT_OK


def _contenders(texts: list[str]) -> "list[Contender]":
    """Read the contenders; one that is given twice counts once."""
    from slotbench.contenders import missing_requirement, parse
    from slotbench.measure.checking import check_checkable

    chosen = list({one.label: one for one in map(parse, texts)}.values())
    for one in chosen:
        if one.name == "floor":
            raise ContenderError(
                "contender floor: it is no transport and promises nothing; leave it out"
            )
        check_checkable(one)
        if reason := missing_requirement(one):
            raise ContenderError(f"contender {one.label}: {reason}")
    return chosen


def _check(
    contenders: "list[Contender]", names: list[str], stop: _Stop
) -> "Conformance | None":
    """Make the checks and show how far they are; Ctrl-C ends them early.

    Returns:
        What was found until then; None if it came before the checks were known, which is said.
    """
    from slotbench.cli._progress import ProgressBar
    from slotbench.measure import checking
    from slotbench.measure.runner import Progress
    from slotbench.records import (
        CONFORMANCE_SCHEMA_VERSION,
        CheckedContender,
        CheckFinding,
        Conformance,
    )
    from slotbench.store import environment

    made: dict[str, list[CheckFinding]] = {one.label: [] for one in contenders}
    planned = None
    at = Progress(0, 0, "starting a worker")

    def show(state: Progress) -> None:
        nonlocal at
        stop.check()
        at = state
        bar.update(state)

    def show_import(module: str) -> None:
        show(replace(at, doing=f"starting a worker: importing {module}"))

    try:
        with (
            ProgressBar(len(contenders) * _CONTENDER_S, "checks") as bar,
            checking.worker(contenders, show_import) as worker,
        ):
            show(replace(at, doing=f"{at.doing}: importing torch, tensordict, …"))
            guarantees, checks = checking.plan(worker, names)
            show(replace(at, doing="looking at the machine"))
            planned = Conformance(
                schema_version=CONFORMANCE_SCHEMA_VERSION,
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                environment=environment.collect(),
                guarantees=guarantees,
                checks=tuple(checks),
                contenders=(),
            )
            for label, finding in checking.check(worker, contenders, checks, show):
                made[label].append(finding)
        stop.finish()
    except KeyboardInterrupt:
        if planned is None:
            _say(f"interrupted before the first check, while {at.doing}")
            return None
    checked = (CheckedContender(label, tuple(found)) for label, found in made.items())
    return replace(planned, contenders=tuple(checked))


def _say(text: str) -> None:
    print(f"slotbench: {text}", file=sys.stderr)
