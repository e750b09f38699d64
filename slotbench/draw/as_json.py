"""The comparison as JSON: full precision, every row, every problem.

Fields that hold a metric's number (``value``) have its ``unit`` beside them; all others
named ``…_ratio`` are ratios. ``noise_floor_ratio`` and ``threshold_ratio`` are
differences from 1 (0.03 is 3 %). null stands for what is missing and for an interval's
end that is not finite.

Of two runs ("kind" is "two_runs") ``ratio`` is head over base and ``value`` is head's; each
row has what either run says by itself as ``base_…`` and ``head_…``, where ``…_ratio`` is over
that run's own baseline.

``p_worse`` is the one-sided p-value of "not worse than the threshold", ``p_worse_holm`` the same
among all gated rows; both, and ``gate_outcome``, are null for rows that are not gated.

History of the format (``schema_version``):

1. First version.
2. ``kind``, ``thresholds_ratio``, ``command``, ``commit`` and ``gate``; of a row
   ``threshold_ratio``, ``log_ratio_se``, ``degrees_of_freedom``, ``p_worse``,
   ``p_worse_holm`` and ``gate_outcome``. Two runs: no ``run_id``, ``status``,
   ``num_rounds``, ``num_trials_…``, ``skipped``, ``problems``, ``command`` and ``commit``
   but in ``base`` and ``head``.
3. ``resumptions`` of a run, and ``missing`` of a gate, whose ``result`` may be "missing data".
   Between two runs ``noise_floor_ratio`` and ``can_resolve`` are of the difference of both.
4. ``losses``, a row per cell and contender: null where it was not asked where throughput went.
5. ``twins``, a row per real cell, twin and contender: null where it was not asked, or there are none.
6. ``loads``, a row per cell of an open loop and contender: null where there is none. ``scalability``: ``laws``, one per row
   of cells and contender, and what is ``missing``; null where it was not asked. ``sequential`` of a run: how a run
   until decided was planned and ended; null of any other, whose ``confidence`` is 0.95. Of a run that looked more than
   once ``confidence`` is that of each interval, and p-values are those of all looks.
7. ``nodes`` of a run: those of the cluster that it was measured on; empty of one machine.
8. ``interpreters``, a row per cell, contender that ran in several interpreters, interpreter and metric: null where there is
   none. Its ratio is over the same contender in ``first_python``, which is the ``is_baseline`` of these rows.
"""

import dataclasses
import json
import math
from typing import Any, Final

from slotbench.compute import loads, losses, metrics, scalability, twins
from slotbench.compute.between import Compared, TwoRuns
from slotbench.compute.comparison import Comparison, ComparisonRow
from slotbench.compute.gates import Gate, GatedRow
from slotbench.compute.interpreters import InterpreterRow
from slotbench.compute.nodes import Share
from slotbench.draw.gate_line import gate_line
from slotbench.draw.opening import opening
from slotbench.draw.screen import PAPER, Screen

SCHEMA: Final = "slotbench.comparison"
SCHEMA_VERSION: Final = 8


def render(compared: Compared, screen: Screen = PAPER, gate: Gate | None = None) -> str:
    """JSON text; the screen is ignored."""
    del screen
    found = document(compared, gate)
    return json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)


def document(compared: Compared, gate: Gate | None = None) -> dict[str, Any]:
    """The same as plain lists and dictionaries."""
    head = compared.head if isinstance(compared, TwoRuns) else compared
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "kind": "two_runs" if isinstance(compared, TwoRuns) else "run",
        **_about(compared),
        "title": head.title,
        "question": head.question,
        "opening": opening(compared),
        "baseline": compared.baseline,
        "threshold_ratio": compared.threshold,
        "thresholds_ratio": dict(compared.thresholds),
        "confidence": compared.confidence,
        "cells": [
            {"name": cell.name, "coordinates": dict(cell.coordinates)}
            for cell in compared.cells
        ],
        "contenders": [c.label for c in compared.contenders],
        "rows": row_fields(compared, gate),
        "losses": [losses.flat(loss) for loss in _asked(compared, "losses")] or None,
        "twins": [twins.flat(said) for said in _asked(compared, "twins")] or None,
        "loads": [loads.flat(point) for point in _asked(compared, "loads")] or None,
        "interpreters": [_interpreter(found) for found in _asked(compared, "interpreters")]
        or None,
        "scalability": _scalability(compared),
        "gate": None if gate is None else _gate(gate),
    }


