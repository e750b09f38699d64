"""What runs on a node of a Ray cluster: the actor that holds its CPUs and measures there.

Importing this imports no Ray; `slotbench.measure.on_ray` makes an actor of it.

Threads: an actor has one, its process's main one.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from slotbench.contenders import forget_own_code
from slotbench.errors import SlotbenchError, WorkerError
from slotbench.measure.executor import LocalExecutor, Worker
from slotbench.measure.zygote import Task
from slotbench.records import Contender, Scalar, Scenario, TrialSpec, Workload

_ENVIRONMENT_DEADLINE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What an actor answers: errors are text, for a node's classes may not be ours."""

    value: Any = None
    worker_error: str = ""


class Actor:
    """What holds a node's CPUs and measures there; lives in a process of Ray's, on the node.

    Args:
        scenario: decides what the workers import.
        folder: to work in, if there is one there; "" is where Ray has put the driver's files.
    """

    def __init__(self, scenario: Scenario, folder: str) -> None:
        if folder and Path(folder).is_dir():
            os.chdir(folder)
        _take_normal_priority()
        self._scenario = scenario
        # A trial that starts a Ray of its own must not find the cluster, nor take itself for this actor.
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        self._made: LocalExecutor | None = None

    @property
    def _executor(self) -> LocalExecutor:
        """Made when it is first asked for: what an actor's beginning raises, Ray tells as its death."""
        if self._made is None:
            self._made = LocalExecutor(self._scenario, environ=self._environ)
        return self._made

    def is_up(self) -> None:
        """Answers once the actor is there."""

    def close(self) -> None:
        """End the workers, and remove what they have in files."""
        if self._made is not None:
            self._made.__exit__()
        forget_own_code()

    def start_worker(self) -> Answer:
        """Replace the workers by fresh ones; how long that took."""

        def start() -> float:
            before_s = self._executor.worker_start_s
            self._executor.start_worker()
            return self._executor.worker_start_s - before_s

        return _answered(start)

    def environment(self, contenders: tuple[Contender, ...]) -> Answer:
        """Describe the node."""

        def collect() -> dict[str, Scalar]:
            task = Task(
                "slotbench.store.environment:collect",
                {"contenders": contenders},
                _ENVIRONMENT_DEADLINE_S,
            )
            # A process of its own: contenders may all run in other interpreters than this.
            with Worker([], environ=self._environ) as worker:
                outcome = worker.do(task)
            if outcome.error:
                raise WorkerError(outcome.error)
            found: dict[str, Scalar] = outcome.value
            return found

        return _answered(collect)

    def check(self, contender: Contender | None, workload: Workload) -> Answer:
        """Make the contender."""
        return _answered(lambda: self._executor.check(contender, workload))

    def run(self, spec: TrialSpec) -> Answer:
        """Run a trial."""
        return _answered(lambda: self._executor.run(spec))

    def calibrate(self, spec: TrialSpec) -> Answer:
        """Calibrate."""
        return _answered(lambda: self._executor.calibrate(spec))


def _take_normal_priority() -> None:
    """Undo that Ray starts its processes at niceness 15, where that is allowed: workers inherit it.

    Where it is not (it takes CAP_SYS_NICE), the node's facts have ``niceness``.
    """
    if os.getpriority(os.PRIO_PROCESS, 0) > 0:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)


def _answered(do: Callable[[], Any]) -> Answer:
    try:
        return Answer(do())
    except SlotbenchError as error:
        return Answer(worker_error=str(error))
