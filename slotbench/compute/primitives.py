"""What a primitive costs, from its processes: the process is the sample."""

import math
import statistics as middle
from dataclasses import dataclass

from slotbench.compute import statistics
from slotbench.records import Primitive


@dataclass(frozen=True, slots=True)
class PrimitiveCost:
    """One operation of a primitive.

    Attributes:
        time_s: geometric mean over processes of each one's median: values of one process are alike,
            so that they are no sample of their own, and an interruption makes one of them long.
        low_s, high_s: its 95 % t interval, on the logarithm; None for one process.
        cpu_s: CPU seconds, all threads; mean over processes.
        voluntary, involuntary: context switches; likewise.
    """

    time_s: float
    low_s: float | None
    high_s: float | None
    cpu_s: float
    voluntary: float
    involuntary: float


def cost(primitive: Primitive) -> PrimitiveCost:
    """Sum up a primitive.

    Raises:
        ValueError: it has no runs.
    """
    runs = primitive.runs
    medians = [middle.median(run.values_s) for run in runs]
    spread = statistics.paired_log_ratio(medians, [1.0] * len(medians))
    return PrimitiveCost(
        time_s=spread.point,
        low_s=spread.low,
        high_s=spread.high,
        cpu_s=math.fsum(run.cpu_s for run in runs) / len(runs),
        voluntary=math.fsum(run.voluntary for run in runs) / len(runs),
        involuntary=math.fsum(run.involuntary for run in runs) / len(runs),
    )
