"""The table of trials as Parquet: types kept, units in the file's metadata.

The columns are those of `slotbench.frames.trials_frame`. pandas gives the units back in
``frame.attrs["units"]``; other readers find them, as JSON, under the key ``PANDAS_ATTRS``. An
axis whose values are numbers in one cell and texts in another is a column of texts:
Parquet knows one type a column.
"""

import io
from typing import TYPE_CHECKING, Any, Final

from slotbench.exports._extra import require
from slotbench.exports._rendered import Rendered
from slotbench.exports._text import value_text

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

SUMMARY: Final = "the table of csv with types and units (needs pyarrow)"
DEFAULT_NAME: Final = "{run_id}.parquet"


def render(stored: "StoredRun") -> Rendered:
    """One file.

    Raises:
        SlotbenchError: pyarrow is missing.
    """
    require("pyarrow", package="pyarrow", name="parquet")
    from slotbench.frames import trials_frame

    frame = trials_frame(stored)
    for name in frame.columns:
        if _is_mixed(frame[name]):
            frame[name] = frame[name].map(value_text, na_action="ignore").astype("str")
    file = io.BytesIO()
    frame.to_parquet(file, engine="pyarrow", index=False)
    note = f"{len(frame)} of {len(stored.trials)} trials written; column counted says which count"
    return Rendered({"": file.getvalue()}, (note,))


def _is_mixed(column: "pd.Series[Any]") -> bool:
    """Whether texts stand beside numbers."""
    if column.dtype != object:
        return False
    return len({isinstance(value, str) for value in column.dropna()}) > 1
