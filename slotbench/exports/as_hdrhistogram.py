"""An HdrHistogram interval log: every trial's latencies as a tagged, mergeable histogram.

A line is a trial: ``Tag=cell/contender/round``, when its window began and how long it was in
seconds, its largest latency in ms, and the histogram in ns with 3 significant digits. Values
are the middles of the record's buckets, so they are up to 0.8 % off, as in the record, and
then up to 0.1 % more. Times are relative to the run's start, which is the log's BaseTime.

Source: the log format 1.3 of HdrHistogram (hdrhistogram.org). The library encodes histograms;
the lines are written here, because its writer (0.10.8) knows no tags and fails on a start time.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from slotbench.exports._extra import require
from slotbench.exports._rendered import Rendered
from slotbench.exports._text import percent_encode
from slotbench.exports._trials import UsableTrial, account, started_at, usable_trials

if TYPE_CHECKING:
    from slotbench.store import StoredRun

SUMMARY: Final = "log of latency histograms (needs hdrhistogram)"
DEFAULT_NAME: Final = "{run_id}.hlog"

_SIGNIFICANT_DIGITS: Final = 3
_NS_PER_MS: Final = 1_000_000


def render(stored: "StoredRun") -> Rendered:
    """One file; a trial that counted no latency is left out.

    Raises:
        SlotbenchError: hdrhistogram is missing.
        RecordError: a time in the record is none.
    """
    require("hdrh.histogram", package="hdrhistogram", name="hdrhistogram")
    run = stored.run
    start = started_at(run.created_at, run.run_id)
    trials = usable_trials(stored)
    with_latencies = [trial for trial in trials if trial.measurement.latency.buckets]
    # Readers stop at the first line that is later than what they were asked for.
    intervals = sorted(
        ((_begin_s(trial, start), trial) for trial in with_latencies),
        key=lambda interval: interval[0],
    )
    lines = [_line(begin_s, trial) for begin_s, trial in intervals]
    text = "\n".join([*_head(run.run_id, start), *lines, ""])
    left_out = {"without latencies": len(trials) - len(lines)}
    return Rendered(
        {"": text.encode("utf-8", "replace")}, (account(stored, len(lines), left_out),)
    )


def _begin_s(trial: UsableTrial, start: datetime) -> float:
    """When the trial's window began, in seconds since the run did."""
    record, measured = trial.record, trial.measurement
    sent = started_at(record.started_at, f"trial {record.trial_id}")
    since_s = (sent - start).total_seconds() + measured.startup_s + measured.warmup_s
    return max(0.0, since_s)  # a clock that was set back; the format has no minus


def _head(run_id: str, start: datetime) -> Iterator[str]:
    since_epoch_s = f"{start.timestamp():.3f}"
    yield "#[Histogram log format version 1.3]"
    yield f"#[slotbench run {' '.join(run_id.split())}, latencies in ns]"
    date = start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    yield f"#[StartTime: {since_epoch_s} (seconds since epoch), {date}]"
    yield f"#[BaseTime: {since_epoch_s} (seconds since epoch)]"
    yield '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'


def _line(begin_s: float, trial: UsableTrial) -> str:
    from hdrh.histogram import HdrHistogram

    from slotbench.compute.histogram import edges_ns

    counts = []
    for index, number in trial.measurement.latency.buckets:
        low_ns, high_ns = edges_ns(index)
        counts.append(((low_ns + high_ns - 1) // 2, number))
    # A value above the histogram's range would be dropped without a word.
    highest_ns = max(2, *(middle_ns for middle_ns, _ in counts))
    histogram = HdrHistogram(1, highest_ns, _SIGNIFICANT_DIGITS)
    for middle_ns, number in counts:
        histogram.record_value(middle_ns, number)
    max_ms = histogram.get_max_value() / _NS_PER_MS
    code = histogram.encode().decode("ascii")
    times = f"{begin_s:.6f},{trial.measurement.window_s:.6f},{max_ms:.6f}"
    return f"Tag={_tag(trial)},{times},{code}"


def _tag(trial: UsableTrial) -> str:
    """cell/contender/round; a comma would end the tag, so commas become semicolons."""
    record = trial.record
    text = f"{record.cell}/{record.contender}/{record.round}"
    return percent_encode(text.replace(", ", ";").replace(",", ";"), "")
