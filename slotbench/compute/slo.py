"""The search for the highest load that keeps to its limits: from trials to the next load, or the end.

Pure: what has been tried decides what is tried next, so a record that is read back goes on
where it stopped. Loads stand on a ladder, ``(1 + precision)^index`` requests per second, the same
for all contenders. From its start the search goes up or down by factors of 2 until it has a load that
holds and one that does not, and then bisects between them, to two neighbours of the ladder.

A load is decided by trials, one number each: the logarithm of the trial's percentile over its limit.
So what is held against the limit is the geometric mean over processes, and the test is exact where
logarithms are normal. It *holds* where a one-sided t test rejects that the mean is 0 or more, for every limit;
it *fails* where one rejects that the mean is 0 or less, for any limit. Each test has
``(1 - confidence) / (searches · most loads · looks)``, a failure's once more divided by the number of
limits: by Bonferroni's inequality no decision of the whole answer is wrong with a
probability above ``1 - confidence``. A load at which neither is shown after the last look is undecided,
and the search goes on beside it: both ends of the interval that it gives were shown.

That the truth lies between them assumes that latency does not fall where load rises.

Source: C. E. Bonferroni (1936); the ladder and its bracket are loadgen's FindPeakPerformance, which takes
one run for each load's truth.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from slotbench.compute import statistics
from slotbench.records import Limit, SloPlan, SloTrial, TrialMeasurement, TrialRecord

Decision = Literal["open", "holds", "fails", "undecided", "unmade"]
"""Of a load: more trials are wanted; shown to hold; shown not to; neither after the last look;
no trial with numbers could be made of it."""

Ending = Literal[
    "interval",
    "none holds",
    "all hold",
    "undecided below",
    "undecided above",
    "not found",
    "open",
]

Cause = Literal["", "generator", "contender", "other"]
"""Of a trial without usable numbers: the generator was late; the contender failed, or lost, mixed up or
doubled replies; the window or machine was of no use."""

_CONTENDERS_RULES: Final = frozenset({"wrong_reply", "lost_reply", "counts", "server"})
"""Of `slotbench.compute.validity`: what a contender, and no generator, is to blame for."""

MAX_FACTOR: Final = 4.0
"""What one trial's percentile counts for at most, over its limit or under it: how far beyond
saturation a latency gets says how long the window was."""

_LEAST_SD: Final = 0.01
"""Of the logarithms, where a load fails: trials that agree to less do so by chance, or by
`MAX_FACTOR`."""

_LEAST_SD_HOLDS: Final = 0.1
"""The same where a load holds. A few processes that agree say little of a slow one among ten: with
10 % of processes three times as slow the mean lies 0.11 above what the others agree on, and so near
to the limit no load is to hold by their agreement. The rare process is the slow one: a failure needs no such
margin."""

MAX_BACKLOG_SHARE: Final = 0.01
"""Of a window's requests: those that were due and not submitted at its end, beyond which the load
is not carried; more where Little's law says that as many wait in a steady state, too."""

_WAITING: Final = 2.0
"""A queue that grows through a window ends with twice the requests that its mean latency explains."""

DOUBLINGS: Final = 5
"""From the first load, up or down."""

ABOVE_CLOSED: Final = 4.0
"""Nobody carries so many times what a closed loop reaches with all slots busy."""

MAX_UNUSABLE: Final = 3
"""Trials of one load that failed or were INVALID, after which it is given up."""

MAX_DISTURBED: Final = 3
"""Trials of one load that the machine disturbed and that are made again; further ones count, so that
a search on a machine that is always busy ends."""

_HOPE: Final = 0.5
"""Of the effect that the last look needs: what an earlier one must have, for more trials to be of use."""

