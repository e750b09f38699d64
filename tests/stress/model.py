"""The policy: its action tells which request it is of, and it fails now and then."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Set
from typing import Final

import torch
from tensordict.base import TensorDictBase

_TIMES: Final = 3


def expected(number: int, width: int) -> list[int]:
    """Return the action of the request whose observation is `number`, `width` times."""
    return [number, _TIMES * width * number + 1]


class Planted(BaseException):
    """An error that the model was told to raise; `ids` are its batch's."""

    def __init__(self, ids: torch.Tensor) -> None:
        super().__init__("planted")
        self.ids = frozenset(ids.tolist())


class PlantedValueError(Planted, ValueError):
    """One that is also raised at a request that does not fit."""


class PlantedTimeoutError(Planted, TimeoutError):
    """One that is also raised when a wait runs out."""


class PlantedExit(Planted, SystemExit):
    """One that stops the server."""


class Model:
    """Writes `action` into its batch and notes which ids it saw.

    Args:
        faults: what it may do wrong: value_error, timeout_error, few_rows, exit.
        rate: in what part of the batches.
        rng: decides.

    Threads:
        One at a time, as the server promises.
    """

    FAULTS: Final = frozenset({"value_error", "timeout_error", "few_rows", "exit"})

    def __init__(self, faults: Set[str], rate: float, rng: random.Random) -> None:
        self._faults = sorted(faults & self.FAULTS)
        self._rate = rate
        self._rng = rng
        self.served: list[torch.Tensor] = []
        self.failed: list[torch.Tensor] = []
        self.num_faults: Counter[str] = Counter()

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        observation = batch.get("observation")
        ids = observation[:, 0].clone()
        if self._faults and self._rng.random() < self._rate:
            return self._fail(batch, ids)
        action = torch.stack((ids, observation.sum(1) * _TIMES + 1), 1)
        batch.set("action", action)
        self.served.append(ids)
        return batch

    def _fail(self, batch: TensorDictBase, ids: torch.Tensor) -> TensorDictBase:
        fault = self._rng.choice(self._faults)
        self.num_faults[fault] += 1
        self.failed.append(ids)
        if fault == "value_error":
            raise PlantedValueError(ids)
        if fault == "timeout_error":
            raise PlantedTimeoutError(ids)
        if fault == "exit":
            raise PlantedExit(ids)
        return batch[:-1]
