"""What a user can do about this machine, or must know of it: facts in, advice out.

A rule that lacks its fact says nothing. The order is that of how much each usually matters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from slotbench.diagnostics.facts import Facts
from slotbench.measure import runner
from slotbench.records import Advice

MAX_LOAD_PER_CPU: Final = 0.25
"""Load average over usable CPUs: one busy process on four of them."""

MAX_OTHERS_SHARE: Final = 0.02
"""Of CPU time during the A/A run: steal, or other processes. A fifth of what makes a trial
DISTURBED: below that nothing is measured again, and all is noise."""

MAX_DISTURBED_SHARE: Final = 0.1
"""Of trials; beyond, blocks are left DISTURBED when a run may repeat no more of them."""

MAX_CLOCK_READ_S: Final = 200e-9
"""A read through the vDSO takes 20 to 50 ns; one that is a system call ten times that."""

MAX_SLEEP_OVER_S: Final = 300e-6
"""Of a sleep of 1 ms: the kernel's slack is 50 µs, and waking an idle CPU takes as much."""

_FAST_CLOCKS: Final = frozenset({"tsc", "arch_sys_counter"})
_DEFAULT_SWITCH_S: Final = 0.005
_SWAP_BYTES: Final = 64 * 2**20

_GOVERN: Final = "sudo cpupower frequency-set -g performance"


@dataclass(frozen=True, slots=True)
class Rule:
    """When to speak, and what to say.

    Attributes:
        seen: of the facts: what was seen, with numbers; "" where there is nothing to say.
        why: why it matters.
        remedy: what to do.
    """

    name: str
    seen: Callable[[Facts], str]
    why: str
    remedy: str


def advise(facts: Facts) -> tuple[Advice, ...]:
    """Everything that the facts give reason to say."""
    return tuple(
        Advice(rule.name, seen, rule.why, rule.remedy)
        for rule in RULES
        if (seen := rule.seen(facts))
    )


def _steal(facts: Facts) -> str:
    if facts.steal_ratio is None or facts.steal_ratio <= MAX_OTHERS_SHARE:
        return ""
    return (
        f"the hypervisor gave {facts.steal_ratio:.0%} of the CPU time to other machines "
        "during the A/A run"
    )


def _foreign(facts: Facts) -> str:
    if facts.foreign_ratio is None or facts.foreign_ratio <= MAX_OTHERS_SHARE:
        return ""
    return (
        f"other processes took {facts.foreign_ratio:.0%} of the CPU time during the A/A run"
    )


def _load(facts: Facts) -> str:
    if facts.load_1min is None or not facts.num_usable:
        return ""
    if facts.load_1min <= MAX_LOAD_PER_CPU * facts.num_usable:
        return ""
    return (
        f"the load average was {facts.load_1min:.2f} before anything was measured, on "
        f"{_cpus(facts.num_usable)}"
    )


def _disturbed(facts: Facts) -> str:
    if facts.disturbed_ratio is None or facts.disturbed_ratio <= MAX_DISTURBED_SHARE:
        return ""
    return f"{facts.disturbed_ratio:.0%} of the A/A trials were DISTURBED"


def _quota(facts: Facts) -> str:
    if facts.cpu_quota is None or not facts.num_usable:
        return ""
    if facts.cpu_quota >= facts.num_usable:
        return ""
    return (
        f"the control group may use {facts.cpu_quota:g} CPUs, and sees "
        f"{_cpus(facts.num_usable)}"
    )


def _one_cpu(facts: Facts) -> str:
    return "there is one CPU to run on" if facts.num_usable == 1 else ""


def _affinity(facts: Facts) -> str:
    if facts.num_cpus is None or facts.num_usable is None or facts.num_usable <= 1:
        return ""
    if facts.num_usable >= facts.num_cpus:
        return ""
    return f"this process may run on {facts.num_usable} of {_cpus(facts.num_cpus)}"


