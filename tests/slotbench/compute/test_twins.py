"""Does a synthetic cell predict a real one: paired by round, judged by the interval."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats

from slotbench.compute import histogram, twins
from slotbench.compute.metrics import get as get_metric
from slotbench.compute.statistics import RatioEstimate
from slotbench.errors import SlotbenchError
from slotbench.records import Batching, CalibrationRecord, GymEnvironment, Model
from slotbench.store import StoredRun
from tests.slotbench.support import twins as made
from tests.slotbench.support.calibrations import calibration


def ask(stored: StoredRun, **options: Any) -> dict[str, twins.Prediction]:
    """By contender, of a run with one pair."""
    found = twins.predictions(stored.run, stored.trials, stored.calibrations, **options)
    return {one.contender: one for one in found}


def rates(stored: StoredRun, cell: str, contender: str) -> np.ndarray[Any, Any]:
    """Throughput of each round's first arm."""
    by_round = {
        trial.round: get_metric("throughput").value(trial.measurement)
        for trial in stored.trials
        if (trial.cell, trial.contender, trial.arm) == (cell, contender, 0)
        and trial.measurement is not None
    }
    return np.array([by_round[number] for number in sorted(by_round)], float)


def test_twin_over_real_is_paired_by_round() -> None:
    """Point and interval are SciPy's of the rounds' log ratios."""
    stored = made.pair()
    for label, one in ask(stored).items():
        logs = np.log(rates(stored, one.twin, label) / rates(stored, one.cell, label))
        mean = logs.mean()
        assert one.ratio is not None
        assert one.ratio.point == pytest.approx(math.exp(mean))
        if logs.std() < 1e-12:
            continue
        low, high = scipy.stats.t.interval(0.95, len(logs) - 1, mean, scipy.stats.sem(logs))
        assert (one.ratio.low, one.ratio.high) == pytest.approx(
            (math.exp(low), math.exp(high))
        )


def test_what_a_round_does_to_both_cells_cancels() -> None:
    """Rounds that differ by a factor of four leave the ratio without a width."""
    stored = made.pair(noise=0.0)
    trials = []
    for trial in stored.trials:
        assert trial.measurement is not None
        window_s = trial.measurement.window_s * (1 + trial.round)
        measured = dataclasses.replace(trial.measurement, window_s=window_s)
        trials.append(dataclasses.replace(trial, measurement=measured))
    one = ask(dataclasses.replace(stored, trials=tuple(trials)))["slot"]

    assert one.ratio is not None
    assert (one.ratio.low, one.ratio.high) == pytest.approx((1.5, 1.5))
    assert one.verdict == "does not predict"


def test_the_values_are_those_of_the_two_cells() -> None:
    """Real is the cell with an environment, twin the one without."""
    one = ask(made.pair(noise=0.0))["slot"]

    assert (one.cell, one.twin) == ("real 8", "twin 8 of 0.5")
    assert (one.real_per_s, one.twin_per_s) == pytest.approx((2000.0, 3000.0))


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.9, 1.1, "predicts"),
        (1 / 1.2, 1.2, "predicts"),
        (1.05, 1.15, "predicts"),
        (0.83, 1.1, "not decided"),
        (1.1, 1.201, "not decided"),
        (0.5, 2.0, "not decided"),
        (1.2, 1.3, "not decided"),
        (1.201, 1.3, "does not predict"),
        (0.7, 0.833, "does not predict"),
        (0.7, 1 / 1.2, "not decided"),
        (None, None, "not decided"),
    ],
)
def test_the_interval_decides(low: float | None, high: float | None, verdict: str) -> None:
    """Inside a factor of 1.2, wholly outside, or neither; one pair decides nothing."""
    assert twins.judge(RatioEstimate(1.0, low, high, 5, None)) == verdict


def test_the_margin_is_a_factor() -> None:
    """At 5 % too much the twin predicts within 20 and 6 %, and not within 4."""
    stored = made.pair(noise=0.0)

    verdicts = [ask(stored, margin=x)["threading"].verdict for x in (0.2, 0.06, 0.04)]
    assert verdicts == ["predicts", "predicts", "does not predict"]


def test_ranks_are_compared_with_the_baseline_of_each_cell() -> None:
    """Slot leads in both; torchrl.slot is behind in the one and ahead in the other."""
    found = ask(made.pair())

    assert {label: one.ranking for label, one in found.items()} == {
        "threading": None,
        "slot": "agrees",
        "torchrl.slot": "differs",
    }
    theirs = found["torchrl.slot"]
    assert (theirs.real_verdict, theirs.twin_verdict) == ("slower", "faster")
    assert theirs.real_ratio is not None
    assert theirs.twin_ratio is not None
    assert theirs.real_ratio.point == pytest.approx(0.5, rel=0.02)
    assert theirs.twin_ratio.point == pytest.approx(1300 / 1050, rel=0.02)


