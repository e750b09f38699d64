"""The machine, Python, packages and commit of a run, as flat scalars.

pyperf's own metadata keep pyperf's names and units; the rest is what it lacks. Nothing here
names the machine, its user or a path on it, so that a record can be published.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import slotbench
from slotbench.contenders import (
    checkout,
    factory_module,
    package_of,
    python_facts,
    pythons,
)
from slotbench.errors import ContenderError
from slotbench.records import Contender, Scalar

PACKAGES: Final = ("torch", "tensordict", "torchrl", "gymnasium", "numpy", "pyperf")
"""Recorded as "torch_version", …; absent where not installed. Never imported here."""

_DROPPED: Final = frozenset(
    # Of the process or the moment, not of the machine.
    {"date", "duration", "uptime", "mem_max_rss", "command_max_rss", "cpu_temp"}
    | {"mem_peak_pagefile_usage", "perf_version"}
    # Of a person or a machine.
    | {"hostname", "python_executable", "python_config_args", "command"}
)
_PATH: Final = re.compile(r"(?<![\w.])[/~]\w")
_UNREADABLE: Final = (
    ImportError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    subprocess.SubprocessError,
)
_GPU_FACTS: Final = ("name", "driver_version", "memory.total")
_GPU_TIMEOUT_S: Final = 20.0
"""Where no daemon keeps the driver loaded, the tool waits until it is."""
_SYS: Final = Path("/sys")
_PROC: Final = Path("/proc")


def collect(contenders: Iterable[Contender] = ()) -> dict[str, Scalar]:
    """Describe where this process runs; never raises: what cannot be read is absent.

    Args:
        contenders: those from outside or from a checkout add ``<place>.code_sha256``, of their
            package and, but for what is installed, of the modules beside it; checkouts also
            ``<place>.git_commit`` and ``<place>.git_dirty``. The place is the folder as
            written, or the package. Those in another interpreter add its version, its GIL and its packages,
            such as ``<python>.python_version``, with the interpreter as written in option ``python``.

    Names end in their unit. ``load_avg_*`` and ``runnable_threads`` are of the moment of
    the call. ``machine_id`` tells machines apart without naming one. ``code_sha256`` is of
    slotbench and transports as they lie there, committed or not.
    ``niceness`` is absent where it is 0, as usual.
    ``cgroup_cpu_quota`` is a number of CPUs, or "max" where there is no limit. ``gpu_*`` are of the GPUs
    that this process may use, absent where there is none; ``cuda_version`` is torch's.
    """
    environment: dict[str, Scalar] = {}
    sources: list[Callable[[], dict[str, Scalar]]] = [*_SOURCES]
    raced = tuple(contenders)
    sources += [functools.partial(_contender, contender) for contender in raced]
    sources += [functools.partial(_interpreter, name) for name in pythons(raced) if name]
    for source in sources:
        try:
            found = source()
        except (*_UNREADABLE, ContenderError):
            continue
        environment.update(found)
    return dict(sorted(environment.items()))


def _pyperf() -> dict[str, Scalar]:
    import pyperf

    metadata = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    return {
        name: value
        for name, value in metadata.items()
        if name not in _DROPPED
        and isinstance(value, bool | int | float | str)
        and not (isinstance(value, str) and _PATH.search(value))
    }


def _python() -> dict[str, Scalar]:
    is_gil_enabled: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return {
        "gil_enabled": is_gil_enabled(),
        "switch_interval_s": sys.getswitchinterval(),
        "python_build": " ".join(sys.version.split("\n")[0].split()),
        "python_free_threaded_build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    }


def _packages() -> dict[str, Scalar]:
    versions: dict[str, Scalar] = {"slotbench_version": slotbench.__version__}
    for name in PACKAGES:
        try:
            versions[f"{name}_version"] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _machine() -> dict[str, Scalar]:
    # systemd asks that /etc/machine-id leaves the machine only as a keyed hash.
    identity = f"slotbench {os.uname().nodename} {_text(Path('/etc/machine-id'))}"
    return {"machine_id": hashlib.sha256(identity.encode()).hexdigest()[:12]}


def _memory() -> dict[str, Scalar]:
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {"memory_total_bytes": pages * page_bytes}


def _load() -> dict[str, Scalar]:
    _, five, fifteen = os.getloadavg()
    return {"load_avg_5min": five, "load_avg_15min": fifteen}


def _affinity() -> dict[str, Scalar]:
    return {"cpu_affinity_count": len(os.sched_getaffinity(0))}


def _niceness() -> dict[str, Scalar]:
    """Tell of a priority that is not the usual one."""
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    return {"niceness": niceness} if niceness else {}


def _governor() -> dict[str, Scalar]:
    governor = _text(_SYS / "devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return {"cpu_governor": governor} if governor else {}


def _huge_pages() -> dict[str, Scalar]:
    """Read the setting in use: the kernel writes "always [madvise] never"."""
    chosen = re.search(r"\[(\w+)\]", _text(_SYS / "kernel/mm/transparent_hugepage/enabled"))
    return {"transparent_hugepages": chosen.group(1)} if chosen else {}


def _cgroup() -> dict[str, Scalar]:
    """Read the tightest ``cpu.max`` (cgroup v2) between this process's group and the root."""
    match = re.search(r"^0::(/.*)$", _text(_PROC / "self/cgroup"), flags=re.MULTILINE)
    if match is None:
        return {}
    root = _SYS / "fs/cgroup"
    group = root / match.group(1).lstrip("/")
    levels = [group, *group.parents]
    quotas = [
        _quota(_text(level / "cpu.max")) for level in levels if level.is_relative_to(root)
    ]
    limits = [quota for quota in quotas if quota is not None]
    if limits:
        return {"cgroup_cpu_quota": min(limits)}
    return {"cgroup_cpu_quota": "max"} if (root / "cgroup.controllers").exists() else {}


