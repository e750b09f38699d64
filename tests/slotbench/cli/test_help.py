"""Help is plain, whole, and costs next to nothing."""

import subprocess
import sys
from typing import Any

import pytest

import slotbench as package

HEAVY = {"torch", "pandas", "matplotlib", "numpy", "scipy", "pyperf", "rich"}

# In the order in which `slotbench --help` lists them.
COMMANDS = (
    "run",
    "advise",
    "predict",
    "compare",
    "history",
    "profile",
    "slo",
    "report",
    "plot",
    "show",
    "export",
    "check",
    "doctor",
    "selftest",
    "list",
)


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], HEAVY | {"pydantic", "typing_inspection"}),
        # typer itself imports pydantic to read any option of a command, even --help.
        (["compare", "--help"], HEAVY),
        (["run", "--help"], HEAVY),
        (["history", "--help"], HEAVY),
        (["check", "--help"], HEAVY),
        (["profile", "--help"], HEAVY),
        (["slo", "--help"], HEAVY),
        (["selftest", "--help"], HEAVY),
        (["list", "--help"], HEAVY),
        (["doctor", "--help"], HEAVY),
        (["advise", "--help"], HEAVY),
        (["predict", "--help"], HEAVY),
        ([], HEAVY),
    ],
)
def test_help_loads_nothing_heavy(arguments: list[str], heavy: set[str]) -> None:
    """No torch, pandas, matplotlib, numpy, scipy, pyperf or rich is imported."""
    code = (
        "import sys\n"
        "from slotbench.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit as error:\n"
        "    assert error.code == 0, error.code\n"
        f"print(sorted(set(sys.modules) & {heavy!r}), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr == "[]\n"
    assert "Usage: slotbench" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_ends_in_whole_example_lines(
    command: str, slotbench: Any
) -> None:
    """Three or four examples, each on a line of its own, none reflowed."""
    outcome = slotbench(command, "--help")
    assert outcome.code == 0
    block = outcome.stdout.split("  Examples:\n")[1].split("\n\n")[0].splitlines()
    assert len(block) in {3, 4}
    assert all(line.startswith(f"    slotbench {command}") for line in block)


def test_every_command_is_listed(slotbench: Any) -> None:
    """``slotbench`` alone shows the same as ``slotbench --help``."""
    outcome = slotbench("--help")
    commands = outcome.stdout.split("Commands:\n")[1].splitlines()
    assert tuple(line.split()[0] for line in commands) == COMMANDS
    assert slotbench().stdout == outcome.stdout


def test_version(slotbench: Any) -> None:
    """The version is the package's."""
    outcome = slotbench("--version")
    assert (outcome.code, outcome.stdout) == (0, f"slotbench {package.__version__}\n")


def test_the_module_is_the_command() -> None:
    """``python -m slotbench`` is ``slotbench``."""
    result = subprocess.run(
        [sys.executable, "-m", "slotbench", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout == f"slotbench {package.__version__}\n"
