"""Predictions: under what is supposed, and of what was measured."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from slotbench.compute import predictions
from slotbench.frames._place import tidy
from slotbench.records import CheckedPrediction, WhatIf

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.store import StoredRun

_RATIOS: Final = ("batch_size_ratio", "latency_p50_ratio", "latency_p99_ratio")
_COLUMNS: Final = (
    *(field.name for field in dataclasses.fields(CheckedPrediction)),
    *_RATIOS,
)
_NUMBERS: Final = tuple(
    name
    for name in _COLUMNS
    if name.startswith(("predicted_", "measured_", "ratio")) or name in _RATIOS
)


def what_if_frame(record: WhatIf) -> "pd.DataFrame":
    """One row per combination, in the order of the record.

    Columns: the fields of `slotbench.records.PredictedRow`, NaN where an end of an interval is not known;
    is_best, whether it is the one to choose. ``frame.attrs["axes"]``: columns that have several values.
    """
    import pandas as pd

    frame = pd.DataFrame([dataclasses.asdict(one) for one in record.rows])
    frame["is_best"] = [place in set(record.best) for place in range(len(record.rows))]
    frame.attrs["axes"] = list(record.axes)
    return frame.astype({"low": "float64", "high": "float64"})


def checked_frame(rows: Sequence[CheckedPrediction]) -> "pd.DataFrame":
    """One row per run, cell and contender.

    Columns: the fields of `slotbench.records.CheckedPrediction`; batch_size_ratio, latency_p50_ratio and
    latency_p99_ratio, predicted over measured. NaN where something is not known.
    """
    import pandas as pd

    frame = pd.DataFrame(
        [predictions.flat(one) for one in rows], columns=pd.Index(_COLUMNS)
    )
    return frame.astype(dict.fromkeys(_NUMBERS, "float64"))


def predictions_frame(stored: "StoredRun") -> "pd.DataFrame":
    """One row per cell and contender of a run whose transport's cost was fitted to other runs.

    Columns: the place; those of `checked_frame` but its run. No row where nothing can be predicted.
    """
    _, rows = predictions.check(stored.run, stored.trials, stored.calibrations)
    columns = [name for name in _COLUMNS if name not in {"run", "num_slots"}]
    frame = tidy(stored, [predictions.flat(one) for one in rows], columns)
    numbers = [name for name in _NUMBERS if name in frame.columns]
    return frame.astype(dict.fromkeys(numbers, "float64"))
