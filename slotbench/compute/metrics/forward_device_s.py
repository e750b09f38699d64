"""Mean time of a batch's forward on the policy's device, by its own events.

Formula: (time of the event after the policy's last kernel - time of the event before its first), mean over
the window's latest 4 096 batches.
Excludes: the observation's way to the device, the outputs' way back, and all that the host does
before and after; policies on the CPU have no such number.
Source: own; CUDA events, as torch's "CUDA semantics" advises for timing.
"""

from typing import Final

from slotbench.compute.statistics import Better
from slotbench.records import TrialMeasurement

LABEL: Final = "forward on the device"
UNIT: Final = "s"
BETTER: Final[Better] = "neither"


def value(measurement: TrialMeasurement) -> float | None:
    """Seconds; None where the policy computes on the CPU."""
    return None if measurement.device is None else measurement.device.forward_s
