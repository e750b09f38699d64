"""Latency that half of a trial's requests do not exceed.

Formula: nearest-rank p50 of submit → reply over the window's replies, in an open loop of intended
start → reply over all that was due in the window (`slotbench.records.OpenLoop`); None below 7
samples (`slotbench.compute.percentiles.min_samples`).
Excludes: think time; the wait of an actor before it submits, so in a closed loop a slow
transport also asks less often (coordinated omission); requests that never came back.
Source: Hyndman and Fan (1996), definition 1; MLPerf LoadGen for the smallest sample.
"""

from typing import Final

from slotbench.compute.statistics import Better
from slotbench.records import TrialMeasurement

LABEL: Final = "p50 latency"
UNIT: Final = "s"
BETTER: Final[Better] = "lower"


def value(measurement: TrialMeasurement) -> float | None:
    """Seconds; None where the samples were too few."""
    return measurement.latency_p50_s
