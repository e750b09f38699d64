"""What a transport that costs nothing would serve: the batching policy alone, simulated.

N actors think, one server gathers at least min and at most max requests (the timeout counts
from the moment at which it could have taken the oldest), serves a batch of n in S(n), and all n
actors have their replies at that instant. No signalling, no copies, no thread to wake. Work that
holds the GIL is done by one actor at a time, other computing by as many as there are processors.
So what is lost below the bound is lost to the batching rule and to how think times fall.

Several servers may take batches off one queue, each a batch at a time. One of them gathers, the others that
are idle wait for their turn, as behind one lock: so a batch that is being gathered is nobody else's, and
whoever becomes free meanwhile begins the next. The timeout counts as above, from the moment at which the one
that gathers could have taken the oldest. What holds the GIL in a server is done by one of them at a time.

A discrete-event simulation: a heap of the actors' next requests, half a microsecond each.
Requests of one instant come one by one: a server that has nothing to do takes the first of them
alone, as a real one does that is rung by the first; also at the instant at which it has replied.

Source: peers study 5.3 (machine-repairman model with bulk service); the embedded Markov chain
there is the oracle of its test.
"""

import heapq
import itertools
import math
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from slotbench.compute import think_times
from slotbench.compute.demands import NO_TIME, Demands, ServiceTime
from slotbench.compute.validity import WANTED_REPLIES_PER_ACTOR
from slotbench.records import Batching, Histogram, Workload

MAX_REQUESTS: Final = 50_000
"""Of one simulation of a cell: some 20 ms of computing."""

_STEADY_REQUESTS: Final = 2_000
_STEADY_CYCLES: Final = 50
"""Where nothing is drawn, a pattern repeats itself: so many requests show it, and so many of
each actor."""

_MANY_REQUESTS: Final = 30_000
"""Requests that show the rate of any number of actors to 1 % where times scatter by as much as their mean,"""
_MANY_CYCLES: Final = 6
"""and of each actor: a hundred thousand of them then take a few seconds."""

_WARMUP_CYCLES: Final = 5
"""Of one actor: that all ask at time 0 is forgotten by then."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came of a simulation's window.

    Attributes:
        per_s: requests per second.
        mean_batch_size: rows per batch.
        mean_latency_s: from request to reply.
        num_requests: replied in the window.
        latency_p99_s: of these, by nearest rank; the greatest of less than a hundred.
        latency_p50_s: likewise.
        busy_ratio: share of the window in which a server serves, mean over servers, 0 to 1.
        timeout_ratio: share of batches that were gathered until the timeout, 0 to 1.
        mean_cycle_s: from an actor's reply to its next. Actors over this is the rate, too: of a window
            in which each asks a few times only it is the surer one, since what its ends cut off are
            replies and their cycles alike.
    """

    per_s: float
    mean_batch_size: float
    mean_latency_s: float
    num_requests: int
    latency_p99_s: float
    latency_p50_s: float
    busy_ratio: float
    timeout_ratio: float
    mean_cycle_s: float


@dataclass(frozen=True, slots=True)
class Processors:
    """Who may compute at the same time, and how much a think computes.

    Attributes:
        num_cpus: processors; None: as many as wanted.
        think_cpu_s: computing of each think,
        think_cpu_share: and of what a think takes, the share that is computing, 0 to 1.
        think_gil_s: of ``think_cpu_s``, what holds the GIL.
        service_cpu_s: computing of a batch of n. The server never waits for a processor; what
            it takes, actors go without.
        service_gil_s: of a batch of n, what holds the GIL, likewise.
    """

    num_cpus: int | None = None
    think_cpu_s: float = 0.0
    think_cpu_share: float = 0.0
    think_gil_s: float = 0.0
    service_cpu_s: Callable[[int], float] = NO_TIME.of
    service_gil_s: Callable[[int], float] = NO_TIME.of


