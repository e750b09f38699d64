"""Assembles the commands. A new command is a new file and one line here."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

import slotbench
from slotbench.cli.advise import advise
from slotbench.cli.check import check
from slotbench.cli.compare import compare
from slotbench.cli.doctor import doctor
from slotbench.cli.export import export, formats_help
from slotbench.cli.history import history
from slotbench.cli.listing import list_all
from slotbench.cli.plot import plot, plots_help
from slotbench.cli.predict import predict
from slotbench.cli.profile import profile, tools_help
from slotbench.cli.report import report
from slotbench.cli.run import run
from slotbench.cli.selftest import selftest
from slotbench.cli.show import show
from slotbench.cli.slo import slo

if TYPE_CHECKING:
    from typer._click import Command

# Rich help costs 0.15 s of imports and reflows the examples.
app = typer.Typer(
    name="slotbench",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def command() -> "Command":
    """Give the whole command line, ready to be run."""
    return typer.main.get_command(app)


def help_text(function: Callable[..., object]) -> str:
    r"""Turn a command's docstring into its help.

    Indented paragraphs (the examples) are kept line by line: they are marked with the
    "\b" that a docstring need not carry.
    """
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    return "\n\n".join(map(_keep_indented, paragraphs))


def _keep_indented(paragraph: str) -> str:
    lines = paragraph.splitlines()
    is_block = any(line.startswith(" ") for line in lines)
    return "\n".join(["\b", *lines]) if is_block else paragraph


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"slotbench {slotbench.__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001  # its callback does it
        bool,
        typer.Option(
            "--version", help="Show the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[  # noqa: ARG001  # `slotbench.cli.main` reads it; here for the help
        bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")
    ] = False,
) -> None:
    """Measure the transports that carry observations and actions between actors and policy.

    Which transport should feed my policy, by how much, and why?

    Examples:
      slotbench list
      slotbench run quickstart
      slotbench compare newest
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.callback(invoke_without_command=True, help=help_text(_root))(_root)
app.command("run", help=help_text(run))(run)
app.command("advise", help=help_text(advise))(advise)
app.command("predict", help=help_text(predict))(predict)
app.command("compare", help=help_text(compare))(compare)
app.command("history", help=help_text(history))(history)
app.command("profile", help=help_text(profile), epilog=tools_help())(profile)
app.command("slo", help=help_text(slo))(slo)
app.command("report", help=help_text(report))(report)
app.command("plot", help=help_text(plot), epilog=plots_help())(plot)
app.command("show", help=help_text(show))(show)
app.command("export", help=help_text(export), epilog=formats_help())(export)
app.command("check", help=help_text(check))(check)
app.command("doctor", help=help_text(doctor))(doctor)
app.command("selftest", help=help_text(selftest))(selftest)
app.command("list", help=help_text(list_all))(list_all)
