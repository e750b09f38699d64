"""The grammar of contenders, ``name[option=value,…]@server``, and what each one needs.

Turns text, or a scenario's keys, into `records.Contender` with its canonical label.
Knows names and options only: it imports no transport, no torch and no torchrl, so that
a misspelt contender costs a line and not a minute. Two texts that mean the same give
equal contenders: options are sorted, and one at its default is not kept.
"""

from slotbench.contenders._grammar import (
    MAX_LABEL,
    bare_label,
    make,
    parse,
    split,
)
from slotbench.contenders._installed import (
    ENTRY_POINT_GROUP,
    available,
    checkout,
    factory_module,
    missing_requirement,
    package_of,
)
from slotbench.contenders._known import (
    ACTORS,
    CHECKOUT,
    COLLATES,
    COLLECTOR_OPTIONS,
    FRAMES_PER_BATCH,
    HARNESS_OPTIONS,
    Actors,
    actors_of,
    env_backend_of,
    needs_torchrl,
    shares_gil,
)
from slotbench.contenders._pythons import (
    PYTHON,
    canonical_python,
    forget_own_code,
    missing_of_python,
    python_command,
    python_environ,
    python_facts,
    python_of,
    pythons,
    remove_own_code,
)
from slotbench.contenders._values import did_you_mean

__all__ = [
    "ACTORS",
    "CHECKOUT",
    "COLLATES",
    "COLLECTOR_OPTIONS",
    "ENTRY_POINT_GROUP",
    "FRAMES_PER_BATCH",
    "HARNESS_OPTIONS",
    "MAX_LABEL",
    "PYTHON",
    "Actors",
    "actors_of",
    "available",
    "bare_label",
    "canonical_python",
    "checkout",
    "did_you_mean",
    "env_backend_of",
    "factory_module",
    "forget_own_code",
    "make",
    "missing_of_python",
    "missing_requirement",
    "needs_torchrl",
    "package_of",
    "parse",
    "python_command",
    "python_environ",
    "python_facts",
    "python_of",
    "pythons",
    "remove_own_code",
    "shares_gil",
    "split",
]