_CONTRADICTION: Final = 0.01
"""Level of the test for a latency that falls where load rises; it only warns."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The loads that a search may try.

    Attributes:
        precision: ratio of two neighbours, less 1.
        first: index of the load that is tried first,
        lowest, highest: and those beyond which nothing is.
    """

    precision: float
    first: int
    lowest: int
    highest: int

    @property
    def stride(self) -> int:
        """Steps of the ladder that double the load."""
        return max(1, math.ceil(math.log(2.0) / math.log1p(self.precision) - 1e-9))


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial, as a search sees it.

    Attributes:
        margins: of each limit the logarithm of percentile over limit, cut at `MAX_FACTOR`; None
            where the trial has no usable numbers.
        is_disturbed: the machine interfered.
        is_overloaded: requests came faster than they were answered.
        values_s: each limit's percentile as measured; None of too few requests.
        cause: why it has no usable numbers; "" where it has some,
        problem: and that in words.
    """

    margins: tuple[float, ...] | None
    is_disturbed: bool = False
    is_overloaded: bool = False
    values_s: tuple[float | None, ...] = ()
    cause: Cause = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One load of a search.

    Attributes:
        load_per_s: of all actors together.
        counted: margins of the trials that count, each of every limit.
        values_s: each limit's percentile: geometric mean of the trials that count.
        num_overloaded: of them.
        num_disturbed: trials that were made again.
        num_disturbed_counted: of those that count, since they were too many to be made again.
        num_unusable: failed or INVALID,
        cause: of the last of them; "" where there is none,
        problem: and what it met, in words.
    """

    load_index: int
    load_per_s: float
    decision: Decision
    counted: tuple[tuple[float, ...], ...]
    values_s: tuple[float | None, ...]
    num_overloaded: int
    num_disturbed: int
    num_disturbed_counted: int
    num_unusable: int
    cause: Cause = ""
    problem: str = ""

    @property
    def num_trials(self) -> int:
        """How many trials count."""
        return len(self.counted)


@dataclass(frozen=True, slots=True)
class Search:
    """What is known of one contender in one cell.

    Attributes:
        points: by rising load.
        next_index: the load of the next trial; None where the search has ended.
        ending: "interval": between two loads; "none holds": the lowest tried does not; "all hold":
            the highest tried does; "undecided below": some are shown not to hold, none lower is
            decided; "undecided above": some are shown to hold, none higher is decided; "not
            found": no load could be decided; "open": it goes on.
        contradictions: pairs of loads of which the lower one has the higher latency.
    """

    points: tuple[Point, ...]
    next_index: int | None
    ending: Ending
    contradictions: tuple[tuple[Point, Point], ...] = ()

    @property
    def held(self) -> Point | None:
        """The highest load shown to hold."""
        return next((p for p in reversed(self.points) if p.decision == "holds"), None)

    @property
    def failed(self) -> Point | None:
        """The lowest load shown not to hold."""
        return next((p for p in self.points if p.decision == "fails"), None)

    @property
    def unmade(self) -> Point | None:
        """The lowest load of which no trials could be made."""
        return next((p for p in self.points if p.decision == "unmade"), None)


def load_per_s(index: int, precision: float) -> float:
    """The load at a place of the ladder, in four significant digits.

    Args:
        index: 0 is one request a second.
        precision: ratio of two neighbours, less 1.
    """
    return float(f"{(1.0 + precision) ** index:.4g}")


def index_of(load: float, precision: float) -> int:
    """The place of the ladder that is nearest to a load, not below 0."""
    return max(0, round(math.log(max(load, 1.0)) / math.log1p(precision)))


def ladder(plan: SloPlan, closed_per_s: float | None, lowest_per_s: float) -> Ladder:
    """Say where a search begins and ends.

    Args:
        plan: its precision, and its first load if that was given.
        closed_per_s: what a closed loop reached; may be None where the first load was given.
        lowest_per_s: below which a window would not hold enough requests.

    Raises:
        ValueError: neither a first load nor a closed loop.
    """
    precision = plan.precision
    first_per_s = plan.from_per_s
    if first_per_s is None:
        if closed_per_s is None:
            raise ValueError("a search begins at a given load, or at a closed loop's")
        first_per_s = closed_per_s / 2.0
    lowest = index_of(lowest_per_s, precision)
    first = max(lowest, index_of(first_per_s, precision))
    stride = Ladder(precision, 0, 0, 0).stride
    highest = first + DOUBLINGS * stride
    if plan.from_per_s is None and closed_per_s is not None:
        highest = min(highest, index_of(ABOVE_CLOSED * closed_per_s, precision))
    return Ladder(
        precision, first, max(lowest, first - DOUBLINGS * stride), max(first, highest)
    )


