"""A metric over many runs in words: what changed with which run, and every run's number."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final

from slotbench.compute import metrics
from slotbench.compute.change_points import MIN_POINTS
from slotbench.compute.history import Change, History, Loss, Series, regressed
from slotbench.draw import as_html, as_md, as_text, units
from slotbench.draw.cell_table import CellTable
from slotbench.draw.page import Page
from slotbench.draw.screen import PAPER, Screen, drawn
from slotbench.errors import SlotbenchError

SCHEMA: Final = "slotbench.history"
SCHEMA_VERSION: Final = 1
"""History of the format: 1, first version."""

FORMATS: Final = ("text", "md", "json", "csv")
"""Those of this module; a page is `slotbench.report`'s."""

MAX_RUNS: Final = 20
"""Rows of a table for people: the newest runs; programs are given all."""

MAX_SHORT: Final = 4
"""Tables of cells in which no change is looked for: all of more are left out for people."""

_COMMIT_DIGITS: Final = 10
_MARKS: Final = {"faster": "▲", "slower": "▼", "different": "≠", "equivalent": "="}


def render(history: History, name: str = "text", screen: Screen = PAPER) -> str:
    """The history in a format, ending in one newline.

    Args:
        history: what to show.
        name: one of `FORMATS`.
        screen: of text.

    Raises:
        SlotbenchError: no such format.
    """
    if name == "json":
        return as_json(history)
    if name == "csv":
        return as_csv(history)
    if name == "md":
        return as_md.of_page(page(history)) + "\n"
    if name == "text":
        width = max(screen.width, as_text.MIN_WIDTH)
        parts = as_text.renderable(page(history), width).renderables
        return drawn(parts, screen, min_width=as_text.MIN_WIDTH)
    raise SlotbenchError(
        f"unknown format {name!r}: a history is {', '.join(FORMATS)} or html"
    )


def fragment(history: History) -> str:
    """What a notebook shows."""
    return as_html.of_page(page(history))


def page(history: History) -> Page:
    """Everything that is said of a history, in order."""
    return Page(
        title=title(history),
        question="",
        opening=opening(history),
        facts=tuple(_facts(history)),
        differences=tuple(changes(history)),
        tables=tuple(tables(history)),
        legend=legend(history),
        remarks=tuple(f"note: {note}" for note in (*history.notes, *_left_out(history))),
        gate="",
        commands=(),
    )


def title(history: History) -> str:
    """What is followed: "throughput over the baseline's, run by run"."""
    label = metrics.get(history.metric).label
    label = f"{label[0].upper()}{label[1:]}"
    of_what = "" if history.is_absolute else " over each run's own baseline"
    return f"{label}{of_what}, run by run"


def opening(history: History) -> str:
    """One or two sentences: whether anything changed, and what the newest level is after."""
    runs = units.count(history.num_runs, "run")
    series = f"{units.whole(len(history.series))} series"
    found = [change for one in history.series for change in one.changes]
    searched = [one for one in history.series if one.partition.spread is not None]
    if not searched:
        return (
            f"{runs}, and no workload {MIN_POINTS} times on one machine: too few to tell a change from what "
            "runs differ by."
        )
    if not found:
        return f"No change in {series} of {runs}: nothing beyond what runs of one level differ by."
    kinds = [
        f"{sum(change.verdict == verdict for change in found)} {words}"
        for verdict, words in (
            ("slower", "worse"),
            ("faster", "better"),
            ("different", "different"),
            ("equivalent", "too small to matter"),
        )
        if any(change.verdict == verdict for change in found)
    ]
    said = f"{units.count(len(found), 'change')} in {series} of {runs}: {', '.join(kinds)}."
    worse = regressed(history)
    if worse:
        said += f" At its newest level worse than at its best before: {_lost(worse)}."
    return said


def _lost(worse: Sequence[Series]) -> str:
    """Each contender with the most that it lost anywhere."""
    most: dict[str, Loss] = {}
    for one in worse:
        known = most.get(one.contender)
        if one.loss and (
            known is None
            or abs(math.log(one.loss.size.point)) > abs(math.log(known.size.point))
        ):
            most[one.contender] = one.loss
    return ", ".join(
        f"{who} {units.ratio(loss.size.point)} {units.interval(loss.size.low, loss.size.high)}"
        for who, loss in most.items()
    )


def changes(history: History) -> Iterable[str]:
    """A line a change, in the order of the series: which way, how much, with which run, after which."""
    many = len({one.place for one in history.series}) > 1
    for one in history.series:
        where = f" in {_place(history, one)}" if many else ""
        for change in one.changes:
            yield f"{change_words(one, change)}{where}: {came_with(one, change)}"