def simulate(
    thinks_s: Sequence[Iterator[float]],
    batching: Batching,
    service_s: Callable[[int], float],
    *,
    warmup_s: float = 0.0,
    measure_s: float = 0.0,
    min_requests: int = 1,
    max_requests: int = MAX_REQUESTS,
    processors: Processors = Processors(),
    starts_s: Sequence[float] | None = None,
    takes_turns: bool = False,
    num_servers: int = 1,
) -> Simulated:
    """Simulate until the window is long enough and holds enough, or is full.

    Args:
        thinks_s: of each actor its think times, one after the other.
        batching: the server's rule.
        service_s: S(n), seconds; it may draw.
        warmup_s: simulated seconds that do not count; a few cycles never do.
        measure_s: simulated seconds that count, at least,
        min_requests: and replies that count, at least.
        max_requests: and at most, up to the end of a cycle.
        processors: what limits computing.
        starts_s: when each actor requests for the first time; None is at time 0.
        takes_turns: as `transports.SlotTransport` does: where most of those answered last come
            right back, wait for all of them, unless a full batch is there and the policy
            takes longer than they do. A lone server's doing.
        num_servers: that take batches off the queue, each of them S(n).

    Raises:
        ValueError: no actors, no room in a batch, no server, several that take turns, or
            nothing that takes any time.
    """
    if not thinks_s or batching.max_batch_size < 1:
        raise ValueError("a simulation needs an actor, and room for it in a batch")
    if num_servers < 1 or (takes_turns and num_servers > 1):
        raise ValueError("a simulation needs a server, and one that takes turns is alone")
    starts_s = [0.0] * len(thinks_s) if starts_s is None else starts_s
    window = _Window(len(thinks_s), warmup_s, measure_s, min_requests, max_requests)
    return _Simulation(
        thinks_s,
        batching,
        service_s,
        processors,
        starts_s,
        window,
        takes_turns=takes_turns,
        num_servers=num_servers,
    ).run()


@dataclass(frozen=True, slots=True)
class _Served:
    """One batch that is being served.

    Attributes:
        taken: when each of its requests was made, and by whom.
        took_s: from its start to its end.
        is_timed_out: whether the timeout ended its gathering.
    """

    taken: Sequence[tuple[float, int]]
    took_s: float
    is_timed_out: bool


class _Window:
    """What counts of a simulation: replies, in the order in which they come."""

    def __init__(
        self,
        num_actors: int,
        warmup_s: float,
        measure_s: float,
        min_requests: int,
        max_requests: int,
    ) -> None:
        self._warmup_s = warmup_s
        self._measure_s = measure_s
        self._min_requests = min_requests
        self._max_requests = max_requests
        self._warmup_edges = _WARMUP_CYCLES
        self._begin_s: float | None = None
        self._latencies_s = array("d")
        self._replied_at = [0.0] * num_actors
        self._cycles_s = 0.0
        self._batches = self._timeouts = 0
        self._busy_s = self._end_s = 0.0
        self.is_over = False

    def add(self, served: _Served, end_s: float) -> None:
        """Count a batch whose replies come now, unless it is too early or too late."""
        if self.is_over:
            return
        # From one reply of an actor to another of its replies: whole cycles, also of
        # batches that alternate in size.
        is_edge = any(actor == 0 for _, actor in served.taken)
        if self._begin_s is None:
            self._warmup_edges -= is_edge
            if is_edge and self._warmup_edges <= 0 and end_s >= self._warmup_s:
                self._begin_s = end_s
            for _, actor in served.taken:
                self._replied_at[actor] = end_s
            return
        for _, actor in served.taken:
            self._cycles_s += end_s - self._replied_at[actor]
            self._replied_at[actor] = end_s
        self._batches += 1
        self._timeouts += served.is_timed_out
        self._busy_s += served.took_s
        self._latencies_s.extend(end_s - asked_s for asked_s, _ in served.taken)
        self._end_s = end_s
        replies = len(self._latencies_s)
        is_long = end_s - self._begin_s >= self._measure_s
        is_enough = is_long and replies >= self._min_requests
        self.is_over = is_edge and (is_enough or replies >= self._max_requests)

    def result(self, num_servers: int) -> Simulated:
        """What came of it, once it is over."""
        window_s = self._end_s - (self._begin_s or 0.0)
        if window_s <= 0.0:
            raise ValueError("nothing takes any time: there is no rate to simulate")
        replies, ranked = len(self._latencies_s), np.sort(np.asarray(self._latencies_s))
        return Simulated(
            per_s=replies / window_s,
            mean_batch_size=replies / self._batches,
            mean_latency_s=math.fsum(self._latencies_s) / replies,
            num_requests=replies,
            latency_p99_s=float(ranked[math.ceil(0.99 * replies) - 1]),
            latency_p50_s=float(ranked[math.ceil(0.5 * replies) - 1]),
            # Of several servers the first batch in the window may have begun before it.
            busy_ratio=min(1.0, self._busy_s / (num_servers * window_s)),
            timeout_ratio=self._timeouts / self._batches,
            mean_cycle_s=self._cycles_s / replies,
        )


