"""Libraries that only an export needs, and that may be missing."""

import importlib
from types import ModuleType

from slotbench.errors import SlotbenchError


def require(module: str, *, package: str, name: str) -> ModuleType:
    """Import a library of the extra ``export``.

    Args:
        module: to import.
        package: that pip installs.
        name: of the format that needs it.

    Raises:
        SlotbenchError: it is not installed, or does not import.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise SlotbenchError(
            f"the format {name} needs {package}: pip install 'slotbench[export]'"
        ) from error
    except ImportError as error:
        raise SlotbenchError(
            f"the format {name} needs {package}, which does not import here: {error}"
        ) from error
