"""What a tool does while a trial runs; `_trial` calls it."""

from collections.abc import Callable
from typing import Any


class Watcher:
    """Watches nothing; tools override what they need.

    Threads: ``begin`` and ``end`` are called by the trial's main thread, what `wrap` returns by
    whichever thread runs the model.

    Attributes:
        num_replies: called, says how many replies have come so far; there before `begin`.
    """

    num_replies: Callable[[], int]

    def wrap(self, policy: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return what the server runs in the policy's place."""
        return policy

    def begin(self) -> None:
        """Warm-up is over; the window begins when this returns."""

    def end(self) -> None:
        """The window has ended; actors and server go on until this returns."""
