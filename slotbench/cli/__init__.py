"""The command line: the one place that prints and exits.

Importing this, and ``slotbench --help``, loads no torch, pandas, matplotlib, numpy or
pydantic. stdout is data, stderr is talk; exit codes are in `slotbench.errors`.
"""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from slotbench.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, SlotbenchError

__all__ = ["main"]

EXIT_UNEXPECTED: Final = 70
"""A defect of slotbench, as sysexits.h has it: no verdict, so no code that a gate could mean."""
EXIT_BROKEN_PIPE: Final = 141
"""Whom nobody reads any more; as a shell says of a process that SIGPIPE ended."""

_DEBUG: Final = "--debug"
_TYPERS_OWN: Final = "Value error, "
"""What typer puts before the reason why a value is not one of those that there are."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code; the console entry point.

    Args:
        arguments: without the program's name; None means those of the process.

    Raises:
        SystemExit: always.
    """
    args = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # started with it closed
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # for the process's life
    elif isinstance(sys.stdout, io.TextIOWrapper):
        # Where an encoding lacks ▲ or ×, "\\u25b2" is ugly but "?" would be another verdict.
        sys.stdout.reconfigure(errors="backslashreplace")
    # Taken out here, so that it is understood after the command's name as well.
    debug = _DEBUG in args
    sys.exit(_invoke([arg for arg in args if arg != _DEBUG], debug=debug))


def _invoke(arguments: list[str], *, debug: bool) -> int:
    try:
        _allow_any_text()
        code = _run_command(arguments)
        sys.stdout.flush()
    except SlotbenchError as error:
        _say_error(str(error), debug=debug)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _discard_stdout()
        return EXIT_BROKEN_PIPE
    except OSError as error:  # a full disk behind stdout, a deleted working directory
        _discard_stdout()
        _say_error(str(error), debug=debug)
        return EXIT_USAGE
    except Exception as error:
        if debug:
            raise
        text = f"{type(error).__name__}: {error}"
        _say_error(f"{text} (run with {_DEBUG} for the traceback, and please report it)")
        raise SystemExit(EXIT_UNEXPECTED) from error
    return code


def _run_command(arguments: list[str]) -> int:
    import typer

    from slotbench.cli._app import command

    try:
        code = command().main(arguments, prog_name="slotbench", standalone_mode=False)
    except SystemExit:  # not ours: typer ends so, with 1, when nobody reads stdout any more
        return EXIT_BROKEN_PIPE
    except typer.TyperException as error:
        _say_error(_usage_text(error))
        return error.exit_code
    return code if isinstance(code, int) else EXIT_OK


def _usage_text(error: Exception) -> str:
    """Say what is wrong with the command line, and where its help is."""
    text = " ".join(str(getattr(error, "format_message", error.__str__)()).split())
    text = text.replace(_TYPERS_OWN, "")
    context = getattr(error, "ctx", None)
    where = "slotbench" if context is None else context.command_path
    return f"{text.rstrip('.')} (see '{where} --help')"


def _say_error(text: str, *, debug: bool = False) -> None:
    if debug:
        import traceback

        traceback.print_exc()
    print(f"slotbench: error: {' '.join(text.split())}", file=sys.stderr)


def _allow_any_text() -> None:
    """Let a terminal that knows no "×" show "?" instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _discard_stdout() -> None:
    """Let the interpreter flush what nobody reads any more without complaint."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