def test_another_baseline_ranks_otherwise() -> None:
    """Against slot, torchrl.slot is behind in both cells."""
    found = ask(made.pair(), baseline="slot")

    assert list(found) == ["slot", "threading", "torchrl.slot"]
    assert found["slot"].ranking is None
    assert found["torchrl.slot"].ranking == "agrees"
    with pytest.raises(SlotbenchError, match="no contender 'nobody'"):
        ask(made.pair(), baseline="nobody")


@pytest.mark.parametrize(
    ("real", "twin", "ranking"),
    [
        ("faster", "faster", "agrees"),
        ("equivalent", "equivalent", "agrees"),
        ("faster", "equivalent", "differs"),
        ("slower", "faster", "differs"),
        ("faster", "inconclusive", "not decided"),
        ("inconclusive", "slower", "not decided"),
        ("inconclusive", "inconclusive", "not decided"),
        ("limit", "limit", None),
        ("faster", None, None),
        (None, None, None),
    ],
)
def test_ranks_agree_where_both_verdicts_are_the_same(
    real: Any, twin: Any, ranking: str | None
) -> None:
    """Nothing is said of a floor, of what is missing, nor where one of them is undecided."""
    one = ask(made.pair())["slot"]
    one = dataclasses.replace(one, real_verdict=real, twin_verdict=twin)

    assert one.ranking == ranking


def test_a_wide_threshold_makes_all_equivalent() -> None:
    """δ is of the ranks: within a factor of five nobody is ahead anywhere."""
    found = ask(made.pair(), threshold=4.0)

    assert {one.ranking for one in found.values()} == {None, "agrees"}


def test_a_single_round_decides_nothing() -> None:
    """There is a ratio, and no interval."""
    found = ask(made.pair(rounds=1))

    assert {one.verdict for one in found.values()} == {"not decided"}
    assert {one.ranking for one in found.values()} == {None, "not decided"}


def test_a_contender_without_trials_has_nothing_to_say() -> None:
    """It failed in the twin: no ratio, no verdict, no rank."""
    stored = made.pair()
    kept = [t for t in stored.trials if (t.cell[:4], t.contender) != ("twin", "slot")]
    one = ask(dataclasses.replace(stored, trials=tuple(kept)))["slot"]

    assert one.real_per_s is not None
    assert (one.twin_per_s, one.ratio, one.verdict, one.ranking) == (None,) * 4


def test_a_value_of_zero_decides_nothing() -> None:
    """A trial without a reply is in no ratio, and may not be passed over."""
    stored = made.pair()
    trials = list(stored.trials)
    place = next(
        i
        for i, t in enumerate(trials)
        if (t.cell[:4], t.contender, t.arm, t.round) == ("twin", "threading", 0, 2)
    )
    measured = trials[place].measurement
    assert measured is not None
    nothing = dataclasses.replace(measured, num_replies=0)
    trials[place] = dataclasses.replace(trials[place], measurement=nothing)
    one = ask(dataclasses.replace(stored, trials=tuple(trials)))["threading"]

    assert one.ratio is not None
    assert one.ratio.num_pairs == 4
    assert one.verdict == "not decided"


REAL = made.real()


@pytest.mark.parametrize(
    ("other", "is_pair"),
    [
        (made.twin(), True),
        (made.twin(mean_ms=7.0), True),
        (made.twin(model=Model("mlp", hidden=(16,), num_outputs=9)), True),
        (made.twin(model=Model("sleep", 3.0)), True),
        (made.twin(model=Model("mlp", hidden=(17,))), False),
        (made.twin(model=Model("nature_cnn")), False),
        (made.twin(9), False),
        (made.twin(batching=Batching(min_batch_size=2)), False),
        (made.twin(torch_threads=2), False),
        (made.twin(device="cuda"), False),
        (made.twin(environment=GymEnvironment("Ant-v5")), False),
    ],
)
def test_a_twin_has_the_actors_the_batching_and_the_policy(
    other: Any, is_pair: bool
) -> None:
    """Its outputs may differ, which the environment decides, and it may sleep for a network."""
    assert list(twins.pairs([other, REAL])) == ([(REAL, other)] if is_pair else [])


def test_a_synthetic_policy_is_not_a_networks_real_one() -> None:
    """A real cell with a sleeping policy is not predicted by one with another."""
    real = made.real(model=Model("sleep", 1.0))
    same, other = made.twin(model=Model("sleep", 1.0)), made.twin(model=made.NETWORK)
    slower = made.twin(model=Model("sleep", 2.0))

    assert list(twins.pairs([real, same, other, slower])) == [(real, same)]


