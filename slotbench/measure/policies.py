"""What the server runs on a batch: synthetic service times, and real networks.

Every policy is used as TorchRL users use theirs: it reads leaves of the batch, writes its
output leaf "action" into it, and returns it. All of the observation is read, so that a
lazily stacked batch is really stacked.

Threads: made by the main thread, called by the server's thread alone.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import torch
from tensordict import TensorDictBase
from torch import nn

from slotbench.errors import ScenarioError
from slotbench.measure import libraries, waiting
from slotbench.records import GymEnvironment, Leaf, Model, Workload

Policy = Callable[[TensorDictBase], TensorDictBase]
NestedKey = str | tuple[str, ...]

MIN_PIXELS: Final = 36
"""What the three convolutions of `_NatureCNN` leave something of."""


def service_time(model: Model) -> Callable[[int], None]:
    """Return the function that spends S(n) = a + b·n, in the model's way."""
    a_s, b_s = model.latency_ms / 1e3, model.latency_per_item_ms / 1e3
    if model.kind == "sleep":
        spend = waiting.sleep
    else:
        spend = waiting.spin if model.hold_gil else waiting.spin_nogil
    if a_s == 0 and b_s == 0:
        return lambda batch_size: None  # noqa: ARG005  # S(n) = 0 for every n
    return lambda batch_size: spend(a_s + b_s * batch_size)


def build(workload: Workload, seed: int) -> Policy:
    """Make the cell's policy; networks get weights from ``seed``.

    Raises:
        slotbench.errors.ScenarioError: see `slotbench.measure.libraries.make`; or the
            environment's observation is nothing for a convolutional network.
    """
    leaves, head = _interface(workload)
    keys = [tuple(leaf.key.split(".")) for leaf in leaves]
    model = workload.model
    if model.kind in {"sleep", "spin"}:
        return SyntheticPolicy(keys, head, service_time(model))
    torch.manual_seed(seed)
    if model.kind == "mlp":
        num_inputs = sum(math.prod(leaf.shape) for leaf in leaves)
        body: nn.Module = _mlp((num_inputs, *model.hidden, head.num_outputs))
    else:
        body = _NatureCNN(leaves[0].shape, head.num_outputs)
    return NetworkPolicy(keys, head, body.eval())


class Head:
    """Turns ``num_outputs`` numbers per row into the action.

    Args:
        num_outputs: width of the policy's last layer.
        is_discrete: the action is the index of the greatest, an int64 scalar; otherwise
            it is the numbers, as float32 [num_outputs].
    """

    def __init__(self, num_outputs: int, *, is_discrete: bool) -> None:
        self.num_outputs = num_outputs
        self._is_discrete = is_discrete

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the actions of [n, num_outputs] outputs."""
        return outputs.argmax(-1) if self._is_discrete else outputs


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


class NetworkPolicy:
    """A torch module over all leaves of the observation, flattened and concatenated."""

    def __init__(self, keys: Sequence[NestedKey], head: Head, body: nn.Module) -> None:
        self._keys = keys
        self._head = head
        self._body = body

    def read(self, batch: TensorDictBase) -> list[torch.Tensor]:
        """Read the observation [n, …]; a lazily stacked batch is stacked here."""
        return [batch.get(key) for key in self._keys]

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        """Write the batch's actions into it."""
        leaves = self.read(batch)
        if len(leaves) == 1:
            inputs = leaves[0]
        else:
            inputs = torch.cat([leaf.float().reshape(len(leaf), -1) for leaf in leaves], -1)
        return batch.set("action", self._head(self._body(inputs)))


class _Flatten(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.reshape(len(inputs), -1).float()


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths with tanh between them."""
    layers: list[nn.Module] = [_Flatten()]
    for width, next_width in pairwise(widths):
        layers += [nn.Linear(width, next_width), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class _NatureCNN(nn.Module):
    """The network of Mnih et al. 2015 ("Human-level control…", Nature 518), Methods.

    Shapes: input [n, C, H, W] with H, W ≥ 36, uint8 (scaled by 1/255) or float.
    """

    def __init__(self, shape: Sequence[int], num_outputs: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(shape[0], 32, 8, stride=4), nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
            nn.Conv2d(64, 64, 3, stride=1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        with torch.no_grad():
            width = self.convolutions(torch.zeros(1, *shape)).shape[1]
        self.head = nn.Sequential(
            nn.Linear(width, 512), nn.ReLU(), nn.Linear(512, num_outputs)
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        scaled = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
        outputs: torch.Tensor = self.head(self.convolutions(scaled))
        return outputs


def _interface(workload: Workload) -> tuple[Sequence[Leaf], Head]:
    """Say what the policy reads, and what its action is."""
    if workload.environment is None:
        return workload.observation.leaves, Head(
            workload.model.num_outputs, is_discrete=False
        )
    env = libraries.make(workload.environment, seed=0)
    space = env.observation_space
    leaf = Leaf("observation", tuple(space.shape), str(space.dtype))
    is_discrete = hasattr(env.action_space, "n")
    num_outputs = (
        int(env.action_space.n) if is_discrete else math.prod(env.action_space.shape)
    )
    env.close()
    if workload.model.kind == "nature_cnn":
        _check_pixels(workload.environment, leaf)
    return [leaf], Head(num_outputs, is_discrete=is_discrete)


def _check_pixels(environment: GymEnvironment, leaf: Leaf) -> None:
    """What a scenario's own leaves are asked when it is read, an environment's here."""
    if len(leaf.shape) == 3 and min(leaf.shape[1:]) >= MIN_PIXELS:
        return
    raise ScenarioError(
        f'model.kind "nature_cnn" needs an observation of shape [C, H, W] with H and W of at '
        f"least {MIN_PIXELS}; that of {environment.id!r} is {list(leaf.shape)}"
    )
