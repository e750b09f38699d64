"""A recommendation in words and tables: each sentence is said where it is true."""

import json
from dataclasses import replace
from typing import Any

import pytest

from slotbench.draw import recommendation as drawn
from slotbench.draw.screen import Screen
from slotbench.errors import SlotbenchError
from slotbench.records import Recommendation, ThinkTime
from tests.slotbench.support.recommendations import RACE, choice, raced, recommendation


def said(**changes: Any) -> str:
    return " ".join(drawn.sentences(recommendation(**changes)))


def test_it_opens_with_what_to_use() -> None:
    """Contender, sizes, timeout; then what to expect, with its ends."""
    first, second, *_ = drawn.sentences(recommendation())
    assert first == (
        "For 8 environments use slot with min_batch_size=4, max_batch_size=8 and a timeout of 10 ms."
    )
    assert "about 1 000 requests/s (800 to 1 200)" in second
    assert "nothing was raced" in second


def test_without_a_minimum_no_timeout_is_named() -> None:
    """It would do nothing; and a maximum is never above the environments there are."""
    rule = replace(
        recommendation().choices[0].batching, min_batch_size=1, max_batch_size=64
    )
    assert "use slot with min_batch_size=1 and max_batch_size=8." in said(
        choices=(choice("slot", 1000.0, batching=rule),)
    )


def test_the_bound_stands_beside_what_limits() -> None:
    """Where nothing takes time there is none."""
    assert "exceed 1 250 requests/s; this is 80 % of it" in said()
    assert "Nothing else takes any time." in said(bound_per_s=None)


def test_others_are_told_apart_beyond_delta_alone() -> None:
    """Forecasts by their ratio; where all are near, the transport does not matter."""
    assert "torchrl.slot 0.80×; as good: threading." in said()
    near = recommendation().choices[:2]
    assert "By forecast the transport does not matter here" in said(choices=near)


def test_raced_others_are_told_apart_by_their_intervals() -> None:
    """A ratio of 0.9 whose interval holds 1 is no difference."""
    choices = (
        choice("slot", 1000.0, raced=raced(1000.0)),
        choice("threading", 990.0, raced=raced(900.0, 0.9, spread=0.2)),
        choice("torchrl.slot", 800.0, raced=raced(800.0, 0.8)),
    )
    text = said(choices=choices, run="results/x")
    assert "torchrl.slot 0.80× [0.79, 0.81]." in text
    assert "This race did not tell apart: threading 0.90× [0.72, 1.08]; " in text
    assert "does not matter" not in said(choices=choices[:2], run="results/x", race=RACE)


def with_rival(rounds: int, **changes: Any) -> str:
    rival = replace(raced(890.0, 0.89, spread=0.2), **changes)
    choices = (
        choice("slot", 1000.0, raced=raced(1000.0)),
        choice("torchrl.slot", 800.0, raced=rival),
    )
    race = replace(RACE, num_rounds=rounds, num_disturbed=3, num_repeats=2)
    return said(choices=choices, run="results/x", race=race)


def test_what_a_race_could_not_tell_is_not_said_not_to_matter() -> None:
    """Only where all are equivalent; else what would decide, as far as it is known."""
    one = with_rival(1, over_low=None, over_high=None)
    assert "did not tell apart: torchrl.slot 0.89×; one round gives no interval" in one
    two = with_rival(2, more_rounds=None)
    assert "0.89× [0.71, 1.07]; 2 rounds are too few to say how many it takes" in two
    assert "about 12 more rounds would decide (now 5:" in with_rival(5, more_rounds=12)
    assert "over 1 000 more rounds would not decide" in with_rival(5, more_rounds=None)
    same = with_rival(5, over=1.0, over_low=0.98, over_high=1.02)
    assert "The transport does not matter here" in same
    for text in (one, two):
        assert "does not matter" not in text
    assert "120 trials, 2 blocks measured again; 3 used although the machine" in one


def test_a_race_is_told_beside_its_forecast() -> None:
    """With its interval; and where it is outside of the forecast's, that too."""
    inside = said(choices=(choice("slot", 1000.0, raced=raced(1100.0)),), run="r")
    assert "about 1 100 requests/s, as raced here (1 090 to 1 110)" in inside
    assert "forecast were 1 000 (800 to 1 200)" in inside
    assert "trust the race" not in inside
    outside = said(choices=(choice("slot", 1000.0, raced=raced(1300.0)),), run="r")
    assert "Outside of what the forecast allowed: 1 of 1" in outside


