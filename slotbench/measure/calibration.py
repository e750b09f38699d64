"""Z and S(n) as they are on this machine, with nothing to wait for but themselves.

Think time: an actor's own loop, with its own stamps, on a client that answers at once with
what the policy makes of a batch of one. Service time: the policy as a server is given it, on
batches made beforehand. In a process of its own, in its main thread, so that no thread waits for
another: what contention adds is a loss, and must not be in what the loss is counted from.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from tensordict import TensorDictBase

from slotbench.compute import histogram, think_times
from slotbench.measure import environments, interpreter, machine, policies
from slotbench.measure.actors import Actor
from slotbench.measure.budget import (
    CALIBRATION_MAX_THINK_S,
    CALIBRATION_SERVICE_S,
    CALIBRATION_THINK_S,
    CALIBRATION_WORK_S,
    MIN_CALIBRATION_CALLS,
    MIN_CALIBRATION_THINKS,
    calibrated_sizes,
)
from slotbench.measure.columns import Column
from slotbench.measure.identity import REPLY_ID, REQUEST_ID, IdentityCheck
from slotbench.measure.on_device import DevicePolicy
from slotbench.measure.outcomes import raised
from slotbench.measure.served import ServedModel
from slotbench.records import CalibrationRecord, ServicePoint, ThinkTime, Workload

_MAX_THINKS: Final = 20_000
_WARMUP_THINKS: Final = 20
_WARMUP_CALLS: Final = 2


def run_calibration(
    workload: Workload, *, block: tuple[int, str, int], seed: int, started_at: str
) -> CalibrationRecord:
    """Time the workload's actor and its policy, each alone.

    Args:
        workload: of the cell.
        block: round, cell's name and attempt, for the record.
        seed: of the block; think times are drawn from it as in its trials.
        started_at: ISO 8601 UTC, for the record.

    Returns:
        The record, with ``duration_s`` still 0: the executor knows it.
    """
    torch.set_num_threads(workload.torch_threads)
    before, began = machine.read(), time.perf_counter()
    with torch.no_grad():
        thinks = _think(workload, seed)
        work_s = None
        if workload.environment is None:
            idle = replace(workload, think_time=ThinkTime())
            work = _think(idle, seed, for_s=CALIBRATION_WORK_S)
            work_s = float(np.median(work.times_ns)) / 1e9
        service = _service(workload, seed)
    observed_s = time.perf_counter() - began
    use = machine.between(before, machine.read())
    round_index, cell, attempt = block
    return CalibrationRecord(
        round=round_index,
        cell=cell,
        attempt=attempt,
        status="ok",
        started_at=started_at,
        duration_s=0.0,
        think=histogram.count(thinks.times_ns),
        think_mean_s=float(thinks.times_ns.mean()) / 1e9,
        think_excess_s=thinks.excess_s,
        think_cpu_s=thinks.cpu_s,
        work_s=work_s,
        service=service,
        observed_s=observed_s,
        num_cpus=machine.num_cpus(),
        steal_s=use.steal_s,
        foreign_cpu_s=use.foreign_cpu_s,
        is_gil_enabled=interpreter.is_gil_enabled(),
    )


@dataclass(frozen=True, slots=True)
class _Thinks:
    """What one actor did between its replies and its requests.

    Attributes:
        times_ns: of each.
        excess_s: median of their excess over the think times drawn; None for a real environment.
        cpu_s: per request, of all that the environment computes in.
    """

    times_ns: Column
    excess_s: float | None
    cpu_s: float


def _think(workload: Workload, seed: int, *, for_s: float = CALIBRATION_THINK_S) -> _Thinks:
    """Let one actor think for a while, as the first actor of a trial of that seed does.

    It acts on what that trial's own policy says: how long episodes are is part of think time.
    """
    identity = IdentityCheck(0)
    own_seed = think_times.actor_seed(seed, 0)
    environment = environments.build(
        workload, identity.ids, has_payload=True, seed=own_seed
    )
    actor = Actor(0, environment, identity, _MAX_THINKS)
    stop = threading.Event()
    clock = _cpu_clock(workload)
    client = _Client(_policy_without_wait(workload, seed), stop, for_s, clock)
    cpu_ns = clock()
    actor.loop(client, stop)
    cpu_ns = clock() - cpu_ns - client.cpu_ns
    if actor.error:
        raise RuntimeError(raised(actor.error))
    submitted_ns, replied_ns = actor.stamps_ns()
    times_ns = submitted_ns[1:] - replied_ns[:-1]
    warmup = min(_WARMUP_THINKS, len(times_ns) // 5)
    excess_s = None
    if workload.environment is None:
        drawn = np.array(think_times.draw_s(workload.think_time, own_seed) or [0.0])
        drawn_s = drawn[np.arange(len(times_ns)) % len(drawn)]
        excess_s = float(np.median((times_ns / 1e9 - drawn_s)[warmup:]))
    return _Thinks(times_ns[warmup:], excess_s, max(0.0, cpu_ns / actor.num_replied / 1e9))


def _cpu_clock(workload: Workload) -> Callable[[], int]:
    """The clock of the CPU time, in nanoseconds, that an actor and its environment need.

    EnvPool steps in a thread of its own. Otherwise other threads of the process are torch's,
    which spin for a while when a batch is done: that is no need.
    """
    environment = workload.environment
    if environment is not None and environment.library == "envpool":
        return time.process_time_ns
    return time.thread_time_ns


class _Client:
    """Answers in the actor's own thread, counts its own CPU time, and ends the loop in time.

    What it answers is what the policy makes of a batch of one.
    """

    def __init__(
        self,
        policy: Callable[[TensorDictBase], TensorDictBase],
        stop: threading.Event,
        for_s: float,
        clock: Callable[[], int],
    ) -> None:
        self.cpu_ns = 0
        self._clock = clock
        self._policy = policy
        self._stop = stop
        self._for_s = for_s
        self._num_requests = 0
        self._began = time.perf_counter()

    def __call__(self, request: TensorDictBase) -> TensorDictBase:
        began_ns = self._clock()
        batch: TensorDictBase = torch.stack([request])
        ids = batch.get(REQUEST_ID)
        reply: TensorDictBase = self._policy(batch).set(REPLY_ID, ids)[0]
        self._num_requests += 1
        has_many = self._num_requests > MIN_CALIBRATION_THINKS
        limit_s = self._for_s if has_many else CALIBRATION_MAX_THINK_S
        if time.perf_counter() - self._began > limit_s and self._num_requests > 1:
            self._stop.set()
        self.cpu_ns += self._clock() - began_ns
        return reply


def _policy_without_wait(workload: Workload, seed: int) -> Any:
    """The policy, its synthetic service time taken out: only its actions are wanted."""
    model = replace(workload.model, latency_ms=0.0, latency_per_item_ms=0.0)
    return _ready_policy(replace(workload, model=model), seed)


def _ready_policy(workload: Workload, seed: int) -> policies.Policy:
    """The policy, its device started: that takes longer than all that is timed here."""
    policy = policies.build(workload, seed)
    if isinstance(policy, DevicePolicy):
        policy.start()
    return policy


def _service(workload: Workload, seed: int) -> tuple[ServicePoint, ...]:
    """Time the policy on batches of several sizes, in turn, so that drift comes to all alike.

    The host's whole call: staging and return are service time for whoever waits for a reply. On a
    device its forward is timed there as well, by its marks, which are read between calls.
    """
    sizes = calibrated_sizes(workload)
    policy = _ready_policy(workload, seed)
    serve = ServedModel(policy, policies.service_time(workload.model), max_batches=0)
    batches = {size: _batch(workload, size, seed) for size in sizes}
    calls_s: dict[int, list[float]] = {size: [] for size in sizes}
    forwards_s: dict[int, list[float]] = {size: [] for size in sizes}
    cpu_s = dict.fromkeys(sizes, 0.0)
    for size in sizes:
        for _ in range(_WARMUP_CALLS):
            serve(batches[size].copy())
    began = time.perf_counter()
    while len(calls_s[sizes[-1]]) < MIN_CALIBRATION_CALLS or (
        time.perf_counter() - began < CALIBRATION_SERVICE_S
    ):
        for size in sizes:
            batch = batches[size].copy()
            cpu_began, call_began = time.process_time(), time.perf_counter()
            serve(batch)
            calls_s[size].append(time.perf_counter() - call_began)
            cpu_s[size] += time.process_time() - cpu_began
            if isinstance(policy, DevicePolicy):
                forwards_s[size].append(policy.forward_s())
    return tuple(
        ServicePoint(
            size,
            float(np.median(times)),
            cpu_s[size] / len(times),
            len(times),
            float(np.median(forwards_s[size])) if forwards_s[size] else None,
        )
        for size, times in calls_s.items()
    )


def _batch(workload: Workload, size: int, seed: int) -> TensorDictBase:
    """Stack one request so many times: a policy's time does not depend on what it reads."""
    ids = IdentityCheck(0).ids
    environment = environments.build(workload, ids, has_payload=True, seed=seed)
    batch: TensorDictBase = torch.stack([environment.request()] * size)
    return batch
