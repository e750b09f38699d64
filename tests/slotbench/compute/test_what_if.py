"""Predictions under what is supposed: combinations, queues, transports, which one is best."""

import dataclasses
import math
from typing import Any

import pytest

from slotbench.compute import transport_costs, what_if
from slotbench.compute.what_if import AXES, Basis
from slotbench.errors import SlotbenchError
from slotbench.records import Leaf, PredictedRow

FITTED = transport_costs.load()
BASIS = Basis(
    step_mode="idle",
    leaves=(Leaf("observation", (8,), "float32"),),
    num_cpus=None,
    fitted=FITTED,
    pace=1.0,
    is_pace_known=True,
)
PLAIN: dict[str, tuple[Any, ...]] = {
    "num_envs": (64,),
    "step_ms": (5.0,),
    "step_distribution": ("constant",),
    "step_sigma": (0.0,),
    "reset_every": (0,),
    "reset_ms": (0.0,),
    "policy_ms": (20.0,),
    "policy_per_item_ms": (0.1,),
    "policy_distribution": ("constant",),
    "policy_sigma": (0.0,),
    "transport": ("none",),
    "queues": ("shared",),
    "num_servers": (1,),
    "max_batch_size": (64,),
    "min_batch_size": (1,),
    "timeout_ms": (10.0,),
}


def rows(basis: Basis = BASIS, **values: Any) -> list[PredictedRow]:
    """Rows of these values; what is not given is one plain one."""
    asked = PLAIN | {
        name: value if isinstance(value, tuple) else (value,)
        for name, value in values.items()
    }
    return list(what_if.predict(basis, what_if.cases(basis, asked)))


def only(basis: Basis = BASIS, **values: Any) -> PredictedRow:
    (row,) = rows(basis, **values)
    return row


def test_the_axes_are_the_fields_that_may_be_supposed() -> None:
    """Every field of a row that no simulation makes, but the mode and what n* is, is an axis."""
    fields = [field.name for field in dataclasses.fields(PredictedRow)]
    supposed = {*fields[: fields.index("per_s")]} - {"step_mode", "is_balanced"}
    assert {axis.field for axis in AXES} == supposed


def test_the_least_of_all_is_the_studys() -> None:
    """The peers study's vla: 1.37, 1.61 and 1.28 rows a ms at 1, 53 and all, of exponential steps."""
    found = rows(
        step_distribution="exponential", min_batch_size=(1, 53, 64), timeout_ms=60_000.0
    )

    assert [one.per_s / 1e3 for one in found] == pytest.approx([1.37, 1.61, 1.28], rel=0.02)
    assert only(min_batch_size="n*").min_batch_size == 53


def test_the_balance_is_that_of_all_servers_of_a_queue() -> None:
    """Of 256 environments: two servers of one queue make smaller batches than one; two queues are two of 128."""
    one, shared, own, half = (
        only(**values, max_batch_size=1000, min_batch_size="n*").min_batch_size
        for values in (
            {"num_envs": 256},
            {"num_envs": 256, "num_servers": 2},
            {"num_envs": 256, "num_servers": 2, "queues": "own"},
            {"num_envs": 128},
        )
    )
    # k·n/S(n) = N/(Z + S(n)), by hand.
    made, served = 256 / (0.025 + 1e-4 * shared), 2 * shared / (0.020 + 1e-4 * shared)
    assert made == pytest.approx(served, rel=0.02)
    assert one > 2 * shared * 0.98
    assert own == half


def test_what_limits_processes_is_what_limits_one_of_them() -> None:
    """32 transports in as many processes, each in use for a tenth of the time: the actors think."""
    found = only(
        num_envs=256,
        num_servers=32,
        queues="own",
        step_ms=20.0,
        policy_ms=1.0,
        transport="slot",
    )
    assert found.limit == "think time"


