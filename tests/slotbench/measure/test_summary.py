"""From stamps to numbers: what counts is what happened inside the window."""

import numpy as np
import pytest

from slotbench.measure.summary import Moment, Observed, summarise
from slotbench.records import TrialMeasurement

MS = 1_000_000


def stamps(*values_ms: float) -> np.ndarray:
    return np.array([round(value * MS) for value in values_ms], dtype=np.int64)


def observe(actors: list, batches: tuple, **changes: object) -> TrialMeasurement:
    fields: dict = {
        "origin_ns": 0,
        "begin": Moment(100 * MS, cpu_s=1.0, voluntary=10, involuntary=1),
        "end": Moment(200 * MS, cpu_s=1.5, voluntary=110, involuntary=4),
        "actors": actors,
        "batches": batches,
        "num_submitted": 5,
        "num_replied": 5,
        "num_served": 5,
        "sent_ns": -20 * MS,
        "joined_ns": 207 * MS,
        "recorder_cost_s": 1e-6,
    }
    return summarise(Observed(**(fields | changes)))


@pytest.fixture
def measured() -> TrialMeasurement:
    """Two actors; replies at 99 | 110, 150, 200 | 201 ms and 100 | 160 ms."""
    first = (stamps(90, 105, 140, 190, 200.5), stamps(99, 110, 150, 200, 201))
    second = (stamps(95, 120), stamps(100, 160))
    batches = (
        stamps(91, 106, 121, 141, 191, 200.6),
        stamps(92, 107, 125, 142, 192, 200.7),
        np.array([2, 1, 1, 2, 1, 1]),
    )
    return observe([first, second], batches)


def test_replies_count_where_they_return(measured: TrialMeasurement) -> None:
    """A reply at the window's begin is before it; one at its end is in it."""
    assert measured.num_replies == 4
    assert measured.replies_per_actor == (3, 1)
    assert sum(count for _, count in measured.latency.buckets) == 4


def test_latency_is_submit_to_reply(measured: TrialMeasurement) -> None:
    """5, 10, 10 and 40 ms; too few for a percentile, which is then not given."""
    assert measured.latency_mean_s == pytest.approx(0.01625)
    assert measured.latency_max_s == pytest.approx(0.040)
    assert measured.latency_p99_s is None


def test_percentiles_are_order_statistics() -> None:
    """With 500 known latencies p50, p90 and p99 are the 250th, 450th and 495th."""
    replied = np.linspace(101 * MS, 199 * MS, 500).astype(np.int64)
    latencies = np.random.default_rng(0).permutation(np.arange(1, 501)) * 1000
    measured = observe([(replied - latencies, replied)], (stamps(), stamps(), stamps()))

    assert measured.latency_p50_s == pytest.approx(250e-6)
    assert measured.latency_p90_s == pytest.approx(450e-6)
    assert measured.latency_p99_s == pytest.approx(495e-6)
    assert measured.latency_p999_s is None


def test_think_time_is_reply_to_next_submit(measured: TrialMeasurement) -> None:
    """Gaps that begin in the window: 110→140, 150→190, 200→200.5 ms."""
    assert measured.think_mean_s == pytest.approx((0.030 + 0.040 + 0.0005) / 3)


def test_batches_count_where_their_forward_begins(measured: TrialMeasurement) -> None:
    """Four batches of 1, 1, 2 and 1 rows."""
    assert (measured.num_batches, measured.num_rows) == (4, 5)
    assert measured.batch_sizes == ((1, 3), (2, 1))
    assert measured.forward_mean_s == pytest.approx((1 + 4 + 1 + 1) / 4 / 1000)


def test_durations_and_counters_are_differences(measured: TrialMeasurement) -> None:
    """Every duration has its own two ends."""
    assert measured.window_s == pytest.approx(0.1)
    assert measured.warmup_s == pytest.approx(0.1)
    assert measured.startup_s == pytest.approx(0.02)
    assert measured.teardown_s == pytest.approx(0.007)
    assert measured.cpu_s == pytest.approx(0.5)
    assert measured.context_switches_voluntary == 100
    assert measured.context_switches_involuntary == 3


def test_an_empty_window_has_no_latency() -> None:
    """No reply at all is zero replies and no number, not an error."""
    measured = observe([(stamps(), stamps())], (stamps(), stamps(), stamps()))

    assert (measured.num_replies, measured.num_batches) == (0, 0)
    assert (
        measured.latency_mean_s is measured.latency_max_s is measured.think_mean_s is None
    )
