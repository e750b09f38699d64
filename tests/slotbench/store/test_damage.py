"""A folder that is no whole run is one clear line, or a note where nothing is lost."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slotbench.errors import RecordError
from slotbench.records import RunRecord, TrialRecord
from slotbench.store import RunFolder, read

MakeFolder = Callable[..., RunFolder]


def error_of(path: Path) -> str:
    """Give the line that a user sees; it is one."""
    with pytest.raises(RecordError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit_run(folder: RunFolder, **changes: Any) -> Path:
    """Change fields of run.json."""
    file = folder.path / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return file


def edit_line(folder: RunFolder, number: int, change: Callable[[str], str]) -> Path:
    """Change one line of trials.jsonl, counted from 1."""
    file = folder.path / "trials.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    lines[number - 1] = change(lines[number - 1])
    file.write_text("".join(lines))
    return file


def test_every_truncation_of_the_last_line_keeps_the_earlier_trials(
    make_folder: MakeFolder,
) -> None:
    """Killed at any byte of an append, every earlier trial is read and the rest is noted."""
    folder = make_folder(3)
    file = folder.path / "trials.jsonl"
    whole = file.read_bytes()
    before = len(b"".join(whole.splitlines(keepends=True)[:2]))
    note = f"{file}: line 3 was cut short while being written; left out"
    for size in range(before, len(whole) - 1):
        file.write_bytes(whole[:size])
        stored = read(folder.path)
        assert [trial.trial_id for trial in stored.trials] == ["t0000", "t0001"]
        assert stored.notes == ((note,) if size > before else ())
    file.write_bytes(whole[:-1])  # only the line feed is missing: the record is whole
    assert [trial.trial_id for trial in read(folder.path).trials][2:] == ["t0002"]


def test_nothing_there() -> None:
    """A path that does not exist says so."""
    assert error_of(Path("no/such")) == "no results folder at no/such"


def test_a_file_is_no_run(tmp_path: Path) -> None:
    """A file that is not run.json is refused."""
    file = tmp_path / "x.csv"
    file.touch()
    assert error_of(file) == f"{file} is not a run: name the folder that holds run.json"


def test_an_empty_folder(tmp_path: Path) -> None:
    """An empty folder says what a run would hold."""
    assert (
        error_of(tmp_path) == f"{tmp_path} is empty: a run holds run.json and trials.jsonl"
    )


def test_a_folder_without_run_json(make_folder: MakeFolder) -> None:
    """A missing run.json is named."""
    path = make_folder(1).path
    (path / "run.json").unlink()
    assert error_of(path) == f"{path} is not a run: it holds no run.json"


def test_a_folder_of_runs_offers_one(make_folder: MakeFolder) -> None:
    """The results folder itself is no run; a run in it is offered."""
    path = make_folder().path
    assert error_of(path.parent) == (
        f"{path.parent} is not a run: it holds no run.json; name a run in it, such as {path}"
    )


def test_a_missing_trials_file(make_folder: MakeFolder) -> None:
    """A run without trials.jsonl is damaged, not empty."""
    path = make_folder(1).path
    (path / "trials.jsonl").unlink()
    assert error_of(path) == f"{path} is damaged: it holds no trials.jsonl"


def test_a_newer_schema_is_named_before_anything_else(make_folder: MakeFolder) -> None:
    """A run of a later slotbench says which versions are at odds, whatever else it holds."""
    file = edit_run(make_folder(1), schema_version=3, status="paused")
    assert error_of(file) == (
        f"{file} has schema version 3, this slotbench reads up to 2: upgrade slotbench"
    )


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        (None, "it names no schema_version"),
        ("1", "it names no schema_version"),
        (True, "it names no schema_version"),
        (0, "schema version 0 never existed"),
    ],
)
def test_a_schema_version_that_is_none(
    version: Any, problem: str, make_folder: MakeFolder
) -> None:
    """A version is a whole number from 1."""
    file = edit_run(make_folder(), schema_version=version)
    assert error_of(file) == f"{file} is damaged: {problem}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "Expecting value at line 1 column 1"),
        (
            b'{\n "a": 1,\n',
            "Expecting property name enclosed in double quotes at line 3 co",
        ),
        (b"[1]", "it names no schema_version"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff"),
        (b'{"schema_version": NaN}', "NaN is no JSON number"),
        (b'{"schema_version": 1}', r"run_id: Field required \(and 8 more\)"),
    ],
)
def test_a_damaged_run_json(text: bytes, problem: str, make_folder: MakeFolder) -> None:
    """The file, the place in it and the first fault are named."""
    file = make_folder().path / "run.json"
    file.write_bytes(text)
    assert re.match(f"{re.escape(str(file))} is damaged: {problem}", error_of(file))


def test_a_field_of_another_type(make_folder: MakeFolder) -> None:
    """Types are not guessed: a text is no number."""
    file = edit_run(make_folder(), environment={"a": [1]}, command=[3])
    assert error_of(file).startswith(f"{file} is damaged: environment.a.bool: Input should")
    file = edit_run(make_folder(run_id="b"), command=[3])
    assert error_of(file) == f"{file} is damaged: command.0: Input should be a valid string"


def test_fields_of_a_later_version_of_this_schema_are_ignored(
    make_folder: MakeFolder,
) -> None:
    """A field that was added with a default does not lock older readers out."""
    file = edit_run(make_folder(1), tags=["night"])
    assert len(read(file).trials) == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda line: line[:40] + "\n", "Unterminated string|Expecting"),
        (lambda _: "\n", "Expecting value at line 1 column 1"),
        (
            lambda line: line.replace('"seed":7', '"seed":"7"'),
            "seed: Input should be a valid i",
        ),
        (lambda line: line.replace('"seed":7', '"seed":NaN'), "NaN is no JSON number"),
        (
            lambda line: line.replace('"ok"', '"good"'),
            "status: Input should be 'ok' or 'failed",
        ),
        (lambda line: line.replace("t0001", "t0000"), "trial 't0000' is on line 1 already"),
        (lambda line: line.replace("=2", "=3"), "run.json has no cell 'num_slots=3'"),
        (lambda line: line.replace('"slot"', '"slob"'), "run.json has no contender 'slob'"),
    ],
)
def test_a_damaged_line(
    change: Callable[[str], str], problem: str, make_folder: MakeFolder
) -> None:
    """Damage before the last line is refused with file and line, never skipped."""
    file = edit_line(make_folder(3), 2, change)
    assert re.match(
        f"{re.escape(str(file))} line 2 is damaged: ({problem})", error_of(file.parent)
    )


def test_a_damaged_last_line_that_was_ended_is_no_truncation(
    make_folder: MakeFolder,
) -> None:
    """A line that has its line feed was written whole: damage in it is damage."""
    file = edit_line(make_folder(2), 2, lambda line: line[:30] + "\n")
    assert error_of(file.parent).startswith(f"{file} line 2 is damaged: ")


def test_line_separators_in_a_text_end_no_record(
    make_folder: MakeFolder, make_trial: Callable[[int], TrialRecord]
) -> None:
    """U+2028 and carriage returns in an error message do not cut its line."""
    folder = make_folder()
    trial = dataclasses.replace(make_trial(0), stacks="a\u2028b\r\n\x85c")
    folder.append(trial)
    assert read(folder.path).trials == (trial,)


@pytest.mark.parametrize(
    ("status", "words"),
    [("running", "was killed"), ("interrupted", "was interrupted")],
)
def test_a_run_without_its_end_says_how_much_there_is(
    status: Any, words: str, run: RunRecord, make_folder: MakeFolder
) -> None:
    """A run that did not complete is read, with the trials it has and a note."""
    folder = make_folder(2)
    folder.replace_run(dataclasses.replace(run, status=status))
    while_open = read(folder.path / "run.json")
    folder.close()
    stored = read(folder.path / "run.json")
    count = "2 trials recorded, 9 planned"
    assert while_open.notes == (f"{run.run_id} is being measured; {count}",)
    assert stored.notes == (
        f"{run.run_id} {words}; {count}: go on with 'slotbench run --resume {run.run_id}'",
    )
    assert (stored.path, len(stored.trials)) == (folder.path, 2)
