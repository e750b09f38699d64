"""A run's answers in words: each sentence is composed from verdicts, and claims no more."""

import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from slotbench.compute import workloads
from slotbench.compute.answers import METRIC, Answers, Leader, Switched, closed
from slotbench.compute.comparison import Comparison, ComparisonRow
from slotbench.draw import interpreter_table, units
from slotbench.draw.opening import opening
from slotbench.records import Cell

_VERDICTS: Final = {
    "faster": "",
    "slower": "",
    "equivalent": " (equivalent)",
    "inconclusive": " (undecided)",
}
"""What is said behind a ratio that says it not by itself."""

_MAX_DISTURBED: Final = 0.1
"""Share of trials used that the machine disturbed, beyond which an answer says so at once."""

_MAX_NOISE: Final = 0.25
"""Noise floor of the median cell, likewise."""

_PRECONDITIONS: Final = {
    "inline": "It runs the policy in the actors' own threads: only for a policy that may.",
}
"""Option → what must hold for a contender with it to be used."""

_AXES_IN_WORDS: Final = frozenset({"num_slots", "model.latency_ms"})


@dataclass(frozen=True, slots=True)
class Sentence:
    """One answer.

    Attributes:
        about: a word or two: what question it answers.
        text: one to three sentences.
    """

    about: str
    text: str


def sentences(answers: Answers, comparison: Comparison) -> tuple[Sentence, ...]:
    """The answers of a run, the most wanted first; fewer where it holds fewer.

    Args:
        answers: of the run.
        comparison: of the same run with its baseline, for what limits the answers.
    """
    comparison = _of_closed(comparison)
    said: list[Sentence] = []
    if all(cell.workload.load.is_open for cell in comparison.cells):
        said += _under_load(comparison)
    elif answers.leader is None:
        said.append(Sentence("Nothing to choose", _no_leader(comparison)))
    else:
        said.append(Sentence("Use", _choice(answers.leader, answers, comparison)))
        lead = " ".join(_lead(answers, comparison))
        if lead:
            said.append(Sentence("By how much", lead))
        matters = _where_it_matters(answers.leader, comparison)
        if matters:
            said.append(Sentence("Where it matters", matters))
    if answers.switched:
        text = " ".join(_switched(one, comparison) for one in answers.switched)
        said.append(Sentence("Preallocation", text))
    interpreters = _interpreters(comparison)
    if interpreters:
        said.append(Sentence("Other interpreters", interpreters))
    losses = _losses(answers, comparison)
    if losses:
        said.append(Sentence("What is lost to what", losses))
    said.append(Sentence("How sure", " ".join(_how_sure(answers, comparison))))
    return tuple(said)


def cell_in_words(cell: Cell) -> str:
    """A cell as people say it: "64 actors and a 1 ms policy, observation.num_leaves=16"."""
    model = cell.workload.model
    if model.kind in {"sleep", "spin"}:
        policy = f"a {model.latency_ms:g} ms policy"
    else:
        policy = f"a real network ({model.policy or model.kind})"
    rest = [f"{k}={v}" for k, v in cell.coordinates.items() if k not in _AXES_IN_WORDS]
    slots = units.count(cell.workload.num_slots, "actor")
    return ", ".join((f"{slots} and {policy}", *rest))


def _of_closed(comparison: Comparison) -> Comparison:
    """The comparison without its open loops, of which there is no answer, unless it has nothing else."""
    cells = closed(comparison.cells)
    if not cells or len(cells) == len(comparison.cells):
        return comparison
    names = {cell.name for cell in cells}
    rows = tuple(row for row in comparison.rows if row.cell in names)
    interpreters = tuple(one for one in comparison.interpreters if one.row.cell in names)
    return dataclasses.replace(
        comparison, cells=cells, rows=rows, interpreters=interpreters
    )


