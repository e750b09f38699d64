"""What holds for every test: none fails because the machine is slow just then."""

import os

from hypothesis import HealthCheck, settings

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
