"""What must hold of the counts for the harness to be trusted, and how much chance may add.

A false alarm is a 95 % interval of slotbench's that excludes 1 where nothing was put in.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from slotbench.compute.statistics import CONFIDENCE
from slotbench.records import (
    Criterion,
    MachinePart,
    MethodCount,
    SelfTestSetting,
    SequentialCount,
)

FAMILY: Final = 0.01
"""Chance that a harness without fault fails any of the criteria of one kind: divided among
them (Bonferroni), so that a failure means something however many settings there are."""

MAX_ALARM_RATIO: Final = 0.07
"""False alarms where noise is not Gaussian, and of percentiles everywhere: theory promises no 5 %."""

MIN_COVERED_RATIO: Final = 0.93
"""Intervals that hold the true ratio, everywhere."""

ENOUGH: Final = 4_000
"""From so many comparisons on the two limits above are taken as they are: a true 5 % is then
six standard deviations from them. With fewer, chance is allowed for."""

FULL_BATCH_RATIO: Final = 0.995
"""Mean batch over actors, from which a planted slowdown is taken to be what was planted."""

POWER_SLACK: Final = 0.02
"""By which theory may be off: latencies and counts are not quite normal."""

MIN_PAIRED_RATIO: Final = 0.8
"""Of slowdowns of 3 % under a random walk; a comparison that does not pair finds next to none."""

_THROUGHPUT: Final = "throughput"
_WALK: Final = "random walk"
_PAIRED_FIND: Final = (_THROUGHPUT, 0.03)
_FOUND: Final = "slowdowns that are found"
_ALARM_RATIO: Final = 1.0 - CONFIDENCE
_ALARMS: Final = "false alarms"
_COVERED: Final = "intervals that hold the true ratio"
_UNTIL_ALARMS: Final = "until decided: false alarms"
_UNTIL_COVERED: Final = "until decided: intervals that hold the true ratio"


def judge(
    settings: Sequence[SelfTestSetting],
    machine: MachinePart | None = None,
    sequential: Sequence[SequentialCount] = (),
) -> tuple[Criterion, ...]:
    """Hold everything that was counted against what is allowed."""
    ours = [
        (setting, count)
        for setting in settings
        for count in setting.counts
        if count.method == "slotbench"
    ]
    alarms = [one for one in ours if one[1].effect == 0.0]
    exact = [one for one in alarms if one[0].is_gaussian and one[1].metric == _THROUGHPUT]
    bounded = [one for one in alarms if one not in exact]
    # The true ratio of a percentile is known where both windows hold equally many requests: a
    # nearest rank of 727 is another share of them than one of 800.
    known = [one for one in ours if one[1].metric == _THROUGHPUT or one[1].effect == 0.0]
    powers = [
        (setting, count, one.power_ratio)
        for setting, count in ours
        for one in setting.predicted
        if (count.metric, count.effect) == (_THROUGHPUT, one.effect)
    ]
    walks = [
        one
        for one in ours
        if one[0].noise == _WALK and (one[1].metric, one[1].effect) == _PAIRED_FIND
    ]
    return (
        *(_exact(*one, FAMILY / len(exact)) for one in exact),
        *(_bounded(*one, FAMILY / len(bounded)) for one in bounded),
        *(_covered(*one, FAMILY / len(known)) for one in known),
        *(_predicted(*one, FAMILY / len(powers)) for one in powers),
        *(_paired(*one, FAMILY / len(walks)) for one in walks),
        *(() if machine is None else _of_machine(machine)),
        *_of_sequential(sequential),
    )


def band(number: int, ratio: float, chance: float) -> tuple[int, int]:
    """Least and most that a binomial count may be, both included.

    Args:
        number: of trials.
        ratio: chance of each.
        chance: of a count outside, at most half of it on each side.
    """
    from scipy import stats

    low, high = (
        stats.binom.ppf(chance / 2, number, ratio),
        stats.binom.isf(chance / 2, number, ratio),
    )
    return max(0, int(low)), min(number, int(high))


def _exact(setting: SelfTestSetting, count: MethodCount, chance: float) -> Criterion:
    number = count.num_comparisons
    low, high = band(number, _ALARM_RATIO, chance)
    return Criterion(_ALARMS, _where(setting, count), _alarms(count), number, low, high)


def _bounded(setting: SelfTestSetting, count: MethodCount, chance: float) -> Criterion:
    number = count.num_comparisons
    most = _most(number, MAX_ALARM_RATIO, 2 * chance)
    return Criterion(_ALARMS, _where(setting, count), _alarms(count), number, 0, most)


def _covered(setting: SelfTestSetting, count: MethodCount, chance: float) -> Criterion:
    number = count.num_comparisons
    least = _least(number, MIN_COVERED_RATIO, 2 * chance)
    seen = count.num_covered or 0
    return Criterion(_COVERED, _where(setting, count), seen, number, least, number)


def _predicted(
    setting: SelfTestSetting, count: MethodCount, power: float, chance: float
) -> Criterion:
    """Found as often as the t test finds: one that never speaks, or speaks too soon, does not pass."""
    number = count.num_comparisons
    low = band(number, max(0.0, power - POWER_SLACK), chance)[0]
    high = band(number, min(1.0, power + POWER_SLACK), chance)[1]
    return Criterion(_FOUND, _where(setting, count), count.num_lower, number, low, high)


def _paired(setting: SelfTestSetting, count: MethodCount, chance: float) -> Criterion:
    """Found although the machine wanders: blocks must be compared inside themselves."""
    number = count.num_comparisons
    least = band(number, MIN_PAIRED_RATIO, 2 * chance)[0]
    return Criterion(_FOUND, _where(setting, count), count.num_lower, number, least, number)


def _of_sequential(counted: Sequence[SequentialCount]) -> Iterator[Criterion]:
    """Runs that look more than once: as few false alarms, and as much coverage, as those that do not.

    At most, and not about, 5 %: runs that are decided early never make all of their looks.
    """
    ours = [one for one in counted if one.method == "slotbench"]
    alarms = [one for one in ours if one.effect == 0.0]
    for one in alarms:
        number, chance = one.num_comparisons, 2 * FAMILY / len(alarms)
        if _is_exact(one):
            most = band(number, _ALARM_RATIO, chance)[1]
        else:
            most = _most(number, MAX_ALARM_RATIO, chance)
        seen = one.num_lower + one.num_higher
        yield Criterion(_UNTIL_ALARMS, _where_until(one), seen, number, 0, most)
    known = [one for one in ours if one.metric == _THROUGHPUT or one.effect == 0.0]
    for one in known:
        number, chance = one.num_comparisons, 2 * FAMILY / len(known)
        if _is_exact(one):
            least = band(number, CONFIDENCE, chance)[0]
        else:
            least = _least(number, MIN_COVERED_RATIO, chance)
        where = _where_until(one)
        yield Criterion(_UNTIL_COVERED, where, one.num_covered, number, least, number)


def _is_exact(one: SequentialCount) -> bool:
    """Whether theory promises 95 %."""
    return one.is_gaussian and one.metric == _THROUGHPUT


def _most(number: int, ratio: float, chance: float) -> int:
    """What a limit allows; of few comparisons, what chance adds, too."""
    most = math.floor(ratio * number + 1e-9)
    return most if number >= ENOUGH else max(most, band(number, ratio, chance)[1])


def _least(number: int, ratio: float, chance: float) -> int:
    """What a limit demands; of few comparisons, less by chance."""
    least = math.ceil(ratio * number - 1e-9)
    return least if number >= ENOUGH else min(least, band(number, ratio, chance)[0])


def _of_machine(machine: MachinePart) -> Iterator[Criterion]:
    outside = [not one.low <= 1.0 <= one.high for one in machine.repeated]
    yield _within("A/A intervals that exclude 1", "this machine", outside, _ALARM_RATIO)
    slowdowns = sorted({one.slowdown for one in machine.planted})
    for slowdown in slowdowns:
        here = [one for one in machine.planted if one.slowdown == slowdown]
        where = f"planted {slowdown:.0%}"
        if slowdown == 0.0:
            claimed = [one.verdict in {"faster", "slower"} for one in here]
            yield _within("cells called faster or slower", where, claimed, _ALARM_RATIO)
        else:
            yield _all(
                "cells called slower", where, (one.verdict == "slower" for one in here)
            )
        truth = 1.0 / (1.0 + slowdown)
        held = [one.low <= truth <= one.high for one in here]
        least = band(len(held), CONFIDENCE, FAMILY)[0]
        yield Criterion(_COVERED, where, sum(held), len(held), least, len(held))
    full = (
        one.mean_batch_size >= FULL_BATCH_RATIO * one.num_slots for one in machine.planted
    )
    yield _all("batches that hold all actors", "planted", full)
    yield Criterion(
        "intervals that are missing",
        "this machine",
        machine.num_missing,
        _num(machine),
        0,
        0,
    )


def _within(name: str, where: str, seen: Sequence[bool], ratio: float) -> Criterion:
    """Not more than chance allows of what has that chance."""
    most = band(len(seen), ratio, FAMILY)[1]
    return Criterion(name, where, sum(seen), len(seen), 0, most)


def _all(name: str, where: str, seen: Iterable[bool]) -> Criterion:
    found = list(seen)
    return Criterion(name, where, sum(found), len(found), len(found), len(found))


def _num(machine: MachinePart) -> int:
    return len(machine.repeated) + len(machine.planted) + machine.num_missing


def _alarms(count: MethodCount) -> int:
    return count.num_lower + count.num_higher


def _where_until(one: SequentialCount) -> str:
    return f"{one.noise}, {one.looks[0]} to {one.looks[-1]} rounds, {one.metric}, effect {one.effect:.0%}"


def _where(setting: SelfTestSetting, count: MethodCount) -> str:
    return f"{setting.noise}, {setting.rounds} rounds, {count.metric}, effect {count.effect:.0%}"
