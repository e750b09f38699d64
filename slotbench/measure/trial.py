"""One trial, start to end, in the process it is called in.

The order of things: build everything, measure what recording costs, start the server and
the actors, let them pass a barrier together (time 0), warm up, observe, stop, wait for
the last replies, shut down, and only then compute.
"""

import resource
import sys
import threading
import time
import traceback
from dataclasses import replace
from typing import Any, Final

import torch
from tensordict import TensorDictBase

from slotbench.errors import SlotbenchError
from slotbench.measure import environments, policies, systems, validity
from slotbench.measure.actors import Actor
from slotbench.measure.identity import IdentityCheck
from slotbench.measure.outcomes import failed, identity
from slotbench.measure.recording import recording_cost_s
from slotbench.measure.served import ServedModel
from slotbench.measure.summary import Moment, Observed, summarise
from slotbench.records import Batching, Contender, TrialRecord, TrialSpec, Workload

SETTLE_S: Final = 3.0
"""How long after the window actors may wait for their last reply, beyond the time that
the model needs to serve everybody once more."""

_EXTEND_STEP_S: Final = 0.02
_MAX_REQUESTS_PER_S: Final = 300_000
"""More than the floor reaches; bounds the memory reserved for stamps."""


def run_trial(spec: TrialSpec, *, sent_ns: int, started_at: str) -> TrialRecord:
    """Run the trial; never raises for what the contender does.

    Args:
        spec: what to run.
        sent_ns: ``perf_counter_ns`` when the executor sent the spec (one clock for all
            processes of a Linux machine).
        started_at: ISO 8601 UTC, for the record.

    Returns:
        The record, with ``duration_s`` still 0: the executor knows it.
    """
    try:
        return _Trial(spec).run(sent_ns, started_at)
    except Exception as error:  # noqa: BLE001  # a contender may raise anything; it is recorded
        text = "".join(traceback.format_exception(error))
        return failed(spec, started_at, f"{type(error).__name__}: {error}", text)


def check(contender: Contender | None, workload: Workload) -> str:
    """Make, with one slot, all that a trial would; return what went wrong, or "".

    Args:
        contender: None makes the environment and the policy alone.
        workload: of a cell.
    """
    window = replace(workload.window, max_requests=1)
    small = replace(workload, window=window, num_slots=1, batching=Batching())
    try:
        if contender is None:
            policies.build(small, seed=0)
            environments.build(small, IdentityCheck(0).ids, has_payload=True, seed=0)
        else:
            _Trial(TrialSpec("check", 0, "", 0, 0, 0, contender, small, 0, 0.0))
    except SlotbenchError as error:
        return str(error)
    return ""


