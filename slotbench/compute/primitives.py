"""What a primitive costs, from its processes: the process is the sample."""

import math
import statistics
from dataclasses import dataclass

from slotbench.records import Primitive


@dataclass(frozen=True, slots=True)
class PrimitiveCost:
    """One operation of a primitive.

    Attributes:
        time_s: geometric mean over processes of each one's median: values of one process are alike,
            so that they are no sample of their own, and an interruption makes one of them long.
        fastest_s, slowest_s: the median of one process. They may be far apart: two threads on one CPU
            hand over several times as fast as on two, and no interval of a mean tells of that.
        cpu_s: CPU seconds, all threads; mean over processes.
        voluntary, involuntary: context switches; likewise.
    """

    time_s: float
    fastest_s: float
    slowest_s: float
    cpu_s: float
    voluntary: float
    involuntary: float


def cost(primitive: Primitive) -> PrimitiveCost:
    """Sum up a primitive.

    Raises:
        StatisticsError: it has no runs.
    """
    runs = primitive.runs
    medians = [statistics.median(run.values_s) for run in runs]
    return PrimitiveCost(
        time_s=statistics.geometric_mean(medians),
        fastest_s=min(medians),
        slowest_s=max(medians),
        cpu_s=math.fsum(run.cpu_s for run in runs) / len(runs),
        voluntary=math.fsum(run.voluntary for run in runs) / len(runs),
        involuntary=math.fsum(run.involuntary for run in runs) / len(runs),
    )
