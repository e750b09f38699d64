"""What differs between two recorded environments, and what of it forbids a comparison.

A difference forbids where it alone can move a transport's numbers by more than a change of
code does: another machine, another Python, another torch. Every other recorded fact that
differs is named and forbids nothing. Facts of the moment (`OF_THE_MOMENT`) are left out.

A fact that one side lacks is a difference and never forbids: it may be the same on both and
only not have been readable, or be newer than the other record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from slotbench.records import Scalar

FORBIDDING: Final[Mapping[str, str]] = {
    "machine_id": "another machine",
    "cpu_model_name": "another CPU",
    "cpu_count": "another number of CPUs",
    "cpu_affinity_count": "the process may use another number of CPUs",
    "cgroup_cpu_quota": "another CPU quota",
    "python_version": "another Python",
    "python_implementation": "another Python",
    "python_free_threaded_build": "Python with or without a GIL",
    "gil_enabled": "Python with or without a GIL",
    "torch_version": "another torch",
    "gpu_name": "another GPU",
}
"""Fact → why a comparison across it would not be one of transports."""

NAMED: Final[Mapping[str, str]] = {
    "slotbench_version": "another slotbench",
    "git_commit": "another commit of slotbench",
    "git_dirty": "with or without uncommitted changes",
    "tensordict_version": "another tensordict",
    "torchrl_version": "another TorchRL",
    "gymnasium_version": "another Gymnasium",
    "numpy_version": "another NumPy",
    "pyperf_version": "the environment was read by another pyperf",
    "switch_interval_s": "threads hand over the GIL at another pace",
    "python_build": "another build of Python",
    "python_compiler": "another build of Python",
    "python_cflags": "another build of Python",
    "platform": "another operating system, kernel or C library",
    # Not forbidding: a kernel update alone moves it by some MB, and what the trials use of it
    # is far less than all.
    "memory_total_bytes": "another amount of memory",
    "gpu_count": "another number of GPUs",
    "gpu_driver_version": "another driver of the GPU",
    "gpu_memory_mib": "another amount of the GPU's memory",
    "cuda_version": "another CUDA",
    "cpu_affinity": "the process may use other CPUs",
    "cpu_config": "another CPU setting",
    "cpu_governor": "another CPU setting",
    "niceness": "another priority of its processes",
    "transparent_hugepages": "another memory setting",
    "aslr": "another memory setting",
    "timer": "another clock",
}
"""Fact → what it tells; a recorded fact that is in no table is named too."""

OF_THE_MOMENT: Final = frozenset(
    {"boot_time", "cpu_freq", "cpu_temp", "date", "duration", "uptime"}
    | {"load_avg_1min", "load_avg_5min", "load_avg_15min", "runnable_threads"}
    | {"mem_max_rss", "mem_peak_pagefile_usage", "command_max_rss"}
)
"""Never a difference: two runs of one unchanged machine differ in them."""

ONE_SIDE_ONLY: Final = "recorded in one of them only"
_UNKNOWN: Final = "another setting"


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that is not the same in two records.

    Attributes:
        name: of the fact, as recorded; its unit is in the name.
        base: the first record's value; None where it lacks the fact.
        head: the second record's value; None likewise.
        forbids: whether the two must not be compared without being told to.
        why: what the difference is, in words: "another machine".
    """

    name: str
    base: Scalar | None
    head: Scalar | None
    forbids: bool
    why: str


def differences(
    base: Mapping[str, Scalar], head: Mapping[str, Scalar]
) -> tuple[Difference, ...]:
    """Every fact in which two environments differ, the forbidding ones first.

    Args:
        base: as `slotbench.records.RunRecord.environment`.
        head: the other one; exchanging the two exchanges the sides and nothing else.

    Returns:
        In the order of `FORBIDDING` and `NAMED`, then by name; empty for equal machines.
    """
    names = (base.keys() | head.keys()) - OF_THE_MOMENT
    differing = [name for name in names if _differ(base.get(name), head.get(name))]
    found = [_difference(name, base.get(name), head.get(name)) for name in differing]
    return tuple(sorted(found, key=lambda d: (not d.forbids, _place(d.name), d.name)))


def fact_of(name: str) -> str:
    """What a recorded fact says, of whatever: "torch_version" of "python3.14t.torch_version".

    Facts of other interpreters, and of contenders' own code, have whose they are before a dot.
    """
    return name.rpartition(".")[2]


def _differ(one: Scalar | None, other: Scalar | None) -> bool:
    # A truth is not a count, though Python's True == 1.
    return one != other or isinstance(one, bool) != isinstance(other, bool)


def _difference(name: str, base: Scalar | None, head: Scalar | None) -> Difference:
    if base is None or head is None:
        return Difference(name, base, head, forbids=False, why=ONE_SIDE_ONLY)
    fact = _fact(name)
    forbids = fact in FORBIDDING
    why = FORBIDDING[fact] if forbids else NAMED.get(fact, _UNKNOWN)
    return Difference(name, base, head, forbids, why)


def _place(name: str) -> int:
    order, fact = (*FORBIDDING, *NAMED), _fact(name)
    return order.index(fact) if fact in order else len(order)


def _fact(name: str) -> str:
    """What a fact is in the tables: of another interpreter that of ours, of a checkout itself."""
    fact = fact_of(name)
    return fact if fact in FORBIDDING or fact.endswith("_version") else name