class _Trial:
    """The threads of one trial and what is read off them.

    Threads: everything here runs in the process's main thread.
    """

    def __init__(self, spec: TrialSpec) -> None:
        workload = spec.workload
        torch.set_num_threads(workload.torch_threads)
        if workload.switch_interval_s is not None:
            sys.setswitchinterval(workload.switch_interval_s)
        self._spec = spec
        self._has_payload = spec.contender.name != "floor"
        room = _room_per_actor(workload)
        self._model = ServedModel(
            policies.build(workload, spec.seed) if self._has_payload else _no_policy,
            policies.service_time(workload.model),
            max_batches=room * workload.num_slots,
        )
        self._system = systems.build(
            spec.contender, workload.num_slots, workload.batching, self._model
        )
        self._actors = [self._actor(i, room) for i in range(workload.num_slots)]
        self._stop = threading.Event()

    def _actor(self, index: int, room: int) -> Actor:
        identity = IdentityCheck(index)
        environment = environments.build(
            self._spec.workload,
            identity.ids,
            has_payload=self._has_payload,
            seed=self._spec.seed * 100_003 + index,
        )
        return Actor(index, environment, identity if self._has_payload else None, room)

    def run(self, sent_ns: int, started_at: str) -> TrialRecord:
        workload = self._spec.workload
        cost_s = recording_cost_s(workload.num_slots) if self._has_payload else 0.0
        threads = self._start()
        wall_ns, origin_ns = time.time_ns(), time.perf_counter_ns()
        begin, end = self._observe(origin_ns)
        self._stop.set()
        settle_s = _settle_s(workload)
        stuck = _join(threads, settle_s)
        stacks = _stacks() if stuck else ""
        wall_s = (time.time_ns() - wall_ns) / 1e9
        elapsed_s = (time.perf_counter_ns() - origin_ns) / 1e9
        server_ended = self._system.shutdown(settle_s)
        errors = [actor.error for actor in self._actors if actor.error]
        if errors:
            last_line = errors[0].strip().splitlines()[-1]
            error = f"{len(errors)} of {len(threads)} actors raised, the first: {last_line}"
            return failed(self._spec, started_at, error, errors[0])
        measurement = summarise(
            Observed(
                origin_ns=origin_ns,
                begin=begin,
                end=end,
                actors=[actor.stamps_ns() for actor in self._actors],
                batches=self._model.log(),
                num_submitted=sum(actor.num_submitted for actor in self._actors),
                num_replied=sum(actor.num_replied for actor in self._actors),
                num_served=self._model.num_served,
                sent_ns=sent_ns,
                joined_ns=time.perf_counter_ns(),
                recorder_cost_s=cost_s,
            )
        )
        evidence = validity.Evidence(
            measurement=measurement,
            identity_problems=tuple(
                a.identity.problem
                for a in self._actors
                if a.identity and a.identity.problem
            ),
            stuck_actors=tuple(stuck),
            settle_s=settle_s,
            server_ended=server_ended,
            wall_s=wall_s,
            perf_counter_s=elapsed_s,
            filled_in_warmup=measurement.warmup_s < workload.window.warmup_s / 2,
        )
        return TrialRecord(
            **identity(self._spec),
            status="ok",
            started_at=started_at,
            duration_s=0.0,
            measurement=measurement,
            findings=validity.judge(evidence),
            stacks=stacks,
        )

    def _start(self) -> list[threading.Thread]:
        """Start server and actors; return when all actors have passed the barrier."""
        barrier = threading.Barrier(len(self._actors) + 1)

        def run(actor: Actor, client: Any) -> None:
            barrier.wait()
            actor.loop(client, self._stop)

        clients = [self._system.client() for _ in self._actors]
        self._system.start()
        threads = [
            threading.Thread(
                target=run, args=pair, name=f"actor-{pair[0].index}", daemon=True
            )
            for pair in zip(self._actors, clients, strict=True)
        ]
        for thread in threads:
            thread.start()
        barrier.wait()
        return threads

    def _observe(self, origin_ns: int) -> tuple[Moment, Moment]:
        """Sleep through warm-up and window; return the moments at the window's two ends.

        The window's ends are where this thread woke, not where it meant to.
        """
        window = self._spec.workload.window
        self._sleep_until(origin_ns + int(window.warmup_s * 1e9))
        begin, before = _now(), self._num_replied()
        self._sleep_until(begin.at_ns + int(window.measure_s * 1e9))
        latest_ns = begin.at_ns + int(window.max_measure_s * 1e9)
        while (
            self._num_replied() - before < window.min_requests
            and time.perf_counter_ns() < latest_ns
            and not self._stop.wait(_EXTEND_STEP_S)
        ):
            pass
        return begin, _now()

    def _sleep_until(self, at_ns: int) -> None:
        """Sleep, or wake at once when an actor stops the trial."""
        self._stop.wait(max(0.0, (at_ns - time.perf_counter_ns()) / 1e9))

    def _num_replied(self) -> int:
        return sum(actor.num_replied for actor in self._actors)


def _room_per_actor(workload: Workload) -> int:
    """Stamps to reserve: twice an actor's share of what the fastest contender could need."""
    window = workload.window
    needed = int(_MAX_REQUESTS_PER_S * (window.warmup_s + window.measure_s))
    total = min(window.max_requests, max(needed, 4 * window.min_requests))
    return max(64, 2 * total // workload.num_slots)


def _settle_s(workload: Workload) -> float:
    batching, model = workload.batching, workload.model
    num_batches = 1 + workload.num_slots // batching.min_batch_size
    batch_s = (
        batching.timeout_ms
        + model.latency_ms
        + model.latency_per_item_ms * workload.num_slots
    ) / 1e3
    return SETTLE_S + min(20.0, num_batches * batch_s)


def _join(threads: list[threading.Thread], timeout_s: float) -> list[int]:
    """Wait for the last replies; return the actors that got none in time."""
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [i for i, thread in enumerate(threads) if thread.is_alive()]


def _now() -> Moment:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Moment(
        time.perf_counter_ns(),
        usage.ru_utime + usage.ru_stime,
        usage.ru_nvcsw,
        usage.ru_nivcsw,
    )


def _stacks() -> str:
    """Return where every thread of this process is."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()  # documented for debugging
    )


def _no_policy(batch: TensorDictBase) -> TensorDictBase:  # noqa: ARG001  # a policy's signature
    raise AssertionError("the floor has no batches")
