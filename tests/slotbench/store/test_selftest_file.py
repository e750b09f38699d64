"""A self-test's record comes back as it was written, or one line says what is wrong with it."""

from pathlib import Path

import pytest

from slotbench.errors import RecordError
from slotbench.store import read_selftest, selftest_bytes
from tests.slotbench.support import selftests


@pytest.mark.parametrize("changes", [{}, {"machine": None, "settings": (), "criteria": ()}])
def test_what_was_written_comes_back(tmp_path: Path, changes: dict[str, object]) -> None:
    """Equal in every field, types included."""
    record = selftests.record(**changes)
    file = tmp_path / "selftest.json"
    file.write_bytes(selftest_bytes(record))

    assert read_selftest(file) == record


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"schema_version": 1', '"schema_version": 9', "reads up to 1: upgrade slotbench"),
        ('"schema_version": 1,', "", "it names no schema_version"),
        ('"num_lower": 60', '"num_lower": "60"', r"settings\.0\.counts\.0\.num_lower"),
        ("}\n", "", "is damaged"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    """By a line that names the file and the field."""
    text = selftest_bytes(selftests.record()).decode()
    head, found, tail = text.rpartition(old) if old == "}\n" else text.partition(old)
    assert found
    file = tmp_path / "selftest.json"
    file.write_text(head + new + tail, encoding="utf-8")

    with pytest.raises(RecordError, match=said):
        read_selftest(file)
