"""``slotbench check`` in text, Markdown and JSON."""

import json
from dataclasses import replace
from typing import Any

import pytest

from slotbench.draw import findings
from slotbench.draw.screen import PAPER, Screen
from slotbench.errors import SlotbenchError
from slotbench.records import CheckedContender, CheckFinding, CheckPlan, Conformance

PLANS = (
    CheckPlan("replies-match", 1, "Every actor gets its own reply."),
    CheckPlan("slot-reused", 6, "A closed client's slot is given out again."),
)


def finding(plan: CheckPlan, outcome: Any, reason: str = "", stacks: str = "") -> Any:
    return CheckFinding(plan.name, plan.guarantee, outcome, reason, 0.25, stacks)


def conformance(*labels: str) -> Conformance:
    """What was found of contenders: the first keeps everything, the others nothing."""
    kept = (finding(PLANS[0], "pass"), finding(PLANS[1], "n/a", "it has no close"))
    broken = (
        finding(PLANS[0], "fail", "expected 1, got [2] | 'a_b'"),
        finding(PLANS[1], "fail", "hung", "the stacks"),
    )
    made = tuple(
        CheckedContender(label, broken if i else kept) for i, label in enumerate(labels)
    )
    guarantees = {1: "None is lost.", 6: "A slot is reusable."}
    return Conformance(
        1, "2025-01-02T03:04:05+00:00", {"cpu_count": 2}, guarantees, PLANS, made
    )


def test_text_has_a_row_a_check_and_a_column_a_contender() -> None:
    """Counts and broken guarantees first, checks under their guarantee's sentence, reasons last."""
    assert findings.render(conformance("slot", "mine:f[x]")) == (
        "slot: 1 pass, 0 fail, 1 n/a\n"
        "mine:f[x]: 0 pass, 2 fail (guarantees 1, 6), 0 n/a\n"
        "\n"
        "                  slot  mine:f[x]\n"
        "1. None is lost.\n"
        "   replies-match  pass  FAIL\n"
        "6. A slot is reusable.\n"
        "   slot-reused    n/a   FAIL\n"
        "\n"
        "slot n/a:\n"
        "   it has no close: slot-reused\n"
        "\n"
        "mine:f[x] fails:\n"
        "   replies-match: expected 1, got [2] | 'a_b'\n"
        "   slot-reused: hung\n"
    )


def test_text_that_is_too_wide_names_its_columns_above() -> None:
    """No line of the table exceeds the screen; each short name is explained."""
    text = findings.render(conformance("a" * 30, "b" * 30), "text", Screen(width=60))
    table = text.split("\n\n")[1].splitlines() + text.split("\n\n")[2].splitlines()

    assert f"c1 = {'a' * 30}" in table
    assert f"c2 = {'b' * 30}" in table
    assert "   replies-match  pass  FAIL" in table
    assert max(map(len, table)) <= 60


def test_checks_that_were_not_made_are_dashes() -> None:
    """And counted, in each contender that lacks some; in text and Markdown alike."""
    found = conformance("slot", "mine", "other")
    slot, mine, other = found.contenders
    mine = replace(mine, findings=mine.findings[:1])
    found = replace(found, contenders=(slot, mine, replace(other, findings=())))

    text = findings.render(found)
    assert "slot: 1 pass, 0 fail, 1 n/a\n" in text
    assert "mine: 0 pass, 1 fail (guarantee 1), 0 n/a, 1 not made\n" in text
    assert "other: 0 pass, 0 fail, 0 n/a, 2 not made\n" in text
    assert "   replies-match  pass  FAIL  -\n" in text
    assert "   slot-reused    n/a   -     -\n" in text
    assert "| `slot-reused` | n/a | - | - |\n" in findings.render(found, "md")


def test_sentences_are_wrapped_under_themselves() -> None:
    """Promises in a column beside the names while that is wide enough, else below."""
    found = conformance()
    found = replace(found, guarantees={1: "None is lost, doubled or swapped.", 6: "Short."})

    assert findings.render(found, "text", Screen(width=42)) == (
        "1. None is lost, doubled or swapped.\n"
        "   replies-match  Every actor gets its own\n"
        "                  reply.\n"
        "6. Short.\n"
        "   slot-reused    A closed client's slot\n"
        "                  is given out again.\n"
    )
    assert findings.render(found, "text", Screen(width=34)) == (
        "1. None is lost, doubled or\n"
        "   swapped.\n"
        "   replies-match\n"
        "      Every actor gets its own\n"
        "      reply.\n"
        "6. Short.\n"
        "   slot-reused\n"
        "      A closed client's slot is\n"
        "      given out again.\n"
    )
    made = replace(found, contenders=conformance("slot").contenders)
    assert "1. None is lost, doubled or\n   swapped.\n   replies-match  pass\n" in (
        findings.render(made, "text", Screen(width=34))
    )


