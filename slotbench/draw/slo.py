"""A recorded search for people and programs: the highest load that keeps to the limits, as an interval.

`render` writes it as text, Markdown, HTML, JSON or CSV; all say the same. Prints nothing.

History of the JSON (``schema_version``):

1. First version.
"""

import csv
import difflib
import io
import json
import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from slotbench.compute import slo_answer
from slotbench.compute.slo import Point
from slotbench.compute.slo_answer import Searched
from slotbench.draw import as_html, as_md, as_text, units
from slotbench.draw.answer import Sentence
from slotbench.draw.cell_table import CellTable
from slotbench.draw.page import Page
from slotbench.draw.screen import PAPER, Screen
from slotbench.errors import SlotbenchError
from slotbench.records import Limit, SloRecord
from slotbench.store import StoredSlo

SCHEMA: Final = "slotbench.slo"
SCHEMA_VERSION: Final = 1

FORMATS: Final = ("csv", "html", "json", "md", "text")

ASSUMPTION: Final = "assumes that latency does not fall where load rises"

SPREAD_ASSUMPTION: Final = (
    "assumes that the logarithms of processes are spread about normally: slow ones that are rare may "
    "not have been met"
)

_NONE: Final = "none"


def render(stored: StoredSlo, name: str = "text", screen: Screen = PAPER) -> str:
    """The search in a format, ending in one newline.

    Args:
        stored: the search.
        name: of the format: csv, html, json, md or text.
        screen: width and colour, for text.

    Raises:
        SlotbenchError: no such format; the nearest names are offered.
    """
    formats: dict[str, Callable[[], str]] = {
        "csv": lambda: as_csv(stored),
        "html": lambda: as_html.of_page(page(stored)),
        "json": lambda: as_json(stored),
        "md": lambda: as_md.of_page(page(stored)),
        "text": lambda: as_text.of_page(page(stored), screen),
    }
    check_format(name)
    return formats[name]().rstrip("\n") + "\n"


def check_format(name: str) -> None:
    """Refuse a format that there is none of, before anything is measured for it.

    Raises:
        SlotbenchError: no such format; the nearest names are offered.
    """
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=2, cutoff=0.4) or FORMATS
        raise SlotbenchError(f"unknown format {name!r}: did you mean {', '.join(near)}?")


def page(stored: StoredSlo) -> Page:
    """Everything that is said of a search."""
    record = stored.record
    found = slo_answer.searched(record, stored.trials)
    return Page(
        title=record.scenario.title,
        question=record.scenario.question,
        opening=" ".join(one.text for one in _sentences(stored, found)),
        facts=(facts(stored),),
        differences=(),
        tables=tuple(_table(record, cell.name, found) for cell in record.scenario.cells),
        legend=legend(record),
        remarks=tuple(_remarks(stored)),
        gate="",
        commands=commands(stored),
    )


def sentences(stored: StoredSlo) -> tuple[Sentence, ...]:
    """What was found, a sentence or two a cell."""
    found = slo_answer.searched(stored.record, stored.trials)
    return tuple(_sentences(stored, found))


def facts(stored: StoredSlo) -> str:
    """The search in one line."""
    record = stored.record
    took = "" if record.total_s is None else f" · {units.duration(record.total_s)}"
    return (
        f"{record.slo_id} · {stored.state} · {units.count(len(stored.trials), 'trial')}{took} · "
        f"{record.scenario.cells[0].workload.load.arrivals} arrivals · "
        f"precision {units.percent(record.plan.precision)} · seed {record.seed}"
    )


def legend(record: SloRecord) -> str:
    """How to read the table."""
    return (
        f"loads are of all actors together, latency counts from the intended start; a load holds "
        f"where the geometric mean over processes of a percentile keeps to its limit; every "
        f"interval at once, but for those of DISTURBED trials, is right with {units.percent(record.plan.confidence)}, each of its ends "
        f"shown by {record.plan.looks[0]} to {record.plan.looks[-1]} trials in processes of their "
        f"own; {SPREAD_ASSUMPTION}; {ASSUMPTION}"
    )


