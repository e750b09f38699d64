"""Whether this interpreter's threads exclude each other, and whether anybody asked for that."""

import os
import re
import sys
import sysconfig
import warnings
from typing import Final, TextIO

_NAMED: Final = re.compile(r"global interpreter lock \(GIL\).* to load module '([^']+)'")
"""CPython's warning (``_PyImport_CheckGILState``) when a module turns the GIL on."""

_LOADED: Final[list[str]] = []
"""Modules that turned it on in this process, or in the one that it was forked from."""


def is_gil_enabled() -> bool:
    """Whether there is a GIL, now; Python before 3.13 always has it."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def is_free_threaded_build() -> bool:
    """Whether this Python can do without a GIL, on now or not."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def unasked_gil() -> str | None:
    """Say why a free-threaded build runs with the GIL on, where nobody asked for it.

    Returns:
        The module that turned it on; "" where it did not say; None where the GIL is off, was asked
        for (``-X gil=1`` or ``PYTHON_GIL=1``), or is all that this build has.
    """
    if not is_free_threaded_build() or not is_gil_enabled():
        return None
    if sys._xoptions.get("gil", os.environ.get("PYTHON_GIL")) == "1":  # documented
        return None
    return ", ".join(dict.fromkeys(_LOADED))


def listen() -> None:
    """Remember which modules turn the GIL on; called before they are imported."""
    show = warnings.showwarning

    def remember(  # noqa: PLR0917  # as of `warnings.showwarning`
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        found = _NAMED.search(str(message))
        if found is not None:
            _LOADED.append(found[1])
        show(message, category, filename, lineno, file, line)

    warnings.showwarning = remember