def max_points(steps: Ladder) -> int:
    """The most loads that one search tries, whatever is decided of each.

    They are its bracket, to both sides where the first load is undecided, and the longest
    bisection.
    """
    down = math.ceil((steps.first - steps.lowest) / steps.stride)
    up = math.ceil((steps.highest - steps.first) / steps.stride)
    return 1 + down + up + _longest(steps.stride, steps.stride)


@functools.cache
def _longest(below: int, above: int) -> int:
    """The longest bisection of the steps below and above what is undecided; 0 above: nothing is."""
    if below > 1:
        low, high = below // 2, below - below // 2
        undecided = _longest(low, above or high)
        return 1 + max(undecided, _longest(high, above), _longest(low, 0))
    if above > 1:
        low, high = above // 2, above - above // 2
        return 1 + max(_longest(1, high), _longest(1, low), _longest(high, 0))
    return 0


def level(plan: SloPlan, steps: Ladder, num_searches: int) -> float:
    """The level of one test, by Bonferroni over searches, loads and looks.

    Args:
        plan: its confidence and looks.
        steps: loads that this search may try.
        num_searches: contenders times cells.
    """
    num_tests = num_searches * max_points(steps) * len(plan.looks)
    return (1.0 - plan.confidence) / num_tests


def tried(trial: SloTrial, limits: Sequence[Limit]) -> Tried:
    """What a recorded trial says to a search; one whose generator was late is INVALID and says nothing."""
    measured = trial.trial.measurement
    disturbed = trial.trial.is_disturbed
    if trial.trial.status == "failed" or trial.trial.is_invalid or measured is None:
        cause, problem = _cause(trial.trial)
        return Tried(None, disturbed, cause=cause, problem=problem)
    found = [(percentile(measured, one.percent), one.limit_s) for one in limits]
    overloaded = is_overloaded(measured)
    margins = []
    for value_s, limit_s in found:
        if overloaded:
            margins.append(math.log(MAX_FACTOR))
        elif value_s is None:
            problem = "its window holds too few requests"
            return Tried(None, disturbed, cause="other", problem=problem)
        else:
            # A latency of 0 is below the clock.
            margins.append(cut(math.log(max(value_s, 1e-9) / limit_s)))
    values_s = tuple(value_s for value_s, _ in found)
    return Tried(tuple(margins), disturbed, overloaded, values_s)


def problem(trial: TrialRecord) -> str:
    """Why a trial has no usable numbers; "" where it has some."""
    return _cause(trial)[1]


def _cause(trial: TrialRecord) -> tuple[Cause, str]:
    if trial.status == "failed":
        return "contender", f"failed: {trial.error}"
    invalid = [found for found in trial.findings if found.severity == "INVALID"]
    if not invalid:
        return "", ""
    # What a contender does wrong is not made good by a generator that was late, too.
    of_contender = [found for found in invalid if found.rule in _CONTENDERS_RULES]
    worst = (of_contender or invalid)[0]
    cause: Cause = "other"
    if of_contender:
        cause = "contender"
    elif worst.rule == "generator":
        cause = "generator"
    return cause, f"{worst.rule}: {worst.detail}"


def percentile(measured: TrialMeasurement, percent: float) -> float | None:
    """A trial's latency at one of `slotbench.records.PERCENTILES`; None of too few requests."""
    by_percent = {
        50.0: measured.latency_p50_s,
        90.0: measured.latency_p90_s,
        99.0: measured.latency_p99_s,
        99.9: measured.latency_p999_s,
    }
    return by_percent[percent]