def _under_load(comparison: Comparison) -> Iterable[Sentence]:
    """Of open loops alone: whose latency is less, and up to which load each keeps up.

    Nobody is recommended: which load, and how long a wait is too long, is the reader's to say.
    """
    yield Sentence("Under load", opening(comparison))
    kept: dict[str, float] = {}
    is_beyond: set[str] = set()
    for point in sorted(comparison.loads, key=lambda point: point.offered_per_s):
        kept.setdefault(point.contender, 0.0)
        if point.is_saturated:
            is_beyond.add(point.contender)
        elif point.contender not in is_beyond:
            kept[point.contender] = point.offered_per_s
    most = max((point.offered_per_s for point in comparison.loads), default=0.0)
    parts = []
    for label in dict.fromkeys(who.label for who in comparison.contenders):
        if label not in kept:
            continue
        load = units.value(kept[label], "requests/s")
        if not kept[label]:
            parts.append(f"{label} at none")
        else:
            parts.append(
                f"{label} up to {load}{' (the highest)' if kept[label] == most else ''}"
            )
    if parts:
        yield Sentence("Who keeps up", f"Of the loads offered: {_listed(parts)}.")


def _no_leader(comparison: Comparison) -> str:
    if not any(row.value is not None for row in comparison.rows):
        return "No trial gave a number to use."
    return "No two contenders have a usable pair of trials: there is nothing to choose between."


def _choice(leader: Leader, answers: Answers, comparison: Comparison) -> str:
    cells = len(comparison.cells)
    rivals = len({row.contender for row in leader.rows})
    if all(row.ratio is None or row.ratio.low is None for row in leader.rows):
        why = (
            "one round gives no interval"
            if comparison.num_rounds == 1
            else "no cell has the two usable pairs an interval needs"
        )
        return f"{leader.label}, though nothing is decided: {why}."
    delta = units.percent(answers.threshold)
    beaten = {row.cell for row in leader.ahead}
    faster = f"shown to be more than {delta} faster"
    others = "the other contender" if rivals == 1 else f"any of the {rivals} others"
    if not answers.is_told_apart:
        told = (
            f"Whichever suits you: no two of the {rivals + 1} contenders are shown to differ by "
            f"more than {delta} in {'the one cell' if cells == 1 else f'any of {cells} cells'}."
        )
    elif beaten:
        names = tuple(dict.fromkeys(row.contender for row in leader.ahead))
        told = (
            f"{leader.label}: {_listed(names)} {'is' if len(names) == 1 else 'are'} {faster} in "
            f"{len(beaten)} of {units.count(cells, 'cell')} ({_span(leader.ahead)}), nobody "
            "in the others."
        )
    elif cells == 1:
        nobody = others.replace("any", "none")
        told = f"{leader.label}: {nobody} is {'not ' if rivals == 1 else ''}{faster}."
    else:
        told = f"{leader.label}: in none of {cells} cells is {others} {faster}."
    alike = leader.alike()
    if alike and answers.is_told_apart:
        told += f" {_listed(alike)} {'are' if len(alike) > 1 else 'is'} nowhere told apart from it."
    for label, missing in answers.passed_over.items():
        told += f" {label} has no usable number in {units.count(missing, 'cell')}."
    options = {who.label: who.options for who in comparison.contenders}[leader.label]
    told += "".join(
        f" {text}" for name, text in _PRECONDITIONS.items() if options.get(name)
    )
    return told + _care(answers, comparison)


