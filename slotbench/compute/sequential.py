"""Looking at a run more than once: when to look, and how much surer each look must then be.

A run that goes on until its cells are decided looks at its own results, and stops when it likes what
it sees. Judged each time at 95 % it raises some 15 % false alarms: each look is another chance. Here
the looks are planned before the first round, and all use one stricter level, such that the intervals
of *all* looks hold the truth together in 95 % of runs. Whatever then makes a run stop, at whichever
look (it is decided, nothing more is to be expected, time is up), its last interval keeps its 95 %.

Student's t makes this exact, also from few rounds on. Let S and Q be the sum and the sum of squares of n
logarithms without a true difference, and u = S/√Q, of which t is a rising function. After m more it is

    u' = √r·u + √(1 - r)·v

where r, the share of the old squares in all, is Beta(n/2, m/2) and v is the u of the new ones alone. A
normal sample's direction says nothing of its length, so both are independent of all u before:
u is a Markov chain, and the chance to stay within a bound at every look follows by recursion.

Sources: Armitage, McPherson and Rowe, "Repeated Significance Tests on Accumulating Data", Journal of
the Royal Statistical Society A 132 (1969), for the recursion; Pocock, "Group Sequential Methods in
the Design and Analysis of Clinical Trials", Biometrika 64 (1977), for one level at all looks;
Jennison and Turnbull, "Interim Analyses: The Repeated Confidence Interval Approach", Journal of the
Royal Statistical Society B 51 (1989), and "Exact Calculations for Sequential t, χ² and F Tests",
Biometrika 78 (1991).
"""

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from slotbench.compute.statistics import CONFIDENCE

if TYPE_CHECKING:
    from slotbench.records import RunRecord

GROWTH: Final = math.sqrt(2.0)
"""Rounds of a look over those of the look before. Each look costs all the others some of their
sharpness; each round beyond what would have decided is waited for in vain."""

MAX_ROUNDS_FACTOR: Final = 4
"""Times a scenario's rounds that a run takes at most unless told otherwise: half an interval's width."""

MIN_FIRST_LOOK: Final = 5
"""Rounds: of fewer pairs the spread is as good as unknown, and so is what more of them would show. One run alone
keeps its level from two pairs on; the difference of two that both stopped early does not: from 3 on up to
6 % of unchanged contenders are called changed, from 5 on less than 5 %."""

_CELLS: Final = 48
"""Into which [0, bound] is cut; with these a level of 5 % is right to 0.05 %."""

_NODES: Final = 12
"""Of the quadrature over a share of squares."""

_LEVELS: Final = np.logspace(-6.0, 0.0, 13)
"""At which `family_level` is computed, and between which it is interpolated."""

_Floats = npt.NDArray[np.floating[Any]]


def looks(first: int, last: int) -> tuple[int, ...]:
    """Plan after which rounds to look: each time about `GROWTH` times the rounds of the look before.

    Args:
        first: rounds before the first look, at least 1.
        last: rounds at most, at least ``first``.

    Raises:
        ValueError: the numbers are not in this order.
    """
    if not 1 <= first <= last:
        raise ValueError(
            f"looks are planned from 1 or more rounds on, not {first} to {last}"
        )
    if first == last:
        return (first,)
    # Equal steps of the logarithm, so that no step is a mere rest.
    num_steps = max(1, round(math.log(last / first) / math.log(GROWTH)))
    planned = (
        round(first * (last / first) ** (k / num_steps)) for k in range(num_steps + 1)
    )
    return tuple(dict.fromkeys(planned))


def crossing(planned: Sequence[int], level: float) -> float:
    """Chance that any look, by a t test at this level, finds a difference that is not there.

    Args:
        planned: pairs at each look, rising from 2 or more.
        level: two-sided, of one look alone.

    Returns:
        At least ``level``, at most 1 and ``level`` times the number of looks.

    Raises:
        ValueError: no looks, looks that do not rise from 2 on, or a level outside 0 to 1.
    """
    _check(planned)
    if not 0.0 <= level <= 1.0:
        raise ValueError(f"a level is between 0 and 1, not {level}")
    if level in {0.0, 1.0} or len(planned) == 1:
        return level
    from scipy import special

    first = planned[0]
    edges = np.linspace(0.0, _bound(first, level), _CELLS + 1)
    t_edges = edges * np.sqrt((first - 1) / (first - edges**2))
    # Chance that |u| is in each cell, and was within the bound at every look so far.
    mass = np.diff(2.0 * special.stdtr(first - 1, t_edges))
    for before, now in pairwise(planned[:-1]):
        middles = (edges[1:] + edges[:-1]) / 2
        edges = np.linspace(0.0, _bound(now, level), _CELLS + 1)
        mass = mass @ np.diff(_within(middles, edges, before, now - before), axis=1)
    middles = (edges[1:] + edges[:-1]) / 2
    bound = np.array([_bound(planned[-1], level)])
    stays = _within(middles, bound, planned[-2], planned[-1] - planned[-2])[:, 0]
    # Between one look and Bonferroni's bound, whatever the quadrature leaves over.
    most = min(1.0, len(planned) * level)
    return min(most, max(level, 1.0 - float(mass @ stays)))


