"""The sentences that open a cell of a profile: what explains the gap, and how far to trust it."""

from collections.abc import Iterable, Sequence
from typing import Final

from slotbench.compute.comparison import FLOOR
from slotbench.compute.profile import (
    CellProfile,
    ContenderProfile,
    Difference,
    PhaseDifference,
)
from slotbench.compute.statistics import Mean, RatioEstimate
from slotbench.draw import units
from slotbench.draw.answer import Sentence

_LEAST: Final = 0.1
"""Share of a gap below which a phase is left to the table."""

_MOST_NAMED: Final = 4
_MOST_APART: Final = 1.4
"""Of round trips' and throughputs' ratios, beyond which the two do not tell of the same thing."""


def sentences(cell: CellProfile, found: Difference | None) -> tuple[Sentence, ...]:
    """What there is to say of a cell, the answer first; each sentence says what its rows show.

    Args:
        cell: all contenders.
        found: between the two to be explained; None where there are no two.
    """
    if found is None:
        said = [Sentence("Why", _no_pair(cell))]
    else:
        said = [Sentence("Why", " ".join(_why(cell, found)))]
        said += [Sentence("Probes", text) for text in _probes(cell, found)]
    claims = " ".join(_claims(cell.contenders))
    if claims:
        said.append(Sentence("Claims", claims))
    lost = sum(len(one.problems) for one in cell.contenders)
    if lost:
        passes = units.count(lost, "trial")
        said.append(
            Sentence("Left out", f"Without numbers to be used: {passes}, see problems.")
        )
    return tuple(said)


def explanation(cell: CellProfile, found: Difference) -> str:
    """What explains the difference, in a sentence or two."""
    return " ".join(_why(cell, found))


def is_shown(gap: Mean) -> bool:
    """Whether a difference is told from none; of one round, whether there is any at all."""
    if gap.low is None or gap.high is None:
        return gap.mean != 0.0
    return not gap.low <= 0.0 <= gap.high


def _no_pair(cell: CellProfile) -> str:
    raced = [one for one in cell.contenders if one.contender.name != FLOOR]
    rated = [one.contender.label for one in raced if one.throughput_per_s is not None]
    if not rated:
        return "No contender has numbers here: there is nothing to explain."
    if len(raced) > 1:
        return f"Only {rated[0]} has numbers here: there is no difference to explain."
    beside = " beside the floor" if len(cell.contenders) > 1 else ""
    return f"Only {rated[0]} was profiled{beside}: there is no difference to explain."


def _why(cell: CellProfile, found: Difference) -> Iterable[str]:
    first, second = found.first, found.second
    rate = ""
    if found.ratio is not None:
        rate = f"{_ratio(found.ratio)} the throughput"
    if found.gap_s is None:
        unseen = [x for x in (first, second) if cell.of(x).round_trip is None]
        who = " and ".join(unseen) or f"{first} and {second} in the same round"
        if rate:
            yield f"{second} has {rate} of {first} without probes."
        yield f"No phases are known of {who}: nothing can be explained."
        return
    took, takes = (
        units.seconds(sum(getattr(one, name) for one in found.phases))
        for name in ("first_s", "second_s")
    )
    said = f"{second} answers in {takes} where {first} takes {took}"
    if rate:
        said += f": {rate} without probes"
    if is_shown(found.gap_s):
        gap = units.seconds(abs(found.gap_s.mean))
        yield f"{said}; of the {gap} between them, {_shares(found.phases)}."
    else:
        yield f"{said}; no difference between these round trips is shown, and none explained."
    if found.gap_s.low is None:
        yield (
            "Only one round has numbers of both, which gives no interval: how sure that is, is "
            "not known."
        )
    if _disagrees(found):
        yield (
            "Throughput without probes and round trips with them do not agree: the stamps, or "
            "the machine, changed one contender more than the other. Do not rely on these phases."
        )
    elif _is_turned(found):
        yield (
            f"The probes turn the order round, or the rounds differ: {second} has the longer "
            "round trip with stamps and the higher throughput without, or the other way. "
            "Do not rely on these phases."
        )


