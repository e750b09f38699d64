"""Verdicts taken together: who leads, what pays, what is lost to what."""

import dataclasses
import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest

from slotbench.compute import answers, comparison
from slotbench.records import TrialRecord
from slotbench.store import StoredRun
from tests.slotbench.support import grids

LABELS3 = ("threading", "slot", "m:f")


def rows_of(stored: StoredRun) -> tuple[comparison.ComparisonRow, ...]:
    """Throughput of everybody over the baseline."""
    return comparison.compare(stored.run, stored.trials, metrics=["throughput"]).rows


def noisy(stored: StoredRun, label: str, factor: float) -> StoredRun:
    """The same run, one contender in turns that much faster and slower."""

    def change(trial: TrialRecord) -> float:
        if trial.contender != label:
            return 1.0
        return factor if trial.round % 2 else 1 / factor

    return changed(stored, change)


def shaken(stored: StoredRun, generator: np.random.Generator) -> StoredRun:
    """The same run under 3 % of noise."""
    return changed(stored, lambda _: math.exp(generator.normal(0.0, 0.03)))


def changed(stored: StoredRun, change: Callable[[TrialRecord], float]) -> StoredRun:
    """The same run, every trial's window longer by a factor of its own."""
    trials = []
    for trial in stored.trials:
        assert trial.measurement is not None
        window_s = trial.measurement.window_s * change(trial)
        measured = dataclasses.replace(trial.measurement, window_s=window_s)
        trials.append(dataclasses.replace(trial, measurement=measured))
    return dataclasses.replace(stored, trials=tuple(trials))


def ask(stored: StoredRun, **options: object) -> answers.Answers:
    return answers.answer(stored.run, stored.trials, **options)  # type: ignore[arg-type]


def test_the_leader_is_whom_fewest_cells_speak_against() -> None:
    """Slot leads everywhere; everybody else is shown to be slower, by cell."""
    found = ask(grids.small_grid())

    assert found.leader is not None
    assert found.leader.label == "slot"
    assert found.leader.ahead == ()
    assert {row.contender for row in found.leader.behind} == {
        *("threading", "slot[preallocate]", "torchrl.slot")
    }
    assert found.leader.alike() == ()
    assert len(found.baseline_rows) == 4
    assert {row.verdict for row in found.baseline_rows} == {"faster"}


def test_a_rival_that_is_ahead_somewhere_is_named_there() -> None:
    """Slot wins two cells and loses one by far: it leads, with that one against it."""
    cells = [grids.cell(n) for n in (1, 8, 64)]
    rates = {
        (place.name, label): rate
        for place, pair in zip(cells, [(1000, 500), (500, 1000), (500, 1000)], strict=True)
        for label, rate in zip(("threading", "slot"), pair, strict=True)
    }
    found = ask(grids.stored(rates, cells, labels=("threading", "slot")))

    assert found.leader is not None
    assert found.leader.label == "slot"
    assert [(row.contender, row.cell) for row in found.leader.ahead] == [
        ("threading", cells[0].name)
    ]


def test_a_contender_without_numbers_in_a_cell_does_not_lead() -> None:
    """However fast it is elsewhere: it could not be recommended for that cell."""
    cells = [grids.cell(n) for n in (1, 8)]
    rates = {
        (cells[0].name, "threading"): 1000.0,
        (cells[1].name, "threading"): 1000.0,
        (cells[0].name, "slot"): 9000.0,
    }
    found = ask(grids.stored(rates, cells, labels=("threading", "slot")))

    assert found.leader is not None
    assert found.leader.label == "threading"
    assert found.passed_over == {"slot": 1}


def test_a_contender_that_serves_nothing_in_a_cell_does_not_lead() -> None:
    """A value of 0 is no ratio that could speak against it, and no number to rely on."""
    cells = [grids.cell(n) for n in (1, 8)]
    rates = {(c.name, "threading"): 1000.0 for c in cells}
    rates |= {(cells[0].name, "slot"): 0.0, (cells[1].name, "slot"): 9000.0}
    found = ask(grids.stored(rates, cells, labels=("threading", "slot")))

    assert found.leader is not None
    assert found.leader.label == "threading"
    assert found.passed_over == {"slot": 1}


