"""The comparison as CSV: tidy, a row per cell, contender and metric.

The axes of all grids are columns ``cell.<axis>``; the other columns are the fields of a
row in the JSON format. Empty is missing, also an axis that the cell's grid does not have;
truth is "true" or "false". Of two runs there is the id of each instead of ``run_id``.

Where it was asked how throughput scales, rows of throughput have the constants of their law as columns
``scalability.<field>``.
"""

import csv
import io
import json
from typing import Any

from slotbench.compute import scalability
from slotbench.compute.between import Compared, TwoRuns
from slotbench.compute.gates import Gate
from slotbench.draw.as_json import row_fields
from slotbench.draw.screen import PAPER, Screen


def render(compared: Compared, screen: Screen = PAPER, gate: Gate | None = None) -> str:
    """CSV text with a header; the screen is ignored."""
    del screen
    axes = list(dict.fromkeys(axis for cell in compared.cells for axis in cell.coordinates))
    coordinates = {cell.name: cell.coordinates for cell in compared.cells}
    if isinstance(compared, TwoRuns):
        ids = {"base_run_id": compared.base.run_id, "head_run_id": compared.head.run_id}
    else:
        ids = {"run_id": compared.run_id}
    laws = _laws(compared)
    law_names = list(next(iter(laws.values()), {}))
    rows = []
    for fields in row_fields(compared, gate):
        point = {f"cell.{axis}": coordinates[fields["cell"]].get(axis) for axis in axes}
        shared = {
            **ids,
            "cell": fields["cell"],
            **point,
            "baseline": compared.baseline,
            "threshold_ratio": fields["threshold_ratio"],
            "confidence": compared.confidence,
        }
        law = laws.get((fields["cell"], fields["contender"]), {})
        more = dict.fromkeys(law_names) | (
            law if fields["metric"] == scalability.METRIC else {}
        )
        found = shared | fields | more
        rows.append({name: _text(value) for name, value in found.items()})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _laws(compared: Compared) -> dict[tuple[str, str], dict[str, Any]]:
    """(cell, contender) → the columns of its law; empty where that was not asked."""
    if isinstance(compared, TwoRuns) or compared.scalability is None:
        return {}
    return {
        (cell, law.contender): {
            f"scalability.{name}": value for name, value in scalability.flat(law).items()
        }
        for law in compared.scalability.laws
        for cell in law.cells
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    # repr of a float reads back as the same float; lists and tables become JSON.
    return json.dumps(value, ensure_ascii=False)
