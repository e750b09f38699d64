"""What is said of predictions: of what is supposed, and of how good they were."""

import dataclasses
from typing import Any

from slotbench.draw import prediction_check, what_if
from slotbench.records import WhatIf
from tests.slotbench.support.predictions import RUN_ID, check, checked, row
from tests.slotbench.support.predictions import what_if as record


def lines(of: WhatIf) -> list[list[str]]:
    """The cells of the table."""
    return [list(cells) for cells in what_if.table(of).rows]


def test_the_first_sentence_says_what_to_choose() -> None:
    """With whom, how many servers, which batches, how far from the bound, and what limits."""
    slot = row(transport="slot", low=900.0, high=1100.0, min_batch_size=8, num_servers=2)
    text = what_if.sentences(record(slot))[0]
    assert text.startswith(
        "64 environments: 1 000 requests/s (900 to 1 100), 15.6 each, with slot, "
    )
    assert (
        "2 servers of one queue, batches of 8 to 64 and a timeout of 10 ms; 50 % of" in text
    )
    assert text.endswith("the policy: its servers are busy most of the time.")
    alone = what_if.sentences(record())[0]
    assert "a transport that costs nothing, one server, batches of 1 to 64; 50 %" in alone


def test_a_policy_may_limit_with_idle_servers() -> None:
    """Where there are more than the actors keep busy; and one environment is one."""
    text = what_if.sentences(record(row(num_envs=1, num_servers=16, busy_ratio=0.05)))[0]
    assert text.startswith("1 environment: ")
    assert text.endswith("the policy: a reply takes no less, however idle its servers are.")


def test_a_timeout_that_ends_nothing_is_not_shown() -> None:
    """Of a minimum of 1."""
    rows = (row(), row(min_batch_size=8))
    shown = lines(record(*rows, axes=("min_batch_size", "timeout_ms")))
    assert [x[:2] for x in shown] == [["1", "n/a"], ["8", "10"]]


def test_what_was_given_several_values_has_a_column() -> None:
    """And nothing else has; the best is marked, a tail that is too long, too."""
    rows = (row(), row(num_servers=4, is_fast_enough=False))
    shown = record(*rows, axes=("num_servers",), max_latency_s=0.04)
    assert what_if.table(shown).header[:2] == ("servers", "requests/s")
    assert "timeouts" not in what_if.table(shown).header
    first, second = lines(shown)
    assert (first[:2], second[:2]) == (["1", "1 000 ◀"], ["4", "1 000"])
    assert (first[5], second[5]) == ("45.0 ms", "45.0 ms !")
    late = record(row(timeout_ratio=0.25))
    assert "timeouts" in what_if.table(late).header
    assert "25 %" in lines(late)[0]


def test_a_balanced_minimum_is_named_and_shown_where_it_differs() -> None:
    """n* is another number for other environments."""
    rows = tuple(row(num_envs=n, min_batch_size=n // 2, is_balanced=True) for n in (32, 64))
    assert [x[1] for x in lines(record(*rows, axes=("num_envs",)))] == [
        "16 = n*",
        "32 = n*",
    ]


def test_what_all_rows_share_is_listed() -> None:
    """Steps, policy, batches, processors; what has a column is not there."""
    text = what_if.show(record(row(reset_every=100, reset_ms=50.0)))
    assert "a step takes 5.00 ms on average (lognormal, sigma 0.300)" in text
    assert "every 100 steps a reset of 50.0 ms" in text
    assert "processors: as many as wanted" in text
    more = what_if.show(record(row(), row(step_ms=9.0), axes=("step_ms",), num_cpus=3))
    assert "a step takes" not in more
    assert "processors: 3" in more


def test_where_nothing_is_fast_enough_it_is_said() -> None:
    """How often, and that the nearest is marked."""
    slow = record(row(is_fast_enough=False), max_latency_s=0.04)
    text = " ".join(what_if.sentences(slow))
    assert "Nothing tried keeps 99 % of replies within 40.0 ms in 1 of 1 situation" in text


def test_formats_hold_the_same_numbers() -> None:
    """Markdown and HTML escape what they must."""
    shown = record(row(transport="torchrl.slot[collate=lazy_stack]"))
    assert "torchrl.slot\\[collate=lazy\\_stack\\]" in what_if.render(shown, "md")
    assert "&lt;" not in what_if.fragment(shown)
    assert "<td" in what_if.fragment(shown)
    assert what_if.render(shown, "csv").count("\n") == 2


def said(*rows: Any, **changes: Any) -> str:
    return " ".join(prediction_check.sentences(check(*rows, **changes)))


def test_a_check_counts_who_was_right_and_which_way_others_were_off() -> None:
    """Within a factor of 1.2; the worst with its numbers."""
    text = said(
        checked(1.1), checked(0.84), checked(1.5), checked(0.5, contender="threading")
    )
    assert text.startswith(
        "Of 4 measured throughputs, in 1 run, 50.0 % were predicted within 20 %, 1 "
        "higher than that and 1 lower."
    )
    assert (
        "The worst is threading in small, all: predicted 50.0/s, measured 100/s (0.50×)."
        in text
    )
    assert "not predicted" not in text


def test_what_was_left_out_is_counted() -> None:
    """Contenders without a fitted cost."""
    (run,) = check().runs
    assert "3 more, of contenders" in said(runs=(dataclasses.replace(run, num_left_out=3),))


def test_tables_group_by_run_by_regime_and_by_actors() -> None:
    """Each with how many, how many were right, the median, the worst; what is missing is n/a."""
    shown = check(checked(1.0), checked(2.0, num_slots=256, regime="transport"))
    (run,) = prediction_check.by_run(shown).rows
    assert run == (
        *("small", "1.00×", "never in", "2", "50.0 %", "1.50×", "2.00×"),
        *("0.80×", "0.50×", "n/a"),
    )
    assert [x[1:3] for x in prediction_check.by_regime(shown).rows] == [
        ("1", "0.0 %"),
        ("1", "100.0 %"),
    ]
    assert [x[0] for x in prediction_check.by_actors(shown).rows] == ["8", "256"]


def test_a_reports_table_has_both_numbers() -> None:
    """Predicted, measured, their ratio with its interval; how many were right below."""
    (table,) = prediction_check.tables((checked(1.5), checked(1.0, is_calibrated=False)))
    assert table.rows[0] == (
        *("slot", "150/s", "100/s", "1.50× [1.35, 1.65]"),
        *("4.00 / 5.00", "1.00 ms / 2.00 ms", "3.00 ms / n/a"),
    )
    assert table.notes[0] == "within 20 %: 1 of 2 contenders"
    assert RUN_ID not in table.name
