"""A diagnosis, a self-test and predictions come back as they were written, or one line says what is wrong."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slotbench.errors import RecordError
from slotbench.store import (
    document,
    read_diagnosis,
    read_prediction_check,
    read_selftest,
    read_what_if,
)
from tests.slotbench.support import diagnoses, predictions, selftests

Read = Callable[[Path], Any]

EMPTY = selftests.record(machine=None, settings=(), criteria=())


@pytest.mark.parametrize(
    ("record", "read"),
    [
        (diagnoses.diagnosis(), read_diagnosis),
        (selftests.record(), read_selftest),
        (EMPTY, read_selftest),
        (predictions.what_if(), read_what_if),
        (predictions.check(), read_prediction_check),
    ],
)
def test_what_was_written_comes_back(tmp_path: Path, record: Any, read: Read) -> None:
    """Equal in every field, types included."""
    file = tmp_path / "record.json"
    file.write_bytes(document(record))

    assert repr(read(file)) == repr(record)


@pytest.mark.parametrize(
    ("record", "read", "old", "new", "said"),
    [
        (diagnoses.diagnosis(), read_diagnosis, ": 1,", ": 99,", "schema version 99"),
        (predictions.what_if(), read_what_if, ": 1,", ": 2,", "reads up to 1: upgrade"),
        (
            predictions.check(),
            read_prediction_check,
            '"num_slots": 8',
            '"num_slots": "8"',
            r"rows\.0\.num_slots",
        ),
        (selftests.record(), read_selftest, ": 2,", ": 9,", "reads up to 2: upgrade"),
        (
            selftests.record(),
            read_selftest,
            '"schema_version": 2,',
            "",
            "it names no schema_version",
        ),
        (
            selftests.record(),
            read_selftest,
            '"num_lower": 60',
            '"num_lower": "60"',
            r"settings\.0\.counts\.0\.num_lower",
        ),
        (
            diagnoses.diagnosis(),
            read_diagnosis,
            '"is_quick": false',
            '"is_quick": 0',
            "damaged: is_quick",
        ),
    ],
)
def test_a_damaged_record_is_refused(  # what a case is
    tmp_path: Path, record: Any, read: Read, old: str, new: str, said: str
) -> None:
    """By a line that names the file and the field."""
    text = document(record).decode()
    assert old in text
    file = tmp_path / "record.json"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(RecordError, match=said) as caught:
        read(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("read", [read_diagnosis, read_selftest])
def test_half_a_file_and_none_are_refused(tmp_path: Path, read: Read) -> None:
    """Cut short while being written, or not there."""
    file = tmp_path / "record.json"
    file.write_bytes(document(selftests.record())[:-3])
    with pytest.raises(RecordError, match="is damaged"):
        read(file)
    with pytest.raises(RecordError, match=r"cannot read .*none\.json"):
        read(tmp_path / "none.json")


def test_no_number_is_infinite() -> None:
    """JSON has none; the field is named."""
    wrong = dataclasses.replace(diagnoses.diagnosis(), total_s=math.inf)
    with pytest.raises(RecordError, match="total_s"):
        document(wrong)