def change_words(one: Series, change: Change) -> str:
    """Of a change, whose it is, the verdict, and its size with the interval."""
    size = change.cut.size
    shown = f"{units.ratio(size.point)} {units.interval(size.low, size.high)}"
    unsure = "" if change.cut.is_confirmed else ", one run alone: not confirmed yet"
    mark = _MARKS.get(change.verdict, "")
    return f"{mark} {one.contender} {change.verdict} {shown}{unsure}".strip()


def came_with(one: Series, change: Change) -> str:
    """The run that came with a change, and the last one before it."""
    point, before = one.points[change.at], one.points[change.at - 1]
    return (
        f"since {point.run_id} ({_commit(point.commit, is_dirty=point.is_dirty)}), after "
        f"{_commit(before.commit, is_dirty=before.is_dirty)}; p {units.p_value(change.cut.p_value)}"
    )


def tables(history: History) -> Iterable[CellTable]:
    """A table a cell, a row a run, the oldest first; not of many cells with too few runs."""
    grouped = _by_place(history)
    short = [place for place, group in grouped.items() if not _is_searched(group)]
    for place, group in grouped.items():
        if len(short) <= MAX_SHORT or place not in short:
            yield _table(history, group)


def _by_place(history: History) -> dict[object, list[Series]]:
    return {
        place: list(group)
        for place, group in groupby(history.series, key=lambda one: one.place)
    }


def _is_searched(group: Iterable[Series]) -> bool:
    """Whether a change was looked for in any of them."""
    return any(one.partition.spread is not None for one in group)


def _left_out(history: History) -> Iterable[str]:
    """What has no table."""
    short = [group for group in _by_place(history).values() if not _is_searched(group)]
    if len(short) > MAX_SHORT:
        yield (
            f"{units.count(len(short), 'cell')} with fewer than {MIN_POINTS} runs not shown: choose some with --scenario "
            "or --cell, or take --format csv, which has all"
        )


def legend(history: History) -> str:
    """What is shown, and what a change is."""
    what = (
        "the metric's value; drift of the machine is in it"
        if history.is_absolute
        else "a contender over the run's own baseline, paired by blocks, so that drift which the baseline "
        "felt too is not in it"
    )
    return (
        f"A number is {what}. ▲ better, ▼ worse, = within δ: the level of all runs from there on over that of "
        "the runs before, with its 95 % interval. At its newest level worse: over the best earlier level, where that interval lies wholly beyond δ. A change is marked where the levels differ by more than runs of one "
        "level do, for all positions and series together: in at most 5 % of histories without a change anything is. ± "
        "is that spread between runs."
    )


def as_csv(history: History) -> str:
    """A row a series and run; empty is missing."""
    from slotbench.frames import history_frame

    frame = history_frame(history)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(frame.columns)
    for row in frame.itertuples(index=False):
        writer.writerow([_plain(value) for value in row])
    return text.getvalue()


def as_json(history: History) -> str:
    """All of it, full precision; null is missing, also an end that is not finite."""
    metric = metrics.get(history.metric)
    found = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "metric": history.metric,
        "unit": metric.unit if history.is_absolute else "ratio",
        "better": metric.better,
        "is_absolute": history.is_absolute,
        "opening": opening(history),
        "num_runs": history.num_runs,
        "series": [_series(one) for one in history.series],
        "notes": list(history.notes),
    }
    return json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _series(one: Series) -> dict[str, Any]:
    return {
        "machine": one.machine,
        "scenario": one.scenario,
        "cell": one.cell,
        "workload": one.workload,
        "contender": one.contender,
        "baseline": one.baseline,
        "threshold_ratio": one.threshold,
        "spread_between_runs": one.partition.spread,
        "is_regressed": one.is_regressed,
        "loss": None if one.loss is None else _loss(one, one.loss),
        "points": [
            {
                "run_id": point.run_id,
                "created_at": point.created_at,
                "commit": point.commit or None,
                "is_dirty": point.is_dirty,
                "value": point.value,
                "value_low": point.low,
                "value_high": point.high,
                "count": point.count,
            }
            for point in one.points
        ],
        "segments": [
            {
                "begin": one.points[segment.begin].run_id,
                "num_runs": segment.end - segment.begin,
                "level": segment.level,
            }
            for segment in one.partition.segments
        ],
        "changes": [
            {
                "run_id": one.points[change.at].run_id,
                "commit": one.points[change.at].commit or None,
                "after_run_id": one.points[change.at - 1].run_id,
                "ratio": change.cut.size.point,
                "low_ratio": _finite(change.cut.size.low),
                "high_ratio": _finite(change.cut.size.high),
                "verdict": change.verdict,
                "p_value": change.cut.p_value,
                "is_confirmed": change.cut.is_confirmed,
            }
            for change in one.changes
        ],
    }


