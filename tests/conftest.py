"""What holds for every test: none fails because the machine is slow just then."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from tests import alone

# Where a change is judged, the examples are the same every time: what a random one finds
# there is seldom the change's fault. People's own runs, and `make fuzz`, look further.
settings.register_profile(
    "any machine",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Tests that measure time run while no other test does; tests of Ctrl-C can press it."""
    alone.install(config)
    # What a shell starts in the background ignores it, and so would all that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)  # xdist's
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process a CPU, and no more than four: each holds torch twice."""
    has_affinity = hasattr(os, "sched_getaffinity")
    num_cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return min(num_cpus, 4)
