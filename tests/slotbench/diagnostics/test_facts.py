"""Facts are read from a machine that this test has written down."""

import dataclasses
import sys
from pathlib import Path

import pytest

from slotbench.diagnostics import facts
from slotbench.diagnostics.facts import Facts

CPU = "sys/devices/system/cpu"
LAPTOP = {
    f"{CPU}/online": "0-3,6\n",
    f"{CPU}/cpu0/cpufreq/scaling_governor": "powersave\n",
    f"{CPU}/cpu1/cpufreq/scaling_governor": "performance\n",
    f"{CPU}/cpu2/cpufreq/scaling_governor": "powersave\n",
    f"{CPU}/cpu0/topology/thread_siblings_list": "0-1\n",
    f"{CPU}/cpu1/topology/thread_siblings_list": "0-1\n",
    f"{CPU}/cpu2/topology/thread_siblings_list": "2-3\n",
    f"{CPU}/intel_pstate/no_turbo": "0\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n",
    "sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm\n",
    "sys/class/power_supply/AC/type": "Mains\n",
    "sys/class/power_supply/AC/online": "0\n",
    "sys/class/power_supply/mouse/type": "Battery\n",
    "sys/class/power_supply/mouse/scope": "Device\n",
    "sys/class/power_supply/mouse/status": "Discharging\n",
    "proc/meminfo": "MemTotal: 100 kB\nSwapTotal:     2048 kB\nSwapFree:      1024 kB\n",
    "proc/cpuinfo": "processor : 0\nflags\t\t: fpu vme hypervisor sse\n",
    "dockerenv": "",
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine, of which CPUs 0, 1 and 2 may be used."""
    monkeypatch.setattr(facts, "_SYS", tmp_path / "sys")
    monkeypatch.setattr(facts, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(facts, "_CONTAINER_MARKS", (tmp_path / "dockerenv",))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    for name in (*facts._THREAD_VARIABLES, *facts._SLOWING_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(machine: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = machine / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_laptop_on_battery_is_read(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Governors, turbo, cores, clock, battery, swap and the rest, as they were written down."""
    write(machine, LAPTOP)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setenv("PYTHONMALLOC", "debug")
    found = facts.read({"cgroup_cpu_quota": 1.5, "load_avg_1min": 0.7})

    assert found == dataclasses.replace(
        found,
        num_cpus=5,
        num_usable=3,
        cpu_quota=1.5,
        load_1min=0.7,
        governors=("performance", "powersave"),
        can_boost=True,
        num_cores=2,
        clock_source="hpet",
        other_clock_sources=("tsc", "hpet", "acpi_pm"),
        on_battery=True,
        swap_used_bytes=1024 * 1024,
        is_virtual=True,
        is_container=True,
        thread_variables={"OMP_NUM_THREADS": "4"},
        slowing_variables=("PYTHONMALLOC",),
    )
    assert found.steal_ratio is found.sleep_over_s is None, "these need a measurement"


def test_what_cannot_be_read_is_unknown(machine: Path) -> None:
    """An empty machine, and a control group without a limit."""
    found = facts.read({"cgroup_cpu_quota": "max"})
    unknown = Facts()

    for name in ("cpu_quota", "load_1min", "can_boost", "num_cores", "on_battery"):
        assert getattr(found, name) is None
    assert found.governors == unknown.governors
    assert (found.swap_used_bytes, found.is_virtual, found.is_container) == (
        None,
        None,
        False,
    )


@pytest.mark.parametrize(
    ("files", "on_battery"),
    [
        ({"AC/online": "1"}, False),
        ({"AC/online": "1", "BAT/type": "Battery", "BAT/status": "Discharging"}, True),
        ({"AC/online": "1", "BAT/type": "Battery", "BAT/status": "Charging"}, False),
    ],
)
def test_the_battery_of_a_mouse_is_not_the_machines(
    machine: Path, files: dict[str, str], on_battery: bool
) -> None:
    """It discharges in all three cases; what feeds the machine decides."""
    write(machine, LAPTOP)
    write(machine, {f"sys/class/power_supply/{name}": text for name, text in files.items()})
    assert facts.read({}).on_battery is on_battery


@pytest.mark.parametrize(
    ("files", "can_boost"),
    [
        ({f"{CPU}/intel_pstate/no_turbo": "1"}, False),
        ({f"{CPU}/cpufreq/boost": "1"}, True),
        ({f"{CPU}/cpufreq/boost": "0"}, False),
    ],
)
def test_boost_is_read_of_either_driver(
    machine: Path, files: dict[str, str], can_boost: bool
) -> None:
    """Intel's says what is forbidden, the others what is allowed."""
    write(machine, files)
    assert facts.read({}).can_boost is can_boost


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("'--prefix=/usr' '--enable-optimizations'", True),
        ("'--prefix=/opt'", False),
        ("", None),
        (None, None),
    ],
)
def test_an_optimised_build_is_known_by_how_it_was_configured(
    arguments: str | None, expected: bool | None
) -> None:
    """A build that says nothing of it is not called slow."""
    assert facts._is_optimised(arguments) is expected


def test_a_tracer_is_seen(machine: Path) -> None:
    """While a profile function is set, and not before."""
    before = sys.getprofile()
    sys.setprofile(None)
    is_seen_without = facts.read({}).has_tracer or sys.gettrace() is not None
    try:
        sys.setprofile(lambda *_: None)
        is_seen_with = facts.read({}).has_tracer
    finally:
        sys.setprofile(before)
    assert is_seen_with
    assert is_seen_without == (sys.gettrace() is not None)
