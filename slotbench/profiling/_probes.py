"""What the passes share: wrapping a transport's public methods, and what a pass has found."""

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from slotbench.errors import ContenderError
from slotbench.measure.actors import Actor
from slotbench.measure.floor import FloorSystem
from slotbench.measure.instrument import Instrument
from slotbench.measure.systems import System
from slotbench.profiling.sample import Sample
from slotbench.records import LockUse, Phases, TrialRecord

WAITS: Final = ("wait_for_work", "wait_for_batch")
DRAINS: Final = ("drain", "drain_with_timing", "claim")
GATHERS: Final = ("gather",)
RESOLVES: Final = ("resolve", "resolve_batch")
"""The contract's methods by what they do; a transport has some of each."""

_FLOOR: Final = {
    "_wait_for_work": WAITS,
    "_take": DRAINS,
    "_reply": RESOLVES,
}
"""The floor is no transport: which of its methods do the same."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one pass found.

    Attributes:
        counts, prices_s, phases, locks: see `records.ProfileTrial`.
        sample: requests for a timeline.
    """

    counts: dict[str, float] = field(default_factory=dict)
    prices_s: dict[str, float] = field(default_factory=dict)
    phases: Phases | None = None
    locks: tuple[LockUse, ...] = ()
    sample: Sample | None = None


class Probes(Instrument):
    """An instrument that says what it found.

    What it counts is divided by the replies that came while it counted, which is not quite
    the trial's window: reading counters takes time.
    """

    _actors: Sequence[Actor] = ()
    _num_before = 0
    _num_after = 0

    def attach(self, system: System, actors: Sequence[Actor]) -> None:
        """Know the actors."""
        del system
        self._actors = actors

    def count_from_here(self) -> None:
        """Counting begins."""
        self._num_before = self._num_replied()

    def count_to_here(self) -> None:
        """Counting has ended."""
        self._num_after = self._num_replied()

    @property
    def num_replies(self) -> int:
        """Replies that came while it counted."""
        return self._num_after - self._num_before

    def _num_replied(self) -> int:
        return sum(actor.num_replied for actor in self._actors)

    def result(self, trial: TrialRecord) -> Found:
        """Evaluate, after a trial that has numbers; the main thread's."""
        raise NotImplementedError


def server_thread(system: System) -> threading.Thread | None:
    """The thread of the system's server, as each of the three keeps it; None before it starts."""
    holder = system if isinstance(system, FloorSystem) else getattr(system, "server", None)
    for name in ("_thread", "_worker"):
        thread = getattr(holder, name, None)
        if isinstance(thread, threading.Thread):
            return thread
    return None


def wrap(
    target: Any, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Put ``around(method)`` in the place of an object's method, for this object alone.

    Raises:
        ContenderError: the object's class does not let it (``__slots__``).
    """
    try:
        setattr(target, name, around(getattr(target, name)))
    except AttributeError as error:
        raise ContenderError(
            f"{type(target).__name__} cannot be profiled: its {name} cannot be wrapped, since "
            "it has __slots__; profile a subclass without"
        ) from error


def wrap_methods(
    system: System,
    methods: Sequence[str],
    around: Callable[[str, Callable[..., Any]], Callable[..., Any]],
) -> None:
    """Wrap those of the contract's methods that the system's transport has.

    Args:
        system: of the trial.
        methods: `WAITS`, `DRAINS`, `GATHERS` or `RESOLVES`.
        around: takes the method's name and the method, gives what stands in its place.
    """
    if isinstance(system, FloorSystem):
        names = [name for name, kind in _FLOOR.items() if kind == methods]
        target: Any = system
    else:
        target = system.transport  # type: ignore[attr-defined]
        names = [name for name in methods if hasattr(target, name)]
    for name in names:
        wrap(target, name, functools.partial(around, name))


def halves(
    system: System,
) -> tuple[Callable[[Any], Any], Callable[[Any], Callable[[], Any]] | None]:
    """Return the next actor's call, and the call in two halves.

    Returns:
        The blocking call; and the function that submits a request and returns the one that
        waits for its reply, or None where a client has no ``submit``.
    """
    if isinstance(system, FloorSystem):
        ask, wait = system.halves()

        def both(request: Any) -> None:  # noqa: ARG001  # a client's call
            ask()
            wait()

        def submit_to_floor(request: Any) -> Callable[[], Any]:  # noqa: ARG001  # as above
            ask()
            return wait

        return both, submit_to_floor
    client: Any = system.client()
    submit = getattr(client, "submit", None)
    if submit is None:
        return client, None

    def submit_to_transport(request: Any) -> Callable[[], Any]:
        result: Callable[[], Any] = submit(request).result
        return result

    return client, submit_to_transport
