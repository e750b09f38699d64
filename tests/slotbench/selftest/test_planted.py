"""The planted transport keeps every guarantee, and its cycle is as much longer as planted."""

from typing import Any

import pytest
import torch
from tensordict import TensorDict

from slotbench.selftest import planted
from transports.conformance import CHECKS, Check, run_check, system_factory


class Clock:
    """A clock of ours; each look at it takes a microsecond."""

    STEP_S = 1e-6

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        self.now_s += self.STEP_S
        return self.now_s


def ready(transport: planted.PlantedTransport, clients: list[Any]) -> None:
    for client in clients:
        client.submit(TensorDict({"observation": torch.zeros(2)}, []))


def serve(transport: planted.PlantedTransport) -> list[int]:
    """A turn of a server: take what is ready and answer it."""
    slots = transport.claim(64)
    if slots:
        batch = transport.gather(slots)
        transport.resolve_batch(slots, batch, TensorDict({"action": torch.zeros(len(slots))}, [len(slots)]))  # fmt: skip
    return slots


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_it_keeps_every_guarantee_without_a_slowdown(check: Check) -> None:
    """The published checks pass, or do not apply, as they do for our slot transport."""
    found = run_check(check, system_factory(planted.transport))
    assert found.outcome in {"pass", "n/a"}, found.reason


@pytest.mark.parametrize("slowdown", [0.0, 0.05, 0.1, 1.0])
def test_every_cycle_is_longer_by_what_is_planted(slowdown: float) -> None:
    """By the transport's own clock, whatever the cycle takes; to a look at the clock."""
    clock = Clock()
    transport = planted.PlantedTransport(3, slowdown, clock)
    clients = [transport.client() for _ in range(3)]
    ready(transport, clients)
    serve(transport)
    for cycle_s in (0.001, 0.02, 0.0005):
        returned_s = clock.now_s
        clock.now_s += cycle_s  # model, replies, actors
        ready(transport, clients)
        assert len(serve(transport)) == 3
        seen_s = clock.now_s - returned_s
        assert seen_s == pytest.approx((1 + slowdown) * cycle_s, abs=3 * Clock.STEP_S)


def test_an_empty_claim_is_no_cycle() -> None:
    """It returns at once, and the next cycle counts from the last one that took something."""
    clock = Clock()
    transport = planted.PlantedTransport(1, 0.5, clock)
    clients = [transport.client()]
    ready(transport, clients)
    serve(transport)
    clock.now_s += 0.01
    before_s = clock.now_s
    assert serve(transport) == []
    assert clock.now_s == before_s
    ready(transport, clients)
    serve(transport)
    assert clock.now_s - before_s == pytest.approx(0.005, abs=3 * Clock.STEP_S)


def test_a_pause_is_not_made_longer_than_a_tenth_of_a_second() -> None:
    """Nobody asked for an hour: the server is late by `MAX_SPIN_S`."""
    clock = Clock()
    clock.STEP_S = 1e-3  # type: ignore[misc]
    transport = planted.PlantedTransport(1, 1.0, clock)
    clients = [transport.client()]
    ready(transport, clients)
    serve(transport)
    clock.now_s += 3600.0
    before_s = clock.now_s
    ready(transport, clients)
    serve(transport)
    assert clock.now_s - before_s == pytest.approx(planted.MAX_SPIN_S, abs=3e-3)


@pytest.mark.parametrize("slowdown", [-0.01, 1.5, float("nan"), True])
def test_a_slowdown_that_makes_no_sense_is_refused(slowdown: float) -> None:
    """It is a ratio from 0 to 1."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        planted.transport(2, slowdown=slowdown)
