"""A device whose work is done late: when somebody waits for it, and not a moment before.

What is enqueued waits in a queue until an event is waited for. So whoever reads a copy that was not
waited for reads `GARBAGE`, and whoever writes over memory that is still to be copied from
changes what is computed: mistakes that a GPU punishes now and then are punished always.
It has a clock of its own, which copies, kernels and `LateDevice.busy` advance.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import torch

GARBAGE = 99
TO_DEVICE_S, TO_HOST_S, KERNEL_S = 0.002, 0.003, 0.005
"""Of one copy, and of one kernel."""


class LateEvent:
    """A mark in the queue of its device."""

    def __init__(self, device: "LateDevice") -> None:
        self._device = device
        self.is_passed = False
        self._at_s = 0.0

    def record(self) -> None:
        self.is_passed = False
        self._device.enqueue(self._pass, 0.0)

    def _pass(self) -> None:
        self.is_passed = True
        self._at_s = self._device.now_s

    def synchronize(self) -> None:
        self._device.num_waits += 1
        self._device.run_until(lambda: self.is_passed)

    def elapsed_time(self, end_event: "LateEvent") -> float:
        assert self.is_passed, "CUDA would say: device not ready"
        assert end_event.is_passed, "CUDA would say: device not ready"
        return (end_event._at_s - self._at_s) * 1e3


class LateDevice:
    """A `slotbench.measure.devices.Device` in the host's memory.

    Args:
        at_once: do everything when it is enqueued: for policies that compute as they are called,
            and know nothing of this queue.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self.name = "cuda:0"
        self.now_s = 0.0
        self.num_waits = 0
        self.num_starts = 0
        self.num_moves = 0
        self._at_once = at_once
        self._queue: deque[tuple[Callable[[], object], float]] = deque()
        self._pinned: list[torch.Tensor] = []

    def start(self) -> None:
        self.num_starts += 1

    def enter(self) -> None:
        assert self.num_starts, "it was not started"

    def holds(self, tensor: torch.Tensor) -> bool:
        return getattr(tensor, "is_there", False)

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        storage = tensor.untyped_storage().data_ptr()
        return any(one.untyped_storage().data_ptr() == storage for one in self._pinned)

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        made = torch.full(shape, GARBAGE, dtype=torch.float64).to(dtype)
        self._pinned.append(made)
        return made

    def to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        there = torch.full_like(tensor, GARBAGE)
        there.is_there = True  # type: ignore[attr-defined]  # for `holds`
        self.enqueue(lambda: there.copy_(tensor), TO_DEVICE_S)
        if not self.is_pinned(tensor):
            self.synchronize()  # as CUDA does
        return there

    def to_host(self, tensor: torch.Tensor) -> torch.Tensor:
        here = torch.full_like(tensor, GARBAGE)
        self.enqueue(lambda: here.copy_(tensor), TO_HOST_S)
        return here

    def move(self, module: torch.nn.Module) -> None:
        del module
        self.num_moves += 1

    def busy(self, duration_s: float) -> None:
        self.enqueue(lambda: None, duration_s)

    def event(self) -> Any:
        return LateEvent(self)

    def synchronize(self) -> None:
        self.run_until(lambda: False)

    def enqueue(self, work: Callable[[], object], takes_s: float = KERNEL_S) -> None:
        """Let it be done, after all that is waiting, in so many seconds of this device's time."""
        self._queue.append((work, takes_s))
        if self._at_once:
            self.synchronize()

    def run_until(self, is_enough: Callable[[], bool]) -> None:
        while self._queue and not is_enough():
            work, takes_s = self._queue.popleft()
            self.now_s += takes_s
            with torch.no_grad():
                work()
