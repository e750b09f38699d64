"""Predictions built from numbers, nothing simulated."""

import dataclasses
from typing import Any

from slotbench.records import (
    PREDICTION_SCHEMA_VERSION,
    CheckedPrediction,
    CheckedRun,
    Leaf,
    PredictedRow,
    PredictionCheck,
    WhatIf,
)

RUN_ID = "20261129T000000Z-small-000000"


def row(**changes: Any) -> PredictedRow:
    """64 environments of 5 ms and a policy of 20, at 1 000 requests a second of 2 000."""
    plain = PredictedRow(
        num_envs=64,
        step_ms=5.0,
        step_distribution="lognormal",
        step_sigma=0.3,
        step_mode="idle",
        reset_every=0,
        reset_ms=0.0,
        policy_ms=20.0,
        policy_per_item_ms=0.1,
        policy_distribution="constant",
        policy_sigma=0.0,
        min_batch_size=1,
        is_balanced=False,
        max_batch_size=64,
        timeout_ms=10.0,
        num_servers=1,
        queues="shared",
        transport="none",
        per_s=1000.0,
        low=None,
        high=None,
        mean_batch_size=32.0,
        latency_p50_s=0.030,
        latency_p99_s=0.045,
        busy_ratio=0.9,
        timeout_ratio=0.0,
        bound_per_s=2000.0,
        limit="policy",
        is_fast_enough=True,
        num_requests=30_000,
    )
    return dataclasses.replace(plain, **changes)


def what_if(*rows: PredictedRow, **changes: Any) -> WhatIf:
    """These rows, the first of which is best."""
    plain = WhatIf(
        schema_version=PREDICTION_SCHEMA_VERSION,
        created_at="2026-11-29T00:00:00+00:00",
        command=("slotbench", "predict"),
        run="",
        cell="",
        leaves=(Leaf("observation", (8,), "float32"),),
        num_cpus=None,
        pace=1.5,
        is_pace_known=False,
        max_latency_s=None,
        axes=(),
        rows=rows or (row(),),
        best=(0,),
    )
    return dataclasses.replace(plain, **changes)


def checked(ratio: float = 1.0, **changes: Any) -> CheckedPrediction:
    """A prediction of slot in one cell; measured were 100 requests a second."""
    plain = CheckedPrediction(
        run=RUN_ID,
        cell="all",
        contender="slot",
        num_slots=8,
        regime="policy",
        is_calibrated=True,
        predicted_per_s=100.0 * ratio,
        measured_per_s=100.0,
        ratio=ratio,
        ratio_low=0.9 * ratio,
        ratio_high=1.1 * ratio,
        predicted_batch_size=4.0,
        measured_batch_size=5.0,
        predicted_latency_p50_s=1e-3,
        measured_latency_p50_s=2e-3,
        predicted_latency_p99_s=3e-3,
        measured_latency_p99_s=None,
    )
    return dataclasses.replace(plain, **changes)


def check(*rows: CheckedPrediction, **changes: Any) -> PredictionCheck:
    """These rows, of one run."""
    run = CheckedRun(
        "small", RUN_ID, is_held_out=False, pace=1.0, is_pace_known=True, num_left_out=0
    )
    plain = PredictionCheck(
        schema_version=PREDICTION_SCHEMA_VERSION,
        created_at="2026-11-29T00:00:00+00:00",
        command=("slotbench", "predict", "small", "--check"),
        margin=0.2,
        runs=(run,),
        rows=rows or (checked(),),
    )
    return dataclasses.replace(plain, **changes)
