"""Stored runs whose throughput follows a law of scaling that is known."""

from collections.abc import Mapping, Sequence
from typing import Any

from slotbench.records import Cell
from slotbench.store import StoredRun
from tests.slotbench.support import grids

SLOTS = (1, 4, 16, 64)
LABELS = ("threading", "slot", "floor")
CONSTANTS = {
    "threading": (1000.0, 0.30, 1e-3),
    "slot": (1200.0, 0.05, 1e-4),
    "floor": (4000.0, 0.02, 0.0),
}
"""Contender → λ, σ, κ."""


def throughput(slots: int, rate: float, contention: float, coherency: float) -> float:
    """The law as its author writes it."""
    return rate * slots / (1.0 + contention * (slots - 1) + coherency * slots * (slots - 1))


def ladder(
    slots: Sequence[int] = SLOTS,
    constants: Mapping[str, tuple[float, float, float]] = CONSTANTS,
    *,
    latencies_ms: Sequence[float] = (0.0,),
    **options: Any,
) -> StoredRun:
    """A run of these slot counts and policy latencies; options are `grids.stored`'s."""
    cells: list[Cell] = [grids.cell(n, ms) for n in slots for ms in latencies_ms]
    rates = {
        (cell.name, label): throughput(cell.workload.num_slots, *constants[label])
        for cell in cells
        for label in constants
    }
    return grids.stored(rates, cells, labels=tuple(constants), **options)
