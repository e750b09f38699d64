"""What every format has in common: which trials it gets, and where it may write."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slotbench import exports
from slotbench.errors import EXIT_INVALID, EXIT_USAGE, RecordError, SlotbenchError
from slotbench.exports import _trials
from slotbench.store import StoredRun

ALL = exports.available()


def test_the_formats_of_the_folder_are_found() -> None:
    """Discovery goes by file name; "_" in a file's name is "-" in the format's."""
    assert {
        "benchfmt",
        "csv",
        "github-action-benchmark",
        "hdrhistogram",
        "parquet",
        "pyperf",
    } <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_every_format_says_what_it_is_for(name: str) -> None:
    """In one line that a terminal of 80 columns takes beside the name."""
    said = exports.summary(name)
    assert said
    assert len(said) <= 53
    assert "\n" not in said


def test_an_unknown_format_offers_the_nearest(stored: StoredRun) -> None:
    """One line that names what was meant."""
    with pytest.raises(
        SlotbenchError, match=r"^unknown format 'benchfmd': did you mean benchfmt\?$"
    ):
        exports.export(stored, "benchfmd")


@pytest.mark.parametrize("name", ALL)
def test_the_default_name_is_made_of_the_run_and_lies_here(
    name: str, stored: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the files named is written, all begin with the run's id."""
    monkeypatch.chdir(tmp_path)
    written = exports.export(stored, name)
    found = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert [*written.paths] == [path for path in found if path.is_file()]
    assert all(str(path).startswith(stored.run.run_id) for path in written.paths)


