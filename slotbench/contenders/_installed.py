"""What can run here: names that installed packages add, and what a contender misses.

Imports nothing to find out, but our own package of transports, whose names it asks for.
"""

import importlib.machinery
import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path
from typing import Final

from slotbench.contenders._known import BUILT_IN, CHECKOUT, TORCHRLS, needs_torchrl
from slotbench.contenders._pythons import missing_of_python, python_of
from slotbench.errors import ContenderError
from slotbench.records import Contender

ENTRY_POINT_GROUP: Final = "slotbench.transports"

_CONTRACT_VERSION: Final = 1
_NAME: Final = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


def missing_requirement(contender: Contender) -> str | None:
    """Says why a contender cannot run here, or None; imports nothing to find out.

    A module that can only be found by running its package's code counts as present. So does, in
    another interpreter, the module of a factory: making the contender there tells.
    """
    return _missing_package(contender) or _missing_module(contender)


def _missing_package(contender: Contender) -> str | None:
    """Says which package its interpreter lacks."""
    extras = {"torchrl": needs_torchrl(contender), "ray": contender.name == "torchrl.ray"}
    needed = [package for package, is_needed in extras.items() if is_needed]
    python = python_of(contender)
    if python:
        return missing_of_python(python, needed)
    for package in needed:
        if not _can_find(package):
            return f"{package} is not installed; pip install 'slotbench[{package}]'"
    return None


def _missing_module(contender: Contender) -> str | None:
    """Says what of the contender's own code is not there."""
    folder = checkout(contender)
    if folder is not None:
        package = package_of(contender)
        if not Path(folder).is_dir():
            return f"{CHECKOUT}={folder}: there is no such folder"
        if _find_below(package, [folder]) is None:
            return f"{CHECKOUT}={folder}: this folder holds no package {package!r}"
        return None
    module = factory_module(contender.name)
    if module and not python_of(contender) and not _can_find(module):
        return f"module {module!r} is not found; install it or put its folder on PYTHONPATH"
    return None


def factory_module(name: str) -> str | None:
    """Names the module that a contender from outside comes from; None for a built-in."""
    if ":" not in name:
        if name in BUILT_IN:
            return None
        name = _entry_points().get(name, "")
    return name.partition(":")[0].strip() or None


def checkout(contender: Contender) -> str | None:
    """Names the folder that its package is to be imported from; None for the installed one."""
    folder = contender.options.get(CHECKOUT)
    return None if folder is None else str(folder)


def package_of(contender: Contender) -> str:
    """Names the top-level package that a contender comes from."""
    return (factory_module(contender.name) or "transports").partition(".")[0]


def available() -> tuple[str, ...]:
    """Names every contender that has a name of its own, installed here or not.

    Ours first, then TorchRL's, then those of installed packages' entry points, then the
    floor.

    Raises:
        ContenderError: the package ``transports`` that Python finds is not slotbench's.
    """
    return tuple(
        dict.fromkeys((*_own_transports(), *TORCHRLS, *sorted(_entry_points()), "floor"))
    )


def _own_transports() -> tuple[str, ...]:
    """Names of the transports that slotbench ships, from `transports.available`."""
    advice = "install slotbench in an environment without it"
    try:
        import transports
    except ImportError as error:
        raise ContenderError(
            f"slotbench's package 'transports' cannot be imported ({error}); {advice} "
            "and with its own"
        ) from None
    if getattr(transports, "CONTRACT_VERSION", None) != _CONTRACT_VERSION:
        place = getattr(transports, "__file__", None) or getattr(
            transports, "__path__", "?"
        )
        raise ContenderError(
            f"an unrelated package called 'transports' is being imported, from {place}; {advice}"
        )
    return tuple(transports.available())


def _entry_points() -> dict[str, str]:
    """Entry point name → "package.module:factory"; installed packages add transports so."""
    found = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    return {entry.name: entry.value for entry in found if _NAME.fullmatch(entry.name)}


def _can_find(module: str) -> bool:
    """Looks for a module from its top-level package down, without importing any of it."""
    top, *rest = module.split(".")
    name = top
    try:
        spec = importlib.util.find_spec(top)
        for part in rest:
            if spec is None or f"{name}.{part}" in sys.modules:
                break
            name = f"{name}.{part}"
            places = spec.submodule_search_locations
            spec = None if places is None else _find_below(name, list(places))
    except (ImportError, AttributeError, KeyError, ValueError):
        # A module without a spec, or a nested namespace package: only importing tells.
        return True
    return spec is not None


def _find_below(name: str, places: list[str]) -> importlib.machinery.ModuleSpec | None:
    return importlib.machinery.PathFinder.find_spec(name, places)