def _loss(one: Series, loss: Loss) -> dict[str, Any]:
    """The best level before, by its first and last run, and the newest level over it."""
    return {
        "begin_run_id": one.points[loss.begin].run_id,
        "end_run_id": one.points[loss.end - 1].run_id,
        "ratio": loss.size.point,
        "low_ratio": _finite(loss.size.low),
        "high_ratio": _finite(loss.size.high),
        "p_value": loss.p_value,
    }


def _facts(history: History) -> Iterable[str]:
    dates = sorted(p.created_at[:10] for one in history.series for p in one.points)
    span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    deltas = sorted({one.threshold for one in history.series})
    yield (
        f"{units.count(history.num_runs, 'run')} · {span} · δ "
        f"{', '.join(units.percent(delta) for delta in deltas)}"
    )
    yield from dict.fromkeys(one.machine for one in history.series)


def _table(history: History, group: Sequence[Series]) -> CellTable:
    runs: dict[str, tuple[str, str]] = {}
    for one in group:
        for point in one.points:
            commit = _commit(point.commit, is_dirty=point.is_dirty)
            runs[point.run_id] = (point.created_at[:16].replace("T", " "), commit)
    order = [run_id for run_id in history.runs if run_id in runs]
    cells = [_numbers(history, one) for one in group]
    shown = order[-MAX_RUNS:]
    names = _short(order)
    rows = [
        (names[run_id], *runs[run_id], *(numbers.get(run_id, "") for numbers in cells))
        for run_id in shown
    ]
    return CellTable(
        name=_place(history, group[0]),
        header=("run", "measured", "commit", *(one.contender for one in group)),
        rows=tuple(rows),
        notes=tuple(_notes(group, len(order) - len(shown))),
        left=frozenset({0, 1, 2}),
    )


def _short(run_ids: Sequence[str]) -> dict[str, str]:
    """Run id → its end, by which commands know it, too; the whole where that is another's as well."""
    ends = {run_id: run_id.rpartition("-")[2] or run_id for run_id in run_ids}
    if len(set(ends.values())) == len(ends):
        return ends
    return {run_id: run_id for run_id in run_ids}


def _numbers(history: History, one: Series) -> dict[str, str]:
    """Run id → its number, with the change that came with it."""
    unit = metrics.get(history.metric).unit
    at = {change.at: change for change in one.changes}
    found = {}
    for number, point in enumerate(one.points):
        said = (
            units.value(point.value, unit)
            if history.is_absolute
            else units.ratio(point.value)
        )
        if number in at:
            change = at[number]
            size = units.ratio(change.cut.size.point)
            said = f"{_MARKS.get(change.verdict, '')} {size}  {said}"
        found[point.run_id] = said
    return found


def _notes(group: Sequence[Series], num_hidden: int) -> Iterable[str]:
    if num_hidden:
        yield f"{units.count(num_hidden, 'earlier run')} not shown: --format csv has all"
    known = [
        f"{one.contender} ±{units.percent(math.expm1(one.partition.spread))}"
        for one in group
        if one.partition.spread is not None
    ]
    if known:
        yield f"between runs: {', '.join(known)}"
    short = [one for one in group if one.partition.spread is None]
    if short:
        who = (
            ""
            if len(short) == len(group)
            else " of " + ", ".join(x.contender for x in short)
        )
        yield f"no change is looked for in fewer than {MIN_POINTS} runs{who}"


def _place(history: History, one: Series) -> str:
    """Scenario and cell; the machine where there are several."""
    name = f"{one.scenario}, {one.cell}" if one.cell != "all" else one.scenario
    if one.num_workloads > 1:
        name += f", workload {one.workload} of {one.num_workloads}"
    if one.baseline is not None:
        name += f", over {one.baseline}"
    is_only = len({other.machine for other in history.series}) == 1
    return name if is_only else f"{name} ({one.machine})"


def _commit(commit: str, *, is_dirty: bool) -> str:
    if not commit:
        return "commit not known"
    return f"{commit[:_COMMIT_DIGITS]}{'+' if is_dirty else ''}"


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).lower() if str(value) in {"True", "False"} else value


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else number