def _quota(text: str) -> float | None:
    """Turn "150000 100000" (µs of CPU per period of µs) into 1.5 CPUs; "max …" into None."""
    quota, _, period = text.partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _gpu() -> dict[str, Scalar]:
    """Ask the driver's own tool of the GPUs that this process may use; of several alike there is one name.

    Neither torch nor CUDA is asked: a process that has started CUDA cannot fork trials that use it.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in {"", "-1"}:
        return {}  # either hides all
    command = [tool, f"--query-gpu={','.join(_GPU_FACTS)}", "--format=csv,noheader,nounits"]
    command += [] if visible is None else [f"--id={visible}"]
    text = subprocess.run(
        command, capture_output=True, text=True, timeout=_GPU_TIMEOUT_S, check=True
    ).stdout
    rows = [[field.strip() for field in line.split(",")] for line in text.splitlines()]
    names, drivers, memories_mib = zip(*rows, strict=True)
    found: dict[str, Scalar] = {
        "gpu_count": len(rows),
        "gpu_name": ", ".join(dict.fromkeys(names)),
        "gpu_driver_version": drivers[0],
    }
    if memories_mib[0].isdigit():  # "[N/A]" where it is the host's
        found["gpu_memory_mib"] = int(memories_mib[0])
    return found


def _cuda() -> dict[str, Scalar]:
    """Read which CUDA torch was built with, and brings along, without importing it."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return {}
    found = re.search(
        r"^cuda\b[^=\n]*=\s*'([\d.]+)'",
        _text(Path(spec.origin).parent / "version.py"),
        flags=re.MULTILINE,
    )
    return {"cuda_version": found.group(1)} if found else {}


def _git() -> dict[str, Scalar]:
    checkout = Path(slotbench.__file__).resolve().parent.parent
    return _commit(checkout) if (checkout / ".git").exists() else {}


def _code() -> dict[str, Scalar]:
    found = [spec for name in ("slotbench", "transports") if (spec := find_spec(name))]
    return {"code_sha256": _sha256(file for spec in found for file in _files(spec))}


def _contender(contender: Contender) -> dict[str, Scalar]:
    """Tell the state of the code that a contender from outside is made of."""
    folder = checkout(contender)
    package = package_of(contender)
    if folder is not None:
        spec = PathFinder.find_spec(package, [str(Path(folder).resolve())])
        facts = {f"{folder}.{k}": v for k, v in _code_of(spec).items()}
        with contextlib.suppress(*_UNREADABLE):  # it need not be a checkout of git
            facts |= {f"{folder}.{k}": v for k, v in _commit(Path(folder)).items()}
        return facts
    if factory_module(contender.name) is None:
        return {}
    return {f"{package}.{k}": v for k, v in _code_of(find_spec(package)).items()}


def _interpreter(python: str) -> dict[str, Scalar]:
    """Tell what another interpreter is, and which packages it has."""
    return {f"{python}.{name}": value for name, value in python_facts(python).items()}


def _code_of(spec: ModuleSpec | None) -> dict[str, Scalar]:
    if spec is None or spec.origin is None:
        return {}
    origin = Path(spec.origin)
    is_module = spec.submodule_search_locations is None
    folder = origin.parent if is_module else origin.parent.parent
    is_installed = folder.name in {"site-packages", "dist-packages"}
    beside = [] if is_installed else sorted(folder.glob("*.py"))
    return {"code_sha256": _sha256(dict.fromkeys([*_files(spec), *beside]))}


def _files(spec: ModuleSpec) -> list[Path]:
    """List a module's own file, or all Python files of a package."""
    places = spec.submodule_search_locations
    if places is None:
        return [Path(str(spec.origin))]
    return sorted(file for place in places for file in Path(place).rglob("*.py"))


def _sha256(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _commit(checkout: Path) -> dict[str, Scalar]:
    """Name the commit of the checkout that the folder is in."""
    return {
        "git_commit": _run_git(checkout, "rev-parse", "HEAD"),
        "git_dirty": bool(_run_git(checkout, "status", "--porcelain")),
    }


def _run_git(checkout: Path, *arguments: str) -> str:
    # A GIT_DIR left by a hook would answer for another repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    return subprocess.run(
        ["git", "-C", str(checkout), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    ).stdout.strip()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


_SOURCES: Final[tuple[Callable[[], dict[str, Scalar]], ...]] = (
    _pyperf,
    _python,
    _packages,
    _machine,
    _memory,
    _load,
    _affinity,
    _niceness,
    _governor,
    _huge_pages,
    _cgroup,
    _gpu,
    _cuda,
    _code,
    _git,
)
