"""What a workload would serve under what is supposed: every combination of several values, a row each.

A row is the simulation of `slotbench.compute.simulation.of_many`: up to 100 000 actors and many servers. With a
transport its fitted costs are added, as in `slotbench.compute.forecast`. Several servers take batches off one
queue ("shared"), all in one process under one GIL; or each is a process with a transport, an equal share of
the actors and a GIL of its own ("own"). Such queues know nothing of each other, so that of queues of one size
one is simulated; processors, where their number is given, are shared: a queue uses no more than its share,
rounded up, and all queues together no more than there are.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from slotbench.compute import advice, bound, forecast, simulation, think_times
from slotbench.compute.demands import Demands
from slotbench.compute.simulation import Simulated
from slotbench.compute.transport_costs import Fitted, TransportCost
from slotbench.compute.workloads import observation_bytes
from slotbench.errors import SlotbenchError
from slotbench.records import (
    Batching,
    Leaf,
    Model,
    Observation,
    PredictedRow,
    ThinkTime,
    Window,
    Workload,
)
from slotbench.records.prediction import PredictedLimit, Queues, Spread

NO_TRANSPORT: Final = "none"
"""The transport that costs nothing."""

BALANCED: Final = "n*"
"""A minimum batch: that at which requests are made as fast as they are served."""

MAX_ENVS: Final = 100_000
MAX_SERVERS: Final = 1_024
MAX_ROWS: Final = 256
_MAX_MERGED: Final = 65_536
"""Combinations that are looked through for those that come to the same."""

MEASURED_ENVS: Final = 1_024
"""Threads of one process, beyond which no recorded run says what a transport costs."""

_SEED: Final = 1
_FREE: Final = TransportCost(0.0, 0.0, 0.0, 0.0, 0.0)
_NEVER_IDLE: Final = 0.95
"""Share of the time in which servers serve, from which on they limit."""
_IN_USE: Final = 0.5
"""Share of the time, below which what is in use most does not limit: an actor's own cycle does."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that may be supposed to have several values.

    Attributes:
        field: of `PredictedRow`.
        option: of the command line.
        heading: of a column.
        kind: int, float or str.
        least, most: of a number.
        names: of text; () is any.
        is_given: it is the user's problem, not a choice.
    """

    field: str
    option: str
    heading: str
    kind: type
    least: float = 0.0
    most: float = 60_000.0
    names: tuple[str, ...] = ()
    is_given: bool = False


_SPREADS: Final = ("constant", "exponential", "lognormal")

AXES: Final = (
    Axis("num_envs", "--num-envs", "envs", int, 1, MAX_ENVS, is_given=True),
    Axis("step_ms", "--step-ms", "step, ms", float, is_given=True),
    *(
        Axis("step_distribution", "--step-distribution", "steps", str, names=_SPREADS, is_given=True),
        Axis("step_sigma", "--step-sigma", "σ of steps", float, 0.0, 3.0, is_given=True),
    ),
    Axis("reset_every", "--reset-every", "reset every", int, 0, 1_000_000, is_given=True),
    Axis("reset_ms", "--reset-ms", "reset, ms", float, is_given=True),
    Axis("policy_ms", "--policy-ms", "policy, ms", float, is_given=True),
    Axis("policy_per_item_ms", "--policy-per-item-ms", "a row, ms", float, is_given=True),
    *(
        Axis("policy_distribution", "--policy-distribution", "policy", str, names=_SPREADS, is_given=True),
        Axis("policy_sigma", "--policy-sigma", "σ of policy", float, 0.0, 3.0, is_given=True),
    ),
    Axis("transport", "--transport", "transport", str),
    Axis("queues", "--queues", "queues", str, names=("shared", "own")),
    Axis("num_servers", "--servers", "servers", int, 1, MAX_SERVERS),
    Axis("max_batch_size", "--max-batch", "most", int, 1, MAX_ENVS),
    Axis("min_batch_size", "--min-batch", "least", int, 1, MAX_ENVS),
    Axis("timeout_ms", "--timeout-ms", "timeout, ms", float),
)  # fmt: skip
"""In the order of a row's columns: what is given before what is chosen."""

