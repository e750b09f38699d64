"""What a transport is expected to serve: the simulated free transport, with its costs added.

The server's work on a batch is the policy's S(n) and the transport's c + d·n; an actor's cycle is its
think time and what it does for a request. What the transport takes, on either side, holds the GIL and
so is done by one thread at a time; a policy and a sleeping environment let it go. The server is taken to
get the GIL when it asks, and actors to go without meanwhile.
`transports.SlotTransport` waits for actors that come right back, which is simulated, too.
"""

from dataclasses import dataclass, replace
from typing import Final

from slotbench.compute import simulation, think_times
from slotbench.compute.demands import NO_TIME, Demands, ServiceTime
from slotbench.compute.simulation import Simulated
from slotbench.compute.transport_costs import TransportCost
from slotbench.compute.workloads import observation_bytes
from slotbench.records import Histogram, Window, Workload
from slotbench.records.recommendation import ForecastLimit, Regime

_SHORT: Final = Window(warmup_s=0.0, measure_s=0.0, min_requests=6_000)
"""Requests of a simulation where times are drawn: its rate is then known to 1 or 2 %,"""
_CYCLES: Final = 12
"""and of each actor where none are: a pattern shows itself in a few."""


def nominal(workload: Workload, num_cpus: int | None) -> Demands:
    """Demands of a workload as it is asked for, also where nothing takes any time.

    Unlike a bound's, these take computing at its word: an environment that computes for 1 ms holds a
    processor, and where ``mode`` says so the GIL, for that long.
    """
    think, model = workload.think_time, workload.model
    think_s = think_times.mean_s(think, workload.num_slots)
    return Demands(
        think_s=think_s,
        think_cpu_s=0.0 if think.mode == "idle" else think_s,
        think_gil_s=think_s if think.mode in {"busy", "work"} else 0.0,
        service=ServiceTime(model.latency_ms * 1e-3, model.latency_per_item_ms * 1e-3),
        service_cpu=NO_TIME,
        excess_s=0.0,
        num_cpus=num_cpus,
        source="nominal",
    )


def with_transport(
    workload: Workload, demands: Demands, cost: TransportCost, pace: float
) -> Demands:
    """Add what a transport takes."""
    leaves = workload.observation.leaves
    served = cost.service(observation_bytes(leaves), len(leaves), pace)
    actor_s = pace * cost.actor_s
    return replace(
        demands,
        think_s=demands.think_s + actor_s,
        think_cpu_s=demands.think_cpu_s + actor_s,
        think_gil_s=demands.think_gil_s + actor_s,
        excess_s=demands.excess_s + actor_s,
        service=_sum(demands.service, served),
        service_cpu=_sum(demands.service_cpu, served),
        service_gil=_sum(demands.service_gil, served),
    )


def of_contender(
    workload: Workload,
    demands: Demands,
    label: str,
    cost: TransportCost,
    *,
    pace: float = 1.0,
    seed: int = 1,
    thinks: Histogram | None = None,
) -> Simulated:
    """Simulate a workload under a contender.

    Args:
        workload: its window does not matter.
        demands: of think time and policy, as `nominal` or `demands.calibrated` give them.
        label: of the contender; it says whether the server takes turns with its actors.
        cost: its own.
        pace: of the machine.
        seed: of what is drawn.
        thinks: as calibrated, of a real environment.
    """
    return simulation.of_cell(
        replace(workload, window=_SHORT),
        with_transport(workload, demands, cost, pace),
        seed=seed,
        thinks=thinks,
        takes_turns=takes_turns(label),
        steady_cycles=_CYCLES,
    )


@dataclass(frozen=True, slots=True)
class Shares:
    """Which part of the time each limit is in use, of an expected throughput: 1 is all of it.

    Attributes:
        think: an actor thinks, idle or not.
        policy: the policy runs.
        transport: the transport, on either side, holds the GIL.
        environments_gil: environments hold the GIL.
        processors: what computes beside the transport, over all processors.
    """

    think: float
    policy: float
    transport: float
    environments_gil: float
    processors: float

    @property
    def regime(self) -> Regime:
        """Which of the first three is the greatest: where errors of a forecast differ."""
        found: dict[Regime, float] = {
            "transport": self.transport,
            "policy": self.policy,
            "think": max(self.think, self.environments_gil, self.processors),
        }
        return max(found, key=lambda name: found[name])

    @property
    def limit(self) -> ForecastLimit:
        """Which is the greatest of all."""
        found: dict[ForecastLimit, float] = {
            "transport": self.transport,
            "policy": self.policy,
            "GIL": self.environments_gil,
            "processors": self.processors,
            "think time": self.think,
        }
        return max(found, key=lambda name: found[name])


def shares(
    workload: Workload,
    demands: Demands,
    found: Simulated,
    cost: TransportCost,
    *,
    pace: float = 1.0,
    num_servers: int = 1,
    num_processes: int = 1,
) -> Shares:
    """What the time goes to at an expected throughput.

    Args:
        workload: of the simulation.
        demands: without the transport.
        found: what was simulated of it.
        cost: of the transport.
        pace: of the machine.
        num_servers: over all processes,
        num_processes: each of which has a GIL of its own.
    """
    rows, per_s = found.mean_batch_size, found.per_s
    batches_per_s = per_s / rows
    leaves = workload.observation.leaves
    served_s = cost.service(observation_bytes(leaves), len(leaves), pace).of(rows)
    cpu_s = per_s * demands.think_cpu_s + batches_per_s * demands.service_cpu.of(rows)
    return Shares(
        think=per_s * demands.think_s / workload.num_slots,
        policy=batches_per_s * demands.service.of(rows) / num_servers,
        transport=(per_s * pace * cost.actor_s + batches_per_s * served_s) / num_processes,
        environments_gil=per_s * demands.think_gil_s / num_processes,
        processors=cpu_s / demands.num_cpus if demands.num_cpus else 0.0,
    )


def takes_turns(label: str) -> bool:
    """Whether the contender is our slot transport in our server, with whatever options."""
    return label.partition("[")[0] == "slot" and "@" not in label


def _sum(first: ServiceTime, second: ServiceTime) -> ServiceTime:
    return ServiceTime(
        first.batch_s + second.batch_s,
        first.row_s + second.row_s,
        first.misfit_ratio,
        first.residual_ratio,
    )