def _ratio(ratio: RatioEstimate) -> str:
    if ratio.low is None:
        return units.ratio(ratio.point)
    return f"{units.ratio(ratio.point)} {units.interval(ratio.low, ratio.high)}"


def _shares(phases: Sequence[PhaseDifference]) -> str:
    """Which phases are most of the gap, and which go the other way."""
    shown = [one for one in phases if one.share is not None and is_shown(one.gap_s)]
    most = [one for one in shown if (one.share or 0.0) >= _LEAST][:_MOST_NAMED]
    back = [one for one in shown if (one.share or 0.0) <= -_LEAST][:_MOST_NAMED]
    if not most:
        return "no phase is shown to explain a tenth"
    parts = [f"{one.name} {units.whole_percent(one.share)}" for one in most]
    parts[0] = f"{most[0].name} explains {units.whole_percent(most[0].share)}"
    text = _listed(parts)
    if back:
        taken = [f"{one.name} {units.whole_percent(-(one.share or 0.0))}" for one in back]
        taken[0] = f"{back[0].name} takes {units.whole_percent(-(back[0].share or 0.0))}"
        text += f"; {_listed(taken)} back"
    return text


def _disagrees(found: Difference) -> bool:
    """Whether round trips and throughput tell of factors that are far from each other."""
    trips = [
        sum(getattr(one, name) for one in found.phases) for name in ("first_s", "second_s")
    ]
    if found.ratio is None or not all(trips) or not found.ratio.point:
        return False
    factor = trips[0] / trips[1] / found.ratio.point
    return not 1 / _MOST_APART < factor < _MOST_APART


def _is_turned(found: Difference) -> bool:
    """Whether throughput and round trip are both shown to differ, and contradict each other."""
    ratio, gap = found.ratio, found.gap_s
    if ratio is None or ratio.low is None or ratio.high is None or gap is None:
        return False
    if ratio.low <= 1.0 <= ratio.high or not is_shown(gap):
        return False
    return (ratio.point > 1.0) == (gap.mean > 0.0)


def _probes(cell: CellProfile, found: Difference) -> Iterable[str]:
    parts = [
        f"{label} has {units.ratio(one.probe_ratio.point)}"
        for label in (found.first, found.second)
        if (one := cell.of(label)).probe_ratio is not None
    ]
    if parts and found.gap_s is not None:
        yield (
            f"The stamps' own cost is in these times: with them {_listed(parts)} the throughput "
            "without."
        )


def _claims(contenders: Iterable[ContenderProfile]) -> Iterable[str]:
    """What documentation claims, by what was counted; a claim nobody could count is not said."""
    holding: dict[tuple[str, ...], list[str]] = {}
    broken: dict[tuple[str, ...], list[ContenderProfile]] = {}
    for one in contenders:
        counted = [claim for claim in one.claims if claim.holds is not None]
        wrong = tuple(claim.text for claim in counted if not claim.holds)
        if wrong:
            broken.setdefault(wrong, []).append(one)
        elif counted:
            texts = tuple(claim.text for claim in counted)
            holding.setdefault(texts, []).append(one.contender.label)
    for texts, labels in holding.items():
        yield f"Claims about {_listed(labels)} hold here: {_listed(texts)}."
    for texts, those in broken.items():
        said = [f"{text} ({_counted(text, those)} counted)" for text in texts]
        who = _listed([one.contender.label for one in those])
        verb = "A claim about {} does" if len(texts) == 1 else "Claims about {} do"
        yield f"{verb.format(who)} not hold here: {_listed(said)}."


def _counted(text: str, contenders: Iterable[ContenderProfile]) -> str:
    found = [
        units.value(claim.counted, claim.row.unit)
        for one in contenders
        for claim in one.claims
        if claim.text == text
    ]
    return " or ".join(dict.fromkeys(found))


def _listed(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