def _lead(answers: Answers, comparison: Comparison) -> Iterable[str]:
    """The leader over the baseline and over the best of another kind, in the typical cell."""
    leader, typical = answers.leader, answers.typical
    if leader is None:
        return
    where = f"At {cell_in_words(typical)}"
    mine = [row for row in answers.baseline_rows if row.cell == typical.name and row.ratio]
    if mine:
        yield f"{where}, {leader.label} serves {_ratio(mine[0])} of {answers.baseline}."
    kinds = {who.label: who.name for who in comparison.contenders}
    others = [
        row
        for row in leader.rows
        if row.cell == typical.name
        and row.ratio is not None
        and row.value is not None
        and kinds.get(row.contender) != kinds[leader.label]
        and row.contender != answers.baseline
    ]
    if others:
        best = max(others, key=lambda row: row.value or 0.0)
        start = "The best there" if mine else f"{where}, the best"
        yield (
            f"{start} that is neither {kinds[leader.label]} nor the baseline, {best.contender}, "
            f"serves {_ratio(best)} of {leader.label}."
        )
    has_interval = any(r.ratio and r.ratio.low is not None for r in answers.baseline_rows)
    if has_interval and len(comparison.cells) > 1:
        yield f"Over all cells, against {answers.baseline}: {_tally(answers.baseline_rows)}."


def _where_it_matters(leader: Leader, comparison: Comparison) -> str:
    """With how many actors, at each policy latency, the leader is shown to beat all other kinds."""
    kinds = {who.label: who.name for who in comparison.contenders}
    own = kinds[leader.label]
    rivals = {
        cell.name: {r.contender for r in leader.rows if r.cell == cell.name and r.ratio}
        for cell in comparison.cells
    }
    strangers = {x: {who for who in y if kinds[who] != own} for x, y in rivals.items()}
    if len(comparison.cells) < 2 or not leader.behind or not any(strangers.values()):
        return ""
    behind: dict[str, set[str]] = {}
    for row in leader.behind:
        behind.setdefault(row.cell, set()).add(row.contender)
    hit: dict[tuple[float, str], set[int]] = {}
    missed: set[tuple[str, int]] = set()
    slots = {cell.workload.num_slots for cell in comparison.cells}
    for cell in comparison.cells:
        model = cell.workload.model
        is_timed = model.kind in {"sleep", "spin"}
        policy = (
            f"{model.latency_ms:g} ms"
            if is_timed
            else f"a real network ({model.policy or model.kind})"
        )
        found = hit.setdefault((model.latency_ms, policy), set())
        beaten = behind.get(cell.name, set())
        if strangers[cell.name] and strangers[cell.name] <= beaten:
            found.add(cell.workload.num_slots)
        else:
            missed.add((policy, cell.workload.num_slots))
    said: dict[str, list[str]] = {}
    for (_, which), places in sorted(hit.items()):
        # Of several cells of one place, observations of other sizes say, all must show it.
        found = {number for number in places if (which, number) not in missed}
        every = len(slots) > 1 and found == slots
        where = f"at {_actors(sorted(found))}" if found else ""
        said.setdefault("at every number of actors" if every else where, []).append(which)
    nowhere = said.pop("", [])
    start = f"{leader.label} is shown to be faster than every contender that is not {own}"
    if not said:
        return f"Nowhere: no cell shows {leader.label} faster than every contender that is not {own}."
    parts = [f"{where} with a policy of {_listed(all_)}" for where, all_ in said.items()]
    rest = f"; nowhere with a policy of {_listed(nowhere)}" if nowhere else ""
    return f"{start} {', '.join(parts)}{rest}."


def _switched(one: Switched, comparison: Comparison) -> str:
    total = len(one.rows)
    start = f"{one.on} over {one.off}"
    known = [row for row in one.rows if row.ratio is not None and row.ratio.low is not None]
    if not known:
        return f"{start}: no cell has an interval."
    parts = []
    if one.pays:
        sizes = _from_size(one, comparison)
        parts.append(f"pays in {len(one.pays)} of {total} ({_span(one.pays)}){sizes}")
    if one.costs:
        parts.append(f"costs in {len(one.costs)} of {total} ({_span(one.costs)})")
    rest = total - len(one.pays) - len(one.costs)
    if rest:
        parts.append(f"is not shown to matter in {rest} of {total}")
    return f"{start} {'; '.join(parts)}."


