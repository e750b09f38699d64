"""A metric over many runs: what is one series, what a point is, and which way a change goes."""

import dataclasses
from typing import Any

import pytest

from slotbench.compute import history
from slotbench.compute.comparison import compare
from slotbench.compute.history import Chosen, History
from slotbench.errors import SlotbenchError
from slotbench.records import Resumption, Sequential
from slotbench.store import StoredRun
from tests.slotbench.support import grids, histories

STEP = [2.0] * 6 + [1.6] * 6


def ask(stored: list[StoredRun], metric: str = "throughput", **options: Any) -> History:
    return history.history([(one.run, one.trials) for one in stored], metric, **options)


def test_a_point_is_what_a_comparison_of_its_run_says() -> None:
    """Ratio and interval of each run, in order of time, with its date and commit."""
    stored = histories.runs(STEP)
    (series,) = ask(stored).series

    assert (series.contender, series.baseline) == ("slot", "threading")
    for one, point in zip(stored, series.points, strict=True):
        compared = compare(one.run, one.trials, metrics=["throughput"])
        ratio = next(row.ratio for row in compared.rows if row.contender == "slot")
        assert ratio is not None
        assert (point.value, point.low, point.high) == pytest.approx(
            (ratio.point, ratio.low, ratio.high)
        )
        assert point.count == ratio.num_pairs
        assert point.run_id == one.run.run_id
        assert point.commit == one.run.environment["git_commit"]


def test_a_loss_is_slower_with_its_size_and_its_run() -> None:
    """At the seventh run, 0.8 times."""
    (series,) = ask(histories.runs(STEP)).series
    (change,) = series.changes

    assert (change.at, change.verdict, change.cut.is_confirmed) == (6, "slower", True)
    assert change.cut.size.point == pytest.approx(0.8, rel=0.01)
    assert series.is_regressed


def test_less_latency_is_better() -> None:
    """The same runs by latency: less throughput is more of it; and the other way."""
    (worse,) = ask(histories.runs(STEP), "latency_p50").series
    (better,) = ask(histories.runs(STEP[::-1]), "latency_p50").series

    assert [change.verdict for change in worse.changes] == ["slower"]
    assert [change.verdict for change in better.changes] == ["faster"]
    assert (worse.is_regressed, better.is_regressed) == (True, False)


def test_a_metric_without_a_direction_only_differs() -> None:
    """More rows a batch are neither good nor bad."""
    stored = histories.runs([2.0] * 12)
    trials = []
    for number, one in enumerate(stored):
        made = []
        for trial in one.trials:
            measured = trial.measurement
            assert measured is not None
            if trial.contender == "slot":
                rows = measured.num_rows * (2 if number < 6 else 3)
                measured = dataclasses.replace(measured, num_rows=rows)
            made.append(dataclasses.replace(trial, measurement=measured))
        trials.append(dataclasses.replace(one, trials=tuple(made)))
    (series,) = ask(trials, "mean_batch_size").series
    assert [change.verdict for change in series.changes] == ["different"]
    assert not series.is_regressed


def test_a_change_below_the_threshold_is_equivalent() -> None:
    """Real, and too small to matter."""
    (series,) = ask(histories.runs(STEP), threshold=0.4).series
    assert [change.verdict for change in series.changes] == ["equivalent"]
    assert not series.is_regressed


def test_only_the_last_change_makes_a_regression() -> None:
    """Down and up again is none."""
    (series,) = ask(histories.runs([2.0] * 5 + [1.5] * 5 + [2.0] * 5)).series
    assert [change.verdict for change in series.changes] == ["slower", "faster"]
    assert not series.is_regressed


def test_a_loss_that_was_never_made_good_is_one() -> None:
    """Whatever came after it: a change that does not matter, a repair of half of it, another loss."""
    for after in (1.63, 1.8, 1.4):
        (series,) = ask(histories.runs([2.0] * 8 + [1.6] * 8 + [after] * 10)).series
        assert len(series.changes) == 2
        assert series.loss is not None
        assert (series.loss.begin, series.loss.end) == (0, 8)
        assert series.loss.size.point == pytest.approx(after / 2.0, rel=0.01)
        assert series.is_regressed