def test_more_servers_with_more_environments_serve_each_alike_in_queues_of_their_own() -> (
    None
):
    """Eight processes of 64 are eight times one of 64; what one queue holds is a process's."""
    alone = only(step_distribution="exponential")
    eight = only(step_distribution="exponential", num_envs=512, num_servers=8, queues="own")

    assert eight.per_s == pytest.approx(8 * alone.per_s)
    assert eight.bound_per_s == pytest.approx(8 * alone.bound_per_s)
    assert eight.latency_p99_s == alone.latency_p99_s
    assert eight.mean_batch_size == pytest.approx(alone.mean_batch_size)
    assert eight.busy_ratio == pytest.approx(alone.busy_ratio)


def test_shares_of_queues_are_even_and_whole() -> None:
    """100 environments over 3 queues: 34, 33 and 33, each a barrier of its own."""
    found = only(
        num_envs=100, num_servers=3, queues="own", min_batch_size=33, timeout_ms=1e4
    )

    assert found.num_envs == 100
    assert found.max_batch_size == 34
    # 34 with a minimum of 33 leave one over now and then; none is faster than its barrier.
    assert found.per_s <= 34 / 0.0284 + 2 * 33 / 0.0283


def test_environments_under_one_gil_do_not_scale_and_processes_do() -> None:
    """1 ms of Python a step: 1 000 requests a second a process, however many servers."""
    busy = dataclasses.replace(BASIS, step_mode="busy")
    values = {"step_ms": 1.0, "policy_ms": 0.1, "policy_per_item_ms": 0.0}
    shared, own = rows(busy, **values, num_servers=4, queues=("shared", "own"))

    assert shared.per_s == pytest.approx(1_000, rel=0.01)
    assert own.per_s == pytest.approx(4_000, rel=0.01)
    assert shared.limit == own.limit == "GIL"


def test_processors_limit_steps_that_compute() -> None:
    """Two of them, steps of 1 ms without the GIL: 2 000 requests a second, in one process or two."""
    two = dataclasses.replace(BASIS, step_mode="busy_nogil", num_cpus=2)
    values = {"step_ms": 1.0, "policy_ms": 0.1, "policy_per_item_ms": 0.0}
    for queues in ("shared", "own"):
        found = only(two, **values, num_servers=2, queues=queues)
        assert found.per_s == pytest.approx(2_000, rel=0.01)
        assert found.limit == "processors"


def test_a_transports_cost_is_added_and_costs_nothing_where_none_is_named() -> None:
    """Of 20 ms of policy little; where nothing else takes time it is all there is."""
    free, slot = rows(transport=("none", "slot"), policy_ms=0.5)
    assert slot.per_s < 0.8 * free.per_s
    assert free.low is None
    assert slot.low is not None
    assert slot.high is not None
    assert slot.low < slot.per_s < slot.high
    bare = only(transport="slot", step_ms=0.0, policy_ms=0.0, policy_per_item_ms=0.0)
    cost = FITTED.costs["slot"]
    per_row_s = cost.actor_s + cost.row_s + cost.kib_s / 32
    assert bare.per_s == pytest.approx(1 / (per_row_s + cost.batch_s / 64), rel=0.05)
    assert bare.limit == "transport"


def test_intervals_are_only_of_what_was_checked() -> None:
    """None with several servers, none beyond the recorded number of actors."""
    found = rows(transport="slot", num_envs=(256, 257, 1024), num_servers=(1, 2))
    known = [(one.num_envs, one.num_servers) for one in found if one.low is not None]
    assert known == [(256, 1)]


def test_a_hundred_thousand_environments_are_served_at_the_bound() -> None:
    """Sixty-four servers in full batches: 64·512 rows in each 71.2 ms."""
    found = only(num_envs=100_000, num_servers=64, max_batch_size=512)

    assert found.per_s == pytest.approx(64 * 512 / 0.0712, rel=0.01)
    assert found.busy_ratio == pytest.approx(1.0, abs=0.03)
    # Little's law.
    assert found.latency_p50_s == pytest.approx(1e5 / found.per_s - 0.005, rel=0.1)


