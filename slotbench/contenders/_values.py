"""Names and values as messages show them, and what a value of an option may be."""

import difflib
import json
import math
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Offers the nearest known names as "did you mean a or b?", or "" if none is near."""
    near = difflib.get_close_matches(name[:100], list(known), n=3, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else ""


def shown(value: object) -> str:
    """Writes a value, shortened."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "a number of more than 64 bits"
    text = repr(value) if isinstance(value, float) else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


def is_scalar(value: object) -> bool:
    """Says whether it can stand in a label and be read from it again."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str)