def limit(one: Limit) -> str:
    """A limit: "p99 ≤ 2.00 ms"."""
    return f"p{one.percent:g} ≤ {units.seconds(one.limit_s)}"


def limits(record: SloRecord) -> str:
    """All limits in words."""
    return " and ".join(map(limit, record.plan.limits))


def commands(stored: StoredSlo) -> tuple[str, ...]:
    """Shell lines that search and show again."""
    record = stored.record
    asked = (shlex.join(record.command),) if record.command else ()
    return (*asked, shlex.join(("slotbench", "show", record.slo_id)))


def _sentences(stored: StoredSlo, found: Sequence[Searched]) -> Iterable[Sentence]:
    record = stored.record
    is_one = len(record.scenario.cells) == 1
    for cell in record.scenario.cells:
        of_cell = sorted(
            (one for one in found if one.cell == cell.name), key=lambda one: -one.low_per_s
        )
        kept = [f" keeps {limits(record)}", *[""] * (len(of_cell) - 1)]
        parts = [
            f"{one.contender}{words} {_up_to(one)}"
            for one, words in zip(of_cell, kept, strict=True)
        ]
        text = f"{'; '.join(parts)}."
        shown = _leads(of_cell)
        if shown:
            text += f" {shown}"
        disturbed = [
            one.contender
            for one in of_cell
            if any(point.num_disturbed_counted for point in one.search.points)
        ]
        if disturbed:
            text += (
                f" The machine DISTURBED too many trials of {_joined(disturbed)} for that to be "
                f"right with {units.percent(record.plan.confidence)}."
            )
        about = "Answer" if is_one else cell.name
        yield Sentence(about, text if is_one else f"{cell.name}: {text}")


def _up_to(one: Searched) -> str:
    """How far a contender holds, in words that follow its name."""
    held, failed = one.search.held, one.search.failed
    if held is not None and failed is not None:
        return f"up to a load between {_rate(held)} and {_rate(failed)}"
    if held is not None:
        return f"up to {_rate(held)} at least"
    if failed is not None and one.search.ending == "none holds":
        return f"at no load that was tried ({_rate(one.search.points[0])} and more)"
    if failed is not None:
        return f"below {_rate(failed)}, if at all"
    return f"at a load that {'is not found yet' if one.is_open else 'was not found'}"


def _leads(of_cell: Sequence[Searched]) -> str:
    """What the intervals show of contenders against each other, the leader's pairs alone."""
    pairs = slo_answer.leads(of_cell)
    if not pairs:
        known = [one for one in of_cell if one.search.held is not None]
        return "" if len(known) < 2 else "The intervals show no difference between them."
    best = max(of_cell, key=lambda one: one.low_per_s).contender
    own = [pair for pair in pairs if pair.leader == best]
    if not own:
        return ""
    said = [f"at least {_least(pair.ratio)} the load of {pair.other}" for pair in own]
    return f"{best} holds {_joined(said)}."


def _least(ratio: float) -> str:
    """A ratio that something is at least: rounded down, so that it is one."""
    return units.ratio(math.floor(ratio * 100.0) / 100.0)


