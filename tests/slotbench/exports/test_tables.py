"""CSV and Parquet read back as the frame they were written from."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import slotbench
from slotbench import exports
from slotbench.frames import trials_frame
from slotbench.records import Cell
from slotbench.store import StoredRun

REFERENCE = Path(__file__).parents[3] / "results/reference"


@pytest.fixture(params=["synthetic", "quickstart"])
def any_run(request: pytest.FixtureRequest, stored: StoredRun) -> StoredRun:
    if request.param == "synthetic":
        return stored
    return slotbench.load(REFERENCE / request.param).stored


def test_csv_reads_back_as_the_frame(any_run: StoredRun, tmp_path: Path) -> None:
    """Every value is the same, every float to the last bit; empty is missing."""
    frame = trials_frame(any_run)
    (path,) = exports.export(any_run, "csv", tmp_path / "out.csv").paths
    read = pd.read_csv(path)
    assert list(read.columns) == list(frame.columns)
    for name in frame:
        # An error of "" reads back as missing, and a column of nothing has no type.
        wanted = frame[name].astype(object).replace("", None)
        found = read[name].astype(object)
        same = (wanted == found) | (wanted.isna() & found.isna())
        assert same.all(), name
    assert read["counted"].dtype == bool


def test_parquet_reads_back_as_the_frame_with_units(
    any_run: StoredRun, tmp_path: Path
) -> None:
    """Values, types and ``attrs["units"]``."""
    frame = trials_frame(any_run)
    (path,) = exports.export(any_run, "parquet", tmp_path / "out.parquet").paths
    read = pd.read_parquet(path)
    pd.testing.assert_frame_equal(read, frame)
    assert read.attrs == frame.attrs
    assert read.attrs["units"]["throughput"] == "requests/s"


def test_units_stand_in_the_files_own_metadata(stored: StoredRun, tmp_path: Path) -> None:
    """Readers without pandas find them under the key that docs/exports.md names."""
    (path,) = exports.export(stored, "parquet", tmp_path / "out.parquet").paths
    metadata = pq.read_schema(path).metadata
    assert b'"latency_p50": "s"' in metadata[b"PANDAS_ATTRS"]


def test_parquet_writes_an_axis_of_numbers_and_texts_as_texts(
    make_stored: Any, make_trials: Any, make_run: Any, tmp_path: Path
) -> None:
    """1 beside "num_slots" becomes "1"; a cell without the axis stays missing."""
    workload = make_run().scenario.cells[0].workload
    axis = "batching.min_batch_size"
    cells = [
        Cell(f"c{n}", {axis: v}, workload) for n, v in enumerate((1, "num_slots", False))
    ]
    cells.append(Cell("none", {"num_slots": 4}, workload))
    trials = make_trials({"slot": [1e3]}, cells=[cell.name for cell in cells])
    stored = make_stored(trials, labels=("slot",), cells=cells)
    (path,) = exports.export(stored, "parquet", tmp_path / "out.parquet").paths
    by_cell = pd.read_parquet(path).groupby("cell")[axis].first()
    assert list(by_cell[["c0", "c1", "c2"]]) == ["1", "num_slots", "false"]
    assert by_cell.isna()["none"]


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_a_table_holds_every_trial(name: str, stored: StoredRun, tmp_path: Path) -> None:
    """INVALID, failed, A/A and older attempts, too, and the note says how to tell."""
    written = exports.export(stored, name, tmp_path / "out")
    read = pd.read_csv if name == "csv" else pd.read_parquet
    assert len(read(written.paths[0])) == len(stored.trials) == 36
    assert written.notes == ("36 of 36 trials written; column counted says which count",)
