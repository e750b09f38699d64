"""What the server runs on a batch: synthetic service times, real networks, the user's own.

Every policy is used as TorchRL users use theirs: it reads leaves of the batch, writes its
outputs into it, and returns it. All of the observation is read, so that a lazily stacked
batch is really stacked.

Threads: made by the main thread, called by the server's thread alone.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Final

import torch
from tensordict import TensorDict, TensorDictBase
from torch import nn

from slotbench.compute.workloads import unfit_convolution
from slotbench.errors import ScenarioError
from slotbench.measure import custom, devices, libraries, networks, waiting
from slotbench.measure.on_device import DevicePolicy
from slotbench.records import GymEnvironment, Leaf, Model, Workload

Policy = Callable[[TensorDictBase], TensorDictBase]
NestedKey = str | tuple[str, ...]

MIN_PIXELS: Final = 36
"""What the three convolutions of "nature_cnn" leave something of."""


def service_time(model: Model) -> Callable[[int], None]:
    """Return the function that spends S(n) = a + b·n, in the model's way."""
    if model.kind == "sleep":
        return _service_time(model, waiting.sleep)
    return _service_time(model, waiting.spin if model.hold_gil else waiting.spin_nogil)


def _service_time(model: Model, spend: Callable[[float], None]) -> Callable[[int], None]:
    """Return the function that spends S(n) by spending so many seconds."""
    a_s, b_s = model.latency_ms / 1e3, model.latency_per_item_ms / 1e3
    if a_s == 0 and b_s == 0:
        return _nothing
    return lambda batch_size: spend(a_s + b_s * batch_size)


def _nothing(batch_size: int) -> None:
    """Spend S(n) = 0, for every n."""


def build(workload: Workload, seed: int) -> Policy:
    """Make the cell's policy; networks get weights from ``seed``.

    Raises:
        slotbench.errors.ScenarioError: the environment cannot be made
            (`slotbench.measure.libraries.make`), or its observation is nothing for a
            convolutional network; or the user's own policy cannot be made, or does not do what a
            policy does; or the device is not there.
    """
    if workload.device != "cpu":
        return _build_on_device(workload, seed)
    leaves, heads = _interface(workload)
    keys = [tuple(leaf.key.split(".")) for leaf in leaves]
    model = workload.model
    if model.kind in {"sleep", "spin"}:
        if model.outputs:
            return AllocatingPolicy(keys, model.outputs, service_time(model))
        return SyntheticPolicy(keys, heads[0], service_time(model))
    torch.manual_seed(seed)
    if model.kind == "custom":
        num_rows = min(2, workload.num_slots, workload.batching.max_batch_size)
        wanted = "" if workload.environment is None else "action"
        return custom.build(model.policy, _blank_batch(leaves, num_rows), wanted)
    width = sum(head.num_outputs for head in heads)
    return NetworkPolicy(keys, heads, networks.build(model, leaves, width).eval())


def _build_on_device(workload: Workload, seed: int) -> DevicePolicy:
    """Make the cell's policy for its device, which is left alone until that policy is started.

    "sleep" keeps the device busy for S(n), and the server's thread waits for it; "spin" computes on
    the host, as ever, before the batch goes to the device.
    """
    device = devices.find(workload.device)
    leaves, heads = _interface(workload)
    keys = [_key(leaf) for leaf in leaves]
    model = workload.model
    max_rows = min(workload.num_slots, workload.batching.max_batch_size)
    before = service_time(model) if model.kind == "spin" else None

    def prepare(moved: Callable[[TensorDictBase], TensorDictBase]) -> Policy:
        blank = moved(_blank_batch(leaves, min(2, max_rows)))
        if model.kind in {"sleep", "spin"}:
            serve = _nothing if model.kind == "spin" else _service_time(model, device.busy)
            if model.outputs:
                where = blank.get(keys[0]).device
                return AllocatingPolicy(keys, model.outputs, serve, where)
            return SyntheticPolicy(keys, heads[0], serve)
        torch.manual_seed(seed)
        if model.kind == "custom":
            wanted = "" if workload.environment is None else "action"
            return custom.build(model.policy, blank, wanted, device.move)
        width = sum(head.num_outputs for head in heads)
        body = networks.build(model, leaves, width).eval()
        device.move(body)
        network = NetworkPolicy(keys, heads, body)
        with torch.no_grad():
            network(blank)  # the first call loads kernels, and chooses among them
        return network

    return DevicePolicy(device, keys, prepare, max_rows=max_rows, before=before)


