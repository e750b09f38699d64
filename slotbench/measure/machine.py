"""What the machine did besides a trial: other processes, the hypervisor, a CPU quota.

Read at the two ends of the window from Linux's ``/proc/stat`` (in ticks of 10 ms) and from the
``cpu.stat`` of the process's control group; elsewhere nothing is known and None is said.
Whether that is too much is for `slotbench.compute.validity` to say.

Source: proc_stat(5); the kernel's "Control Group v2", CPU interface files.
"""

import os
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_NOT_BUSY: Final = (3, 4)
"""Columns of a CPU's line that are no work: idle and iowait. Guests are counted in user."""
_STEAL: Final = 7
_COUNTED: Final = 8

_PPID, _PGRP, _UTIME, _STIME = 0, 1, 10, 11
"""Fields of a process's ``stat``, after its name and state (proc_pid_stat(5))."""

_THROTTLED_PER_S: Final = {"throttled_usec": 1e6, "throttled_time": 1e9}
"""Name in ``cpu.stat`` → units a second: control groups of version 2, and of version 1."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment, of the CPUs that this process may use; None where unknown.

    Attributes:
        busy_s: CPU time of all processes and of interrupts.
        own_s: CPU time of this process and its companions.
        steal_s: CPU time that the hypervisor gave to others while this machine wanted it.
        throttled_s: how long threads of the control group, and of those above it, were held
            back by a CPU quota.
    """

    busy_s: float | None
    own_s: float
    steal_s: float | None
    throttled_s: float | None


@dataclass(frozen=True, slots=True)
class MachineUse:
    """The differences of two readings, named as in `slotbench.records.TrialMeasurement`."""

    num_cpus: int | None = None
    steal_s: float | None = None
    foreign_cpu_s: float | None = None
    throttled_s: float | None = None


def companions() -> tuple[int, ...]:
    """Find the other processes of this one's group, and all that these and this one have started.

    A trial has a group of its own; Ray's processes have groups of theirs. Looks at every process
    of the machine, so it is not for a moment when threads fight for the GIL.
    """
    group, me = os.getpgrp(), os.getpid()
    fields = {
        int(process.name): _fields(int(process.name)) for process in _PROC.glob("[0-9]*")
    }
    parents = {pid: found[_PPID] for pid, found in fields.items() if found}
    ours = {me, *(pid for pid in parents if fields[pid][_PGRP] == group)}
    while new := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= new
    return tuple(sorted(ours - {me}))


def read(of: Iterable[int] = ()) -> Reading:
    """Read all counters now; takes a millisecond or two, and never raises.

    Args:
        of: the companions.
    """
    busy_s, steal_s = _cpu_times()
    rusages = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    own_s = sum(usage.ru_utime + usage.ru_stime for usage in rusages)
    ticks = sum(sum(_fields(pid)[_UTIME : _STIME + 1]) for pid in of)
    own_s += ticks / os.sysconf("SC_CLK_TCK")
    return Reading(busy_s, own_s, steal_s, _throttled_s())


@dataclass(frozen=True, slots=True)
class Usage:
    """What processes have used so far.

    Attributes:
        cpu_s: CPU time.
        voluntary, involuntary: context switches of all their threads.
    """

    cpu_s: float
    voluntary: int
    involuntary: int


def usage(of: Iterable[int] = ()) -> dict[int, Usage]:
    """Read what this process and its companions have used, by process; never raises.

    Args:
        of: the companions; one that has ended is left out.
    """
    own = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = own.ru_utime + own.ru_stime
    found = {os.getpid(): Usage(cpu_s, own.ru_nvcsw, own.ru_nivcsw)}
    for pid in of:
        threads = list(_PROC.glob(f"{pid}/task/[0-9]*"))
        if threads:
            switches = [_switches(thread) for thread in threads]
            found[pid] = Usage(
                sum(map(_on_cpu_s, threads)),
                sum(voluntary for voluntary, _ in switches),
                sum(involuntary for _, involuntary in switches),
            )
    return found


