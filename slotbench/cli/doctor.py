"""``slotbench doctor``: what this machine can tell apart, and what to do about it."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slotbench.cli._options import AsJson, Force
from slotbench.errors import EXIT_OK

if TYPE_CHECKING:
    from slotbench.diagnostics.diagnose import Plan
    from slotbench.records import Diagnosis

_PYPERF = "--pyperf"


def doctor(
    *,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Under 20 s: fewer rounds and processes, all of it rough."
        ),
    ] = False,
    rounds: Annotated[
        int | None,
        typer.Option(
            help="Of the A/A run: more of them know the noise better.",
            show_default="12, or 5 with --quick",
        ),
    ] = None,
    contender: Annotated[
        str, typer.Option(metavar="CONTENDER", help="Whose noise floor is measured.")
    ] = "slot",
    as_json: AsJson = False,
    pyperf: Annotated[
        Path | None,
        typer.Option(
            _PYPERF,
            metavar="FILE",
            help="Write the primitives as a suite for python -m pyperf.",
        ),
    ] = None,
    force: Force = False,
) -> int:
    """Diagnose this machine: what it can tell apart, what its parts cost, what to do about it.

    How small a difference 5, 10 and 20 rounds show here, from a contender raced against itself
    (A/A); how punctual clock and waits are; what slotbench itself adds to a request; what hand-overs
    and work on rows cost; and advice: governor, load, CPUs, quota and more. A minute and a half;
    nothing is recorded. Advice is no failure: the exit code is 0; 4: no worker process came up, or
    no trial gave a number.

    Examples:
      slotbench doctor
      slotbench doctor --quick --contender 'torchrl.slot[collate=lazy_stack]'
      slotbench doctor --json --pyperf primitives.json > doctor.json
    """
    from slotbench.diagnostics import diagnose
    from slotbench.store.output import check_free, write_file

    plan = diagnose.planned(quick=quick, rounds=rounds)
    if pyperf is not None:
        check_free(pyperf, force=force, option=_PYPERF)
    # The user's own modules can be measured, but never hide an installed one.
    sys.path.append(str(Path.cwd()))
    diagnosis = _diagnose(plan, contender)
    _print(diagnosis, as_json=as_json)
    # Last, so that a disk that refuses costs the file alone.
    if pyperf is not None:
        from slotbench.exports import primitives

        write_file(pyperf, primitives.render(diagnosis), force=force, option=_PYPERF)
        _say(f"the primitives are in {pyperf}: python -m pyperf stats {pyperf}")
    return EXIT_OK


def _diagnose(plan: "Plan", contender: str) -> "Diagnosis":
    """Measure under a progress bar."""
    from slotbench.cli._progress import ProgressBar
    from slotbench.diagnostics import diagnose

    # What a cluster's scheduler sends ends a diagnosis as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ProgressBar(diagnose.estimate_s(plan, contender), "steps") as bar:
            return diagnose.diagnose(
                plan,
                contender=contender,
                command=("slotbench", *sys.argv[1:]),
                on_progress=bar.update,
            )
    except KeyboardInterrupt:
        _say("interrupted; nothing was recorded")
        raise


def _print(diagnosis: "Diagnosis", *, as_json: bool) -> None:
    from slotbench.cli._screen import stdout_screen
    from slotbench.draw import diagnosis as drawn
    from slotbench.store import document

    print(
        document(diagnosis).decode("utf-8")
        if as_json
        else drawn.show(diagnosis, stdout_screen()),
        end="",
    )


def _say(text: str) -> None:
    print(f"slotbench: {text}", file=sys.stderr)