def _siblings(facts: Facts) -> str:
    if facts.num_cores is None or facts.num_usable is None:
        return ""
    if facts.num_cores >= facts.num_usable:
        return ""
    return f"{_cpus(facts.num_usable)} are threads of {_cores(facts.num_cores)}"


def _governor(facts: Facts) -> str:
    others = [name for name in facts.governors if name != "performance"]
    return f"the CPU governor is {', '.join(others)}" if others else ""


def _boost(facts: Facts) -> str:
    return "CPUs may run above their nominal clock rate (turbo)" if facts.can_boost else ""


def _battery(facts: Facts) -> str:
    return "the machine runs on battery" if facts.on_battery else ""


def _clock(facts: Facts) -> str:
    is_slow = facts.clock_read_s is not None and facts.clock_read_s > MAX_CLOCK_READ_S
    # A slow read of the fast clock is another trouble: nothing better is to be had.
    if not is_slow or facts.clock_source in _FAST_CLOCKS:
        if not facts.clock_source or facts.clock_source in _FAST_CLOCKS:
            return ""
        if not _FAST_CLOCKS & set(facts.other_clock_sources):
            return ""  # what the hypervisor offers is what there is
    read = f", {facts.clock_read_s * 1e9:.0f} ns a read" if facts.clock_read_s else ""
    return f"the kernel's clock is {facts.clock_source or 'not known'}{read}"


def _sleep(facts: Facts) -> str:
    if facts.sleep_over_s is None or facts.sleep_over_s <= MAX_SLEEP_OVER_S:
        return ""
    return f"a sleep of 1 ms takes {facts.sleep_over_s * 1e6:.0f} µs longer (median)"


def _swap(facts: Facts) -> str:
    if facts.swap_used_bytes is None or facts.swap_used_bytes < _SWAP_BYTES:
        return ""
    return f"{facts.swap_used_bytes / 2**20:.0f} MiB of swap space are in use"


def _debug_build(facts: Facts) -> str:
    return "Python is a debug build" if facts.is_debug_build else ""


def _plain_build(facts: Facts) -> str:
    if facts.is_optimised_build is not False or facts.is_debug_build:
        return ""
    return "Python was built without profile-guided optimisation"


def _slowed(facts: Facts) -> str:
    return f"set in the environment: {', '.join(facts.slowing_variables)}" * bool(
        facts.slowing_variables
    )


def _traced(facts: Facts) -> str:
    return "a debugger, coverage or a profiler traces this process" * bool(facts.has_tracer)


def _switch_interval(facts: Facts) -> str:
    interval_s = facts.switch_interval_s
    if interval_s is None or abs(interval_s - _DEFAULT_SWITCH_S) < 1e-6:
        return ""
    return f"sys.setswitchinterval is {interval_s:g} s here, and {_DEFAULT_SWITCH_S:g} s in trials"


def _threads(facts: Facts) -> str:
    asked = {n: v for n, v in (facts.thread_variables or {}).items() if v.strip() != "1"}
    return f"{', '.join(f'{name}={value}' for name, value in sorted(asked.items()))}"


def _virtual(facts: Facts) -> str:
    places = [
        name
        for name, is_there in (
            ("a virtual machine", facts.is_virtual),
            ("a container", facts.is_container),
        )
        if is_there
    ]
    return f"this is {' in '.join(reversed(places))}" if places else ""


def _cpus(number: int) -> str:
    return "1 CPU" if number == 1 else f"{number} CPUs"