class Head:
    """Turns ``num_outputs`` numbers per row into one output of the policy.

    Args:
        num_outputs: how many of the last layer's numbers are its own.
        is_discrete: it is the index of the greatest, an int64 scalar; otherwise it is the
            numbers themselves.
        key: of the output.
        leaf: its shape and dtype, where it is not float32 [num_outputs].
    """

    def __init__(
        self,
        num_outputs: int,
        *,
        is_discrete: bool,
        key: NestedKey = "action",
        leaf: Leaf | None = None,
    ) -> None:
        self.num_outputs = num_outputs
        self.key = key
        self._is_discrete = is_discrete
        self._shape = None if leaf is None else leaf.shape
        self._dtype = None if leaf is None else getattr(torch, leaf.dtype)

    def __call__(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return the output [n, …] of [n, num_outputs] numbers."""
        if self._is_discrete:
            return numbers.argmax(-1)
        if self._shape is None:
            return numbers
        return numbers.reshape(len(numbers), *self._shape).to(self._dtype)


class SyntheticPolicy:
    """Waits S(n); its action is the first numbers of the first leaf.

    It costs as little as a policy can that reads its observation and writes an action, so
    that with no service time it is the transport that is measured: where the leaf has the
    numbers, in float32, the action is a view of the batch.
    """

    def __init__(
        self, keys: Sequence[NestedKey], head: Head, serve: Callable[[int], None]
    ) -> None:
        self._keys = keys
        self._head = head
        self._serve = serve

    def read(self, batch: TensorDictBase) -> list[torch.Tensor]:
        """Read the observation [n, …]; a lazily stacked batch is stacked here."""
        return [batch.get(key) for key in self._keys]

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        """Write the batch's actions into it."""
        first, *_ = self.read(batch)
        num_rows = first.shape[0]  # len() of a tensor is Python code, and dearer
        self._serve(num_rows)
        numbers = first if first.ndim == 2 else first.reshape(num_rows, -1)
        outputs = numbers[:, : self._head.num_outputs].float()
        if missing := self._head.num_outputs - outputs.shape[1]:
            outputs = nn.functional.pad(outputs, (0, missing))
        return batch.set("action", self._head(outputs))


class AllocatingPolicy:
    """Waits S(n); its outputs are zeros of the shapes asked for.

    Each is new memory for every batch, as what a network makes is, and written to; nothing
    else is done, so that with no service time it is the transport that is measured.
    """

    def __init__(
        self,
        keys: Sequence[NestedKey],
        outputs: Sequence[Leaf],
        serve: Callable[[int], None],
        device: torch.device | None = None,
    ) -> None:
        self._keys = keys
        self._serve = serve
        self._zeros = torch.zeros
        if device is not None:
            self._zeros = functools.partial(torch.zeros, device=device)
        self._outputs = [(_key(one), one.shape, _dtype(one)) for one in outputs]

    def read(self, batch: TensorDictBase) -> list[torch.Tensor]:
        """Read the observation [n, …]; a lazily stacked batch is stacked here."""
        return [batch.get(key) for key in self._keys]

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        """Write the batch's outputs into it."""
        num_rows = self.read(batch)[0].shape[0]
        self._serve(num_rows)
        for key, shape, dtype in self._outputs:
            batch.set(key, self._zeros((num_rows, *shape), dtype=dtype))
        return batch


class NetworkPolicy:
    """A torch module over all leaves of the observation, and what its numbers are."""

    def __init__(
        self, keys: Sequence[NestedKey], heads: Sequence[Head], body: nn.Module
    ) -> None:
        self._keys = keys
        self._heads = heads
        self._widths = [head.num_outputs for head in heads]
        self._body = body

    def read(self, batch: TensorDictBase) -> list[torch.Tensor]:
        """Read the observation [n, …]; a lazily stacked batch is stacked here."""
        return [batch.get(key) for key in self._keys]

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        """Write the batch's outputs into it."""
        numbers = self._body(*self.read(batch))
        for head, part in zip(self._heads, numbers.split(self._widths, -1), strict=True):
            batch.set(head.key, head(part))
        return batch


def _interface(workload: Workload) -> tuple[Sequence[Leaf], Sequence[Head]]:
    """Say what the policy reads, and what its outputs are."""
    if workload.environment is None:
        return workload.observation.leaves, _heads(workload.model)
    env = libraries.make(workload.environment, seed=0)
    leaf = libraries.observation_leaf(env)
    is_discrete = hasattr(env.action_space, "n")
    num_outputs = (
        int(env.action_space.n) if is_discrete else math.prod(env.action_space.shape)
    )
    env.close()
    if workload.model.kind in {"cnn", "nature_cnn"}:
        _check_pixels(workload.environment, leaf, workload.model)
    return [leaf], [Head(num_outputs, is_discrete=is_discrete)]


def _check_pixels(environment: GymEnvironment, leaf: Leaf, model: Model) -> None:
    """What a scenario's own leaves are asked when it is read, an environment's here."""
    is_image = len(leaf.shape) == 3
    least = ""
    if model.kind == "nature_cnn":
        is_fit = is_image and min(leaf.shape[1:]) >= MIN_PIXELS
        least = f" with H and W of at least {MIN_PIXELS}"
    else:
        unfit = unfit_convolution(model, leaf.shape[1:]) if is_image else None
        is_fit = is_image and unfit is None
        if unfit is not None:
            layer, sides = unfit
            kernel = model.kernel_sizes[layer]
            least = f" (convolution {layer} has a kernel of {kernel} and reads {sides[0]} × {sides[1]})"
    if not is_fit:
        raise ScenarioError(
            f'model.kind "{model.kind}" needs an observation of shape [C, H, W]{least}; that of '
            f"{environment.id!r} is {list(leaf.shape)}"
        )


def _heads(model: Model) -> Sequence[Head]:
    """Give each output its share of the last layer; a discrete action chooses of ``num_outputs``."""
    if not model.outputs:
        return [Head(model.num_outputs, is_discrete=False)]
    heads = []
    for leaf in model.outputs:
        is_discrete = leaf == Leaf("action", (), "int64")
        width = model.num_outputs if is_discrete else math.prod(leaf.shape)
        heads.append(Head(width, is_discrete=is_discrete, key=_key(leaf), leaf=leaf))
    return heads


def _blank_batch(leaves: Sequence[Leaf], num_rows: int) -> TensorDictBase:
    """Make a batch [num_rows] of zeros."""
    batch = TensorDict({}, [num_rows])
    for leaf in leaves:
        batch.set(_key(leaf), torch.zeros((num_rows, *leaf.shape), dtype=_dtype(leaf)))
    return batch


def _key(leaf: Leaf) -> NestedKey:
    """Say how a TensorDict calls it."""
    name, *nested = leaf.key.split(".")
    return (name, *nested) if nested else name


def _dtype(leaf: Leaf) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, leaf.dtype)
    return dtype
