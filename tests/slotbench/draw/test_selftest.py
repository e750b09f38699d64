"""Tables of a self-test show the rates of its counts, and failures are lines of their own."""

import json
from typing import get_args

from slotbench.draw import selftest as drawn
from slotbench.records import SequentialCount, SequentialMethod
from tests.slotbench.support import selftests


def row(name: str) -> dict[str, str]:
    """The first row of a table, by its header."""
    table = drawn.tables(selftests.record())[name]
    return dict(zip(table.header, table.rows[0], strict=True))


def test_false_alarms_are_claims_in_both_directions() -> None:
    """100, 98, 165 and 180 of 2 000; who did not judge has n/a."""
    assert row("alarms") == {
        "noise": "between 1 %",
        "rounds": "5",
        "slotbench": "5.0 %",
        "pyperf, slices": "8.2 %",
        "pyperf, trials": "n/a",
        "Mann-Whitney": "n/a",
        "bootstrap": "9.0 %",
        "slotbench, p99 latency": "4.9 %",
    }


def test_found_is_what_was_claimed_in_the_right_direction() -> None:
    """Less throughput and more latency: 1 598 and 1 000 of 2 000."""
    found = row("found")
    assert (found["slotbench"], found["slotbench, p99 latency"]) == ("79.9 %", "50.0 %")


def test_coverage_is_that_of_the_worst_effect() -> None:
    """1 880 of 2 000 and not 1 900."""
    found = row("coverage")
    assert (found["slotbench"], found["bootstrap"]) == ("94.0 %", "91.0 %")
    assert found["slotbench, p99 latency"] == "95.1 %"


def test_power_stands_beside_its_prediction() -> None:
    """What was seen, and what theory says in brackets."""
    assert row("power")["3 %"] == "79.9 % (80.0 %)"


def test_verdicts_are_shares_and_wrong_ones_are_counted() -> None:
    """1 500, 1 and 1 400 of 2 000; two slowdowns were called faster."""
    found = row("verdicts")
    assert found["0 %: equivalent"] == "75.0 %"
    assert found["0 %: gate fails"] == "0.1 %"
    assert found["3 %: slower"] == "70.0 %"
    assert found["10 %: gate fails"] == "n/a"
    assert found["slowdowns called faster"] == "2"


def test_the_machine_shows_what_was_planted() -> None:
    """And how many A/A intervals exclude 1; without real runs there is no such table."""
    assert row("machine") == {
        "cell": "c0",
        "planted": "5 %",
        "true ratio": "0.952×",
        "seen": "0.950×",
        "95 % interval": "[0.940, 0.960]",
        "verdict": "slower",
    }
    assert "A/A: 1 of 2 intervals exclude 1" in drawn.render(selftests.record())
    assert "machine" not in drawn.tables(selftests.record(machine=None))


def test_a_criterion_that_fails_has_a_line_of_its_own() -> None:
    """What, how many of how many, what is allowed, and where; the text ends with it."""
    expected = "FAILED false alarms: 200 of 2 000, allowed 140 or fewer (there)"
    assert drawn.failures(selftests.record()) == [expected]
    assert drawn.render(selftests.record()).splitlines()[-1] == expected
    assert drawn.opening(selftests.record()).startswith("1 of 2 criteria hold: 1 setting")


def test_markdown_has_the_tables_asked_for() -> None:
    """Each with as many cells in every line; all of them where none is named."""
    text = drawn.markdown(selftests.record(), "alarms")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 3
    assert len({line.count("|") for line in lines}) == 1
    whole = drawn.markdown(selftests.record())
    assert whole.count("### ") == len(drawn.tables(selftests.record()))


def test_json_says_whether_each_criterion_holds() -> None:
    """Beside the record itself."""
    document = json.loads(drawn.as_json(selftests.record()))
    assert document["schema"] == "slotbench.selftest"
    assert [one["holds"] for one in document["criteria"]] == [True, False]
    assert document["settings"][0]["counts"][0]["num_lower"] == 60


def test_runs_until_decided_stand_beside_those_that_peek() -> None:
    """Both directions are alarms; a record of before there were such runs has no such table."""

    def counted(method: SequentialMethod, metric: str, effect: float) -> SequentialCount:
        alarms = 40 if method == "slotbench" else 130
        return SequentialCount(
            *("a noise", "noisy", True, (5, 7, 10), method, metric, effect),
            num_comparisons=1000,
            num_lower=900 if effect else alarms - 10,
            num_higher=0 if effect else 10,
            num_covered=960 if effect else 1000 - alarms,
            num_decided=950,
            num_rounds=6500,
        )

    sequential = tuple(
        counted(method, metric, effect)
        for method in get_args(SequentialMethod)
        for metric in ("throughput", "latency_p99")
        for effect in (0.0, 0.03)
    )
    table = drawn.tables(selftests.record(sequential=sequential))["until decided"]
    assert table.rows == (
        ("a noise", "5, 7, 10", "4.0 %", "13.0 %", "4.0 %", "96.0 %", "90.0 %", "6.5"),
    )
    assert "until decided" not in drawn.tables(selftests.record())
