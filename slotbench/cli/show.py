"""``slotbench show``: a run trial by trial, and which rules spoke."""

import sys
from typing import Annotated

import typer

from slotbench.cli._options import RESULTS_DIR, AsJson, ResultsDir, RunReference
from slotbench.errors import EXIT_OK


def show(
    run: RunReference = None,
    *,
    results: ResultsDir = RESULTS_DIR,
    problems: Annotated[
        bool, typer.Option("--problems", help="Only the trials of which a rule spoke.")
    ] = False,
    trial: Annotated[
        str | None,
        typer.Option(metavar="TRIAL", help="All of one trial, its stacks included."),
    ] = None,
    rules: Annotated[
        bool, typer.Option("--rules", help="Explain every rule; needs no run.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show a recorded run trial by trial, with what the validity rules said of each.

    INVALID: the number is not what it claims, and is never used. DISTURBED: the machine
    interfered, and the block was measured again if it could be. A warning: the number stands.

    Examples:
      slotbench show quickstart --results results/reference --problems
      slotbench show 3fa9c1 --trial r0-c1-a0-p2
      slotbench show --rules
    """
    from slotbench.cli._screen import stdout_screen
    from slotbench.draw import validity

    if rules:
        text = validity.rules_as_json() if as_json else validity.show_rules(stdout_screen())
        print(text, end="")
        return EXIT_OK
    from slotbench import store

    stored = store.read(store.find(run, results))
    for note in stored.notes:
        print(f"slotbench: note: {note}", file=sys.stderr)
    if as_json:
        print(validity.as_json(stored, trial), end="")
    elif trial is not None:
        print(validity.show_trial(stored, trial, stdout_screen()), end="")
    else:
        print(validity.show_run(stored, stdout_screen(), problems=problems), end="")
    return EXIT_OK
