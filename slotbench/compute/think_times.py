"""Think times as a trial's actors draw them, and as anybody can draw them again.

An environment's episodes end: every so many steps the actor also resets it. A reset is part of
the think time of its step, so that whoever draws think times has them in: a trial's actors, the
calibration, the simulation; `mean_s` is what they come to.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from slotbench.records import ThinkTime

NUM_DRAWN: Final = 1024
"""Think times drawn per actor before the trial; they are used round and round."""

_CHUNK: Final = 16_384
"""Think times drawn at once where all actors share them."""

_SEED_STEP: Final = 100_003
"""Apart enough that actors of two blocks do not draw alike: more than there can be actors."""

_MS: Final = 1e-3


def actor_seed(seed: int, index: int) -> int:
    """Seed of one actor in a trial of that seed; says which actor it is, see `actor_index`."""
    return seed * _SEED_STEP + index


def actor_index(seed: int) -> int:
    """Which actor a seed is of."""
    return seed % _SEED_STEP


def takes_time(think: ThinkTime) -> bool:
    """Whether there is anything to think or to reset."""
    return think.distribution != "none" or think.reset_every > 0


def is_drawn(think: ThinkTime) -> bool:
    """Whether think times differ from step to step."""
    return think.distribution in {"exponential", "lognormal"} or think.reset_every > 0


def draw_s(think: ThinkTime, seed: int) -> list[float]:
    """Draw an actor's think times.

    Args:
        think: what is asked for.
        seed: of the actor, by `actor_seed`: which actor it is decides whether it resets.

    Returns:
        Durations in seconds, to be used round and round: 1024 of them, or as many whole
        episodes as hold so many, whose resets stay ``reset_every`` steps apart that way. The
        step of the first reset is drawn, so that actors do not reset together. Empty where
        nothing takes time. Lognormal ones have mean ``mean_ms``: the underlying normal's mean
        is ln(mean) - sigma²/2.
    """
    rng = np.random.default_rng(seed)
    times_s = _thinks_s(think, rng)
    if not _resets(think, actor_index(seed)):
        return times_s if think.distribution != "none" else []
    every = think.reset_every
    num_resets = math.ceil(NUM_DRAWN / every)
    # Of one long episode the steps beyond those drawn share their times, not their memory.
    episodes_s = [times_s[step % NUM_DRAWN] for step in range(num_resets * every)]
    first = int(rng.integers(every))
    resets_s = rng.uniform(*_reset_span_s(think), num_resets).tolist()
    for step, reset_s in zip(range(first, len(episodes_s), every), resets_s, strict=True):
        episodes_s[step] += reset_s
    return episodes_s


def _thinks_s(
    think: ThinkTime, rng: np.random.Generator, number: int = NUM_DRAWN
) -> list[float]:
    """Think times without resets."""
    mean = think.mean_ms * _MS
    match think.distribution:
        case "none":
            return [0.0] * number
        case "constant":
            return [mean] * number
        case "exponential":
            drawn = rng.exponential(mean, number)
        case "lognormal":
            location = np.log(mean) - think.sigma**2 / 2
            drawn = rng.lognormal(location, think.sigma, number)
    found: list[float] = drawn.tolist()
    return found


def of_many_s(
    think: ThinkTime, num_slots: int, seed: int, excess_s: float = 0.0
) -> list[Iterator[float]]:
    """Each actor's think times without end, for a simulation of very many actors.

    They are not those that a trial's actors draw: all actors draw from one stream, a chunk at a time,
    which takes 0.1 µs a draw and memory of one chunk, whatever the number of actors.

    Args:
        think: what is asked for.
        num_slots: actors.
        seed: of everything drawn.
        excess_s: that each actor takes beside.
    """
    rng = np.random.default_rng(seed)
    if think.distribution in {"none", "constant"}:
        plain: Iterator[float] = itertools.repeat(think.mean_ms * _MS + excess_s)
    else:
        plain = _stream_s(think, rng, excess_s)
    if think.reset_every == 0:
        return [plain] * num_slots
    resets = _resets_s(think, rng)
    return [
        _with_resets_s(
            plain, resets, think.reset_every, int(rng.integers(think.reset_every))
        )
        if _resets(think, index)
        else plain
        for index in range(num_slots)
    ]


def _stream_s(
    think: ThinkTime, rng: np.random.Generator, excess_s: float
) -> Iterator[float]:
    while True:
        for drawn_s in _thinks_s(think, rng, _CHUNK):
            yield drawn_s + excess_s


def _resets_s(think: ThinkTime, rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.uniform(*_reset_span_s(think), NUM_DRAWN).tolist()


def _with_resets_s(
    plain: Iterator[float], resets: Iterator[float], every: int, first: int
) -> Iterator[float]:
    """An actor whose episodes end, the first one after so many steps."""
    for step in itertools.count(every - first):
        yield next(plain) + (next(resets) if step % every == 0 else 0.0)


def mean_s(think: ThinkTime, num_slots: int, excess_s: float = 0.0) -> float:
    """Mean think time of a request, where actors differ too, seconds.

    Actors that reset make fewer requests. The harmonic mean of the actors' own means counts
    each as often as it asks when it never waits; put into N/(Z + S) it gives no less than the sum
    of the actors' 1/(Z_i + S), which is concave in 1/Z_i: a bound stays one.

    Args:
        think: what is asked for.
        num_slots: actors.
        excess_s: that each actor takes beside.
    """
    plain_s = max(0.0, think.mean_ms * _MS + excess_s)
    if think.reset_every == 0:
        return plain_s
    reset_s = plain_s + sum(_reset_span_s(think)) / 2 / think.reset_every
    num_resetting = sum(_resets(think, index) for index in range(num_slots))
    if num_resetting == num_slots:
        return reset_s
    if plain_s == 0.0:
        return 0.0
    rate = num_resetting / reset_s + (num_slots - num_resetting) / plain_s
    return num_slots / rate


def _resets(think: ThinkTime, index: int) -> bool:
    """Whether this actor's environment has episodes that end."""
    of_first = think.reset_actors
    return think.reset_every > 0 and (of_first is None or index < of_first)


def _reset_span_s(think: ThinkTime) -> tuple[float, float]:
    """Shortest and longest reset."""
    longest_ms = think.reset_ms if think.reset_max_ms is None else think.reset_max_ms
    return think.reset_ms * _MS, longest_ms * _MS
