"""Stored runs of a real cell and its twins, whose every number is known."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from slotbench.records import Cell, GymEnvironment, Model, Observation, ThinkTime
from slotbench.store import StoredRun
from tests.slotbench.support import grids

CONTENDERS = ("threading", "slot", "torchrl.slot")
NETWORK = Model("mlp", hidden=(16,), num_outputs=2)


def real(slots: int = 8, **changes: Any) -> Cell:
    """A cell that steps CartPole."""
    made = grids.cell(slots)
    fields = {
        "environment": GymEnvironment("CartPole-v1"),
        "observation": Observation(()),
        "model": NETWORK,
        **changes,
    }
    workload = dataclasses.replace(made.workload, **fields)
    where = {"num_slots": slots, "environment.id": "CartPole-v1"}
    return Cell(f"real {slots}", where, workload)


def twin(slots: int = 8, *, mean_ms: float = 0.5, **changes: Any) -> Cell:
    """A cell that thinks instead."""
    made = grids.cell(slots)
    think = ThinkTime("lognormal", mean_ms, 0.3, "busy")
    fields = {"think_time": think, "model": NETWORK, **changes}
    workload = dataclasses.replace(made.workload, **fields)
    where = {"num_slots": slots, "think_time.mean_ms": mean_ms}
    return Cell(f"twin {slots} of {mean_ms}", where, workload)


def stored(
    cells: Sequence[Cell], rates: Mapping[str, Sequence[float]], **options: Any
) -> StoredRun:
    """A run of `CONTENDERS` with these rates: cell's name → requests per second of each."""
    by_place = {
        (cell.name, label): rate
        for cell in cells
        for label, rate in zip(CONTENDERS, rates[cell.name], strict=True)
    }
    return grids.stored(by_place, cells, labels=CONTENDERS, **options)


def pair(**options: Any) -> StoredRun:
    """One pair, of which threading is predicted, slot is not, and torchrl.slot is ranked otherwise."""
    cells = [real(), twin()]
    rates = {
        cells[0].name: (1000.0, 2000.0, 500.0),
        cells[1].name: (1050.0, 3000.0, 1300.0),
    }
    return stored(cells, rates, **options)
