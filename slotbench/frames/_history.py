"""One metric over many runs, as frames: a row a run and series, and a row a change."""

from typing import TYPE_CHECKING, Any, Final

from slotbench.compute import metrics

if TYPE_CHECKING:
    import pandas as pd

    from slotbench.compute.history import History, Series

_PLACE: Final = ("machine", "scenario", "cell", "workload", "contender", "baseline")
_POINTS: Final = (
    *_PLACE,
    *("number", "run_id", "created_at", "commit", "is_dirty"),
    *("value", "value_low", "value_high", "count", "segment", "level"),
    *("change", "change_low", "change_high", "verdict", "is_confirmed"),
)
_CHANGES: Final = (
    *_PLACE,
    *("number", "run_id", "created_at", "commit", "after_run_id", "after_commit"),
    *("change", "change_low", "change_high", "verdict", "p_value", "is_confirmed"),
)


def history_frame(history: "History") -> "pd.DataFrame":
    """One row per series and run, oldest first.

    Columns: machine, scenario, cell, workload (counted from 1 where a cell's name has had several),
    contender, baseline (None for values); number of the run in its series, from 1, run_id, created_at,
    commit, is_dirty; value with value_low and value_high, the t interval inside the run (95 %, or surer
    where the run looked more than once), and count of pairs or trials; segment, from 1, and level, what it is there. Where a run came with a change:
    change, its size as a ratio, change_low and change_high, verdict, is_confirmed; else NaN or None.

    ``frame.attrs``: ``metric``, ``unit`` ("" for ratios), ``is_absolute``, ``contenders``; ``runs``, the
    ids of all runs, oldest first: to the second two may have one time.
    """
    import pandas as pd

    rows = [row for series in history.series for row in _points(series)]
    frame = pd.DataFrame(rows, columns=pd.Index(_POINTS))
    numbers = [name for name in _POINTS if name.startswith(("value", "change"))]
    frame = frame.astype(dict.fromkeys((*numbers, "level"), "float64"))
    unit = metrics.get(history.metric).unit if history.is_absolute else ""
    frame.attrs.update(
        metric=history.metric,
        unit=unit,
        is_absolute=history.is_absolute,
        runs=list(history.runs),
        contenders=list(dict.fromkeys(series.contender for series in history.series)),
    )
    return frame


def changes_frame(history: "History") -> "pd.DataFrame":
    """One row per change of any series; columns as of `history_frame`.

    Beside these after_run_id and after_commit, of the last run before the change, and p_value, of
    "no change", for all positions and series that were searched.
    """
    import pandas as pd

    rows = [row for series in history.series for row in _changes(series)]
    frame = pd.DataFrame(rows, columns=pd.Index(_CHANGES))
    return frame.astype(
        dict.fromkeys(("change", "change_low", "change_high", "p_value"), "float64")
    )


def _place(series: "Series") -> dict[str, Any]:
    return {name: getattr(series, name) for name in _PLACE}


def _points(series: "Series") -> list[dict[str, Any]]:
    changes = {change.at: change for change in series.changes}
    rows = []
    for place, segment in enumerate(series.partition.segments):
        for number in range(segment.begin, segment.end):
            point, change = series.points[number], changes.get(number)
            rows.append(
                {
                    **_place(series),
                    "number": number + 1,
                    "run_id": point.run_id,
                    "created_at": point.created_at,
                    "commit": point.commit,
                    "is_dirty": point.is_dirty,
                    "value": point.value,
                    "value_low": point.low,
                    "value_high": point.high,
                    "count": point.count,
                    "segment": place + 1,
                    "level": segment.level,
                    "change": None if change is None else change.cut.size.point,
                    "change_low": None if change is None else change.cut.size.low,
                    "change_high": None if change is None else change.cut.size.high,
                    "verdict": None if change is None else change.verdict,
                    "is_confirmed": None if change is None else change.cut.is_confirmed,
                }
            )
    return rows


def _changes(series: "Series") -> list[dict[str, Any]]:
    found = []
    for change in series.changes:
        point, before = series.points[change.at], series.points[change.at - 1]
        size = change.cut.size
        found.append(
            {
                **_place(series),
                "number": change.at + 1,
                "run_id": point.run_id,
                "created_at": point.created_at,
                "commit": point.commit,
                "after_run_id": before.run_id,
                "after_commit": before.commit,
                "change": size.point,
                "change_low": size.low,
                "change_high": size.high,
                "verdict": change.verdict,
                "p_value": change.cut.p_value,
                "is_confirmed": change.cut.is_confirmed,
            }
        )
    return found
