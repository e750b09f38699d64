"""The comparison as CSV: tidy, a row per cell, contender and metric.

The axes of all grids are columns ``cell.<axis>``; the other columns are the fields of a
row in the JSON format. Empty is missing, also an axis that the cell's grid does not have;
truth is "true" or "false". Of two runs there is the id of each instead of ``run_id``.
"""

import csv
import io
import json
from typing import Any

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
        rows.append({name: _text(value) for name, value in (shared | fields).items()})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    # repr of a float reads back as the same float; lists and tables become JSON.
    return json.dumps(value, ensure_ascii=False)
