"""Frames hold what plots draw: computed elsewhere, one row a mark, tidy."""

import dataclasses

import pandas as pd
import pytest

from slotbench import frames
from slotbench.compute import answers, comparison, histogram
from slotbench.errors import SlotbenchError
from slotbench.records import DeviceTimes, Sequential
from tests.slotbench.support import grids, scaling, twins

DRAWN = (
    frames.ratios_frame,
    frames.switched_frame,
    frames.latencies_frame,
    frames.batch_sizes_frame,
    frames.fairness_frame,
    frames.losses_frame,
)


@pytest.mark.parametrize("make", DRAWN)
def test_every_frame_says_where_its_rows_belong(make: object) -> None:
    """The same first columns, whole attributes, and as many columns without any trial."""
    frame = make(grids.small_grid())  # type: ignore[operator]
    assert list(frame.columns[:4]) == list(frames.PLACE)
    assert frame.attrs["axes"] == ["num_slots", "model.latency_ms"]
    assert frame.attrs["contenders"] == [
        *("threading", "slot", "slot[preallocate]", "torchrl.slot", "floor")
    ]
    assert (frame.attrs["baseline"], frame.attrs["threshold"]) == ("threading", 0.03)
    assert frame.attrs["floors"] == ["floor"]
    first = frame.iloc[0]
    assert (first["num_slots"], first["observation_bytes"]) == (4, 32)

    other = make(grids.small_grid(), baseline="slot", threshold=0.1)  # type: ignore[operator]
    assert (other.attrs["baseline"], other.attrs["threshold"]) == ("slot", 0.1)
    empty = make(grids.stored({}, [grids.cell()]))  # type: ignore[operator]
    assert list(empty.columns) == list(frame.columns)


def test_thresholds_are_those_that_the_run_was_to_decide_by() -> None:
    """Of throughput; answers, twins and frames take the same."""
    stored = grids.small_grid()
    thresholds = {"throughput": 0.07, "latency_p99": 0.2}
    planned = Sequential((5, 7, 10), 0.985, tuple(thresholds), thresholds)
    run = dataclasses.replace(stored.run, sequential=planned)
    stored = dataclasses.replace(stored, run=run)
    for make in DRAWN:
        assert make(stored).attrs["threshold"] == 0.07  # type: ignore[operator]
    tails = frames.ratios_frame(stored, metric="latency_p99")
    assert tails.attrs["threshold"] == 0.2
    assert answers.answer(stored.run, stored.trials).threshold == 0.07


def test_ratios_are_those_of_the_comparison() -> None:
    """Values, ratios, verdicts and noise floors, row by row, with the bound beside them."""
    stored = grids.small_grid()
    frame = frames.ratios_frame(stored, metric=["throughput", "latency_p50"])
    compared = comparison.compare(
        stored.run, stored.trials, metrics=["throughput", "latency_p50"]
    )

    assert len(frame) == len(compared.rows)
    for (_, row), expected in zip(frame.iterrows(), compared.rows, strict=True):
        assert (row["cell"], row["contender"], row["metric"]) == (
            expected.cell,
            expected.contender,
            expected.metric,
        )
        assert row["value"] == expected.value
        assert (None if pd.isna(row["verdict"]) else row["verdict"]) == expected.verdict
        if expected.ratio is not None:
            assert row["ratio_low"] == expected.ratio.low
        assert row["value_low"] < row["value"] < row["value_high"]
    bounds = frame[frame["metric"] == "throughput"].set_index("cell")["bound_per_s"]
    assert bounds[grids.cell(64, 1.0).name].iloc[0] == pytest.approx(64_000)
    assert bounds[grids.cell(64, 0.0).name].isna().all()
    assert frame[frame["metric"] == "latency_p50"]["bound_per_s"].isna().all()
    with pytest.raises(SlotbenchError, match="unknown metric"):
        frames.ratios_frame(stored, metric="speed")


