"""The open loop: an actor asks when its schedule says so, not when it is ready to.

Three stamps a request: when it was *intended*, when it was submitted, when its reply was back. An actor has
one slot, so that a request that is due while the last one is under way goes out late: at
once when that one's reply is there, in order, with the intended start that it always had. The schedule
is never shifted: after a stall the actor catches up.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from slotbench.compute.arrivals import Starts
from slotbench.measure.actors import Actor, Stop, accept, clock
from slotbench.measure.columns import Column
from slotbench.measure.environments import ActorEnvironment
from slotbench.measure.identity import IdentityCheck
from slotbench.measure.waiting import WakingStop, exact_timers

_NS: Final = 1e9


class OpenActor(Actor):
    """One actor with a schedule.

    Args:
        index: from 0.
        environment: what makes its requests; it takes no time of its own.
        identity: as of `Actor`.
        starts_ns: when its requests are due, since the common start; as many as it has room for.
        stop: wakes it.

    Threads: as `Actor`'s.
    """

    def __init__(
        self,
        index: int,
        environment: ActorEnvironment,
        identity: IdentityCheck | None,
        starts_ns: Starts,
        stop: WakingStop,
    ) -> None:
        super().__init__(index, environment, identity, len(starts_ns))
        self._starts_ns = starts_ns
        self._origin_ns = 0
        self._sleep = stop.sleeper()

    def begin(self, origin_ns: int) -> None:
        """See `Actor.begin`; the schedule counts from there."""
        self._origin_ns = origin_ns

    def loop(self, client: Callable[[Any], Any], stop: Stop) -> None:
        """See `Actor.loop`. It also ends at once while it sleeps."""
        exact_timers()
        super().loop(client, stop)

    def _loop(self, client: Callable[[Any], Any], is_stopped: Callable[[], bool]) -> None:
        request, step = self._environment.request, self._environment.step
        check = self.identity.add if self.identity is not None else accept
        submitted_ns, replied_ns = self._submitted_ns, self._replied_ns
        sleep, now = self._sleep, clock
        for i, due_ns in enumerate((self._origin_ns + self._starts_ns).tolist()):
            # Made before it is due, or it would go out late by the time that takes.
            asked = request()
            while (ahead_ns := due_ns - now()) > 0 and not is_stopped():
                sleep(ahead_ns / _NS)
            if is_stopped():
                return
            self.num_submitted = i + 1
            submitted_ns[i] = now()
            reply = client(asked)
            replied_ns[i] = now()
            self.num_replied = i + 1
            check(reply)
            step(reply)

    def num_due(self, at_ns: int) -> int:
        """Return how many of its requests were due up to that moment."""
        return int(np.searchsorted(self._starts_ns, at_ns - self._origin_ns, side="right"))

    def intended_ns(self) -> Column:
        """Return when each request was intended, also those that were not submitted."""
        return np.asarray(self._origin_ns + self._starts_ns, np.int64)
