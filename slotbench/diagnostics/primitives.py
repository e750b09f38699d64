"""What transports are made of, each thing by itself: hand-overs between threads, and work on rows.

A primitive is measured in several processes, in another order in each, several values a process: values of
one process are alike, those of another differ (memory layout, which CPU a thread got), so the process is
the sample size. `slotbench.exports.primitives` hands them out as a pyperf suite.
"""

import concurrent.futures
import functools
import itertools
import queue
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from tensordict import TensorDict, TensorDictBase, lazy_stack

from slotbench.measure import timing
from slotbench.measure.timing import Used
from slotbench.records import PrimitiveRun
from slotbench.records.diagnosis import PrimitiveGroup

NUM_ROWS: Final = 64

_MAX_LOOPS: Final = 2**24

Measured = Callable[[int], Used]
"""Does the operation so many times and says what that used up."""


@dataclass(frozen=True, slots=True)
class PrimitivePlan:
    """One primitive before it is measured.

    Attributes:
        operation: what one operation is, for people.
        prepare: sets it up in the process where it is measured.
    """

    name: str
    group: PrimitiveGroup
    operation: str
    prepare: Callable[[], Measured]


def catalogue() -> tuple[PrimitivePlan, ...]:
    """All primitives, in the order in which they are shown."""
    small = functools.partial(torch.rand, 8)
    large = functools.partial(torch.randint, 0, 256, (84, 84, 4), dtype=torch.uint8)
    return (
        *_hand_overs(),
        *_row_work("small rows", "8 floats", small),
        *_row_work("large rows", "28 kB", large),
    )


def described() -> list[tuple[str, PrimitiveGroup, str]]:
    """Name, group and operation of each, for a process that loads no torch."""
    return [(plan.name, plan.group, plan.operation) for plan in catalogue()]


def measure(
    names: Sequence[str], seed: int, num_values: int, value_s: float
) -> dict[str, PrimitiveRun]:
    """Measure these primitives in this process, in an order drawn by the seed.

    Args:
        names: of `catalogue`.
        seed: of the order.
        num_values: of each.
        value_s: how long the operations behind a value take at least.
    """
    known = {plan.name: plan for plan in catalogue()}
    order = random.Random(seed).sample(list(names), len(names))
    with torch.no_grad():
        return {name: run(known[name].prepare(), num_values, value_s) for name in order}


def run(measured: Measured, num_values: int, value_s: float) -> PrimitiveRun:
    """Find how many operations make a value, and measure so many values.

    Args:
        measured: does the operation.
        num_values: at least one.
        value_s: how long the operations behind a value take at least; the pass that found out is
            the warm-up.
    """
    loops = 1
    used = measured(loops)
    while used.wall_s < value_s and loops < _MAX_LOOPS:
        # From one step to the next ten times as many at most: a first call is no guide.
        wanted = 1.2 * loops * value_s / max(used.wall_s, 1e-9)
        loops = min(max(loops + 1, round(min(wanted, 10 * loops))), _MAX_LOOPS)
        used = measured(loops)
    warmup_s = used.wall_s / loops
    values = [measured(loops) for _ in range(num_values)]
    operations = loops * num_values
    return PrimitiveRun(
        loops=loops,
        warmup_s=warmup_s,
        values_s=tuple(value.wall_s / loops for value in values),
        cpu_s=sum(value.cpu_s for value in values) / operations,
        voluntary=sum(value.voluntary for value in values) / operations,
        involuntary=sum(value.involuntary for value in values) / operations,
    )


def _hand_overs() -> list[PrimitivePlan]:
    pairs: dict[str, tuple[Callable[[], Measured], str]] = {
        "raw lock": (lambda: timing.lock_there_and_back, "release, acquire"),
        "raw lock, one CPU": (
            lambda: _lock_on_one_cpu,
            "as before, both threads on one CPU",
        ),
        "Event": (lambda: _by(_EventGate), "set; wait, clear"),
        "Condition": (lambda: _by(_ConditionGate), "notify; wait, under its lock"),
        "SimpleQueue": (lambda: _by(_QueueGate), "put, get"),
        "Future": (lambda: _by(_FutureGate), "a new Future each way: set_result, result"),
    }
    return [
        PrimitivePlan(
            f"hand-over: {name}",
            "hand-over",
            f"one thread wakes another and is woken by it: there and back ({how})",
            prepare,
        )
        for name, (prepare, how) in pairs.items()
    ]


