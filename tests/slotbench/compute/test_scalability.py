"""The scalability law: its constants, their intervals, and where it says nothing.

Coverage at a nominal 95 %, of σ and κ, by simulation of 300 runs of 1, 4, 16, 64 and 256 actors with 3 % noise a
trial and 2 % a round, over five pairs of constants (σ from -0.003 to 0.3, κ from 0 to 1e-4): a percentile bootstrap
over rounds covers 76 to 88 % with 5 rounds and 79 to 92 % with 8, the jackknife's t interval 94 to 98 % with either.
A smaller form is here.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from slotbench.compute import scalability
from slotbench.compute.scalability import Law, Scalability
from slotbench.errors import SlotbenchError
from slotbench.records import Batching, Load
from slotbench.store import StoredRun
from tests.slotbench.support import grids, scaling


def ask(stored: StoredRun, **options: Any) -> Scalability:
    return scalability.scalability(stored.run, stored.trials, **options)


def laws(stored: StoredRun, **options: Any) -> dict[str, Law]:
    """By contender, of a run with one row."""
    return {law.contender: law for law in ask(stored, **options).laws}


def test_the_constants_of_an_exact_law_come_back() -> None:
    """To many digits, with nothing missed and the peak where calculus has it."""
    found = laws(scaling.ladder(noise=0.0))

    for label, (rate, contention, coherency) in scaling.CONSTANTS.items():
        law = found[label]
        assert law.rate.point == pytest.approx(rate, rel=1e-6)
        assert law.contention.point == pytest.approx(contention, rel=1e-5)
        assert law.coherency.point == pytest.approx(coherency, rel=1e-4, abs=1e-9)
        assert law.misfit_ratio < 1e-6
        assert law.slots == scaling.SLOTS
    peak = math.sqrt((1 - 0.30) / 1e-3)
    threading = found["threading"]
    assert threading.peak_slots.point == pytest.approx(peak, rel=1e-4)
    assert threading.peak_per_s is not None
    assert threading.peak_per_s.point == pytest.approx(
        max(scaling.throughput(n, 1000.0, 0.30, 1e-3) for n in range(1, 65)), rel=1e-3
    )


def test_the_fit_is_the_least_squares_of_logarithms() -> None:
    """SciPy's curve_fit of the same law, from another start, lands there."""
    stored = scaling.ladder((1, 2, 8, 32, 128), noise=4.0)
    found = laws(stored)

    def log_law(slots: Any, log_rate: float, contention: float, coherency: float) -> Any:
        load = 1 + contention * (slots - 1) + coherency * slots * (slots - 1)
        return log_rate + np.log(slots) - np.log(load)

    for law in found.values():
        if law.coherency.point == 0.0:
            continue
        (log_rate, contention, coherency), _ = scipy.optimize.curve_fit(
            log_law, np.array(law.slots, float), np.log([x.point for x in law.measured]), (7.0, 0.1, 1e-4)
        )  # fmt: skip
        assert law.rate.point == pytest.approx(math.exp(log_rate), rel=1e-4)
        assert law.contention.point == pytest.approx(contention, rel=1e-3, abs=1e-6)
        assert law.coherency.point == pytest.approx(coherency, rel=1e-3, abs=1e-9)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """In 400 runs of five rounds: 95 % give or take three standard errors; σ, κ and σ's difference."""
    generator = np.random.default_rng(7)
    slots = np.array([1.0, 4.0, 16.0, 64.0, 256.0])
    truths = {"slot": (2e4, 0.02, 1e-5), "threading": (1e4, 0.3, 1e-4)}
    count, hits = 400, np.zeros(3)
    for _ in range(count):
        shared = generator.normal(0.0, 0.02, (5, 1))
        made = {}
        for label, truth in truths.items():
            logs = np.log(scalability.law_per_s(slots, *truth)) + shared
            logs = logs + generator.normal(0.0, 0.03, (5, 5))
            made[label] = scalability._Measured(("",) * 5, slots, dict(enumerate(logs)))
        whole, others = made["slot"].left_out(range(5))
        contention = scalability._jackknife(
            whole.contention, [x.contention for x in others]
        )
        free = [x.free_coherency for x in others]
        coherency = scalability._jackknife(whole.free_coherency, free)
        over, _ = scalability._differences(made["slot"], made["threading"], range(5))
        for place, (one, truth) in enumerate(
            [(contention, 0.02), (coherency, 1e-5), (over, 0.02 - 0.3)]
        ):
            assert one.low is not None
            assert one.high is not None
            hits[place] += one.low <= truth <= one.high
    assert (hits / count > 0.95 - 3 * math.sqrt(0.95 * 0.05 / count)).all()


