"""Where a profile may reach into a trial. A measured run's trial has none of it.

An instrument is told of what is built, may put a client or a model of its own in the place of
the plain ones, and is told of the window's two ends. What it learns is its own business.
"""

from collections.abc import Callable, Sequence
from typing import Any

from slotbench.measure.actors import Actor
from slotbench.measure.policies import Policy
from slotbench.measure.served import ServedModel
from slotbench.measure.systems import System
from slotbench.records import Contender


class Instrument:
    """Adds nothing; profiles override what they need.

    Threads: all methods are called by the trial's main thread, in the order in which they stand
    here; what they return is called by actors and server.
    """

    def before_build(self, contender: Contender) -> None:
        """Get ready, before anything of the contender is made."""

    def model(
        self, policy: Policy, serve: Callable[[int], None], max_batches: int
    ) -> ServedModel:
        """Wrap the policy; arguments as of `ServedModel`."""
        return ServedModel(policy, serve, max_batches)

    def attach(self, system: System, actors: Sequence[Actor]) -> None:
        """See what was built, before any client is asked for."""

    def client(self, system: System, index: int) -> Callable[[Any], Any]:  # noqa: ARG002  # for those that override it
        """Return the blocking call of the actor of that index; called once per actor, in order."""
        return system.client()

    def before_window(self) -> None:
        """Take readings: the warm-up is over, the window begins when this returns."""

    def after_window(self, begin_ns: int, end_ns: int) -> None:
        """Take readings: the window, of which these are the ends, is over; the actors still run."""

    def after_trial(self) -> None:
        """Undo what `before_build` did: all threads have ended, or hang."""
