"""Guarantee 5: a waiting request is in one of the next ⌈N/max_batch_size⌉ + 1 batches."""

from __future__ import annotations

import math
from typing import Any, Final

from tensordict.base import TensorDictBase

from transports.conformance import _actors
from transports.conformance._actors import (
    Served,
    WatchedModel,
    act,
    need,
    request,
    serve,
)
from transports.conformance._api import CheckFailedError, SystemFactory, check

_NUM_ACTORS: Final = 8
_MAX_BATCH_SIZE: Final = 2
_NUM_BATCHES: Final = 60
_BOUND: Final = math.ceil(_NUM_ACTORS / _MAX_BATCH_SIZE) + 1
# How long the model waits for actors to come back, so that there is always a choice to be made.
_CROWD_S: Final = 0.05


@check(5)
def fairness(factory: SystemFactory) -> None:
    """With all actors asking again at once, nobody waits for more batches than stated."""
    _expect_fair(factory, pauses=0)


@check(5)
def fairness_with_a_pausing_actor(factory: SystemFactory) -> None:
    """Who asks now and then while all others ask all the time waits for no more batches than stated."""
    _expect_fair(factory, pauses=3)


class _CrowdedModel(WatchedModel):
    """A model slow enough that the other actors have asked again before the next batch."""

    def __init__(self) -> None:
        super().__init__(self._wait_for_crowd)
        self.num_submitted = 0
        self.num_awaited = 0

    def _wait_for_crowd(self, td: TensorDictBase) -> TensorDictBase:
        with self.changed:
            # All but those of this batch, and the pausing one.
            num_others = _NUM_ACTORS - len(td) - 1
            self.num_awaited += len(td)
            awaited = self.num_awaited + num_others
            self.changed.wait_for(lambda: self.num_submitted >= awaited, _CROWD_S)
        return act(td)


def _expect_fair(factory: SystemFactory, *, pauses: int) -> None:
    """Count the batches that reach the model between a request and its own.

    Args:
        factory: of the system.
        pauses: how many batches the last actor lets pass between its requests.
    """
    model = _CrowdedModel()
    waits: list[tuple[int, int, int]] = []  # batches, actor, sequence

    def ask(served: Served, actor: int, client: Any) -> None:
        submit = need(client, "submit")
        sequence = 0
        while len(model.batches) < _NUM_BATCHES and not served.is_over:
            reply = submit(request(actor, sequence))
            with model.changed:
                # Read after submit: a thread that is stopped in between counts too few.
                before = len(model.batches)
                model.num_submitted += 1
                model.changed.notify_all()
            reply.result()
            with model.changed:
                served_in = _batch_of(model, actor, sequence)
                waits.append((served_in - before, actor, sequence))
                if pauses and actor == _NUM_ACTORS - 1:
                    until = min(len(model.batches) + pauses, _NUM_BATCHES)
                    model.changed.wait_for(
                        lambda until=until: len(model.batches) >= until,  # type: ignore[misc]  # a default binds the loop's value
                        _actors.PATIENCE_S / 3,
                    )
            sequence += 1

    with serve(
        factory, model, num_clients=_NUM_ACTORS, max_batch_size=_MAX_BATCH_SIZE
    ) as served:
        clients = served.clients(_NUM_ACTORS)
        need(clients[0], "submit")
        tasks = [
            served.task(f"actor {i}", lambda i=i, c=c: ask(served, i, c))  # type: ignore[misc]  # a default binds the loop's value
            for i, c in enumerate(clients)
        ]
        served.wait_for(tasks)
        for task in tasks:
            task.reply()
    if not waits:
        raise CheckFailedError("no request was served")
    longest, actor, sequence = max(waits)
    if longest > _BOUND:
        raise CheckFailedError(
            f"actor {actor}'s request {sequence} was served {longest} batches later; expected "
            f"at most {_BOUND}, with {_NUM_ACTORS} actors and {_MAX_BATCH_SIZE} in a batch"
        )


def _batch_of(model: WatchedModel, actor: int, sequence: int) -> int:
    """Return the number of the batch the request was in, counted from 1."""
    for number in range(len(model.batches), 0, -1):
        if (actor, sequence) in model.batches[number - 1]:
            return number
    raise CheckFailedError(f"the model never saw actor {actor}'s request {sequence}")
