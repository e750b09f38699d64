"""How numbers are written for people; nothing else in slotbench formats one.

Three significant digits, SI prefixes for seconds, a space between thousands, and "n/a"
for what is missing.
"""

import math
from typing import Final

MISSING: Final = "n/a"

_SECONDS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
_PLAIN: Final = frozenset({"", "rows", "threads"})
"""Units that are not written: what is counted stands in the row's or column's name."""


def value(number: float | None, unit: str) -> str:
    """A metric's value with its unit: "41.2 µs", "13 400/s", "7.25".

    Args:
        number: in ``unit``.
        unit: as metrics and the ledger name it: "s", "requests/s", "B", "share"; of "rows",
            "threads" and "" the number says all; another is written behind.
    """
    if number is None or not math.isfinite(number):
        return MISSING
    if unit == "s":
        return seconds(number)
    if unit == "share":
        return percent(number)
    if unit == "B":
        return size(number)
    if unit.endswith("/s"):
        return f"{significant(number)}/s"
    return significant(number) if unit in _PLAIN else f"{significant(number)} {unit}"


def signed(number: float | None, unit: str) -> str:
    """A difference: "+551 µs", "-14 %", "0 s"."""
    if number is None or not math.isfinite(number):
        return MISSING
    return f"+{value(number, unit)}" if number > 0 else value(number, unit)


def value_interval(low: float | None, high: float | None, unit: str) -> str:
    """The two ends of a value's interval, under one prefix: "[-0.0312, 1.46] ms"."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    scale, name = 1.0, ""
    if unit == "share":
        scale, name = 0.01, " %"
    elif unit in {"s", "B"}:
        steps = _SECONDS if unit == "s" else _BYTES
        longest = max(abs(low), abs(high)) or 1.0
        scale, name = next(
            (step for step in steps if _rounded(longest) >= step[0]), steps[-1]
        )
        name = f" {name}"
    elif unit not in _PLAIN:
        name = f" {unit}"
    return f"[{significant(low / scale)}, {significant(high / scale)}]{name}"


def seconds(number: float) -> str:
    """A duration with the prefix that leaves one to three digits before the point."""
    if number == 0.0:
        return "0 s"
    for size, name in _SECONDS:
        # Rounded first, so that 999.6 µs becomes 1.00 ms and not 1 000 µs.
        if _rounded(abs(number)) >= size or name == "ns":
            return f"{significant(number / size)} {name}"
    raise AssertionError("the loop ends with ns")


def duration(number: float) -> str:
    """A time that people wait: "820 ms", "45 s", "1 min 12 s", "2 h 5 min"."""
    if number < 1.0:
        return seconds(number)
    whole = round(number)
    if whole < 60:
        return f"{whole} s"
    minutes, rest_s = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def significant(number: float) -> str:
    """Three significant digits: "0.0412", "4.12", "412", "13 400"."""
    rounded = _rounded(number)
    if rounded == 0.0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded)) + 1e-12))
    return f"{rounded:,.{decimals}f}".replace(",", " ")


def ratio(number: float | None) -> str:
    """A ratio: "1.84×", "12.3×", "0.0412×"."""
    if number is None:
        return MISSING
    return f"{_factor(number)}×"


def interval(low: float | None, high: float | None) -> str:
    """The two ends of a ratio's interval: "[1.79, 1.90]"."""
    if low is None or high is None:
        return MISSING
    return f"[{_factor(low)}, {_factor(high)}]"


def span(low: float, high: float) -> str:
    """A range of ratios: "1.21× to 1.84×", or one ratio where both read the same."""
    first, last = ratio(low), ratio(high)
    return first if first == last else f"{first} to {last}"


def percent(share: float | None) -> str:
    """A share or a difference: "3 %", "1.25 %", "12.5 %", and "over 1 000 %"."""
    if share is None or not math.isfinite(share):
        return MISSING
    if abs(share) > 10:
        return "over 1 000 %" if share > 0 else "below -1 000 %"
    text = "1 000" if abs(share) >= 9.995 else f"{_rounded(abs(share) * 100):.3g}"
    return f"-{text} %" if share < 0 else f"{text} %"


def rate(share: float | None) -> str:
    """A share among others of its kind, with one decimal: "5.1 %".

    One that is not quite nothing or all does not read so: "< 0.1 %", "> 99.9 %".
    """
    if share is None or not math.isfinite(share):
        return MISSING
    text = f"{share * 100:.1f}"
    if text == "100.0" and share < 1.0:
        return "> 99.9 %"
    return "< 0.1 %" if text == "0.0" and share > 0.0 else f"{text} %"


def close_ratio(number: float) -> str:
    """A ratio near 1 where a thousandth is what a reader compares: "0.952×"."""
    return f"{number:.3f}×"


def close_interval(low: float, high: float) -> str:
    """The two ends of such a ratio's interval: "[0.941, 0.963]"."""
    return f"[{low:.3f}, {high:.3f}]"


def p_value(number: float) -> str:
    """A probability: "0.0012", "0.31", "< 0.0001"."""
    return f"{number:.2g}" if number >= 1e-4 else "< 0.0001"


def size(num_bytes: float) -> str:
    """Bytes with a decimal prefix: "32 B", "28.2 kB", "602 kB", "1.20 MB"; means, too: "0.5 B"."""
    for step, name in _BYTES[:-1]:
        if _rounded(abs(num_bytes)) >= step:
            return f"{significant(num_bytes / step)} {name}"
    return f"{_rounded(num_bytes):.3g} B"


def whole_percent(share: float | None) -> str:
    """A share inside a sentence: "40 %", and "under 1 %" of what is there at all."""
    if share is None or not math.isfinite(share) or not 0 < abs(share) < 0.005:
        return percent(None if share is None else round(share, 2))
    return "under 1 %"


def count(number: int, noun: str) -> str:
    """A number of things: "1 cell", "1 200 trials"."""
    return f"{whole(number)} {noun}" if number == 1 else f"{whole(number)} {noun}s"


def whole(number: int) -> str:
    """A number of things without their name: "17", "1 200"."""
    return f"{number:,}".replace(",", " ")


def _factor(number: float) -> str:
    if math.isinf(number):
        return "∞"
    # Two decimals near 1, where a hundredth is what a reader compares.
    return f"{number:.2f}" if 0.1 <= number < 9.995 else significant(number)


def _rounded(number: float) -> float:
    return float(f"{number:.3g}")
