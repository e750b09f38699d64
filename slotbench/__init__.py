"""slotbench: which transport should feed my policy, by how much, and why.

Importing this loads no torch, pandas or matplotlib; `load`, `run` and the others import what
they need.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Advised",
    "Doctor",
    "Predicted",
    "Profile",
    "Slo",
    "__version__",
    "advise",
    "check_predictions",
    "doctor",
    "history",
    "load",
    "load_advice",
    "load_diagnosis",
    "load_prediction",
    "load_profile",
    "load_slo",
    "predict",
    "profile",
    "run",
    "slo",
]

if TYPE_CHECKING:
    from slotbench.api import (
        Advised,
        Doctor,
        Predicted,
        Profile,
        Slo,
        advise,
        check_predictions,
        doctor,
        history,
        load,
        load_advice,
        load_diagnosis,
        load_prediction,
        load_profile,
        load_slo,
        predict,
        profile,
        run,
        slo,
    )


def __dir__() -> list[str]:
    return [*__all__, "plots"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from slotbench import api

        return getattr(api, name)
    if name == "plots":
        import importlib

        return importlib.import_module("slotbench.plots")
    raise AttributeError(f"module 'slotbench' has no attribute {name!r}")