def _cores(number: int) -> str:
    return "1 core" if number == 1 else f"{number} cores"


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "steal",
        _steal,
        "time that is taken away in the middle of a batch is in everybody's latency, and differs from "
        "trial to trial",
        "measure on a machine with CPUs of its own, or at another hour, and use more rounds",
    ),
    Rule(
        "others_run",
        _foreign,
        "they take CPUs, caches and clock rate from some trials and not from others",
        "end them, or keep them off the CPUs that you measure on (taskset, where there are CPUs enough for both)",
    ),
    Rule(
        "load",
        _load,
        "somebody else computes, and may go on to while you measure",
        "see who with 'top', and wait or end it",
    ),
    Rule(
        "disturbed",
        _disturbed,
        "a run measures such blocks again, but at most "
        f"{runner.MAX_REPEATED_SHARE:.0%} of all: the others stay as they are",
        "quieten the machine first; 'slotbench show RUN' lists what interfered",
    ),
    Rule(
        "cpu_quota",
        _quota,
        "when it is used up all threads are held back together, for tens of milliseconds: p99 is then the "
        "scheduler's",
        "raise the limit (docker run --cpus, resources.limits.cpu), or keep to that many CPUs with taskset",
    ),
    Rule(
        "one_cpu",
        _one_cpu,
        "server and actors take turns, and no hand-over wakes another CPU: what is best here need not be on "
        "two",
        "measure where there are as many CPUs as in production",
    ),
    Rule(
        "affinity",
        _affinity,
        "numbers are of that many CPUs; a record says so, and a comparison of two runs forbids a difference",
        "nothing, if it was meant: else start without taskset or cpuset",
    ),
    Rule(
        "shared_cores",
        _siblings,
        "two threads of a core share its units: what one gets depends on what the other does just then",
        "take one CPU a core: taskset with the first of each line of "
        "/sys/devices/system/cpu/cpu*/topology/thread_siblings_list",
    ),
    Rule(
        "governor",
        _governor,
        "clock rates follow the load with a delay, and threads that sleep often are run slowly",
        _GOVERN,
    ),
    Rule(
        "boost",
        _boost,
        "the clock rate depends on temperature and on how many cores are busy, and drifts over a run; pairs "
        "in a block cancel most of it",
        "where it matters: echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo (Intel), or echo "
        "0 | sudo tee /sys/devices/system/cpu/cpufreq/boost",
    ),
    Rule(
        "battery",
        _battery,
        "the machine saves energy by running slowly, more so as the battery empties",
        "plug it in",
    ),
    Rule(
        "clock",
        _clock,
        "each request is stamped several times: a slow clock is recorded as slow transports",
        "choose tsc where the kernel trusts it: echo tsc | sudo tee "
        "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    ),
    Rule(
        "sleep",
        _sleep,
        "synthetic policies and think times sleep: cells of 1 ms are of more than that, for all contenders "
        "alike",
        "look at CPU idle states (cpupower idle-set -D 10), or use model.kind = 'spin'",
    ),
    Rule(
        "swap",
        _swap,
        "a page that must be read back stops a trial for milliseconds",
        "end what takes the memory, or swapoff -a && swapon -a",
    ),
    Rule(
        "debug_build",
        _debug_build,
        "everything that is Python costs several times as much, and torch's operations the same: ratios are wrong",
        "use a release build",
    ),
    Rule(
        "plain_build",
        _plain_build,
        "all that is Python costs more than in builds that most people run (pyenv makes such ones unless told "
        "otherwise): absolute numbers are pessimistic",
        "PYTHON_CONFIGURE_OPTS='--enable-optimizations --with-lto' pyenv install, or your distribution's",
    ),
    Rule(
        "slowed_python",
        _slowed,
        "every trial's process inherits it, and Python costs more with it",
        "unset it before you measure",
    ),
    Rule(
        "traced",
        _traced,
        "trials run in processes of their own, without it; what you time in this one yourself is slowed",
        "measure from a process without it",
    ),
    Rule(
        "switch_interval",
        _switch_interval,
        "trials have the scenario's, whatever holds in this process",
        "to measure another one: --set switch_interval_s=0.001",
    ),
    Rule(
        "thread_variables",
        _threads,
        "trials ignore it: torch, OpenMP and BLAS have one thread there, so that contenders and not thread "
        "pools are compared",
        "to measure torch with more: --set torch_threads=4",
    ),
    Rule(
        "virtual",
        _virtual,
        "neighbours and the host's scheduler are out of sight: the noise floor can be another one tomorrow",
        "diagnose again beside each run that matters",
    ),
)
"""All rules, in the order in which advice is given."""