def test_a_contender_of_which_nothing_is_known_does_not_lead() -> None:
    """However high its mean: of one that is all noise no rival can be shown to be faster."""
    place = grids.cell()
    rates = {(place.name, x): r for x, r in zip(LABELS3, (500, 1000, 1500), strict=True)}
    stored = noisy(grids.stored(rates, [place], labels=LABELS3, noise=0.1), "m:f", 4.0)
    found = ask(stored)

    assert found.leader is not None
    assert found.leader.label == "slot"
    assert found.is_told_apart
    assert found.leader.alike() == ("m:f",)


def test_the_leader_is_not_simply_the_fastest_on_average() -> None:
    """Ten times as fast in one cell does not make up for being slower in two."""
    cells = [grids.cell(n) for n in (1, 8, 64)]
    rates = {}
    for place, rate in zip(cells, (20_000.0, 900.0, 900.0), strict=True):
        rates |= {(place.name, "threading"): rate, (place.name, "slot"): 1000.0}
    found = ask(grids.stored(rates, cells, labels=("threading", "slot"), noise=0.1))

    assert found.leader is not None
    assert found.leader.label == "slot"


def test_a_rival_without_a_number_is_not_called_alike() -> None:
    """Nor one that a verdict of its own tells apart, be it by less than δ after Holm."""
    place = grids.cell()
    rates = {(place.name, x): r for x, r in zip(LABELS3, (1000, 1040, 1040), strict=True)}
    del rates[place.name, "m:f"]
    found = ask(grids.stored(rates, [place], labels=LABELS3, noise=0.2))

    assert found.leader is not None
    assert found.leader.alike() == ()
    assert {row.contender for row in found.leader.rows} == {"threading"}


def test_trials_that_were_measured_again_are_not_counted() -> None:
    """Of a block's attempts one counts."""
    stored = grids.small_grid()
    again = tuple(
        dataclasses.replace(t, attempt=1, trial_id=f"{t.trial_id}+")
        for t in stored.trials
        if t.round == 0 and t.cell == stored.trials[0].cell
    )
    more = dataclasses.replace(stored, trials=(*stored.trials, *again))
    assert ask(more).num_counted == len(stored.trials)


def test_nobody_leads_where_nothing_can_be_paired() -> None:
    """One contender alone, or one beside the floor."""
    cells = [grids.cell()]
    for labels in (("threading",), ("threading", "floor")):
        rates = {(cells[0].name, label): 1000.0 for label in labels}
        assert ask(grids.stored(rates, cells, labels=labels)).leader is None


def test_equal_contenders_are_seldom_told_apart() -> None:
    """Ten cells of six equal contenders: a false claim in about 1 of 20 runs at most.

    By themselves fifty intervals of 95 % would show two or three differences a run. 200 runs
    of pure noise; the level of the family is 2.5 % to each side, so at most 10 are expected,
    and 20 is 3.2 standard deviations above that.
    """
    generator = np.random.default_rng(5)
    labels = tuple(f"m:f{n}" for n in range(6))
    cells = [grids.cell(n) for n in range(1, 11)]
    rates = {(place.name, label): 1000.0 for place in cells for label in labels}
    stored = grids.stored(rates, cells, labels=labels, noise=0.0)
    claims = 0
    for _ in range(200):
        compared = comparison.compare(
            stored.run, shaken(stored, generator).trials, metrics=["throughput"]
        )
        rows = [row for row in compared.rows if not row.is_baseline]
        claims += any(answers.beyond(rows, side, 0.0) for side in get_args(answers.Side))
    assert claims <= 20


@pytest.mark.parametrize(("side", "expected"), [("above", {"b"}), ("below", {"c"})])
def test_only_what_exceeds_the_threshold_is_beyond_it(
    side: answers.Side, expected: set[str]
) -> None:
    """1 % more is a difference, and not one that matters; 0 forbids a claim."""
    cells = [grids.cell()]
    name = cells[0].name
    labels = ("a", "b", "c", "d")
    rates = dict.fromkeys([(name, x) for x in labels], 1000.0)
    rates |= {(name, "b"): 1200.0, (name, "c"): 800.0, (name, "d"): 1010.0}
    stored = grids.stored(rates, cells, labels=labels, noise=0.1)
    against = comparison.compare(stored.run, stored.trials, metrics=["throughput"])
    hits = answers.beyond([r for r in against.rows if not r.is_baseline], side, 0.03)
    assert {row.contender for row in hits} == expected


