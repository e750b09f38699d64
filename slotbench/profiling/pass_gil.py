"""Who waits for the GIL: threads that the kernel shows asleep at its condition variable.

Linux says in /proc/<pid>/task/<tid>/syscall what a sleeping thread waits for: for a futex, its
address. Threads that want the GIL all wait at the same one. A process of its own looks, a
thousand times a second at most: it neither takes the GIL nor stops a thread, as a sampling thread
inside the process (gilknocker, say) and a debugger (py-spy) do.

Where the GIL is in memory is found by trying: of two threads that both compute, one waits for it.
Where the kernel does not show it (another system, a container that forbids it), nothing is
counted.
"""

import contextlib
import ctypes
import os
import select
import threading
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Final

from slotbench.profiling._probes import Found, Probes
from slotbench.records import Contender, TrialRecord, Workload

_EVERY_S: Final = 0.001
_MAX_LOAD: Final = 0.05
"""Share of one CPU that looking may take; with many threads it looks less often."""

_TASKS: Final = Path("/proc/self/task")
_ANSWER_S: Final = 2.0
_MAX_THREADS: Final = 512
_TRY_S: Final = 0.05
_GIL_BYTES: Final = 256
"""The condition variables and mutexes of the GIL lie within so many bytes of each other."""

_PR_SET_PTRACER: Final = 0x59616D61
"""prctl(2): who may look, where the Yama security module asks."""


class GilPass(Probes):
    """Samples one trial.

    Threads: the main thread's. The sampler is a process, forked while there are no threads.
    """

    def __init__(self, workload: Workload) -> None:
        del workload
        self._sampler: Connection | None = None
        self._counts: dict[str, float] = {}

    def before_build(self, contender: Contender) -> None:
        """Start the sampler, and let it find the GIL."""
        del contender
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            ours.close()
            with contextlib.suppress(BaseException):
                _serve(theirs, os.getppid())
            os._exit(0)
        theirs.close()
        self._sampler = ours
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, pid, 0, 0, 0)
        self._show_gil()

    def before_window(self) -> None:
        """Begin to sample all threads but this one."""
        if _TASKS.is_dir():
            main = threading.get_native_id()
            tids = [int(task.name) for task in _TASKS.iterdir()]
            self._send("begin", [tid for tid in tids if tid != main][:_MAX_THREADS])

    def after_window(self, begin_ns: int, end_ns: int) -> None:
        """End, and take what was seen."""
        del begin_ns, end_ns
        self._send("end", [])
        with contextlib.suppress(EOFError, OSError):
            if self._sampler is not None and self._sampler.poll(_ANSWER_S):
                self._counts = self._sampler.recv()

    def after_trial(self) -> None:
        """Let the sampler end."""
        if self._sampler is not None:
            self._sampler.close()

    def result(self, trial: TrialRecord) -> Found:
        """Give shares of the samples."""
        del trial
        return Found(counts=self._counts)

    def _show_gil(self) -> None:
        """Compute in two threads, so that at any moment one of them waits for the GIL."""
        until = time.perf_counter() + 2 * _TRY_S

        def compute() -> None:
            while time.perf_counter() < until:
                pass

        other = threading.Thread(target=compute)
        other.start()
        self._send("find", [threading.get_native_id(), other.native_id or 0])
        compute()
        other.join()

    def _send(self, command: str, tids: Sequence[int]) -> None:
        if self._sampler is not None:
            try:
                self._sampler.send((command, tids))
            except OSError:  # it has ended: it may not look
                self._sampler = None


# ---- the sampler's process


def _serve(connection: Connection, pid: int) -> None:
    """Do as told until the other side closes."""
    gil: int | None = None
    while True:
        command, tids = connection.recv()
        if command == "find":
            gil = _find(pid, tids)
        elif command == "begin":
            counts = {} if gil is None else _sample(connection, pid, tids, gil)
            connection.recv()  # "end"
            connection.send(counts)


def _find(pid: int, tids: Sequence[int]) -> int | None:
    """Return where these threads wait most often; None if that is not shown."""
    seen: Counter[int] = Counter()
    until = time.perf_counter() + _TRY_S
    with contextlib.ExitStack() as stack:
        files = _open(stack, pid, tids)
        while time.perf_counter() < until and files:
            seen.update(place for file in files if (place := _waits_at(file)))
            time.sleep(_EVERY_S)
    return seen.most_common(1)[0][0] if seen else None


def _sample(
    connection: Connection, pid: int, tids: Sequence[int], gil: int
) -> dict[str, float]:
    """Look until there is a message; return rows of the ledger."""
    num_samples = num_wanted = num_waiters = 0
    with contextlib.ExitStack() as stack:
        files = _open(stack, pid, tids)
        pause_s = _EVERY_S
        while not select.select([connection], [], [], pause_s)[0]:
            began = time.perf_counter()
            waiters = sum(abs((_waits_at(file) or 0) - gil) < _GIL_BYTES for file in files)
            num_samples += 1
            num_wanted += waiters > 0
            num_waiters += waiters
            pause_s = max(_EVERY_S, (time.perf_counter() - began) / _MAX_LOAD)
    if not num_samples:
        return {}
    return {
        "gil_wanted": num_wanted / num_samples,
        "gil_waiters": num_waiters / num_samples,
    }


def _open(stack: contextlib.ExitStack, pid: int, tids: Sequence[int]) -> list[int]:
    """Open what the kernel says of these threads; without those that it says nothing of."""
    files = []
    for tid in tids:
        with contextlib.suppress(OSError):
            file = os.open(f"/proc/{pid}/task/{tid}/syscall", os.O_RDONLY)
            stack.callback(os.close, file)
            files.append(file)
    return files


def _waits_at(file: int) -> int | None:
    """Return the first argument of the system call that the thread sleeps in (proc_pid_syscall(5))."""
    try:
        words = os.pread(file, 64, 0).split(maxsplit=2)
        return int(words[1], 16) if len(words) > 2 and words[0].isdigit() else None
    except (OSError, ValueError):  # it has ended
        return None
