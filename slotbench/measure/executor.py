"""Where trials run: fresh processes of this machine. `slotbench.measure.cluster` has them on others.

Threads: one, the caller's.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any, Final, Protocol, Self

from slotbench.contenders import (
    checkout,
    factory_module,
    needs_torchrl,
    python_command,
    python_environ,
    python_of,
    pythons,
)
from slotbench.errors import WorkerError
from slotbench.measure import budget
from slotbench.measure.outcomes import failed, folded
from slotbench.measure.zygote import FAREWELL, KILL_GRACE_S, Outcome, Ready, Task
from slotbench.records import (
    CalibrationRecord,
    Contender,
    GymEnvironment,
    Scenario,
    TrialRecord,
    TrialSpec,
    Workload,
)

_START_TIMEOUT_S: Final = 120.0
"""What one module may take to import; torch from a cold disk takes a part of it."""
_TELL_EVERY_S: Final = 1.0
_CHECK_DEADLINE_S: Final = 120.0
_LOG_TAIL_BYTES: Final = 4000
_CLOSE_TIMEOUT_S: Final = 2.0

WORKER_DIED: Final = "the worker process died or hung"
"""The error of what was going on then: no fault of its own, as far as can be told."""

_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_ASK_NVML: Final = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""Who imports torch, TorchRL or a user's module must not start CUDA by asking whether it is there:
processes that are forked from one that has started it cannot use it."""


class Executor(Protocol):
    """Runs trials one at a time, each in a process of its own."""

    worker_start_s: float
    """Seconds spent starting workers so far."""

    def start_worker(self) -> None:
        """Replace the worker process by a fresh one."""

    def check(self, contender: Contender | None, workload: Workload) -> str:
        """Make the contender for the workload, in a process of its own; None is no transport.

        Returns:
            What went wrong, in a line; "" if nothing did.
        """

    def run(self, spec: TrialSpec) -> TrialRecord:
        """Run a trial. A trial that hangs or dies is returned as failed."""

    def calibrate(self, spec: TrialSpec) -> CalibrationRecord:
        """Time the actor and the policy of the spec's block, each alone.

        Args:
            spec: of any trial of the block: of its contender only the interpreter matters.

        Returns:
            Also of a calibration that hangs, dies or raises: as failed.
        """

    def close(self) -> None:
        """End the worker process and whatever runs in it."""


