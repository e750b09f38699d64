"""Checks of what a transport and its server promise, for any system of the two.

A **system** is built around a model and hands out clients; how it carries requests is its own
business. `run_check(check, factory)` finds out whether it keeps one promise:

    from transports import SlotTransport
    from transports.conformance import CHECKS, run_check, system_factory

    for check in CHECKS:
        print(run_check(check, system_factory(SlotTransport)))

Each check has a mutant in `MUTANTS`, a system broken so that the check must fail on it. A new
check is a function under `@check(guarantee)` in the file of its guarantee, and a mutant.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from transports.conformance import (  # noqa: F401 - importing registers their checks
    arguments,
    bad_clients,
    endings,
    fairness,
    replies,
    results,
    slots,
)
from transports.conformance._actors import act, request
from transports.conformance._api import (
    REGISTERED,
    Check,
    CheckFailedError,
    Finding,
    Model,
    Mutant,
    NotApplicableError,
    System,
    SystemFactory,
    run_check,
)
from transports.conformance._systems import system_factory
from transports.conformance.mutants import MUTANTS

__all__ = [
    "CHECKS",
    "GUARANTEES",
    "MUTANTS",
    "Check",
    "CheckFailedError",
    "Finding",
    "Model",
    "Mutant",
    "NotApplicableError",
    "System",
    "SystemFactory",
    "act",
    "request",
    "run_check",
    "system_factory",
]

GUARANTEES: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "A reply belongs to its request; none is lost, doubled or swapped.",
        2: "A result never changes after it was returned, nor does the request.",
        3: "Nothing hangs: each call ends in a reply, or soon in an error that names the cause.",
        4: "One bad client harms no other, and nothing is silently cast, dropped or kept stale.",
        5: "A waiting request is in one of the next ⌈N/max_batch_size⌉ + 1 batches.",
        6: "A slot is reusable: another client gets it, and never a reply to the one before.",
        7: "Arguments that make no sense are refused; the timeout counts from the oldest request.",
    }
)
CHECKS: Final[tuple[Check, ...]] = tuple(
    sorted(REGISTERED, key=lambda registered: registered.guarantee)
)