def test_formats_do_not_write_over_each_other(
    stored: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All default names differ."""
    monkeypatch.chdir(tmp_path)
    paths = [path for name in ALL for path in exports.export(stored, name).paths]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("name", ALL)
def test_what_exists_is_replaced_only_by_force(
    name: str, stored: StoredRun, tmp_path: Path
) -> None:
    """A second export refuses and changes nothing; with force it writes the same files."""
    target = tmp_path / "deep" / "out"
    first = exports.export(stored, name, target)
    assert all(path.is_relative_to(tmp_path / "deep") for path in first.paths)
    for path in first.paths:
        path.write_text("mine")
    with pytest.raises(RecordError, match=r"--force replaces .* -o writes elsewhere$"):
        exports.export(stored, name, target)
    assert {path.read_text() for path in first.paths} == {"mine"}
    assert exports.export(stored, name, target, force=True) == first
    assert b"mine" not in {path.read_bytes() for path in first.paths}
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_folder_that_is_empty_is_filled(stored: StoredRun, tmp_path: Path) -> None:
    """An empty folder is no obstacle."""
    assert exports.export(stored, "pyperf", tmp_path).paths[0].parent == tmp_path


def test_force_leaves_other_files_of_a_folder_alone(
    stored: StoredRun, tmp_path: Path
) -> None:
    """What an export did not write, it does not remove."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RecordError, match=r"^the folder .* is not empty; "):
        exports.export(stored, "pyperf", tmp_path)
    exports.export(stored, "pyperf", tmp_path, force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("name", "target", "words"),
    [
        ("pyperf", "file", "is a file, and pyperf writes a folder"),
        ("csv", "folder", "is a folder: name a file in it"),
        ("github-action-benchmark", "folder", "is a folder: name a file in it"),
        ("csv", "run.json", "is a run's record, which nothing replaces"),
        ("csv", "trials.jsonl", "is a run's record, which nothing replaces"),
        ("csv", "pipe", "is no plain file"),
        ("csv", "file/below", "file is no folder; choose another"),
    ],
)
def test_a_place_that_does_not_fit_is_refused(
    name: str, target: str, words: str, force: bool, stored: StoredRun, tmp_path: Path
) -> None:
    """With or without force: one line, and nothing is changed."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for file in ("file", "run.json", "trials.jsonl"):
        (tmp_path / file).write_text("mine")
    with pytest.raises(RecordError, match=words):
        exports.export(stored, name, tmp_path / target, force=force)
    assert {path.read_text() for path in tmp_path.iterdir() if path.is_file()} == {"mine"}


def test_a_pair_of_files_drops_the_suffix_that_was_named(
    stored: StoredRun, tmp_path: Path
) -> None:
    """``-o bench.json`` does not end in bench.json-bigger-is-better.json."""
    written = exports.export(stored, "github-action-benchmark", tmp_path / "bench.json")
    assert [path.name for path in written.paths] == [
        "bench-bigger-is-better.json",
        "bench-smaller-is-better.json",
    ]


@pytest.mark.parametrize("name", ALL)
def test_a_disk_that_refuses_is_one_line(
    name: str, stored: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operating system's reason, the file, and what to do."""

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("slotbench.store.output.replace_file", full)
    with pytest.raises(
        RecordError, match=r"^cannot write .*: No space left on device; choose another"
    ) as caught:
        exports.export(stored, name, tmp_path / "out")
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("name", ALL)
def test_a_run_without_a_usable_trial_is_refused(
    name: str, make_stored: Any, make_trial: Any, tmp_path: Path
) -> None:
    """Nothing recorded, all failed, a mixture: code 2. All INVALID: code 3."""
    invalid = [make_trial(who, invalid="lost") for who in ("threading", "slot")]
    failed = make_trial("slot", None)
    second_arm = make_trial("threading", arm=1)
    for trials, words, code in (
        ([], "holds no trials yet", EXIT_USAGE),
        ([failed], "gave a number to export", EXIT_USAGE),
        ([invalid[0], failed], "gave a number to export", EXIT_USAGE),
        ([second_arm], "gave a number to export", EXIT_USAGE),
        (invalid, "is INVALID", EXIT_INVALID),
    ):
        with pytest.raises(SlotbenchError, match=words) as caught:
            exports.export(make_stored(trials), name, tmp_path / "out")
        assert caught.value.exit_code == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [("parquet", "pyarrow", "pyarrow"), ("hdrhistogram", "hdrh", "hdrhistogram")],
)
def test_a_missing_library_is_one_line_with_its_extra(
    name: str,
    module: str,
    package: str,
    stored: StoredRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The line can be copied into a shell."""
    for loaded in [key for key in sys.modules if key.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        SlotbenchError,
        match=rf"^the format {name} needs {package}: pip install 'slotbench\[export\]'$",
    ):
        exports.export(stored, name, tmp_path / "out")


def test_the_trials_are_those_of_a_comparison(stored: StoredRun) -> None:
    """First arms of the attempt that counts, without INVALID and failed ones, in order."""
    trials = _trials.usable_trials(stored)
    assert len(trials) == 2 * 3 * 4 - 2
    assert all(trial.record.arm == 0 for trial in trials)
    assert not any(trial.record.is_invalid for trial in trials)
    assert 5000.0 not in {
        trial.measurement.num_replies / trial.measurement.window_s for trial in trials
    }
    order = [(trial.record.cell, trial.record.contender) for trial in trials]
    wanted = [
        (cell.name, contender.label)
        for cell in stored.run.scenario.cells
        for contender in stored.run.scenario.contenders
    ]
    assert list(dict.fromkeys(order)) == wanted


def test_the_account_adds_up(stored: StoredRun) -> None:
    """Every trial is written or has one reason."""
    said = _trials.account(stored, len(_trials.usable_trials(stored)), {"too odd": 0})
    assert said == (
        "22 of 36 trials written; left out: 8 of the baseline's second arm (A/A), "
        "4 of an attempt that does not count, 1 INVALID, 1 failed"
    )


@pytest.mark.parametrize("name", ["pyperf", "hdrhistogram"])
def test_a_time_that_is_none_is_one_line(
    name: str, with_latencies: StoredRun, tmp_path: Path
) -> None:
    """A damaged time of start names its trial."""
    trials = [replace(trial, started_at="noon") for trial in with_latencies.trials]
    with pytest.raises(RecordError, match=r"^trial .* 'noon' is no date$"):
        exports.export(
            replace(with_latencies, trials=tuple(trials)), name, tmp_path / "out"
        )