def _from_size(one: Switched, comparison: Comparison) -> str:
    """From which size of observations on it pays in every cell; "" where there is none."""
    sizes = {
        cell.name: workloads.observation_bytes(cell.workload.observation.leaves)
        for cell in comparison.cells
    }
    paid = {row.cell for row in one.pays}
    values = sorted({sizes[row.cell] for row in one.rows})
    every = [
        value
        for value in values
        if all(row.cell in paid for row in one.rows if sizes[row.cell] >= value)
    ]
    if len(values) < 2 or not every or every[0] == values[0]:
        return ""
    return f", in every cell with observations of {units.size(every[0])} and more"


def _interpreters(comparison: Comparison) -> str:
    """What each contender makes of another interpreter, by its throughput; "" of one alone."""
    found: dict[tuple[str, str, str], list[ComparisonRow]] = {}
    for one in comparison.interpreters:
        row = one.row
        if row.metric == METRIC and not (row.is_baseline or row.is_floor):
            place = one.bare_label, one.python, one.first_python
            found.setdefault(place, []).append(row)
    if not found or all(cell.workload.load.is_open for cell in comparison.cells):
        return ""
    parts = [
        f"{label} in {interpreter_table.name(python)} over {interpreter_table.name(first)}: {_tally(rows)}"
        for (label, python, first), rows in found.items()
    ]
    return f"The same contender, {'; '.join(parts)}."


def _losses(answers: Answers, comparison: Comparison) -> str:
    if answers.leader is None:
        return ""
    label = answers.leader.label
    known = [
        loss
        for loss in answers.losses
        if loss.contender == label
        and loss.yardsticks.bound_per_s is not None
        and loss.transport is not None
        and loss.transport.low is not None
    ]
    if not known:
        return ""
    slots = {cell.name: cell.workload.num_slots for cell in comparison.cells}
    parts = []
    for verdict, words in (
        (
            "passes the floor",
            f"{label} serves more than the floor, which wakes actors in a row and waits for no "
            "more than the rule asks",
        ),
        ("batching", "the batching rule loses the most"),
        ("waking", "waking threads loses the most"),
        ("transport", "the transport loses the most"),
    ):
        hits = [loss for loss in known if loss.verdict == verdict]
        if hits:
            where = _actors(sorted({slots[loss.cell] for loss in hits}))
            parts.append(f"{words}, in {len(hits)} of {len(known)} ({where})")
    rest = sum(loss.verdict is None for loss in known)
    if rest:
        parts.append(f"which loses the most is not shown in {rest} of {len(known)}")
    reached = [
        loss.measured_per_s / loss.yardsticks.bound_per_s
        for loss in known
        if loss.yardsticks.bound_per_s
    ]
    return (
        f"Where there is a time to wait for, {label} reaches "
        f"{units.span(min(reached), max(reached))} of the bound: {'; '.join(parts)}."
    )


def _how_sure(answers: Answers, comparison: Comparison) -> Iterable[str]:
    floors = _noise_floors(comparison)
    cells = len(comparison.cells)
    if floors:
        low, high = units.percent(min(floors)), units.percent(max(floors))
        middle = units.percent(statistics.median(floors))
        span = low if low == high else f"{low} to {high} (median {middle})"
        yield (
            f"The noise floor, the repeated baseline against itself, is {span}: what is smaller "
            "cannot be seen here."
        )
        blind = {row.cell for row in _first(comparison) if row.can_resolve is False}
        if blind:
            delta = units.percent(answers.threshold)
            yield (
                f"A difference of {delta} cannot be resolved in {len(blind)} of "
                f"{units.count(cells, 'cell')}."
            )
    hit = _hit(comparison)
    if answers.num_counted:
        counted = units.count(answers.num_counted, "trial")
        out = [f"{len(hit[kind])} {kind}" for kind in ("INVALID", "failed") if hit[kind]]
        yield f"Of {counted} {' and '.join(out) if out else 'none'} had to be left out."
    again = comparison.num_recorded - answers.num_counted
    if again:
        yield f"{units.count(again, 'more trial')} {'was' if again == 1 else 'were'} measured again."
    if hit["DISTURBED"]:
        used = units.count(len(hit["DISTURBED"]), "trial")
        yield f"The machine disturbed {used} of those used."
    if comparison.end:
        recorded = units.count(comparison.num_recorded, "trial")
        yield f"The run {comparison.end}: {recorded} of {comparison.num_planned} planned."
    leader = answers.leader
    claims = [*leader.ahead, *leader.behind] if leader is not None else []
    claims += [row for one in answers.switched for row in (*one.pays, *one.costs)]
    if claims:
        looks = " and all looks" if comparison.looks else ""
        yield (
            f"What is called shown is so at 95 % over all comparisons of that contender{looks} "
            "together."
        )


