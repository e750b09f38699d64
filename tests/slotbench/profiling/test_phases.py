"""The phases of real trials, against the stamps of a transport that keeps its own."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from slotbench.measure.actors import Actor
from slotbench.measure.systems import System
from slotbench.profiling._probes import Found
from slotbench.profiling.pass_phases import PhasesPass
from slotbench.records import Batching, Model, Phases, ThinkTime, TrialRecord, Window
from tests.slotbench.support import trials

EVERY = [
    "slot",
    "slot[preallocate]",
    "slot[inline]",
    "threading",
    "floor",
    "slot@torchrl",
    "torchrl.slot",
    "torchrl.slot[collate=lazy_stack]",
    "torchrl.threading",
    "wrong_transports:honest",
    "known_costs:create",
]


@pytest.fixture(autouse=True)
def support_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(trials.SUPPORT)


class _Spy(PhasesPass):
    """Keeps the system, too."""

    def attach(self, system: System, actors: Sequence[Actor]) -> None:
        self.system = system
        super().attach(system, actors)


def profiled(name: str, **changes: Any) -> tuple[TrialRecord, Found, Any]:
    spec = trials.spec(name, **changes)
    probes = _Spy(spec.workload)
    record = trials.run(spec, probes)
    assert record.status == "ok", record.error
    return record, probes.result(record), getattr(probes.system, "transport", None)


def mean_s(found: Phases, name: str) -> float:
    return next(phase.mean_s for phase in found.phases if phase.name == name)


def p50_s(found: Phases, name: str) -> float:
    value = next(phase.p50_s for phase in found.phases if phase.name == name)
    assert value is not None
    return value


@pytest.mark.alone
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("think", [ThinkTime(), ThinkTime("exponential", 0.5)])
@pytest.mark.parametrize("least", [1, 3])
def test_every_request_is_seen_and_its_phases_sum_to_its_round_trip(
    name: str, think: ThinkTime, least: int
) -> None:
    record, found, _ = profiled(
        name, think_time=think, batching=Batching(min_batch_size=least, timeout_ms=1.0)
    )
    assert record.measurement is not None
    phases = found.phases
    assert phases is not None
    assert phases.num_unseen == 0
    assert phases.num_out_of_order == 0
    assert phases.max_error_s == 0.0
    assert phases.num_requests == record.measurement.num_replies
    total_s = sum(phase.mean_s for phase in phases.phases)
    assert total_s == pytest.approx(phases.round_trip.mean_s, rel=1e-9)
    assert phases.round_trip.mean_s == pytest.approx(record.measurement.latency_mean_s)
    assert all(phase.mean_s >= 0.0 for phase in phases.phases)


@pytest.mark.alone
def test_phases_agree_with_the_transports_own_stamps() -> None:
    """One actor, so that each wait of the transport's is one phase of its request."""
    costs = "write_ms=6,signal_ms=7,drain_ms=8,resolve_ms=5,wake_ms=9"
    _, found, transport = profiled(
        f"known_costs:create[{costs}]",
        num_slots=1,
        model=Model("sleep", latency_ms=5.0),
        window=Window(warmup_s=0.05, measure_s=1.2, min_requests=10),
    )
    phases = found.phases
    assert phases is not None
    own: dict[str, Callable[[dict[str, int]], int]] = {
        "write": lambda s: s["published"] - s["submitted"],
        "signal → server awake": lambda s: s["awake"] - s["published"],
        "drain": lambda s: s["drained"] - s["drain"],
        "wake → actor running": lambda s: s["returned"] - s["resolved"],
    }
    # A server that was late found its request without waiting for it.
    waited_for = [stamps for stamps in transport.finished if "awake" in stamps]
    for name, measure in own.items():
        known_s = statistics.median(map(measure, waited_for)) / 1e9
        assert p50_s(phases, name) == pytest.approx(known_s, abs=1e-3), name
    least_s = {"forward": 5e-3, "resolve": 5e-3}
    for name, known_s in least_s.items():
        assert p50_s(phases, name) >= known_s, name
    for name in ("server busy", "wait for batch", "collate"):
        assert p50_s(phases, name) < 4e-3, name