def test_a_loss_in_small_steps_is_one() -> None:
    """Each of some 2 %, within δ."""
    (series,) = ask(histories.runs([2.0] * 12 + [1.955] * 12 + [1.91] * 12)).series
    assert "slower" not in [change.verdict for change in series.changes]
    assert series.is_regressed


def test_a_regression_lies_wholly_beyond_the_threshold() -> None:
    """As of a comparison: a loss of about δ is slower, and no regression."""
    (series,) = ask(histories.runs([2.0] * 8 + [1.6] * 8), threshold=0.25).series
    (change,) = series.changes
    assert change.verdict == "slower"
    assert change.cut.size.high is not None
    assert change.cut.size.high > 1 / 1.25
    assert not series.is_regressed
    (series,) = ask(histories.runs([2.0] * 8 + [1.6] * 8), threshold=0.2).series
    assert series.is_regressed


def until_decided(one: StoredRun, **thresholds: float) -> StoredRun:
    """The same run, as one that looked more than once."""
    names = tuple(thresholds)
    planned = Sequential((5, 7, 10), 0.985, names, thresholds, ended="decided")
    return dataclasses.replace(one, run=dataclasses.replace(one.run, sequential=planned))


def test_a_run_until_decided_has_its_own_interval_and_threshold() -> None:
    """As sure as the run's others, and the δ of the metric that it was to decide."""
    plain = histories.runs([2.0] * 5)
    looked = [until_decided(one, throughput=0.4) for one in plain]
    (before,), (after,) = ask(plain).series, ask(looked).series
    ends = before.points[0], after.points[0]
    assert None not in {ends[0].low, ends[1].low}
    assert ends[1].low < ends[0].low  # type: ignore[operator]  # neither is None
    assert after.threshold == 0.4
    assert ask(looked, "latency_p99").series[0].threshold == before.threshold


def test_what_slows_all_of_a_run_is_not_in_its_ratio() -> None:
    """A machine at half speed from the seventh run on: no change of the ratio, one of every value."""
    stored = [
        histories.run(number, 2.0, baseline_per_s=1000.0 if number < 6 else 500.0)
        for number in range(12)
    ]
    (series,) = ask(stored).series
    assert series.changes == ()
    absolute = ask(stored, is_absolute=True)
    assert [one.contender for one in absolute.series] == ["threading", "slot"]
    for one in absolute.series:
        assert one.baseline is None
        assert [change.verdict for change in one.changes] == ["slower"]
    assert absolute.series[0].points[0].value == pytest.approx(1000.0, rel=0.01)


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("cpu_model_name", "Slow CPU"),
        ("cpu_affinity_count", 1),
        ("python_version", "3.12.1"),
        ("torch_version", "2.14.0"),
        ("machine_id", "b"),
    ],
)
def test_what_forbids_a_comparison_begins_another_series(fact: str, value: Any) -> None:
    """Another machine, Python or torch: no change is made of it."""
    first = histories.runs(STEP[:6], environment={"machine_id": "a"})
    later = [
        histories.run(number, 1.6, environment={"machine_id": "a", fact: value})
        for number in range(6, 12)
    ]
    series = ask(first + later).series

    assert [len(one.points) for one in series] == [6, 6]
    assert len({one.machine for one in series}) == 2
    assert not any(one.changes for one in series)


def test_a_fact_that_a_record_lacks_forbids_nothing() -> None:
    """But what two others differ in keeps these apart, whichever they are met with."""
    lacking = histories.run(0, 2.0)
    a, b = (
        histories.run(n, 2.0, environment={"machine_id": x})
        for n, x in ((1, "a"), (2, "b"))
    )
    assert [len(one.points) for one in ask([lacking, a]).series] == [2]
    assert [len(one.points) for one in ask([lacking, a, b]).series] == [2, 1]