def test_a_lower_contention_is_said_to_be_lower() -> None:
    """Paired by rounds, against the baseline; which has nothing to be held against."""
    found = laws(scaling.ladder())

    slot, base = found["slot"], found["threading"]
    assert (slot.contention_difference, slot.coherency_difference) == ("lower", "lower")
    assert slot.contention_over is not None
    assert slot.contention_over.point == pytest.approx(0.05 - 0.30, abs=0.03)
    assert (base.contention_over, base.contention_difference) == (None, None)
    turned = laws(scaling.ladder(), baseline="slot")
    assert turned["threading"].contention_difference == "higher"


def test_equal_contenders_are_not_told_apart() -> None:
    """The same constants under other noise."""
    constants = dict.fromkeys(("threading", "slot"), (1000.0, 0.1, 1e-4))
    slot = laws(scaling.ladder(constants=constants))["slot"]

    assert (slot.contention_difference, slot.coherency_difference) == ("not decided",) * 2


def test_what_a_round_does_to_all_cells_is_not_in_the_constants() -> None:
    """Rounds that differ by a factor of four leave σ without a width, and λ with one."""
    stored = scaling.ladder(noise=0.0)
    trials = []
    for trial in stored.trials:
        assert trial.measurement is not None
        window_s = trial.measurement.window_s * (1 + trial.round)
        measured = dataclasses.replace(trial.measurement, window_s=window_s)
        trials.append(dataclasses.replace(trial, measurement=measured))
    law = laws(dataclasses.replace(stored, trials=tuple(trials)))["slot"]

    assert law.contention.low == pytest.approx(law.contention.high, abs=1e-6)
    # λ is then a mean over rounds, of which pseudo-values are the rounds themselves.
    logs = math.log(1200.0) - np.log(np.arange(1, 6))
    low, high = scipy.stats.t.interval(0.95, 4, logs.mean(), scipy.stats.sem(logs))
    assert (law.rate.low, law.rate.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_coherency_is_never_below_0_and_its_interval_has_a_width() -> None:
    """Throughput that turns upwards has no κ; the best fit without one is given."""
    constants = {"threading": (1000.0, 0.3, 0.0), "slot": (1000.0, 0.1, -1e-4)}
    found = laws(scaling.ladder(constants=constants))

    assert found["slot"].coherency.point == 0.0
    assert found["slot"].peak_slots.point == math.inf
    assert found["slot"].peak_per_s is None
    for law in found.values():
        assert law.coherency.low is not None
        assert law.coherency.high is not None
        assert 0.0 <= law.coherency.low <= law.coherency.high
    assert found["threading"].coherency.high
    assert found["threading"].coherency.high > 0.0


def test_more_than_linear_is_called_so() -> None:
    """A σ below 0 with its whole interval."""
    constants = {"threading": (1000.0, 0.1, 1e-4), "slot": (1000.0, -0.01, 1e-4)}
    found = laws(scaling.ladder(constants=constants, noise=0.1))

    assert found["slot"].is_superlinear
    assert not found["threading"].is_superlinear


def test_a_law_that_does_not_fit_concludes_nothing() -> None:
    """Throughput that goes up, down and up again: off by far, and no difference is said."""
    stored = scaling.ladder()
    bent = {1: 1.0, 4: 0.5, 16: 2.0, 64: 0.6}
    trials = []
    for trial in stored.trials:
        number = next(
            c.workload.num_slots for c in stored.run.scenario.cells if c.name == trial.cell
        )
        measured = trial.measurement
        assert measured is not None
        if trial.contender == "slot":
            window_s = measured.window_s / bent[number]
            measured = dataclasses.replace(measured, window_s=window_s)
        trials.append(dataclasses.replace(trial, measurement=measured))
    found = laws(dataclasses.replace(stored, trials=tuple(trials)))

    assert not found["slot"].fits
    assert found["slot"].misfit_ratio > 0.3
    assert found["slot"].contention_difference == "no fit"
    assert found["floor"].contention_difference == "lower"


def test_every_row_of_a_grid_has_laws_of_its_own() -> None:
    """Two policy latencies: two rows, named by them, each with all contenders."""
    found = ask(scaling.ladder(latencies_ms=(0.0, 1.0)))

    assert [(law.row, law.contender) for law in found.laws] == [
        (f"model.latency_ms={ms}", label)
        for ms in ("0.0", "1.0")
        for label in scaling.LABELS
    ]
    assert found.missing == ()


def test_too_few_slot_counts_are_said() -> None:
    """How many there are, and how many more it needs; a lone cell is no row."""
    found = ask(grids.small_grid())
    assert found.laws == ()
    assert found.missing[0] == (
        "model.latency_ms=0.0: the law needs 4 slot counts and there are 2 (4, 64): 2 more are missing"
    )
    with pytest.raises(
        SlotbenchError, match=r"2 more are missing.*--set num_slots=1,4,16,64"
    ):
        scalability.require(found, "r1")
    single = grids.stored({}, [grids.cell(8)])
    assert ask(single).missing == ()
    with pytest.raises(SlotbenchError, match="no two cells differ in num_slots alone"):
        scalability.require(ask(single), "r1")


def test_a_contender_without_numbers_in_a_cell_is_named() -> None:
    """Three slot counts are left of four; of five, the law goes through the other four."""
    for slots, is_fitted in (((1, 4, 16, 64), False), ((1, 4, 16, 64, 256), True)):
        stored = scaling.ladder(slots)
        gone = stored.run.scenario.cells[2].name
        kept = [t for t in stored.trials if (t.cell, t.contender) != (gone, "slot")]
        found = ask(dataclasses.replace(stored, trials=tuple(kept)))
        labels = [law.contender for law in found.laws]
        assert ("slot" in labels) is is_fitted
        assert bool(found.missing) is not is_fitted
        if is_fitted:
            law = next(law for law in found.laws if law.contender == "slot")
            assert law.slots == (1, 4, 64, 256)
            assert law.contention_over is None
        else:
            assert found.missing[0].startswith(
                "slot in model.latency_ms=0.0: the law needs 4"
            )


def test_one_round_gives_constants_without_intervals() -> None:
    """And no difference."""
    law = laws(scaling.ladder(rounds=1))["slot"]

    assert (law.contention.low, law.contention.high) == (None, None)
    assert law.contention_over is None


def test_cells_of_an_open_loop_are_left_out() -> None:
    """Their throughput is what was offered."""
    stored = scaling.ladder()
    cells = tuple(
        dataclasses.replace(
            cell, workload=dataclasses.replace(cell.workload, load=Load("poisson", 10.0))
        )
        for cell in stored.run.scenario.cells
    )
    assert scalability.rows(cells) == ()


def test_a_rule_that_follows_the_slots_is_the_same_rule() -> None:
    """min_batch_size = num_slots in all cells is one row; a batch of 4 in one of them is not."""
    base = [grids.cell(n) for n in (1, 4, 16, 64)]

    def with_least(least: Any) -> list[Any]:
        return [
            dataclasses.replace(
                cell,
                workload=dataclasses.replace(
                    cell.workload, batching=Batching(least(cell.workload.num_slots), 256)
                ),
            )
            for cell in base
        ]

    (row,) = scalability.rows(with_least(lambda n: n))
    assert row.slots == (1, 4, 16, 64)
    (row,) = scalability.rows(with_least(lambda n: 4 if n == 64 else 1))
    assert row.slots == (1, 4, 16)


def test_flat_fields_are_plain() -> None:
    """Numbers, texts, lists and None; what is not finite is missing."""
    fields = scalability.flat(laws(scaling.ladder())["floor"])

    assert fields["contention"] == pytest.approx(0.02, abs=0.01)
    assert fields["slots"] == [1, 4, 16, 64]
    for value in fields.values():
        assert isinstance(value, float | int | str | bool | list | None)
        assert not isinstance(value, float) or math.isfinite(value)
