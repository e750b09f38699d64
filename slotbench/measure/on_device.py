"""A policy on a device, behind the same call as one on the host: host batch in, host outputs out.

The wrapper stages for all contenders alike, as well as is known: the observation lies in pinned memory
(the transport's own, where it offers that; else a buffer here, into which the batch is copied, or a
lazily stacked one stacked), is copied without blocking, the policy runs, its outputs are copied back
without blocking into fresh pinned memory, and one event is waited for. One wait a batch.

Why nothing is written or read too early: all goes to one stream, so when the last copy to the host
has ended, the first copy from it has; and the call returns only then. The server builds its next
batch, in whichever memory, after the call.

Ids stay on the host. `slotbench.measure.served.ServedModel` takes them from the host's batch, as the
transport built it, and lays them beside the outputs: a transport that swaps rows is caught as
ever. What a device did to the order of rows is the policy's own business, on the host as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import LazyStackedTensorDict, TensorDict, TensorDictBase

from slotbench.measure.devices import Device, Event

Policy = Callable[[TensorDictBase], TensorDictBase]
NestedKey = str | tuple[str, ...]
PinnedBy = Literal["transport", "harness", "server"]

RING: Final = 4_096
"""Batches whose marks are kept. Reading one costs a call of the driver's, so none is read while a
trial is measured: later batches use the marks of earlier ones again."""

_MS: Final = 1e-3


@dataclass(frozen=True, slots=True)
class DeviceLog:
    """Times of the latest batches, by events on the device.

    Attributes:
        first: index of the first of these batches among all.
        staging_s, returning_s: of each; None where the server does both.
        forward_s: of each.
        pinned_by: whose the pinned memory is that batches lay in before they were copied.
    """

    first: int
    staging_s: NDArray[np.float64] | None
    forward_s: NDArray[np.float64]
    returning_s: NDArray[np.float64] | None
    pinned_by: PinnedBy

    def without_first(self, count: int) -> Self:
        """Forget the first batches among all, as if the rest were all there are."""
        here = slice(max(0, count - self.first), None)
        return replace(
            self,
            first=max(0, self.first - count),
            staging_s=None if self.staging_s is None else self.staging_s[here],
            forward_s=self.forward_s[here],
            returning_s=None if self.returning_s is None else self.returning_s[here],
        )


@dataclass(frozen=True, slots=True)
class _Marks:
    """A batch's: staging began, and ended; the forward began; the return did, and ended.

    Between staging and forward the device waits while the host makes a TensorDict: of neither.
    """

    staging: Event
    staged: Event
    forward: Event
    returning: Event
    end: Event


class DevicePolicy:
    """Runs a policy on a device.

    A batch that is on the device already, since the server moves batches itself, is served there, and its
    result is left there.

    Args:
        device: not to be started before it has to be.
        keys: leaves of the observation, all that the policy gets.
        prepare: makes the policy, its weights on the device; called once, on the started device, with
            the function that puts a host's batch there.
        max_rows: of a batch, usually: room in pinned memory is made for so many.
        before: called with the number of rows before anything else, on the host.

    Threads: made by the main thread, called by the server's alone, or where an actor has its turn by
    that; `log` by the main thread after the server's has ended.
    """

    def __init__(
        self,
        device: Device,
        keys: Sequence[NestedKey],
        prepare: Callable[[Callable[[TensorDictBase], TensorDictBase]], Policy],
        *,
        max_rows: int,
        before: Callable[[int], None] | None = None,
    ) -> None:
        self._device = device
        self._keys = keys
        self._prepare = prepare
        self._max_rows = max_rows
        self._before = before
        self._policy: Policy | None = None
        self._ring: list[_Marks] = []
        self._num_calls = 0
        # By leaf: the buffer, or None where the transport's memory is pinned.
        self._buffers: list[torch.Tensor | None] = []
        self._is_staged_here = True

    def start(self) -> None:
        """Start the device and make the policy there; from here on this process is not to be forked.

        Raises:
            ScenarioError: the user's own policy cannot be made, or does not do what a policy does.
        """
        if self._policy is not None:
            return
        self._device.start()
        event = self._device.event
        num_marks = len(fields(_Marks))
        self._ring = [_Marks(*(event() for _ in range(num_marks))) for _ in range(RING)]
        self._policy = self._prepare(self._moved)

    def read(self, batch: TensorDictBase) -> list[torch.Tensor]:
        """Enqueue the observation's way to the device; a lazily stacked batch is stacked here.

        Returns:
            The leaves there, [n, …] each.
        """
        staged = self._in_pinned_memory(batch)
        marks = self._ring[self._num_calls % RING]
        marks.staging.record()
        leaves = [self._device.to_device(leaf) for leaf in staged]
        marks.staged.record()
        return leaves

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        """Serve the batch of n; returns when its outputs are on the host."""
        if self._policy is None:
            self.start()
        assert self._policy is not None
        num_rows = batch.batch_size[0]
        if self._before is not None:
            self._before(num_rows)
        self._device.enter()
        marks = self._ring[self._num_calls % RING]
        # A lazily stacked batch would be stacked for the question, and servers move whole ones.
        is_lazy = isinstance(batch, LazyStackedTensorDict)
        if not is_lazy and self._device.holds(batch.get(self._keys[0])):
            return self._serve_there(batch, marks, self._policy)
        leaves = self.read(batch)
        given = self._batch_there(leaves, num_rows)
        before = self._versions(leaves)
        marks.forward.record()
        result = self._policy(given)
        marks.returning.record()
        outputs, passes_on = self._outputs(result, before)
        marks.end.record()
        marks.end.synchronize()
        self._num_calls += 1
        is_whole = passes_on or result is given
        reply = batch if is_whole else TensorDict({}, batch_size=[num_rows])
        for key, value in outputs:
            reply.set(key, value)
        return reply

    def _outputs(
        self, result: TensorDictBase, before: Mapping[tuple[Any, int], int | None]
    ) -> tuple[list[tuple[Any, Any]], bool]:
        """Enqueue the outputs' way to the host.

        Args:
            result: the policy's.
            before: see `_versions`.

        Returns:
            Key and value of each output; whether the result has the observation, too: what the policy
            was given, and has not written to, stays here. Under another key it is an output.
        """
        outputs = []
        passes_on = False
        for key, value in result.items(include_nested=True, leaves_only=True):
            version = before.get((key, id(value)))
            if version is not None and value._version == version:
                passes_on = True
            elif isinstance(value, torch.Tensor):
                outputs.append((key, self._device.to_host(value)))
            else:
                outputs.append((key, value))
        return outputs, passes_on

    def forward_s(self) -> float:
        """Time of the latest batch's forward between its two marks."""
        marks = self._ring[(self._num_calls - 1) % RING]
        return marks.forward.elapsed_time(marks.returning) * _MS

    def log(self) -> DeviceLog | None:
        """Read the marks of the latest `RING` batches.

        Returns:
            None where this process has served none: the server may be another one.
        """
        if not self._num_calls:
            return None
        self._device.synchronize()
        first = max(0, self._num_calls - RING)
        latest = [self._ring[index % RING] for index in range(first, self._num_calls)]
        forward_s = _seconds([one.forward.elapsed_time(one.returning) for one in latest])
        if not self._is_staged_here:
            return DeviceLog(first, None, forward_s, None, "server")
        return DeviceLog(
            first,
            _seconds([one.staging.elapsed_time(one.staged) for one in latest]),
            forward_s,
            _seconds([one.returning.elapsed_time(one.end) for one in latest]),
            "harness" if any(one is not None for one in self._buffers) else "transport",
        )

    def _serve_there(
        self, batch: TensorDictBase, marks: _Marks, policy: Policy
    ) -> TensorDictBase:
        """Serve a batch that the server has moved, and will move back, and wait for."""
        self._is_staged_here = False
        marks.forward.record()
        result = policy(batch)
        marks.returning.record()
        self._num_calls += 1
        return result

    def _moved(self, batch: TensorDictBase) -> TensorDictBase:
        """Put a host's batch on the device, at leisure."""
        leaves = [self._device.to_device(batch.get(key)) for key in self._keys]
        self._device.synchronize()
        return self._batch_there(leaves, batch.batch_size[0])

    def _batch_there(self, leaves: Sequence[torch.Tensor], num_rows: int) -> TensorDict:
        """Arrange leaves as a TensorDict that says where it is: a policy may ask."""
        batch = TensorDict({}, batch_size=[num_rows], device=leaves[0].device)
        for key, leaf in zip(self._keys, leaves, strict=True):
            batch.set(key, leaf)
        return batch

    def _versions(
        self, leaves: Sequence[torch.Tensor]
    ) -> dict[tuple[Any, int], int | None]:
        """By key and identity, how often each was written to; of inference mode's nobody knows."""
        return {
            (key, id(leaf)): None if leaf.is_inference() else leaf._version
            for key, leaf in zip(self._keys, leaves, strict=True)
        }

    def _in_pinned_memory(self, batch: TensorDictBase) -> list[torch.Tensor]:
        """The leaves of a host's batch, [n, …] each, where the device can copy them from by itself.

        Whose memory that is, the first batch decides: copies are right either way.
        """
        if isinstance(batch, LazyStackedTensorDict):
            rows = [[row.get(key) for row in batch.tensordicts] for key in self._keys]
            staged = []
            for number, of_leaf in enumerate(rows):
                room = self._room(number, len(of_leaf), of_leaf[0].shape, of_leaf[0].dtype)
                staged.append(torch.stack(of_leaf, out=room))
            return staged
        leaves = [batch.get(key) for key in self._keys]
        if not self._buffers:
            self._buffers = [
                None if self._device.is_pinned(leaf) else torch.empty(0) for leaf in leaves
            ]
        return [
            leaf
            if self._buffers[number] is None
            else self._room(number, len(leaf), leaf.shape[1:], leaf.dtype).copy_(leaf)
            for number, leaf in enumerate(leaves)
        ]

    def _room(
        self, number: int, num_rows: int, shape: torch.Size, dtype: torch.dtype
    ) -> torch.Tensor:
        """The first rows of a leaf's buffer, which is made, or made larger, where it has to be."""
        if not self._buffers:
            self._buffers = [torch.empty(0) for _ in self._keys]
        buffer = self._buffers[number]
        if buffer is None or buffer.dtype != dtype or len(buffer) < num_rows:
            rows = max(num_rows, self._max_rows)
            buffer = self._buffers[number] = self._device.pinned((rows, *shape), dtype)
        return buffer[:num_rows]


def _seconds(times_ms: Sequence[float]) -> NDArray[np.float64]:
    return np.array(times_ms, dtype=np.float64) * _MS
