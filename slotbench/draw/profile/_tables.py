"""The tables of one cell of a profile, as texts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slotbench.compute import ledger
from slotbench.compute.phases import PHASES
from slotbench.compute.profile import CellProfile, ContenderProfile, Difference
from slotbench.compute.statistics import CONFIDENCE, Mean
from slotbench.draw import units
from slotbench.draw.profile import _words
from slotbench.records import LockUse

MAX_LOCKS: Final = 5
MAX_ROWS: Final = 8
"""Of locks of a contender, and of the ledger's differences, what is shown unless all is asked for."""

_INTERVAL: Final = f"{units.percent(CONFIDENCE)} interval"


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Attributes:
        header: names of the columns.
        rows: as wide as the header.
        notes: what a reader must know besides, a line each.
        left: columns of words; the others are of numbers, and end below each other.
        codes: columns of labels and places in code.
        short: the header where room is scarce: contenders by their numbers; () where there is
            no shorter one.
        groups: place of a row → what stands above it.
        is_numbered: the first two columns are a contender's number and label.
        needs_labels: it is where a reader learns which number is whose.
        can_turn: rows may become columns.
        can_split: each column but the first is of a contender, and can stand below the others.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    left: frozenset[int] = frozenset({0})
    codes: frozenset[int] = frozenset()
    short: tuple[str, ...] = ()
    groups: Mapping[int, str] | None = None
    is_numbered: bool = False
    needs_labels: bool = False
    can_turn: bool = False
    can_split: bool = False


def contenders(cell: CellProfile) -> Table:
    """Who was profiled, how fast each is, and what the stamps cost it."""
    return Table(
        title="contenders",
        header=(
            *("", "contender", "throughput", "mean batch", "with stamps"),
            "stamps add",
        ),
        rows=tuple(
            (
                str(number),
                one.contender.label,
                units.value(_mean(one.throughput_per_s), "requests/s"),
                units.value(one.batch_size, "rows"),
                _probe_ratio(one),
                units.value(_mean(one.probe_cost_s), "s"),
            )
            for number, one in enumerate(cell.contenders, start=1)
        ),
        notes=(
            "throughput and mean batch are without probes; with stamps: throughput with the "
            "phases' stamps over that without; stamps add: to the time between an actor's replies",
        ),
        left=frozenset({0, 1}),
        codes=frozenset({1}),
        is_numbered=True,
        needs_labels=True,
    )


def phases(cell: CellProfile) -> Table:
    """The life of a request: a row a contender, a column a phase."""
    rows = []
    for number, one in enumerate(cell.contenders, start=1):
        times = {found.name: found.time_s.mean for found in one.phases}
        whole = None if one.round_trip is None else one.round_trip.time_s.mean
        cells = [units.value(times.get(name), "s") for name in PHASES]
        rows.append(
            (str(number), one.contender.label, *cells, units.value(whole, "s")),
        )
    return Table(
        title="phases of a request, mean time",
        header=("", "contender", *PHASES, _words.ROUND_TRIP),
        rows=tuple(rows),
        left=frozenset({0, 1}),
        codes=frozenset({1}),
        is_numbered=True,
        can_turn=True,
    )


def percentiles(cell: CellProfile) -> Table:
    """Median and p99 of every phase."""
    rows = []
    for number, one in enumerate(cell.contenders, start=1):
        known = {found.name: found for found in one.phases}
        if one.round_trip is not None:
            known[_words.ROUND_TRIP] = one.round_trip
        for percent in ("p50_s", "p99_s"):
            values = [
                getattr(known[name], percent) if name in known else None
                for name in (*PHASES, _words.ROUND_TRIP)
            ]
            rows.append(
                (
                    f"{number} {percent.removesuffix('_s')}",
                    one.contender.label,
                    *(units.value(value, "s") for value in values),
                )
            )
    return Table(
        title="phases of a request, percentiles",
        header=("", "contender", *PHASES, _words.ROUND_TRIP),
        rows=tuple(rows),
        notes=("percentiles do not sum to the round trip's",),
        left=frozenset({0, 1}),
        codes=frozenset({1}),
        is_numbered=True,
        can_turn=True,
    )


def counts(cell: CellProfile) -> Table:
    """The ledger: a row a thing counted, a column a contender."""
    groups: dict[int, str] = {}
    for place, row in enumerate(ledger.ROWS):
        if row.group not in groups.values():
            groups[place] = row.group
    return Table(
        title="ledger, per request",
        header=("", *(one.contender.label for one in cell.contenders)),
        rows=tuple(
            (
                row.title,
                *(
                    units.value(_mean(one.ledger.get(row.name)), row.unit)
                    for one in cell.contenders
                ),
            )
            for row in ledger.ROWS
        ),
        short=("", *(str(n) for n in range(1, len(cell.contenders) + 1))),
        groups=groups,
        can_split=True,
    )


