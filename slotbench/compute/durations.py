"""Durations as people write them: "800us", "2ms", "1.5s", "10m"."""

import re
from decimal import Decimal
from typing import Final

_UNITS_S: Final = {
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
}
LONGEST_S: Final = 1e7
"""From which on nobody waits."""


def parse_s(text: str) -> float:
    """Read a duration in seconds.

    Args:
        text: a number above 0 with its unit: us, ms, s, m (or min) or h.

    Raises:
        ValueError: it is none; what is wrong, in a line.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zµ]+)\s*", text, flags=re.ASCII)
    if match is None or match[2] not in _UNITS_S:
        raise ValueError(f"{text!r} is no time: write 800us, 2ms, 1.5s or 10m")
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if not 0.0 < seconds < LONGEST_S:
        raise ValueError(f"{text!r} is no time that anybody waits for: write 2ms or 10m")
    return seconds


def written_s(seconds: float) -> str:
    """Write so many seconds as `parse_s` reads exactly them: "1234567s", never with an exponent."""
    return f"{Decimal(repr(float(seconds))):f}".removesuffix(".0") + "s"
