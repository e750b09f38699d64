"""The optional profilers: one extra trial each, of one contender in one cell, for its files.

A tool is a module ``tool_<name>.py`` of this folder that has what `Tool` says. Adding a tool is
adding a file. What it watches a trial with is a `_watcher.Watcher`. Its imports of torch, memray and
the like stand inside functions, since ``slotbench --help`` reads every tool's ``SUMMARY``.
"""

import difflib
import importlib
import pkgutil
from typing import Final, Protocol, cast

from slotbench.errors import SlotbenchError
from slotbench.profiling.tools._outcome import ToolOutcome
from slotbench.records import TrialSpec

__all__ = ["Tool", "ToolOutcome", "available", "get", "run"]

_PREFIX: Final = "tool_"


class Tool(Protocol):
    """What a tool's module says.

    Attributes:
        SUMMARY: what it gives, in one line.
    """

    SUMMARY: str

    def missing(self) -> str:
        """Say in a line what is not installed and how to get it; "" if it can be used here.

        Imports nothing to find out.
        """

    def run(self, spec: TrialSpec, folder: str, stem: str) -> ToolOutcome:
        """Do what `run` of the package does."""


def available() -> tuple[str, ...]:
    """Names of all tools, sorted, whether they can be used here or not."""
    return tuple(
        sorted(
            module.name.removeprefix(_PREFIX)
            for module in pkgutil.iter_modules(__path__)
            if module.name.startswith(_PREFIX)
        )
    )


def get(name: str) -> Tool:
    """The tool of that name.

    Raises:
        SlotbenchError: there is none; the nearest names are offered.
    """
    known = available()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
        raise SlotbenchError(f"unknown tool {name!r}: did you mean {', '.join(near)}?")
    return cast("Tool", importlib.import_module(f"{__name__}.{_PREFIX}{name}"))


def run(name: str, spec: TrialSpec, folder: str, stem: str) -> ToolOutcome:
    """Run one extra trial under the tool, in this process, which is of no use afterwards.

    What goes wrong, with the contender or with the tool, is the outcome's note. A tool takes at
    most two minutes more than the trial would.

    Args:
        name: of the tool; one of which ``missing()`` is "".
        spec: of the trial; the tool decides how long it is watched.
        folder: that exists, and that the files go into.
        stem: begins their names; files that are there are replaced.

    Raises:
        SlotbenchError: there is no such tool.
    """
    return get(name).run(spec, folder, stem)