class _Simulation:
    """The state between two batches."""

    def __init__(  # noqa: PLR0917  # what `simulate` was given
        self,
        thinks_s: Sequence[Iterator[float]],
        batching: Batching,
        service_s: Callable[[int], float],
        processors: Processors,
        starts_s: Sequence[float],
        window: _Window,
        *,
        takes_turns: bool,
        num_servers: int,
    ) -> None:
        self._thinks_s = thinks_s
        self._service_s = service_s
        self._most = batching.max_batch_size
        self._least = min(batching.min_batch_size, self._most)
        self._timeout_s = batching.timeout_ms / 1e3
        self._processors = processors
        self._cpus_free_at = [0.0] * (processors.num_cpus or 0)
        self._gil_free_at = 0.0
        self._requests = [(start_s, actor) for actor, start_s in enumerate(starts_s)]
        heapq.heapify(self._requests)
        self._waiting: deque[tuple[float, int]] = deque()
        self._window = window
        self._servers_free_at = [0.0] * num_servers
        self._servers_gil_free_at = 0.0
        # Batches that are being served: their ends, and their numbers, since ends may be equal.
        self._serving: list[tuple[float, int, _Served]] = []
        self._num_served = 0
        self._started_at = self._free_at = 0.0
        self._takes_turns = takes_turns
        # Of those answered last: when each asks again, and when the last of them is awake.
        self._asks_s: list[float] = []
        self._awake_at = 0.0
        self._service_took_s = 0.0

    def run(self) -> Simulated:
        """Serve batch after batch; see `simulate`."""
        window, serving, servers = self._window, self._serving, self._servers_free_at
        while True:
            # Whoever is free first gathers, once the batch before has been gathered.
            self._free_at = max(self._started_at, servers[0])
            while serving and serving[0][0] <= self._free_at:
                self._end_first()
            if window.is_over:
                return window.result(len(servers))
            self._started_at, taken, is_timed_out = self._gather()
            self._serve(taken, is_timed_out=is_timed_out)

    def _gather(self) -> tuple[float, list[tuple[float, int]], bool]:
        """Wait as the server does; return when it starts, what it took, and if time was up."""
        waiting, requests = self._waiting, self._requests
        if self._takes_turns:
            self._await_turn()
        self._come(self._free_at)
        if not waiting:
            self._is_next_by(math.inf)
            waiting.append(heapq.heappop(requests))
        # The oldest came while the server was busy, or just now.
        now_s = max(self._free_at, waiting[0][0])
        deadline_s = now_s + self._timeout_s
        is_timed_out = False
        while len(waiting) < self._least:
            if not self._is_next_by(deadline_s):
                now_s, is_timed_out = deadline_s, True
                break
            waiting.append(heapq.heappop(requests))
            now_s = max(now_s, waiting[-1][0])
        number = min(len(waiting), self._most)
        return now_s, [waiting.popleft() for _ in range(number)], is_timed_out

    def _is_next_by(self, until_s: float) -> bool:
        """Whether a request comes by then, also of actors that are answered meanwhile."""
        requests, serving = self._requests, self._serving
        while serving and serving[0][0] <= until_s:
            if requests and requests[0][0] < serving[0][0]:
                break
            self._end_first()
        return bool(requests) and requests[0][0] <= until_s

    def _await_turn(self) -> None:
        """Let the server be free when those come back that it has just answered."""
        back = sum(asks_s <= self._awake_at for asks_s in self._asks_s)
        self._come(self._free_at)
        is_full = len(self._waiting) >= self._most
        is_short = self._service_took_s < self._awake_at - self._free_at
        if self._asks_s and 2 * back >= len(self._asks_s) and (is_short or not is_full):
            self._free_at = self._awake_at
            # With the last of them, who asks just then.
            self._come(math.nextafter(self._awake_at, math.inf))

    def _come(self, until_s: float) -> None:
        """Move requests that came before then to those that wait."""
        requests, waiting = self._requests, self._waiting
        while requests and requests[0][0] < until_s:
            waiting.append(heapq.heappop(requests))

    def _serve(self, taken: Sequence[tuple[float, int]], *, is_timed_out: bool) -> None:
        """Begin a batch on the server that has been free for the longest."""
        rows, at_s, limits = len(taken), self._started_at, self._processors
        took_s = self._service_s(rows)
        gil_s = limits.service_gil_s(rows)
        if gil_s:
            # Of one server alone nothing is left of its last batch.
            held_until = max(at_s, self._servers_gil_free_at)
            took_s += held_until - at_s
            self._servers_gil_free_at = held_until + gil_s
            self._gil_free_at = max(self._gil_free_at, at_s) + gil_s
        if self._cpus_free_at and (cpu_s := limits.service_cpu_s(rows)):
            # The server's computing is taken from what actors may compute.
            cpus = self._cpus_free_at
            heapq.heapreplace(cpus, max(cpus[0], at_s) + cpu_s)
        self._service_took_s = took_s
        heapq.heapreplace(self._servers_free_at, at_s + took_s)
        self._num_served += 1
        served = _Served(taken, took_s, is_timed_out)
        heapq.heappush(self._serving, (at_s + took_s, self._num_served, served))

    def _end_first(self) -> None:
        """Let the batch that ends first end, and its actors compute, think, and ask again."""
        at_s, _, served = heapq.heappop(self._serving)
        self._window.add(served, at_s)
        self._awake_at = at_s
        self._asks_s = []
        cpus, limits = self._cpus_free_at, self._processors
        for _, actor in served.taken:
            think_s = next(self._thinks_s[actor])
            cpu_s = limits.think_cpu_s + limits.think_cpu_share * think_s
            began_s = at_s
            if limits.think_gil_s:
                began_s = max(began_s, self._gil_free_at)
            if cpus and cpu_s:
                began_s = max(began_s, cpus[0])
                heapq.heapreplace(cpus, began_s + cpu_s)
            if limits.think_gil_s:
                self._gil_free_at = self._awake_at = began_s + limits.think_gil_s
            self._asks_s.append(began_s + think_s)
            heapq.heappush(self._requests, (began_s + think_s, actor))


