"""``slotbench export`` on a stored run."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slotbench import exports

HEAVY = {"torch", "pandas", "numpy", "scipy", "pyperf", "pyarrow", "hdrh", "rich"}


@pytest.mark.parametrize("name", exports.available())
def test_stdout_names_the_files_and_stderr_what_is_in_them(
    name: str, record: Any, slotbench: Any
) -> None:
    """So that a script can go on with the paths alone."""
    path = record()
    outcome = slotbench("export", path, name)
    assert outcome.code == 0
    files = outcome.stdout.splitlines()
    assert files
    assert all(Path(file).is_file() for file in files)
    (said,) = outcome.stderr.splitlines()
    assert said.startswith("slotbench: ")
    assert " of 9 trials written" in said


def test_output_and_results_are_those_of_the_command_line(
    record: Any, slotbench: Any, tmp_path: Path
) -> None:
    """A run is found in another results folder, and the file is where it was asked for."""
    record()
    (tmp_path / "results").rename(tmp_path / "elsewhere")
    outcome = slotbench(
        "export", "newest", "csv", "--results", "elsewhere", "-o", "out/table.csv"
    )
    assert (outcome.code, outcome.stdout) == (0, "out/table.csv\n")
    assert (tmp_path / "out/table.csv").read_text().startswith("cell,")


def test_force_is_that_of_the_command_line(record: Any, slotbench: Any) -> None:
    """The second export needs it."""
    record()
    told = ["export", "newest", "csv", "-o", "table.csv"]
    assert slotbench(*told).code == 0
    refused = slotbench(*told)
    assert (refused.code, refused.stdout) == (2, "")
    assert refused.stderr == (
        "slotbench: error: table.csv exists already; --force replaces it, -o writes elsewhere\n"
    )
    assert slotbench(*told, "--force").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["newest", "pyperv"], "unknown format 'pyperv': did you mean pyperf?"),
        (["nosuch", "csv"], "no run 'nosuch' in results; there is "),
        (["newest"], "Missing argument 'FORMAT' (see 'slotbench export --help')"),
    ],
)
def test_a_name_that_is_none_is_one_line(
    arguments: list[str], words: str, record: Any, slotbench: Any
) -> None:
    """What there is, or where the help is."""
    record()
    outcome = slotbench("export", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"slotbench: error: {words}")
    assert outcome.stderr.count("\n") == 1


def test_a_run_of_invalid_trials_alone_is_code_3(
    record: Any, make_trial: Any, slotbench: Any
) -> None:
    """As for a comparison; nothing is written."""
    record([make_trial(who, invalid="lost") for who in ("threading", "slot")])
    outcome = slotbench("export", "newest", "csv")
    assert (outcome.code, outcome.stdout) == (3, "")
    assert "is INVALID: there is no number to export" in outcome.stderr


def test_a_run_that_was_interrupted_is_exported_with_a_note(
    record: Any, slotbench: Any
) -> None:
    """What is missing is said before what was written."""
    record(status="interrupted")
    outcome = slotbench("export", "newest", "csv")
    assert outcome.code == 0
    note, said = outcome.stderr.splitlines()
    assert note.startswith("slotbench: note: ")
    assert "was interrupted" in note
    assert "written" in said


def test_help_lists_every_format_and_loads_nothing_heavy() -> None:
    """Each on a line of its own with what it is for, none wider than 80 columns."""
    code = (
        "import sys\n"
        "from slotbench.cli import main\n"
        "try:\n"
        "    main(['export', '--help'])\n"
        "finally:\n"
        f"    print(sorted(set(sys.modules) & {HEAVY!r}), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr == "[]\n"
    lines = result.stdout.split("  Formats:\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == list(exports.available())
    for line, name in zip(lines, exports.available(), strict=True):
        assert line.endswith(f" {exports.summary(name)}")
        assert len(line) <= 82
    block = result.stdout.split("  Examples:\n")[1].split("\n\n")[0].splitlines()
    assert len(block) == 3
    assert all(line.startswith("    slotbench export") for line in block)
