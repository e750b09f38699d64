"""A diagnosis is written as JSON and read back the same."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from slotbench.errors import RecordError
from slotbench.store.diagnosis import read_diagnosis, to_json
from tests.slotbench.support import diagnoses


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Every field, to the last digit."""
    made = diagnoses.diagnosis()
    (tmp_path / "d.json").write_text(to_json(made), encoding="utf-8")

    assert read_diagnosis(tmp_path / "d.json") == made


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 99}, "schema version 99"),
        ({"schema_version": None}, "names no schema_version"),
        ({"primitives": [{"name": 1}]}, r"damaged: primitives\.0\.name"),
    ],
)
def test_what_is_none_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    """A later version and damage are named, with the file."""
    file = tmp_path / "d.json"
    file.write_text(json.dumps(json.loads(to_json(diagnoses.diagnosis())) | change))
    with pytest.raises(RecordError, match=said) as caught:
        read_diagnosis(file)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """In one line, with its name."""
    with pytest.raises(RecordError, match=r"cannot read .*none\.json"):
        read_diagnosis(tmp_path / "none.json")


def test_no_number_is_infinite() -> None:
    """JSON has none; the field is named."""
    wrong = dataclasses.replace(diagnoses.diagnosis(), total_s=math.inf)
    with pytest.raises(RecordError, match="total_s"):
        to_json(wrong)
