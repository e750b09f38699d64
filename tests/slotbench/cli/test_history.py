"""``slotbench history``: all runs of a folder, what cannot be used, and a gate."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import slotbench as package
from tests.slotbench.support import grids, histories

STEP = [2.0] * 5 + [1.6] * 5
CELL = grids.cell().name


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten runs, of which the sixth lost a fifth; not to be changed."""
    folder = tmp_path_factory.mktemp("results")
    for one in histories.runs(STEP):
        histories.write(folder, one)
    return folder


def test_a_folder_is_followed(results: Path, slotbench: Any) -> None:
    """The change on stdout, nothing on stderr; alone it is no failure."""
    outcome = slotbench("history", "--results", results)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "1 change in 1 series of 10 runs: 1 worse" in outcome.stdout
    assert "since 20250106T030405Z-synthetic-000005" in outcome.stdout


@pytest.mark.parametrize(
    ("options", "code"), [((), 1), (("--threshold", "40%"), 0), (("--cell", CELL), 1)]
)
def test_a_gate_fails_where_the_newest_level_is_worse(
    options: tuple[str, ...], code: int, results: Path, slotbench: Any
) -> None:
    """Beyond the threshold, and not otherwise."""
    asked = ("history", "--results", results, "--fail-on", "regression", *options)
    assert slotbench(*asked).code == code


@pytest.mark.parametrize("name", ["text", "md", "json", "csv", "html"])
def test_a_file_has_what_its_ending_asks(name: str, results: Path, slotbench: Any) -> None:
    """Its name is all that stdout has; an existing one is kept unless told."""
    file = f"h.{ {'text': 'txt'}.get(name, name) }"
    shown = slotbench("history", "--results", results, "--format", name).stdout
    outcome = slotbench("history", "--results", results, "-o", file)

    assert (outcome.code, outcome.stdout) == (0, f"{file}\n")
    assert Path(file).read_text(encoding="utf-8") == shown
    assert slotbench("history", "--results", results, "-o", file).code == 2
    assert slotbench("history", "--results", results, "-o", file, "--force").code == 0


def test_what_cannot_be_used_is_named_and_left_out(
    tmp_path: Path, slotbench: Any, record_profile: Any
) -> None:
    """A damaged run, an interrupted one; a profile is no run and is passed over."""
    results = tmp_path / "results"
    histories.write(results, histories.run(0, 2.0))
    damaged = histories.write(results, histories.run(20, 2.0))
    (damaged / "run.json").write_text("{", encoding="utf-8")
    histories.write(results, histories.run(21, 2.0, status="interrupted"))
    record_profile()
    outcome = slotbench("history", "--format", "json")

    assert outcome.code == 0
    notes = json.loads(outcome.stdout)["notes"]
    assert len(notes) == 2
    assert "damaged" in notes[0]
    assert str(damaged.name) in notes[0]
    assert (
        notes[1] == f"left out: {histories.run(21, 2.0).run.run_id}, which is interrupted"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("thruput",), "unknown metric 'thruput': did you mean throughput?"),
        (("--results", "nowhere"), "there is no run in nowhere"),
        (("--scenario", "synthetik"), "no scenario 'synthetik'"),
        (("--format", "xml"), "unknown format 'xml'"),
        (("-o", "x.pdf"), "a history ends in .html"),
        (("--fail-on", "inconclusive"), "it is --fail-on regression"),
        (("--threshold", "0"), "not between 0 and 100 %"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...], said: str, results: Path, slotbench: Any
) -> None:
    """Exit code 2, and nothing on stdout."""
    outcome = slotbench("history", "--results", results, *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert said in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_folder_without_a_usable_run_says_why(tmp_path: Path, slotbench: Any) -> None:
    """One that was interrupted."""
    histories.write(tmp_path / "results", histories.run(0, 2.0, status="interrupted"))
    outcome = slotbench("history")
    assert outcome.code == 2
    assert "no run in results can be used" in outcome.stderr
    assert "which is interrupted" in outcome.stderr


def test_a_run_counts_once_however_often_it_is_there(tmp_path: Path) -> None:
    """Four copies of two runs are two runs, too few to find a change in; the rest is named."""
    results = tmp_path / "results"
    first, second = (histories.write(results, one) for one in histories.runs([2.0, 1.6]))
    for number in range(3):
        for one in (first, second):
            shutil.copytree(one, results / f"{one.name}-copy{number}")
    found = package.history(results_dir=results)

    assert found.record.num_runs == 2
    assert (found.regressed, len(found.notes)) == ((), 6)
    assert f"left out: {first.name}-copy0, another copy of {first.name}" in found.notes[0]


def test_the_same_from_python(results: Path) -> None:
    """Frames, the changes, a figure, a page; a notebook shows tables."""
    found = package.history(results_dir=results, contender="slot")

    assert list(found.frame["run_id"]) == [one.run.run_id for one in histories.runs(STEP)]
    assert list(found.changes["verdict"]) == ["slower"]
    assert [series.contender for series in found.regressed] == ["slot"]
    assert found.plot().subfigs
    assert "<table>" in found._repr_html_()
    assert "1 change" in repr(found)
    assert str(found) == found.render("text")
    assert found.render("html").startswith("<!doctype html>")
    assert found.notes == ()
    assert dataclasses.is_dataclass(found.record)


def test_it_starts_without_what_it_does_not_need(results: Path) -> None:
    """Text needs no torch, no pandas, no matplotlib."""
    code = (
        "import sys\n"
        "from slotbench.cli import main\n"
        "try:\n"
        f"    main(['history', '--results', {str(results)!r}])\n"
        "except SystemExit as error:\n"
        "    assert error.code == 0, error.code\n"
        "print({'torch', 'pandas', 'matplotlib'} & set(sys.modules), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr == "set()\n"
