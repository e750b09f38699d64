"""Policies as a user writes them, right and wrong; named by scenarios of tests."""

from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import nn

BATCHES: list[tuple[int, bool]] = []
"""Of `noted`: how many rows, and whether gradients were on."""


class Doubling(nn.Module):
    """Action is twice the observation."""

    def forward(self, batch: TensorDictBase) -> TensorDictBase:
        """Write the action into the batch."""
        return batch.set("action", 2 * batch["observation"])


class Scaled(nn.Module):
    """Cannot be made without an argument."""

    def __init__(self, factor: float) -> None:
        super().__init__()


class Linear(Doubling):
    """Has weights, drawn when it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, batch: TensorDictBase) -> TensorDictBase:
        """Return the action alone."""
        action = self.layer(batch["observation"])
        return TensorDict({"action": action}, batch.batch_size)


doubling = Doubling()
number = 3


def noted(batch: TensorDictBase) -> TensorDictBase:
    """Keep what it was called with."""
    BATCHES.append((batch.batch_size[0], torch.is_grad_enabled()))
    return batch


def make_doubling() -> Doubling:
    """Make a policy."""
    return Doubling()


def make_none() -> None:
    """Forget to return what was made."""


def refuses(batch: TensorDictBase) -> TensorDictBase:
    """Raise."""
    raise ValueError(f"no\nweights for {batch.batch_size[0]} rows")


def a_tensor(batch: TensorDictBase) -> Any:
    """Return no TensorDict."""
    return batch["observation"]


def a_row(batch: TensorDictBase) -> TensorDictBase:
    """Return one row of the batch."""
    return batch[0]


def needs_module() -> Any:
    """Raise where it is made."""
    raise RuntimeError("no weights")


def logits(batch: TensorDictBase) -> TensorDictBase:
    """Two numbers a row, where CartPole's action is one integer."""
    return batch.set("action", torch.zeros(batch.batch_size[0], 2))
