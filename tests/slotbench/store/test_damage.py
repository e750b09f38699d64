"""A folder that is no whole run is one clear line, or a note where nothing is lost."""

import dataclasses
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slotbench.compute import histogram
from slotbench.errors import RecordError
from slotbench.records import RunRecord, TrialRecord
from slotbench.store import RunFolder, all_runs, read
from slotbench.store._sense import MAX_BUCKET
from tests.slotbench.support.calibrations import calibration

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
    file = edit_run(make_folder(1), schema_version=5, status="paused")
    assert error_of(file) == (
        f"{file} has schema version 5, this slotbench reads up to 4: upgrade slotbench"
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
        f"{run.run_id} {words}; {count}: go on with 'slotbench run --resume {folder.path}'",
    )
    assert (stored.path, len(stored.trials)) == (folder.path, 2)


def put_fifo(place: Path) -> None:
    """A pipe that nobody writes to."""
    os.mkfifo(place)


def put_device(place: Path) -> None:
    """A file without end."""
    place.symlink_to("/dev/zero")


@pytest.mark.parametrize("put", [put_fifo, put_device, Path.mkdir])
@pytest.mark.parametrize("name", ["run.json", "trials.jsonl"])
def test_what_is_no_plain_file_is_never_read(
    name: str, put: Callable[[Path], None], make_folder: MakeFolder
) -> None:
    """A pipe would be waited for, and a device read, without end."""
    path = make_folder(1).path
    (path / name).unlink()
    put(path / name)
    assert error_of(path) == f"cannot read {path / name}: it is no plain file"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"window_s":1.0', '"window_s":1e999', "measurement.window_s: a number without end"),
        ('"window_s":1.0', '"window_s":1e-300', "measurement.window_s: 1e-300 is beyond what"),
        ('"window_s":1.0', f'"window_s":0.{"0" * 310}1', "measurement.window_s: 1e-311 is"),
        ('"window_s":1.0', f'"window_s":0.{"0" * 20}1', "measurement.window_s: 1e-21 is beyond"),
        ('"window_s":1.0', f'"window_s":1{"0" * 15}.0', "measurement.window_s: 1000000000000000.0"),
        ('"window_s":1.0', '"window_s":\tNaN', "NaN is no JSON number"),
        ('"duration_s":1.4', '"duration_s":1e300', "duration_s: 1e+300 is beyond what can be"),
        ('"latency_p50_s":0.001', '"latency_p50_s":-1.0', "measurement.latency_p50_s: -1.0 is"),
        ('"num_batches":500', '"num_batches":-1', "measurement.num_batches: -1 is below 0"),
        ('"seed":7', f'"seed":{2**63}', "seed: a whole number of more than 64 bits"),
        ('"arm":0', '"arm":2', "arm: there is no arm 2"),
        ("[[10,", "[[-1,", r"measurement.latency.buckets.0.0: -1 is below 0"),
        ("[[10,", f"[[{MAX_BUCKET + 1},", f"measurement.latency.buckets: there is no bucket {MAX_BUCKET + 1}"),
        (
            "2026-11-23T06:45:02+00:00",
            "0001-01-01T00:00:00+23:59",
            "started_at: '0001-01-01T00:00:00+23:59' is no time of a run",
        ),
    ],
)  # fmt: skip
def test_a_number_that_no_trial_gives(
    old: str, new: str, problem: str, make_folder: MakeFolder
) -> None:
    """What has the right type and no sense is damage too, before it is divided by."""
    file = edit_line(make_folder(3), 2, lambda line: line.replace(old, new))
    assert error_of(file.parent).startswith(f"{file} line 2 is damaged: {problem}")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"num_cpus":2', '"num_cpus":0', "num_cpus: there is none"),
        (
            '"think_mean_s":1e-05',
            '"think_mean_s":null',
            "status: ok, but times are missing",
        ),
        ('"think_mean_s":1e-05', '"think_mean_s":-1.0', "think_mean_s: -1.0 is below 0"),
        ('"batch_size":4', '"batch_size":1', "service: batch sizes"),
        ('"median_s":0.001002', '"median_s":0.0', "service: a batch of 1 took no time"),
        (
            '"buckets":[[',
            f'"buckets":[[{MAX_BUCKET + 1},1],[',
            "think.buckets: there is no",
        ),
        ("num_slots=2", "num_slots=3", "run.json has no cell 'num_slots=3'"),
        ('"ok"', '"good"', "status: Input should be 'ok' or 'failed"),
    ],
)
def test_a_calibration_that_nobody_made(
    old: str, new: str, problem: str, make_folder: MakeFolder
) -> None:
    """Damage in calibrations.jsonl is refused with file and line, as in trials.jsonl."""
    folder = make_folder(1)
    folder.append_calibration(calibration("num_slots=2", 0))
    folder.append_calibration(calibration("num_slots=2", 1))
    file = folder.path / "calibrations.jsonl"
    first, second = file.read_text().splitlines(keepends=True)
    assert old in first
    file.write_text(first.replace(old, new, 1) + second)
    assert error_of(folder.path).startswith(f"{file} line 1 is damaged: {problem}")


