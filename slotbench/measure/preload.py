"""Importing this makes a process ready to fork trials: all imports, first calls done.

torch and tensordict do some of their work on first use (registering, compiling, caching);
done here, once, it is not done again in every trial. Starts no thread.
"""

import importlib
from typing import Any

import torch
from tensordict import TensorDict, lazy_stack, maybe_dense_stack

import transports


def _first_calls() -> None:
    torch.set_num_threads(1)
    rows = [
        TensorDict({"observation": torch.rand(8), "nested": {"leaf": torch.rand(2)}})
        for _ in range(2)
    ]
    collates: tuple[Any, ...] = (lazy_stack, maybe_dense_stack, torch.stack)
    with torch.no_grad():
        for collate in collates:
            batch = collate(rows)
            batch.set(
                "action", batch.get("observation").flatten(1)[:, :1].repeat(1, 4).clone()
            )
            for row in batch.unbind(0):
                row.copy().get("action")
        torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh())(
            torch.rand(2, 8)
        ).argmax(-1)


for _name in transports.available():
    transports.create(_name, 1)
for _name in (
    "slotbench.measure.trial",
    "slotbench.measure.calibration",
    "transports._server",
):
    importlib.import_module(_name)
_first_calls()