def test_policies_that_scatter_cost_what_waits_for_them() -> None:
    """Means stay: alone the same rate; its p99 becomes that of the distribution."""
    steady, wide = rows(
        num_envs=1,
        policy_distribution=("constant", "lognormal"),
        policy_sigma=1.0,
        step_ms=1.0,
    )
    assert wide.per_s == pytest.approx(steady.per_s, rel=0.03)
    tail = math.exp(2.326 - 0.5)
    assert wide.latency_p99_s / steady.latency_p99_s == pytest.approx(tail, rel=0.06)


def test_long_tails_of_steps_cost_a_minimum_of_all() -> None:
    """As the page on predictions says: less than half of what near equal steps make of it."""
    values = {"min_batch_size": 64, "timeout_ms": 100.0, "step_distribution": "lognormal"}
    near, far = rows(**values, step_sigma=(0.3, 1.5))
    assert far.per_s < 0.5 * near.per_s
    assert near.timeout_ratio < 0.01 < far.timeout_ratio
    assert far.limit == "batching rule"


def test_resets_lengthen_the_mean_step() -> None:
    """Alone: every tenth step takes 50 ms more."""
    values = {"num_envs": 1, "step_ms": 5.0, "policy_ms": 1.0, "policy_per_item_ms": 0.0}
    found = only(**values, reset_every=10, reset_ms=50.0)
    assert found.per_s == pytest.approx(1 / 0.011, rel=0.01)


def test_what_does_not_matter_makes_no_row() -> None:
    """σ of constant steps, queues of one server, a maximum above the environments."""
    found = rows(
        step_distribution=("constant", "exponential"),
        step_sigma=(0.5, 1.0),
        queues=("shared", "own"),
        max_batch_size=(64, 1000),
    )
    assert [(one.step_distribution, one.step_sigma) for one in found] == [
        ("constant", 0.0),
        ("exponential", 0.0),
    ]
    assert {(one.queues, one.max_batch_size) for one in found} == {("shared", 64)}


def test_a_minimum_above_the_maximum_is_left_out() -> None:
    """Where another combination is left; else it is said."""
    found = rows(min_batch_size=(1, 32), max_batch_size=(16, 64))
    assert [(one.min_batch_size, one.max_batch_size) for one in found] == [
        *((1, 16), (1, 64), (32, 64))
    ]
    with pytest.raises(SlotbenchError, match="--min-batch is above --max-batch everywhere"):
        rows(min_batch_size=32, max_batch_size=16)


def test_nonsense_is_refused() -> None:
    """Too many combinations, more queues than actors, no time at all."""
    many = tuple(float(n) for n in range(20))
    with pytest.raises(SlotbenchError, match=r"400 combinations .*--step-ms 20.* 256"):
        rows(step_ms=many, policy_ms=many)
    alike = rows(step_sigma=many, policy_sigma=many, max_batch_size=(64, 100))
    assert len(alike) == 1
    with pytest.raises(SlotbenchError, match="only 2 environments"):
        rows(num_envs=2, num_servers=3, queues="own")
    with pytest.raises(SlotbenchError, match="nothing takes any time"):
        rows(step_ms=0.0, policy_ms=0.0, policy_per_item_ms=0.0)


def row(per_s: float, **changes: Any) -> PredictedRow:
    return dataclasses.replace(SOME, per_s=per_s, **changes)


SOME = only()


def test_the_best_is_the_simplest_within_three_percent() -> None:
    """Fewest servers, then the smallest minimum, then the first; one of each situation."""
    found = [
        row(1000.0, num_servers=4),
        row(1020.0, num_servers=2, min_batch_size=8),
        row(995.0, num_servers=2),
        row(900.0, num_servers=1),
        row(500.0, num_envs=32),
    ]
    assert what_if.best(found) == (2, 4)


def test_the_best_keeps_to_the_latency_or_comes_nearest() -> None:
    """The fastest of those that are fast enough; of none the one with the shortest tail."""
    slow = {"is_fast_enough": False}
    found = [row(1000.0, latency_p99_s=0.3, **slow), row(500.0, latency_p99_s=0.1)]
    assert what_if.best(found) == (1,)
    found[1] = dataclasses.replace(found[1], **slow)
    assert what_if.best(found) == (1,)