Values = Mapping[str, tuple[Any, ...]]
"""Field of a row → the values that it is supposed to have; every axis has at least one."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What all rows have in common.

    Attributes:
        step_mode: as `ThinkTime.mode`.
        leaves: of an observation.
        num_cpus: processors over all queues; None is as many as wanted.
        fitted: what transports cost.
        pace: of the machine.
        is_pace_known: whether that was measured.
        max_latency_s: limit on the 99th percentile of reply times; None is none.
    """

    step_mode: str
    leaves: tuple[Leaf, ...]
    num_cpus: int | None
    fitted: Fitted
    pace: float
    is_pace_known: bool
    max_latency_s: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One combination, before it is simulated: fields as of `PredictedRow`."""

    num_envs: int
    step_ms: float
    step_distribution: Spread
    step_sigma: float
    reset_every: int
    reset_ms: float
    policy_ms: float
    policy_per_item_ms: float
    policy_distribution: Spread
    policy_sigma: float
    transport: str
    queues: Queues
    num_servers: int
    max_batch_size: int
    min_batch_size: int
    timeout_ms: float
    is_balanced: bool = False


def cases(basis: Basis, values: Values) -> list[Case]:
    """Every combination that makes sense, in the order of the axes, each once.

    A minimum above the maximum is left out; what does not matter, such as the σ of constant steps or
    the timeout where nothing is waited for, makes no combination of its own. Neither minimum nor maximum is
    above the environments of a queue.

    Raises:
        SlotbenchError: none is left, there are too many, or more queues than environments.
    """
    number = math.prod(len(some) for some in values.values())
    if number > _MAX_MERGED:
        raise _too_many(number, values)
    found: dict[Case, None] = {}
    for combination in itertools.product(*(values[axis.field] for axis in AXES)):
        case = _plain(
            basis,
            dict(zip((axis.field for axis in AXES), combination, strict=True)),
            values,
        )
        if case.min_batch_size <= case.max_batch_size:
            found.setdefault(case)
    if not found:
        raise SlotbenchError(
            "--min-batch is above --max-batch everywhere: give a smaller minimum"
        )
    if len(found) > MAX_ROWS:
        raise _too_many(len(found), values)
    return list(found)


def _too_many(number: int, values: Values) -> SlotbenchError:
    many = ", ".join(
        f"{axis.option} {len(values[axis.field])}"
        for axis in AXES
        if len(values[axis.field]) > 1
    )
    return SlotbenchError(
        f"{number} combinations ({many}): give fewer values, {MAX_ROWS} combinations at most"
    )


def _plain(basis: Basis, fields: dict[str, Any], values: Values) -> Case:
    """A combination without what does not matter in it, and with n* as a number."""
    num_envs, servers = fields["num_envs"], fields["num_servers"]
    if servers > num_envs and fields["queues"] == "own":
        raise SlotbenchError(
            f"--servers {servers} with queues of their own: there are only {num_envs} environments "
            "to share out; give fewer"
        )
    for spread, sigma in (
        ("step_distribution", "step_sigma"),
        ("policy_distribution", "policy_sigma"),
    ):
        if fields[spread] == "lognormal" and fields[sigma] == 0.0:
            fields[spread] = "constant"
        if fields[spread] != "lognormal":
            fields[sigma] = 0.0
    if fields["step_ms"] == 0.0:
        fields |= {"step_distribution": "constant", "step_sigma": 0.0}
    if fields["policy_ms"] == fields["policy_per_item_ms"] == 0.0:
        fields |= {"policy_distribution": "constant", "policy_sigma": 0.0}
    if not (fields["reset_every"] and fields["reset_ms"]):
        fields |= {"reset_every": 0, "reset_ms": 0.0}
    if servers == 1:
        fields["queues"] = "shared"
    # One queue's actors are the most that a batch can hold.
    of_one = math.ceil(num_envs / servers) if fields["queues"] == "own" else num_envs
    fields["max_batch_size"] = min(fields["max_batch_size"], of_one)
    if fields["min_batch_size"] != BALANCED:
        fields["min_batch_size"] = min(
            fields["min_batch_size"], fewest_envs(num_envs, servers, fields["queues"])
        )
    if fields["min_batch_size"] == BALANCED:
        rows = _balance(basis, replace(Case(**fields), min_batch_size=1))
        fields |= {"min_batch_size": round(rows), "is_balanced": True}
    if fields["min_batch_size"] == 1:
        # Nothing is waited for.
        fields["timeout_ms"] = values["timeout_ms"][0]
    return Case(**fields)


def fewest_envs(num_envs: int, num_servers: int, queues: Queues) -> int:
    """Environments of the smallest queue: a larger minimum would be waited for in vain, every time."""
    return num_envs // num_servers if queues == "own" else num_envs


def _balance(basis: Basis, case: Case) -> float:
    asked = workload(basis, case)
    demands = forecast.nominal(asked, None)
    return bound.balance(
        case.num_envs // _queues(case),
        max_batch_size=case.max_batch_size,
        think_s=demands.think_s,
        batch_s=demands.service.batch_s,
        row_s=demands.service.row_s,
        num_servers=case.num_servers // _queues(case),
    )


def workload(basis: Basis, case: Case) -> Workload:
    """The workload of all actors together."""
    takes_time = case.step_ms > 0.0
    return Workload(
        num_slots=case.num_envs,
        observation=Observation(basis.leaves),
        think_time=ThinkTime(
            distribution=case.step_distribution if takes_time else "none",
            mean_ms=case.step_ms,
            sigma=case.step_sigma or 1.0,
            mode=basis.step_mode,  # type: ignore[arg-type]  # checked where it was given
            reset_every=case.reset_every,
            reset_ms=case.reset_ms,
        ),
        model=Model("sleep", case.policy_ms, case.policy_per_item_ms),
        batching=Batching(case.min_batch_size, case.max_batch_size, case.timeout_ms),
        window=Window(),
    )


def axes(values: Values, rows: Sequence[PredictedRow]) -> tuple[str, ...]:
    """Fields that were given several values, of which more than one made a row."""
    return tuple(
        axis.field
        for axis in AXES
        if len(values[axis.field]) > 1
        and len({(getattr(one, axis.field), one.is_balanced) for one in rows}) > 1
    )


def predict(
    basis: Basis, found: Sequence[Case], on_row: Callable[[int], None] = lambda _: None
) -> tuple[PredictedRow, ...]:
    """Simulate every combination.

    Args:
        basis: what they have in common.
        found: of `cases`.
        on_row: is told how many are done, each time one is.

    Raises:
        SlotbenchError: nothing takes any time.
    """
    rows = []
    for number, case in enumerate(found, 1):
        rows.append(row(basis, case))
        on_row(number)
    return tuple(rows)


def row(basis: Basis, case: Case) -> PredictedRow:
    """Simulate one combination.

    Raises:
        SlotbenchError: nothing takes any time.
    """
    cost = _FREE if case.transport == NO_TRANSPORT else basis.fitted.costs[case.transport]
    asked = workload(basis, case)
    free = forecast.nominal(asked, basis.num_cpus)
    limit = _bound_per_s(basis, case, free)
    if limit is None and cost is _FREE:
        raise SlotbenchError(
            "nothing takes any time: give --step-ms, --policy-ms or --transport"
        )
    told = _within_processors(
        _over_queues(basis, case, cost),
        forecast.with_transport(asked, free, cost, basis.pace),
    )
    shares = forecast.shares(
        asked,
        free,
        told,
        cost,
        pace=basis.pace,
        num_servers=case.num_servers,
        num_processes=_queues(case),
    )
    most_per_s = math.inf if limit is None else limit
    # Think times of a long tail that were drawn have a mean of their own, which may be less.
    per_s = min(told.per_s, most_per_s)
    latency_p99_s, low, high = told.latency_p99_s, None, None
    if cost is not _FREE:
        errors, is_known = basis.fitted.errors, basis.is_pace_known
        tail = advice.error_of(errors, "latency_p99", shares.regime, is_known)
        latency_p99_s *= tail.median
        if case.num_servers == 1 and case.num_envs <= basis.fitted.covered["num_slots"][1]:
            error = advice.error_of(errors, "throughput", shares.regime, is_known)
            low, high = per_s * error.low, min(per_s * error.high, most_per_s)
    is_fast = basis.max_latency_s is None or latency_p99_s <= basis.max_latency_s
    return PredictedRow(
        **dataclasses.asdict(case),
        step_mode=basis.step_mode,  # type: ignore[arg-type]  # checked where it was given
        per_s=per_s,
        low=low,
        high=high,
        mean_batch_size=told.mean_batch_size,
        latency_p50_s=told.latency_p50_s,
        latency_p99_s=latency_p99_s,
        busy_ratio=told.busy_ratio,
        timeout_ratio=told.timeout_ratio,
        bound_per_s=per_s if limit is None else limit,
        limit=_limit(shares, _cycle(basis, case, told, free, cost), told.busy_ratio),
        is_fast_enough=is_fast,
        num_requests=told.num_requests,
    )


def best(rows: Sequence[PredictedRow]) -> tuple[int, ...]:
    """Places of the rows to choose, one for each combination of what is given.

    A transport that costs nothing is nobody's choice where there are others: it is what they are held against.
    Of those that are fast enough, and within δ (`advice.DELTA`) of the most requests a second: the one with
    the fewest servers, then the smallest minimum, then the first. Where none is fast enough, the one that
    comes nearest.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, one in enumerate(rows):
        given = tuple(getattr(one, axis.field) for axis in AXES if axis.is_given)
        groups.setdefault(given, []).append(place)
    found = []
    for places in groups.values():
        real = [place for place in places if rows[place].transport != NO_TRANSPORT]
        found.append(_best_of(rows, real or places))
    return tuple(found)


