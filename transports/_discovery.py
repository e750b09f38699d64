"""Finds the transports of this package by the names of their files, without importing them.

A module without a leading underscore is a transport: its stem is its name, and it has a
factory `create(num_slots, **options)`.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from transports._contract import Transport

# name → stem. A module called threading.py would hide the standard library's from any script
# run inside this folder; users still know the transport by TorchRL's name.
_ALIASES: Final = {"threading": "shared_queue"}


def available() -> tuple[str, ...]:
    """Return the names of the transports, sorted; imports none of them."""
    names = {stem: name for name, stem in _ALIASES.items()}
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    stems = (m.name for m in modules if not m.ispkg and not m.name.startswith("_"))
    return tuple(sorted(names.get(stem, stem) for stem in stems))


def create(name: str, num_slots: int, **options: Any) -> Transport:
    """Build the transport called `name` for `num_slots` actors.

    Raises:
        ValueError: no transport has that name, or an argument is out of range.
        TypeError: the transport does not know an option.
    """
    if name not in available():
        near = difflib.get_close_matches(name, available(), cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"unknown transport {name!r}: {hint}available are {', '.join(available())}"
        )
    factory = importlib.import_module(f"transports.{_ALIASES.get(name, name)}").create
    known = [
        parameter.name
        for parameter in inspect.signature(factory).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    if unknown := sorted(options.keys() - set(known)):
        raise TypeError(
            f"transport {name!r} has no option {', '.join(map(repr, unknown))}; "
            f"known: {', '.join(known) or 'none'}"
        )
    transport: Transport = factory(num_slots, **options)
    return transport