def test_every_twin_is_held_against_its_real_cell() -> None:
    """Two sizes, one with two twins: three pairs, in the scenario's order."""
    cells = [made.real(4), made.real(16), made.twin(4), made.twin(16), made.twin(16, mean_ms=2.0)]  # fmt: skip
    found = [(real.name, twin.name) for real, twin in twins.pairs(cells)]

    assert found == [
        ("real 4", "twin 4 of 0.5"),
        ("real 16", "twin 16 of 0.5"),
        ("real 16", "twin 16 of 2.0"),
    ]


def thinking(cell: str, number: int, **changes: Any) -> CalibrationRecord:
    """A calibration of an actor whose think times are lognormal: median 300 µs, σ 0.25."""
    drawn = np.random.default_rng(number).lognormal(math.log(300e3), 0.25, 4000)
    fields = {
        "think": histogram.count(drawn.astype(np.int64)),
        "think_mean_s": float(drawn.mean()) / 1e9,
        "think_excess_s": None,
        **changes,
    }
    return calibration(cell, number, **fields)


def test_the_fitted_think_time_is_the_calibrated_one() -> None:
    """Mean less what a twin takes beside thinking; the shape is that which was drawn."""
    real = [thinking("real 8", number) for number in range(3)]
    twin = [
        calibration("twin 8 of 0.5", number, think_excess_s=20e-6) for number in range(3)
    ]
    stored = dataclasses.replace(made.pair(), calibrations=(*real, *twin))
    fitted = ask(stored)["slot"].fitted

    assert fitted is not None
    assert fitted.num_calibrations == 3
    mean_s = 300e-6 * math.exp(0.25**2 / 2) - 20e-6
    assert fitted.mean_s == pytest.approx(mean_s, rel=0.02)
    assert fitted.sigma == pytest.approx(0.25, rel=0.05)


def test_hiccups_do_not_widen_the_fitted_shape() -> None:
    """One think in a hundred takes 100 ms: σ stays, though the mean is another."""
    drawn = np.random.default_rng(1).lognormal(math.log(300e3), 0.25, 4000)
    drawn[::100] = 100e6
    odd = thinking("r", 0, think=histogram.count(drawn.astype(np.int64)))
    fitted = twins.fit([odd], [calibration("t")])

    assert fitted is not None
    assert fitted.sigma == pytest.approx(0.25, rel=0.1)


@pytest.mark.parametrize("missing", ["real 8", "twin 8 of 0.5"])
def test_without_calibrations_of_both_nothing_is_fitted(missing: str) -> None:
    """Also where they failed."""
    made_of = {
        "real 8": thinking("real 8", 0),
        "twin 8 of 0.5": calibration("twin 8 of 0.5", 0),
    }
    made_of[missing] = dataclasses.replace(made_of[missing], status="failed", error="no")
    stored = dataclasses.replace(made.pair(), calibrations=tuple(made_of.values()))

    assert ask(stored)["slot"].fitted is None


def test_calibrations_that_the_machine_disturbed_are_left_out() -> None:
    """Two others are left; the loud one would have doubled the mean."""
    real = [thinking("real 8", number) for number in range(3)]
    loud = dataclasses.replace(
        real[2], observed_s=0.3, foreign_cpu_s=0.5, think_mean_s=1e-3
    )
    stored = dataclasses.replace(
        made.pair(), calibrations=(*real[:2], loud, calibration("twin 8 of 0.5", 0))
    )
    fitted = ask(stored)["slot"].fitted

    assert fitted is not None
    assert fitted.num_calibrations == 2
    assert fitted.mean_s < 0.4e-3


def test_a_run_without_a_real_cell_has_no_twins() -> None:
    """And one without a synthetic cell neither."""
    for cells in ([made.twin(4), made.twin(8)], [made.real(4), made.real(8)]):
        stored = made.stored(cells, {cell.name: (1.0, 1.0, 1.0) for cell in cells})
        assert ask(stored) == {}


def test_flat_fields_are_plain() -> None:
    """Numbers, texts and None, under one name each."""
    fields = twins.flat(ask(made.pair())["slot"])

    assert fields["ratio"] == pytest.approx(1.5, rel=0.02)
    assert fields["ratio_low"] < fields["ratio"] < fields["ratio_high"]
    assert fields["real_ratio"] == pytest.approx(2.0, rel=0.02)
    assert (fields["verdict"], fields["ranking"]) == ("does not predict", "agrees")
    assert fields["fitted_mean_s"] is None
    assert all(isinstance(x, float | str | None) for x in fields.values())
