"""Who asks: the actors of a trial as one crew, wherever they run.

A trial starts a crew, watches how many replies it has had, stops it, and reads what each actor
stamped. Where the actors are is the crew's own business: threads here, processes in
`slotbench.measure.processes`, the envs of TorchRL's collector in `slotbench.measure.collecting`.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from slotbench.measure.actors import Actor, Stop, clock
from slotbench.measure.columns import Column

WATCH_STEP_S: Final = 0.02
"""Between two looks at what is not waited for."""

THINKING_GRACE_S: Final = 0.5
"""How long an actor has, after the stop, to see it before it might ask once more."""


class WaitedStop(Stop, Protocol):
    """A stop that can be waited for."""

    def wait(self, timeout: float) -> bool:
        """Wait until it is set, for at most so many seconds; return whether it is."""


class ActorLog(Protocol):
    """What is known of one actor. The main thread's to read, at any time.

    Attributes:
        index: from 0.
        num_submitted: requests handed to the client so far.
        num_replied: replies that came back so far.
        error: traceback of what the client or the environment raised; "" otherwise.
        problem: what was wrong with its first wrong reply; "" while all were right.
    """

    @property
    def index(self) -> int: ...  # noqa: D102  # see above
    @property
    def num_submitted(self) -> int: ...  # noqa: D102
    @property
    def num_replied(self) -> int: ...  # noqa: D102
    @property
    def error(self) -> str: ...  # noqa: D102
    @property
    def problem(self) -> str: ...  # noqa: D102

    def stamps_ns(self) -> tuple[Column, Column]:
        """Return when each replied request was submitted, and when its reply was back."""


class Crew(Protocol):
    """The actors of one trial.

    Threads: all methods are the main thread's.

    Attributes:
        actors: one log each, by index.
    """

    @property
    def actors(self) -> Sequence[ActorLog]: ...  # noqa: D102  # see above

    def start(self, serve: Callable[[], None]) -> None:
        """Start all actors, and return when they begin to ask, together.

        Args:
            serve: starts the server; called once, when no process will be started any more and,
                but for a collector, whose server starts with it, before anybody asks.
        """

    def stop(self) -> None:
        """Tell every actor to ask no more."""

    def is_stopped(self) -> bool:
        """Whether they were told so, by `stop` or by an actor that failed or has no room."""

    def wait(self, timeout_s: float) -> bool:
        """Wait until they are, for at most so long; return whether they are."""

    def settle(self, timeout_s: float) -> list[int]:
        """Wait until nobody waits for a reply; return the actors that got none in time.

        One that thinks, or steps a slow environment, is not waited for: it will see that the trial
        is over. It only must have had time to do so before it might submit.
        """

    def num_frames_at(self, at_ns: int) -> int | None:
        """Steps that a consumer had been handed at that moment; None where nobody consumes them."""


def num_replied(crew: Crew) -> int:
    """Replies to all actors so far."""
    return sum(actor.num_replied for actor in crew.actors)


class ThreadCrew:
    """Actors in threads of this process, as TorchRL's in-process transports have them.

    Args:
        actors: one each.
        client: called once per actor, in order, with its index, in the main thread.
        stop: what the actors look at, and may be woken by; None makes one.
    """

    def __init__(
        self,
        actors: Sequence[Actor],
        client: Callable[[int], Callable[[Any], Any]],
        stop: WaitedStop | None = None,
    ) -> None:
        self.actors = actors
        self._client = client
        self._stop = stop or threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, serve: Callable[[], None]) -> None:
        """See `Crew.start`; all threads pass a barrier together."""
        barrier = threading.Barrier(len(self.actors) + 1, self._begin)

        def run(actor: Actor, client: Callable[[Any], Any]) -> None:
            barrier.wait()
            actor.loop(client, self._stop)

        clients = [self._client(actor.index) for actor in self.actors]
        serve()
        self._threads = [
            threading.Thread(
                target=run, args=pair, name=f"actor-{pair[0].index}", daemon=True
            )
            for pair in zip(self.actors, clients, strict=True)
        ]
        for thread in self._threads:
            thread.start()
        barrier.wait()

    def _begin(self) -> None:
        """Tell all actors when they begin; in one thread, while the others still wait."""
        origin_ns = clock()
        for actor in self.actors:
            actor.begin(origin_ns)

    def stop(self) -> None:
        """See `Crew.stop`."""
        self._stop.set()

    def is_stopped(self) -> bool:
        """See `Crew.is_stopped`."""
        return self._stop.is_set()

    def wait(self, timeout_s: float) -> bool:
        """See `Crew.wait`."""
        return self._stop.wait(timeout_s)

    def settle(self, timeout_s: float) -> list[int]:
        """See `Crew.settle`."""
        return settled(
            self.actors,
            has_ended=lambda i: not self._threads[i].is_alive(),
            join=lambda i, wait_s: self._threads[i].join(wait_s),
            timeout_s=timeout_s,
        )

    def num_frames_at(self, at_ns: int) -> None:  # see Crew
        """Nobody consumes what these actors do."""


def settled(
    actors: Sequence[ActorLog],
    *,
    has_ended: Callable[[int], bool],
    join: Callable[[int, float], object],
    timeout_s: float,
    grace_s: float = THINKING_GRACE_S,
) -> list[int]:
    """Wait as `Crew.settle` says.

    Args:
        actors: by index.
        has_ended: whether the actor of that index has.
        join: waits for its end, for at most so many seconds.
        timeout_s: for all together.
        grace_s: of it, for those that think; where only an actor itself can tell what it met, it
            is waited for.
    """
    began = time.monotonic()
    for actor in actors:
        while not has_ended(actor.index) and time.monotonic() < began + timeout_s:
            may_submit = time.monotonic() < began + grace_s
            if not (may_submit or actor.num_submitted > actor.num_replied):
                break
            join(actor.index, WATCH_STEP_S)
    return [
        actor.index
        for actor in actors
        if not has_ended(actor.index) and actor.num_submitted > actor.num_replied
    ]
