"""The closed loop: an actor asks, waits for the reply, checks it, and acts on it.

One driver for every contender whose actors are ours; only the call differs. Stamps go into room reserved
before the trial, one pair of columns per actor, so that no two threads write to one place
and recording allocates nothing that outlives the step.
"""

import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from slotbench.measure.columns import Column, first, reserve
from slotbench.measure.environments import ActorEnvironment
from slotbench.measure.identity import IdentityCheck

clock = time.perf_counter_ns


class Stop(Protocol):
    """Tells that the trial is over: a ``threading.Event``, or what processes have instead."""

    def is_set(self) -> bool:
        """Whether it is."""

    def set(self) -> None:
        """End the trial."""


class Actor:
    """One actor and what it recorded.

    Args:
        index: from 0.
        environment: what it steps.
        identity: checks its replies; None for the floor, whose replies carry nothing.
        max_requests: room for stamps.

    Threads: made by the main thread; ``loop`` runs in the actor's own; counts may be read
    by any thread at any time, stamps after the actor has ended (or up to the count, which is
    written after them). Nothing here needs a GIL: each field has one thread that writes it, and a count
    that is read late is only late.

    Attributes:
        num_submitted: requests handed to the client so far.
        num_replied: replies that came back so far.
        error: traceback of what the client or environment raised; "" otherwise.
    """

    def __init__(
        self,
        index: int,
        environment: ActorEnvironment,
        identity: IdentityCheck | None,
        max_requests: int,
    ) -> None:
        self.index = index
        self.identity = identity
        self.num_submitted = 0
        self.num_replied = 0
        self.error = ""
        self._environment = environment
        self._submitted_ns = reserve(max_requests)
        self._replied_ns = reserve(max_requests)

    def begin(self, origin_ns: int) -> None:
        """Learn when all actors began; called before ``loop``, by whichever thread."""

    def loop(self, client: Callable[[Any], Any], stop: Stop) -> None:
        """Ask until ``stop`` is set, room runs out, or something raises; both set it.

        Blocks: in ``client``, for as long as the transport lets it.
        """
        try:
            self._loop(client, stop.is_set)
            if self.identity is not None:
                self.identity.finish()
        except BaseException as error:  # noqa: BLE001  # recorded, and it ends the trial
            self.error = "".join(traceback.format_exception(error))
        # Without room for more stamps the window ends for all, or it would be unfair.
        if self.error or self.num_replied >= len(self._replied_ns):
            stop.set()

    def _loop(self, client: Callable[[Any], Any], is_stopped: Callable[[], bool]) -> None:
        request, step = self._environment.request, self._environment.step
        check = self.identity.add if self.identity is not None else accept
        submitted_ns, replied_ns = self._submitted_ns, self._replied_ns
        now = clock
        for i in range(len(submitted_ns)):
            if is_stopped():
                return
            asked = request()
            self.num_submitted = i + 1
            submitted_ns[i] = now()
            reply = client(asked)
            replied_ns[i] = now()
            self.num_replied = i + 1
            check(reply)
            step(reply)

    @property
    def problem(self) -> str:
        """What was wrong with its first wrong reply; "" while all were right.

        The main thread's to read once the trial is over: an actor that still thinks adds no reply.
        """
        identity = self.identity
        return "" if identity is None else identity.problem or identity.rest_problem()

    def stamps_ns(self) -> tuple[Column, Column]:
        """Return when each replied request was submitted, and when its reply was back."""
        n = self.num_replied
        return (
            first(n, self._submitted_ns),
            first(n, self._replied_ns),
        )


def accept(reply: Any) -> None:
    """Check nothing: the floor's replies carry nothing."""