def _joined(parts: Sequence[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _table(record: SloRecord, cell: str, found: Sequence[Searched]) -> CellTable:
    plan = record.plan
    slots = next(c.workload.num_slots for c in record.scenario.cells if c.name == cell)
    header = ["contender", "shown to hold", "shown not to", "per actor"]
    for given in plan.limits:
        name = f"p{given.percent:g}"
        # Two columns of one name could not be told apart.
        other = "at the other" if len(plan.limits) == 1 else f"{name} at the other"
        header += [f"{name} at the one", other]
    header += ["trials", "of the best"]
    of_cell = [one for one in found if one.cell == cell]
    rows = []
    for one in of_cell:
        held, failed = one.search.held, one.search.failed
        row = [
            one.contender,
            _NONE if held is None else _rate(held),
            _NONE if failed is None else _rate(failed),
            units.MISSING
            if held is None
            else f"{units.significant(held.load_per_s / slots)}/s",
        ]
        for place in range(len(plan.limits)):
            row += [_value(held, place), _value(failed, place)]
        row += [str(one.num_trials), _share(one, of_cell)]
        rows.append(tuple(row))
    return CellTable(
        name=f"{cell}: {limits(record)}" if cell != "all" else limits(record),
        header=tuple(header),
        rows=tuple(rows),
        notes=tuple(note for one in of_cell for note in _notes(record, one)),
        left=frozenset({0}),
    )


def _share(one: Searched, of_cell: Sequence[Searched]) -> str:
    low, high = slo_answer.share_of_best(one, of_cell)
    if low is None and (high is None or high >= 1.0):
        return units.MISSING
    if low is None:
        return f"at most {units.ratio(high)}"
    return units.interval(low, high)


def _value(point: Point | None, place: int) -> str:
    if point is None or not point.values_s:
        return units.MISSING
    value_s = point.values_s[place]
    if value_s is None:
        return units.MISSING
    # What an overload's latency is says how long it was watched.
    sign = "over " if point.num_overloaded else ""
    return f"{sign}{units.seconds(value_s)}"


def _notes(record: SloRecord, one: Searched) -> Iterable[str]:
    yield from _ending_notes(record, one)
    name, search = one.contender, one.search
    for point in search.points:
        if point.decision == "undecided":
            yield f"{name}: {_rate(point)} is too near to the limit for {point.num_trials} trials"
    if search.failed is not None and search.failed.num_overloaded:
        yield (
            f"{name}: at {_rate(search.failed)} requests come faster than they are answered, in "
            f"{search.failed.num_overloaded} of {units.count(search.failed.num_trials, 'trial')}"
        )
    disturbed = sum(point.num_disturbed for point in search.points)
    if disturbed:
        yield f"{name}: {units.count(disturbed, 'trial')} DISTURBED and made again"
    kept = sum(point.num_disturbed_counted for point in search.points)
    if kept:
        yield (
            f"warning: {name}: {units.count(kept, 'trial')} DISTURBED that count, too many to be "
            "made again, so that its interval is not right with "
            f"{units.percent(record.plan.confidence)}: search on a machine that does nothing else"
        )
    unusable = sum(point.num_unusable for point in search.points)
    if unusable and search.unmade is None:
        yield f"{name}: {units.count(unusable, 'trial')} INVALID or failed, not used: {one.problem}"
    for low, high in search.contradictions:
        yield (
            f"warning: {name}: latency at {_rate(low)} is above that at {_rate(high)}: it falls "
            "where load rises, as where batches wait for their timeout, and a higher load may hold, "
            "too"
        )


def _ending_notes(record: SloRecord, one: Searched) -> Iterable[str]:
    """How a search ended, where it did not between two loads."""
    name, search, unmade = one.contender, one.search, one.search.unmade
    if unmade is not None:
        yield _unmade_note(name, unmade, is_top=search.failed is None)
    if not search.points:
        if search.ending == "not found":
            yield f"{name}: not found: {one.problem or 'no load was decided'}"
    else:
        lowest, highest = search.points[0], search.points[-1]
        said = ", ".join(
            f"p{given.percent:g} is {_value(lowest, place)}"
            for place, given in enumerate(record.plan.limits)
        )
        kept = limits(record)
        told = {
            "none holds": (
                f"no load was shown to hold {kept}: at {_rate(lowest)}, the lowest tried, {said}"
            ),
            "all hold": (
                f"{_rate(highest)}, the highest load tried, holds; begin higher with --from"
            ),
            "undecided above": f"no load up to {_rate(highest)} was shown not to hold",
            "undecided below": (
                f"no load was shown to hold {kept}, and {_rate(lowest)}, the lowest tried, was "
                "not shown to fail either"
            ),
            "not found": "no load was shown to hold, and none not to",
        }
        if search.ending in told:
            yield f"{name}: {told[search.ending]}"
    if search.ending == "open":
        yield f"{name}: its search has not ended; what is shown of it stands"


def _unmade_note(name: str, unmade: Point, *, is_top: bool) -> str:
    """Why a load has no numbers, and whose doing that is."""
    unknown = ", so that what lies above is not known" if is_top else ""
    if unmade.cause == "generator":
        return f"{name}: {_rate(unmade)} could not be offered{unknown} ({unmade.problem})"
    if unmade.cause == "contender":
        return (
            f"warning: {name}: it does not serve {_rate(unmade)}: "
            f"{units.count(unmade.num_unusable, 'trial')} without numbers{unknown} "
            f"({unmade.problem})"
        )
    return f"{name}: {_rate(unmade)} has no usable trial{unknown} ({unmade.problem})"


def _remarks(stored: StoredSlo) -> Iterable[str]:
    yield from (f"note: {note}" for note in stored.notes)
    for skip in stored.record.skipped:
        yield f"skipped: {skip.label} ({skip.reason})"


def _rate(point: Point) -> str:
    return f"{units.significant(point.load_per_s)}/s"


def as_json(stored: StoredSlo) -> str:
    """JSON text: full precision, every load of every search."""
    return json.dumps(document(stored), indent=2, ensure_ascii=False, allow_nan=False)


def document(stored: StoredSlo) -> dict[str, Any]:
    """The same as plain lists and dictionaries; null is what is missing."""
    record = stored.record
    found = slo_answer.searched(record, stored.trials)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "slo_id": record.slo_id,
        "status": stored.state,
        "title": record.scenario.title,
        "question": record.scenario.question,
        "opening": page(stored).opening,
        "limits": [
            {"percent": one.percent, "limit_s": one.limit_s} for one in record.plan.limits
        ],
        "precision_ratio": record.plan.precision,
        "confidence": record.plan.confidence,
        "seed": record.seed,
        "command": list(record.command),
        "searches": [
            {**fields, "loads": [_load(record, point) for point in one.search.points]}
            for one, fields in zip(found, _rows(record, found), strict=True)
        ],
        "leads": [
            {
                "cell": lead.cell,
                "leader": lead.leader,
                "other": lead.other,
                "at_least_ratio": lead.ratio,
            }
            for lead in slo_answer.leads(found)
        ],
        "notes": list(stored.notes),
    }


def as_csv(stored: StoredSlo) -> str:
    """CSV text with a header: a row per cell and contender; empty is missing."""
    record = stored.record
    found = slo_answer.searched(record, stored.trials)
    rows = [{"slo_id": record.slo_id, **row} for row in _rows(record, found)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: "" if value is None else value for name, value in row.items()}
        for row in rows
    )
    return text.getvalue()