def claims(cell: CellProfile) -> Table | None:
    """What is claimed of contenders, and what was counted; None where nothing is."""
    words = {None: units.MISSING, True: "holds", False: "does not hold"}
    rows = tuple(
        (
            str(number),
            one.contender.label,
            claim.text,
            units.value(claim.counted, claim.row.unit),
            words[claim.holds],
        )
        for number, one in enumerate(cell.contenders, start=1)
        for claim in one.claims
    )
    if not rows:
        return None
    return Table(
        title="claims",
        header=("", "contender", "claim", "counted", "here"),
        rows=rows,
        notes=("holds: counted in less than one of a hundred requests",),
        left=frozenset({0, 1, 2, 4}),
        codes=frozenset({1}),
        is_numbered=True,
    )


def gap(cell: CellProfile, found: Difference) -> Table | None:
    """What lies between two round trips, the largest part first; None where phases lack."""
    if found.gap_s is None:
        return None
    rows: list[tuple[str, ...]] = [
        (
            one.name,
            units.seconds(one.first_s),
            units.seconds(one.second_s),
            *_difference(one.gap_s, "s"),
            units.percent(None if one.share is None else round(one.share, 3)),
        )
        for one in found.phases
    ]
    sums = [
        units.seconds(sum(getattr(one, name) for one in found.phases))
        for name in ("first_s", "second_s")
    ]
    whole = units.percent(1.0) if found.gap_s.mean else units.MISSING
    rows.append((_words.ROUND_TRIP, *sums, *_difference(found.gap_s, "s"), whole))
    return Table(
        title=f"from {found.first} to {found.second}: phases, what explains most first",
        header=("phase", found.first, found.second, *_DIFFERENCE, "share of the gap"),
        rows=tuple(rows),
        short=("phase", *_numbers(cell, found), *_DIFFERENCE, "share of the gap"),
    )


def row_gaps(cell: CellProfile, found: Difference, *, full: bool) -> Table | None:
    """Rows of the ledger that are shown to differ; None where none is."""
    if not found.rows:
        return None
    shown = found.rows if full else found.rows[:MAX_ROWS]
    rows = tuple(
        (
            _words.row_title(one.row),
            units.value(one.first, one.row.unit),
            units.value(one.second, one.row.unit),
            *_difference(one.gap, one.row.unit),
            "" if one.explains_s is None else units.signed(one.explains_s, "s"),
        )
        for one in shown
    )
    hidden = len(found.rows) - len(shown)
    more = (f"and {units.count(hidden, 'more row')}, which --full shows",) if hidden else ()
    return Table(
        title=f"from {found.first} to {found.second}: ledger, per request",
        header=("", found.first, found.second, *_DIFFERENCE, "comes to"),
        rows=rows,
        notes=(_words.ABOUT_PRICES, *more),
        short=("", *_numbers(cell, found), *_DIFFERENCE, "comes to"),
    )


def all_locks(contenders: Iterable[ContenderProfile], *, full: bool) -> Iterable[Table]:
    """Where the locks of contenders are; how to read it stands below the first."""
    notes: tuple[str, ...] = (_words.ABOUT_LOCKS,)
    for one in contenders:
        if one.locks:
            yield _locks(one, notes, full=full)
            notes = ()


def _locks(one: ContenderProfile, notes: tuple[str, ...], *, full: bool) -> Table:
    """The most acquired first."""
    shown = one.locks if full else one.locks[:MAX_LOCKS]
    hidden = len(one.locks) - len(shown)
    more = (
        (f"and {units.count(hidden, 'more place')}, which --full shows",) if hidden else ()
    )
    return Table(
        title=f"locks of {one.contender.label}, by where they are made",
        header=(
            *("made at", "kind", "shared", "locks", "acquisitions", "waits"),
            "time waited",
        ),
        rows=tuple(map(_lock, shown)),
        notes=(*notes, *more),
        left=frozenset({0, 1, 2, 4}),
        codes=frozenset({0}),
    )


_DIFFERENCE: Final = ("difference", _INTERVAL)


def _lock(use: LockUse) -> tuple[str, ...]:
    by_place = sorted(use.acquisitions.items(), key=lambda item: -item[1])
    return (
        use.where,
        use.kind,
        "yes" if use.is_shared else "no",
        units.whole(use.num_locks),
        ", ".join(f"{place} {units.significant(number)}" for place, number in by_place),
        units.significant(use.waits),
        units.seconds(use.waited_s),
    )


def _numbers(cell: CellProfile, found: Difference) -> Sequence[str]:
    labels = [one.contender.label for one in cell.contenders]
    return [str(labels.index(label) + 1) for label in (found.first, found.second)]


def _difference(found: Mean, unit: str) -> tuple[str, str]:
    return units.signed(found.mean, unit), units.value_interval(found.low, found.high, unit)


def _probe_ratio(one: ContenderProfile) -> str:
    found = one.probe_ratio
    if found is None:
        return units.MISSING
    if found.low is None:
        return units.ratio(found.point)
    return f"{units.ratio(found.point)} {units.interval(found.low, found.high)}"


def _mean(found: Mean | None) -> float | None:
    return None if found is None else found.mean
