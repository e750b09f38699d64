"""hdrhistogram's own reader reads the log, and finds the latencies that were recorded."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

import slotbench
from slotbench import exports
from slotbench.compute import histogram
from slotbench.compute.percentiles import rank
from slotbench.records import Histogram
from slotbench.store import StoredRun

QUICKSTART = Path(__file__).parents[3] / "results/reference/quickstart"


def read(path: Path) -> Iterator[Any]:
    reader = HistogramLogReader(str(path), HdrHistogram(1, 2, 3))
    try:
        while (found := reader.get_next_interval_histogram()) is not None:
            yield found
    finally:
        reader.close()


def written(stored: StoredRun, target: Path) -> list[Any]:
    (path,) = exports.export(stored, "hdrhistogram", target).paths
    return list(read(path))


def test_counts_and_percentiles_are_those_of_the_latencies(
    with_latencies: StoredRun, latencies_ns: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    """All are counted; p50, p99 and the largest are within 1 % of numpy's."""
    found = written(with_latencies, tmp_path / "out.hlog")
    assert len(found) == 2
    for factor, interval in zip((2, 1), found, strict=True):
        assert interval.get_total_count() == latencies_ns.size
        for percent in (1.0, 50.0, 99.0, 100.0):
            exact = np.percentile(latencies_ns * factor, percent, method="inverted_cdf")
            assert interval.get_value_at_percentile(percent) == pytest.approx(
                exact, rel=0.01
            )


def test_a_measured_run_reads_back(tmp_path: Path) -> None:
    """Every usable trial is a line; counts equal its replies, p50 and p99 its record's."""
    stored = slotbench.load(QUICKSTART).stored
    found = {interval.get_tag(): interval for interval in written(stored, tmp_path / "out")}
    num_checked = 0
    for trial in stored.trials:
        measured = trial.measurement
        if trial.arm != 0 or trial.is_invalid or measured is None:
            continue
        cell = trial.cell.replace(", ", ";").replace(",", ";")
        label = trial.contender.replace(",", ";")
        interval = found[f"{cell}/{label}/{trial.round}"]
        assert interval.get_total_count() == measured.num_replies
        total = interval.get_total_count()
        for percent, exact_s in (
            (50.0, measured.latency_p50_s),
            (99.0, measured.latency_p99_s),
        ):
            if exact_s is not None:
                # By rank: asked for 99, the library rounds the rank, where ours goes up.
                at_rank = 100 * rank(total, percent) / total
                value_s = interval.get_value_at_percentile(at_rank) / 1e9
                assert value_s == pytest.approx(exact_s, rel=0.01)
        num_checked += 1
    assert num_checked == len(found)


def test_times_are_those_of_the_windows(with_latencies: StoredRun, tmp_path: Path) -> None:
    """Sorted; the first was sent 10.25 s after the run began, its window began 0.32 s later."""
    path = tmp_path / "out.hlog"
    found = written(with_latencies, path)
    begun = 1735787045.0  # 2025-01-02T03:04:05Z
    since_s = [interval.get_start_time_stamp() / 1000 - begun for interval in found]
    assert since_s == pytest.approx([10.57, 30.57], abs=1e-3)
    lengths = [i.get_end_time_stamp() - i.get_start_time_stamp() for i in found]
    assert lengths == pytest.approx([1000.0, 1000.0], abs=1)
    lines = path.read_text().splitlines()
    assert lines[0] == "#[Histogram log format version 1.3]"
    assert "#[BaseTime: 1735787045.000 (seconds since epoch)]" in lines
    interval_max_ms = float(lines[-1].split(",")[3])
    assert interval_max_ms == pytest.approx(found[-1].get_max_value() / 1e6, rel=1e-3)


def test_a_clock_that_was_set_back_gives_no_minus(
    with_latencies: StoredRun, tmp_path: Path
) -> None:
    """The format's numbers have no sign; such a trial is at the run's start."""
    trials = tuple(
        replace(trial, started_at="2024-12-31T00:00:00+00:00")
        for trial in with_latencies.trials
    )
    (path,) = exports.export(
        replace(with_latencies, trials=trials), "hdrhistogram", tmp_path / "out"
    ).paths
    lines = [line for line in path.read_text().splitlines() if line.startswith("Tag=")]
    assert [line.split(",")[1] for line in lines] == ["0.000000", "0.000000"]


@pytest.mark.parametrize("values", [[0], [0, 1], [histogram.MAX_NS], [1, histogram.MAX_NS]])
def test_the_ends_of_the_range_are_kept(
    values: list[int], make_stored: Any, make_trial: Any, tmp_path: Path
) -> None:
    """From 0 to 146 years: nothing is dropped."""
    trial = make_trial("slot", 1e3, latency=histogram.count(np.array(values)))
    (interval,) = written(make_stored([trial]), tmp_path / "out")
    assert interval.get_total_count() == len(values)
    assert interval.get_max_value() == pytest.approx(max(values), rel=0.01)
    assert interval.get_min_value() == pytest.approx(min(values), rel=0.01)


def test_a_trial_without_latencies_is_left_out_and_counted(
    with_latencies: StoredRun, tmp_path: Path
) -> None:
    """An interval of nothing says nothing."""
    first, second = with_latencies.trials
    assert first.measurement is not None
    empty = replace(first, measurement=replace(first.measurement, latency=Histogram()))
    stored = replace(with_latencies, trials=(empty, second))
    outcome = exports.export(stored, "hdrhistogram", tmp_path / "out")
    assert len(list(read(outcome.paths[0]))) == 1
    assert outcome.notes == ("1 of 2 trials written; left out: 1 without latencies",)


def test_a_tag_holds_no_comma_and_no_blank(
    make_stored: Any, make_trial: Any, cells: Any, tmp_path: Path
) -> None:
    """Either would end it in some reader."""
    label = "my.module:f[a=1,b=x y]"
    latency = histogram.count(np.arange(1, 100))
    trial = make_trial(label, 1e3, cell=cells[0].name, round=3, latency=latency)
    (interval,) = written(
        make_stored([trial], labels=(label,), cells=cells), tmp_path / "out"
    )
    assert interval.get_tag() == "num_slots=8;model.latency_ms=1/my.module:f[a=1;b=x%20y]/3"