def _by(make_gate: Callable[[], "_Gate"]) -> Measured:
    there, back = make_gate(), make_gate()
    return lambda times: timing.there_and_back(
        there.give, there.take, back.give, back.take, times
    )


def _lock_on_one_cpu(times: int) -> Used:
    with timing.on_one_cpu():
        return timing.lock_there_and_back(times)


class _Gate:
    """One direction of a hand-over: one thread gives, the other takes, in turn."""

    def give(self) -> None:
        raise NotImplementedError

    def take(self) -> None:
        raise NotImplementedError


class _EventGate(_Gate):
    def __init__(self) -> None:
        self._event = threading.Event()

    def give(self) -> None:
        self._event.set()

    def take(self) -> None:
        self._event.wait()
        # No give is lost: the next comes only after the taker has given back.
        self._event.clear()


class _ConditionGate(_Gate):
    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._is_given = False

    def give(self) -> None:
        with self._condition:
            self._is_given = True
            self._condition.notify()

    def take(self) -> None:
        with self._condition:
            while not self._is_given:
                self._condition.wait()
            self._is_given = False


class _QueueGate(_Gate):
    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[None] = queue.SimpleQueue()

    def give(self) -> None:
        self._queue.put(None)

    def take(self) -> None:
        self._queue.get()


class _FutureGate(_Gate):
    def __init__(self) -> None:
        self._future: concurrent.futures.Future[None] = concurrent.futures.Future()

    def give(self) -> None:
        self._future.set_result(None)

    def take(self) -> None:
        self._future.result()
        # As with the Event: nobody gives until the taker has given back.
        self._future = concurrent.futures.Future()


def _row_work(
    group: PrimitiveGroup, of: str, row: Callable[[], torch.Tensor]
) -> list[PrimitivePlan]:
    """What a server does with a batch of rows of one kind."""
    rows = f"{NUM_ROWS} rows of {of}"

    def tensors() -> list[torch.Tensor]:
        return [row() for _ in range(NUM_ROWS)]

    def dicts() -> list[TensorDictBase]:
        return [TensorDict({"observation": one}, batch_size=[]) for one in tensors()]

    def copy_rows() -> Measured:
        sources = tensors()
        views = torch.stack(sources).unbind(0)

        def copy() -> None:
            for view, source in zip(views, sources, strict=True):
                view.copy_(source)

        return _times(copy)

    def stack() -> Measured:
        return _times(functools.partial(torch.stack, tensors()))

    def stack_out() -> Measured:
        sources = tensors()
        return _times(functools.partial(torch.stack, sources, out=torch.stack(sources)))

    def gather() -> Measured:
        bank, index = torch.stack(tensors()), torch.randperm(NUM_ROWS)
        return _times(functools.partial(bank.index_select, 0, index))

    def unbind() -> Measured:
        return _times(functools.partial(torch.stack(tensors()).unbind, 0))

    def stack_dicts() -> Measured:
        return _times(functools.partial(torch.stack, dicts()))

    def lazy_stack_and_get() -> Measured:
        sources = dicts()
        return _times(lambda: lazy_stack(sources).get("observation"))

    def unbind_dict() -> Measured:
        batch = torch.stack(dicts())
        return _times(lambda: batch.unbind(0))

    return [
        PrimitivePlan(f"{what}, {rows}", group, operation, prepare)
        for what, operation, prepare in (
            ("copy_ row by row", f"{rows} copied one by one into a buffer", copy_rows),
            ("stack", f"torch.stack of {rows}", stack),
            ("stack out=", f"torch.stack of {rows} into the same memory", stack_out),
            ("gather", f"index_select of {rows} from a bank of as many", gather),
            ("unbind", f"a batch's tensor cut into {rows}", unbind),
            ("TensorDict stack", f"torch.stack of TensorDicts, {rows}", stack_dicts),
            (
                "lazy_stack, get",
                f"lazy_stack of TensorDicts and one get of its leaf, {rows}",
                lazy_stack_and_get,
            ),
            ("TensorDict unbind", f"a TensorDict cut into {rows}", unbind_dict),
        )
    ]


def _times(operation: Callable[[], object]) -> Measured:
    """The operation in a loop, on this thread."""

    def repeat(times: int) -> None:
        for _ in itertools.repeat(None, times):
            operation()

    return lambda times: timing.used(functools.partial(repeat, times))
