"""Forecasts: what transports cost holds to the recorded runs, and what a forecast says of them."""

import dataclasses
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slotbench.compute import forecast, transport_costs
from slotbench.compute.transport_costs import TransportCost
from slotbench.records import (
    Batching,
    ForecastError,
    Leaf,
    Model,
    Observation,
    ThinkTime,
    Window,
    Workload,
)
from tests.slotbench.support import transport_fit

FILE = json.loads(transport_fit.FILE.read_text(encoding="utf-8"))
NO_THINK, NO_MODEL = ThinkTime(), Model()
SOME = TransportCost(actor_s=20e-6, batch_s=200e-6, row_s=30e-6, kib_s=0.0, leaf_s=0.0)


def workload(
    num_slots: int = 8,
    *,
    model: Model = NO_MODEL,
    think: ThinkTime = NO_THINK,
    batching: Batching | None = None,
    leaves: tuple[Leaf, ...] = (Leaf("observation", (8,), "float32"),),
) -> Workload:
    return Workload(
        num_slots,
        Observation(leaves),
        think,
        model,
        batching or Batching(1, num_slots),
        Window(),
    )


def per_s(asked: Workload, cost: TransportCost = SOME, label: str = "threading") -> float:
    demands = forecast.nominal(asked, 4)
    return forecast.of_contender(asked, demands, label, cost).per_s


# ---- the file


def test_the_paces_of_runs_are_those_of_their_recorders() -> None:
    """Paces, the yardstick of another machine's, and what was covered are what the records say."""
    paces = {run: round(transport_fit.pace(run), 3) for run in transport_fit.RUNS}
    assert paces == FILE["paces"]
    assert float(f"{transport_fit.work_s():.3g}") == FILE["work_s"]
    every = [case for run in transport_fit.RUNS for case in transport_fit.cases(run)]
    assert transport_fit.covered(every) == FILE["covered"]
    recorded = transport_fit.recorded()
    assert recorded == {name: FILE[name] for name in recorded}


def test_costs_are_the_best_that_the_records_know() -> None:
    """A fifth more, or less, of any of slot's costs is worse; so the file is fitted, and to these runs."""
    cost = TransportCost(**FILE["costs"]["slot"])
    own = [
        case
        for run in transport_fit.RUNS
        for case in transport_fit.cases(run)
        if case.contender == "slot"
    ]
    best = transport_fit.robust(transport_fit.residuals(own, cost))
    for field in dataclasses.fields(TransportCost):
        for factor in (0.8, 1.25):
            other = replace(cost, **{field.name: factor * getattr(cost, field.name)})
            worse = transport_fit.robust(transport_fit.residuals(own, other))
            assert worse > best, (field.name, factor)


@pytest.mark.parametrize("run", ["grid", "losses"])
def test_what_a_run_is_forecast_with_was_fitted_to_the_others(run: str) -> None:
    """On the others it is at least as good as the costs that knew the run, to the steps of a fit."""
    others = [
        case
        for name in transport_fit.RUNS
        if name != run
        for case in transport_fit.cases(name)
        if case.contender == "threading"
    ]
    held_out = TransportCost(**FILE["held_out"][run]["threading"])
    whole = TransportCost(**FILE["costs"]["threading"])
    own, known = (
        transport_fit.robust(transport_fit.residuals(others, cost))
        for cost in (held_out, whole)
    )
    assert held_out != whole
    assert own <= known * 1.01


def test_the_errors_are_those_of_runs_that_were_left_out() -> None:
    """The table that intervals are made of, computed again from records and held-out costs."""
    held_out = {
        run: {label: TransportCost(**cost) for label, cost in by_label.items()}
        for run, by_label in FILE["held_out"].items()
    }
    found = transport_fit.summary(held_out, FILE["assumed_pace"])
    assert found == [ForecastError(**one) for one in FILE["errors"]]


def test_the_package_ships_the_file() -> None:
    """What is loaded is what is in the file, and has costs of every contender that is advised on."""
    from slotbench.compute import advice

    fitted = transport_costs.load()
    assert {*advice.OURS, *advice.TORCHRL} == set(fitted.costs)
    assert fitted.costs["slot"] == TransportCost(**FILE["costs"]["slot"])
    assert (fitted.assumed_pace, fitted.work_s) == (FILE["assumed_pace"], FILE["work_s"])


# ---- a forecast


def test_one_actor_that_waits_for_nothing_takes_what_the_transport_takes() -> None:
    """One request at a time: the actor's part, the batch's and the row's, one after the other."""
    assert per_s(workload(1)) == pytest.approx(1 / 250e-6, rel=1e-6)


