"""Guarantee 7: senseless arguments are refused; the timeout counts from the oldest request."""

from __future__ import annotations

import math
import time
from typing import Any, Final

from tensordict.base import TensorDictBase

from transports.conformance._actors import (
    WatchedModel,
    act,
    construct,
    expect_reply,
    request,
    serve,
)
from transports.conformance._api import (
    CheckFailedError,
    NotApplicableError,
    SystemFactory,
    check,
)

_TIMEOUT_S: Final = 0.6
_SECOND_AFTER_S: Final = 0.4
_NUM_TRIES: Final = 3


@check(7)
def refuses_bad_num_clients(factory: SystemFactory) -> None:
    """Less than one client is refused at construction, where clients are counted."""
    try:
        for count in (0, -1):
            _expect_refused(factory, num_clients=count)
    except CheckFailedError:
        if _counts_clients(factory):
            raise
        raise NotApplicableError("it does not count its clients") from None


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
    """A timeout that is negative, infinite or not a number is refused at construction."""
    for timeout_s in (-1.0, math.nan, math.inf):
        _expect_refused(factory, timeout_s=timeout_s)


@check(7)
def max_batch_size_holds(factory: SystemFactory) -> None:
    """No batch is larger than max_batch_size, though more requests wait."""
    with serve(factory, num_clients=8, max_batch_size=3) as served:
        first, *others = served.clients(8)
        calls = [served.hold(first)]
        calls += [served.ask(c, request(i)) for i, c in enumerate(others, 1)]
        served.model.release()
        for actor, call in enumerate(calls):
            expect_reply(call.reply(), actor)
        if (largest := max(map(len, served.model.batches))) > 3:
            raise CheckFailedError(f"with max_batch_size=3 there was a batch of {largest}")


@check(7)
def min_batch_size_is_waited_for(factory: SystemFactory) -> None:
    """A request that stays alone is served when it has waited the timeout, and not at once."""
    model = _TimedModel()
    with serve(
        factory, model, num_clients=3, min_batch_size=3, timeout_s=_TIMEOUT_S
    ) as served:
        client, *_others = served.clients(3)  # they could ask: it is not a batch of all
        began = time.monotonic()
        expect_reply(served.call(client, request()).reply())
        waited_s = model.served_at[0] - began
        if waited_s < 0.9 * _TIMEOUT_S:
            raise CheckFailedError(
                f"with min_batch_size=3 and a timeout of {_TIMEOUT_S} s, one request alone was "
                f"served after {waited_s:.2f} s"
            )


@check(7)
def timeout_counts_from_oldest(factory: SystemFactory) -> None:
    """An incomplete batch is served when its oldest request, not its newest, has waited the timeout."""
    model = _TimedModel()
    took_s = []
    with serve(
        factory, model, num_clients=3, min_batch_size=3, timeout_s=_TIMEOUT_S
    ) as served:
        first, second = served.clients(2)
        for sequence in range(_NUM_TRIES):  # a machine that stalls may spoil one
            model.served_at.clear()
            began = time.monotonic()
            tasks = [served.call(first, request(0, sequence))]
            time.sleep(_SECOND_AFTER_S)  # what is checked, not a way to wait for something
            tasks.append(served.call(second, request(1, sequence)))
            for actor, task in enumerate(tasks):
                expect_reply(task.reply(), actor, sequence)
            took_s.append(model.served_at[0] - began)
            if took_s[-1] < _TIMEOUT_S + _SECOND_AFTER_S / 2:
                return
    raise CheckFailedError(
        f"with a timeout of {_TIMEOUT_S} s and a second request after {_SECOND_AFTER_S} s, "
        f"the first was served after {min(took_s):.2f} s"
    )


class _TimedModel(WatchedModel):
    """A model that notes when each batch reached it."""

    def __init__(self) -> None:
        super().__init__(self._note)
        self.served_at: Final[list[float]] = []  # of time.monotonic

    def _note(self, td: TensorDictBase) -> TensorDictBase:
        self.served_at.append(time.monotonic())
        return act(td)


def _expect_refused(factory: SystemFactory, **arguments: Any) -> None:
    """Expect that the arguments are refused, by a factory that accepts good ones."""
    good = {"num_clients": 4}
    construct(factory, act, **good)
    try:
        construct(factory, act, **{**good, **arguments})
    except (ValueError, TypeError):
        return
    told = ", ".join(f"{name}={value}" for name, value in arguments.items())
    raise CheckFailedError(f"{told} is accepted")


def _counts_clients(factory: SystemFactory) -> bool:
    """Tell whether a second client is refused, or does not work, where there is to be one."""
    with serve(factory, num_clients=1) as served:
        first = served.client()
        try:
            second = served.client()
            expect_reply(served.call(second, request(1)).reply(), 1)
        except Exception:  # noqa: BLE001 - whatever keeps it from working
            return True
        expect_reply(served.call(first, request()).reply())
    return False
