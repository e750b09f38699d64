"""Standing in for locks and classes of the standard library, in this process alone.

A profile's trial runs in a process of its own, which ends with it. There, the modules of a
contender (and those of the standard library that make locks for it) are given other
factories of locks; no file is changed. Locks that were made before are what they were.
"""

import concurrent.futures
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, Final

from slotbench import contenders
from slotbench.records import Contender

_MAKERS: Final = (
    "threading",
    "queue",
    "concurrent.futures",
    "transports",
    "slotbench.torchrl",
    "slotbench.measure.floor",
    "torchrl.modules.inference_server",
)
"""Packages whose locks are a contender's own, or made for one."""

_BELOW: Final = frozenset({"threading", "queue", "concurrent.futures._base"})
"""Modules that make locks for whoever calls them."""

real_lock: Final = threading.Lock
real_rlock: Final = threading.RLock


class Patches:
    """What was replaced, to be put back."""

    def __init__(self) -> None:
        self._makers: tuple[str, ...] = ()
        self._locks: tuple[tuple[Any, Any], ...] = ()
        self._constructors: list[tuple[Any, Any]] = []

    def lock_makers(
        self, contender: Contender, lock: Callable[[], Any], rlock: Callable[[], Any]
    ) -> None:
        """Let the contender's modules, and the standard library's, make other locks."""
        self._makers = (*_MAKERS, contenders.package_of(contender))
        self._locks = ((real_lock, lock), (real_rlock, rlock))
        for real, other in self._locks:
            _exchange(self._makers, real, other)

    def constructor(self, cls: type, note: Callable[[], None]) -> None:
        """Call ``note`` whenever an instance of the class, or of a subclass, is made."""
        init = cls.__init__  # type: ignore[misc]

        def made(self: Any, *args: Any, **kwargs: Any) -> None:
            note()
            init(self, *args, **kwargs)

        self._constructors.append((cls, init))
        cls.__init__ = made  # type: ignore[misc]

    def undo(self) -> None:
        """Put everything back; also where a module was imported meanwhile."""
        for real, other in self._locks:
            _exchange(self._makers, other, real)
        while self._constructors:
            cls, init = self._constructors.pop()
            cls.__init__ = init


OBJECTS: Final = {
    "events_made": threading.Event,
    "conditions_made": threading.Condition,
    "futures_made": concurrent.futures.Future,
}
"""Row of the ledger → the class that it counts."""


def _exchange(packages: tuple[str, ...], old: Any, new: Any) -> None:
    """Let the modules of these packages have one thing for another, under whatever name."""
    for module in _modules(packages):
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


def _modules(packages: tuple[str, ...]) -> Iterator[Any]:
    for name, module in list(sys.modules.items()):
        if module is not None and any(
            name == package or name.startswith(f"{package}.") for package in packages
        ):
            yield module


def maker() -> str:
    """Say who is making a lock: the first code that is neither ours nor in ``_BELOW``.

    Such as "_slot.py:128 SlotTransport.__init__".
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = str(frame.f_globals.get("__name__"))
        if module not in _BELOW and not module.startswith(__package__):
            break
        frame = frame.f_back
    # One text for all locks of a place, of which there may be one a request.
    return sys.intern(f"{_file(frame.f_code)}:{frame.f_lineno} {frame.f_code.co_qualname}")


def _file(code: CodeType) -> str:
    return code.co_filename.rpartition("/")[2]