def _best_of(rows: Sequence[PredictedRow], places: Sequence[int]) -> int:
    fast = [place for place in places if rows[place].is_fast_enough]
    if not fast:
        return min(places, key=lambda place: rows[place].latency_p99_s)
    most = max(rows[place].per_s for place in fast)
    near = [place for place in fast if rows[place].per_s * (1 + advice.DELTA) >= most]
    return min(near, key=lambda i: (rows[i].num_servers, rows[i].min_batch_size, i))


def _queues(case: Case) -> int:
    return case.num_servers if case.queues == "own" else 1


def _split(number: int, parts: int) -> dict[int, int]:
    """Even shares → how many of each."""
    share, more = divmod(number, parts)
    return {
        size: count for size, count in ((share + 1, more), (share, parts - more)) if count
    }


def _bound_per_s(basis: Basis, case: Case, free: Demands) -> float | None:
    queues, total = _queues(case), 0.0
    for size, count in _split(case.num_envs, queues).items():
        asked = replace(workload(basis, case), num_slots=size)
        limit = bound.of_demands(
            asked,
            forecast.nominal(asked, _cpus(basis, queues)),
            num_servers=case.num_servers // queues,
        )
        if limit is None:
            return None
        total += count * limit.per_s
    return min(total, _computed_per_s(free, case.max_batch_size))


