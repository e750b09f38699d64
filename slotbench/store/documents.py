"""Records that are one JSON file each: a diagnosis, a self-test, a recommendation, a prediction. Written whole, read back."""

from pathlib import Path
from typing import Any

from slotbench.records import (
    DIAGNOSIS_SCHEMA_VERSION,
    PREDICTION_SCHEMA_VERSION,
    RECOMMENDATION_SCHEMA_VERSION,
    SELFTEST_SCHEMA_VERSION,
    Diagnosis,
    PredictionCheck,
    Recommendation,
    SelfTest,
    WhatIf,
)
from slotbench.store._files import encode
from slotbench.store._reading import read_head


def document(
    record: Diagnosis | PredictionCheck | Recommendation | SelfTest | WhatIf,
) -> bytes:
    """Give the file's text, fields as in the record, ending in a line feed.

    Raises:
        RecordError: a number is NaN or infinite: a defect of what made it.
    """
    return encode(record, indent=1)


def read_diagnosis(path: str | Path) -> Diagnosis:
    """Read what ``slotbench doctor --json`` wrote.

    Raises:
        RecordError: it cannot be read, is damaged, or is of a later slotbench.
    """
    found: Diagnosis = _read(path, Diagnosis, DIAGNOSIS_SCHEMA_VERSION)
    return found


def read_prediction_check(path: str | Path) -> PredictionCheck:
    """Read what ``slotbench predict RUN --check --format json`` wrote.

    Raises:
        RecordError: it cannot be read, is damaged, or is of a later slotbench.
    """
    found: PredictionCheck = _read(path, PredictionCheck, PREDICTION_SCHEMA_VERSION)
    return found


def read_recommendation(path: str | Path) -> Recommendation:
    """Read what ``slotbench advise --format json`` wrote.

    Raises:
        RecordError: it cannot be read, is damaged, or is of a later slotbench.
    """
    found: Recommendation = _read(path, Recommendation, RECOMMENDATION_SCHEMA_VERSION)
    return found


def read_selftest(path: str | Path) -> SelfTest:
    """Read what ``slotbench selftest --output`` wrote.

    Raises:
        RecordError: it cannot be read, is damaged, or is of a later slotbench.
    """
    found: SelfTest = _read(path, SelfTest, SELFTEST_SCHEMA_VERSION)
    return found


def read_what_if(path: str | Path) -> WhatIf:
    """Read what ``slotbench predict --format json`` wrote.

    Raises:
        RecordError: it cannot be read, is damaged, or is of a later slotbench.
    """
    found: WhatIf = _read(path, WhatIf, PREDICTION_SCHEMA_VERSION)
    return found


def _read(path: str | Path, kind: type, newest: int) -> Any:
    return read_head(Path(path), kind, newest, lambda _, __: "")
