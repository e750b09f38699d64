"""What a check is, what it is run on, and what it found. It must not know any check."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

from tensordict.base import TensorDictBase

Model: TypeAlias = Callable[[TensorDictBase], TensorDictBase]


class CheckFailedError(Exception):
    """The system broke a promise; the message says which way."""


class NotApplicableError(Exception):
    """The system lacks what the check is about, such as `submit` or `close`."""


class System(Protocol):
    """What a check drives: one transport in one server, around one model."""

    def client(self) -> Any:
        """Return a new actor's handle: called with a request, it returns the reply.

        It may have `submit(td)`, whose return value has `done()`, `result(timeout)` and perhaps
        `cancel()`; and `close()`, which gives its place to another client.
        """

    def start(self) -> Any:
        """Start serving. May raise if the system was shut down before."""

    def shutdown(self, timeout_s: float) -> Any:
        """Stop serving; return within `timeout_s`. Without effect if it does not serve."""


class SystemFactory(Protocol):
    """Builds a system around a model."""

    def __call__(
        self,
        model: Model,
        *,
        num_clients: int,
        max_batch_size: int = 64,
        min_batch_size: int = 1,
        timeout_s: float = 0.01,
    ) -> System:
        """Return a system that does not serve yet.

        Args:
            model: takes a TensorDict of batch size [n] and returns one; any thread may call it.
            num_clients: how many clients there will be at a time.
            max_batch_size: the most requests of a batch.
            min_batch_size: how many to wait for, until the oldest has waited `timeout_s`.
            timeout_s: of that wait.

        Raises:
            ValueError: an argument is out of range.
        """


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, and how to find out whether a system keeps it.

    Attributes:
        name: kebab case, unique.
        guarantee: the number of the guarantee it belongs to, 1 to 7.
        promise: one sentence.
        run: returns if the promise is kept. Raises CheckFailedError or NotApplicableError; any
            other exception is one of the system's that the check did not expect: a failure, too.
    """

    name: str
    guarantee: int
    promise: str
    run: Callable[[SystemFactory], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found out about a system; `reason` is one line, empty for a pass."""

    check: str
    guarantee: int
    outcome: Literal["pass", "fail", "n/a"]
    reason: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A system broken on purpose, which one check must catch.

    Attributes:
        name: kebab case, unique.
        breaks: the name of the check that fails on it.
        factory: builds the broken system.
        what: one sentence: what it does wrong.
    """

    name: str
    breaks: str
    factory: SystemFactory
    what: str


# In the order of definition: `check` below adds to it as the files of checks are imported.
REGISTERED: Final[list[Check]] = []


def check(guarantee: int) -> Callable[[Callable[[SystemFactory], None]], Check]:
    """Make a function a check: its name becomes the check's, its docstring the promise."""

    def register(run: Callable[[SystemFactory], None]) -> Check:
        new = Check(kebab(run), guarantee, sentence(run), run)
        REGISTERED.append(new)
        return new

    return register


def kebab(named: Any) -> str:
    """Return the kebab-case name of a function."""
    name: str = named.__name__
    return name.strip("_").replace("_", "-")


def sentence(documented: Any) -> str:
    """Return the first paragraph of a docstring as one line."""
    doc: str = documented.__doc__ or ""
    return " ".join(doc.strip().partition("\n\n")[0].split())


def describe(error: BaseException) -> str:
    """Return an exception as one line: `Type: message`."""
    message = " ".join(str(error).split())
    message = message if len(message) <= 200 else f"{message[:197]}..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def run_check(check: Check | str, factory: SystemFactory) -> Finding:
    """Run one check on a system and return what it found.

    A system that hangs leaves daemon threads behind, so run each check in a process of its own
    where that matters.

    Args:
        check: a check, or the name of one of `CHECKS`.
        factory: builds the system; called once or more.

    Blocks:
        Bounded: seconds, and for a system that makes no progress some multiple of the patience.

    Raises:
        ValueError: no check has that name.
    """
    if isinstance(check, str):
        check = _find(check)
    with _deaths_noted() as deaths:
        try:
            check.run(factory)
        except NotApplicableError as exc:
            return Finding(check.name, check.guarantee, "n/a", " ".join(str(exc).split()))
        except CheckFailedError as exc:
            reason = "; ".join([" ".join(str(exc).split()), *deaths])
            return Finding(check.name, check.guarantee, "fail", reason)
        except Exception as exc:  # noqa: BLE001 - the system's, and the check did not expect it
            reason = "; ".join([describe(exc), *deaths])
            return Finding(check.name, check.guarantee, "fail", reason)
    return Finding(check.name, check.guarantee, "pass", "")


def _find(name: str) -> Check:
    for candidate in REGISTERED:
        if candidate.name == name:
            return candidate
    near = difflib.get_close_matches(name, [c.name for c in REGISTERED], n=1)
    hint = f": did you mean {near[0]!r}?" if near else "; see transports.conformance.CHECKS"
    raise ValueError(f"unknown check {name!r}{hint}")


@contextmanager
def _deaths_noted() -> Iterator[list[str]]:
    """Collect how threads of the system die, two at most, for the reason and not for stderr."""
    deaths: list[str] = []

    def note(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "?"
        how = describe(args.exc_value) if args.exc_value else args.exc_type.__name__
        death = f"thread {name!r} died of {how}"
        if death not in deaths and len(deaths) < 2:
            deaths.append(death)

    before = threading.excepthook
    threading.excepthook = note
    try:
        yield deaths
    finally:
        threading.excepthook = before
