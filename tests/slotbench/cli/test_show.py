"""``slotbench show``: every trial, and what the rules said of it."""

import json
from typing import Any

from slotbench.compute.validity import RULES
from slotbench.records import Finding

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
