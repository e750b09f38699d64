"""``slotbench list`` says what there is."""

import json
import subprocess
import sys
from typing import Any

import pytest

from slotbench import contenders as contenders_module
from slotbench.store import RunFolder


def test_scenarios_and_contenders_are_listed(slotbench: Any) -> None:
    """Shipped scenarios with their titles, and every contender that has a name."""
    outcome = slotbench("list")
    assert (outcome.code, outcome.stderr) == (0, "")
    words = outcome.stdout.split()
    for name in (
        "quickstart",
        "slot",
        "threading",
        "torchrl.slot",
        "torchrl.threading",
        "floor",
    ):
        assert name in words


def test_json_says_the_same_and_more(slotbench: Any) -> None:
    """Every scenario has a question and a file, contenders what they miss, metrics a unit."""
    found = json.loads(slotbench("list", "--json").stdout)
    assert found.keys() == {"scenarios", "contenders", "metrics", "plots"}
    assert "throughput" in [plot["name"] for plot in found["plots"]]
    assert {"name": "latency_p99", "unit": "s", "better": "lower"} in found["metrics"]
    assert found["scenarios"]
    for scenario in found["scenarios"]:
        assert scenario.keys() == {"name", "title", "question", "citation", "path"}
    names = [contender["name"] for contender in found["contenders"]]
    assert len(set(names)) == len(names) >= 5


def test_scenarios_after_others_stand_apart(slotbench: Any) -> None:
    """A line each, no longer than a terminal of 100 columns; the quickstart is among the first."""
    text = slotbench("list").stdout
    own, _, rest = text.partition("scenarios after others' workloads")
    cited, _, _ = rest.partition("\n\n")

    assert "  quickstart " in own
    assert "rl_pixels_8" not in own
    assert "  rl_pixels_8 " in cited
    assert "quickstart" not in cited
    assert all(
        len(line) <= 100 for line in (own + rest.partition("contenders:")[0]).splitlines()
    )
    columns = {line.index(line.split()[1], 3) for line in cited.splitlines()[1:]}
    assert len(columns) == 1


def test_a_contender_that_is_not_installed_says_so(
    slotbench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing stands beside the name, on the same line."""
    reason = "torchrl is not installed; pip install 'slotbench[torchrl]'"
    monkeypatch.setattr(
        contenders_module,
        "missing_requirement",
        lambda contender: reason if contender.name.startswith("torchrl.") else None,
    )
    theirs = [name for name in contenders_module.available() if name.startswith("torchrl.")]
    lines = slotbench("list").stdout.splitlines()
    lines = [line for line in lines if line.startswith("  torchrl.")]
    assert [line.split()[0] for line in lines] == theirs != []
    assert all(line.endswith(reason) for line in lines)


def test_runs_are_listed_newest_first(
    slotbench: Any, record: Any, make_run: Any, make_trial: Any
) -> None:
    """Id, kind, scenario, status and number of trials; a damaged run does not hide the others."""
    path = record([make_trial()])
    older = path.with_name("20240101T000000Z-old-000000")
    older.mkdir()
    (older / "run.json").write_text("{")
    new, old = slotbench("list", "--runs").stdout.splitlines()
    assert new.split() == [path.name, "run", "synthetic", "complete", "1", "trials"]
    assert old.split()[:3] == [older.name, "run", "damaged"]
    assert "is damaged: Expecting" in old
    found = json.loads(slotbench("list", "--runs", "--json").stdout)
    assert [run["trials"] for run in found] == [1, None]


def test_profiles_are_listed_among_the_runs(
    slotbench: Any, record: Any, record_profile: Any
) -> None:
    """In the order of their age, told apart by a column, and for machines by a key."""
    run, profile = record(), record_profile()
    damaged = profile.with_name("20240101T000000Z-old-profile-000000")
    damaged.mkdir()
    (damaged / "profile.json").write_text("{")
    first, second, third = slotbench("list", "--runs").stdout.splitlines()
    assert first.split()[:4] == [profile.name, "profile", "quickstart", "complete"]
    assert second.split()[:2] == [run.name, "run"]
    assert third.split()[:3] == [damaged.name, "profile", "damaged"]
    found = json.loads(slotbench("list", "--runs", "--json").stdout)
    assert [one["kind"] for one in found] == ["profile", "run", "profile"]
    assert [one["run"] for one in found] == [profile.name, run.name, damaged.name]
    assert found[0].keys() == {"run", "kind", "scenario", "status", "trials", "problem"}


def test_plots_of_profiles_are_told_from_those_of_runs(slotbench: Any) -> None:
    """In words, and for machines by a key."""
    lines = slotbench("list").stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("  phases ")]
    assert "  of a profile: Mean time of each phase" in line
    of = {
        one["name"]: one["of"]
        for one in json.loads(slotbench("list", "--json").stdout)["plots"]
    }
    assert {name for name, kind in of.items() if kind == "profile"} == {"phases"}


def test_no_runs_is_no_error(slotbench: Any) -> None:
    """An empty place is said to be so; for machines it is an empty list."""
    assert slotbench("list", "--runs").stdout == "no runs in results\n"
    assert json.loads(slotbench("list", "--runs", "--json").stdout) == []


def test_list_loads_no_torch() -> None:
    """Listing imports no torch, tensordict, torchrl, pandas or matplotlib."""
    heavy = {"torch", "tensordict", "torchrl", "pandas", "matplotlib"}
    code = (
        "import sys\n"
        "from slotbench.cli import main\n"
        "try:\n"
        "    main(['list'])\n"
        "finally:\n"
        f"    print({heavy!r} & set(sys.modules), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stderr == "set()\n"


def test_a_run_that_was_killed_is_told_from_one_that_goes_on(
    slotbench: Any, record: Any
) -> None:
    """Both say "running" in their record; somebody holds the one that does."""
    path = record(status="running")
    assert json.loads(slotbench("list", "--runs", "--json").stdout)[0]["status"] == "killed"
    assert "· killed ·" in slotbench("show").stdout
    shown = slotbench("compare").stdout
    assert "The run was killed" in shown
    assert "· killed ·" in shown
    with RunFolder(path):
        (run,) = json.loads(slotbench("list", "--runs", "--json").stdout)
        assert run["status"] == "running"
        assert "is being measured" in slotbench("show").stderr