def _cpus(basis: Basis, queues: int) -> int | None:
    """Processors that one of the queues may use; over all of them that may be more than there are."""
    return None if basis.num_cpus is None else math.ceil(basis.num_cpus / queues)


def _computed_per_s(demands: Demands, rows: float) -> float:
    """Requests per second that all processors together can compute in batches of so many rows."""
    cpu_s = demands.think_cpu_s + demands.service_cpu.of(rows) / rows
    if demands.num_cpus is None or cpu_s <= 0.0:
        return math.inf
    return demands.num_cpus / cpu_s


def _within_processors(found: Simulated, demands: Demands) -> Simulated:
    """No more than all processors compute, where each queue alone would have enough of them."""
    most_per_s = _computed_per_s(demands, found.mean_batch_size)
    if found.per_s <= most_per_s:
        return found
    share = most_per_s / found.per_s
    return replace(found, per_s=most_per_s, busy_ratio=found.busy_ratio * share)


def _over_queues(basis: Basis, case: Case, cost: TransportCost) -> Simulated:
    """What all queues serve together; latencies of the larger ones, which have an actor more."""
    queues = _queues(case)
    found = []
    for size, count in _split(case.num_envs, queues).items():
        asked = replace(workload(basis, case), num_slots=size)
        demands = forecast.nominal(asked, _cpus(basis, queues))
        found.append((count, _simulated(basis, case, asked, demands, cost)))
    per_s = math.fsum(count * one.per_s for count, one in found)
    batches_per_s = math.fsum(
        count * one.per_s / one.mean_batch_size for count, one in found
    )
    return replace(
        found[0][1],
        per_s=per_s,
        mean_batch_size=per_s / batches_per_s,
        busy_ratio=math.fsum(count * one.busy_ratio for count, one in found) / queues,
    )