def test_a_run_that_was_resumed_elsewhere_is_of_no_one_machine() -> None:
    """It stands apart from those of the first machine."""
    stored = histories.runs([2.0, 2.0])
    elsewhere = {**histories.MACHINE, "cpu_model_name": "Slow CPU"}
    again = Resumption("2025-01-02T04:00:00+00:00", 3, elsewhere, ())
    moved = dataclasses.replace(stored[1].run, resumptions=(again,))
    series = ask([stored[0], dataclasses.replace(stored[1], run=moved)]).series
    assert [len(one.points) for one in series] == [1, 1]


def test_another_workload_under_the_same_name_begins_another_series() -> None:
    """And says which of the two it is."""
    cell = grids.cell()
    window = dataclasses.replace(cell.workload.window, measure_s=9.0)
    other = dataclasses.replace(
        cell, workload=dataclasses.replace(cell.workload, window=window)
    )
    stored = histories.runs(STEP[:6]) + [
        histories.run(number, 1.6, cell=other) for number in range(6, 12)
    ]
    series = ask(stored).series

    assert [(one.workload, one.num_workloads) for one in series] == [(1, 2), (2, 2)]
    assert not any(one.changes for one in series)


def test_other_scenarios_and_baselines_are_other_series() -> None:
    """Although cell and contender have the same names."""
    stored = [
        histories.run(0, 2.0),
        histories.run(1, 2.0, name="other"),
        histories.run(2, 2.0, labels=("torchrl.slot", "slot", "floor")),
    ]
    series = ask(stored).series
    assert {(one.scenario, one.baseline) for one in series} == {
        ("synthetic", "threading"),
        ("other", "threading"),
        ("synthetic", "torchrl.slot"),
    }


def test_what_is_chosen_is_shown_alone() -> None:
    """By scenario, cell and contender; a floor only so."""
    stored = [*histories.runs([2.0] * 3), histories.run(3, 2.0, name="other")]
    cell = stored[0].run.scenario.cells[0].name

    (one,) = ask(stored, chosen=Chosen(scenarios=("other",), cells=(cell,))).series
    assert one.scenario == "other"
    floors = ask(stored, chosen=Chosen(contenders=("floor",))).series
    assert {series.contender for series in floors} == {"floor"}


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (Chosen(scenarios=("synthetik",)), "no scenario 'synthetik' .* did you mean synthetic"),
        (Chosen(cells=("num",)), "no cell 'num' .* did you mean num_slots=8"),
        (Chosen(contenders=("slut",)), "no contender 'slut' .* did you mean slot"),
        (Chosen(contenders=("threading",)), "all that is left is baselines; --absolute"),
    ],
)  # fmt: skip
def test_a_name_that_no_run_has_is_refused(chosen: Chosen, said: str) -> None:
    """The nearest is offered."""
    with pytest.raises(SlotbenchError, match=said):
        ask(histories.runs([2.0] * 2), chosen=chosen)


def test_no_run_and_no_metric_are_refused() -> None:
    """In a line each."""
    with pytest.raises(SlotbenchError, match="no complete run"):
        ask([])
    with pytest.raises(
        SlotbenchError, match="unknown metric 'thruput': did you mean throughput"
    ):
        ask(histories.runs([2.0]), "thruput")


def test_a_contender_without_numbers_is_noted() -> None:
    """Its series lacks that run, and only that one."""
    stored = histories.runs([2.0] * 3)
    kept = tuple(trial for trial in stored[1].trials if trial.contender != "slot")
    stored[1] = dataclasses.replace(stored[1], trials=kept)
    found = ask(stored)

    assert [point.run_id for point in found.series[0].points] == [
        stored[0].run.run_id,
        stored[2].run.run_id,
    ]
    assert found.notes == (f"{stored[1].run.run_id}: slot has no number to use in {grids.cell().name}",)  # fmt: skip
