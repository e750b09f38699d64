"""Guarantee 7: senseless arguments are refused; the timeout counts from the oldest request."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Final

from tensordict.base import TensorDictBase

from transports.conformance._actors import WatchedModel, act, expect_reply, request, serve
from transports.conformance._api import CheckFailedError, SystemFactory, check

_TIMEOUT_S: Final = 0.6
_SECOND_AFTER_S: Final = 0.4
_NUM_TRIES: Final = 3


@check(7)
def refuses_bad_num_clients(factory: SystemFactory) -> None:
    """Less than one client is refused at construction."""
    for count in (0, -1):
        _expect_refused(factory, num_clients=count)


@check(7)
def refuses_bad_batch_sizes(factory: SystemFactory) -> None:
    """A batch of less than one is refused at construction."""
    for size in (0, -1):
        _expect_refused(factory, max_batch_size=size)
        _expect_refused(factory, min_batch_size=size)


@check(7)
def refuses_min_above_max(factory: SystemFactory) -> None:
    """A smallest batch above the largest is refused at construction."""
    _expect_refused(factory, min_batch_size=4, max_batch_size=2)


@check(7)
def refuses_bad_timeout(factory: SystemFactory) -> None:
    """A timeout that is no positive, finite number is refused at construction."""
    for timeout_s in (0.0, -1.0, math.nan, math.inf):
        _expect_refused(factory, timeout_s=timeout_s)


@check(7)
def timeout_counts_from_oldest(factory: SystemFactory) -> None:
    """An incomplete batch is served when its oldest request, not its newest, has waited the timeout."""
    served_at: list[float] = []

    def note(td: TensorDictBase) -> TensorDictBase:
        served_at.append(time.monotonic())
        return act(td)

    took_s = []
    with serve(
        factory, WatchedModel(note), num_clients=3, min_batch_size=3, timeout_s=_TIMEOUT_S
    ) as served:
        first, second = served.clients(2)
        for sequence in range(_NUM_TRIES):  # a machine that stalls may spoil one
            served_at.clear()
            began = time.monotonic()
            tasks = [served.call(first, request(0, sequence))]
            time.sleep(_SECOND_AFTER_S)  # what is checked, not a way to wait for something
            tasks.append(served.call(second, request(1, sequence)))
            for actor, task in enumerate(tasks):
                expect_reply(task.reply(), actor, sequence)
            took_s.append(served_at[0] - began)
            if took_s[-1] < _TIMEOUT_S + _SECOND_AFTER_S / 2:
                return
    raise CheckFailedError(
        f"with a timeout of {_TIMEOUT_S} s and a second request after {_SECOND_AFTER_S} s, "
        f"the first was served after {min(took_s):.2f} s"
    )


def _expect_refused(factory: SystemFactory, **arguments: Any) -> None:
    model: Callable[[TensorDictBase], TensorDictBase] = act
    try:
        factory(model, **{"num_clients": 4, **arguments})
    except (ValueError, TypeError):
        return
    told = ", ".join(f"{name}={value}" for name, value in arguments.items())
    raise CheckFailedError(f"{told} is accepted")
