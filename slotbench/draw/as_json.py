"""The comparison as JSON: full precision, every row, every problem.

Fields that hold a metric's number (``value``) have its ``unit`` beside them; all others
named ``…_ratio`` are ratios. ``noise_floor_ratio`` and ``threshold_ratio`` are
differences from 1 (0.03 is 3 %). null stands for what is missing and for an interval's
end that is not finite.

History of the format (``schema_version``):

1. First version.
"""

import dataclasses
import json
import math
from typing import Any, Final

from slotbench.compute import metrics
from slotbench.compute.comparison import Comparison, ComparisonRow
from slotbench.draw.opening import opening
from slotbench.draw.screen import PAPER, Screen

SCHEMA: Final = "slotbench.comparison"
SCHEMA_VERSION: Final = 1


def render(comparison: Comparison, screen: Screen = PAPER) -> str:
    """JSON text; the screen is ignored."""
    del screen
    return json.dumps(document(comparison), indent=2, ensure_ascii=False, allow_nan=False)


def document(comparison: Comparison) -> dict[str, Any]:
    """The same as plain lists and dictionaries."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "run_id": comparison.run_id,
        "title": comparison.title,
        "question": comparison.question,
        "opening": opening(comparison),
        "status": comparison.status,
        "num_rounds": comparison.num_rounds,
        "num_trials_planned": comparison.num_planned,
        "num_trials_recorded": comparison.num_recorded,
        "baseline": comparison.baseline,
        "threshold_ratio": comparison.threshold,
        "confidence": comparison.confidence,
        "cells": [
            {"name": cell.name, "coordinates": dict(cell.coordinates)}
            for cell in comparison.cells
        ],
        "contenders": [c.label for c in comparison.contenders],
        "skipped": [dataclasses.asdict(skipped) for skipped in comparison.skipped],
        "rows": [row_fields(row) for row in comparison.rows],
        "problems": [dataclasses.asdict(problem) for problem in comparison.problems],
    }


def row_fields(row: ComparisonRow) -> dict[str, Any]:
    """One row, flat; the columns of the CSV format too."""
    metric = metrics.get(row.metric)
    ratio = row.ratio
    return {
        "cell": row.cell,
        "contender": row.contender,
        "is_baseline": row.is_baseline,
        "is_floor": row.is_floor,
        "metric": row.metric,
        "unit": metric.unit,
        "better": metric.better,
        "value": _finite(row.value),
        "num_trials": row.num_trials,
        "mean_batch_size_rows": _finite(row.mean_batch_size),
        "ratio": None if ratio is None else _finite(ratio.point),
        "low_ratio": None if ratio is None else _finite(ratio.low),
        "high_ratio": None if ratio is None else _finite(ratio.high),
        "num_pairs": 0 if ratio is None else ratio.num_pairs,
        "log_ratio_sd": None if ratio is None else _finite(ratio.log_sd),
        "verdict": row.verdict,
        "num_more_blocks": row.more_blocks,
        "noise_floor_ratio": _finite(row.noise_floor),
        "can_resolve": row.can_resolve,
        "num_invalid": row.num_invalid,
        "num_failed": row.num_failed,
    }


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else number
