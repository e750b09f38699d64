"""Names for paths, tags and benchmarks."""

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench.exports import _text

SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.=,@-")


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("slot", "slot"),
        ("slot[preallocate]", "slot-preallocate"),
        ("torchrl.slot[collate=lazy_stack]@torchrl", "torchrl.slot-collate=lazy_stack-@torchrl"),
        ("my.module:factory[path=/a/b]", "my.module-factory-path=-a-b"),
        ("../../x", "x"),
        ("[]", "unnamed"),
    ],
)  # fmt: skip
def test_a_file_name_can_still_be_read(label: str, name: str) -> None:
    """Labels keep what makes them readable."""
    assert _text.file_name(label) == name


@given(st.lists(st.text(), unique=True))
def test_file_names_are_safe_and_differ(labels: list[str]) -> None:
    """Whatever the labels are: no path, nothing to quote, no two alike in any case."""
    names = _text.file_names(labels)
    assert list(names) == labels
    assert all(
        name and set(name) <= SAFE and name[0] not in ".-" for name in names.values()
    )
    assert all(len(name.encode()) <= 220 for name in names.values())
    assert len({name.lower() for name in names.values()}) == len(labels)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_percent_encoding_loses_nothing(text: str) -> None:
    """It reads back as the text, and holds no blank and no unsafe sign."""
    encoded = _text.percent_encode(text, "/,")
    assert urllib.parse.unquote(encoded) == text
    assert not any(sign.isspace() or sign in "/," for sign in encoded)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8, "8"),
        (1.5, "1.5"),
        (False, "false"),
        ("num_slots", "num_slots"),
        ([3, 4], "[3,4]"),
    ],
)
def test_a_coordinate_is_written_as_in_a_scenario(value: object, text: str) -> None:
    """As in the cell's name."""
    assert _text.value_text(value) == text