def test_whatever_raced_outside_of_its_forecast_is_said() -> None:
    """Not the recommended choice alone; also where the race is followed."""
    text = said(
        choices=(
            choice("threading", 900.0, raced=raced(1200.0, 1.2)),
            choice("slot", 1000.0, raced=raced(1000.0)),
            choice("torchrl.slot", 800.0, raced=raced(500.0, 0.5)),
            choice("slot[inline]", 800.0),
        ),
        chosen=0,
        forecast=1,
        run="r",
    )
    assert (
        "Outside of what the forecast allowed: 2 of 3 that were raced: threading (4 … 8) 1 200, not "
        "720 to 1 080; torchrl.slot (4 … 8) 500, not 640 to 960. Something"
    ) in text


def test_a_forecast_that_lost_is_said_to_have() -> None:
    """With the ratio that the race shows."""
    text = said(
        choices=(
            choice("threading", 900.0, raced=raced(1200.0, 1.2)),
            choice("slot", 1000.0, raced=raced(1000.0)),
        ),
        chosen=0,
        forecast=1,
        run="r",
    )
    assert "use threading" in text
    assert "The forecast had recommended slot" in text
    assert "1.20× [1.19, 1.21] of it, and is followed" in text


def test_a_race_without_a_number_is_said_to_have_none() -> None:
    """What is expected is then forecast alone."""
    assert "no usable number in the race" in said(run="r")


def test_processes_are_named_where_the_gil_limits() -> None:
    """With what threads can make at most, and what the processors could."""
    times = replace(recommendation().times, think_cpu_s=0.005, think_gil_s=0.005)
    text = said(choices=(choice("slot", 190.0, limit="GIL"),), times=times)
    assert "Environments in processes would be better" in text
    assert "holds the GIL for 5.00 ms a step, so that threads make at most 200" in text
    assert "2 processors could step up to 400" in text
    assert "processes" not in said()


def test_a_limit_on_latency_is_kept_or_said_not_to_be() -> None:
    """As raced where that is known."""
    assert "at most 10.0 ms (forecast); 20.0 ms were asked" in said(max_latency_s=0.020)
    slow = choice("slot", 1000.0, is_fast_enough=False, raced=raced(1000.0))
    text = said(choices=(slow,), max_latency_s=0.001, run="r")
    assert "Nothing tried keeps 99 % of replies within 1.00 ms" in text
    assert "12.3 ms (as raced)" in text


def test_what_needs_something_is_beside() -> None:
    """With what must hold, and what it brings."""
    inline = choice("slot[inline]", 1500.0, needs="it may")
    text = said(choices=(inline, choice("slot", 1000.0)), chosen=1, forecast=1, beside=(0,))
    assert "Where it may: slot[inline] with" in text
    assert "makes 1.50× of that" in text


def test_what_was_assumed_is_said() -> None:
    """Each number with where it is from; what no recorded run covers."""
    text = " ".join(drawn.assumptions(recommendation()))
    assert "5.00 ms on average (always the same); they wait" in text
    assert "2.00 ms a batch, whatever it holds, as given" in text
    assert "1.50× the time of the reference machine's, as timed" in text
    assert "never checked" not in text

    times = replace(recommendation().times, think_origin="assumed", policy_origin="assumed")
    unknown = recommendation(times=times, is_pace_known=False)
    text = " ".join(drawn.assumptions(unknown))
    assert "give --step-ms or --environment" in text
    assert "give --policy-ms or --policy" in text
    assert "leaving out --no-measure times it" in text
    expected = " ".join(drawn.sentences(unknown))
    assert "this machine was not timed: that does not hold where it is faster" in expected
    assert "(paces 1.00× to 2.04×)" in expected
    assert "not timed" not in said()

    many = replace(recommendation().workload, num_slots=5000)
    text = " ".join(drawn.assumptions(recommendation(workload=many, pace=3.0)))
    assert "never checked beyond 256 environments" in text
    assert "at paces of 1.00× to 2.04× alone" in text

    misfit = replace(recommendation().times, misfit_ratio=0.25, policy_origin="measured")
    text = " ".join(drawn.assumptions(recommendation(times=misfit)))
    assert "off by up to 25 %" in text
    assert "timed here" in text


