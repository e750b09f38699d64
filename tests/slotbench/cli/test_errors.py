"""Whatever goes wrong is one line on stderr and an exit code."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slotbench.cli import _app, listing, main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["comapre"],
            "No such command 'comapre'. Did you mean 'compare'? (see 'slotbench --help')",
        ),
        (["--nope"], "No such option: --nope (see 'slotbench --help')"),
        (
            ["compare", "a", "b", "c"],
            "Got unexpected extra argument(s) (c) (see 'slotbench compare -",
        ),
        (
            ["compare", "--metric"],
            "Option '--metric' requires an argument (see 'slotbench",
        ),
        (
            ["run"],
            "Invalid value: name a SCENARIO ('slotbench list' shows them), or a run with --resume (see 'slotbench run --help')",
        ),
        (
            ["compare", "--threshold", "3"],
            "Invalid value for '--threshold': '3' is not between",
        ),
        (
            ["compare", "--threshold", "x"],
            "Invalid value for '--threshold': 'x' is no number: ",
        ),
        (
            ["compare"],
            "there is no run in results yet: make one with 'slotbench run quickstart'",
        ),
        (["compare", "x"], "no run 'x': there is no run in results yet; "),
        (["compare", "--results", "elsewhere"], "there is no run in elsewhere yet: "),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    arguments: list[str], message: str, slotbench: Any
) -> None:
    """Usage errors of typer and errors of slotbench look the same."""
    outcome = slotbench(*arguments)
    assert outcome.stderr.startswith(f"slotbench: error: {message}")
    assert outcome.stderr.count("\n") == 1
    assert (outcome.code, outcome.stdout) == (2, "")


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback_wherever_it_stands(place: str, slotbench: Any) -> None:
    """--debug may stand before or after the command; the line is still the last."""
    arguments = ["--debug", "compare"] if place == "before" else ["compare", "--debug"]
    outcome = slotbench(*arguments)
    assert outcome.stderr.startswith("Traceback (most recent call last)")
    assert outcome.stderr.splitlines()[-1].startswith(
        "slotbench: error: there is no run in"
    )
    assert outcome.code == 2


def test_a_defect_asks_for_a_report(
    slotbench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody foresaw is one line, code 1, and says how to see more."""

    def fail(_: Path) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(listing, "recorded_runs", fail)
    outcome = slotbench("list", "--runs")
    assert outcome.code == 70
    assert outcome.stderr == (
        "slotbench: error: ZeroDivisionError: division by zero "
        "(run with --debug for the traceback, and please report it)\n"
    )


def test_a_defect_under_debug_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --debug the exception itself comes through, for a debugger."""

    def fail(_: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(listing, "recorded_runs", fail)
    with pytest.raises(ZeroDivisionError):
        main(["list", "--runs", "--debug"])


def test_an_interrupt_is_code_130(slotbench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends quietly, with the code that a shell gives it."""

    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(listing, "recorded_runs", interrupt)
    outcome = slotbench("list", "--runs")
    assert (outcome.code, outcome.stderr) == (130, "")


def test_an_interrupt_before_the_command_is_code_130(
    slotbench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while modules are being imported ends as quietly."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_app, "command", interrupt)
    outcome = slotbench("list")
    assert (outcome.code, outcome.stderr) == (130, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["list", "--json"], ["list", "--runs"], ["--help"]])
def test_a_reader_that_goes_away_is_met_in_silence(
    arguments: list[str], unbuffered: str
) -> None:
    """``slotbench … | head`` prints no traceback, whenever it is that the pipe breaks."""
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [sys.executable, "-m", "slotbench", *arguments],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(writer)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (141, "")


def test_text_that_the_terminal_cannot_show_is_no_error(record: Any) -> None:
    """Under an ASCII locale signs such as × are replaced, not a crash."""
    path = record()
    result = subprocess.run(
        [sys.executable, "-m", "slotbench", "compare", str(path)],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, b"")
