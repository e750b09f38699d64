"""Predictions of recorded cells: what they are made of, and that none of it is from the trials."""

import dataclasses
import math
from pathlib import Path

import pytest

import slotbench
from slotbench.compute import predictions, transport_costs
from slotbench.records import CheckedPrediction, Sequential
from slotbench.store import StoredRun

REFERENCE = Path(__file__).parents[3] / "results/reference"
FITTED = transport_costs.load()


def stored(name: str) -> StoredRun:
    return slotbench.load(REFERENCE / name).stored


def check(one: StoredRun) -> tuple[CheckedPrediction, ...]:
    return predictions.check(one.run, one.trials, one.calibrations)[1]


def test_nothing_is_taken_from_the_trials() -> None:
    """Trials that were all measured twice as fast are predicted the same, and twice as wrongly."""
    one = stored("rl_pixels_8")
    faster = [
        dataclasses.replace(
            trial,
            measurement=dataclasses.replace(
                trial.measurement,
                num_replies=2 * trial.measurement.num_replies,
                think_mean_s=None,
                forward_mean_s=None,
            ),
        )
        for trial in one.trials
        if trial.measurement is not None
    ]
    before = check(one)
    after = predictions.check(one.run, faster, one.calibrations)[1]

    assert len(before) == 6
    for old, new in zip(before, after, strict=True):
        assert new.predicted_per_s == old.predicted_per_s
        assert new.ratio == pytest.approx(old.ratio / 2)
        assert old.ratio_low is not None
        assert old.ratio_high is not None
        assert old.ratio_low < old.ratio < old.ratio_high


def test_the_interval_of_a_run_that_looked_more_than_once_is_as_sure_as_its_others() -> (
    None
):
    """Wider than at 95 %."""
    one = stored("rl_pixels_8")
    planned = Sequential((5, 7, 10), 0.985, ("throughput",), {"throughput": 0.03})
    looked = dataclasses.replace(one.run, sequential=planned)
    after = predictions.check(looked, one.trials, one.calibrations)[1]
    for plain, sure in zip(check(one), after, strict=True):
        assert None not in {plain.ratio_low, plain.ratio_high}
        assert sure.ratio_low < plain.ratio_low  # type: ignore[operator]  # neither is None
        assert sure.ratio_high > plain.ratio_high  # type: ignore[operator]  # likewise


def test_a_run_that_costs_were_fitted_to_is_predicted_without_it() -> None:
    """With the costs of the others; the same records under another id with those of all."""
    one = stored("losses")
    held_out = check(one)
    renamed = dataclasses.replace(one.run, run_id="20260101T000000Z-losses-000000")
    run, other = predictions.check(renamed, one.trials, one.calibrations)
    of_run, _ = predictions.check(one.run, one.trials, one.calibrations)

    assert (of_run.is_held_out, run.is_held_out) == (True, False)
    assert {x.contender for x in held_out} == {x.contender for x in other}
    assert any(
        abs(x.predicted_per_s / y.predicted_per_s - 1) > 1e-3
        for x, y in zip(held_out, other, strict=True)
        if x.regime == "transport"
    )


def test_a_pace_is_that_of_calibrations_or_assumed() -> None:
    """Fitted runs have their own; others the median of what an actor does beside; else nobody knows."""

    def pace(name: str) -> predictions.Pace:
        one = stored(name)
        return predictions.pace_of(one.run, one.trials, one.calibrations, FITTED)

    assert pace("grid") == predictions.Pace(1.0, is_known=True)
    assert pace("many_actors") == predictions.Pace(FITTED.assumed_pace, is_known=False)
    calibrated = pace("process_transports")
    works_s = sorted(
        x.work_s for x in stored("process_transports").calibrations if x.work_s
    )
    assert works_s[0] <= calibrated.factor * FITTED.work_s <= works_s[-1]
    assert calibrated.is_known


def test_making_a_request_is_counted_once() -> None:
    """It is in a transport's cost, so it is taken out of a calibrated think time."""
    one = stored("losses")
    pace = predictions.Pace(1.0, is_known=True)
    known = predictions.known_of(one.run, one.trials, one.calibrations, FITTED, pace)
    cells = {cell.name: cell.workload for cell in one.run.scenario.cells}
    for name, found in known.items():
        think, demands = cells[name].think_time, found.demands
        if think.distribution == "none" or think.mode != "idle":
            continue
        # What is left beside the mean is how late a sleep ends.
        assert demands.think_s == pytest.approx(think.mean_ms / 1e3 + demands.excess_s)
        assert 0.0 < demands.excess_s < 3 * FITTED.think_late_s
        assert demands.think_gil_s == 0.0


def test_who_has_no_fitted_cost_is_left_out_and_counted() -> None:
    """Floors are neither; a run of collectors has no row."""
    collector = stored("collector")
    run, rows = predictions.check(collector.run, collector.trials, collector.calibrations)
    cells, contenders = collector.run.scenario.cells, collector.run.scenario.contenders
    floors = sum(who.name == "floor" for who in contenders)
    assert rows == ()
    assert run.num_left_out == len(cells) * (len(contenders) - floors)


def row(ratio: float) -> CheckedPrediction:
    return dataclasses.replace(SOME, ratio=ratio)


SOME = CheckedPrediction(
    *("run", "cell", "slot", 8, "policy", True, 100.0, 100.0, 1.0, 0.9, 1.1),
    *(4.0, 4.0, 1e-3, 2e-3, 1e-3, None),
)


def test_right_is_within_a_factor_either_way() -> None:
    """1/1.2 and 1.2 are right, 0.8 is not; worst is what is farthest off, up or down."""
    rows = [row(1 / 1.2), row(1.2), row(0.8), row(1.21)]
    assert predictions.share_right(rows) == 0.5
    assert predictions.share_right([]) is None
    worst = predictions.worst([*rows, row(0.4), row(2.4)])
    assert worst is not None
    assert worst.ratio == 0.4
    assert predictions.worst([]) is None


def test_plain_fields_have_ratios() -> None:
    """Predicted over measured; None where nothing was measured."""
    found = predictions.flat(SOME)
    assert found["batch_size_ratio"] == 1.0
    assert math.isclose(found["latency_p50_ratio"], 0.5)
    assert found["latency_p99_ratio"] is None
