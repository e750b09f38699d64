"""Knowing, at any moment, in which of the contract's methods each thread is."""

from collections.abc import Callable
from typing import Any

from tensordict import TensorDictBase

from slotbench.measure.policies import Policy
from slotbench.measure.served import ServedModel
from slotbench.measure.systems import System, TransportSystem
from slotbench.profiling import _probes
from slotbench.profiling._probes import DRAINS, GATHERS, RESOLVES, WAITS, wrap_methods
from slotbench.profiling._tallies import Tallies

_COLLATES = ("collate_fn", "_collate")
"""Attributes of TorchRL's server and of ours; theirs is public, ours is ours."""


class PlacedModel(ServedModel):
    """The model, during which a thread's place is "model"; reading its input is collating."""

    def __init__(
        self,
        policy: Policy,
        serve: Callable[[int], None],
        max_batches: int,
        tallies: Tallies,
    ) -> None:
        super().__init__(policy, serve, max_batches)
        self._call = tallies.placed("model", super().__call__)
        self._serve_nothing = tallies.placed("model", super().serve_without_payload)
        if hasattr(policy, "read"):
            _probes.wrap(policy, "read", lambda read: tallies.placed("collate", read))

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        result: TensorDictBase = self._call(batch)
        return result

    def serve_without_payload(self, batch_size: int) -> None:
        self._serve_nothing(batch_size)


def place_methods(system: System, tallies: Tallies) -> None:
    """Mark the server's places: in the transport's methods, and in collating."""
    for methods, place in (
        (WAITS, "wait"),
        (DRAINS, "drain"),
        (GATHERS, "collate"),
        (RESOLVES, "resolve"),
    ):
        wrap_methods(system, methods, _marked(tallies, place))
    if isinstance(system, TransportSystem):
        for name in _COLLATES:
            if callable(getattr(system.server, name, None)):
                _probes.wrap(system.server, name, lambda c: tallies.placed("collate", c))


def placed_client(system: System, tallies: Tallies) -> tuple[Callable[[Any], Any], bool]:
    """Return the next actor's call, and whether it has a ``submit``.

    During the call the thread's place is "submit", then "receive"; without a ``submit`` it is
    "receive" all the time.
    """
    call, submit = _probes.halves(system)

    def client(request: Any) -> Any:
        tally = tallies.mine()
        try:
            if submit is None:
                tally.place = "receive"
                return call(request)
            tally.place = "submit"
            wait = submit(request)
            tally.place = "receive"
            return wait()
        finally:
            tally.place = "other"

    return client, submit is not None


def _marked(
    tallies: Tallies, place: str
) -> Callable[[str, Callable[..., Any]], Callable[..., Any]]:
    return lambda _, method: tallies.placed(place, method)