def _rows(record: SloRecord, found: Sequence[Searched]) -> list[dict[str, Any]]:
    rows = []
    for one in found:
        held, failed = one.search.held, one.search.failed
        low, high = slo_answer.share_of_best(one, found)
        row: dict[str, Any] = {
            "cell": one.cell,
            "contender": one.contender,
            "ending": one.search.ending,
            "held_per_s": None if held is None else held.load_per_s,
            "failed_per_s": None if failed is None else failed.load_per_s,
            "closed_loop_per_s": one.closed_per_s,
            "share_of_best_low_ratio": low,
            "share_of_best_high_ratio": high,
            "num_trials": one.num_trials,
            "problem": one.problem,
        }
        for place, given in enumerate(record.plan.limits):
            name = f"p{given.percent:g}".replace(".", "")
            row[f"{name}_limit_s"] = given.limit_s
            row[f"{name}_held_s"] = None if held is None else held.values_s[place]
            row[f"{name}_failed_s"] = None if failed is None else failed.values_s[place]
        rows.append(row)
    return rows


def _load(record: SloRecord, point: Point) -> dict[str, Any]:
    values = point.values_s or (None,) * len(record.plan.limits)
    return {
        "load_per_s": point.load_per_s,
        "decision": point.decision,
        "num_trials": point.num_trials,
        "num_overloaded": point.num_overloaded,
        "num_disturbed": point.num_disturbed,
        "num_disturbed_counted": point.num_disturbed_counted,
        "num_unusable": point.num_unusable,
        "latency": [
            {"percent": one.percent, "geometric_mean_s": value}
            for one, value in zip(record.plan.limits, values, strict=True)
        ],
    }