def is_overloaded(measured: TrialMeasurement) -> bool:
    """Whether requests came faster than they were answered, so that latency says how long we watched.

    In a steady state about ``load · mean latency`` requests wait (Little's law). More than twice that,
    and more than `MAX_BACKLOG_SHARE` of what was due, is a queue that grows.
    """
    found = measured.open_loop
    if found is None or found.num_intended == 0:
        return False
    mean_s = measured.latency_mean_s or 0.0
    steady = found.num_intended * min(1.0, mean_s / measured.window_s)
    allowed = MAX_BACKLOG_SHARE * found.num_intended + _WAITING * steady
    # Twice the mean is also what a queue that grows ends with: half of what was due, at once.
    return found.num_unanswered > min(allowed, 0.5 * found.num_intended)


def cut(margin: float) -> float:
    """A margin, at most `MAX_FACTOR` to either side."""
    most = math.log(MAX_FACTOR)
    return min(most, max(-most, margin))


def decide(
    counted: Sequence[Sequence[float]], looks: Sequence[int], alpha: float
) -> Decision:
    """Decide a load at the first look that shows something.

    A look also ends it where the last one would show nothing either: where the mean, in
    standard deviations, is below `_HOPE` of what that would need. It costs power, and no error.

    Args:
        counted: margins of its trials in their order, each of every limit.
        looks: numbers of trials after which it may be decided.
        alpha: level of one test.
    """
    for look in looks:
        if len(counted) < look:
            return "open"
        of_limits = list(zip(*counted[:look], strict=True))
        alpha_fails = alpha / len(of_limits)
        holding = max(_effect(values, _LEAST_SD_HOLDS) for values in of_limits)
        failing = max(_effect(values, _LEAST_SD) for values in of_limits)
        if holding <= -_needed(alpha, look):
            return "holds"
        if failing >= _needed(alpha_fails, look):
            return "fails"
        is_hopeless = holding > -_HOPE * _needed(
            alpha, looks[-1]
        ) and failing < _HOPE * _needed(alpha_fails, looks[-1])
        if is_hopeless and look != looks[0]:
            return "undecided"
    return "undecided"


def _effect(values: Sequence[float], least_sd: float) -> float:
    """Their mean in standard deviations, of which each is at least so much."""
    count = len(values)
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return mean / max(math.sqrt(variance), least_sd)


@functools.cache
def _needed(alpha: float, count: int) -> float:
    """The effect that a one-sided t test of so many values needs.

    Source: Student, "The Probable Error of a Mean", Biometrika 6 (1908).
    """
    from scipy import special  # 0.3 s to import

    return float(-special.stdtrit(count - 1, alpha)) / math.sqrt(count)


def search(
    trials: Iterable[tuple[int, Tried]], steps: Ladder, plan: SloPlan, alpha: float
) -> Search:
    """Say what the trials of one search have shown, and which load is next.

    Args:
        trials: load index and what was found, in the order made.
        steps: loads that may be tried.
        plan: its looks.
        alpha: level of one test; see `level`.
    """
    by_index: dict[int, list[Tried]] = {}
    for index, one in trials:
        by_index.setdefault(index, []).append(one)
    points = tuple(
        _point(index, by_index[index], plan, alpha) for index in sorted(by_index)
    )
    decisions = {point.load_index: point.decision for point in points}
    following = next_index(decisions, steps)
    return Search(
        points,
        following,
        _ending(points, following),
        tuple(_contradictions(points)),
    )


