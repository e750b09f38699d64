"""Requests per second that came back to their actors.

Formula: replies in the window / length of the window.
Excludes: warm-up; requests still under way when the window ends; rows that were served
but whose reply had not yet reached its actor.
Source: own; the "useful steps per second" of an RL collector.
"""

from typing import Final

from slotbench.compute.statistics import Better
from slotbench.records import TrialMeasurement

LABEL: Final = "throughput"
UNIT: Final = "requests/s"
BETTER: Final[Better] = "higher"


def value(measurement: TrialMeasurement) -> float | None:
    """Requests per second; None for a window without length."""
    if measurement.window_s <= 0:
        return None
    return measurement.num_replies / measurement.window_s
