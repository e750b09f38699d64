"""Rows per batch that the model was given.

Formula: rows / batches, of the batches whose forward began in the window.
Excludes: empty wake-ups of the server, which run no batch; how sizes are spread.
Source: own; stands beside every throughput, because throughput is bought with batches.
"""

from typing import Final

from slotbench.compute.statistics import Better
from slotbench.records import TrialMeasurement

LABEL: Final = "mean batch size"
UNIT: Final = "rows"
BETTER: Final[Better] = "neither"


def value(measurement: TrialMeasurement) -> float | None:
    """Rows per batch; None where no batch ran (the floor may count none)."""
    if measurement.num_batches <= 0:
        return None
    return measurement.num_rows / measurement.num_batches
