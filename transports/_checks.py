"""Checks of constructor arguments, shared by the transports and the server."""

from __future__ import annotations


def check_count(name: str, value: object) -> int:
    """Return `value` if it is a whole number of at least one.

    Raises:
        ValueError: `value` is no int (a bool is none), or less than one.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an int of at least 1, got {value!r}")
    return value


def check_flag(name: str, value: object) -> bool:
    """Return `value` if it is a bool.

    Raises:
        TypeError: it is anything else, such as a count passed in its place.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, got {value!r}")
    return value
