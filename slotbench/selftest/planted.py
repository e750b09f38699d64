"""A real transport with a planted slowdown, raced to see whether the harness finds it.

``slotbench.selftest.planted:transport[slowdown=0.05]`` is our slot transport, whose server
spins after it took a batch, for 5 % of the time since it last did so. So each of the server's
cycles, whatever it takes on this machine, is 5 % longer, and throughput is 1/1.05 of what it
was.

That is so where every batch holds all actors (``min_batch_size = num_slots``, no think
time): then nobody but the server runs while it spins, and nothing is done in that time that
would have to be done later. It is the least: the recorded runs show up to 3.5 points more, about
50 µs of a cycle that a spin costs beside itself (docs/method.md). Where batches are partial, actors submit during the spin, the next
batch is larger, and the slowdown comes out smaller than it was planted.
"""

import time
from collections.abc import Callable
from typing import Final

from transports import SlotTransport

MAX_SPIN_S: Final = 0.1
"""After a pause in which nobody asked, which was no cycle, the server must not sleep on."""


def transport(num_slots: int, *, slowdown: float = 0.0) -> "PlantedTransport":
    """Build the transport; the factory that a contender names.

    Args:
        num_slots: as of `transports.SlotTransport`.
        slowdown: of every cycle of the server, a ratio less 1. With 0 the same code runs and
            spins for no time, so that contenders differ in nothing but the spin.

    Raises:
        ValueError: the slowdown is not between 0 and 1, or ``num_slots`` does not do.
    """
    return PlantedTransport(num_slots, slowdown)


class PlantedTransport(SlotTransport):
    """`transports.SlotTransport` whose `claim` is late.

    Args:
        num_slots: how many clients there can be at a time.
        slowdown: see `transport`.
        clock: seconds; for tests.

    Blocks:
        `claim`, for ``slowdown`` of the time since it last took something, at most `MAX_SPIN_S`.

    Raises:
        ValueError: see `transport`.
    """

    def __init__(
        self,
        num_slots: int,
        slowdown: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(num_slots)
        if isinstance(slowdown, bool) or not 0.0 <= slowdown <= 1.0:
            raise ValueError(f"slowdown is {slowdown!r}: it must be between 0 and 1")
        self._slowdown = float(slowdown)
        self._clock = clock
        self._returned_at: float | None = None

    def claim(self, max_items: int) -> list[int]:
        """Take up to `max_items` ready slots, and return late; at once where none is ready."""
        slots = super().claim(max_items)
        if not slots:
            return slots
        now = self._clock()
        if self._returned_at is not None:
            cycle_s = now - self._returned_at
            until = now + min(self._slowdown * cycle_s, MAX_SPIN_S)
            # A sleep would end when the system likes.
            while now < until:
                now = self._clock()
        self._returned_at = now
        return slots
