"""Durations are read with their unit, or not at all."""

import pytest

from slotbench.compute import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2ms", 2e-3),
        ("800us", 8e-4),
        ("1.5s", 1.5),
        (" .5 ms ", 5e-4),
        ("10m", 600.0),
        ("1h", 3600.0),
    ],
)
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert durations.parse_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["2", "ms", "-2ms", "0ms", "2 fortnights", "1e3s", "inf s", "9999999h"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        durations.parse_s(text)


@pytest.mark.parametrize("seconds", [1234567.0, 1800, 0.5, 1e-6, 123.456789012])
def test_what_is_written_is_read_again(seconds: float) -> None:
    """To the last digit, and in no notation that the reader does not know."""
    assert durations.parse_s(durations.written_s(seconds)) == seconds
    assert durations.written_s(1234567) == "1234567s"