def _simulated(
    basis: Basis, case: Case, asked: Workload, demands: Demands, cost: TransportCost
) -> Simulated:
    servers = case.num_servers // _queues(case)
    factors = None
    if case.policy_distribution != "constant":
        factors = _factors(case.policy_distribution, case.policy_sigma)
    return simulation.of_many(
        asked,
        forecast.with_transport(asked, demands, cost, basis.pace),
        seed=_SEED,
        num_servers=servers,
        takes_turns=servers == 1 and forecast.takes_turns(case.transport),
        factors=factors,
        policy=demands.service,
    )


def _factors(distribution: Spread, sigma: float) -> Iterator[float]:
    """By what a policy's time is longer than its mean, batch by batch."""
    spread = ThinkTime(distribution, 1e3, sigma or 1.0)
    (drawn,) = think_times.of_many_s(spread, 1, _SEED + 1)
    return drawn


def _cycle(
    basis: Basis, case: Case, told: Simulated, free: Demands, cost: TransportCost
) -> dict[PredictedLimit, float]:
    """Shares of an actor's time from request to request; what is none of the others' it waits."""
    cycle_s = case.num_envs / told.per_s
    rows = told.mean_batch_size
    served_s = cost.service(
        observation_bytes(basis.leaves), len(basis.leaves), basis.pace
    ).of(rows)
    found: dict[PredictedLimit, float] = {
        "think time": free.think_s / cycle_s,
        "policy": free.service.of(rows) / cycle_s,
        "transport": (basis.pace * cost.actor_s + served_s) / cycle_s,
    }
    return {**found, "batching rule": 1.0 - sum(found.values())}


def _limit(
    shares: forecast.Shares, cycle: Mapping[PredictedLimit, float], busy_ratio: float
) -> PredictedLimit:
    """What is in use most; of servers that are never idle, what they spend their time on.

    Where nothing is in use for half of the time it is what an actor's time goes to, which is the batching rule
    only if that is waiting.
    """
    if shares.limit == "think time" and busy_ratio >= _NEVER_IDLE:
        return "policy" if shares.policy >= shares.transport else "transport"
    most = max(
        shares.transport,
        shares.policy,
        shares.environments_gil,
        shares.processors,
        shares.think,
    )
    return shares.limit if most >= _IN_USE else max(cycle, key=lambda name: cycle[name])