def test_a_transport_that_costs_nothing_is_no_choice_beside_others() -> None:
    """It is what they are held against."""
    found = [row(1000.0), row(700.0, transport="slot"), row(600.0, transport="threading")]
    assert what_if.best(found) == (1,)
    assert what_if.best(found[:1]) == (0,)


@pytest.mark.parametrize(
    ("num_servers", "num_cpus"), [(4, 7), (8, 2), (3, 4)], ids=["rest", "fewer", "uneven"]
)
def test_queues_of_their_own_share_the_processors_that_there_are(
    num_servers: int, num_cpus: int
) -> None:
    """Steps of 1 ms that compute: 1 000 requests a second a processor, however many queues, and no more."""
    basis = dataclasses.replace(BASIS, step_mode="busy_nogil", num_cpus=num_cpus)
    values = {"step_ms": 1.0, "policy_ms": 0.05, "policy_per_item_ms": 0.0}
    found = only(basis, **values, num_servers=num_servers, queues="own")
    assert found.bound_per_s == pytest.approx(1_000 * num_cpus, rel=0.01)
    assert found.per_s == pytest.approx(1_000 * num_cpus, rel=0.02)
    assert found.limit == "processors"


def test_a_policy_that_scatters_leaves_the_transports_cost_alone() -> None:
    """Of a policy that takes next to nothing the spread is nothing, also with a transport that takes much."""
    values = {"policy_ms": 1e-6, "policy_per_item_ms": 0.0, "step_ms": 0.1}
    steady, wide = rows(
        **values,
        transport="slot",
        policy_distribution=("constant", "lognormal"),
        policy_sigma=1.5,
    )
    assert wide.per_s == pytest.approx(steady.per_s, rel=1e-3)
    assert wide.latency_p99_s == pytest.approx(steady.latency_p99_s, rel=1e-3)


def test_a_minimum_is_no_more_than_the_environments_of_a_queue() -> None:
    """As a maximum is: all of them are waited for, and not the timeout every time."""
    found = rows(num_envs=(8, 64), min_batch_size=32, max_batch_size=32)
    assert [(one.min_batch_size, one.max_batch_size) for one in found] == [(8, 8), (32, 32)]
    assert found[0].timeout_ratio == 0.0
    own = only(num_envs=10, num_servers=3, queues="own", min_batch_size=10)
    assert (own.min_batch_size, own.max_batch_size) == (3, 4)


def test_a_timeout_that_ends_nothing_makes_no_row() -> None:
    """With a minimum of 1 there is one row, with another there are three."""
    found = rows(timeout_ms=(1.0, 5.0, 10.0), min_batch_size=(1, 32))
    assert [one.min_batch_size for one in found] == [1, 32, 32, 32]


@pytest.mark.parametrize(
    ("values", "limit"),
    [
        ({"num_envs": 4, "step_ms": 1.0, "policy_ms": 5.0, "num_servers": 16}, "policy"),
        ({"num_envs": 8, "step_ms": 0.0, "policy_ms": 1.0, "num_servers": 16}, "policy"),
        (
            {"num_envs": 8, "step_ms": 5.0, "policy_ms": 1.0, "num_servers": 16},
            "think time",
        ),
        (
            {
                "num_envs": 8,
                "policy_ms": 1.0,
                "min_batch_size": 8,
                "step_distribution": "lognormal",
                "step_sigma": 2.0,
                "timeout_ms": 6e4,
            },
            "batching rule",
        ),
    ],
)
def test_the_batching_rule_limits_only_whom_it_makes_wait(
    values: dict[str, Any], limit: str
) -> None:
    """Idle servers and nobody who waits: it is what an actor's own time goes to."""
    found = only(**values, policy_per_item_ms=0.0)
    assert found.busy_ratio < 0.6
    assert found.limit == limit
