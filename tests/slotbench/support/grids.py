"""A stored run of a small grid whose every number is known beforehand."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slotbench.compute import histogram
from slotbench.measure import design
from slotbench.records import (
    BASELINE_REPEAT,
    Cell,
    Contender,
    Finding,
    Leaf,
    Load,
    Model,
    Observation,
    OpenLoop,
    RunRecord,
    TrialRecord,
)
from slotbench.store import StoredRun
from tests.slotbench.conftest import build_run, build_trial, build_workload

LABELS = ("threading", "slot", "slot[preallocate]", "torchrl.slot", "floor")
WIGGLE = (0.99, 1.01, 1.0, 0.995, 1.005)
"""What a round does to every trial, so that intervals have a width."""


def contender(label: str, *, baseline: bool = False) -> Contender:
    """A contender whose options are those of its label, flags only; any text is one."""
    text, _, server = label.partition("@")
    name, _, options = text.partition("[")
    flags = {flag: True for flag in options.rstrip("]").split(",") if flag}
    own = {"floor": "none", "torchrl.parallel": "collector"}
    chosen: Any = server or own.get(name, "reference")
    return Contender(label, name, dict(flags), chosen, baseline=baseline)


def cell(
    slots: int = 8, latency_ms: float = 0.0, shape: tuple[int, ...] = (8,), **axes: Any
) -> Cell:
    """A cell of the axes num_slots and model.latency_ms, and others by name."""
    workload = dataclasses.replace(
        build_workload(slots),
        model=Model("sleep", latency_ms),
        observation=Observation((Leaf("observation", shape, "float32"),)),
    )
    where = {"num_slots": slots, "model.latency_ms": latency_ms, **axes}
    name = ", ".join(f"{key}={value}" for key, value in where.items())
    return Cell(name, where, workload)


def stored(
    rates: Mapping[tuple[str, str], float],
    cells: Sequence[Cell],
    *,
    rounds: int = 5,
    labels: Sequence[str] = LABELS,
    noise: float = 1.0,
    findings: Mapping[tuple[str, str], Finding] | None = None,
    **changes: Any,
) -> StoredRun:
    """A run as if it had been read.

    Args:
        rates: (cell's name, label) → requests per second; missing pairs have no trials.
        cells: of the grid.
        rounds: blocks per cell.
        labels: of the contenders; the first is the baseline.
        noise: exponent of `WIGGLE`, differently for each contender; 0 is none at all.
        findings: (cell's name, label) → what a rule said of its first trial.
        **changes: of the run's record.
    """
    run = build_run(labels, cells=cells, rounds=rounds)
    scenario = dataclasses.replace(
        run.scenario,
        contenders=tuple(contender(x, baseline=x == labels[0]) for x in labels),
    )
    run = dataclasses.replace(run, scenario=scenario)
    run = dataclasses.replace(
        run,
        design=design.draw(run.scenario),
        environment={
            "cpu_model_name": "x86 <fast>",
            "cpu_count": 2,
            "python_version": "3.11",
        },
        **changes,
    )
    trials = [
        trial
        for number in range(rounds)
        for place in cells
        for trial in _block(run, place, number, rates, noise, findings or {})
    ]
    return StoredRun(Path("results") / run.run_id, run, tuple(trials))


def _block(
    run: RunRecord,
    place: Cell,
    number: int,
    rates: Mapping[tuple[str, str], float],
    noise: float,
    findings: Mapping[tuple[str, str], Finding],
) -> list[TrialRecord]:
    made = []
    for order, who in enumerate(run.scenario.contenders):
        rate = rates.get((place.name, who.label))
        if rate is None:
            continue
        for arm in (0, BASELINE_REPEAT) if who.baseline else (0,):
            wiggle = (
                WIGGLE[(number * (1 + order % 4) + order + 2 * arm) % len(WIGGLE)] ** noise
            )
            found = findings.get((place.name, who.label))
            made.append(
                build_trial(
                    who.label,
                    rate * wiggle,
                    cell=place.name,
                    round=number,
                    arm=arm,
                    findings=[found] if found and number == 0 and arm == 0 else [],
                    **_details(place, rate * wiggle),
                )
            )
    return made


def _details(place: Cell, rate: float) -> dict[str, Any]:
    slots = place.workload.num_slots
    latencies_ns = np.linspace(0.5, 2.0, 1000) * slots / (rate or 1.0) * 1e9
    return {
        "latency": histogram.count(latencies_ns.astype(np.int64)),
        "batch_sizes": ((1, 10), (slots, 30)) if slots > 1 else ((1, 40),),
        "replies_per_actor": (90, *[100] * (slots - 2), 110) if slots > 1 else (100,),
    }


def small_grid(**changes: Any) -> StoredRun:
    """Two by two cells: slot is twice threading without latency, 1.2 times with it.

    Preallocation costs a tenth, TorchRL's slot is at a half, the floor at four times.
    """
    cells = [cell(slots, ms) for slots in (4, 64) for ms in (0.0, 1.0)]
    shares = {"threading": 1.0, "slot[preallocate]": 0.9, "torchrl.slot": 0.5, "floor": 4.0}
    rates = {}
    for place in cells:
        base = 1000.0 * place.workload.num_slots**0.5
        lead = 2.0 if place.workload.model.latency_ms == 0 else 1.2
        for label, share in shares.items():
            rates[place.name, label] = base * share
        rates[place.name, "slot"] = base * lead
        rates[place.name, "slot[preallocate]"] = base * lead * 0.9
    return stored(rates, cells, **changes)


OVERLOAD = Finding("overload", "warning", "the backlog grows", "lower the load")


def open_cell(per_actor_per_s: float, slots: int = 10, **axes: Any) -> Cell:
    """A cell of an open loop, of the axis load.per_actor_per_s and others by name."""
    made = cell(slots, 1.0)
    load = Load("poisson", per_actor_per_s)
    where = {"load.per_actor_per_s": per_actor_per_s, **axes}
    name = ", ".join(f"{key}={value}" for key, value in where.items())
    return Cell(name, where, dataclasses.replace(made.workload, load=load))


def opened(run: StoredRun) -> StoredRun:
    """The same with an open loop's numbers in the trials of its cells that are one.

    What is not served was never submitted; calls take 1 ms at p50 and 2 ms at p99, latencies 1.5 ms
    and 4 ms, tenfold where less is served than offered.
    """
    loads = {
        c.name: c.workload.load.per_actor_per_s * c.workload.num_slots
        for c in run.run.scenario.cells
        if c.workload.load.is_open
    }
    return dataclasses.replace(
        run, trials=tuple(_opened(trial, loads.get(trial.cell)) for trial in run.trials)
    )


def _opened(trial: TrialRecord, offered_per_s: float | None) -> TrialRecord:
    measured = trial.measurement
    if measured is None or offered_per_s is None:
        return trial
    due = round(offered_per_s * measured.window_s)
    is_behind = measured.num_replies < 0.9 * due
    scale = WIGGLE[trial.round % len(WIGGLE)] * (10 if is_behind else 1)
    of = OpenLoop(
        num_intended=due,
        num_unanswered=max(0, due - measured.num_replies) if is_behind else 0,
        call_p50_s=1e-3,
        call_p99_s=2e-3,
        late_mean_s=2e-5,
        late_p99_s=6e-5,
        late=histogram.count(np.full(100, 20_000)),
        free_p50_s=1.5e-3 * scale,
        free_p99_s=4e-3 * scale,
    )
    measured = dataclasses.replace(
        measured, latency_p50_s=1.5e-3 * scale, latency_p99_s=4e-3 * scale, open_loop=of
    )
    findings = (*trial.findings, OVERLOAD) if is_behind else trial.findings
    return dataclasses.replace(trial, measurement=measured, findings=findings)


def open_grid(labels: Sequence[str] = LABELS, **axes: Any) -> StoredRun:
    """Three loads, 1 000, 10 000 and 100 000 a second; threading serves 20 000 at most, slot twice that.

    Args:
        labels: of the contenders.
        **axes: a further axis and its values: cells of every combination.
    """
    ((name, values),) = axes.items() or [("", [None])]
    cells = [
        open_cell(rate, **({name: value} if name else {}))
        for value in values
        for rate in (100.0, 1000.0, 10_000.0)
    ]
    rates = {}
    for place in cells:
        offered = 10 * place.workload.load.per_actor_per_s
        for label in labels:
            rates[place.name, label] = min(
                offered, 20_000.0 if label == labels[0] else 40_000.0
            )
    return opened(stored(rates, cells, labels=labels, noise=0))
