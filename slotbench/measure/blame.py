"""Whose code raised: a failure in one line, with the place in the user's own file."""

import sys
import traceback
from pathlib import Path
from typing import Final

_NOT_THEIRS: Final = sys.stdlib_module_names | {
    *("slotbench", "transports", "torch", "tensordict", "torchrl", "numpy"),
    "__main__",  # the worker
}
"""Packages in whose code an error is not where its author would look for it."""


def told(error: BaseException, package: str) -> str:
    """Say what was raised, and in which line of the user's own code.

    Args:
        error: with its traceback.
        package: whose code is the user's own even where it is one of ours.
    """
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    others = _NOT_THEIRS - {package}
    places = [
        f"{_as_imported(frame.f_code.co_filename, module)}, line {line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if (module := str(frame.f_globals.get("__name__"))).partition(".")[0] not in others
    ]
    # A SyntaxError's text names the place that matters, which is no frame's.
    if not places or isinstance(error, SyntaxError):
        return text
    return f"{text} ({places[-1]})"


def _as_imported(file: str, module: str) -> str:
    """Name a module's file from its top-level package on: where that lies is not said."""
    path = Path(file)
    depth = len(module.split(".")) + (path.name == "__init__.py")
    return "/".join(path.parts[-depth:])
