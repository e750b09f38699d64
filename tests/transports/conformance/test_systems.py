"""Every check, on each of our transports and on the plain system that mutants are made of."""

from __future__ import annotations

import threading

import pytest
import torch

import transports
from transports.conformance import CHECKS, _actors, run_check, system_factory
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
    cancelling = {"cancelled-reply", "cancelled-reply-in-the-model"}
    return cancelling if system.startswith("slot") else set()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("system", SYSTEMS)
def test_our_systems_keep_every_promise(system, check):
    """The check passes, or is about something that a slot's reply does not have."""
    finding = run_check(check, SYSTEMS[system])
    expected = "n/a" if check.name in not_applicable(system) else "pass"
    assert (finding.outcome, finding.reason if expected == "pass" else "") == (expected, "")


class OneByOne(PlainSystem):
    """A system that does not batch, though asked to."""

    def take(self):
        batch, self.waiting = self.waiting[:1], self.waiting[1:]
        return batch

    def due_in_s(self):
        return 0.0 if self.waiting else super().due_in_s()


@pytest.mark.parametrize(
    "check", [c for c in CHECKS if c.guarantee in {3, 4, 6}], ids=lambda check: check.name
)
def test_no_check_of_them_assumes_that_two_actors_meet(check):
    """Where each request is a batch, one check does not apply and the others pass."""
    finding = run_check(check, OneByOne)
    needs_a_wait = check.name == "server-thread-dies-while-an-actor-waits"
    # Without a wait the request is served before the kill, unless the machine is slow.
    assert finding.outcome in ({"n/a", "pass"} if needs_a_wait else {"pass"}), (
        finding.reason
    )


class Undying(PlainSystem):
    """A system that goes on with whatever ends its thread, and takes long to start."""

    def start(self):
        threading.Event().wait(2 * _actors.PATIENCE_S)
        super().start()

    def run(self):
        while not self.is_stopping:
            super().run()

    def reject_waiting(self):
        if self.is_stopping:
            super().reject_waiting()


@pytest.mark.parametrize(
    "name", ["server-thread-dies", "server-thread-dies-while-an-actor-waits"]
)
def test_a_thread_that_does_not_die_breaks_no_promise(name, monkeypatch):
    """Nor does a start that takes longer than an answer may."""
    monkeypatch.setattr(_actors, "PATIENCE_S", 0.5)
    assert run_check(name, Undying).outcome == "n/a"


def test_a_system_that_does_not_count_its_clients_need_not_refuse_none():
    """It has no number of clients that could make no sense."""

    class Uncounted(PlainSystem):
        def __init__(self, model, *, num_clients, **options):
            super().__init__(model, num_clients=1000, **options)

    finding = run_check("refuses-bad-num-clients", Uncounted)
    assert (finding.outcome, finding.reason) == ("n/a", "it does not count its clients")


def test_the_drained_path_serves_as_well():
    """Options go to the reference server: a collate function makes it drain TensorDicts."""
    collated = []

    def collate(items):
        collated.append(len(items))
        return torch.stack(items)

    factory = system_factory(lambda n: transports.create("slot", n), collate_fn=collate)
    assert run_check("requests-served-once", factory).outcome == "pass"
    assert sum(collated) == 64 * 20
