"""``slotbench show``: every trial, and what the rules said of it; or what a profile found."""

import json
from typing import Any

import pytest

from slotbench.compute.validity import RULES
from slotbench.records import Finding
from tests.slotbench.support import grids

STEAL = Finding("steal", "DISTURBED", "the hypervisor gave 20% of …", "run when quieter")
SHORT = Finding("short_window", "warning", "400 replies, 500 were asked for", "raise it")


def test_every_trial_is_shown_with_what_was_said_of_it(
    slotbench: Any, record: Any, make_trials: Any, make_trial: Any
) -> None:
    """Valid, warned of, disturbed, replaced, INVALID and failed trials are told apart."""
    trials = make_trials({"threading": [1000.0] * 3, "slot": [1200.0] * 3})
    trials[1] = make_trial("threading", 1000.0, round=1, findings=[SHORT, STEAL])
    trials[3] = make_trial("slot", 1000.0, round=0, invalid="lost_reply")
    trials[4] = make_trial("slot", None, round=1)
    again = make_trials({"threading": [1500.0], "slot": [1600.0]}, repeat=[1500.0])
    again = [make_trial(t.contender, 1500.0, round=0, attempt=1, arm=t.arm) for t in again]
    record([*trials, *again])
    shown = slotbench("show")

    assert (shown.code, shown.stderr) == (0, "")
    assert "12 trials: 9 valid, 1 DISTURBED, 1 INVALID, 1 failed" in shown.stdout
    text = " ".join(shown.stdout.split())
    assert "steal DISTURBED 1" in text
    assert "short_window warning 1" in text
    assert "measured again" in text
    assert "failed: hung" in text


def test_options_of_contenders_are_shown(
    slotbench: Any, record: Any, make_trials: Any
) -> None:
    """Brackets are no markup."""
    rates = {"threading": [1000.0], "slot[preallocate]": [1200.0]}
    record(make_trials(rates), labels=[*rates])
    assert "slot[preallocate]" in "".join(slotbench("show").stdout.split())


def test_problems_leaves_out_the_valid(
    slotbench: Any, record: Any, make_trials: Any, make_trial: Any
) -> None:
    """One trial of six was warned of: it alone is listed."""
    trials = make_trials({"threading": [1000.0] * 2, "slot": [1200.0] * 2})
    trials[3] = make_trial("slot", 1000.0, round=1, findings=[SHORT])
    record(trials)
    shown = slotbench("show", "--problems").stdout

    assert shown.count("short_window") == 2  # in the table of rules, and of trials
    assert "6 trials: 5 valid, 1 valid with a warning" in shown
    assert shown.count("(again)") == 0
    assert slotbench("show").stdout.count("(again)") == 2


def test_all_of_one_trial(
    slotbench: Any, record: Any, make_trials: Any, make_trial: Any
) -> None:
    """Every field with its name, the findings with remedies, the stacks as they are."""
    trials = make_trials({"threading": [1000.0], "slot": [1200.0]}, repeat=[1000.0])
    trials[1] = make_trial("slot", 1000.0, findings=[SHORT])
    record(trials)
    shown = slotbench("show", "--trial", trials[1].trial_id).stdout

    assert "warning short_window: 400 replies, 500 were asked for → raise it" in shown
    assert "num_replies" in shown
    assert "4: 250" in shown  # batches of four
    assert "steal_s" in shown


def test_an_unknown_trial_is_one_line(slotbench: Any, record: Any) -> None:
    """With names that are like those of the run."""
    record()
    shown = slotbench("show", "--trial", "r9")
    assert (shown.code, shown.stdout) == (2, "")
    assert shown.stderr.startswith("slotbench: error: no trial 'r9' in 20250102T030405")
    assert shown.stderr.count("\n") == 1


def test_json_has_the_table_and_every_trial(
    slotbench: Any, record: Any, make_trials: Any, make_trial: Any
) -> None:
    """For programs: no styling, all rules, all findings."""
    trials = make_trials({"threading": [1000.0], "slot": [1200.0]}, repeat=[1000.0])
    trials[1] = make_trial("slot", None)
    record(trials)
    document = json.loads(slotbench("show", "--json").stdout)

    assert [rule["name"] for rule in document["rules"]] == [rule.name for rule in RULES]
    assert [t["status"] for t in document["trials"]] == ["ok", "failed", "ok"]
    assert document["trials"][0]["throughput"] == 1000.0
    assert document["trials"][1]["throughput"] is None
    assert all(t["is_counted"] for t in document["trials"])