def grown(begin: Mapping[int, Usage], end: Mapping[int, Usage]) -> Usage:
    """Sum what processes have used between two readings; one that is in one of them alone is left out.

    So is what a process's threads had used that ended in between, where that is more than it grew.
    """
    pairs = [(begin[pid], end[pid]) for pid in begin.keys() & end.keys()]
    return Usage(
        sum(max(0.0, after.cpu_s - before.cpu_s) for before, after in pairs),
        sum(max(0, after.voluntary - before.voluntary) for before, after in pairs),
        sum(max(0, after.involuntary - before.involuntary) for before, after in pairs),
    )


def _on_cpu_s(thread: Path) -> float:
    """CPU time of a thread: nanoseconds (the kernel's "Scheduler Statistics"), or ticks without these."""
    on_cpu = _text(thread / "schedstat").split()
    if on_cpu:
        return int(on_cpu[0]) / 1e9
    return sum(_fields_of(thread / "stat")[_UTIME : _STIME + 1]) / os.sysconf("SC_CLK_TCK")


def _switches(thread: Path) -> tuple[int, int]:
    """Voluntary and involuntary context switches of a thread."""
    lines = (line.split() for line in _text(thread / "status").splitlines())
    counts = {line[0]: line[1] for line in lines if len(line) == 2}
    return (
        int(counts.get("voluntary_ctxt_switches:", 0)),
        int(counts.get("nonvoluntary_ctxt_switches:", 0)),
    )


def between(begin: Reading, end: Reading) -> MachineUse:
    """Return what the machine did from one reading to the other.

    The ticks of ``/proc/stat`` are coarser than the process's own time: where nobody else ran,
    the difference may come out a little below 0, and is then 0.
    """
    busy_s = _difference(begin.busy_s, end.busy_s)
    own_s = end.own_s - begin.own_s
    return MachineUse(
        num_cpus=num_cpus(),
        steal_s=_difference(begin.steal_s, end.steal_s),
        foreign_cpu_s=None if busy_s is None else max(0.0, busy_s - own_s),
        throttled_s=_difference(begin.throttled_s, end.throttled_s),
    )


def num_cpus() -> int:
    """How many CPUs this process may use."""
    return len(_cpus())


def _difference(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else max(0.0, end - begin)


def _cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _cpu_times() -> tuple[float | None, float | None]:
    """Sum busy and stolen seconds over this process's CPUs."""
    lines = {f"cpu{number}" for number in _cpus()}
    busy = steal = 0
    seen = False
    for line in _text(_PROC / "stat").splitlines():
        name, *fields = line.split()
        if name not in lines or len(fields) < _COUNTED:
            continue
        ticks = [int(field) for field in fields[:_COUNTED]]
        seen = True
        steal += ticks[_STEAL]
        busy += sum(
            count
            for column, count in enumerate(ticks)
            if column not in {*_NOT_BUSY, _STEAL}
        )
    if not seen:
        return None, None
    per_s = os.sysconf("SC_CLK_TCK")
    return busy / per_s, steal / per_s


def _fields(pid: int) -> list[int]:
    return _fields_of(_PROC / str(pid) / "stat")


def _fields_of(stat: Path) -> list[int]:
    """Read a ``stat`` from its parent on; [] where it has ended.

    Its name, in brackets, may hold anything; its state is a letter and left out.
    """
    fields = _text(stat).rpartition(")")[2].split()[1:]
    return [int(field) for field in fields[: _STIME + 1]]


def _throttled_s() -> float | None:
    """Sum what the quotas of this process's group and of every group above it held back."""
    found = []
    for line in _text(_PROC / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        # Version 2 has no controllers' names here; in version 1 "cpu" has a tree of its own.
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS / controllers
        group = root / path.lstrip("/")
        levels = [group, *(level for level in group.parents if level.is_relative_to(root))]
        found += [held for level in levels for held in _held_back_s(level / "cpu.stat")]
    return sum(found) if found else None


def _held_back_s(file: Path) -> list[float]:
    lines = (line.partition(" ") for line in _text(file).splitlines())
    return [
        int(value) / _THROTTLED_PER_S[name]
        for name, _, value in lines
        if name in _THROTTLED_PER_S and value.isdigit()
    ]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
