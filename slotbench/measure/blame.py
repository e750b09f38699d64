"""Whose code raised: a failure in one line, with the place in the user's own file."""

import ast
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


def told_of(error: BaseException, name: str) -> str:
    """As `told`; of what raised in no line of its author's, such as a wrapped network: where it is defined.

    Args:
        error: with its traceback.
        name: "package.module:name" of what was called.
    """
    module, _, attribute = name.partition(":")
    text = told(error, module.partition(".")[0])
    bare = f"{type(error).__name__}: {error}".removesuffix(": ")
    file = getattr(sys.modules.get(module), "__file__", None)
    if text != bare or file is None:
        return text
    line = _line_of(Path(file), attribute)
    return f"{text} (defined in {_as_imported(file, module)}{line})"


def _line_of(file: Path, attribute: str) -> str:
    """The last line at a module's top level that names something; "" where none is found."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""
    lines: list[int] = []
    for node in tree.body:
        targets: list[ast.expr] = [node.target] if isinstance(node, ast.AnnAssign) else []
        targets += node.targets if isinstance(node, ast.Assign) else []
        names = {one.id for one in targets if isinstance(one, ast.Name)}
        names.add(str(getattr(node, "name", "")))
        lines += [node.lineno] if attribute in names else []
    return f", line {lines[-1]}" if lines else ""


def _as_imported(file: str, module: str) -> str:
    """Name a module's file from its top-level package on: where that lies is not said."""
    path = Path(file)
    depth = len(module.split(".")) + (path.name == "__init__.py")
    return "/".join(path.parts[-depth:])
