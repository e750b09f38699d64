"""``slotbench selftest``: the small form passes, and a broken harness exits with 1."""

import json
from pathlib import Path
from typing import Any

import pytest

from slotbench.selftest import criteria, study, until
from slotbench.store import read_selftest


def test_the_small_form_passes_and_is_recorded(slotbench: Any, tmp_path: Path) -> None:
    """All criteria hold on every noise; the file is the record that was shown."""
    outcome = slotbench("selftest", "-o", "s.json")

    assert outcome.code == 0, outcome.stdout
    record = read_selftest(tmp_path / "s.json")
    assert all(one.holds for one in record.criteria)
    assert (record.seed, record.num_comparisons, record.machine) == (1, 100, None)
    assert {one.rounds for one in record.settings} == {5, 10}
    assert {one.noise for one in record.sequential} == set(until.NOISE_NAMES)
    assert "until decided: runs that stop when they are" in outcome.stdout
    num = len(record.criteria)
    assert outcome.stdout.startswith(f"{num} of {num} criteria hold")
    assert "power: slowdowns found in throughput" in outcome.stdout


@pytest.fixture
def one_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate one setting alone."""
    whole = study.settings
    monkeypatch.setattr(study, "settings", lambda rounds: whole(rounds)[:1])
    of_until = until.settings()[:1]
    monkeypatch.setattr(until, "settings", lambda: of_until)


@pytest.mark.usefixtures("one_noise")
def test_json_is_on_stdout_alone(slotbench: Any) -> None:
    """With the seed and number asked for; progress is on stderr."""
    outcome = slotbench(
        "selftest", "--json", "--comparisons", "12", "--seed", "9", "--processes", "1"
    )

    document = json.loads(outcome.stdout)
    assert (document["seed"], document["num_comparisons"]) == (9, 12)
    assert outcome.code == 0
    assert "parts" in outcome.stderr


@pytest.mark.usefixtures("one_noise")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_criterion_that_fails_is_exit_code_1(
    slotbench: Any, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """And a line for each: at the end of the text, or on stderr beside JSON."""
    monkeypatch.setattr(criteria, "MIN_COVERED_RATIO", 1.1)
    monkeypatch.setattr(criteria, "ENOUGH", 1)

    outcome = slotbench("selftest", "--comparisons", "12", "--processes", "1", *options)

    assert outcome.code == 1
    said = outcome.stderr if options else outcome.stdout
    assert "FAILED intervals that hold the true ratio: " in said


def test_bad_options_are_refused_before_anything_is_simulated(
    slotbench: Any, tmp_path: Path
) -> None:
    """One line each, exit code 2; a file that is there is not replaced."""
    (tmp_path / "there.json").write_text("mine", encoding="utf-8")
    for arguments, said in (
        (["--comparisons", "3"], "greater than or equal to 10"),
        (["--processes", "0"], "greater than or equal to 1"),
        (["--seed", "-1"], "greater than or equal to 0"),
        (["-o", "there.json"], "exists already; --force replaces it"),
    ):
        outcome = slotbench("selftest", *arguments)
        assert outcome.code == 2
        assert said in outcome.stderr
        assert outcome.stdout == ""
    assert (tmp_path / "there.json").read_text(encoding="utf-8") == "mine"
