"""What disturbs the simulated machine: noise as data, and functions that draw it.

A latency is the product of a request's own draw, the process's factor and the machine's
factor at that moment; factors multiply, so everything but the first is kept as a logarithm.
Nothing here knows of trials, clocks or contenders.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

LATENCY_S: Final = 0.005
"""Mean latency of the baseline, without any noise."""

REQUESTS_PER_STEP: Final = 10
"""Requests of an actor that see the same speed where speed wanders inside a trial: 50 ms."""

_STEP_CORRELATION: Final = 0.9
_STUDENT_DEGREES: Final = 3
_SLOW_SHARE: Final = 1 / 20
_SLOW_RATIO: Final = 1.2


@dataclass(frozen=True, slots=True)
class Noise:
    """What a run of the simulated machine suffers from.

    Attributes:
        name: unique, of a table's row.
        title: one line for people.
        is_gaussian: logarithms of trials are normal, independent and alike, as the t interval
            assumes; the number of false alarms is then known, not only bounded.
        process: distribution of the processes' factors: "normal" on the logarithm,
            "student" with 3 degrees of freedom on it, "slow" is normal, but one process in
            twenty takes 1.2 times as long.
        process_sd: standard deviation of the logarithm; scale for "student".
        latency_sigma: of the lognormal latencies, the standard deviation of the logarithm.
        within_sd: of the logarithm of the speed that wanders inside a trial.
        drift_ratio: how much slower the machine is at the end of a run than at its begin.
        warming_ratio: the same from the begin to the end of each round.
        walk_sd: of the logarithm of the machine's speed from one second to the next.
        cells_per_run: cells that share a run. Where time matters one has the run, and so
            the whole of its drift, to itself.
    """

    name: str
    title: str
    is_gaussian: bool = False
    process: Literal["normal", "student", "slow"] = "normal"
    process_sd: float = 0.005
    latency_sigma: float = 0.1
    within_sd: float = 0.0
    drift_ratio: float = 0.0
    warming_ratio: float = 0.0
    walk_sd: float = 0.0
    cells_per_run: int = 25


_NOISES: Final = (
    *(
        Noise(
            f"between {percent:g} %",
            f"processes differ by {percent:g} % (normal on the logarithm)",
            is_gaussian=True,
            process_sd=percent / 100,
        )
        for percent in (0.5, 1.0, 2.0, 5.0)
    ),
    Noise(
        "within",
        "speed wanders inside a trial: 2 %, correlated by 0.9 from 50 ms to 50 ms",
        within_sd=0.02,
    ),
    Noise(
        "drift",
        "the machine gets 3 % slower over the run",
        drift_ratio=0.03,
        cells_per_run=1,
    ),
    Noise(
        "warming",
        "the machine gets 3 % slower over each round, and recovers while a worker starts",
        warming_ratio=0.03,
        cells_per_run=1,
    ),
    Noise(
        "random walk",
        "the machine's speed changes by 0.5 % from second to second, and stays changed",
        walk_sd=0.005,
    ),
    Noise(
        "heavy tails",
        "processes differ by 1 % times Student's t with 3 degrees of freedom",
        process="student",
        process_sd=0.01,
    ),
    Noise(
        "slow processes",
        "processes differ by 1 %, and one in twenty takes 1.2 times as long",
        process="slow",
        process_sd=0.01,
    ),
    Noise(
        "heavy latencies",
        "latencies are lognormal with sigma 1: the slowest in a hundred takes 6 times the mean",
        latency_sigma=1.0,
    ),
)

NOISES: Final = {noise.name: noise for noise in _NOISES}
"""Name → noise, in the order of tables."""

SILENCE: Final = Noise("none", "no noise at all", process_sd=0.0, latency_sigma=0.0)
"""Not among `NOISES`: every ratio comes out as it was put in."""


def process_log(noise: Noise, random: Generator) -> float:
    """Draw the logarithm of a process's factor; 0 is the middle of the processes."""
    if noise.process == "student":
        return float(noise.process_sd * random.standard_t(_STUDENT_DEGREES))
    drawn = float(noise.process_sd * random.standard_normal())
    if noise.process == "slow" and random.random() < _SLOW_SHARE:
        return drawn + math.log(_SLOW_RATIO)
    return drawn


def latencies_s(
    noise: Noise, random: Generator, num_actors: int, num_requests: int
) -> NDArray[np.float64]:
    """Draw what requests take in a process of factor 1, in seconds.

    Args:
        noise: says how.
        random: source of the draws.
        num_actors: rows.
        num_requests: of each, one after the other.

    Returns:
        ``[num_actors, num_requests]``, with mean `LATENCY_S` where the speed does not wander.
    """
    sigma = noise.latency_sigma
    logs = random.standard_normal((num_actors, num_requests))
    logs *= sigma
    logs += math.log(LATENCY_S) - sigma**2 / 2
    if noise.within_sd:
        num_steps = -(-num_requests // REQUESTS_PER_STEP)
        wander = _wander(num_steps) @ random.standard_normal(num_steps)
        # The machine's, so every actor sees the same.
        logs += noise.within_sd * np.repeat(wander, REQUESTS_PER_STEP)[:num_requests]
    return np.exp(logs, out=logs)


class Machine:
    """The simulated machine's own factor, as a function of the simulated clock.

    Args:
        noise: says how it changes.
        random: source of the walk's steps.
        run_s: simulated length of the run.
        round_s: simulated length of a round, without the start of its worker.
    """

    def __init__(
        self, noise: Noise, random: Generator, *, run_s: float, round_s: float
    ) -> None:
        self._noise = noise
        self._random = random
        self._run_s = run_s
        self._round_s = round_s
        self._walked = 0.0
        self._walked_at_s = 0.0

    def log_at(self, at_s: float, round_began_s: float) -> float:
        """Logarithm of the factor.

        Args:
            at_s: since the run began; never earlier than the last time that was asked for.
            round_began_s: when the round's worker was up.
        """
        noise = self._noise
        found = 0.0
        if noise.drift_ratio:
            found += math.log1p(noise.drift_ratio * at_s / self._run_s)
        if noise.warming_ratio:
            since_s = at_s - round_began_s
            found += math.log1p(noise.warming_ratio * since_s / self._round_s)
        if noise.walk_sd:
            step_sd = noise.walk_sd * math.sqrt(at_s - self._walked_at_s)
            self._walked += step_sd * float(self._random.standard_normal())
            self._walked_at_s = at_s
            found += self._walked
        return found


def trial_log_sd(noise: Noise, num_replies: int, num_actors: int) -> float | None:
    """Standard deviation of the logarithm of a trial's throughput.

    Args:
        noise: of the run.
        num_replies: in a window, over all actors.
        num_actors: whose replies are independent.

    Returns:
        None where the noise is not Gaussian.

    Source: number of renewals in a window, whose variance is cv²·mean + 1/6 + cv⁴/2 - …; Cox,
    "Renewal Theory" (1962), section 4.5, for lognormal intervals of small cv.
    """
    if not noise.is_gaussian:
        return None
    cv2 = math.expm1(noise.latency_sigma**2)
    count_variance = cv2 * num_replies + num_actors / 6
    return math.sqrt(noise.process_sd**2 + count_variance / num_replies**2)


@cache
def _wander(num_steps: int) -> NDArray[np.float64]:
    """Matrix that makes independent draws an autoregression of order 1 with variance 1."""
    steps = np.arange(num_steps)
    covariance = _STEP_CORRELATION ** np.abs(steps[:, None] - steps[None, :])
    return np.asarray(np.linalg.cholesky(covariance), np.float64)
