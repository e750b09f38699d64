"""Runs of one scenario, one after the other, whose every number is known."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slotbench.records import Cell, Scalar
from slotbench.store import RunFolder, StoredRun
from tests.slotbench.support import grids

MACHINE: Mapping[str, Scalar] = {
    "cpu_model_name": "Quick CPU",
    "cpu_affinity_count": 2,
    "python_version": "3.11.7",
    "torch_version": "2.13.0",
}
SCATTER = (1.0, 1.004, 0.997, 1.002, 0.999, 1.003, 0.996, 1.001)
"""What being another run does to a ratio."""
LABELS = ("threading", "slot", "floor")


def run(
    number: int,
    ratio: float,
    *,
    cell: Cell | None = None,
    environment: Mapping[str, Scalar] | None = None,
    baseline_per_s: float = 1000.0,
    labels: Sequence[str] = LABELS,
    name: str = "synthetic",
    **changes: Any,
) -> StoredRun:
    """Run ``number`` of a history: slot is so many times threading, give or take the scatter of runs."""
    place = grids.cell() if cell is None else cell
    of_run = SCATTER[number % len(SCATTER)]
    rates = {
        (place.name, labels[0]): baseline_per_s,
        (place.name, labels[1]): baseline_per_s * ratio * of_run,
        (place.name, "floor"): 5 * baseline_per_s,
    }
    made = grids.stored(rates, [place], labels=labels, noise=0.4)
    scenario = dataclasses.replace(made.run.scenario, name=name)
    facts = {
        **MACHINE,
        **(environment or {}),
        "git_commit": f"{number:040x}",
        "git_dirty": False,
    }
    facts = {fact: value for fact, value in facts.items() if value != ""}
    record = dataclasses.replace(
        made.run,
        run_id=f"202501{number + 1:02d}T030405Z-{name}-{number:06x}",
        created_at=f"2025-01-{number + 1:02d}T03:04:05+00:00",
        scenario=scenario,
        environment=facts,
        **changes,
    )
    return dataclasses.replace(made, run=record, path=Path("results") / record.run_id)


def runs(ratios: Sequence[float], **options: Any) -> list[StoredRun]:
    """A run a ratio, in this order."""
    return [run(number, ratio, **options) for number, ratio in enumerate(ratios)]


def write(results: Path, stored: StoredRun) -> Path:
    """Store a run in a results folder."""
    with RunFolder.create(results, stored.run) as folder:
        for trial in stored.trials:
            folder.append(trial)
    return folder.path
