"""Raises as it is imported."""

raise ZeroDivisionError