def of_cell(
    workload: Workload,
    demands: Demands,
    *,
    seed: int,
    thinks: Histogram | None = None,
    takes_turns: bool = False,
    steady_cycles: int = _STEADY_CYCLES,
) -> Simulated:
    """Simulate a trial of a cell: its think times, its warm-up and its window.

    Where think times are drawn, they are those that the trial of that seed draws, plus what
    an actor takes beside; so one round's simulation and its trials share their luck.

    Args:
        workload: of the cell.
        demands: of one round.
        seed: of the block.
        thinks: as calibrated, in nanoseconds; drawn from anew where the scenario draws none.
        takes_turns: see `simulate`.
        steady_cycles: replies of each actor that show a pattern, where nothing is drawn.

    Raises:
        ValueError: nothing takes any time.
    """
    window = workload.window
    is_real = workload.environment is not None
    is_drawn = is_real or think_times.is_drawn(workload.think_time)
    wanted = max(window.min_requests, WANTED_REPLIES_PER_ACTOR * workload.num_slots)
    steady = max(_STEADY_REQUESTS, steady_cycles * workload.num_slots)
    return simulate(
        _thinks_s(workload, demands, seed, thinks),
        workload.batching,
        demands.service.of,
        warmup_s=window.warmup_s if is_drawn else 0.0,
        measure_s=window.measure_s if is_drawn else 0.0,
        min_requests=wanted if is_drawn else steady,
        max_requests=max(MAX_REQUESTS, 2 * steady),
        processors=_processors(workload, demands),
        starts_s=_starts_s(workload, demands, seed),
        takes_turns=takes_turns,
    )


