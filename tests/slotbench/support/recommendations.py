"""Recommendations built from numbers, nothing measured."""

from dataclasses import replace
from typing import Any

from slotbench.compute import transport_costs
from slotbench.records import (
    RECOMMENDATION_SCHEMA_VERSION,
    Batching,
    Choice,
    Leaf,
    Model,
    Observation,
    Race,
    Raced,
    Recommendation,
    ThinkTime,
    Times,
    Window,
    Workload,
)

RULE = Batching(4, 8, 10.0)
RACE = Race(5, 120, 0, 0, 61.0)


def raced(per_s: float, ratio: float | None = None, spread: float = 0.01) -> Raced:
    """Raced at so many a second; its interval is a hundredth to either side."""
    ends = (None, None) if ratio is None else (ratio * (1 - spread), ratio * (1 + spread))
    return Raced(
        *("cell", per_s, per_s * 0.99, per_s * 1.01, 0.0123, 4.0, ratio, *ends),
        *(ratio, *ends),
    )


def choice(contender: str, per_s: float, **changes: Any) -> Choice:
    """A choice under a minimum of 4 of 8, forecast to a fifth."""
    found = Choice(
        contender=contender,
        batching=RULE,
        per_s=per_s,
        low=per_s * 0.8,
        high=per_s * 1.2,
        mean_batch_size=6.0,
        latency_p99_s=0.010,
        limit="policy",
        is_fast_enough=True,
    )
    return replace(found, **changes)


def recommendation(**changes: Any) -> Recommendation:
    """Eight environments of 5 ms and a policy of 2 ms: slot, then threading, then TorchRL's."""
    found = Recommendation(
        schema_version=RECOMMENDATION_SCHEMA_VERSION,
        created_at="2026-11-29T00:00:00+00:00",
        workload=Workload(
            8,
            Observation((Leaf("observation", (8,), "float32"),)),
            ThinkTime("constant", 5.0),
            Model(latency_ms=2.0),
            RULE,
            Window(),
        ),
        max_latency_s=None,
        num_cpus=2,
        pace=1.5,
        is_pace_known=True,
        times=Times(0.005, 0.0, 0.0, 0.002, 0.0, 0.0, "given", "given"),
        balance=3.0,
        bound_per_s=1_250.0,
        chosen=0,
        forecast=0,
        choices=(
            choice("slot", 1000.0),
            choice("threading", 990.0),
            choice("torchrl.slot", 800.0),
        ),
        beside=(),
        errors=transport_costs.load().errors,
        run="",
        scenario='title = "x"\n',
        notes=(),
        command=("slotbench", "advise", "--num-envs", "8"),
    )
    return replace(found, **changes)
