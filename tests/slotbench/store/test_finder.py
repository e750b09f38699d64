"""A run is found by what a user would type, or the nearest are named."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from slotbench.errors import RecordError
from slotbench.store import RunFolder, all_runs, find

MakeFolder = Callable[..., RunFolder]
OLD = "20261101T000000Z-quickstart-aaa111"
MIDDLE = "20261102T000000Z-grid-bbb222"
NEW = "20261103T000000Z-quickstart-ccc333"


@pytest.fixture
def results(make_folder: MakeFolder) -> Path:
    """Three runs, a folder of filed ones, and a file that is no run."""
    for run_id in (NEW, OLD, MIDDLE):
        path = make_folder(1, run_id).path
    results = path.parent
    (results / "reference" / "quickstart").mkdir(parents=True)
    (results / "notes.txt").touch()
    return results


def error_of(reference: str | Path | None, results: Path) -> str:
    """Give the line that a user sees."""
    with pytest.raises(RecordError) as caught:
        find(reference, results)
    return str(caught.value)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (None, NEW),
        ("newest", NEW),
        (OLD, OLD),
        ("20261102", MIDDLE),
        ("aaa111", OLD),
        ("1", OLD),
        ("grid-bbb222", MIDDLE),
    ],
)
def test_a_reference_finds_its_run(reference: str | None, name: str, results: Path) -> None:
    """Nothing, "newest", an id, and a unique beginning or end each name one run."""
    assert find(reference, results) == results / name


def test_a_path_finds_its_run_wherever_it_is(results: Path, tmp_path: Path) -> None:
    """The folder, its run.json, as text or as a path; the results folder does not matter."""
    for path in (results / OLD, results / OLD / "run.json"):
        assert find(path, tmp_path) == results / OLD
        assert find(str(path), tmp_path) == results / OLD


def test_a_run_below_the_results_folder_is_found_by_its_path_there(results: Path) -> None:
    """A run that was filed away is found whatever the working directory."""
    (results / OLD).rename(results / "reference" / "quickstart" / "x")
    (results / "reference" / "quickstart" / "x").rename(results / "reference" / "night")
    assert find("reference/night", results) == results / "reference" / "night"
    assert find("night", results / "reference") == results / "reference" / "night"


def test_runs_are_listed_oldest_first(results: Path) -> None:
    """Folders without run.json and files are passed over."""
    assert [run.name for run in all_runs(results)] == [OLD, MIDDLE, NEW]
    assert all_runs(results / "none") == []


def test_a_renamed_run_keeps_its_age(results: Path) -> None:
    """A folder without a time in its name is as old as its run.json says (23 November)."""
    (results / OLD).rename(results / "aardvark")
    assert find(None, results) == results / "aardvark"


def test_runs_of_the_same_second_are_ordered_by_writing(results: Path) -> None:
    """Where the names tie, the later written is the newer, not the later in the alphabet."""
    twin = results / "20261103T000000Z-quickstart-000000"
    (results / MIDDLE).rename(twin)
    later = (results / NEW / "run.json").stat().st_mtime_ns + 10**9
    os.utime(twin / "run.json", ns=(later, later))
    assert find("newest", results) == twin


def test_no_run_says_how_to_make_one(tmp_path: Path) -> None:
    """An empty or missing results folder is no dead end."""
    for place in (tmp_path, tmp_path / "none"):
        assert error_of(None, place) == (
            f"there is no run in {place} yet: make one with 'slotbench run quickstart'"
        )
        assert error_of("x", place).startswith(
            f"no run 'x': there is no run in {place} yet; "
        )


def test_an_ambiguous_reference_lists_what_it_fits(results: Path) -> None:
    """Nothing is guessed; the newest stands first."""
    assert error_of("202611", results) == (
        f"'202611' fits 3 runs in {results}, name one: {NEW}, {MIDDLE}, {OLD}"
    )


@pytest.mark.parametrize(
    ("reference", "offered"),
    [("20261102T000000Z-grit-bbb222", MIDDLE), ("QUICKSTRAT", f"{NEW}, {OLD}")],
)
def test_an_unknown_reference_offers_the_nearest(
    reference: str, offered: str, results: Path
) -> None:
    """A slip of the finger or a scenario's name leads to the runs it may mean."""
    message = error_of(reference, results)
    assert message.startswith(f"no run '{reference}' in {results}; there is {offered}")
    assert (MIDDLE in message) == (offered == MIDDLE)


def test_an_empty_reference_is_unknown(results: Path) -> None:
    """The empty text begins every id, and names none."""
    assert re.match(r"no run '' in .*; there is 20261103", error_of("", results))


def test_a_folder_that_is_no_run_is_passed_on_to_be_refused(results: Path) -> None:
    """Reading says what is wrong with an existing folder better than "unknown" would."""
    assert find(str(results / "reference"), results) == results / "reference"


def test_a_results_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    """--results naming a file is said."""
    file = tmp_path / "file"
    file.touch()
    assert error_of(None, file) == f"cannot read {file}: Not a directory"