def next_index(decisions: Mapping[int, Decision], steps: Ladder) -> int | None:
    """The load to try now; None where nothing is left to learn.

    Args:
        decisions: load index → what is decided of it.
        steps: loads that may be tried.
    """
    found = {
        kind: [index for index, decision in decisions.items() if decision == kind]
        for kind in ("open", "holds", "fails", "undecided", "unmade")
    }
    if found["open"]:
        return found["open"][0]
    if not decisions:
        return steps.first
    lowest, highest = min(decisions), max(decisions)
    if not found["holds"] and lowest > steps.lowest:
        return max(steps.lowest, lowest - steps.stride)
    # What the generator cannot make, it cannot make at a higher load either.
    is_walled = bool(found["fails"] or found["unmade"])
    if not is_walled and highest < steps.highest:
        return min(steps.highest, highest + steps.stride)
    if not found["holds"]:
        return _between_unsure([*found["undecided"], *found["unmade"]], found["fails"])
    held = max(found["holds"])
    failed = min(found["fails"], default=None)
    unsure = [
        index
        for index in (*found["undecided"], *found["unmade"])
        if index > held and (failed is None or index < failed)
    ]
    # Both ends are to be shown: both are brought near to what lies undecided between them.
    inner = [(min(unsure), max(unsure))] if unsure else []
    gaps = [(held, inner[0][0])] if inner else []
    if failed is not None:
        gaps.append((inner[0][1] if inner else held, failed))
    return next(((low + high) // 2 for low, high in gaps if high - low > 1), None)


def _between_unsure(unsure: Sequence[int], fails: Sequence[int]) -> int | None:
    """Bring the lowest load that fails near to those below it, where none of them holds."""
    failed = min(fails, default=None)
    if failed is None:
        return None
    low = max((index for index in unsure if index < failed), default=failed)
    return (low + failed) // 2 if failed - low > 1 else None


def _point(index: int, made: Sequence[Tried], plan: SloPlan, alpha: float) -> Point:
    usable = [one for one in made if one.margins is not None]
    counted: list[Tried] = []
    num_disturbed = 0
    for one in usable:
        # Decided before a look at what came out.
        if one.is_disturbed and num_disturbed < MAX_DISTURBED:
            num_disturbed += 1
        else:
            counted.append(one)
    margins = tuple(one.margins for one in counted if one.margins is not None)
    unusable = [one for one in made if one.margins is None]
    num_unusable = len(unusable)
    decision = decide(margins, plan.looks, alpha)
    if decision == "open" and num_unusable >= MAX_UNUSABLE:
        decision = "unmade"
    return Point(
        load_index=index,
        load_per_s=load_per_s(index, plan.precision),
        decision=decision,
        counted=margins,
        values_s=tuple(
            statistics.geometric_mean([value for value in of_limit if value is not None])
            for of_limit in zip(*(one.values_s for one in counted), strict=True)
        ),
        num_overloaded=sum(one.is_overloaded for one in counted),
        num_disturbed=num_disturbed,
        num_disturbed_counted=sum(one.is_disturbed for one in counted),
        num_unusable=num_unusable,
        cause=unusable[-1].cause if unusable else "",
        problem=unusable[-1].problem if unusable else "",
    )


def _ending(points: Sequence[Point], following: int | None) -> Ending:
    if following is not None:
        return "open"
    decisions = [point.decision for point in points]
    if "holds" in decisions and "fails" in decisions:
        return "interval"
    if "holds" in decisions:
        return "all hold" if decisions[-1] == "holds" else "undecided above"
    if "fails" in decisions:
        return "none holds" if decisions[0] == "fails" else "undecided below"
    return "not found"


def _contradictions(points: Sequence[Point]) -> Iterable[tuple[Point, Point]]:
    """Pairs of loads of which the lower one is shown to have the higher latency."""
    from scipy import special

    for place, low in enumerate(points):
        for high in points[place + 1 :]:
            if min(low.num_trials, high.num_trials) < 2:
                continue
            for ours, theirs in zip(
                zip(*low.counted, strict=True), zip(*high.counted, strict=True), strict=True
            ):
                means = [math.fsum(side) / len(side) for side in (ours, theirs)]
                squares = [
                    max(
                        math.fsum((v - mean) ** 2 for v in side) / (len(side) - 1),
                        _LEAST_SD**2,
                    )
                    / len(side)
                    for side, mean in zip((ours, theirs), means, strict=True)
                ]
                degrees = min(len(ours), len(theirs)) - 1
                t = (means[0] - means[1]) / math.sqrt(sum(squares))
                if float(special.stdtr(degrees, -t)) <= _CONTRADICTION:
                    yield low, high
                    break