def test_loads_are_of_open_loops_alone() -> None:
    """Offered and served, latency beside the call, with intervals; none of closed loops."""
    frame = frames.loads_frame(grids.open_grid(("threading", "slot")))
    row = frame[(frame["contender"] == "slot") & (frame["offered_per_s"] == 1e5)].iloc[0]

    assert len(frame) == 6
    assert row["served_per_s"] == pytest.approx(40_000)
    assert row["latency_p99_low_s"] < row["latency_p99_s"] < row["latency_p99_high_s"]
    assert row["latency_p99_s"] == pytest.approx(0.04, rel=0.01)
    assert (row["call_p50_s"], row["late_p99_s"]) == (
        pytest.approx(1e-3),
        pytest.approx(6e-5),
    )
    assert row["unanswered_share"] == pytest.approx(0.6)
    assert frame.groupby("offered_per_s")["is_saturated"].all().to_dict() == {
        1e3: False,
        1e4: False,
        1e5: True,
    }
    closed = frames.loads_frame(grids.small_grid())
    assert closed.empty
    assert list(closed.columns)[:4] == list(frames.PLACE)
    assert set(frame.columns) - set(closed.columns) == {"load.per_actor_per_s"}


def test_a_trials_row_has_its_open_loop() -> None:
    """Plain numbers; NaN in the closed loop."""
    row = frames.trials_frame(grids.open_grid()).iloc[0]
    assert (row["num_intended"], row["num_unanswered"]) == (1000, 0)
    assert row["free_p99_s"] == pytest.approx(4e-3, rel=0.02)
    assert "open_loop" not in row
    assert frames.trials_frame(grids.small_grid())["num_intended"].isna().all()


def test_a_trials_row_has_its_devices_times() -> None:
    """Plain numbers; NaN where the policy computes on the host."""
    stored = grids.small_grid()
    there = DeviceTimes(40, 4e-4, 2e-5, 3e-5, "transport")
    first, *rest = stored.trials
    assert first.measurement is not None
    first = dataclasses.replace(
        first, measurement=dataclasses.replace(first.measurement, device=there)
    )
    frame = frames.trials_frame(dataclasses.replace(stored, trials=(first, *rest)))
    columns = [
        "forward_device_s",
        "device_num_batches",
        "device_staging_s",
        "device_returning_s",
    ]

    assert frame.loc[0, columns].tolist() == [4e-4, 40, 2e-5, 3e-5]
    assert "device" not in frame
    assert frame.loc[1:, columns].isna().all(axis=None)


def test_latencies_are_of_each_trial_and_not_pooled() -> None:
    """Mean over trials of the trial's own percentile; what has too few samples is no row."""
    stored = grids.small_grid()
    frame = frames.latencies_frame(stored)
    place = grids.cell(4, 0.0).name
    rows = frame[(frame["cell"] == place) & (frame["contender"] == "slot")]
    own = [
        histogram.percentile_ns(trial.measurement.latency, 99.0)
        for trial in stored.trials
        if (trial.cell, trial.contender, trial.arm) == (place, "slot", 0)
        and trial.measurement is not None
    ]

    p99 = rows.set_index("percent").loc[99.0]
    assert p99["num_trials"] == len(own) == 5
    assert p99["latency_min_s"] < p99["latency_s"] < p99["latency_max_s"]
    assert p99["latency_s"] == pytest.approx(own[0] * 1e-9 if own[0] else None, rel=0.05)
    assert 99.0 in set(rows["percent"])
    assert 99.9 not in set(rows["percent"])  # 1 000 samples; it needs 4 603
    assert rows["latency_s"].is_monotonic_increasing


def test_shares_of_batches_add_up() -> None:
    """To 1 in each cell and contender; rows are weighted by size."""
    frame = frames.batch_sizes_frame(grids.small_grid())
    sums = frame.groupby(["cell", "contender"])[["batch_share", "row_share"]].sum()

    assert sums.to_numpy() == pytest.approx(1.0)
    one = frame[(frame["num_slots"] == 64) & (frame["contender"] == "slot")].iloc[:2]
    assert list(one["batch_size"]) == [1, 64]
    assert list(one["batch_share"]) == pytest.approx([0.25, 0.75])
    assert one["row_share"].iloc[0] == pytest.approx(10 / (10 + 30 * 64))


