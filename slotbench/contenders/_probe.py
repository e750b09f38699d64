"""Told to another interpreter with ``-c``: prints, as JSON, what it is and which packages it has.

Imports nothing of slotbench, and reads in any Python 3, so that one that is too old can say so.
"""

import json
import sys
import sysconfig

_PACKAGES = ("torch", "tensordict", "torchrl", "gymnasium", "numpy", "ray", "envpool")
_FACTS = {
    "python_version": ".".join(map(str, sys.version_info[:3])),
    "python_free_threaded_build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "gil_enabled": bool(getattr(sys, "_is_gil_enabled", lambda: True)()),
}
if sys.version_info >= (3, 8):  # noqa: UP036  # not ours: the other interpreter
    from importlib import metadata

    for _name in _PACKAGES:
        try:
            _FACTS[_name + "_version"] = metadata.version(_name)
        except metadata.PackageNotFoundError:
            continue
sys.stdout.write(json.dumps(_FACTS) + "\n")