def of_many(
    workload: Workload,
    demands: Demands,
    *,
    seed: int,
    num_servers: int = 1,
    takes_turns: bool = False,
    factors: Iterator[float] | None = None,
    policy: ServiceTime | None = None,
) -> Simulated:
    """Simulate a workload of up to very many actors, and of several servers.

    Not a trial's: think times are of one stream (`think_times.of_many_s`), and the window is as long as
    rate and percentiles take.

    Args:
        workload: synthetic; its window does not matter.
        demands: of it.
        seed: of everything drawn.
        num_servers: see `simulate`.
        takes_turns: likewise.
        factors: by which each batch's policy takes longer than its mean; None is never.
        policy: of the demands' service time, what ``factors`` are of; None is all of it.

    Raises:
        ValueError: nothing takes any time.
    """
    of = demands.service.of
    scaled = demands.service.of if policy is None else policy.of
    wanted = max(_MANY_REQUESTS, _MANY_CYCLES * workload.num_slots)
    found = simulate(
        think_times.of_many_s(
            workload.think_time, workload.num_slots, seed, demands.excess_s
        ),
        workload.batching,
        of
        if factors is None
        else lambda rows: of(rows) + (next(factors) - 1.0) * scaled(rows),
        min_requests=wanted,
        max_requests=2 * wanted,
        processors=_processors(workload, demands),
        starts_s=_starts_s(workload, demands, seed),
        takes_turns=takes_turns,
        num_servers=num_servers,
    )
    per_s = workload.num_slots / found.mean_cycle_s
    busy_ratio = min(1.0, found.busy_ratio * per_s / found.per_s)
    return replace(found, per_s=per_s, busy_ratio=busy_ratio)


def _processors(workload: Workload, demands: Demands) -> Processors:
    is_real = workload.environment is not None
    share = demands.think_cpu_s / demands.think_s if demands.think_s > 0 else 0.0
    return Processors(
        demands.num_cpus,
        think_cpu_s=0.0 if is_real else demands.think_cpu_s,
        think_cpu_share=min(1.0, share) if is_real else 0.0,
        think_gil_s=demands.think_gil_s,
        service_cpu_s=demands.service_cpu.of,
        service_gil_s=demands.service_gil.of,
    )


def _starts_s(workload: Workload, demands: Demands, seed: int) -> list[float]:
    """Spread equal think times over their length: all at once, as no real actors stay, is a special case."""
    num_slots = workload.num_slots
    if workload.think_time.distribution != "constant":
        return [0.0] * num_slots
    rng = np.random.default_rng(seed)
    phases: list[float] = rng.uniform(0.0, demands.think_s, num_slots).tolist()
    return phases


def _thinks_s(
    workload: Workload, demands: Demands, seed: int, thinks: Histogram | None
) -> list[Iterator[float]]:
    """Each actor's think times; those that are not drawn, with the jitter that was calibrated."""
    num_slots = workload.num_slots
    if workload.environment is None and think_times.is_drawn(workload.think_time):
        return [
            _drawn_s(workload, demands.excess_s, think_times.actor_seed(seed, i))
            for i in range(num_slots)
        ]
    if thinks is not None and thinks.buckets:
        seeds = (think_times.actor_seed(seed, i) for i in range(num_slots))
        # What a real environment's actor takes beside is in what was seen of it.
        more_s = 0.0 if workload.environment is None else demands.excess_s
        return [_sampled_s(thinks, one, more_s) for one in seeds]
    return [itertools.repeat(demands.think_s)] * num_slots


def _drawn_s(workload: Workload, excess_s: float, seed: int) -> Iterator[float]:
    """Draw only for those who ask: thousands of actors may ask a few times each."""
    drawn = think_times.draw_s(workload.think_time, seed) or [0.0]
    yield from (max(0.0, value + excess_s) for value in itertools.cycle(drawn))


def _sampled_s(thinks: Histogram, seed: int, more_s: float) -> Iterator[float]:
    """Draw from a histogram: a bucket by its count, the middle of it, and so much more or less."""
    from slotbench.compute.histogram import edges_ns

    middles_s = np.array([(sum(edges_ns(i)) - 1) / 2e9 for i, _ in thinks.buckets])
    middles_s = np.maximum(0.0, middles_s + more_s)
    counts = np.array([count for _, count in thinks.buckets], float)
    rng = np.random.default_rng(seed)
    while True:
        chosen = rng.choice(middles_s, think_times.NUM_DRAWN, p=counts / counts.sum())
        yield from chosen.tolist()