def test_equal_contenders_seldom_make_a_leader() -> None:
    """Choosing the leader by the same rows costs some of the level: at δ = 3 % not much.

    8 equal contenders in one cell, 5 blocks, 3 % noise, 200 runs: a difference of more than
    δ is called shown in at most 12 of them (6 %).
    """
    generator = np.random.default_rng(11)
    labels = tuple(f"m:f{n}" for n in range(8))
    place = grids.cell()
    rates = {(place.name, label): 1000.0 for label in labels}
    stored = grids.stored(rates, [place], labels=labels, noise=0.0)
    claims = 0
    for _ in range(200):
        leader = ask(shaken(stored, generator)).leader
        assert leader is not None
        claims += bool(leader.ahead or leader.behind)
    assert claims <= 12


def test_pairs_differ_in_the_option_alone() -> None:
    """Another collate, another server or no partner makes no pair."""
    labels = (
        *("slot", "slot[preallocate]", "slot[inline,preallocate]", "threading"),
        *("torchrl.slot[preallocate]",),
    )
    elsewhere = dataclasses.replace(
        grids.contender("slot[preallocate]"),
        label="slot[preallocate]@torchrl",
        server="torchrl",
    )
    found = answers.pairs([*(grids.contender(label) for label in labels), elsewhere])

    assert [(off.label, on.label) for off, on in found] == [("slot", "slot[preallocate]")]


def test_preallocation_is_judged_against_the_same_without() -> None:
    """A tenth less in each cell: it costs everywhere and pays nowhere."""
    (found,) = ask(grids.small_grid()).switched

    assert (found.off, found.on) == ("slot", "slot[preallocate]")
    assert len(found.rows) == len(found.costs) == 4
    assert found.pays == ()
    for row in found.rows:
        assert row.ratio is not None
        assert row.ratio.point == pytest.approx(0.9, rel=0.02)


def test_the_typical_cell_is_chosen_by_place_alone() -> None:
    """Nearest to 64 actors and 1 ms; a policy of no time stands a tenth of it away."""
    cells = [grids.cell(n, ms) for n in (1, 16, 256) for ms in (0.0, 5.0)]
    assert answers.typical(cells).name == grids.cell(16, 5.0).name
    cells.append(grids.cell(64, 1.0))
    assert answers.typical(cells).name == grids.cell(64, 1.0).name


def test_a_few_cells_show_the_ends_of_the_grid() -> None:
    """Fewest, typical and most actors; fastest and typical policy."""
    cells = [grids.cell(n, ms) for n in (1, 4, 16, 64, 256) for ms in (0.0, 1.0, 5.0, 20.0)]
    found = [
        (c.workload.num_slots, c.workload.model.latency_ms) for c in answers.spread(cells)
    ]

    assert found == [(n, ms) for n in (1, 64, 256) for ms in (0.0, 1.0)]


def test_a_family_of_one_is_the_rows_own_interval() -> None:
    """Beyond δ at 95 %: exactly where its two-sided interval lies wholly beyond."""
    place = grids.cell()
    found = []
    for rate in np.linspace(1000.0, 1120.0, 61):
        rates = {(place.name, "threading"): 1000.0, (place.name, "slot"): float(rate)}
        stored = grids.stored(rates, [place], labels=("threading", "slot"), noise=4)
        (row,) = [r for r in rows_of(stored) if not r.is_baseline]
        assert row.ratio is not None
        assert row.ratio.low is not None
        hit = bool(answers.beyond([row], "above", 0.03))
        assert hit == (row.ratio.low > 1.03)
        found.append(hit)
    assert 5 < sum(found) < 56


def test_a_value_of_zero_withholds_every_claim() -> None:
    """No ratio can take it in, so the others' ratios say nothing for the contender."""
    place = grids.cell()
    rates = {(place.name, "threading"): 1000.0, (place.name, "slot"): 5000.0}
    stored = grids.stored(rates, [place], labels=("threading", "slot"))
    trials = [
        dataclasses.replace(
            trial, measurement=dataclasses.replace(trial.measurement, num_replies=0)
        )
        if (trial.contender, trial.round) == ("slot", 2) and trial.measurement
        else trial
        for trial in stored.trials
    ]
    rows = rows_of(dataclasses.replace(stored, trials=tuple(trials)))
    assert answers.beyond([r for r in rows if not r.is_baseline], "above", 0.03) == ()