def family_level(planned: Sequence[int], level: float) -> float:
    """`crossing`, fast for many levels: what a p-value of one look is worth among all looks.

    Args:
        planned: pairs at each look; fewer than two looks leave the level as it is.
        level: two-sided, of one look alone; a p-value.

    Returns:
        Interpolated on logarithms; below the least level that is computed, Bonferroni's bound.
    """
    places = tuple(planned)
    if len(places) < 2 or level <= 0.0:
        return level
    if level < _LEVELS[0]:
        return min(float(_curve(places)[0]), len(places) * level)
    found = np.interp(math.log(level), np.log(_LEVELS), np.log(_curve(places)))
    return min(1.0, math.exp(float(found)))


def nominal_confidence(planned: Sequence[int], confidence: float = CONFIDENCE) -> float:
    """Confidence of each look's intervals with which all looks together have the one wanted.

    Args:
        planned: pairs at each look, rising from 2 or more.
        confidence: of all looks together.

    Returns:
        ``confidence`` itself for one look, above it for more.

    Raises:
        ValueError: no looks, looks that do not rise from 2 on, or a confidence outside 0 to 1.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"a confidence is between 0 and 1, not {confidence}")
    places = tuple(planned)
    _check(places)
    if len(places) == 1:
        return confidence
    wanted = math.log(1.0 - confidence)
    return 1.0 - math.exp(float(np.interp(wanted, np.log(_curve(places)), np.log(_LEVELS))))


def family_p_value(planned: Sequence[int], p_value: float) -> float:
    """A one-sided p-value of one look, as one of all looks.

    Below (1 - confidence)/2 of the family exactly where the one look's is below (1 - nominal)/2. Half
    of a two-sided chance: a run that crosses both bounds counts for neither side.
    """
    return family_level(planned, min(1.0, 2.0 * p_value)) / 2 if p_value < 0.5 else p_value


def confidence_of(run: "RunRecord") -> float:
    """Confidence that the intervals of a run have, each: above 95 % where it looked more than once.

    By whichever metric: what made it stop are the gated ones, and all others go with them.
    """
    return CONFIDENCE if run.sequential is None else run.sequential.confidence


def threshold_of(run: "RunRecord", metric: str) -> float:
    """δ of a run for a metric: what it was to decide by where it was until decided, else its scenario's."""
    own = {} if run.sequential is None else run.sequential.thresholds
    return own.get(metric, run.scenario.threshold)


@cache
def _curve(planned: tuple[int, ...]) -> _Floats:
    """`crossing` at every one of `_LEVELS`."""
    return np.maximum.accumulate([crossing(planned, float(level)) for level in _LEVELS])


def _bound(num_pairs: int, level: float) -> float:
    """What u is where t is at its two-sided limit."""
    from scipy import special

    t = -float(special.stdtrit(num_pairs - 1, level / 2))
    return t * math.sqrt(num_pairs / (num_pairs - 1 + t * t))


def _within(at: _Floats, bounds: _Floats, num_before: int, num_more: int) -> _Floats:
    """Chance that the size of u' is at most each bound, from each u: ``[u, bound]``.

    Of the new pairs' squares z² is their sum's part, √m·z; the rest, W, is chi-square of m - 1 degrees. With
    R the old squares and tan φ = z/√R, √n·tan φ is Student's t of n degrees, and (R + z²)/(R + z² + W)
    an independent Beta, over which a quadrature goes. Then u' is √Beta·√(u² + m)·sin(φ + α), tan α = u/√m.
    """
    from scipy import special

    share, weights = np.ones(1), np.ones(1)
    if num_more > 1:
        nodes, weights = special.roots_jacobi(
            _NODES, (num_more - 3) / 2, (num_before - 1) / 2
        )
        share, weights = (1.0 + nodes) / 2, weights / weights.sum()
    alpha = np.arctan2(at, math.sqrt(num_more))[:, None, None]
    longest = np.sqrt(share * (at[:, None] ** 2 + num_more))[:, None, :]
    beta = np.arcsin(np.minimum(1.0, bounds[None, :, None] / longest))
    root = math.sqrt(num_before)
    most = math.pi / 2 - 1e-12

    def below(phi: _Floats) -> _Floats:
        return np.asarray(
            special.stdtr(num_before, root * np.tan(np.clip(phi, -most, most)))
        )

    # The sine is also small again beyond its top.
    inside = below(beta - alpha) - below(-beta - alpha)
    inside += 1.0 - below(math.pi - beta - alpha)
    return np.asarray(inside @ weights)


def _check(planned: Sequence[int]) -> None:
    rises = all(before < now for before, now in pairwise(planned))
    if not planned or planned[0] < 2 or not rises:
        raise ValueError(
            f"looks are after rising numbers of pairs from 2 on, not {planned}"
        )