def test_a_row_counts_where_all_of_them_are_a_thousandth_of_a_batch() -> None:
    """What a fit leaves of nothing is not shown; what adds up over the rows is."""

    def policy(row_s: float) -> str:
        times = replace(recommendation().times, row_s=row_s, policy_origin="measured")
        return drawn.assumptions(recommendation(times=times))[1]

    assert "ns a row" not in policy(0.3e-9)
    assert "2.00 ms a batch and 1.00 µs a row, timed here" in policy(1e-6)


def test_a_percentile_that_is_missing_is_explained() -> None:
    """And not where none is."""
    without = replace(raced(1000.0), latency_p99_s=None)
    for one, is_said in ((without, True), (raced(1000.0), False)):
        table = drawn.choices(recommendation(choices=(choice("slot", 1000.0, raced=one),)))
        assert any("p99 n/a" in note for note in table.notes) == is_said


def test_what_the_numbers_are_for_is_said() -> None:
    """The transport in its own server; and how to race it in TorchRL's collector."""
    record = recommendation()
    assert "in its own server (ours: transports.InferenceServer)" in " ".join(
        drawn.assumptions(record)
    )
    assert "slotbench run FILE --contender slot@collector" in drawn.checks(record)[-1]


def test_computing_environments_of_a_race_are_said_to_be_simulated() -> None:
    """Since theirs ends at a time of day."""
    busy = replace(
        recommendation().workload, think_time=ThinkTime("constant", 5.0, 1.0, "busy")
    )
    raced_text = " ".join(drawn.assumptions(recommendation(workload=busy, run="r")))
    assert "until a time of day" in raced_text
    told = " ".join(drawn.assumptions(recommendation(workload=busy)))
    assert "until a time of day" not in told
    assert "they compute and hold the GIL" in told


def shown_rows(record: Recommendation) -> list[str]:
    return [row[0] for row in drawn.choices(record).rows]


def test_the_table_has_every_contender_at_its_best_and_the_chosen_one_throughout() -> None:
    """So that what another rule costs is seen, and the table stays short."""
    one = replace(recommendation().choices[0].batching, min_batch_size=1)
    record = recommendation(
        choices=(
            choice("slot", 1000.0),
            choice("threading", 990.0),
            choice("slot", 900.0, batching=one),
            choice("threading", 700.0, batching=one),
        )
    )
    assert shown_rows(record) == ["slot ◀", "threading", "slot"]
    header = drawn.choices(record).header
    assert "raced" not in header
    with_race = recommendation(
        choices=(choice("slot", 1000.0, raced=raced(1100.0)),), run="r"
    )
    assert "raced" in drawn.choices(with_race).header


@pytest.mark.parametrize("width", [20, 60, 100, 200])
def test_text_is_never_cut(width: int) -> None:
    """Every sentence and number, in any terminal; no line wider than it."""
    record = recommendation(
        notes=("A note of some length that has to be broken somewhere.",)
    )
    text = drawn.show(record, Screen(width=width))
    assert " ".join(drawn.sentences(record)) in " ".join(text.split())
    if width >= 60:
        assert max(map(len, text.splitlines())) <= width


def test_the_longest_names_stand_in_columns() -> None:
    """In a terminal of 100, also with a race."""
    long = "torchrl.threading[collate=lazy_stack]"
    slow = choice(long, 12_345.0, raced=raced(12_345.0, 0.5))
    record = recommendation(
        choices=(choice("slot", 24_690.0, raced=raced(24_690.0)), slow), run="r"
    )
    [line] = [x for x in drawn.show(record).splitlines() if x.startswith(f"{long}  ")]
    assert "0.50× [0.49, 0.51]" in line


def test_formats() -> None:
    """Markdown and HTML say the same; JSON is the record; an unknown one is said in a line."""
    record = recommendation()
    markdown = drawn.render(record, "md")
    assert markdown.startswith("**For 8 environments use slot with min\\_batch\\_size=4")
    assert "| `slot ◀` | 4 … 8 | 1 000 [800, 1 200] |" in markdown
    assert "<strong>For 8 environments" in drawn.fragment(record)
    assert json.loads(drawn.render(record, "json"))["schema_version"] == 2
    assert drawn.render(record, "text") == drawn.show(record)
    for ask in (drawn.check_format, lambda name: drawn.render(record, name)):
        with pytest.raises(SlotbenchError, match="unknown format 'jsn': did you mean json"):
            ask("jsn")
