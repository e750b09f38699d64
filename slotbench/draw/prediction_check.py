"""Predictions held against recorded runs: how many were right, where they were not, the worst.

As JSON it is its record: `slotbench.store.document`.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from slotbench.compute import predictions
from slotbench.draw import told, units
from slotbench.draw.cell_table import CellTable
from slotbench.draw.recommendation import REGIMES
from slotbench.draw.screen import PAPER, Screen
from slotbench.draw.table import Table
from slotbench.draw.told import Told, check_format
from slotbench.records import CheckedPrediction, PredictionCheck
from slotbench.records.recommendation import Regime

__all__ = ["check_format", "fragment", "render", "sentences", "show"]

LEGEND: Final = (
    "predicted: the batching rule simulated with think time and S(n) as calibrated, or as asked for, and the "
    "transport's cost as fitted to other runs; nothing of it is from these trials. Predicted/measured has the "
    "95 % interval of what was measured. Not predicted is a contender whose cost was never fitted."
)
_ACTORS: Final = ((1, 16), (17, 64), (65, 256), (257, 10**9))


def render(record: PredictionCheck, name: str, screen: Screen = PAPER) -> str:
    """The check in a format, ending in one line feed.

    Raises:
        SlotbenchError: no such format.
    """
    check_format(name)
    if name == "json":
        from slotbench.store import document

        return document(record).decode("utf-8")
    if name == "csv":
        return told.as_csv([predictions.flat(one) for one in record.rows])
    return told.as_md(_told(record)) if name == "md" else show(record, screen)


def show(record: PredictionCheck, screen: Screen = PAPER) -> str:
    """As text."""
    return told.as_text(_told(record), screen)


def fragment(record: PredictionCheck) -> str:
    """As an HTML fragment."""
    return told.as_fragment(_told(record))


def _told(record: PredictionCheck) -> Told:
    tables = [by_run(record), by_regime(record), by_actors(record)]
    if len(record.runs) == 1:
        tables.append(_all_rows(record))
    return Told(tuple(sentences(record)), tuple(tables), command=shlex.join(record.command))


def sentences(record: PredictionCheck) -> list[str]:
    """How many were right, which way the others were off, and the worst."""
    right = predictions.share_right(record.rows, record.margin)
    high = sum(one.ratio > 1.0 + record.margin for one in record.rows)
    low = sum(one.ratio < 1.0 / (1.0 + record.margin) for one in record.rows)
    worst = predictions.worst(record.rows)
    assert worst is not None, "a check has rows"
    names = {one.run_id: one.name for one in record.runs}
    said = [
        f"Of {units.whole(len(record.rows))} measured throughputs, in "
        f"{units.count(len(record.runs), 'run')}, {units.rate(right)} were predicted within "
        f"{units.percent(record.margin)}, {high} higher than that and {low} lower.",
        f"The worst is {worst.contender} in {names[worst.run]}, {worst.cell}: predicted "
        f"{units.significant(worst.predicted_per_s)}/s, measured "
        f"{units.significant(worst.measured_per_s)}/s ({units.ratio(worst.ratio)}).",
    ]
    left_out = sum(one.num_left_out for one in record.runs)
    if left_out:
        said.append(
            f"{units.whole(left_out)} more, of contenders whose cost was never fitted or of cells whose "
            "times are not known, were not predicted."
        )
    return said


_SUMMARY: Final = ("predictions", "within 20 %", "median", "worst", "batch", "p50", "p99")


def by_run(record: PredictionCheck) -> Table:
    """How good predictions were, run by run."""
    rows = []
    for run in record.runs:
        own = [one for one in record.rows if one.run == run.run_id]
        if own:
            pace = units.ratio(run.pace) + ("" if run.is_pace_known else " (assumed)")
            how = "left out" if run.is_held_out else "never in"
            rows.append((run.name, pace, how, *_summary(own, record.margin)))
    header = ("run", "pace", "cost fit", *_summarised(record))
    notes = (
        "Cost fit: whether the run was left out of the fit of the costs, or is none of those that are "
        "fitted. Median and worst: predicted over measured throughput. Batch, p50, p99: the same of mean "
        "batch size and latency, medians; p99 is the simulation's, without a scheduler's delays.",
    )
    return Table("by run", header, tuple(rows), notes, 3)


def by_regime(record: PredictionCheck) -> Table:
    """How good they were, by what most of the predicted time goes to."""
    regimes: tuple[Regime, ...] = ("transport", "policy", "think")
    rows = [
        (REGIMES[name], *_summary(own, record.margin))
        for name in regimes
        if (own := [one for one in record.rows if one.regime == name])
    ]
    return Table("by what takes the time", ("where", *_summarised(record)), tuple(rows))


def by_actors(record: PredictionCheck) -> Table:
    """How good they were, by the number of actors."""
    rows = []
    for low, high in _ACTORS:
        own = [one for one in record.rows if low <= one.num_slots <= high]
        if own:
            most = max(one.num_slots for one in own)
            least = min(one.num_slots for one in own)
            name = (
                units.whole(least)
                if least == most
                else f"{units.whole(least)} to {units.whole(most)}"
            )
            rows.append((name, *_summary(own, record.margin)))
    return Table("by actors", ("actors", *_summarised(record)), tuple(rows))


def _all_rows(record: PredictionCheck) -> Table:
    header = (
        "cell",
        "contender",
        "predicted",
        "measured",
        "predicted/measured",
        "batch",
        "p50",
        "p99",
    )
    rows = [(one.cell, *_row(one)) for one in record.rows]
    return Table("cells", header, tuple(rows), (LEGEND,), 2)


def tables(rows: Sequence[CheckedPrediction]) -> tuple[CellTable, ...]:
    """A table a cell, for a report of a run."""
    cells = dict.fromkeys(one.cell for one in rows)
    header = (
        "contender",
        "predicted",
        "measured",
        "predicted/measured",
        "batch",
        "p50",
        "p99",
    )
    return tuple(
        CellTable(
            name=name,
            header=header,
            rows=tuple(_row(one) for one in rows if one.cell == name),
            notes=tuple(_notes([one for one in rows if one.cell == name])),
            left=frozenset({0}),
        )
        for name in cells
    )


def _notes(own: Sequence[CheckedPrediction]) -> Iterator[str]:
    right = predictions.share_right(own)
    total = units.count(len(own), "contender")
    yield (
        f"within {units.percent(predictions.MARGIN)}: {round((right or 0.0) * len(own))} of {total}"
    )
    if not own[0].is_calibrated:
        yield "think time and policy as the scenario asks: nothing was calibrated"


def _row(one: CheckedPrediction) -> tuple[str, ...]:
    interval = ""
    if one.ratio_low is not None and one.ratio_high is not None:
        interval = f" {units.interval(one.ratio_low, one.ratio_high)}"
    return (
        one.contender,
        units.value(one.predicted_per_s, "requests/s"),
        units.value(one.measured_per_s, "requests/s"),
        f"{units.ratio(one.ratio)}{interval}",
        _pair(one.predicted_batch_size, one.measured_batch_size, units.significant),
        _pair(one.predicted_latency_p50_s, one.measured_latency_p50_s, units.seconds),
        _pair(one.predicted_latency_p99_s, one.measured_latency_p99_s, units.seconds),
    )


def _pair(predicted: float, measured: float | None, shown: Callable[[float], str]) -> str:
    """Both numbers: a reader wants to see how large they are."""
    return f"{shown(predicted)} / {units.MISSING if measured is None else shown(measured)}"


def _summarised(record: PredictionCheck) -> tuple[str, ...]:
    return tuple(
        f"within {units.percent(record.margin)}" if name == "within 20 %" else name
        for name in _SUMMARY
    )


def _summary(own: Sequence[CheckedPrediction], margin: float) -> tuple[str, ...]:
    worst = predictions.worst(own)
    flat = [predictions.flat(one) for one in own]
    return (
        units.whole(len(own)),
        units.rate(predictions.share_right(own, margin)),
        units.ratio(_median(one.ratio for one in own)),
        units.MISSING if worst is None else units.ratio(worst.ratio),
        *(
            units.ratio(_median(one[f"{name}_ratio"] for one in flat))
            for name in ("batch_size", "latency_p50", "latency_p99")
        ),
    )


def _median(values: Iterable[float | None]) -> float | None:
    import statistics

    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
