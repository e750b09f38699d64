"""``slotbench advise``: options, files, and what it says without any."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

import slotbench as package
from slotbench.draw import recommendation as drawn
from slotbench.scenario import loads
from slotbench.store import read_recommendation


@pytest.fixture(autouse=True)
def sigterm_again() -> Any:
    """The command takes SIGTERM for itself; other tests have their own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_without_arguments_it_shows_its_help(slotbench: Any) -> None:
    """With examples; and asks for the one thing that it cannot do without."""
    outcome = slotbench("advise")
    assert (outcome.code, outcome.stdout) == (0, slotbench("advise", "--help").stdout)
    assert "Examples:" in outcome.stdout
    outcome = slotbench("advise", "--policy-ms", "2")
    assert outcome.code == 2
    assert "give --num-envs" in outcome.stderr


def test_options_reach_the_advice(slotbench: Any, tmp_path: Path) -> None:
    """All that say what is asked; the record says where each is from."""
    outcome = slotbench(
        *("advise", "--num-envs", "6", "--step-ms", "4", "--step-cv", "1"),
        *("--step-distribution", "exponential", "--step-mode", "busy"),
        *("--observation", "pixels=uint8[3,84,84]", "--observation", "state=float32[7]"),
        *("--policy-ms", "3", "--policy-per-item-ms", "0.5", "--max-latency-ms", "70"),
        *("--no-measure", "--format", "json"),
    )
    assert outcome.code == 0, outcome.stderr
    (tmp_path / "a.json").write_text(outcome.stdout, encoding="utf-8")
    record = read_recommendation(tmp_path / "a.json")

    workload, times = record.workload, record.times
    assert workload.num_slots == 6
    assert (workload.think_time.distribution, workload.think_time.mode) == (
        *("exponential", "busy"),
    )
    assert [leaf.key for leaf in workload.observation.leaves] == ["pixels", "state"]
    assert (times.think_s, times.batch_s, times.row_s) == (0.004, 0.003, 0.0005)
    assert times.think_gil_s == 0.004
    assert record.max_latency_s == 0.070


def test_the_text_is_the_advice(slotbench: Any) -> None:
    """On stdout, in one screen."""
    outcome = slotbench("advise", "--num-envs", "4", "--policy-ms", "2", "--no-measure")
    told = package.advise(4, policy_ms=2, measure=False)
    assert outcome.code == 0
    assert outcome.stdout.splitlines()[:3] == drawn.show(told.record).splitlines()[:3]
    assert len(outcome.stdout.splitlines()) < 50


def test_files_are_written_and_not_over_others(
    slotbench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice and its scenario; what is there already is refused before anything is done."""
    words = ("advise", "--num-envs", "4", "--policy-ms", "2", "--no-measure")
    files = ("--format", "md", "-o", "advice.md", "--scenario", "race.toml")
    outcome = slotbench(*words, *files)
    assert (outcome.code, outcome.stdout) == (0, "")
    assert (tmp_path / "advice.md").read_text().startswith("**For 4 environments use ")
    assert loads((tmp_path / "race.toml").read_text(), name="race").cells
    assert "slotbench run race.toml" in outcome.stderr

    assert slotbench(*words, *files, "--force").code == 0

    monkeypatch.setattr("slotbench.api.advise", None)  # nothing is asked of it any more
    for left in ("advice.md", "race.toml"):
        other = "race.toml" if left == "advice.md" else "advice.md"
        (tmp_path / other).unlink(missing_ok=True)
        (tmp_path / left).write_text("mine")
        outcome = slotbench(*words, *files)
        assert outcome.code == 2
        assert f"{left} exists already" in outcome.stderr
        assert (tmp_path / left).read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "jsn"], "did you mean json?"),
        (["--step-mode", "buzy"], "did you mean busy?"),
        (["--num-envs", "0"], "from 1 to 16384"),
        (["--observation", "flot32[8]"], "did you mean float32"),
        (["--policy", "a:b", "--policy-ms", "1"], "exclude each other"),
        (
            ["--policy", "my/pol.py:net"],
            "--policy 'my/pol.py:net' is no module:name: write my.pol:net",
        ),
        (["--policy", "mypol.py:net"], "write mypol:net"),
        (["--policy", "mypol"], "write mypol:policy"),
        (
            ["-o", "advice.html"],
            "advice ends in .md, .json, .txt, or say which with --format",
        ),
    ],
)
def test_nonsense_is_said_in_a_line(
    slotbench: Any, arguments: list[str], message: str
) -> None:
    """Exit code 2, no traceback."""
    outcome = slotbench("advise", "--num-envs", "4", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    [line] = outcome.stderr.splitlines()
    assert message in line


def test_a_files_ending_says_its_format(slotbench: Any, tmp_path: Path) -> None:
    """As a report's does."""
    words = ("advise", "--num-envs", "4", "--policy-ms", "2", "--no-measure", "-o")
    begins = {"a.md": "**For 4", "a.json": "{", "a.txt": "For 4 environments"}
    for name, beginning in begins.items():
        assert slotbench(*words, name).code == 0
        assert (tmp_path / name).read_text().startswith(beginning)


def test_json_holds_a_schema_number(slotbench: Any) -> None:
    """As the other formats do."""
    outcome = slotbench("advise", "--num-envs", "1", "--no-measure", "--format", "json")
    assert json.loads(outcome.stdout)["schema_version"] == 2