def row_fields(compared: Compared, gate: Gate | None = None) -> list[dict[str, Any]]:
    """Every row, flat; the columns of the CSV format too."""
    gated = {} if gate is None else {_place(found.row): found for found in gate.rows}
    return [_fields(row) | _judged(gated.get(_place(row))) for row in compared.rows]


def _asked(compared: Compared, name: str) -> tuple[Any, ...]:
    """What was asked of one run beside its rows; of two runs nothing is."""
    return () if isinstance(compared, TwoRuns) else getattr(compared, name)


def _scalability(compared: Compared) -> dict[str, Any] | None:
    if isinstance(compared, TwoRuns) or compared.scalability is None:
        return None
    found = compared.scalability
    return {
        "laws": [scalability.flat(law) for law in found.laws],
        "missing": list(found.missing),
    }


def _interpreter(found: InterpreterRow) -> dict[str, Any]:
    return {
        "bare_label": found.bare_label,
        "python": found.python,
        "first_python": found.first_python,
        **_fields(found.row),
    }


def _about(compared: Compared) -> dict[str, Any]:
    if not isinstance(compared, TwoRuns):
        return _run(compared)
    return {
        "base": _run(compared.base),
        "head": _run(compared.head),
        "is_absolute": compared.is_absolute,
        "differences": [dataclasses.asdict(found) for found in compared.differences],
        "notes": list(compared.notes),
    }


def _run(run: Comparison) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "status": run.status,
        "num_rounds": run.num_rounds,
        "num_trials_planned": run.num_planned,
        "num_trials_recorded": run.num_recorded,
        "command": list(run.command),
        "commit": run.commit or None,
        "sequential": None
        if run.sequential is None
        else dataclasses.asdict(run.sequential),
        "skipped": [dataclasses.asdict(skipped) for skipped in run.skipped],
        "resumptions": [dataclasses.asdict(again) for again in run.resumptions],
        "nodes": [_node(share) for share in run.nodes],
        "problems": [dataclasses.asdict(problem) for problem in run.problems],
    }


def _node(share: Share) -> dict[str, Any]:
    node = share.node
    return {
        "label": node.label,
        "num_cpus": node.num_cpus,
        "num_blocks": share.num_blocks,
        "is_admitted": node.is_admitted,
        "lost": node.lost or None,
        "broken_off": [dataclasses.asdict(one) for one in node.broken_off],
    }


def _gate(gate: Gate) -> dict[str, Any]:
    return {
        "fail_on": list(gate.fail_on),
        "result": gate.result,
        "said": gate_line(gate),
        "num_rows": len(gate.rows),
        "num_failed": sum(gate.failed.values()),
        "num_invalid": sum(gate.invalid.values()),
        "missing": list(gate.missing),
    }


def _fields(row: ComparisonRow) -> dict[str, Any]:
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
        "threshold_ratio": row.threshold,
        **_values(row),
        "num_pairs": 0 if ratio is None else ratio.num_pairs,
        "log_ratio_sd": None if ratio is None else _finite(ratio.log_sd),
        "log_ratio_se": None if ratio is None else _finite(ratio.log_se),
        "degrees_of_freedom": None if ratio is None else ratio.degrees,
        "verdict": row.verdict,
        "num_more_blocks": row.more_blocks,
        "noise_floor_ratio": _finite(row.noise_floor),
        "can_resolve": row.can_resolve,
        "num_invalid": row.num_invalid,
        "num_failed": row.num_failed,
        **_sides(row),
    }


def _sides(row: ComparisonRow) -> dict[str, Any]:
    if row.sides is None:
        return {}
    named = zip(("base", "head"), row.sides, strict=True)
    return {
        f"{name}_{field}": value
        for name, side in named
        for field, value in _values(side).items()
    }


def _values(row: ComparisonRow) -> dict[str, Any]:
    ratio = row.ratio
    return {
        "value": _finite(row.value),
        "num_trials": row.num_trials,
        "mean_batch_size_rows": _finite(row.mean_batch_size),
        "ratio": None if ratio is None else _finite(ratio.point),
        "low_ratio": None if ratio is None else _finite(ratio.low),
        "high_ratio": None if ratio is None else _finite(ratio.high),
    }


def _judged(gated: GatedRow | None) -> dict[str, Any]:
    return {
        "p_worse": None if gated is None else gated.p_worse,
        "p_worse_holm": None if gated is None else gated.p_holm,
        "gate_outcome": None if gated is None else gated.outcome,
    }


def _place(row: ComparisonRow) -> tuple[str, str, str]:
    return row.cell, row.contender, row.metric


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else number