def test_the_rules_need_no_run(slotbench: Any) -> None:
    """Each with what it takes, why and what to do."""
    shown = slotbench("show", "--rules")
    assert shown.code == 0
    for rule in RULES:
        assert f"{rule.name}: {rule.severity}" in shown.stdout


def test_an_interrupted_run_says_so(slotbench: Any, record: Any) -> None:
    """On stderr, with the way to go on."""
    path = record(status="interrupted")
    shown = slotbench("show")
    assert shown.code == 0
    assert (
        f"was interrupted; 9 trials recorded, 9 planned: go on with 'slotbench run --resume results/{path.name}'"
        in shown.stderr
    )


def test_a_profile_is_shown_by_the_same_command(
    slotbench: Any, record_profile: Any
) -> None:
    """The newest of both kinds, an id's end, or a folder."""
    path = record_profile()
    for arguments in ((), ("abc123",), (path,), (path / "profile.json",)):
        shown = slotbench("show", *arguments)
        assert (shown.code, shown.stderr) == (0, "")
        assert (
            shown.stdout.count("slot answers in 780 µs where threading takes 2.16 ms") == 2
        )


def test_the_newest_is_the_newest_of_both(
    slotbench: Any, record: Any, record_profile: Any, make_run: Any
) -> None:
    """A run of 2025, a profile of 2026."""
    record()
    assert "9 trials: 9 valid" in slotbench("show").stdout
    record_profile()
    assert "profile 20261128T000000Z" in slotbench("show").stdout


def test_cells_and_contenders_of_a_profile_are_chosen(
    slotbench: Any, record_profile: Any
) -> None:
    """By name; as text and as JSON."""
    record_profile()
    cell = grids.cell(16, 1.0).name
    options = ("--cell", cell, "--between", "slot", "floor")
    shown = slotbench("show", *options)
    assert shown.stdout.count("floor answers in 333 µs where slot takes 780 µs") == 1
    assert grids.cell(16).name not in shown.stdout
    (found,) = json.loads(slotbench("show", *options, "--json").stdout)["cells"]
    assert (found["name"], found["difference"]["first"]) == (cell, "slot")
    assert "percentiles" not in shown.stdout
    assert "percentiles" in slotbench("show", *options, "--full").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["profile-abc123", "--trial", "x"], "--trial is for a run, and 20261128T000000Z-"),
        (
            ["profile-abc123", "--problems"],
            "--problems is for a run, and 20261128T000000Z-",
        ),
        (
            ["20250102", "--between", "slot", "floor"],
            "--between is for a profile, and 2025",
        ),
        (["20250102", "--cell", "x"], "--cell is for a profile, and 20250102T030405-"),
        (["20250102", "--full", "--json"], "--full is for a profile, and 20250102T030405-"),
        (["--cell", "x"], "no cell 'x' in this profile: it has 'num_slots=16, model."),
        (["--cell", "x", "--json"], "no cell 'x' in this profile: it has 'num_slots=16"),
        (
            ["--between", "slot", "x"],
            "no contender 'x' in this profile: it has threading, ",
        ),
        (["--between", "slot", "slot"], "nothing lies between 'slot' and itself"),
        (["nope"], "no run, profile or SLO search 'nope' in results"),
    ],
)
def test_what_a_profile_or_run_has_not_is_one_line(
    arguments: list[str], message: str, slotbench: Any, record: Any, record_profile: Any
) -> None:
    """An option of the other kind, a cell or contender that is not there."""
    record()
    record_profile()
    shown = slotbench("show", *arguments)
    assert (shown.code, shown.stdout) == (2, "")
    assert shown.stderr.startswith(f"slotbench: error: {message}")
    assert shown.stderr.count("\n") == 1


def test_an_interrupted_profile_says_so(slotbench: Any, record_profile: Any) -> None:
    """On stderr; what there is, is shown."""
    record_profile(status="interrupted", num_trials=200)
    shown = slotbench("show")
    assert shown.code == 0
    assert "was interrupted; 120 trials recorded, 200 planned" in shown.stderr
    assert "· interrupted ·" in shown.stdout
