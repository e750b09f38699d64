"""A run's answers in words: each sentence is composed from verdicts, and claims no more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from slotbench.compute import workloads
from slotbench.compute.answers import Answers, Leader, Switched
from slotbench.compute.comparison import Comparison, ComparisonRow
from slotbench.draw import units
from slotbench.records import Cell

_VERDICTS: Final = {
    "faster": "",
    "slower": "",
    "equivalent": ", equivalent",
    "inconclusive": ", undecided",
}
"""What is said behind a ratio that says it not by itself."""

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
    said: list[Sentence] = []
    if answers.leader is None:
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
    losses = _losses(answers, comparison)
    if losses:
        said.append(Sentence("What is lost to what", losses))
    said.append(Sentence("How sure", " ".join(_how_sure(answers, comparison))))
    return tuple(said)


def cell_in_words(cell: Cell) -> str:
    """A cell as people say it: "64 actors and a 1 ms policy, observation.num_leaves=16"."""
    model = cell.workload.model
    if model.kind in {"sleep", "spin"}:
        shown = f"{model.latency_ms:g} ms" if model.latency_ms else "0 ms"
        policy = f"a {shown} policy"
    else:
        policy = f"a real network ({model.kind})"
    rest = [f"{k}={v}" for k, v in cell.coordinates.items() if k not in _AXES_IN_WORDS]
    slots = units.count(cell.workload.num_slots, "actor")
    return ", ".join((f"{slots} and {policy}", *rest))


def _no_leader(comparison: Comparison) -> str:
    if not any(row.value is not None for row in comparison.rows):
        return "No trial gave a number to use."
    return "No two contenders have a usable pair of trials: there is nothing to choose between."


def _choice(leader: Leader, answers: Answers, comparison: Comparison) -> str:
    cells = len(comparison.cells)
    rivals = len({row.contender for row in leader.rows})
    if all(row.ratio is None or row.ratio.low is None for row in leader.rows):
        return (
            f"{leader.label} has the highest mean throughput, but nothing is decided: one "
            "round gives no interval."
        )
    if not leader.ahead and not leader.behind:
        return (
            f"Whichever suits you: in none of {units.count(cells, 'cell')} is one of the "
            f"{rivals + 1} contenders shown to differ from {leader.label}, which has the "
            f"highest mean throughput, by more than {units.percent(answers.threshold)}."
        )
    others = "the other contender" if rivals == 1 else f"any of the {rivals} others"
    faster = f"shown to be more than {units.percent(answers.threshold)} faster"
    beaten = {row.cell for row in leader.ahead}
    calm = cells - len(beaten)
    if cells == 1 and not beaten:
        told = f"{leader.label}: in the one cell {others} is not {faster}."
        if rivals > 1:
            told = f"{leader.label}: none of the {rivals} others is {faster}."
    elif not beaten:
        told = f"{leader.label}: in none of {cells} cells is {others} {faster}."
    else:
        names = _listed(tuple(dict.fromkeys(row.contender for row in leader.ahead)))
        where = f"in {len(beaten)} of {units.count(cells, 'cell')}"
        told = (
            f"{leader.label}, against which the fewest cells speak: {where} {names} "
            f"({_span(leader.ahead)}) {'is' if len(leader.ahead) == 1 else 'are'} {faster}, "
            f"in {calm} nobody."
        )
    alike = leader.alike()
    if alike:
        which = "are" if len(alike) > 1 else "is"
        told += f" {_listed(alike)} {which} nowhere told apart from it."
    return told


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
        start = "The best of another kind" if mine else f"{where}, the best of another kind"
        yield f"{start} there, {best.contender}, serves {_ratio(best)} of {leader.label}."
    if answers.baseline_rows and len(comparison.cells) > 1:
        yield f"Over all cells, against {answers.baseline}: {_tally(answers.baseline_rows)}."


def _where_it_matters(leader: Leader, comparison: Comparison) -> str:
    """With how many actors, at each policy latency, something is shown to be slower."""
    place = {cell.name: cell.workload for cell in comparison.cells}
    latencies = sorted({workload.model.latency_ms for workload in place.values()})
    slots = {workload.num_slots for workload in place.values()}
    if not leader.behind or len(latencies) < 2:
        return ""
    hit: dict[float, set[int]] = {latency: set() for latency in latencies}
    for row in leader.behind:
        hit[place[row.cell].model.latency_ms].add(place[row.cell].num_slots)
    said: dict[str, list[str]] = {}
    for latency in latencies:
        where = "nowhere"
        if hit[latency]:
            names = [str(number) for number in sorted(hit[latency])]
            every = len(slots) > 1 and hit[latency] == slots
            where = "at every number of actors" if every else f"at {_listed(names)} actors"
        said.setdefault(where, []).append(f"{latency:g}")
    parts = [f"{where} with a policy of {_listed(ms)} ms" for where, ms in said.items()]
    return f"Somebody is shown to be slower than {leader.label} {', '.join(parts)}."


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


def _losses(answers: Answers, comparison: Comparison) -> str:
    if answers.leader is None:
        return ""
    mine = [loss for loss in answers.losses if loss.contender == answers.leader.label]
    known = [
        loss for loss in mine if loss.batching is not None and loss.transport is not None
    ]
    if not known:
        return ""
    slots = {cell.name: cell.workload.num_slots for cell in comparison.cells}
    parts = []
    for side, words in (
        ("batching", "batching and waking threads lose more than the transport"),
        ("transport", "the transport loses more than batching and waking threads"),
    ):
        found = sorted({slots[loss.cell] for loss in known if loss.larger == side})
        if found:
            number = sum(loss.larger == side for loss in known)
            parts.append(f"{words} in {number} of {len(known)} ({_actors(found)})")
    rest = sum(loss.larger is None for loss in known)
    if rest:
        parts.append(f"their intervals overlap in {rest} of {len(known)}")
    return (
        f"Between the bound and {answers.leader.label}, where the policy's time is known: "
        f"{', '.join(parts)}."
    )


def _how_sure(answers: Answers, comparison: Comparison) -> Iterable[str]:
    rows = [
        row
        for row in comparison.rows
        if row.metric == comparison.metrics[0] and row.noise_floor is not None
    ]
    floors = sorted({row.cell: row.noise_floor or 0.0 for row in rows}.values())
    cells = len(comparison.cells)
    if floors:
        middle = floors[len(floors) // 2]
        yield (
            f"The noise floor, the repeated baseline against itself, is {units.percent(floors[0])} to "
            f"{units.percent(floors[-1])} (median {units.percent(middle)}): what is smaller "
            "cannot be seen here."
        )
        blind = {row.cell for row in rows if row.can_resolve is False}
        if blind:
            yield (
                f"So {units.percent(answers.threshold)} cannot be resolved in {len(blind)} of "
                f"{units.count(cells, 'cell')}; larger differences can."
            )
    hit = {
        kind: {p.trial_id for p in comparison.problems if p.kind == kind and p.is_counted}
        for kind in ("INVALID", "failed", "DISTURBED")
    }
    recorded = units.count(comparison.num_recorded, "trial")
    out = [f"{len(hit[kind])} {kind}" for kind in ("INVALID", "failed") if hit[kind]]
    yield f"Of {recorded} {' and '.join(out) if out else 'none'} had to be left out."
    if hit["DISTURBED"]:
        yield f"{units.count(len(hit['DISTURBED']), 'trial')} used were disturbed by the machine."
    if comparison.end:
        yield f"The run {comparison.end}: {recorded} of {comparison.num_planned} planned."
    yield (
        "Where a difference is called shown, its 95 % level holds over all comparisons behind "
        "that sentence together."
    )


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
    """Some numbers of actors: "16 actors", "1 to 16 actors"."""
    if slots[0] == slots[-1]:
        return units.count(slots[0], "actor")
    return f"{slots[0]} to {slots[-1]} actors"


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"
