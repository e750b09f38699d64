"""slotbench: which transport should feed my policy, by how much, and why.

Importing this loads no torch, pandas or matplotlib; `load` imports what it needs.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["__version__", "load"]

if TYPE_CHECKING:
    from slotbench.api import load


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name == "load":
        from slotbench.api import load

        return load
    raise AttributeError(f"module 'slotbench' has no attribute {name!r}")
