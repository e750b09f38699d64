"""The opening says what the verdicts say, and nothing else."""

from typing import Any

import pytest

from slotbench.compute import between
from slotbench.compute.comparison import compare
from slotbench.draw import cell_table
from slotbench.draw.opening import opening
from slotbench.records import Finding

BASE = [1000.0, 1001.0, 999.0, 1000.5, 999.5]
NOISY = [800.0, 1300.0, 900.0, 1200.0, 1000.0]


def times(factor: float) -> list[float]:
    """A contender that is that much faster in every round."""
    return [factor * value for value in BASE]


def test_it_says_who_wins_where(make_run: Any, make_trials: Any) -> None:
    """Cells are counted by verdict, with the range of the ratios that were decided."""
    run = make_run(
        ["threading", "slot", "slot[preallocate]", "floor"], slots=(1, 8, 32, 64)
    )
    cells = [cell.name for cell in run.scenario.cells]
    trials = []
    for cell, fast, slow in zip(
        cells,
        [times(1.21), times(1.5), times(1.84), times(1.0)],
        [times(0.71), times(0.83), NOISY, NOISY],
        strict=True,
    ):
        trials += make_trials(
            {
                "threading": BASE,
                "slot": fast,
                "slot[preallocate]": slow,
                "floor": times(3.1 if cell == cells[0] else 7.2),
            },
            cells=[cell],
        )
    assert opening(compare(run, trials)) == (
        "Against threading, over 4 cells: slot serves more requests in 3 of 4 "
        "(1.21× to 1.84×) and is equivalent in 1 (within ±3 %); slot[preallocate] serves "
        "fewer requests in 2 of 4 (0.71× to 0.83×) and is undecided in 2. The floor (no "
        "payload) stands at 3.10× to 7.20×."
    )


def test_one_cell_needs_no_counting(make_run: Any, make_trials: Any) -> None:
    """With one cell there is no "1 of 1"."""
    found = compare(make_run(), make_trials({"threading": BASE, "slot": times(1.5)}))
    assert opening(found) == (
        "Against threading, in the one cell: slot serves more requests (1.50×)."
    )


def test_nothing_decided_claims_nothing(make_run: Any, make_trials: Any) -> None:
    """No range and no direction, only how far off a decision may be."""
    found = compare(make_run(), make_trials({"threading": BASE, "slot": NOISY}))
    text = opening(found)
    assert text.startswith(
        "Against threading, in the one cell: no difference in throughput is decided; the "
        "nearest would take about "
    )
    assert text.endswith(" more rounds.")
    assert "×" not in text


def test_one_round_asks_for_more(make_run: Any, make_trials: Any) -> None:
    """A factor of two in a single round is no verdict."""
    found = compare(make_run(rounds=1), make_trials({"threading": [1e3], "slot": [2e3]}))
    assert opening(found) == (
        "Nothing is decided: one round gives no interval; run with --rounds 5 or more."
    )


def test_everything_invalid_is_said_first(make_run: Any, make_trial: Any) -> None:
    """No ratio is told of trials that are all INVALID."""
    trials = [
        make_trial(who, 1e3, round=number, invalid="reply_lost")
        for who in ("threading", "slot")
        for number in range(5)
    ]
    assert opening(compare(make_run(), trials)) == (
        "Every trial is INVALID: there is no number here to use. Left out: 10 INVALID of "
        "10 trials."
    )


def test_an_invalid_contender_is_not_a_loser(
    make_run: Any, make_trials: Any, make_trial: Any
) -> None:
    """It has no usable pair; nothing is said of its speed."""
    run = make_run(["threading", "slot", "other"])
    trials = make_trials({"threading": BASE, "slot": times(1.5)})
    trials += [make_trial("other", 1.0, round=n, invalid="reply_lost") for n in range(5)]
    assert opening(compare(run, trials)) == (
        "Against threading, in the one cell: slot serves more requests (1.50×); other has "
        "no usable pair. Left out: 5 INVALID of 20 trials."
    )


def test_what_the_machine_disturbed_is_said_where_it_counts(
    make_run: Any, make_trials: Any, make_trial: Any
) -> None:
    """Trials that were measured again are told apart from those that are used all the same."""
    stolen = [Finding("steal", "DISTURBED", "a fifth of it", "wait")]
    trials = make_trials({"threading": BASE, "slot": times(1.5)})
    rates = (
        ("threading", 0, BASE[0]),
        ("slot", 0, 1.5 * BASE[0]),
        ("threading", 1, BASE[0]),
    )
    trials = [trial for trial in trials if trial.round > 0]
    for attempt, findings in ((0, stolen), (1, [])):
        trials += [
            make_trial(who, rate, arm=arm, attempt=attempt, findings=findings)
            for who, arm, rate in rates
        ]
    found = compare(make_run(), trials)
    assert opening(found).endswith("slot serves more requests (1.50×).")
    assert cell_table.remarks(found) == (
        "DISTURBED steal: 3 trials of threading, slot, 3 of them measured again; such as "
        "num_slots=8/0.0/threading#0 (num_slots=8): a fifth of it → wait",
    )
    used = compare(make_run(), [trial for trial in trials if trial.attempt == 0])
    assert opening(used).endswith(
        "(1.50×). Used although the machine disturbed them: 3 trials."
    )


def test_an_invalid_baseline_leaves_nothing_to_compare(
    make_run: Any, make_trials: Any, make_trial: Any
) -> None:
    """Without a usable baseline there is no ratio."""
    trials = [
        t for t in make_trials({"threading": BASE, "slot": BASE}) if t.contender == "slot"
    ]
    trials += [make_trial("threading", None, round=number) for number in range(5)]
    assert opening(compare(make_run(), trials)).startswith(
        "No block holds a usable pair with threading: there is nothing to compare."
    )


