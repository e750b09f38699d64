"""A profile as JSON: full precision, everything that is shown, every problem.

At the top: ``schema``, ``schema_version``; of the profile ``profile_id``, ``status``,
``created_at``, ``scenario``, ``title``, ``question``, ``notes``, ``rounds``,
``num_trials_recorded``, ``num_trials_planned``, ``seed``, ``total_s``, ``command``,
``environment``, ``skipped`` (``label``, ``reason``), ``timelines`` (files in the profile's
folder) and ``tools`` (as `slotbench.records.ToolFinding`); ``phases``, ``name`` and ``text`` of
each in the order of a request's life; ``ledger``, ``name``, ``title``, ``unit``, ``group`` and
``summary`` of each row; and ``cells``.

A cell has ``name``, ``coordinates``, ``opening`` (its sentences, in words), ``contenders`` and
``difference``. Of a contender: ``label``, ``throughput_per_s`` and ``mean_batch_size_rows`` without
probes, ``probe_ratio``, ``probe_cost_s``, ``round_trip`` and ``phases`` (each ``name``, ``time_s``,
``p50_s``, ``p99_s``), ``ledger`` (row → per request), ``prices_s`` (row → CPU seconds that one costs by
itself), ``locks`` (as `slotbench.records.LockUse`), ``claims`` (``text``, ``row``, ``counted``,
``holds``) and ``problems``. Rows that nothing counted are missing.

``difference``, null where there are no two contenders with numbers, has ``first`` and ``second``,
``ratio`` (throughput of second over first, without probes), ``gap_s`` (second's round trip less
first's), ``phases`` (``name``, ``first_s``, ``second_s``, ``gap_s``, ``share``; what explains most
first) and ``rows`` (``row``, ``first``, ``second``, ``gap``, ``explains_s``).

A mean is ``mean``, ``low``, ``high`` (its 95 % t interval over rounds) and ``num_trials``; a ratio
is ``ratio``, ``low_ratio``, ``high_ratio`` and ``num_pairs``. null stands for what is missing, and for
the interval of one round, which has none. Times are of seconds, everything else is per request.

History of the format (``schema_version``):

1. First version.
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any, Final

from slotbench.compute import ledger
from slotbench.compute.profile import (
    CellProfile,
    ContenderProfile,
    Difference,
    PhaseMean,
)
from slotbench.compute.statistics import Mean, RatioEstimate
from slotbench.draw.profile import _opening, _words
from slotbench.draw.profile._page import check_cells, explained
from slotbench.store import StoredProfile

SCHEMA: Final = "slotbench.profile"
SCHEMA_VERSION: Final = 1


def as_json(
    stored: StoredProfile,
    *,
    cells: Sequence[str] = (),
    between: tuple[str, str] | None = None,
) -> str:
    """JSON text, as said at this module's head.

    Args:
        stored: the profile.
        cells: names of the cells to give; () is all.
        between: labels of the two contenders whose difference is given; None is the baseline
            and the fastest of the others, in each cell.

    Raises:
        SlotbenchError: no such cell or contender.
    """
    found = document(stored, cells=cells, between=between)
    return json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def document(
    stored: StoredProfile,
    *,
    cells: Sequence[str] = (),
    between: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """The same as plain lists and dictionaries."""
    record = stored.profile
    check_cells(cells, record)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "profile_id": record.profile_id,
        "status": stored.state,
        "created_at": record.created_at,
        "scenario": record.scenario.name,
        "title": record.scenario.title,
        "question": record.scenario.question,
        "notes": list(stored.notes),
        "rounds": record.rounds,
        "num_trials_recorded": len(stored.trials),
        "num_trials_planned": record.num_trials,
        "seed": record.seed,
        "total_s": record.total_s,
        "command": list(record.command),
        "environment": dict(record.environment),
        "skipped": [dataclasses.asdict(one) for one in record.skipped],
        "timelines": list(record.timelines),
        "tools": [_plain(one) for one in record.tools],
        "phases": [
            {"name": name, "text": text} for name, text in _words.PHASE_TEXTS.items()
        ],
        "ledger": [dataclasses.asdict(row) for row in ledger.ROWS],
        "cells": [
            _cell(cell, found)
            for cell, found in explained(stored, between=between)
            if not cells or cell.cell.name in cells
        ],
    }


def _cell(cell: CellProfile, found: Difference | None) -> dict[str, Any]:
    said = " ".join(one.text for one in _opening.sentences(cell, found))
    return {
        "name": cell.cell.name,
        "coordinates": dict(cell.cell.coordinates),
        "opening": said,
        "contenders": list(map(_contender, cell.contenders)),
        "difference": None if found is None else _difference(found),
    }


def _contender(one: ContenderProfile) -> dict[str, Any]:
    return {
        "label": one.contender.label,
        "throughput_per_s": _mean(one.throughput_per_s),
        "mean_batch_size_rows": one.batch_size,
        "probe_ratio": _ratio(one.probe_ratio),
        "probe_cost_s": _mean(one.probe_cost_s),
        "round_trip": None if one.round_trip is None else _phase(one.round_trip),
        "phases": list(map(_phase, one.phases)),
        "ledger": {name: _mean(found) for name, found in one.ledger.items()},
        "prices_s": dict(one.prices_s),
        "locks": [_plain(use) for use in one.locks],
        "claims": [
            {
                "text": claim.text,
                "row": claim.row.name,
                "counted": claim.counted,
                "holds": claim.holds,
            }
            for claim in one.claims
        ],
        "problems": list(one.problems),
    }


def _phase(found: PhaseMean) -> dict[str, Any]:
    return {
        "name": found.name,
        "time_s": _mean(found.time_s),
        "p50_s": found.p50_s,
        "p99_s": found.p99_s,
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "first": found.first,
        "second": found.second,
        "ratio": _ratio(found.ratio),
        "gap_s": _mean(found.gap_s),
        "phases": [
            {
                "name": one.name,
                "first_s": one.first_s,
                "second_s": one.second_s,
                "gap_s": _mean(one.gap_s),
                "share": one.share,
            }
            for one in found.phases
        ],
        "rows": [
            {
                "row": one.row.name,
                "first": one.first,
                "second": one.second,
                "gap": _mean(one.gap),
                "explains_s": one.explains_s,
            }
            for one in found.rows
        ],
    }


def _mean(found: Mean | None) -> dict[str, Any] | None:
    return None if found is None else dataclasses.asdict(found)


def _ratio(found: RatioEstimate | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "ratio": _finite(found.point),
        "low_ratio": _finite(found.low),
        "high_ratio": _finite(found.high),
        "num_pairs": found.num_pairs,
    }


def _plain(record: Any) -> dict[str, Any]:
    fields = dataclasses.asdict(record)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in fields.items()
    }


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else number
