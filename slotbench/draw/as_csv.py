"""The comparison as CSV: tidy, a row per cell, contender and metric.

The axes of all grids are columns ``cell.<axis>``; the other columns are the fields of a
row in the JSON format. Empty is missing, also an axis that the cell's grid does not have;
truth is "true" or "false".
"""

import csv
import io
import json
from typing import Any

from slotbench.compute.comparison import Comparison
from slotbench.draw.as_json import row_fields
from slotbench.draw.screen import PAPER, Screen


def render(comparison: Comparison, screen: Screen = PAPER) -> str:
    """CSV text with a header; the screen is ignored."""
    del screen
    axes = list(
        dict.fromkeys(axis for cell in comparison.cells for axis in cell.coordinates)
    )
    coordinates = {cell.name: cell.coordinates for cell in comparison.cells}
    rows = []
    for row in comparison.rows:
        fields = row_fields(row)
        point = {f"cell.{axis}": coordinates[row.cell].get(axis) for axis in axes}
        shared = {
            "run_id": comparison.run_id,
            "cell": fields.pop("cell"),
            **point,
            "baseline": comparison.baseline,
            "threshold_ratio": comparison.threshold,
            "confidence": comparison.confidence,
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
