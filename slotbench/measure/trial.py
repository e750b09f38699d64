"""One trial, start to end, in the process it is called in.

The order of things: build everything, start the server and the crew of actors, which begin
together (time 0), warm up, observe, stop, wait for the last replies, shut down, measure what
recording costs, and only then compute.
"""

import functools
import sys
import threading
import time
import traceback
from dataclasses import replace
from typing import Final

import torch
from tensordict import TensorDictBase

from slotbench.compute import arrivals, think_times, validity
from slotbench.contenders import actors_of
from slotbench.errors import ScenarioError, SlotbenchError
from slotbench.measure import (
    budget,
    environments,
    interpreter,
    layouts,
    machine,
    policies,
    systems,
)
from slotbench.measure.actors import Actor
from slotbench.measure.crew import WATCH_STEP_S, Crew, ThreadCrew, num_replied
from slotbench.measure.identity import IdentityCheck
from slotbench.measure.instrument import Instrument
from slotbench.measure.on_device import DeviceLog, DevicePolicy
from slotbench.measure.open_loop import OpenActor
from slotbench.measure.outcomes import failed, identity, raised
from slotbench.measure.processes import ProcessCrew
from slotbench.measure.recording import recording_cost_s
from slotbench.measure.served import ServedModel, SharedServedModel
from slotbench.measure.summary import Moment, Observed, summarise
from slotbench.measure.waiting import WakingStop
from slotbench.records import Batching, Contender, TrialRecord, TrialSpec, Workload

_MAX_REQUESTS_PER_S: Final = 300_000
"""More than the floor reaches; bounds the memory reserved for stamps, but for `_MIN_ROOM`."""
_CLOCK_READS: Final = 5
_DRAIN_S: Final = 0.25
"""How long an open loop's actors go on after the window, at most,"""
_DRAIN_STEP_S: Final = 0.002
"""between two looks whether they need to."""

_MIN_ROOM: Final = 1024
"""Stamps of an actor, where there are so many actors that some get far more than their share;
a page of memory for each 512 that are used."""


def run_trial(
    spec: TrialSpec,
    *,
    sent_ns: int,
    started_at: str,
    instrument: Instrument | None = None,
) -> TrialRecord:
    """Run the trial; never raises for what the contender does.

    Args:
        spec: what to run.
        sent_ns: ``perf_counter_ns`` when the executor sent the spec (one clock for all
            processes of a Linux machine).
        started_at: ISO 8601 UTC, for the record.
        instrument: a profile's; None in every measured run.

    Returns:
        The record, with ``duration_s`` still 0: the executor knows it.
    """
    try:
        record = _Trial(spec, instrument).run(sent_ns, started_at)
    except Exception as error:  # noqa: BLE001  # a contender may raise anything; it is recorded
        text = "".join(traceback.format_exception(error))
        record = failed(spec, started_at, f"{type(error).__name__}: {error}", text)
    # Only now: whatever the trial imports may turn it on.
    return replace(record, is_gil_enabled=interpreter.is_gil_enabled())


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
            _check_step(small)
        else:
            _Trial(TrialSpec("check", 0, "", 0, 0, 0, contender, small, 0, 0.0))
    except SlotbenchError as error:
        return str(error)
    return ""


def _check_step(workload: Workload) -> None:
    """Let the policy answer the environment once, and the environment act on that.

    Raises:
        ScenarioError: one of them cannot be made, or the action is nothing for the environment.
    """
    quick = layouts.without_waits(workload)
    policy = policies.build(quick, seed=0)
    ids = IdentityCheck(0).ids
    environment = environments.build(quick, ids, has_payload=True, seed=0)
    if quick.environment is None and not isinstance(policy, DevicePolicy):
        return
    with torch.no_grad():
        reply = policy(torch.stack([environment.request()]))[0]
    if quick.environment is None:
        return
    try:
        environment.step(reply)
    except Exception as error:
        action = reply.get("action", None)
        form = "none" if action is None else f"{action.dtype} {list(action.shape)}"
        raise ScenarioError(
            f"environment {quick.environment.id!r} cannot take the policy's action ({form} a row): "
            f"{type(error).__name__}: {error}; a discrete action is one integer a row, int64 []"
        ) from error