def test_failures_that_leave_single_pairs_are_no_matter_of_rounds(
    make_run: Any, make_trials: Any
) -> None:
    """Five rounds of which four failed are not told to run five rounds."""
    trials = make_trials({"threading": BASE, "slot": [1500.0, None, None, None, None]})
    assert opening(compare(make_run(), trials)).startswith(
        "Nothing is decided: no cell has the two usable pairs an interval needs."
    )


def test_a_lone_baseline_is_no_comparison(make_run: Any, make_trials: Any) -> None:
    """There is nothing to win."""
    found = compare(make_run(["threading"]), make_trials({"threading": BASE}))
    assert opening(found) == (
        "Only threading was raced: there is nothing to compare it with."
    )


def test_a_floor_alone_is_no_contest(make_run: Any, make_trials: Any) -> None:
    """The limit is told; no one wins."""
    found = compare(
        make_run(["threading", "floor"]),
        make_trials({"threading": BASE, "floor": times(7)}),
    )
    assert opening(found) == "The floor (no payload) stands at 7.00×."


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("interrupted", "was interrupted"),
        ("killed", "was killed"),
        ("running", "has not ended"),
    ],
)
def test_a_run_that_is_not_whole_says_so(
    status: str, words: str, make_run: Any, make_trials: Any
) -> None:
    """Trials recorded and planned stand in the opening."""
    found = compare(
        make_run(status=status, rounds=9),
        make_trials({"threading": BASE, "slot": times(1.5)}),
    )
    assert opening(found).endswith(f" The run {words}: 15 trials of 27 planned.")


def test_latency_is_said_in_its_own_words(make_run: Any, make_trials: Any) -> None:
    """A lower p50 is less latency, whichever metric comes first."""
    found = compare(
        make_run(),
        make_trials({"threading": BASE, "slot": times(2.0)}),
        metrics=["latency_p50"],
    )
    assert opening(found) == (
        "Against threading, in the one cell: slot has less p50 latency (0.50×)."
    )


def two_runs(make_run: Any, make_trials: Any, head: Any, **options: Any) -> str:
    """The opening of head against a base in which slot is 1.5 times threading."""
    rates = {"threading": BASE, "slot": times(1.5), "floor": times(7)}
    made = []
    for of_run in (rates, head):
        run = make_run(list(rates), slots=(1, 8))
        cells = [cell.name for cell in run.scenario.cells]
        made.append((run, make_trials(of_run, cells=cells)))
    return opening(between.compare(*made, **options))


def test_two_runs_are_told_by_verdict(make_run: Any, make_trials: Any) -> None:
    """What changed is of ratios; how far the baseline moved is told and not judged."""
    half = {"threading": times(0.5), "slot": times(0.6), "floor": times(3)}
    assert two_runs(make_run, make_trials, half) == (
        "Head against base by ratios to threading, over 2 cells: slot serves fewer requests "
        "in 2 of 2 (0.80×). threading itself stands at 0.50× of its base; drift is not "
        "controlled."
    )
    assert two_runs(make_run, make_trials, half, is_absolute=True) == (
        "Head against base, over 2 cells: threading serves fewer requests in 2 of 2 (0.50×); "
        "slot serves fewer requests in 2 of 2 (0.40×). The floor (no payload) stands at "
        "0.43× of its base; drift is not controlled."
    )


def test_two_runs_that_are_equal_or_noisy_claim_nothing(
    make_run: Any, make_trials: Any
) -> None:
    """Equivalent is said as such; undecided has no range and no number of rounds."""
    same = {"threading": BASE, "slot": times(1.5), "floor": times(7)}
    assert "slot is equivalent in 2 of 2 (within ±3 %)." in two_runs(
        make_run, make_trials, same
    )
    said = two_runs(
        make_run, make_trials, same | {"slot": NOISY[::-1]}, metrics=["latency_p50"]
    )
    assert "over 2 cells: slot has more p50 latency" in said
    noisy = same | {"slot": [1.5 * value for value in NOISY]}
    assert "over 2 cells: no difference in throughput is decided. threading" in two_runs(
        make_run, make_trials, noisy
    )


def test_two_runs_with_nothing_to_judge_say_so(make_run: Any, make_trials: Any) -> None:
    """No ratio, one block alone, and no contender but the baseline."""
    only = {"threading": BASE}
    assert two_runs(make_run, make_trials, only).startswith(
        "No contender has a usable ratio in both runs: there is nothing to compare."
    )
    one = {"threading": BASE[:1], "slot": times(1.5)[:1]}
    assert two_runs(make_run, make_trials, one).startswith(
        "Nothing is decided: in no cell do both runs have the two usable blocks"
    )
    base = make_run(["threading", "slot"]), make_trials({"threading": BASE, "slot": BASE})
    head = make_run(["threading", "mine"]), make_trials({"threading": BASE, "mine": BASE})
    assert opening(between.compare(base, head)).startswith(
        "No contender but threading is in both runs."
    )


def test_what_a_run_left_out_is_said_of_it(
    make_run: Any, make_trials: Any, make_trial: Any
) -> None:
    """INVALID trials of base and the end of head, each beside its run."""
    rates = {"threading": BASE, "slot": times(1.5)}
    base = make_run(), [*make_trials(rates), make_trial(round=5, invalid="clock")]
    head = make_run(status="interrupted"), make_trials(rates)
    said = opening(between.compare(base, head))
    assert "In base: left out: 1 INVALID of 16 trials." in said
    assert said.endswith("In head: the run was interrupted: 15 trials of 15 planned.")