@pytest.mark.alone
def test_waiting_for_others_is_waiting_for_a_batch() -> None:
    """Three actors of which one thinks: with batches of three the others wait for it."""
    for name in ("slot", "threading", "torchrl.slot", "known_costs:create", "slot[inline]"):
        _, found, _ = profiled(
            name,
            num_slots=3,
            think_time=ThinkTime("exponential", 20.0),
            batching=Batching(min_batch_size=3, timeout_ms=500.0),
            window=Window(warmup_s=0.02, measure_s=0.6, min_requests=10),
        )
        assert found.phases is not None
        longest = max(found.phases.phases, key=lambda phase: phase.mean_s)
        assert longest.name == "wait for batch", name


@pytest.mark.parametrize(
    "name",
    ["floor", "threading", "torchrl.slot", "torchrl.threading", "known_costs:create"],
)
def test_a_timeout_in_which_nobody_came_is_no_collating(name: str) -> None:
    """Actors that think, and a smallest batch that is hardly ever there in time."""
    _, found, _ = profiled(
        name,
        num_slots=3,
        think_time=ThinkTime("exponential", 40.0),
        batching=Batching(min_batch_size=3, timeout_ms=10.0),
        window=Window(warmup_s=0.02, measure_s=0.6, min_requests=10),
    )
    assert found.phases is not None
    longest = max(found.phases.phases, key=lambda phase: phase.mean_s)
    assert longest.name == "wait for batch"
    assert mean_s(found.phases, "collate") < 0.3 * longest.mean_s


def test_a_transport_with_a_ring_of_its_own_is_left_alone() -> None:
    """Of the same name as ours, and another thing."""
    record, found, _ = profiled("known_costs:ringing", num_slots=2)
    assert record.measurement is not None
    assert found.phases is not None
    assert found.phases.num_requests == record.measurement.num_replies


@pytest.mark.alone
def test_a_server_that_works_for_others_is_busy() -> None:
    """Batches of one: of four actors three wait while the model runs for the fourth."""
    for name in ("slot", "threading", "torchrl.threading", "known_costs:create", "floor"):
        _, found, _ = profiled(
            name,
            model=Model("sleep", latency_ms=2.0),
            batching=Batching(max_batch_size=1),
            window=Window(warmup_s=0.02, measure_s=0.3, min_requests=10),
        )
        assert found.phases is not None
        assert mean_s(found.phases, "server busy") > 0.6 * found.phases.round_trip.mean_s


@pytest.mark.alone
def test_a_lazy_stack_is_collated_when_the_policy_reads_it() -> None:
    """What TorchRL's lazy stack saves in collating it must not hide in the forward."""
    phases = {}
    for collate in ("lazy_stack", "maybe_dense_stack"):
        _, found, _ = profiled(f"torchrl.slot[collate={collate}]", num_slots=8)
        assert found.phases is not None
        phases[collate] = found.phases
    shares = {
        name: mean_s(of, "collate") / of.round_trip.mean_s for name, of in phases.items()
    }
    assert shares["lazy_stack"] > 0.5 * shares["maybe_dense_stack"]


def test_a_client_without_submit_shows_no_write_of_its_own() -> None:
    _, found, _ = profiled("known_costs:callable_only[write_ms=1]", num_slots=2)
    assert found.phases is not None
    assert not found.phases.is_write_seen
    assert mean_s(found.phases, "write") == 0.0
    assert found.phases.round_trip.mean_s >= 1e-3


def test_a_transport_that_lets_nobody_wrap_it_is_refused_in_a_line() -> None:
    spec = trials.spec("known_costs:with_slots")
    record = trials.run(spec, PhasesPass(spec.workload))
    assert record.status == "failed"
    assert (
        "WithSlots cannot be profiled: its wait_for_work cannot be wrapped" in record.error
    )
    assert "__slots__" in record.error


def test_an_actor_that_runs_the_batch_is_known_as_its_runner() -> None:
    _, found, _ = profiled("slot[inline]", num_slots=1)
    assert found.sample is not None
    assert set(found.sample.runner.tolist()) == {0}
    _, found, _ = profiled("slot", num_slots=1)
    assert found.sample is not None
    assert set(found.sample.runner.tolist()) == {-1}
