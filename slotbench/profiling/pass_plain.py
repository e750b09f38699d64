"""No probes: what the threads cost, read from the kernel just outside of the window.

Its throughput is what every other pass is held against.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slotbench.measure.actors import Actor
from slotbench.measure.systems import System
from slotbench.profiling._probes import Found, Probes, server_thread
from slotbench.records import TrialRecord, Workload

_TASKS: Final = Path("/proc/self/task")


@dataclass(frozen=True, slots=True)
class _Use:
    """Counters of one thread since it began (proc_pid_status(5), schedstat).

    Attributes:
        cpu_ns: time on a CPU.
        queue_ns: time ready to run, without one.
    """

    cpu_ns: int
    queue_ns: int
    voluntary: int
    involuntary: int


class PlainPass(Probes):
    """Reads the threads' counters at the window's two ends."""

    def __init__(self, workload: Workload) -> None:
        del workload
        self._before: dict[int, _Use] = {}
        self._after: dict[int, _Use] = {}
        self._roles: dict[int, str] = {}

    def attach(self, system: System, actors: Sequence[Actor]) -> None:
        """Know whose thread is the server."""
        super().attach(system, actors)
        self._system = system

    def before_window(self) -> None:
        """Read the counters."""
        self._before = _read()
        self.count_from_here()

    def after_window(self, begin_ns: int, end_ns: int) -> None:
        """Read the counters, and who is who, while all threads live."""
        del begin_ns, end_ns
        self._after = _read()
        self.count_to_here()
        server = server_thread(self._system)
        names = {f"actor-{actor.index}" for actor in self._actors}
        for thread in threading.enumerate():
            if thread.native_id is None:
                continue
            if thread is threading.main_thread():
                self._roles[thread.native_id] = "harness"
            elif thread is server:
                self._roles[thread.native_id] = "server"
            elif thread.name in names:
                self._roles[thread.native_id] = "actor"

    def result(self, trial: TrialRecord) -> Found:
        """Divide what was used by the replies."""
        del trial
        n = self.num_replies
        if not n or not self._after:
            return Found()
        used: dict[str, list[_Use]] = {}
        for tid, after in self._after.items():
            before = self._before.get(tid, _Use(0, 0, 0, 0))
            used.setdefault(self._roles.get(tid, "others"), []).append(
                _Use(
                    after.cpu_ns - before.cpu_ns,
                    after.queue_ns - before.queue_ns,
                    after.voluntary - before.voluntary,
                    after.involuntary - before.involuntary,
                )
            )
        actors, server = used.get("actor", []), used.get("server", [])
        both = actors + server
        return Found(
            counts={
                "switches_voluntary": sum(one.voluntary for one in both) / n,
                "switches_involuntary": sum(one.involuntary for one in both) / n,
                "cpu_actors_s": sum(one.cpu_ns for one in actors) / n / 1e9,
                "cpu_server_s": sum(one.cpu_ns for one in server) / n / 1e9,
                "cpu_others_s": sum(o.cpu_ns for o in used.get("others", [])) / n / 1e9,
                "run_queue_s": sum(one.queue_ns for one in both) / n / 1e9,
            }
        )


def _read() -> dict[int, _Use]:
    """Read every thread's counters; nothing where the system has none."""
    found = {}
    for task in _TASKS.iterdir() if _TASKS.is_dir() else ():
        try:
            cpu_ns, queue_ns, *_ = (task / "schedstat").read_text().split()
            switches = {
                name: int(value)
                for name, _, value in (
                    line.partition(":")
                    for line in (task / "status").read_text().splitlines()
                )
                if name.endswith("ctxt_switches")
            }
        except (OSError, ValueError):  # it has ended, or this kernel keeps no schedstat
            continue
        found[int(task.name)] = _Use(
            int(cpu_ns),
            int(queue_ns),
            switches["voluntary_ctxt_switches"],
            switches["nonvoluntary_ctxt_switches"],
        )
    return found