def test_costs_are_multiplied_by_the_pace() -> None:
    """A machine of half the speed serves half."""
    asked = workload(1)
    demands = forecast.nominal(asked, 4)
    slow = forecast.of_contender(asked, demands, "threading", SOME, pace=2.0)
    assert slow.per_s == pytest.approx(per_s(asked) / 2, rel=1e-6)


def test_bytes_and_leaves_cost_each_row() -> None:
    """2 KiB in three leaves: two KiB and two further leaves more."""
    leaves = tuple(Leaf(f"x{i}", (n,), "uint8") for i, n in enumerate((1024, 512, 512)))
    dear = replace(SOME, kib_s=10e-6, leaf_s=5e-6)
    assert per_s(workload(1, leaves=leaves), dear) == pytest.approx(1 / 280e-6, rel=1e-6)


def test_what_holds_the_gil_is_done_by_one_at_a_time() -> None:
    """No more than one request per actor's part and row's part, though server and actors are two."""
    limit = 1 / (SOME.actor_s + SOME.row_s)
    for label in ("slot", "threading"):
        assert per_s(workload(64), label=label) < limit * 1.001
    assert per_s(workload(64), label="slot") > 0.9 * limit


@pytest.mark.parametrize(
    ("label", "rows"), [("slot", 16.0), ("slot[inline]", 16.0), ("threading", 8.0)]
)
def test_our_slot_waits_for_those_who_come_right_back(label: str, rows: float) -> None:
    """A 5 ms policy and no think time: all in a batch, where others alternate between two halves."""
    asked = workload(16, model=Model(latency_ms=5.0))
    told = forecast.of_contender(asked, forecast.nominal(asked, 4), label, SOME)
    assert told.mean_batch_size == pytest.approx(rows, rel=0.05)


def test_in_another_server_it_does_not() -> None:
    """Taking turns is the work of both."""
    assert forecast.takes_turns("slot")
    assert forecast.takes_turns("slot[inline,preallocate]")
    assert not forecast.takes_turns("slot@torchrl")
    assert not forecast.takes_turns("slot[preallocate]@torchrl")
    assert not forecast.takes_turns("torchrl.slot")


def test_those_who_think_are_not_waited_for() -> None:
    """Steps of 20 ms beside a 1 ms policy: taking turns changes nothing."""
    asked = workload(
        16, model=Model(latency_ms=1.0), think=ThinkTime("exponential", mean_ms=20.0)
    )
    assert per_s(asked, label="slot") == pytest.approx(per_s(asked), rel=0.02)


@pytest.mark.parametrize(
    ("model", "think", "regime", "limit"),
    [
        (Model(), ThinkTime(), "transport", "transport"),
        (Model(latency_ms=20.0), ThinkTime("constant", 1.0), "policy", "policy"),
        (Model(latency_ms=1.0), ThinkTime("constant", 500.0), "think", "think time"),
        (Model(latency_ms=1.0), ThinkTime("constant", 5.0, 1.0, "busy"), "think", "GIL"),
        (
            Model(latency_ms=1.0),
            ThinkTime("constant", 20.0, 1.0, "busy_nogil"),
            "think",
            "processors",
        ),
    ],
)
def test_what_limits_is_what_is_in_use_most(
    model: Model, think: ThinkTime, regime: str, limit: str
) -> None:
    """By a workload of which it is plain."""
    asked = workload(32, model=model, think=think)
    demands = forecast.nominal(asked, 2)
    told = forecast.of_contender(asked, demands, "threading", SOME)
    shares = forecast.shares(asked, demands, told, SOME)
    assert (shares.regime, shares.limit) == (regime, limit)
    assert getattr(
        shares,
        {"think time": "think", "GIL": "environments_gil"}.get(limit, limit),
    ) == pytest.approx(1.0, abs=0.15)


@settings(max_examples=15, deadline=None)
@given(
    num_slots=st.integers(1, 24),
    think_ms=st.floats(0.0, 10.0),
    policy_ms=st.floats(0.0, 10.0),
    more_ms=st.floats(0.5, 10.0),
    label=st.sampled_from(["slot", "slot[inline]", "threading", "torchrl.slot"]),
)
def test_a_slower_policy_never_serves_more(
    num_slots: int, think_ms: float, policy_ms: float, more_ms: float, label: str
) -> None:
    """To the scatter of drawn think times, and of who happens to be in a batch."""
    cost = transport_costs.load().costs[label]

    def rate(latency_ms: float) -> float:
        think = ThinkTime("exponential", think_ms) if think_ms else ThinkTime()
        model = Model(latency_ms=latency_ms)
        return per_s(workload(num_slots, model=model, think=think), cost, label)

    assert rate(policy_ms + more_ms) <= rate(policy_ms) * 1.03
