"""The process that trials are forked from: ``python -m slotbench.measure.zygote FD …``.

It imports what the scenario needs once (seconds), stays single-threaded, and forks a
child for each trial (milliseconds). A new zygote is started for every round, so that each
round has a memory layout of its own. Where fork is not to be trusted (anything but
Linux) the zygote runs one task in itself and ends.

It may run in another Python than whoever it serves: what is sent is made of plain dataclasses,
whose pickles every Python from 3.11 on reads of every other.

Protocol, pickled over one socket: it sends the name of each module that it is about to import,
then ``Ready``; then for every `Task` one `Outcome`.
It ends when the other side closes, killing a child that still runs, so no trial outlives
the run that asked for it. Who closes without `FAREWELL` was killed, and has left what the zygote removes.
"""

import contextlib
import faulthandler
import gc
import importlib
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import IO, Any, Final

from slotbench.contenders import remove_own_code
from slotbench.measure import interpreter

_GIL_IS_ON: Final = 77
"""Exit code of a child that tried an import; few modules end a process with it."""

FAREWELL: Final = None
"""What is sent before closing."""
KILL_GRACE_S: Final = 2.0
"""Between the child's own dump of its stacks and the kill."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The zygote has imported everything."""

    pid: int


@dataclass(frozen=True, slots=True)
class Task:
    """What to run: ``function(**arguments)``, named so that nothing is imported to send it.

    Attributes:
        function: "package.module:name".
        deadline_s: after which the child is killed.
    """

    function: str
    arguments: dict[str, Any]
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task: its value, or one line of error and what else is known."""

    value: Any = None
    error: str = ""
    stacks: str = ""


def main(arguments: list[str]) -> None:
    """Serve tasks until the other side closes."""
    descriptor, mode, *modules = arguments
    interpreter.listen()
    # The user's own modules are importable, but never before the installed ones.
    sys.path.append(os.getcwd())  # noqa: PTH109  # sys.path holds strings
    connection = Connection(int(descriptor))
    for module in modules:
        # Marked "?": a contender's or an environment's. `check` says what is wrong with it;
        # some call sys.exit.
        may_fail = module.startswith("?")
        connection.send(module.removeprefix("?"))  # for whom it takes along, or never ends
        if may_fail and _may_turn_gil_on(module.removeprefix("?"), mode):
            continue  # what needs it imports it, in its own process
        with contextlib.suppress(BaseException) if may_fail else contextlib.nullcontext():
            importlib.import_module(module.removeprefix("?"))
    # What was imported is never garbage; collecting it would stop a trial for 0.1 s and more.
    gc.collect()
    gc.freeze()
    connection.send(Ready(os.getpid()))
    while True:
        task = _next(connection)
        if task is None:
            os._exit(0)  # nothing to save, and torch is slow to take down
        if mode == "inline":
            with tempfile.TemporaryFile() as stacks:
                connection.send(_call(task, stacks))
            return
        outcome = _fork(task, connection)
        if outcome is None:
            _next(connection)
            os._exit(0)
        connection.send(outcome)


def _next(connection: Connection) -> Task | None:
    """The next task; None if there will be none, and then nothing of a side that was killed is left."""
    try:
        message: Task | None = connection.recv()
    except (EOFError, ConnectionResetError):
        remove_own_code()
        return None
    return message


def _may_turn_gil_on(module: str, mode: str) -> bool:
    """Whether importing it might turn the GIL on, here and so in the trials of others.

    Found by trying in a child, which costs the import once more where there is no GIL, and nothing elsewhere.
    """
    if interpreter.is_gil_enabled():
        return False
    if mode == "inline":
        return True
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            importlib.import_module(module)
        os._exit(_GIL_IS_ON if interpreter.is_gil_enabled() else 0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == _GIL_IS_ON


def _fork(task: Task, connection: Connection) -> Outcome | None:
    """Run the task in a child; None if the other side went away meanwhile."""
    receiver, sender = Pipe(duplex=False)
    with receiver, tempfile.TemporaryFile() as stacks:
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)  # so that what a contender starts ends with its trial
            receiver.close()
            connection.close()
            # Or what the task forks would keep it open, and nobody see that the task is dead.
            os.register_at_fork(after_in_child=sender.close)
            _child(task, sender, stacks)
        sender.close()
        ready = wait([receiver, connection], timeout=task.deadline_s + KILL_GRACE_S)
        outcome = None
        if receiver in ready:
            with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
                outcome = receiver.recv()
        elif connection in ready:
            _kill(pid)
            return None
        if outcome is None:
            outcome = Outcome(
                error=_cause_of_death(pid, time.monotonic() - began, task),
                stacks=_read(stacks),
            )
        _kill(pid)
        return outcome


def _child(task: Task, sender: Connection, stacks: IO[bytes]) -> None:
    """Run the task and leave, without the parent's exit handlers."""
    try:
        sender.send(_call(task, stacks))
    finally:
        os._exit(0)


def _call(task: Task, stacks: IO[bytes]) -> Outcome:
    """Call the task's function; stacks of all threads are written if it is still at it at the deadline."""
    faulthandler.enable(file=stacks)
    faulthandler.dump_traceback_later(task.deadline_s, file=stacks, exit=True)
    try:
        module, _, name = task.function.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        outcome = Outcome(value=function(**task.arguments))
    except BaseException as error:  # noqa: BLE001  # reported; the zygote must not fall
        text = "".join(traceback.format_exception(error))
        outcome = Outcome(error=f"{type(error).__name__}: {error}", stacks=text)
    faulthandler.cancel_dump_traceback_later()
    return outcome


def _cause_of_death(pid: int, elapsed_s: float, task: Task) -> str:
    """Say why a child left no outcome."""
    if elapsed_s >= task.deadline_s:
        return f"hung: not done after {task.deadline_s:.0f} s, killed"
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return f"the process was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"the process ended with exit code {os.WEXITSTATUS(status)} and no result"


def _kill(pid: int) -> None:
    """End the child and all that it started."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _read(stacks: IO[bytes]) -> str:
    stacks.seek(0)
    return stacks.read().decode(errors="replace")


if __name__ == "__main__":
    # Pickle names classes by module: be the module that the other side imports, not __main__.
    from slotbench.measure import zygote  # noqa: PLW0406  # see above

    zygote.main(sys.argv[1:])