def test_the_least_served_actor_is_found() -> None:
    """90 of a mean of 100 replies is a share of 0.9."""
    frame = frames.fairness_frame(grids.small_grid())

    assert frame["least_share"].to_numpy() == pytest.approx(0.9)
    assert frame["most_share"].to_numpy() == pytest.approx(1.1)
    assert frame["replies_per_actor"].to_numpy() == pytest.approx(100)


def test_an_option_is_worth_what_it_is_worth() -> None:
    """On over off, and not over the baseline."""
    frame = frames.switched_frame(grids.small_grid())

    assert set(frame["off"]) == {"slot"}
    assert set(frame["contender"]) == {"slot[preallocate]"}
    assert frame["ratio"].to_numpy() == pytest.approx(0.9, rel=0.02)


def test_trials_that_do_not_count_are_in_no_frame() -> None:
    """INVALID ones and the baseline's second arm."""
    from slotbench.records import Finding

    place = grids.cell(4, 0.0).name
    wrong = {(place, "slot"): Finding("lost_reply", "INVALID", "1 lost", "check it")}
    frame = frames.fairness_frame(grids.small_grid(findings=wrong))
    rows = frame[frame["cell"] == place].set_index("contender")["num_trials"]

    assert dict(rows) == {
        **dict.fromkeys(("threading", "slot[preallocate]", "torchrl.slot", "floor"), 5),
        "slot": 4,
    }


def test_no_frame_loads_matplotlib_or_torch() -> None:
    """They are numbers."""
    import subprocess
    import sys

    code = "import sys, slotbench.frames; print({'torch', 'pandas', 'matplotlib'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout == "set()\n"
    assert isinstance(frames.losses_frame(grids.small_grid()), pd.DataFrame)


def test_twins_are_those_of_the_run() -> None:
    """A row a contender of the real cell, with its place, numbers and verdicts."""
    frame = frames.twins_frame(twins.pair())

    assert list(frame.columns[:4]) == list(frames.PLACE)
    assert list(frame["contender"]) == list(twins.CONTENDERS)
    slot = frame.set_index("contender").loc["slot"]
    assert (slot["cell"], slot["twin"], slot["num_slots"]) == ("real 8", "twin 8 of 0.5", 8)
    assert slot["ratio"] == pytest.approx(1.5, rel=0.02)
    assert slot["ratio_low"] < slot["ratio"] < slot["ratio_high"]
    assert (slot["verdict"], slot["ranking"]) == ("does not predict", "agrees")
    assert frame["fitted_mean_s"].isna().all()


def test_a_run_without_twins_has_an_empty_frame() -> None:
    """Of the same columns and types, so that code for both works on either."""
    frame, none = frames.twins_frame(twins.pair()), frames.twins_frame(grids.small_grid())

    assert len(none) == 0
    assert set(frame.columns) - set(none.columns) == {
        "environment.id",
        "think_time.mean_ms",
    }
    assert none["ratio"].dtype == frame["ratio"].dtype == "float64"


def test_scaling_has_a_row_a_cell_with_the_law_beside_it() -> None:
    """What was measured, what the law says, and what one actor's rate times so many would be."""
    frame = frames.scalability_frame(scaling.ladder(noise=0.0))

    assert list(frame.columns[:4]) == list(frames.PLACE)
    slot = frame[frame["contender"] == "slot"]
    assert list(slot["num_slots"]) == list(scaling.SLOTS)
    for row in slot.to_dict("records"):
        law = scaling.throughput(row["num_slots"], *scaling.CONSTANTS["slot"])
        assert row["measured_per_s"] == pytest.approx(law, rel=1e-6)
        assert row["law_per_s"] == pytest.approx(law, rel=1e-4)
        assert row["linear_per_s"] == pytest.approx(1200.0 * row["num_slots"], rel=1e-4)
    assert slot["contention"].to_numpy() == pytest.approx([0.05] * 4, rel=1e-3)
    assert set(slot["contention_difference"]) == {"lower"}
    assert frames.scalability_frame(grids.small_grid()).empty
    noisy = frames.scalability_frame(scaling.ladder())
    low, at, high = (
        noisy[f"measured_per_s{end}"].to_numpy() for end in ("_low", "", "_high")
    )
    assert ((low < at) & (at < high)).all()
