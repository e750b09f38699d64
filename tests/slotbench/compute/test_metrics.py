"""What every metric must stand, and what each one counts."""

import importlib
import math
from dataclasses import replace
from typing import Any

import pytest

from slotbench.compute import metrics
from slotbench.errors import SlotbenchError
from slotbench.records import DeviceTimes

EVERY = pytest.mark.parametrize("name", metrics.available())


def test_the_files_of_the_folder_are_the_metrics() -> None:
    """Discovery finds them by their stems."""
    assert {"throughput", "latency_p50", "latency_p99", "mean_batch_size"} <= set(
        metrics.available()
    )


@EVERY
def test_a_metric_says_what_it_is(name: str) -> None:
    """Label, unit and direction are there; the docstring has its three sections."""
    metric = metrics.get(name)
    assert metric.name == name
    assert metric.label
    assert metric.unit
    assert metric.better in {"higher", "lower", "neither"}
    doc = importlib.import_module(metric.value.__module__).__doc__ or ""
    assert all(f"\n{section}:" in doc for section in ("Formula", "Excludes", "Source"))


@EVERY
def test_an_empty_trial_gives_none_or_zero(name: str, make_measurement: Any) -> None:
    """A trial without replies, batches and samples raises nothing and invents nothing."""
    empty = replace(make_measurement(0.0), num_batches=0, num_rows=0)
    assert metrics.get(name).value(empty) in {None, 0.0}


@EVERY
def test_a_window_without_length_raises_nothing(name: str, make_measurement: Any) -> None:
    """No division by zero reaches the reader."""
    value = metrics.get(name).value(replace(make_measurement(), window_s=0.0))
    assert value is None or math.isfinite(value)


@EVERY
def test_one_sample_is_enough_or_none(name: str, make_measurement: Any) -> None:
    """One reply in one batch gives a finite number, or None for what needs more."""
    single = replace(
        make_measurement(1.0),
        num_batches=1,
        num_rows=1,
        latency_p50_s=None,
        latency_p99_s=None,
    )
    value = metrics.get(name).value(single)
    assert value is None or (math.isfinite(value) and value > 0)


@EVERY
def test_a_trial_twice_as_long_with_twice_the_counts_is_the_same(
    name: str, make_measurement: Any
) -> None:
    """No metric grows with the length of the window."""
    once = make_measurement(800.0)
    twice = replace(
        once,
        window_s=2 * once.window_s,
        num_replies=2 * once.num_replies,
        num_batches=2 * once.num_batches,
        num_rows=2 * once.num_rows,
    )
    assert metrics.get(name).value(twice) == metrics.get(name).value(once)


def test_throughput_counts_replies_of_the_window(make_measurement: Any) -> None:
    """300 replies in 1.5 s are 200 a second, however many were served."""
    measured = replace(
        make_measurement(), num_replies=300, window_s=1.5, num_served=999, num_rows=888
    )
    assert metrics.get("throughput").value(measured) == 200.0


def test_latencies_are_the_records_own(make_measurement: Any) -> None:
    """The percentiles come from the trial, exact, and not from its histogram."""
    measured = replace(make_measurement(), latency_p50_s=0.25, latency_p99_s=0.75)
    assert metrics.get("latency_p50").value(measured) == 0.25
    assert metrics.get("latency_p99").value(measured) == 0.75


def test_mean_batch_size_is_rows_over_batches(make_measurement: Any) -> None:
    """30 rows in 8 batches are 3.75."""
    measured = replace(make_measurement(), num_rows=30, num_batches=8)
    assert metrics.get("mean_batch_size").value(measured) == 3.75


def test_a_devices_forward_is_by_its_own_events(make_measurement: Any) -> None:
    """And not the host's mean time of a call; on the host there is none."""
    there = DeviceTimes(8, 4e-4, 1e-5, 2e-5, "harness")
    measured = replace(make_measurement(), device=there, forward_mean_s=9e-4)
    assert metrics.get("forward_device_s").value(measured) == 4e-4
    assert metrics.get("forward_device_s").value(make_measurement()) is None


def test_an_unknown_metric_offers_the_nearest() -> None:
    """A misspelt name is one line with what was meant."""
    with pytest.raises(
        SlotbenchError, match=r"^unknown metric 'troughput': .*throughput\?$"
    ):
        metrics.get("troughput")
