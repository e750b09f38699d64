"""A diagnosis whose every number is known beforehand."""

from typing import Any

from slotbench.diagnostics import noise
from slotbench.records import (
    DIAGNOSIS_SCHEMA_VERSION,
    Advice,
    Diagnosis,
    NoiseFloor,
    Primitive,
    PrimitiveRun,
    RecorderCosts,
    ServerCost,
    Timers,
    TrialRecord,
    Wait,
)
from tests.slotbench.conftest import build_run, build_trials

CELL = "num_slots=8"
FIRST = (1000.0, 1010.0, 990.0, 1020.0, 1005.0)
SECOND = (1010.0, 1000.0, 1000.0, 1000.0, 1030.0)


def trials(**changes: Any) -> list[TrialRecord]:
    """Five blocks of slot against itself."""
    return build_trials({"slot": FIRST}, repeat=SECOND, **changes)


def floor(made: list[TrialRecord] | None = None) -> NoiseFloor:
    """What `noise.judge` says of them."""
    return noise.judge(build_run(("slot",)), trials() if made is None else made, 5)


def run(time_s: float, *, loops: int = 1000) -> PrimitiveRun:
    """A process with three values around this one."""
    return PrimitiveRun(
        loops=loops,
        warmup_s=2 * time_s,
        values_s=(0.9 * time_s, time_s, 1.3 * time_s),
        cpu_s=time_s / 2,
        voluntary=2.25,
        involuntary=0.5,
    )


def diagnosis(**changes: Any) -> Diagnosis:
    """The whole; keywords replace its fields."""
    found = floor()
    fields: dict[str, Any] = {
        "schema_version": DIAGNOSIS_SCHEMA_VERSION,
        "created_at": "2026-11-28T10:00:00+00:00",
        "is_quick": False,
        "environment": {
            "cpu_model_name": "A <CPU>",
            "cpu_affinity_count": 2,
            "python_version": "3.11.7 (64-bit)",
            "torch_version": "2.13.0+cpu",
            "slotbench_version": "0.1.0",
        },
        "timers": Timers(
            "clock_gettime(CLOCK_MONOTONIC)",
            1e-9,
            3e-8,
            2.5e-8,
            (Wait("sleep", 0.001, 100, 8e-5, None),),
        ),
        "noise": found,
        "resolvable": noise.resolvable(found),
        "recorder": RecorderCosts(4e-7, 1.4e-6, 8, (ServerCost("slot", 4e-6, 6e-6),)),
        "primitives": (
            Primitive("hand-over: raw lock", "hand-over", "o", (run(6e-6), run(24e-6))),
            Primitive("stack, 64 rows of 8 floats", "small rows", "s", (run(1e-5),) * 2),
            Primitive("stack, 64 rows of 28 kB", "large rows", "l", (run(1e-4),) * 2),
        ),
        "advice": (Advice("load", "<busy>", "it <matters>", "wait & see"),),
        "command": ("slotbench", "doctor"),
        "total_s": 93.0,
    }
    return Diagnosis(**(fields | changes))
