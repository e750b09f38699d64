"""Think times as a trial's actors draw them, and as anybody can draw them again."""

from typing import Final

import numpy as np

from slotbench.records import ThinkTime

NUM_DRAWN: Final = 1024
"""Think times drawn per actor before the trial; they are used round and round."""

_SEED_STEP: Final = 100_003
"""Apart enough that actors of two blocks do not draw alike."""


def actor_seed(seed: int, index: int) -> int:
    """Seed of one actor in a trial of that seed."""
    return seed * _SEED_STEP + index


def draw_s(think: ThinkTime, seed: int) -> list[float]:
    """Draw an actor's think times.

    Returns:
        1024 durations in seconds; empty where there is no think time. Lognormal ones
        have mean ``mean_ms``: the underlying normal's mean is ln(mean) - sigma²/2.
    """
    mean_s = think.mean_ms / 1e3
    if think.distribution == "none":
        return []
    rng = np.random.default_rng(seed)
    match think.distribution:
        case "constant":
            return [mean_s] * NUM_DRAWN
        case "exponential":
            drawn = rng.exponential(mean_s, NUM_DRAWN)
        case "lognormal":
            location = np.log(mean_s) - think.sigma**2 / 2
            drawn = rng.lognormal(location, think.sigma, NUM_DRAWN)
    return [float(duration_s) for duration_s in drawn]