def test_a_reason_is_one_line_on_any_screen() -> None:
    """It can be searched and copied."""
    found = conformance("slot", "mine")
    long = finding(PLANS[0], "fail", "expected what it was, " * 20 + "got another")
    found = replace(
        found, contenders=(CheckedContender("mine", (long, finding(PLANS[1], "pass"))),)
    )
    text = findings.render(found, "text", Screen(width=24))

    assert f"   replies-match: {long.reason}\n" in text


def test_colours_are_for_screens_that_have_them() -> None:
    """The words are the same without."""
    coloured = findings.render(conformance("slot", "mine"), "text", Screen(color=True))

    assert "\x1b[31mFAIL" in coloured
    assert "\x1b" not in findings.render(conformance("slot", "mine"), "text", PAPER)


def test_markdown_shows_labels_and_reasons_as_they_are() -> None:
    """A bar in a label ends no cell; signs of Markdown in a reason are escaped."""
    assert findings.render(conformance("slot", 'm:f[x="a|b"]'), "md") == (
        '| check | `slot` | `m:f[x="a\\|b"]` |\n'
        "| --- | --- | --- |\n"
        "| **1. None is lost.** |  |  |\n"
        "| `replies-match` | pass | **FAIL** |\n"
        "| **6. A slot is reusable.** |  |  |\n"
        "| `slot-reused` | n/a | **FAIL** |\n"
        "\n"
        "`slot` n/a:\n"
        "\n"
        "- it has no close: `slot-reused`\n"
        "\n"
        '`m:f[x="a|b"]` fails:\n'
        "\n"
        "- `replies-match`: expected 1, got \\[2\\] \\| 'a\\_b'\n"
        "- `slot-reused`: hung\n"
    )


def test_checks_that_do_not_apply_share_the_line_of_their_reason() -> None:
    """Below the failures, in the order in which the reasons first came up; in both formats."""
    names = ["lost", "a", "b", "c", "fine"]
    plans = [CheckPlan(name, 1, "p") for name in names]
    found = CheckedContender(
        "mine",
        (
            finding(plans[0], "fail", "hung"),
            finding(plans[1], "n/a", "x_y has no submit()"),
            finding(plans[2], "n/a", "it has no size"),
            finding(plans[3], "n/a", "x_y has no submit()"),
            finding(plans[4], "pass"),
        ),
    )
    whole = replace(conformance(), checks=tuple(plans), contenders=(found,))

    assert findings.render(whole).partition("mine fails:\n")[2] == (
        "   lost: hung\n\nmine n/a:\n   x_y has no submit(): a, c\n   it has no size: b\n"
    )
    assert findings.render(whole, "md").partition("`mine` n/a:\n\n")[2] == (
        "- x\\_y has no submit(): `a`, `c`\n- it has no size: `b`\n"
    )


def test_json_has_everything() -> None:
    """Reasons of n/a too; stacks where there are any."""
    document = json.loads(findings.render(conformance("slot", "mine"), "json"))

    assert document["schema"] == "slotbench.conformance"
    assert document["schema_version"] == 1
    assert document["environment"] == {"cpu_count": 2}
    assert document["guarantees"] == {"1": "None is lost.", "6": "A slot is reusable."}
    assert document["checks"][1]["promise"] == PLANS[1].promise
    ours, mine = document["contenders"]
    assert (ours["label"], mine["label"]) == ("slot", "mine")
    assert ours["findings"][1] == {
        "check": "slot-reused",
        "guarantee": 6,
        "outcome": "n/a",
        "reason": "it has no close",
        "duration_s": 0.25,
    }
    assert mine["findings"][1]["stacks"] == "the stacks"


def test_without_contenders_the_promises_are_shown() -> None:
    """In text and Markdown alike."""
    assert findings.render(conformance()) == (
        "1. None is lost.\n"
        "   replies-match  Every actor gets its own reply.\n"
        "6. A slot is reusable.\n"
        "   slot-reused    A closed client's slot is given out again.\n"
    )
    assert "| `replies-match` | Every actor gets its own reply. |" in findings.render(
        conformance(), "md"
    )


@pytest.mark.parametrize(
    ("name", "near"), [("jsn", "did you mean json"), ("csv", "use text")]
)
def test_an_unknown_format_is_an_error_that_helps(name: str, near: str) -> None:
    """The nearest is offered."""
    with pytest.raises(SlotbenchError, match=f"^unknown format '{name}': {near}"):
        findings.check_format(name)
