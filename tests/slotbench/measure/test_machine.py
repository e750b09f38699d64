"""What else ran: read from files of the form that proc_stat(5) and cgroup v1/v2 give."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slotbench.measure import machine
from slotbench.measure.machine import MachineUse, Reading, Usage

STAT = """\
cpu  900 900 900 900 900 900 900 900 900 900
cpu0 100 10 20 5000 300 1 2 40 7 7
cpu1 200 0 0 5000 300 0 0 60 0 0
cpu10 9999 0 0 0 0 0 0 9999 0 0
intr 1 2 3
"""

Files = Callable[..., None]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Put files below a /proc and a /sys/fs/cgroup of our own; CPUs 0 and 1 are ours."""
    monkeypatch.setattr(machine, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda _: 100)

    def write(**texts: str) -> None:
        for name, text in texts.items():
            file = tmp_path / name.replace("__", "/").replace("cpu_stat", "cpu.stat")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    return write


def test_busy_and_stolen_time_are_those_of_our_cpus(files: Files) -> None:
    """Idle, iowait and guests (counted in user already) are no work; cpu10 is not cpu1."""
    files(proc__stat=STAT)
    reading = machine.read()

    assert reading.busy_s == pytest.approx((100 + 10 + 20 + 1 + 2 + 200) / 100)
    assert reading.steal_s == pytest.approx(1.0)


@pytest.mark.parametrize("stat", ["", "cpu0 1 2 3\n", "nonsense\n\n"])
def test_an_old_or_foreign_kernel_says_nothing(stat: str, files: Files) -> None:
    """Unknown is None and not 0."""
    files(proc__stat=stat.replace("\n\n", "\n"))
    reading = machine.read()
    use = machine.between(reading, reading)

    assert (reading.busy_s, reading.steal_s, reading.throttled_s) == (None, None, None)
    assert use == MachineUse(num_cpus=2)


def test_no_proc_at_all_says_nothing(files: Files) -> None:
    """Elsewhere than on Linux."""
    assert machine.read().busy_s is None


def test_quotas_of_all_groups_above_count(files: Files) -> None:
    """Version 2: a parent's quota holds its children back."""
    files(
        proc__self__cgroup="0::/pod/box\n",
        cgroup__pod__box__cpu_stat="usage_usec 5\nthrottled_usec 1500000\n",
        cgroup__pod__cpu_stat="throttled_usec 500000\n",
        cgroup__cpu_stat="usage_usec 7\n",
    )
    assert machine.read().throttled_s == pytest.approx(2.0)


def test_the_first_version_of_control_groups_is_read_too(files: Files) -> None:
    """There "cpu" has a tree of its own, and counts nanoseconds; other trees do not matter."""
    files(
        proc__self__cgroup="9:memory:/box\n4:cpu,cpuacct:/box\n",
        cgroup__memory__box__cpu_stat="throttled_time 999\n",
    )
    assert machine.read().throttled_s is None
    place = machine._CGROUPS / "cpu,cpuacct" / "box"
    place.mkdir(parents=True)
    (place / "cpu.stat").write_text("nr_throttled 3\nthrottled_time 250000000\n")
    assert machine.read().throttled_s == pytest.approx(0.25)


def test_foreign_load_is_what_we_did_not_use(files: Files) -> None:
    """3 s of work, 1 of it ours; ticks that round below our own time are no load."""
    use = machine.between(Reading(10.0, 5.0, 1.0, 0.0), Reading(13.0, 6.0, 1.5, 0.25))

    assert use == MachineUse(2, steal_s=0.5, foreign_cpu_s=2.0, throttled_s=0.25)
    rounded = machine.between(Reading(1.0, 0.0, 0.0, 0.0), Reading(1.0, 0.004, 0.0, 0.0))
    assert rounded.foreign_cpu_s == 0.0


def test_what_a_transport_starts_is_no_foreign_load(files: Files) -> None:
    """Companions are of our process group, or started by these or by us; their time is ours."""
    group = os.getpgrp()
    for pid, parent, pgrp, name in (
        (70001, 1, group, "a) b"),
        (70002, 1, group + 1, "x"),
        (70003, 1, group, "c"),
        (70004, os.getpid(), 70004, "a daemon of ours"),
        (69999, 70004, 70004, "and what that started"),
        (70005, 70002, 70002, "a stranger's"),
    ):
        ticks = "0 0 0 0 0 0 0 0 250 50 9 9"
        files(**{f"proc__{pid}__stat": f"{pid} ({name}) S {parent} {pgrp} {ticks}"})
    assert set(machine.companions()) == {70001, 70003, 70004, 69999}
    alone = machine.read().own_s
    assert machine.read([70001, 70003]).own_s == pytest.approx(alone + 6.0, abs=0.5)
    assert machine.read([99999]).own_s == pytest.approx(alone, abs=0.5)


def test_a_trials_use_is_that_of_all_its_processes(files: Files) -> None:
    """Every thread of a companion counts, in nanoseconds; one that has ended counts nothing."""
    switches = "Name:\tx\nvoluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t{}\n"
    for thread, on_cpu_ns, counts in (
        ("70001", 1_500_000_000, (10, 1)),
        ("70002", 250_000_000, (5, 2)),
    ):
        place = f"proc__70001__task__{thread}"
        files(**{f"{place}__schedstat": f"{on_cpu_ns} 12 3"})
        files(**{f"{place}__status": switches.format(*counts)})
    found = machine.usage([70001, 99999])

    assert set(found) == {os.getpid(), 70001}
    assert found[70001] == Usage(1.75, 15, 3)


def test_what_processes_use_never_shrinks() -> None:
    """One that ended meanwhile, or whose threads did, takes nothing back from the others."""
    begin = {1: Usage(5.0, 100, 10), 2: Usage(9.0, 900, 90), 3: Usage(4.0, 40, 4)}
    end = {1: Usage(5.5, 120, 11), 3: Usage(3.0, 30, 3), 4: Usage(7.0, 70, 7)}

    assert machine.grown(begin, end) == Usage(0.5, 20, 1)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="no /proc/stat here")
def test_this_machine_can_be_read() -> None:
    """The real files: our own computing is ours, whatever else goes on."""
    before = machine.read()
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    after = machine.read()

    assert before.busy_s is not None
    assert after.busy_s is not None
    assert after.own_s - before.own_s >= 0.2
    assert after.busy_s >= before.busy_s
    assert machine.between(before, after).num_cpus == len(os.sched_getaffinity(0))
