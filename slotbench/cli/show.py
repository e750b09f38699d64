"""``slotbench show``: a run trial by trial, or what a profile or an SLO search found."""

from typing import TYPE_CHECKING, Annotated

import typer

from slotbench.cli._options import RESULTS_DIR, AsJson, ResultsDir
from slotbench.cli._recorded import RECORDED_HELP, read_recorded
from slotbench.errors import EXIT_OK, SlotbenchError

if TYPE_CHECKING:
    from slotbench.store import StoredProfile, StoredRun, StoredSlo


def show(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help=RECORDED_HELP, show_default="newest"),
    ] = None,
    *,
    results: ResultsDir = RESULTS_DIR,
    problems: Annotated[
        bool,
        typer.Option("--problems", help="Of a run: only the trials of which a rule spoke."),
    ] = False,
    trial: Annotated[
        str | None,
        typer.Option(
            metavar="TRIAL", help="Of a run: all of one trial, its stacks included."
        ),
    ] = None,
    between: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="LABEL LABEL",
            help="Of a profile: the two contenders whose difference is explained.",
            show_default="the baseline and the fastest",
        ),
    ] = None,
    cell: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of a profile: only this cell; may be repeated."),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Of a profile: percentiles, too, every lock and what is counted."
        ),
    ] = False,
    rules: Annotated[
        bool, typer.Option("--rules", help="Explain every rule; needs no run.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show a recorded run trial by trial, or what a recorded profile or SLO search found.

    Of a run, with what the validity rules said of each trial. INVALID: the number is not what
    it claims, and is never used. DISTURBED: the machine interfered, and the block was measured
    again if it could be. A warning: the number stands.

    Of a profile, cell by cell: what explains the difference between two contenders, the phases
    of a request, what it costs, where the locks are. Of an SLO search, its intervals.

    Examples:
      slotbench show quickstart --results results/reference --problems
      slotbench show 3fa9c1 --trial r0-c1-a0-p2
      slotbench show 8d04e7 --between torchrl.slot slot
    """
    from slotbench.cli._screen import stdout_screen
    from slotbench.draw import validity

    of_run = {"--problems": problems, "--trial": trial is not None}
    of_profile = {"--between": between is not None, "--cell": bool(cell), "--full": full}
    if rules:
        text = validity.rules_as_json() if as_json else validity.show_rules(stdout_screen())
        print(text, end="")
        return EXIT_OK
    from slotbench.store import StoredProfile, StoredSlo

    stored = read_recorded(run, results)
    if isinstance(stored, StoredSlo):
        from slotbench.draw import slo

        _refuse(of_run, "a run", stored)
        _refuse(of_profile, "a profile", stored)
        text = slo.render(stored, "json" if as_json else "text", stdout_screen())
    elif isinstance(stored, StoredProfile):
        from slotbench.draw import profile as drawn

        _refuse(of_run, "a run", stored)
        chosen = tuple(cell or ())
        if as_json:
            text = drawn.as_json(stored, cells=chosen, between=between)
        else:
            screen = stdout_screen()
            text = drawn.show(stored, screen, cells=chosen, between=between, full=full)
    else:
        _refuse(of_profile, "a profile", stored)
        if as_json:
            text = validity.as_json(stored, trial)
        elif trial is not None:
            text = validity.show_trial(stored, trial, stdout_screen())
        else:
            text = validity.show_run(stored, stdout_screen(), problems=problems)
    print(text, end="")
    return EXIT_OK


def _refuse(
    options: dict[str, bool], wanted: str, stored: "StoredRun | StoredProfile | StoredSlo"
) -> None:
    """Refuse options of another kind.

    Raises:
        SlotbenchError: one was given.
    """
    from slotbench.frames import NOUNS, id_of, kind_of

    for option, is_given in options.items():
        if is_given:
            raise SlotbenchError(
                f"{option} is for {wanted}, and {id_of(stored)} is {NOUNS[kind_of(stored)]}: "
                f"leave it out, or name {wanted}"
            )
