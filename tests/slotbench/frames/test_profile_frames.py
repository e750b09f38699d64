"""Frames of a profile: its means with their intervals, tidy, a row a phase, a count or a lock."""

from collections.abc import Callable

import pandas as pd
import pytest

from slotbench import frames
from slotbench.compute import ledger
from slotbench.compute.phases import PHASES
from slotbench.errors import SlotbenchError
from slotbench.records import PLACES
from tests.slotbench.support import altered, grids, profiles

Make = Callable[..., pd.DataFrame]
ALL = (frames.phases_frame, frames.ledger_frame, frames.locks_frame)
US = 1e-6


@pytest.mark.parametrize("make", ALL)
def test_every_frame_says_where_its_rows_belong(make: Make) -> None:
    """The same first columns as of runs, whole attributes, and all columns without any trial."""
    frame = make(profiles.stored())
    assert list(frame.columns[:4]) == list(frames.PLACE)
    assert frame.columns[4] == "contender"
    assert frame.attrs["axes"] == ["num_slots", "model.latency_ms"]
    assert frame.attrs["contenders"] == list(profiles.LABELS)
    assert (frame.attrs["baseline"], frame.attrs["floors"]) == ("threading", ["floor"])
    assert set(frame.attrs["units"]) <= set(frame.columns)
    assert list(dict.fromkeys(frame["cell"])) == [
        grids.cell(16).name,
        grids.cell(16, 1.0).name,
    ]
    assert set(frame["num_slots"]) == {16}
    assert list(dict.fromkeys(frame["model.latency_ms"])) == [0.0, 1.0]

    empty = make(profiles.stored(rounds=0))
    assert list(empty.columns) == list(frame.columns)
    assert empty.empty


@pytest.mark.parametrize("make", ALL)
def test_another_baseline_comes_first(make: Make) -> None:
    """And is refused where it is none."""
    frame = make(profiles.stored(), baseline="slot")
    assert (frame["contender"].iloc[0], frame.attrs["baseline"]) == ("slot", "slot")
    with pytest.raises(SlotbenchError, match="no contender 'nope'"):
        make(profiles.stored(), baseline="nope")


@pytest.mark.parametrize("make", ALL)
def test_an_axis_is_a_column(make: Make) -> None:
    """Of whatever the scenario varies."""
    cells = [grids.cell(16, x=1), grids.cell(16, x=2)]
    frame = make(profiles.stored(cells))
    assert list(dict.fromkeys(frame["x"])) == [1, 2]


def test_phases_are_those_of_the_record() -> None:
    """In the order of a request's life; they sum to the round trip, probes beside them."""
    frame = frames.phases_frame(profiles.stored())
    assert len(frame) == 2 * 4 * 9
    part = frame[(frame["contender"] == "slot") & (frame["model.latency_ms"] == 0.0)]
    assert list(part["phase"]) == list(PHASES)
    assert list(part["position"]) == list(range(1, 10))
    expected = [value * US for value in profiles.TIMES_US["slot"]]
    assert list(part["time_s"]) == pytest.approx(expected)
    assert ((part["time_low_s"] < part["time_s"]) | (part["time_s"] == 0.0)).all()
    assert ((part["time_high_s"] > part["time_s"]) | (part["time_s"] == 0.0)).all()
    assert list(part["p99_s"]) == pytest.approx([2 * value for value in expected])
    assert part["time_s"].sum() == pytest.approx(part["round_trip_s"].iloc[0]) == 780 * US
    assert set(part["num_rounds"]) == {3}
    first = part.iloc[0]
    assert first["probe_ratio"] == pytest.approx(0.95)
    assert first["probe_cost_s"] == pytest.approx(780 * US * (1 / 0.95 - 1))
    assert first["probe_cost_low_s"] < first["probe_cost_s"] < first["probe_cost_high_s"]
    assert first["round_trip_p99_s"] == pytest.approx(2 * 780 * US)


def test_the_ledger_is_what_was_counted() -> None:
    """With unit, group, interval and price; what nothing counted is no row."""
    frame = frames.ledger_frame(profiles.stored([grids.cell(16)])).set_index(
        ["contender", "row"]
    )
    one = frame.loc["threading", "lock_acquisitions"]
    assert (one["value"], one["price_s"]) == (pytest.approx(9.2), pytest.approx(0.08 * US))
    assert one["value_low"] < 9.2 < one["value_high"]
    assert (one["group"], one["unit"], one["num_rounds"]) == ("locks", "", 3)
    assert frame.loc[("slot", "cpu_server_s"), "unit"] == "s"
    assert frame.loc[("slot", "gil_drops"), "value"] == pytest.approx(1.05 + 0.5)
    assert ("floor", "futures_made") not in frame.index
    assert ("slot", "python_blocks") not in frame.index
    rows = [row.name for row in ledger.ROWS]
    of_slot = list(frame.loc["slot"].index)
    assert of_slot == [name for name in rows if name in of_slot]


def test_locks_have_a_row_a_place_that_makes_them() -> None:
    """With where they are acquired as columns, which sum to all acquisitions."""
    frame = frames.locks_frame(profiles.stored([grids.cell(16)]))
    first = frame.iloc[0]
    assert first["where"] == "shared_queue.py:142 ThreadingTransport.__init__"
    assert (first["kind"], first["num_locks"], bool(first["is_shared"])) == (
        "mutex",
        1,
        True,
    )
    assert first["acquisitions"] == pytest.approx(1.34)
    assert first["acquisitions_drain"] == 0.14
    assert first["acquisitions_resolve"] == 0.0
    assert first["waited_s"] == pytest.approx(2 * US)
    parts = frame[[f"acquisitions_{place}" for place in PLACES]].sum(axis=1)
    assert list(parts) == pytest.approx(list(frame["acquisitions"]))
    assert "floor" not in set(frame["contender"])


def test_one_round_has_numbers_without_intervals() -> None:
    """NaN, in columns of numbers."""
    stored = profiles.stored(rounds=1)
    phases, counted = frames.phases_frame(stored), frames.ledger_frame(stored)
    assert phases[["time_low_s", "time_high_s", "probe_ratio_low"]].isna().all(axis=None)
    assert counted[["value_low", "value_high"]].isna().all(axis=None)
    assert not phases["time_s"].isna().any()
    for frame in (phases, counted):
        kinds = {name: frame[name].dtype for name in frame.columns if name.endswith("low")}
        assert set(map(str, kinds.values())) == {"float64"}


def test_a_contender_without_numbers_has_no_rows() -> None:
    """Of the pass that failed; the others stand."""
    stored = altered.failed(profiles.stored([grids.cell(16)]), "slot")
    assert "slot" not in set(frames.phases_frame(stored)["contender"])
    assert "slot" in set(frames.ledger_frame(stored)["contender"])
    uncounted = altered.failed(stored, "slot", passes=("locks",))
    assert "slot" not in set(frames.locks_frame(uncounted)["contender"])


def test_kinds_are_told_apart() -> None:
    """A run and a profile; each has an id and a scenario."""
    run, profile = grids.small_grid(), profiles.stored()
    assert (frames.kind_of(run), frames.kind_of(profile)) == ("run", "profile")
    assert frames.id_of(profile) == profile.profile.profile_id
    assert frames.id_of(run) == run.run.run_id
    assert frames.scenario_of(profile).name == "quickstart"
    assert frames.scenario_of(run) is run.run.scenario
