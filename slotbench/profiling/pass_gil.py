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
import platform
import random
import select
import threading
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Final

from slotbench.measure import interpreter
from slotbench.profiling._probes import Found, Probes
from slotbench.records import Contender, TrialRecord, Workload

_EVERY_S: Final = 0.001
_MAX_LOAD: Final = 0.05
"""Share of one CPU that looking may take; with many threads it looks less often."""

_TASKS: Final = Path("/proc/self/task")
_ANSWER_S: Final = 5.0
_MAX_THREADS: Final = 512
_FUTEX: Final = {"x86_64": b"202", "aarch64": b"98"}
"""Machine → the system call's number, as the kernel writes it."""

_FIND_S: Final = 2.0
_ENOUGH: Final = 20
"""Looks at which a thread must have been seen waiting for the GIL."""

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
        self._share = 1.0

    def before_build(self, contender: Contender) -> None:
        """Start the sampler, and let it find the GIL; without one nobody waits for it."""
        del contender
        if not interpreter.is_gil_enabled():
            return
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
        """Begin to sample all threads but this one; of very many, some, drawn by chance."""
        if self._sampler is None or not _TASKS.is_dir():
            return
        main = threading.get_native_id()
        tids = [tid for task in _TASKS.iterdir() if (tid := int(task.name)) != main]
        seen = tids if len(tids) <= _MAX_THREADS else random.sample(tids, _MAX_THREADS)
        self._share = len(seen) / len(tids) if tids else 1.0
        self._send("begin", seen)

    def after_window(self, begin_ns: int, end_ns: int) -> None:
        """End, and take what was seen."""
        del begin_ns, end_ns
        self._send("end", [])
        counts = self._answer()
        if "gil_waiters" in counts and self._share < 1.0:
            # That some wait, though none of the drawn ones does, is not seen.
            counts = {"gil_waiters": counts["gil_waiters"] / self._share}
        self._counts = counts

    def after_trial(self) -> None:
        """Let the sampler end."""
        if self._sampler is not None:
            self._sampler.close()

    def result(self, trial: TrialRecord) -> Found:
        """Give shares of the samples."""
        del trial
        return Found(counts=self._counts)

    def _show_gil(self) -> None:
        """Compute in two threads, of which one waits for the GIL, until the sampler has seen it."""
        stop: list[None] = []

        def compute() -> None:
            while not stop:
                pass

        threads = [threading.Thread(target=compute, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        self._send("find", [thread.native_id or 0 for thread in threads])
        if not self._answer().get("is_found"):
            self._sampler = None
        stop.append(None)
        for thread in threads:
            thread.join()

    def _send(self, command: str, tids: Sequence[int]) -> None:
        if self._sampler is not None:
            try:
                self._sampler.send((command, tids))
            except OSError:  # it has ended: it may not look
                self._sampler = None

    def _answer(self) -> dict[str, float]:
        with contextlib.suppress(EOFError, OSError):
            if self._sampler is not None and self._sampler.poll(_ANSWER_S):
                answer: dict[str, float] = self._sampler.recv()
                return answer
        return {}


# ---- the sampler's process


def _serve(connection: Connection, pid: int) -> None:
    """Do as told until the other side closes."""
    gil: int | None = None
    while True:
        command, tids = connection.recv()
        if command == "find":
            gil = _find(pid, tids)
            connection.send({"is_found": float(gil is not None)})
        elif command == "begin":
            counts = {} if gil is None else _sample(connection, pid, tids, gil)
            connection.recv()  # "end"
            connection.send(counts)


def _find(pid: int, tids: Sequence[int]) -> int | None:
    """Return where threads that all compute sleep; None unless all of them were seen there."""
    seen: list[Counter[int]] = [Counter() for _ in tids]
    until = time.perf_counter() + _FIND_S
    with contextlib.ExitStack() as stack:
        files = _open(stack, pid, tids)
        while time.perf_counter() < until and len(files) == len(tids):
            for counter, file in zip(seen, files, strict=True):
                if place := _waits_at(file):
                    counter[place] += 1
            place, times = sum(seen, Counter()).most_common(1)[0] if any(seen) else (0, 0)
            if times >= _ENOUGH and all(_near(counter, place) for counter in seen):
                return place
            time.sleep(_EVERY_S)
    return None


def _near(counter: Counter[int], place: int) -> bool:
    """Whether something was seen as near as the parts of the GIL are to each other."""
    return any(abs(other - place) < _GIL_BYTES for other in counter)


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
            places = [place for file in files if (place := _waits_at(file))]
            waiters = sum(abs(place - gil) < _GIL_BYTES for place in places)
            num_samples += 1
            num_wanted += waiters > 0
            num_waiters += waiters
            pause_s = max(_EVERY_S, (time.perf_counter() - began) / _MAX_LOAD)
    if not num_samples or not files:
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
    """Return the address of the futex that the thread sleeps at (proc_pid_syscall(5)); or None."""
    try:
        words = os.pread(file, 64, 0).split(maxsplit=2)
        is_futex = len(words) > 2 and words[0] == _FUTEX.get(platform.machine())
        return int(words[1], 16) if is_futex else None
    except (OSError, ValueError):  # it has ended
        return None