def _care(answers: Answers, comparison: Comparison) -> str:
    """What forbids to trust a recommendation, said beside it; "" for a sound run."""
    floors = _noise_floors(comparison)
    disturbed = len(_hit(comparison)["DISTURBED"])
    reasons = []
    if disturbed > _MAX_DISTURBED * answers.num_counted:
        counted = units.count(answers.num_counted, "trial")
        reasons.append(f"the machine disturbed {disturbed} of {counted}")
    if floors and statistics.median(floors) > _MAX_NOISE:
        middle = units.percent(statistics.median(floors))
        reasons.append(f"the noise floor is {middle} in the median cell")
    if comparison.end:
        reasons.append(f"the run {comparison.end}")
    return f" Do not rely on it: {_listed(reasons)}." if reasons else ""


def _first(comparison: Comparison) -> list[ComparisonRow]:
    return [row for row in comparison.rows if row.metric == comparison.metrics[0]]


def _noise_floors(comparison: Comparison) -> list[float]:
    """One a cell that has one."""
    found = {
        row.cell: row.noise_floor
        for row in _first(comparison)
        if row.noise_floor is not None
    }
    return list(found.values())


def _hit(comparison: Comparison) -> dict[str, set[str]]:
    """Trials that count, by what was wrong with them."""
    return {
        kind: {p.trial_id for p in comparison.problems if p.kind == kind and p.is_counted}
        for kind in ("INVALID", "failed", "DISTURBED")
    }


def _ratio(row: ComparisonRow) -> str:
    if row.ratio is None:
        return units.MISSING
    shown = units.ratio(row.ratio.point)
    if row.ratio.low is None:
        return f"{shown} (one pair, no interval)"
    interval = units.interval(row.ratio.low, row.ratio.high)
    return f"{shown} {interval}{_VERDICTS.get(row.verdict or '', '')}"


def _tally(rows: Sequence[ComparisonRow]) -> str:
    """How many cells have which verdict, with the range of the decided ones' ratios."""
    parts = []
    for verdict, words in (("faster", "more requests"), ("slower", "fewer requests")):
        hits = [row for row in rows if row.verdict == verdict]
        if hits:
            parts.append(f"{words} in {len(hits)} of {len(rows)} ({_span(hits)})")
    for verdict in ("equivalent", "inconclusive"):
        number = sum(row.verdict == verdict for row in rows)
        word = "undecided" if verdict == "inconclusive" else verdict
        if number:
            parts.append(f"{word} in {number}")
    missing = sum(row.verdict is None for row in rows)
    if missing:
        parts.append(f"no usable pair in {missing}")
    return ", ".join(parts)


def _span(rows: Iterable[ComparisonRow]) -> str:
    points = [row.ratio.point for row in rows if row.ratio is not None]
    return units.span(min(points), max(points))


def _actors(slots: Sequence[int]) -> str:
    """Some numbers of actors: "1 actor", "4, 16 and 64 actors"."""
    names = _listed([str(number) for number in slots])
    return f"{names} {'actor' if list(slots) == [1] else 'actors'}"


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"
