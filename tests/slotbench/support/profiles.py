"""A stored profile whose every number is known beforehand."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slotbench.compute.phases import PHASES
from slotbench.records import (
    PASSES,
    PROFILE_SCHEMA_VERSION,
    Cell,
    LockUse,
    Phase,
    Phases,
    ProfileRecord,
    ProfileTrial,
    ToolFinding,
)
from slotbench.store import StoredProfile
from tests.slotbench.conftest import build_trial
from tests.slotbench.support import grids

WIGGLE = (1.0, 1.02, 0.98, 1.01, 0.99)
"""What a round does to every number, so that intervals have a width."""

US = 1e-6

# Microseconds of the phases, in order, by contender.
TIMES_US: Mapping[str, tuple[float, ...]] = {
    "threading": (14.0, 555.0, 0.0, 31.0, 17.0, 381.0, 84.0, 400.0, 678.0),
    "slot": (7.0, 4.0, 196.0, 65.0, 13.0, 76.0, 25.0, 113.0, 281.0),
    "torchrl.slot[collate=lazy_stack]": (
        3.5,
        445.0,
        0.0,
        3.0,
        7.0,
        446.0,
        192.0,
        136.0,
        559.0,
    ),
    "floor": (1.2, 1.7, 0.0, 96.0, 5.0, 1.5, 1.7, 35.0, 191.0),
}
LABELS = tuple(TIMES_US)

# Rows of the ledger, by pass, by contender.
COUNTS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "plain": {
        "threading": {"switches_voluntary": 5.5, "switches_involuntary": 0.2, "cpu_actors_s": 40 * US, "cpu_server_s": 45 * US, "cpu_others_s": 0.0, "run_queue_s": 30 * US},
        "slot": {"switches_voluntary": 1.6, "switches_involuntary": 0.05, "cpu_actors_s": 22 * US, "cpu_server_s": 18 * US, "cpu_others_s": 0.0, "run_queue_s": 9 * US},
        "torchrl.slot[collate=lazy_stack]": {"switches_voluntary": 7.0, "switches_involuntary": 0.3, "cpu_actors_s": 38 * US, "cpu_server_s": 50 * US, "cpu_others_s": 0.0, "run_queue_s": 31 * US},
        "floor": {"switches_voluntary": 2.5, "switches_involuntary": 0.1, "cpu_actors_s": 6 * US, "cpu_server_s": 4 * US, "cpu_others_s": 0.0, "run_queue_s": 3 * US},
    },
    "locks": {
        "threading": {"shared_locks_submit": 1.0, "shared_locks_drain": 0.14, "lock_acquisitions": 9.2, "lock_waits": 1.3, "shared_lock_wait_s": 2 * US, "locks_made": 3.1},
        "slot": {"shared_locks_submit": 0.0, "shared_locks_drain": 0.0, "lock_acquisitions": 1.1, "lock_waits": 1.05, "shared_lock_wait_s": 0.0, "locks_made": 0.0},
        "torchrl.slot[collate=lazy_stack]": {"shared_locks_submit": 1.0, "shared_locks_drain": 0.0, "lock_acquisitions": 8.4, "lock_waits": 1.2, "shared_lock_wait_s": 6 * US, "locks_made": 1.1},
        "floor": {"shared_locks_submit": 0.0, "shared_locks_drain": 0.0, "lock_acquisitions": 1.1, "lock_waits": 1.05, "shared_lock_wait_s": 0.0, "locks_made": 0.0},
    },
    "operations": {
        "threading": {"events_made": 0.0, "conditions_made": 1.0, "futures_made": 1.0, "handles_made": 0.0, "blocks_in_flight": 14.0, "bytes_in_flight": 1400.0, "tensors_made": 0.5, "tensor_bytes": 96.0, "copies": 0.4, "copied_bytes": 80.0, "torch_calls_actors": 0.0, "torch_calls_server": 0.9},
        "slot": {"events_made": 0.0, "conditions_made": 0.0, "futures_made": 0.0, "handles_made": 0.0, "blocks_in_flight": 4.0, "bytes_in_flight": 420.0, "tensors_made": 0.25, "tensor_bytes": 96.0, "copies": 0.2, "copied_bytes": 80.0, "torch_calls_actors": 0.0, "torch_calls_server": 0.5},
        "torchrl.slot[collate=lazy_stack]": {"events_made": 0.0, "conditions_made": 0.0, "futures_made": 0.0, "handles_made": 1.0, "blocks_in_flight": 3.0, "bytes_in_flight": 300.0, "tensors_made": 0.4, "tensor_bytes": 90.0, "copies": 0.3, "copied_bytes": 70.0, "torch_calls_actors": 0.0, "torch_calls_server": 1.4},
        "floor": {},
    },
    "gil": {
        "threading": {"gil_wanted": 0.71, "gil_waiters": 1.4},
        "slot": {"gil_wanted": 0.38, "gil_waiters": 0.45},
        "torchrl.slot[collate=lazy_stack]": {"gil_wanted": 0.74, "gil_waiters": 1.5},
        "floor": {"gil_wanted": 0.3, "gil_waiters": 0.3},
    },
}  # fmt: skip

PRICES_S = {
    "lock_acquisitions": 0.08 * US,
    "locks_made": 0.06 * US,
    "events_made": 1.1 * US,
    "conditions_made": 0.9 * US,
    "futures_made": 1.5 * US,
    "torch_calls_server": 1.6 * US,
    "torch_calls_actors": 1.6 * US,
    "switches_voluntary": 5.0 * US,
}

LOCKS = {
    "threading": (
        LockUse("shared_queue.py:142 ThreadingTransport.__init__", "mutex", 1, True, {"submit": 1.0, "wait": 0.2, "drain": 0.14}, 0.02, 2 * US),
        LockUse("shared_queue.py:60 ReplyFuture.__init__", "mutex", 1000, False, {"receive": 3.0, "resolve": 1.0}, 0.01, 0.0),
    ),
    "slot": (LockUse("slot.py:650 _shut_lock", "signal", 17, False, {"receive": 1.0}, 1.0, 500 * US),),
    "torchrl.slot[collate=lazy_stack]": (
        LockUse("_slot.py:151 SlotTransport.__init__", "mutex", 1, True, {"submit": 1.0, "wait": 0.14}, 0.1, 6 * US),
    ),
    "floor": (),
}  # fmt: skip


def stored(
    cells: Sequence[Cell] | None = None,
    *,
    labels: Sequence[str] = LABELS,
    rounds: int = 3,
    path: Path = Path("results/20261128T000000Z-quickstart-profile-abc123"),
    tools: Sequence[ToolFinding] = (),
    **changes: Any,
) -> StoredProfile:
    """A profile as if it had been read; every cell has the same numbers.

    Args:
        cells: of the grid; two by default.
        labels: of the contenders, of `LABELS`; the first is the baseline.
        rounds: of every pass.
        path: of the folder.
        tools: what optional profilers gave.
        **changes: of the profile's record.
    """
    cells = [grids.cell(16), grids.cell(16, 1.0)] if cells is None else cells
    scenario = dataclasses.replace(
        grids.stored({}, cells, labels=labels).run.scenario, name="quickstart"
    )
    run = grids.stored({}, cells, labels=labels).run
    trials = [
        _one(cell, label, pass_name, index)
        for index in range(rounds)
        for cell in cells
        for label in labels
        for pass_name in PASSES
    ]
    profile = ProfileRecord(
        schema_version=PROFILE_SCHEMA_VERSION,
        profile_id=path.name,
        created_at="2026-11-28T00:00:00+00:00",
        status="complete",
        scenario=scenario,
        scenario_sha256=run.scenario_sha256,
        skipped=(),
        rounds=rounds,
        seed=1,
        num_trials=len(trials),
        environment=run.environment,
        command=("slotbench", "profile", "quickstart"),
        timelines=("timeline-1.json",),
        tools=tuple(tools),
        total_s=100.0,
    )
    profile = dataclasses.replace(profile, **changes)
    return StoredProfile(path, profile, tuple(trials))


def _one(cell: Cell, label: str, pass_name: Any, index: int) -> ProfileTrial:
    wiggle = WIGGLE[index % len(WIGGLE)]
    trip_s = sum(TIMES_US[label]) * US
    rate = cell.workload.num_slots / trip_s / wiggle
    if pass_name != "plain":
        rate *= 0.95
    trial = dataclasses.replace(
        build_trial(label, rate, cell=cell.name, round=index),
        trial_id=f"{pass_name}-r{index}-{cell.name}-{label}",
    )
    if pass_name == "phases":
        found = phases(label, wiggle)
        assert trial.measurement is not None
        measured = dataclasses.replace(
            trial.measurement, latency_mean_s=found.round_trip.mean_s
        )
        trial = dataclasses.replace(trial, measurement=measured)
        return ProfileTrial(pass_name, trial, phases=found)
    counts = {
        name: value * wiggle for name, value in COUNTS[pass_name].get(label, {}).items()
    }
    return ProfileTrial(
        pass_name,
        trial,
        counts=counts,
        prices_s=PRICES_S if pass_name == "locks" else None,
        locks=LOCKS[label] if pass_name == "locks" else (),
    )


def phases(label: str, wiggle: float = 1.0) -> Phases:
    """The phases of `TIMES_US`."""
    times = [value * US * wiggle for value in TIMES_US[label]]
    whole = sum(times)
    return Phases(
        num_requests=5000,
        num_unseen=0,
        num_out_of_order=0,
        max_error_s=0.0,
        round_trip=Phase("round trip", whole, whole, 2 * whole),
        phases=tuple(
            Phase(name, value, value, 2 * value)
            for name, value in zip(PHASES, times, strict=True)
        ),
        is_write_seen=True,
    )
