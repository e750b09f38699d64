"""How numbers read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench.draw import units


@pytest.mark.parametrize(
    ("number", "unit", "expected"),
    [
        (4.12e-5, "s", "41.2 µs"),
        (0.0012345, "s", "1.23 ms"),
        (0.0009996, "s", "1.00 ms"),
        (9.994e-4, "s", "999 µs"),
        (8.23e-7, "s", "823 ns"),
        (5e-10, "s", "0.500 ns"),
        (2.5, "s", "2.50 s"),
        (75.31, "s", "75.3 s"),
        (0.0, "s", "0 s"),
        (13417.0, "requests/s", "13 400/s"),
        (999.6, "requests/s", "1 000/s"),
        (0.0, "requests/s", "0/s"),
        (1234567.0, "requests/s", "1 230 000/s"),
        (7.254, "rows", "7.25"),
        (64.0, "rows", "64.0"),
        (3.0, "bytes", "3.00 bytes"),
        (1400.0, "B", "1.40 kB"),
        (0.5, "B", "0.5 B"),
        (0.71, "share", "71 %"),
        (1.4, "threads", "1.40"),
        (9.2, "", "9.20"),
        (None, "s", "n/a"),
        (math.nan, "s", "n/a"),
    ],
)
def test_values(number: float | None, unit: str, expected: str) -> None:
    """Three significant digits, SI prefixes, spaces between thousands."""
    assert units.value(number, unit) == expected


@given(st.floats(1e-9, 1e5))
def test_a_duration_is_read_back_within_half_a_percent(number: float) -> None:
    """What is written means what was measured, and its prefix fits it."""
    digits, name = units.seconds(number).rsplit(" ", 1)
    shown = float(digits.replace(" ", ""))
    assert shown * {"s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}[name] == pytest.approx(
        number, rel=0.0051
    )
    assert shown >= 1
    assert name == "s" or shown < 1000


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1.844, "1.84×"),
        (0.5, "0.50×"),
        (0.0412, "0.0412×"),
        (9.999, "10.0×"),
        (12.34, "12.3×"),
    ],
)
def test_ratios(number: float, expected: str) -> None:
    """Two decimals near 1, three significant digits far from it."""
    assert units.ratio(number) == expected


def test_intervals() -> None:
    """Both ends, infinity as a sign, nothing as n/a."""
    assert units.interval(1.79, 1.902) == "[1.79, 1.90]"
    assert units.interval(0.0, math.inf) == "[0, ∞]"
    assert units.interval(None, None) == "n/a"
    assert units.ratio(None) == "n/a"


@pytest.mark.parametrize(
    ("number", "unit", "expected"),
    [
        (5.51e-4, "s", "+551 µs"),
        (-1.96e-4, "s", "-196 µs"),
        (0.0, "s", "0 s"),
        (-0.142, "share", "-14.2 %"),
        (980.0, "B", "+980 B"),
        (None, "s", "n/a"),
        (math.inf, "s", "n/a"),
    ],
)
def test_differences(number: float | None, unit: str, expected: str) -> None:
    """With their sign, whichever it is."""
    assert units.signed(number, unit) == expected


@pytest.mark.parametrize(
    ("low", "high", "unit", "expected"),
    [
        (-5.78e-4, -5.24e-4, "s", "[-578, -524] µs"),
        (-3e-5, 1.46e-3, "s", "[-0.0300, 1.46] ms"),
        (0.0, 0.0, "s", "[0, 0] s"),
        (931.0, 1030.0, "B", "[0.931, 1.03] kB"),
        (-0.346, -0.314, "share", "[-34.6, -31.4] %"),
        (-8.5, -7.7, "", "[-8.50, -7.70]"),
        (1.0, 2.0, "gates", "[1.00, 2.00] gates"),
        (None, None, "s", "n/a"),
        (-math.inf, math.inf, "s", "n/a"),
    ],
)
def test_intervals_of_values(
    low: float | None, high: float | None, unit: str, expected: str
) -> None:
    """Both ends under the prefix of the larger one."""
    assert units.value_interval(low, high, unit) == expected


def test_spans() -> None:
    """Two ratios that read the same are one."""
    assert units.span(1.211, 1.84) == "1.21× to 1.84×"
    assert units.span(1.211, 1.2112) == "1.21×"


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.03, "3 %"),
        (0.0125, "1.25 %"),
        (0.95, "95 %"),
        (0.1234, "12.3 %"),
        (9.5, "950 %"),
        (12.0, "over 1 000 %"),
        (-0.1234, "-12.3 %"),
        (-9.999, "-1 000 %"),
        (-12.0, "below -1 000 %"),
        (math.inf, "n/a"),
    ],
)
def test_percents(share: float, expected: str) -> None:
    """No zeros that say nothing."""
    assert units.percent(share) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.399, "40 %"), (1.234, "123 %"), (0.001, "under 1 %"), (0.0, "0 %"), (None, "n/a")],
)
def test_whole_percents(share: float | None, expected: str) -> None:
    """For sentences, where a tenth of a percent tells nobody anything."""
    assert units.whole_percent(share) == expected


def test_counts() -> None:
    """One thing is singular."""
    assert units.count(1, "cell") == "1 cell"
    assert units.count(1200, "trial") == "1 200 trials"
    assert (units.whole(17), units.whole(1200)) == ("17", "1 200")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0.82, "820 ms"),
        (44.6, "45 s"),
        (59.7, "1 min 0 s"),
        (72.0, "1 min 12 s"),
        (7500.0, "2 h 5 min"),
    ],
)
def test_waits(number: float, expected: str) -> None:
    """Minutes and hours, for people who wait."""
    assert units.duration(number) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1.0, "1"),
        (0.312, "0.31"),
        (0.00123, "0.0012"),
        (1e-4, "0.0001"),
        (9e-5, "< 0.0001"),
    ],
)
def test_p_values(number: float, expected: str) -> None:
    """Two digits, and nothing below one in ten thousand, which no trial can tell."""
    assert units.p_value(number) == expected


def test_rates_have_one_decimal_and_do_not_round_to_nothing_or_all() -> None:
    """So columns of them line up, and 1 of 10 000 is not 0 %."""
    shares = (0.0, 0.0001, 0.0514, 0.9999, 1.0, None)
    expected = ["0.0 %", "< 0.1 %", "5.1 %", "> 99.9 %", "100.0 %", "n/a"]
    assert [units.rate(share) for share in shares] == expected


def test_ratios_near_one_show_thousandths() -> None:
    """And so do their intervals."""
    assert units.close_ratio(1 / 1.05) == "0.952×"
    assert units.close_interval(0.9412, 1.0) == "[0.941, 1.000]"
