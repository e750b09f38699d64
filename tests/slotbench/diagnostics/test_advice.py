"""Each rule speaks of hand-made facts, and is silent on the other side of its threshold."""

import dataclasses
from typing import Any

import pytest

from slotbench.diagnostics import advice
from slotbench.diagnostics.facts import Facts

QUIET = Facts(
    num_cpus=8,
    num_usable=8,
    load_1min=0.1,
    governors=("performance",),
    can_boost=False,
    num_cores=8,
    clock_source="tsc",
    other_clock_sources=("tsc", "hpet"),
    on_battery=False,
    swap_used_bytes=0,
    is_virtual=False,
    is_container=False,
    thread_variables={},
    is_debug_build=False,
    is_optimised_build=True,
    has_tracer=False,
    switch_interval_s=0.005,
    steal_ratio=0.0,
    foreign_ratio=0.01,
    disturbed_ratio=0.0,
    clock_read_s=3e-8,
    sleep_over_s=6e-5,
)
SPOKEN: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    # rule, facts that trip it, what is seen, facts that just do not
    ("steal", {"steal_ratio": 0.05}, "gave 5% of the CPU time", {"steal_ratio": 0.02}),
    ("others_run", {"foreign_ratio": 0.2}, "took 20%", {"foreign_ratio": 0.02}),
    ("load", {"load_1min": 3.2}, "load average was 3.20", {"load_1min": 2.0}),
    ("disturbed", {"disturbed_ratio": 0.5}, "50% of the A/A", {"disturbed_ratio": 0.1}),
    ("cpu_quota", {"cpu_quota": 1.5}, "may use 1.5 CPUs, and sees 8", {"cpu_quota": 8.0}),
    (
        "one_cpu",
        {"num_cpus": 1, "num_usable": 1},
        "one CPU",
        {"num_cpus": 2, "num_usable": 2},
    ),
    ("affinity", {"num_usable": 4}, "4 of 8 CPUs", {"num_cpus": 4, "num_usable": 4}),
    ("shared_cores", {"num_cores": 4}, "8 CPUs are threads of 4 cores", {"num_cores": 8}),
    (
        "governor",
        {"governors": ("performance", "powersave")},
        "is powersave",
        {"governors": ("performance",)},
    ),
    ("boost", {"can_boost": True}, "turbo", {"can_boost": None}),
    ("battery", {"on_battery": True}, "battery", {"on_battery": None}),
    (
        "clock",
        {"clock_source": "hpet"},
        "clock is hpet",
        {"clock_source": "kvm-clock", "other_clock_sources": ("kvm-clock",)},
    ),
    (
        "clock",
        {"clock_read_s": 1e-6, "clock_source": "hpet"},
        "1000 ns a read",
        {"clock_read_s": 1e-6},  # of tsc: nothing better is to be had
    ),
    ("sleep", {"sleep_over_s": 1e-3}, "takes 1000 µs longer", {"sleep_over_s": 3e-4}),
    ("swap", {"swap_used_bytes": 2**30}, "1024 MiB", {"swap_used_bytes": 2**20}),
    ("debug_build", {"is_debug_build": True}, "debug build", {"is_debug_build": None}),
    (
        "plain_build",
        {"is_optimised_build": False},
        "without profile-guided",
        {"is_optimised_build": None},
    ),
    (
        "slowed_python",
        {"slowing_variables": ("PYTHONDEVMODE", "PYTHONMALLOC")},
        "PYTHONDEVMODE, PYTHONMALLOC",
        {"slowing_variables": ()},
    ),
    ("traced", {"has_tracer": True}, "traces this process", {"has_tracer": None}),
    (
        "switch_interval",
        {"switch_interval_s": 0.001},
        "0.001 s here",
        {"switch_interval_s": 0.005},
    ),
    (
        "thread_variables",
        {"thread_variables": {"OMP_NUM_THREADS": "8", "MKL_NUM_THREADS": "1"}},
        "OMP_NUM_THREADS=8",
        {"thread_variables": {"OMP_NUM_THREADS": "1"}},
    ),
    (
        "virtual",
        {"is_virtual": True, "is_container": True},
        "a container in a virtual machine",
        {"is_virtual": None},
    ),
]


def test_a_quiet_machine_needs_no_advice() -> None:
    """And of a machine of which nothing is known nothing is said."""
    assert advice.advise(QUIET) == ()
    assert advice.advise(Facts()) == ()


@pytest.mark.parametrize(("rule", "facts", "seen", "enough"), SPOKEN)
def test_a_rule_speaks_of_its_fact_alone(
    rule: str, facts: dict[str, Any], seen: str, enough: dict[str, Any]
) -> None:
    """It says what was seen, with the number, why, and what to do; at its threshold it is silent."""
    (said,) = advice.advise(dataclasses.replace(QUIET, **facts))

    assert said.rule == rule
    assert seen in said.seen
    assert said.why
    assert said.remedy
    assert advice.advise(dataclasses.replace(QUIET, **enough)) == ()


def test_every_rule_has_its_case() -> None:
    """And no two rules have one name."""
    names = [rule.name for rule in advice.RULES]

    assert len(names) == len(set(names))
    assert {case[0] for case in SPOKEN} == set(names)
