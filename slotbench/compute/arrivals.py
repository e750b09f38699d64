"""When the requests of an open loop are due: schedules, drawn before the trial from its seed.

A schedule knows no clock and no reply: what is due stays due, whatever the system under test does.
That is what makes latency from the *intended* start honest: a request that could not go out since
its slot was busy has waited nevertheless.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from slotbench.records import Load

Starts = NDArray[np.int64]

_NS: Final = 1e9


def starts_ns(load: Load, seed: int, num_requests: int) -> Starts:
    """Intended starts of one actor's requests.

    Args:
        load: an open loop's.
        seed: of the actor, by `slotbench.compute.think_times.actor_seed`: trials of a block have
            one, so that all contenders are asked at the same moments.
        num_requests: how many.

    Returns:
        Nanoseconds since the common start of all actors, never falling. "constant": every 1/rate,
        the first at a moment drawn from [0, 1/rate), so that actors do not ask in lockstep.
        "poisson": gaps are exponential with mean 1/rate, the first from the common start, so that
        the requests of all actors together are a Poisson process, too.

    Raises:
        ValueError: the load is a closed loop's, or ``num_requests`` is below 0.

    Source: wrk2 (constant) and MLPerf LoadGen's Server scenario (Poisson); Kingman, "Poisson
    Processes" (1993), 2.2, for the superposition.
    """
    if not load.is_open or load.per_actor_per_s <= 0.0 or num_requests < 0:
        raise ValueError(f"no schedule of {num_requests} requests for {load}")
    rng = np.random.default_rng(seed)
    gap_ns = _NS / load.per_actor_per_s
    if load.arrivals == "constant":
        return _whole((rng.random() + np.arange(num_requests)) * gap_ns)
    return _whole(np.cumsum(rng.exponential(gap_ns, num_requests)))


def enough(load: Load, horizon_s: float) -> int:
    """How many requests of one actor reach past so many seconds, but for one schedule in 10⁹.

    Args:
        load: an open loop's.
        horizon_s: since the common start.

    Returns:
        The mean, and for a Poisson process six of its standard deviations, and some: near the
        normal distribution's one in 10⁹, and more than that where the mean is small.
    """
    mean = load.per_actor_per_s * horizon_s
    spread = 6.0 * math.sqrt(mean) if load.arrivals == "poisson" else 0.0
    return math.ceil(mean + spread) + 16


def offered_per_s(load: Load, num_slots: int) -> float:
    """Offered load of all actors together, requests per second; 0 in the closed loop."""
    return load.per_actor_per_s * num_slots if load.is_open else 0.0


def _whole(at_ns: NDArray[np.floating[Any]]) -> Starts:
    whole: Starts = np.rint(at_ns).astype(np.int64)
    return whole