class Worker:
    """A zygote of this machine, and a child of it for every task.

    Args:
        modules: what the zygote imports; "?" marks what may fail.
        use_fork: one child per task, forked from the zygote; otherwise one fresh process
            per task. Default: fork on Linux.
        on_import: told which module a worker that starts is importing: at its beginning,
            and every second or so until it is done. What it raises ends the start.
        python: the interpreter that it runs in, as contenders' option of that name; "" is this one.
        environ: of the worker, but for its numbers of threads and the path of our code; None is this
            process's own.

    Raises:
        ContenderError: there is no such interpreter.
    """

    def __init__(
        self,
        modules: Sequence[str],
        *,
        use_fork: bool | None = None,
        on_import: Callable[[str], None] = lambda _: None,
        python: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._on_import = on_import
        self._python = python
        self._command = python_command(python)
        self._use_fork = sys.platform == "linux" if use_fork is None else use_fork
        self._modules = modules
        # A process with native threads cannot be forked safely; trials set torch's own.
        own = python_environ(python, os.environ if environ is None else environ)
        self._environ = {**own, **dict.fromkeys(_THREAD_VARIABLES, "1"), **_ASK_NVML}
        self._process: subprocess.Popen[bytes] | None = None
        self._is_fresh = False
        self._connection: Connection | None = None
        # Written to by the worker and its children, read here by position. It has no name that would
        # stay behind where this process is killed, as on the nodes of a cluster.
        self._log = tempfile.TemporaryFile("ab+")  # noqa: SIM115  # closed in __exit__
        self._log_begin = 0
        self.worker_start_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
        self._log.close()

    def start_worker(self) -> None:
        """Start a zygote and wait until it has imported everything.

        Raises:
            WorkerError: it did not come up; with how it ended or that it hung, what it
                imported then, and the end of what it printed.
        """
        began = time.perf_counter()
        self._launch()
        self._come_up()
        self.worker_start_s += time.perf_counter() - began

    def _launch(self) -> None:
        """Start a zygote, and do not wait for it."""
        self._end()
        self._log_begin = os.fstat(self._log.fileno()).st_size
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(*self._command, "-P", "-m", "slotbench.measure.zygote"),
                    *(str(theirs.fileno()), "fork" if self._use_fork else "inline"),
                    *self._modules,
                ],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=self._environ,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the run, which then ends the worker
            )
        self._connection = Connection(ours.detach())
        self._is_fresh = True

    def _come_up(self) -> None:
        """Wait until the zygote has imported everything; raises as `start_worker`."""
        assert self._process is not None
        try:
            is_ready, importing = self._await_ready()
        except BaseException:  # Ctrl-C, above all
            self._process.kill()  # it would import to the end before it saw that we are gone
            raise
        if not is_ready:
            ending = self._ending()
            log = self._tail().strip().splitlines()
            self._process.kill()
            self._end()
            where = f" while it imported {importing}" if importing else ""
            whose = f" of {self._python}" if self._python else ""
            raise WorkerError(
                f"the worker process{whose} did not start: {ending}{where}, and printed "
                f"{log[-1] if log else 'nothing'}"
            )

    def do(self, task: Task) -> Outcome:
        """Run the task in a child of the zygote; start a new zygote if that one died."""
        self._ensure_worker()
        assert self._connection is not None
        self._log_begin = os.fstat(self._log.fileno()).st_size
        self._is_fresh = False
        outcome = None
        with contextlib.suppress(OSError):
            self._connection.send(task)
            outcome = self._receive(task.deadline_s + 5 * KILL_GRACE_S)
        if isinstance(outcome, Outcome):
            return outcome
        self._end()
        return Outcome(error=WORKER_DIED)

    def close(self) -> None:
        """End the worker. It ends the trial that runs, and all that the trial started."""
        self._end()

    def _abandon(self) -> None:
        """End this worker, though it may be importing still, and would not hear of it before it is done."""
        if self._process is not None:
            self._process.kill()
        self._end()

    def _end(self) -> None:
        """End this worker alone: an executor has others, of other interpreters."""
        if self._connection is not None:
            with contextlib.suppress(OSError):  # it is gone
                self._connection.send(FAREWELL)
            self._connection.close()
            self._connection = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_CLOSE_TIMEOUT_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _await_ready(self) -> tuple[bool, str]:
        """Wait until the worker has imported everything.

        Returns:
            Whether it has, and the module that it imported last, "" if none.
        """
        assert self._connection is not None
        importing = ""
        began = time.monotonic()
        while time.monotonic() - began < _START_TIMEOUT_S:
            if self._connection.poll(_TELL_EVERY_S):
                message = self._receive(0.0)
                if not isinstance(message, str):
                    return isinstance(message, Ready), importing
                importing, began = message, time.monotonic()
            if importing:
                self._on_import(importing)
        return False, importing

    def _ending(self) -> str:
        """Say how a worker that did not get ready ended, or that it is still there."""
        assert self._process is not None
        try:
            # One that closed its end is about to be gone, not always gone.
            code = self._process.wait(_CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return "it hung and was killed"
        if code < 0:
            return f"it was killed by {signal.Signals(-code).name}"
        return f"it ended with exit code {code}"

    def _ensure_worker(self) -> None:
        if self._connection is None or not (self._use_fork or self._is_fresh):
            Worker.start_worker(self)

    def _receive(self, timeout_s: float) -> Any:
        """Return the worker's next message; None if it died or the time ran out."""
        assert self._connection is not None
        try:
            return self._connection.recv() if self._connection.poll(timeout_s) else None
        except (EOFError, OSError):
            return None

    def _tail(self) -> str:
        """Return the end of what was printed during the last task."""
        size = os.fstat(self._log.fileno()).st_size
        begin = max(self._log_begin, size - _LOG_TAIL_BYTES)
        return os.pread(self._log.fileno(), size - begin, begin).decode(errors="replace")


class LocalExecutor(Worker):
    """Trials of a scenario on this machine: a zygote for each interpreter that contenders run in.

    Args:
        scenario: decides what the zygotes import.
        use_fork, environ: see `Worker`.

    Raises:
        ContenderError: there is no such interpreter.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        use_fork: bool | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        named = pythons(scenario.contenders)
        for python in named:
            python_command(python)  # before anything is opened that would have to be closed
        super().__init__(_modules(scenario, ""), use_fork=use_fork, environ=environ)
        self._is_raced = "" in named
        self._others = {
            python: Worker(
                _modules(scenario, python),
                use_fork=use_fork,
                python=python,
                environ=environ,
            )
            for python in named
            if python
        }

    def __exit__(self, *exc_info: object) -> None:
        for other in self._others.values():
            other.__exit__(*exc_info)
        super().__exit__(*exc_info)

    def start_worker(self) -> None:
        """Start a zygote of every interpreter that contenders run in, all at once."""
        began = time.perf_counter()
        try:
            for worker in self._workers():
                worker._launch()
            for worker in self._workers():
                worker._come_up()
        except BaseException:  # one does not come up, or Ctrl-C: none is of use alone
            for worker in self._workers():
                worker._abandon()
            raise
        self.worker_start_s += time.perf_counter() - began

    def close(self) -> None:
        """End the workers, and the trial that runs."""
        for other in self._others.values():
            other.close()
        super().close()

    def worker_of(self, contender: Contender | None) -> Worker:
        """Return the worker of the interpreter that the contender runs in; None runs in this one."""
        python = "" if contender is None else python_of(contender)
        return self._others[python] if python else self

    def check(self, contender: Contender | None, workload: Workload) -> str:
        """Make the contender, its policy and one environment in a child.

        Of no contender, policy and environment are made in every interpreter.
        """
        workers = self._workers() if contender is None else [self.worker_of(contender)]
        arguments = {"contender": contender, "workload": workload}
        task = Task("slotbench.measure.trial:check", arguments, _CHECK_DEADLINE_S)
        for worker in workers:
            outcome = worker.do(task)
            problem = outcome.error or str(outcome.value)
            if problem and contender is None and worker._python:
                return (
                    f"in {worker._python}: {problem}"  # as the contender's label would say
                )
            if problem:
                return problem
        return ""

    def run(self, spec: TrialSpec) -> TrialRecord:
        """Run the trial in a child of the zygote; start a new zygote if that one died."""
        worker = self.worker_of(spec.contender)
        worker._ensure_worker()
        sent_ns = time.perf_counter_ns()
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        arguments = {"spec": spec, "sent_ns": sent_ns, "started_at": started_at}
        outcome = worker.do(
            Task("slotbench.measure.trial:run_trial", arguments, spec.deadline_s)
        )
        record = outcome.value if isinstance(outcome.value, TrialRecord) else None
        if record is None:
            stacks = outcome.stacks + worker._tail()
            record = failed(spec, started_at, outcome.error, stacks)
        return replace(record, duration_s=_since_s(sent_ns))

    def calibrate(self, spec: TrialSpec) -> CalibrationRecord:
        """Calibrate in a child of the zygote; start a new zygote if that one died."""
        worker = self.worker_of(spec.contender)
        worker._ensure_worker()
        sent_ns = time.perf_counter_ns()
        block = spec.round, spec.cell, spec.attempt
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        arguments = {
            "workload": spec.workload,
            "block": block,
            "seed": spec.seed,
            "started_at": started_at,
        }
        outcome = worker.do(
            Task(
                "slotbench.measure.calibration:run_calibration",
                arguments,
                max(spec.deadline_s, 2 * budget.estimate_calibration_s(spec.workload)),
            )
        )
        record = outcome.value
        if not isinstance(record, CalibrationRecord):
            record = CalibrationRecord(
                *block,
                status="failed",
                started_at=started_at,
                duration_s=0.0,
                error=folded(outcome.error),
            )
        duration_s = _since_s(sent_ns)
        return replace(record, duration_s=duration_s, python=python_of(spec.contender))

    def _workers(self) -> list[Worker]:
        """Those of the interpreters that contenders run in."""
        return [*([self] if self._is_raced else []), *self._others.values()]


def _since_s(at_ns: int) -> float:
    return (time.perf_counter_ns() - at_ns) / 1e9


def contender_modules(contenders: Sequence[Contender]) -> list[str]:
    """Say what a zygote imports for these; "?" marks what may fail, for a check to report."""
    modules = []
    if any(map(needs_torchrl, contenders)):
        modules.append("?slotbench.torchrl")
    if any(contender.server == "collector" for contender in contenders):
        modules.append("?slotbench.measure.collecting")
    # What comes from a checkout is imported in its trial: two of one name would collide here.
    installed = (one for one in contenders if checkout(one) is None)
    own = (factory_module(contender.name) for contender in installed)
    return modules + [f"?{module}" for module in own if module]


def _modules(scenario: Scenario, python: str) -> list[str]:
    """Say what the zygote of an interpreter imports."""
    modules = ["slotbench.measure.preload"]
    for cell in scenario.cells:
        if cell.workload.environment is not None:
            modules += environment_modules(cell.workload.environment)
        if cell.workload.model.policy:
            modules.append(f"?{cell.workload.model.policy.partition(':')[0]}")
    raced = [one for one in scenario.contenders if python_of(one) == python]
    return [*dict.fromkeys(modules), *contender_modules(raced)]


def environment_modules(environment: GymEnvironment) -> list[str]:
    """Say what a zygote imports for it: dear to import again, and starting no thread."""
    if environment.library == "envpool":
        return ["?gymnasium", "?envpool"]
    modules = ["?gymnasium"]
    if environment.preprocessing == "atari":
        modules.append("?cv2")
    # Only the library knows which ids are MuJoCo's; where it is not installed nothing is lost.
    modules.append("?ale_py" if "ALE/" in environment.id else "?gymnasium.envs.mujoco")
    return modules
