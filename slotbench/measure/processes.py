"""Actors in processes of their own, for transports that connect processes.

Each is forked from the trial's process after every client exists and before the server starts, so
that it inherits its client, as TorchRL's process transports ask, and no thread of the server's.
What it stamps and what it meets goes into memory that both have.

Source: TorchRL's own workers (``_process_env_loop`` of torchrl 0.14.1) step an env and call a client
in a loop, as an actor's does.
"""

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final

from slotbench.compute import think_times
from slotbench.measure import environments
from slotbench.measure.actors import Actor, Stop
from slotbench.measure.crew import settled
from slotbench.measure.environments import ActorEnvironment
from slotbench.measure.identity import IdentityCheck
from slotbench.measure.outcomes import raised
from slotbench.measure.shared import SharedFlag
from slotbench.measure.shared_log import SharedLog
from slotbench.records import Workload

_LOOK_S: Final = 0.5
_BEGIN_STEP_S: Final = 0.001


class _StampedActor(Actor):
    """An actor whose stamps are in its log's memory, and counted there."""

    def __init__(
        self, log: SharedLog, environment: ActorEnvironment, identity: IdentityCheck
    ) -> None:
        super().__init__(log.index, environment, identity, 0)
        self._submitted_ns = log.submitted_ns
        self._replied_ns = log.replied_ns


class ProcessCrew:
    """Actors in forked processes.

    Args:
        workload: of the trial's cell.
        seed: of the trial.
        max_requests: room for stamps of each actor.
        client: called once per actor, in order, with its index, in the main thread.
        is_lent: replies come in memory that is written to again once an actor asks again.
        start_timeout_s: for all processes to be forked and their environments built.

    Threads: the main thread's, which must be the only one when `start` is called, but for what a
    transport has started.
    """

    def __init__(
        self,
        workload: Workload,
        seed: int,
        max_requests: int,
        client: Callable[[int], Callable[[Any], Any]],
        *,
        is_lent: bool = False,
        start_timeout_s: float = 60.0,
    ) -> None:
        self._start_timeout_s = start_timeout_s
        self._is_lent = is_lent
        self._logs = [SharedLog(i, max_requests) for i in range(workload.num_slots)]
        self._workload = workload
        self._seed = seed
        self._client = client
        self._begin = SharedFlag()
        self._stop = SharedFlag()
        self._processes: list[Any] = []

    @property
    def actors(self) -> Sequence[SharedLog]:
        """One log each, by index."""
        return self._logs

    def start(self, serve: Callable[[], None]) -> None:
        """See `slotbench.measure.crew.Crew.start`.

        Raises:
            RuntimeError: a process could not build its environment, hangs, or died.
        """
        context = multiprocessing.get_context("fork")
        clients = [self._client(log.index) for log in self._logs]
        for log, client in zip(self._logs, clients, strict=True):
            process = context.Process(
                target=_act,
                args=(log, client, self._workload, self._seed),
                kwargs={
                    "is_lent": self._is_lent,
                    "begin": self._begin,
                    "stop": self._stop,
                },
                name=f"actor-{log.index}",
                daemon=True,
            )
            process.start()
            self._processes.append(process)
        deadline = time.monotonic() + self._start_timeout_s
        for log in self._logs:
            while not log.is_ready.wait(_LOOK_S):
                if self._has_ended(log.index):
                    raise RuntimeError(raised(log.error))
                if time.monotonic() > deadline:
                    raise RuntimeError(f"actor {log.index} hangs before its first step")
        serve()
        self._begin.set()

    def stop(self) -> None:
        """See `slotbench.measure.crew.Crew.stop`."""
        self._stop.set()

    def is_stopped(self) -> bool:
        """See `slotbench.measure.crew.Crew.is_stopped`."""
        return self._stop.is_set()

    def wait(self, timeout_s: float) -> bool:
        """See `slotbench.measure.crew.Crew.wait`; a process that dies ends the trial, too."""
        deadline = time.monotonic() + timeout_s
        while not self._stop.wait(min(_LOOK_S, max(0.0, deadline - time.monotonic()))):
            if any(self._has_died(log.index) for log in self._logs):
                self._stop.set()
            elif time.monotonic() >= deadline:
                return False
        return True

    def settle(self, timeout_s: float) -> list[int]:
        """See `slotbench.measure.crew.Crew.settle`; what each actor met is known afterwards."""
        return settled(
            self._logs,
            has_ended=self._has_ended,
            join=lambda index, wait_s: self._logs[index].is_over.wait(wait_s),
            timeout_s=timeout_s,
            grace_s=timeout_s,
        )

    def num_frames_at(self, at_ns: int) -> None:  # see Crew
        """Nobody consumes what these actors do."""

    def _has_ended(self, index: int) -> bool:
        log, process = self._logs[index], self._processes[index]
        if self._has_died(index):
            log.end(f"RuntimeError: its process died, exit code {process.exitcode}")
        return log.is_over.is_set()

    def _has_died(self, index: int) -> bool:
        """Whether its process is gone and has not said that it is over."""
        log, process = self._logs[index], self._processes[index]
        return not process.is_alive() and not log.is_over.is_set()


def _act(
    log: SharedLog,
    client: Callable[[Any], Any],
    workload: Workload,
    seed: int,
    *,
    is_lent: bool,
    begin: SharedFlag,
    stop: Stop,
) -> None:
    """Be one actor, in a process of its own, from its building to its report."""
    identity = IdentityCheck(log.index, on_problem=log.tell_problem, copies=is_lent)
    try:
        environment = environments.build(
            workload,
            identity.ids,
            has_payload=True,
            seed=think_times.actor_seed(seed, log.index),
        )
        actor = _StampedActor(log, environment, identity)
        log.is_ready.set()
        while not begin.wait(_LOOK_S, step_s=_BEGIN_STEP_S):
            if os.getppid() != _parent():
                os._exit(1)
        actor.loop(client, stop)
        error = actor.error
    except BaseException:  # noqa: BLE001  # reported: the trial must hear of it
        error = traceback.format_exc()
        stop.set()
    log.end(error)
    # The interpreter's own end would wait for what a transport left behind.
    os._exit(0)


def _parent() -> int | None:
    parent = multiprocessing.parent_process()
    return None if parent is None else parent.pid