class _Trial:
    """One trial: what is built for it, what it watches, and what is read off it.

    Threads: everything here runs in the process's main thread.
    """

    def __init__(self, spec: TrialSpec, instrument: Instrument | None = None) -> None:
        instrument = instrument or Instrument()
        workload = spec.workload
        torch.set_num_threads(workload.torch_threads)
        if workload.switch_interval_s is not None:
            sys.setswitchinterval(workload.switch_interval_s)
        self._spec = spec
        self._instrument = instrument
        self._has_payload = spec.contender.name != "floor"
        self._room = _room_per_actor(workload, spec.contender)
        # TorchRL's word for a reply that is a view of its slot, until the next request.
        self._is_lent = spec.contender.options.get("copy_result") is False
        instrument.before_build(spec.contender)
        own = policies.build(workload, spec.seed) if self._has_payload else _no_policy
        policy = (own, policies.service_time(workload.model))
        self._on_device = own if isinstance(own, DevicePolicy) else None
        num_stamps = self._room * workload.num_slots
        sample = functools.partial(layouts.of_workload, workload, spec.seed)
        self._system: systems.System
        self._crew: Crew
        self._model: ServedModel
        kind = actors_of(spec.contender)
        if kind == "collector":
            from slotbench.measure.collecting import Collection, CollectorSystem

            # Its server may be another process.
            self._model = SharedServedModel(*policy, num_stamps)
            collection = Collection(spec, self._room, self._model, sample)
            self._crew, self._system = collection, CollectorSystem(collection)
        else:
            self._model = instrument.model(*policy, max_batches=num_stamps)
            self._system = systems.build(
                spec.contender,
                workload.num_slots,
                workload.batching,
                self._model,
                sample,
                device=workload.device,
            )
            self._crew = self._own_crew(kind)
        self._filled_in_warmup = False
        self._companions: tuple[int, ...] = ()

    def _own_crew(self, kind: str) -> Crew:
        """Make our own actors, in threads or processes."""
        workload = self._spec.workload
        client = functools.partial(self._instrument.client, self._system)
        if kind == "processes":
            return ProcessCrew(
                workload,
                self._spec.seed,
                self._room,
                client,
                is_lent=self._is_lent,
                start_timeout_s=self._spec.deadline_s / 2,
            )
        stop = WakingStop() if workload.load.is_open else None
        actors = [self._actor(i, stop) for i in range(workload.num_slots)]
        self._instrument.attach(self._system, actors)
        return ThreadCrew(actors, client, stop)

    def _actor(self, index: int, stop: WakingStop | None) -> Actor:
        """Make one actor; with a stop that wakes it, an open loop's."""
        workload = self._spec.workload
        identity = IdentityCheck(index, copies=self._is_lent)
        seed = think_times.actor_seed(self._spec.seed, index)
        environment = environments.build(
            workload, identity.ids, has_payload=self._has_payload, seed=seed
        )
        checked = identity if self._has_payload else None
        if stop is None:
            return Actor(index, environment, checked, self._room)
        starts_ns = arrivals.starts_ns(workload.load, seed, self._room)
        return OpenActor(index, environment, checked, starts_ns, stop)

    def run(self, sent_ns: int, started_at: str) -> TrialRecord:
        workload = self._spec.workload
        crashes: list[str] = []
        threading.excepthook = lambda crash: crashes.append(_text(crash.exc_value))
        self._crew.start(self._serve)
        wall_ns, origin_ns = _clocks()
        begin, end, machine_use = self._observe(origin_ns)
        given_up_ns = self._drain(end.at_ns)
        self._crew.stop()
        settle_s = budget.settle_s(workload)
        if actors_of(self._spec.contender) != "threads":
            # What such an actor has met, it alone can tell, once it has thought.
            settle_s += budget.longest_think_s(workload)
        stuck = self._crew.settle(settle_s)
        stacks = _stacks() if stuck else ""
        ended_ns = _clocks()
        server_ended = self._system.shutdown(settle_s)
        joined_ns = time.perf_counter_ns()
        self._instrument.after_trial()
        if crashes:
            error = f"a thread of the server raised {raised(crashes[0])}"
            return failed(self._spec, started_at, error, crashes[0])
        actors = self._crew.actors
        errors = [actor.error for actor in actors if actor.error]
        if errors:
            error = f"{len(errors)} of {len(actors)} actors raised {raised(errors[0])}"
            return failed(self._spec, started_at, error, errors[0])
        measurement = summarise(
            Observed(
                origin_ns=origin_ns,
                begin=begin,
                end=end,
                actors=[actor.stamps_ns() for actor in actors],
                intended=[actor.intended_ns() for actor in self._open_actors()],
                given_up_ns=given_up_ns,
                batches=self._model.log(),
                num_submitted=sum(actor.num_submitted for actor in actors),
                num_replied=num_replied(self._crew),
                num_served=self._model.num_served,
                sent_ns=sent_ns,
                joined_ns=joined_ns,
                recorder_cost_s=self._recorder_cost_s(),
                num_frames=self._num_frames(begin, end),
                machine=machine_use,
                device=self._device_log(),
            )
        )
        evidence = validity.Evidence(
            measurement=measurement,
            identity_problems=tuple(a.problem for a in actors if a.problem),
            stuck_actors=tuple(stuck),
            settle_s=settle_s,
            server_ended=server_ended,
            wall_s=(ended_ns[0] - wall_ns) / 1e9,
            perf_counter_s=(ended_ns[1] - origin_ns) / 1e9,
            window=workload.window,
            filled_in_warmup=self._filled_in_warmup,
            has_spinning_locks=interpreter.is_free_threaded_build(),
            unasked_gil=interpreter.unasked_gil(),
            buffered_frames=budget.buffered_frames(workload, self._spec.contender),
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

    def _device_log(self) -> DeviceLog | None:
        """The device's marks of the batches that the model's log begins with, as far as they are kept."""
        log = None if self._on_device is None else self._on_device.log()
        return None if log is None else log.without_first(self._model.num_forgotten)

    def _serve(self) -> None:
        """Start the device and the server, and see which processes the trial consists of.

        Actors in processes have been forked, none has begun. A collector's envs have, and its server may
        be in another process: there the device is started with the first batch.
        """
        if self._on_device is not None and actors_of(self._spec.contender) != "collector":
            self._on_device.start()
        self._system.start()
        self._companions = machine.companions()

    def _num_frames(self, begin: Moment, end: Moment) -> int | None:
        """Steps that a consumer was handed in the window; None where nobody consumes them."""
        before = self._crew.num_frames_at(begin.at_ns)
        after = self._crew.num_frames_at(end.at_ns)
        return None if before is None or after is None else after - before

    def _observe(self, origin_ns: int) -> tuple[Moment, Moment, machine.MachineUse]:
        """Sleep through warm-up and window; return the window's two ends, and the machine's use.

        Both are prolonged until everybody had replies enough, in an open loop until enough are
        due; the window's ends are where
        this thread woke, not where it meant to. The machine is read just outside of it.
        """
        workload = self._spec.workload
        window = workload.window
        warmup_s, measure_s = window.warmup_s, window.measure_s
        warm = 2 * workload.num_slots
        wanted = budget.min_replies(workload, self._spec.contender)
        if workload.load.is_open:
            (warmup_s, measure_s), warm, wanted = budget.window_s(workload), 0, 0
        self._watch(origin_ns, warmup_s, warm)
        self._filled_in_warmup = self._crew.is_stopped()
        self._instrument.before_window()
        before = machine.read(self._companions)
        used = machine.usage(self._companions)
        begin, num_before = (
            Moment(time.perf_counter_ns(), 0.0, 0, 0),
            num_replied(self._crew),
        )
        self._watch(begin.at_ns, measure_s, num_before + wanted)
        at_ns = time.perf_counter_ns()
        grown = machine.grown(used, machine.usage(self._companions))
        end = Moment(at_ns, grown.cpu_s, grown.voluntary, grown.involuntary)
        machine_use = machine.between(before, machine.read(self._companions))
        self._instrument.after_window(begin.at_ns, end.at_ns)
        return begin, end, machine_use

    def _watch(self, since_ns: int, at_least_s: float, until_replied: int) -> None:
        """Sleep so long, and on until so many replies came or ``max_measure_s`` has passed.

        Wakes at once when an actor stops the trial.
        """
        longest_s = max(at_least_s, self._spec.workload.window.max_measure_s)
        self._crew.wait(max(0.0, at_least_s - _since_s(since_ns)))
        while num_replied(self._crew) < until_replied and _since_s(since_ns) < longest_s:
            if self._crew.wait(WATCH_STEP_S):
                return

    def _open_actors(self) -> list[OpenActor]:
        """The actors of an open loop; none in the closed one."""
        return [actor for actor in self._crew.actors if isinstance(actor, OpenActor)]

    def _drain(self, end_ns: int) -> int:
        """Let an open loop's actors go on until what was due in the window is answered.

        For a moment at most: a backlog that grew would take as long as the window did. Without it,
        what waits for its slot when the window ends, or is due just then, would never be submitted.

        Returns:
            Until when it was waited.
        """
        due = [(actor, actor.num_due(end_ns)) for actor in self._open_actors()]
        while any(actor.num_replied < number for actor, number in due):
            if _since_s(end_ns) > _DRAIN_S or self._crew.wait(_DRAIN_STEP_S):
                break
        return time.perf_counter_ns()

    def _recorder_cost_s(self) -> float:
        """Time the recorder now that nothing else runs in this process."""
        if not self._has_payload:
            return 0.0
        workload = self._spec.workload
        device = "cpu" if workload.observation.device_metadata else None
        return recording_cost_s(workload.num_slots, self._system.collate, device)


def _room_per_actor(workload: Workload, contender: Contender) -> int:
    """Stamps to reserve: twice an actor's share of what the fastest contender could need.

    At least `_MIN_ROOM`, even beyond ``window.max_requests``. In an open loop it is known.
    """
    window = workload.window
    if workload.load.is_open:
        return budget.num_scheduled(workload)
    needed = int(_MAX_REQUESTS_PER_S * (window.warmup_s + window.measure_s))
    wanted = 4 * budget.min_replies(workload, contender)
    total = min(window.max_requests, max(needed, wanted))
    return max(_MIN_ROOM, 2 * total // workload.num_slots)


def _clocks() -> tuple[int, int]:
    """Read the system's clock and ``perf_counter_ns`` at one moment.

    Thousands of actors may take the GIL between two reads; of several pairs the one read
    fastest counts.
    """
    pairs = []
    for _ in range(_CLOCK_READS):
        before, wall_ns, after = (
            time.perf_counter_ns(),
            time.time_ns(),
            time.perf_counter_ns(),
        )
        pairs.append((after - before, wall_ns, after))
    _, wall_ns, at_ns = min(pairs)
    return wall_ns, at_ns


def _since_s(at_ns: int) -> float:
    return (time.perf_counter_ns() - at_ns) / 1e9


def _text(error: BaseException | None) -> str:
    return "" if error is None else "".join(traceback.format_exception(error))


def _stacks() -> str:
    """Return where every thread of this process is."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()  # documented for debugging
    )


def _no_policy(batch: TensorDictBase) -> TensorDictBase:  # noqa: ARG001  # a policy's signature
    raise AssertionError("the floor has no batches")
