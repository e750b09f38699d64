"""Where a policy computes when that is not the host: a GPU, as little of it as a batch needs.

All that is asked of a device is **enqueued**: a copy to it, a kernel, a copy back, a mark in time. It
happens later, in this order (one stream), while the host goes on; `Event.synchronize` waits, without
the GIL, until all before that mark has happened. What has not been waited for must neither be read
(a copy to the host) nor be written again (pinned memory that is being copied from).

Nothing here touches CUDA before `Device.start`: a process that has must not be forked, and trials
are forked. `torch.cuda.device_count` asks the driver's management library, not the driver.

Source: torch's "CUDA semantics" (asynchronous execution, pinned memory buffers); the CUDA
Runtime API's "Event Management".
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

import torch

from slotbench.errors import ScenarioError

_PROBE_CYCLES: Final = 5_000_000
"""Of a GPU's clock, some 3 ms: long against the launch of a kernel."""
_PROBES: Final = 5
"""In a row, none of them faster than the fastest before: an idle GPU's clock rises for a while."""
_MAX_PROBES: Final = 200
_FASTER: Final = 0.99
"""Of the fastest time so far; what is less is chance."""


# torch says nothing of their types. The first is torch's own, for its tests: nothing public keeps a GPU
# busy for a given time.
_sleep: Final[Callable[[int], None]] = torch.cuda._sleep
_new_event: Final[Callable[..., Any]] = torch.cuda.Event


class Event(Protocol):
    """A mark in a device's time; `torch.cuda.Event` is one."""

    def record(self) -> None:
        """Enqueue the mark; a mark that is recorded again forgets its earlier time."""

    def synchronize(self) -> None:
        """Wait until the mark has been passed, without holding the GIL."""

    def elapsed_time(self, end_event: Any) -> float:
        """Milliseconds from this mark to another one; both have been passed."""


class Device(Protocol):
    """What computes the policy.

    Threads: `start` and `synchronize` by any, `event` by the one that starts it; the rest by the one that
    serves.

    Attributes:
        name: as torch names it, with its number: "cuda:0".
    """

    name: str

    def start(self) -> None:
        """Get ready: about a second, the first time in a process, and from here on no fork.

        Raises:
            ScenarioError: it cannot be used.
        """

    def enter(self) -> None:
        """Make it this thread's device; cheap, for every batch."""

    def holds(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor is there already."""

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        """Whether a host's tensor lies in memory that the device copies from by itself."""

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Make a host's tensor that does."""

    def to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """Enqueue a copy from the host; the tensor must not be written to until it has ended."""

    def to_host(self, tensor: torch.Tensor) -> torch.Tensor:
        """Enqueue a copy into fresh memory of the host, not to be read until it has ended."""

    def move(self, module: torch.nn.Module) -> None:
        """Move a network's weights there."""

    def busy(self, duration_s: float) -> None:
        """Enqueue computing of that length, that nobody needs."""

    def event(self) -> Event:
        """Make a mark that measures time."""

    def synchronize(self) -> None:
        """Wait until all that is enqueued has happened."""


def find(name: str) -> Device:
    """Find the device of that name, and leave it alone.

    Args:
        name: "cuda" (the first) or "cuda:1".

    Raises:
        ScenarioError: it is not there.
    """
    version = f"torch ({torch.__version__})"
    if not torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]  # torch's own
        raise ScenarioError(
            f"device {name}: this {version} has no CUDA; install one that was built with it, or "
            'set device = "cpu"'
        )
    count = torch.cuda.device_count()
    if not count:
        raise ScenarioError(
            f"device {name}: {version} sees no GPU here; see what nvidia-smi says, or set "
            'device = "cpu"'
        )
    index = torch.device(name).index or 0
    if index >= count:
        known = ", ".join(f"cuda:{number}" for number in range(count))
        raise ScenarioError(
            f"device {name}: there is none of that number; there is {known}"
        )
    return CudaDevice(index)


class CudaDevice:
    """A GPU, on the stream that is current there: the one that the policy's own kernels go to.

    Args:
        index: its number.
    """

    def __init__(self, index: int) -> None:
        self.name = f"cuda:{index}"
        self._index = index
        self._cycles_per_s = 0.0

    def start(self) -> None:
        """See `Device.start`: makes CUDA's context, and times the GPU's clock, once each."""
        if self._cycles_per_s:
            return
        try:
            self.enter()
            torch.zeros(1, device=self.name)
            self._cycles_per_s = self._timed_cycles_per_s()
        except (
            RuntimeError
        ) as error:  # of CUDA: out of memory, another's alone, too old a driver
            said = str(error).partition("\n")[0]
            raise ScenarioError(
                f"device {self.name} cannot be used: {said}; see what nvidia-smi says, or set "
                'device = "cpu"'
            ) from error

    def enter(self) -> None:
        """See `Device.enter`: a thread has the first GPU until it says otherwise."""
        torch.cuda.set_device(self._index)

    def holds(self, tensor: torch.Tensor) -> bool:
        """See `Device.holds`."""
        return tensor.is_cuda

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        """See `Device.is_pinned`."""
        return tensor.is_pinned()

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """See `Device.pinned`."""
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """See `Device.to_device`; from memory that is not pinned it waits, and is right all the same."""
        return tensor.to(self.name, non_blocking=True)

    def to_host(self, tensor: torch.Tensor) -> torch.Tensor:
        """See `Device.to_host`; torch takes the memory from its cache of pinned memory."""
        return tensor.to("cpu", non_blocking=True)

    def move(self, module: torch.nn.Module) -> None:
        """See `Device.move`."""
        module.to(self.name)

    def busy(self, duration_s: float) -> None:
        """See `Device.busy`: a kernel that counts the GPU's cycles.

        As many as were its own in that time when it was timed: a GPU that changes its clock since takes
        shorter or longer, which `slotbench.records.DeviceTimes` shows.
        """
        if duration_s > 0:
            _sleep(round(duration_s * self._cycles_per_s))

    def event(self) -> Event:
        """See `Device.event`: recorded once, since CUDA makes it only then, which takes its time."""
        event: Event = _new_event(enable_timing=True)
        event.record()
        return event

    def synchronize(self) -> None:
        """See `Device.synchronize`."""
        torch.cuda.synchronize(self._index)

    def _timed_cycles_per_s(self) -> float:
        """Time the kernel of `busy` until it gets no faster; the fastest counts: clocks rise with use."""
        begin, end = self.event(), self.event()
        fastest_ms = float("inf")
        num_steady = 0
        for _ in range(_MAX_PROBES):
            begin.record()
            _sleep(_PROBE_CYCLES)
            end.record()
            end.synchronize()
            took_ms = begin.elapsed_time(end)
            num_steady = 0 if took_ms < _FASTER * fastest_ms else num_steady + 1
            fastest_ms = min(fastest_ms, took_ms)
            if num_steady == _PROBES:
                break
        return _PROBE_CYCLES / (fastest_ms / 1e3)
