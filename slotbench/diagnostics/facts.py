"""The facts about machine and Python that advice is given on.

What the environment of a record holds is taken from there; the rest is read from Linux's ``/sys`` and
``/proc``. What cannot be read is unknown, and nothing is said about it.

Source: the kernel's cpufreq, cputopology, clocksource and power supply documentation; proc(5).
"""

import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slotbench.records import Scalar

_SYS: Final = Path("/sys")
_PROC: Final = Path("/proc")
_CONTAINER_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))

_THREAD_VARIABLES: Final = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TORCH_NUM_THREADS"),
)
_SLOWING_VARIABLES: Final = (
    *("PYTHONDEVMODE", "PYTHONTRACEMALLOC", "PYTHONMALLOC", "COVERAGE_PROCESS_START"),
)
"""Inherited by every trial's process."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known; None, or empty, where it is not.

    Attributes:
        num_cpus: of the machine, as far as they are online.
        num_usable: that this process may run on.
        cpu_quota: of the control group, in CPUs; None also where there is no limit.
        load_1min: load average before anything was measured.
        governors: CPUfreq governors in use on the usable CPUs, each once.
        can_boost: clock rates above the nominal one are allowed.
        num_cores: physical ones behind the usable CPUs.
        clock_source: the kernel's, such as "tsc".
        other_clock_sources: that could be chosen.
        on_battery: a mains supply is there and off, or a battery discharges.
        swap_used_bytes: of swap space.
        is_virtual: a hypervisor runs this machine.
        is_container: marks of Docker or Podman are there.
        thread_variables: numbers of threads that the environment asks for.
        slowing_variables: of the environment, which slow Python down in every process.
        is_debug_build: Python with Py_DEBUG.
        is_optimised_build: Python with profile-guided optimisation.
        has_tracer: a debugger, coverage or profiler hooks into this process.
        switch_interval_s: of this process.
        steal_ratio, foreign_ratio: during the A/A run, of `records.NoiseFloor`.
        disturbed_ratio: share of its trials that the machine disturbed.
        clock_read_s: of `records.Timers`.
        sleep_over_s: median of what a sleep of 1 ms took too long.
    """

    num_cpus: int | None = None
    num_usable: int | None = None
    cpu_quota: float | None = None
    load_1min: float | None = None
    governors: tuple[str, ...] = ()
    can_boost: bool | None = None
    num_cores: int | None = None
    clock_source: str = ""
    other_clock_sources: tuple[str, ...] = ()
    on_battery: bool | None = None
    swap_used_bytes: int | None = None
    is_virtual: bool | None = None
    is_container: bool | None = None
    thread_variables: Mapping[str, str] | None = None
    slowing_variables: tuple[str, ...] = ()
    is_debug_build: bool | None = None
    is_optimised_build: bool | None = None
    has_tracer: bool | None = None
    switch_interval_s: float | None = None
    steal_ratio: float | None = None
    foreign_ratio: float | None = None
    disturbed_ratio: float | None = None
    clock_read_s: float | None = None
    sleep_over_s: float | None = None


def read(environment: Mapping[str, Scalar]) -> Facts:
    """Read what does not need a measurement; never raises.

    Args:
        environment: as `slotbench.store.environment.collect` gave it before any.
    """
    cpus = _usable()
    quota = environment.get("cgroup_cpu_quota")
    load = environment.get("load_avg_1min")
    variables = {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ}
    return Facts(
        num_cpus=len(_numbers(_text(_SYS / "devices/system/cpu/online"))) or os.cpu_count(),
        num_usable=len(cpus) or None,
        cpu_quota=float(quota) if isinstance(quota, int | float) else None,
        load_1min=float(load) if isinstance(load, int | float) else None,
        governors=_each(_cpu(cpu) / "cpufreq/scaling_governor" for cpu in cpus),
        can_boost=_can_boost(),
        num_cores=_num_cores(cpus),
        clock_source=_text(_clock_sources() / "current_clocksource"),
        other_clock_sources=tuple(
            _text(_clock_sources() / "available_clocksource").split()
        ),
        on_battery=_on_battery(),
        swap_used_bytes=_swap_used_bytes(),
        is_virtual=_is_virtual(),
        is_container=any(mark.exists() for mark in _CONTAINER_MARKS),
        thread_variables=variables,
        slowing_variables=tuple(n for n in _SLOWING_VARIABLES if os.environ.get(n)),
        is_debug_build=bool(sysconfig.get_config_var("Py_DEBUG")),
        is_optimised_build=_is_optimised(sysconfig.get_config_var("CONFIG_ARGS")),
        has_tracer=_has_tracer(),
        switch_interval_s=sys.getswitchinterval(),
    )


def _usable() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _cpu(number: int) -> Path:
    return _SYS / f"devices/system/cpu/cpu{number}"


def _clock_sources() -> Path:
    return _SYS / "devices/system/clocksource/clocksource0"


def _can_boost() -> bool | None:
    """Ask Intel's driver ("no_turbo"), or the others' ("boost")."""
    cpu = _SYS / "devices/system/cpu"
    no_turbo, boost = _text(cpu / "intel_pstate/no_turbo"), _text(cpu / "cpufreq/boost")
    if no_turbo:
        return no_turbo == "0"
    return boost == "1" if boost else None


def _num_cores(cpus: Iterable[int]) -> int | None:
    """Count groups of siblings: CPUs that are threads of one core."""
    groups = _each(_cpu(cpu) / "topology/thread_siblings_list" for cpu in cpus)
    return len(groups) or None


def _on_battery() -> bool | None:
    """Read the supplies that feed the machine, and not those of a mouse."""
    states = []
    for supply in sorted((_SYS / "class/power_supply").glob("*")):
        if _text(supply / "scope") == "Device":
            continue
        kind = _text(supply / "type")
        if kind == "Mains":
            states.append(_text(supply / "online") == "0")
        elif kind == "Battery":
            states.append(_text(supply / "status") == "Discharging")
    return any(states) if states else None


def _swap_used_bytes() -> int | None:
    found = {
        name: int(kilobytes) * 1024
        for name, kilobytes in re.findall(
            r"^(SwapTotal|SwapFree): +(\d+) kB", _text(_PROC / "meminfo"), re.MULTILINE
        )
    }
    if len(found) < 2:
        return None
    return found["SwapTotal"] - found["SwapFree"]


def _is_virtual() -> bool | None:
    """Whether the CPU has the flag that hypervisors set; x86 alone says so."""
    flags = re.search(r"^flags\s*:(.*)$", _text(_PROC / "cpuinfo"), re.MULTILINE)
    return None if flags is None else "hypervisor" in flags[1].split()


def _is_optimised(config_args: object) -> bool | None:
    """Whether ./configure was told to; None where a build says nothing of it."""
    if not isinstance(config_args, str) or not config_args:
        return None
    return "--enable-optimizations" in config_args


def _has_tracer() -> bool:
    monitoring = getattr(sys, "monitoring", None)
    tools = [] if monitoring is None else [monitoring.get_tool(n) for n in range(6)]
    return (
        sys.gettrace() is not None or sys.getprofile() is not None or any(map(bool, tools))
    )


def _each(files: Iterable[Path]) -> tuple[str, ...]:
    """What stands in these files, each text once; those that cannot be read are left out."""
    return tuple(sorted({text for file in files if (text := _text(file))}))


def _numbers(text: str) -> set[int]:
    """Read "0-3,8" as 0, 1, 2, 3, 8."""
    found: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
