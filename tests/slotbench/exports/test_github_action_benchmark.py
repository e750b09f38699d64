"""The two files have the shape and the numbers that github-action-benchmark shows."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from slotbench import exports
from slotbench.compute.comparison import compare
from slotbench.store import StoredRun

Entries = dict[str, dict[str, Any]]


def written(stored: StoredRun, folder: Path) -> tuple[Entries, Entries]:
    """By name: bigger is better, smaller is better."""
    bigger, smaller = exports.export(
        stored, "github-action-benchmark", folder / "x", force=True
    ).paths
    found = []
    for path in (bigger, smaller):
        entries = json.loads(path.read_text(encoding="utf-8"))
        for entry in entries:
            assert set(entry) - {"range", "extra"} == {"name", "unit", "value"}
            assert isinstance(entry["value"], int | float)
        assert len({entry["name"] for entry in entries}) == len(entries)
        found.append({entry["name"]: entry for entry in entries})
    return found[0], found[1]


def test_a_metric_is_in_the_file_of_its_direction(
    stored: StoredRun, tmp_path: Path
) -> None:
    """Throughput up, latency down, batch size in neither."""
    bigger, smaller = written(stored, tmp_path)
    assert {name.split(" / ")[2] for name in bigger} == {"throughput"}
    assert {name.split(" / ")[2] for name in smaller} == {"latency_p50", "latency_p99"}
    assert len(bigger) == 2 * 3
    assert len(smaller) == 2 * 2 * 3


def test_a_value_is_that_of_a_comparison(stored: StoredRun, tmp_path: Path) -> None:
    """In the metric's unit, over the trials that a comparison uses."""
    bigger, smaller = written(stored, tmp_path)
    for row in compare(stored.run, stored.trials).rows:
        entry = (bigger | smaller)[f"{row.cell} / {row.contender} / {row.metric}"]
        assert entry["value"] == row.value
        assert entry["unit"] == ("requests/s" if row.metric == "throughput" else "s")
        assert f"geometric mean of {row.num_trials} trials\n" in entry["extra"]
        assert stored.run.run_id in entry["extra"]


def test_the_range_is_the_t_interval_of_the_geometric_mean(
    make_stored: Any, make_trials: Any, tmp_path: Path
) -> None:
    """Half of its width on the logarithm, as a share of the mean, by scipy."""
    rates = [900.0, 1000.0, 1300.0, 1100.0]
    bigger, _ = written(
        make_stored(make_trials({"slot": rates}), labels=("slot",)), tmp_path
    )
    entry = bigger["num_slots=8 / slot / throughput"]
    logs = np.log(rates)
    low, high = scipy.stats.t.interval(0.95, 3, logs.mean(), scipy.stats.sem(logs))
    assert entry["value"] == pytest.approx(np.exp(logs.mean()))
    match = re.fullmatch(r"± ([\d.]+)%", entry["range"])
    assert match
    assert float(match[1]) == pytest.approx(100 * np.expm1((high - low) / 2), rel=0.005)


@pytest.mark.parametrize("rates", [[1000.0], [1000.0, 0.0]])
def test_without_an_interval_there_is_no_range(
    rates: list[float], make_stored: Any, make_trials: Any, tmp_path: Path
) -> None:
    """Of one trial, or where a value is 0."""
    bigger, _ = written(
        make_stored(make_trials({"slot": rates}), labels=("slot",)), tmp_path
    )
    assert "range" not in bigger["num_slots=8 / slot / throughput"]


def test_a_metric_that_no_trial_has_is_no_entry(
    make_stored: Any, make_trial: Any, tmp_path: Path
) -> None:
    """No p99 of too few samples; a file without entries is an empty list."""
    trial = make_trial("slot", 1e3, latency_p50_s=None, latency_p99_s=None)
    _, smaller = written(make_stored([trial]), tmp_path)
    assert smaller == {}
    assert (tmp_path / "x-smaller-is-better.json").read_text() == "[]\n"
