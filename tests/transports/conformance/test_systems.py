"""Every check, on each of our transports and on the plain system that mutants are made of."""

from __future__ import annotations

import pytest
import torch

import transports
from transports.conformance import CHECKS, run_check, system_factory
from transports.conformance.plain import PlainSystem

torch.set_num_threads(1)

SYSTEMS = {
    "plain": PlainSystem,
    "slot": system_factory(lambda n: transports.create("slot", n)),
    "slot[preallocate]": system_factory(
        lambda n: transports.create("slot", n, preallocate=True)
    ),
    "slot[inline]": system_factory(lambda n: transports.create("slot", n, inline=True)),
    "threading": system_factory(lambda n: transports.create("threading", n)),
}


def not_applicable(system: str) -> set[str]:
    """Return the checks of things that the system does not have."""
    return {"cancelled-reply"} if system.startswith("slot") else set()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("system", SYSTEMS)
def test_our_systems_keep_every_promise(system, check):
    """The check passes, or is about something that a slot's reply does not have."""
    finding = run_check(check, SYSTEMS[system])
    expected = "n/a" if check.name in not_applicable(system) else "pass"
    assert (finding.outcome, finding.reason if expected == "pass" else "") == (expected, "")


def test_the_drained_path_serves_as_well():
    """Options go to the reference server: a collate function makes it drain TensorDicts."""
    collated = []

    def collate(items):
        collated.append(len(items))
        return torch.stack(items)

    factory = system_factory(lambda n: transports.create("slot", n), collate_fn=collate)
    assert run_check("requests-served-once", factory).outcome == "pass"
    assert sum(collated) == 64 * 20
