"""A contender from another checkout: its package imported anew, in a trial's own process.

So two states of one transport, say of a pull request and of what it is based on, race in one
run: blocks pair them, and drift between runs does not come in.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from slotbench.errors import ContenderError


def use(folder: str, package: str) -> ModuleType:
    """Take a package from a folder, for the rest of this process.

    What was imported of the package is forgotten; whoever has it keeps it. The folder comes
    first on ``sys.path``, so that modules beside the package are found there as well.

    Threads: one; before a trial starts any.

    Args:
        folder: relative to the working directory; the one that holds the package.
        package: top-level name.

    Raises:
        ContenderError: the folder does not hold the package.
        Exception: what importing it raises.
    """
    place = Path(folder).resolve()
    stale = [name for name in sys.modules if name.split(".")[0] == package]
    for name in stale:
        del sys.modules[name]
    if str(place) not in sys.path[:1]:
        sys.path.insert(0, str(place))
    importlib.invalidate_caches()
    module = importlib.import_module(package)
    origin = getattr(module, "__file__", None) or next(iter(module.__path__), "")
    if not Path(origin).resolve().is_relative_to(place):
        raise ContenderError(
            f"{folder} holds no package {package!r}: Python found it in {origin}"
        )
    return module