def test_a_sleep_may_end_early(make_folder: MakeFolder) -> None:
    """By a clock's grain: what is below 0 there is no damage."""
    folder = make_folder(1)
    early = calibration("num_slots=2", 0, think_excess_s=-1e-6)
    folder.append_calibration(early)
    assert read(folder.path).calibrations == (early,)


def test_a_run_may_lack_calibrations(make_folder: MakeFolder) -> None:
    """Earlier versions made none; a last line that was cut short is left out, with a note."""
    folder = make_folder(1)
    assert read(folder.path).calibrations == ()
    folder.append_calibration(calibration("num_slots=2", 0))
    file = folder.path / "calibrations.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:40])
    stored = read(folder.path)
    assert stored.calibrations == (calibration("num_slots=2", 0),)
    assert stored.notes == (f"{file}: line 2 was cut short while being written; left out",)


def test_times_may_differ_in_either_direction(make_folder: MakeFolder) -> None:
    """A difference of two threads' stamps may be a little below 0: no damage."""
    folder = make_folder(3)
    edit_line(
        folder, 2, lambda line: line.replace('"teardown_s":0.01', '"teardown_s":-1e-05')
    )
    assert len(read(folder.path).trials) == 3


def test_the_last_bucket_is_the_histograms() -> None:
    """The reader knows the last bucket without the histogram's imports."""
    counted = histogram.count(np.array([histogram.MAX_NS]))
    assert counted.buckets == ((MAX_BUCKET, 1),)


def edit_scenario(folder: RunFolder, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the scenario in run.json."""
    scenario = json.loads((folder.path / "run.json").read_text())["scenario"]
    change(scenario)
    return edit_run(folder, scenario=scenario)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda s: s["cells"].clear(), "scenario.cells: there is none"),
        (lambda s: s["contenders"].clear(), "scenario.contenders: there is none"),
        (
            lambda s: s["cells"].append(s["cells"][0]),
            "scenario.cells: 'num_slots=2' is there 2 times",
        ),
        (
            lambda s: s["contenders"][1].update(baseline=True),
            "scenario.contenders: more than one is the baseline",
        ),
        (
            lambda s: s.update(threshold=0.0),
            "scenario.threshold: 0.0 is not between 0 and 1",
        ),
        (
            lambda s: s["cells"][0]["workload"].update(num_slots=0),
            "scenario.cells.0.workload: no slots, or batches of nothing",
        ),
        (
            lambda s: s["cells"][0]["workload"]["model"].update(latency_ms=1e308),
            "scenario.cells.0.workload.model.latency_ms: 1e+308 is beyond what can be measured",
        ),
    ],
)
def test_a_scenario_that_no_run_has(
    change: Callable[[dict[str, Any]], object], problem: str, make_folder: MakeFolder
) -> None:
    """Cells and contenders are there, once, with workloads that an estimate can be made of."""
    file = edit_scenario(make_folder(), change)
    assert error_of(file) == f"{file} is damaged: {problem}"


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (["num_slots=3", []], "there is no cell 'num_slots=3'"),
        (["num_slots=2", ["slob#0"]], "there is no trial 'slob#0'"),
    ],
)
def test_a_plan_of_another_scenario(
    block: Any, problem: str, make_folder: MakeFolder
) -> None:
    """What is left to measure can be told from the plan: it names this run's own trials."""
    design = {"seed": 7, "rounds": 3, "num_trials": 9, "blocks": [[block]]}
    file = edit_run(make_folder(), design=design)
    assert error_of(file) == f"{file} is damaged: design.blocks.0: {problem}"


def test_a_run_id_is_one_line(make_folder: MakeFolder) -> None:
    """The id is part of notes, which are lines."""
    file = edit_run(make_folder(), run_id="a\nb")
    assert error_of(file) == f"{file} is damaged: run_id: 'a\\nb' is no name"


def test_numbers_of_the_machine_and_the_user_are_free(make_folder: MakeFolder) -> None:
    """An environment's option may be below 0; only what JSON cannot hold is damage."""
    folder = make_folder(1)
    edit_run(folder, environment={"offset": -3, "tiny": 1e-300})
    assert read(folder.path).run.environment == {"offset": -3, "tiny": 1e-300}
    file = edit_run(folder, environment={"huge": 2**64})
    assert error_of(file) == (
        f"{file} is damaged: environment.huge: a whole number of more than 64 bits"
    )


def test_a_renamed_folder_of_deep_nesting_is_still_listed(make_folder: MakeFolder) -> None:
    """Its age cannot be read; that is said where it is read, not where runs are listed."""
    path = make_folder(0).path
    (path / "run.json").write_text("[" * 100_000)
    renamed = path.rename(path.with_name("mine"))
    assert all_runs(path.parent) == [renamed]
