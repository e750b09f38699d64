"""What two runs are compared by, what is judged of it, and what is refused."""

import dataclasses
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from slotbench import store
from slotbench.compute.between import TwoRuns, compare
from slotbench.compute.comparison import ComparisonRow
from slotbench.compute.gates import judge
from slotbench.errors import SlotbenchError
from slotbench.records import Resumption, Sequential
from tests.slotbench.support import grids

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
BASE = [1000.0, 1010.0, 990.0, 1005.0, 995.0]
SLOT = [1500.0, 1525.0, 1470.0, 1500.0, 1510.0]
HEAD = [700.0, 710.0, 695.0, 705.0]
LATER = [840.0, 860.0, 830.0, 842.0]
"""A machine 30 % slower, on which slot is 1.2 times threading and not 1.5 times."""


@pytest.fixture
def made(make_run: Any, make_trials: Any) -> Any:
    """A run from contender → throughputs; the first is the baseline."""

    def make(rates: dict[str, Any], **changes: Any) -> Any:
        run = make_run(list(rates), rounds=len(next(iter(rates.values()))), **changes)
        cells = [cell.name for cell in run.scenario.cells]
        return run, make_trials(rates, cells=cells)

    return make


@pytest.fixture
def pair(made: Any) -> Any:
    """Five blocks, then four of a slower machine; a floor in both."""
    return (
        made({"threading": BASE, "slot": SLOT, "floor": [7 * v for v in BASE]}),
        made({"threading": HEAD, "slot": LATER, "floor": [6 * v for v in HEAD]}),
    )


def row(found: TwoRuns, contender: str, metric: str = "throughput") -> ComparisonRow:
    """The one row of that contender and metric in the first cell."""
    return next(
        r
        for r in found.rows
        if (r.contender, r.metric, r.cell) == (contender, metric, found.cells[0].name)
    )


def check_interval(found: ComparisonRow, head: Any, base: Any) -> None:
    """The row's ratio is scipy's Welch interval of these logarithms."""
    expected: Any = stats.ttest_ind(head, base, equal_var=False).confidence_interval(0.95)
    assert found.ratio is not None
    assert found.ratio.point == pytest.approx(math.exp(np.mean(head) - np.mean(base)))
    assert found.ratio.low == pytest.approx(math.exp(expected.low))
    assert found.ratio.high == pytest.approx(math.exp(expected.high))


def test_ratios_to_each_runs_own_baseline_are_compared(pair: Any) -> None:
    """Welch on the blocks' log ratios, by scipy; a slower machine alone changes nothing."""
    found = row(compare(*pair), "slot")
    check_interval(
        found,
        np.log(np.array(LATER) / np.array(HEAD)),
        np.log(np.array(SLOT) / np.array(BASE)),
    )
    assert found.verdict == "slower"
    assert found.more_blocks is None


def test_the_baseline_drifts_and_is_not_judged(pair: Any) -> None:
    """Its values are compared; 30 % less is drift, and no gate sees it."""
    compared = compare(*pair)
    found = row(compared, "threading")
    check_interval(found, np.log(HEAD), np.log(BASE))
    assert (found.verdict, found.is_judged) == ("drift", False)
    assert {g.row.contender for g in judge(compared, ["regression"]).rows} == {"slot"}


def test_a_floor_is_a_limit(pair: Any) -> None:
    """Its ratio is compared and not judged, absolutely too."""
    for is_absolute in (False, True):
        found = row(compare(*pair, is_absolute=is_absolute), "floor")
        assert (found.verdict, found.is_judged) == ("limit", False)
    check_interval(found, np.log([6 * v for v in HEAD]), np.log([7 * v for v in BASE]))


def test_absolute_compares_the_values_of_all(pair: Any) -> None:
    """The baseline is judged and gated like the others, and has no rows of its own kind."""
    compared = compare(*pair, is_absolute=True)
    check_interval(row(compared, "slot"), np.log(LATER), np.log(SLOT))
    check_interval(row(compared, "threading"), np.log(HEAD), np.log(BASE))
    assert compared.baseline is None
    assert not any(found.is_baseline for found in compared.rows)
    assert row(compared, "threading").verdict == "slower"
    gate = judge(compared, ["regression"])
    assert {g.row.contender for g in gate.rows} == {"threading", "slot"}
    assert gate.result == "regression"


def test_less_latency_is_faster(pair: Any) -> None:
    """Directions are those of the metrics, from base to head and back."""
    there, back = compare(*pair), compare(pair[1], pair[0])
    for metric in there.metrics:
        assert row(there, "slot", metric).verdict == "slower"
        assert row(back, "slot", metric).verdict == "faster"


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_run_against_itself_has_not_changed(pair: Any, is_absolute: bool) -> None:
    """Every ratio is exactly 1, inside its interval, and a note says why."""
    compared = compare(pair[0], pair[0], is_absolute=is_absolute)
    for found in compared.rows:
        assert found.ratio is not None
        assert found.ratio.point == 1.0
        assert found.ratio.low is not None
        assert found.ratio.high is not None
        assert found.ratio.low <= 1.0 <= found.ratio.high
    assert compared.notes == ("base and head are the same run: nothing can have changed",)
    assert compared.differences == ()
    assert judge(compared, ["regression"]).result == "passed"


def test_each_side_is_what_its_own_run_says(pair: Any) -> None:
    """Rows hold both runs' rows; the value is head's."""
    compared = compare(*pair)
    found = row(compared, "slot")
    assert found.sides == (
        next(r for r in compared.base.rows if (r.contender, r.metric) == ("slot", "throughput")),
        next(r for r in compared.head.rows if (r.contender, r.metric) == ("slot", "throughput")),
    )  # fmt: skip
    assert found.value == found.sides[1].value


AGAIN = [1004.0, 1002.0, 1001.0, 1001.0, 998.0]
LATER_AGAIN = [705.0, 708.0, 699.0, 700.0]


@pytest.fixture
def repeated(make_run: Any, make_trials: Any) -> Any:
    """The two runs of `pair` with second arms of their own scatter."""
    return tuple(
        (
            make_run(rounds=len(base)),
            make_trials({"threading": base, "slot": slot}, repeat=again),
        )
        for base, slot, again in ((BASE, SLOT, AGAIN), (HEAD, LATER, LATER_AGAIN))
    )


@pytest.mark.parametrize("is_absolute", [False, True])
def test_the_noise_floor_is_of_the_difference_that_is_judged(
    repeated: Any, is_absolute: bool
) -> None:
    """Half of scipy's Welch interval on both runs' A/A ratios, or on the baseline's values."""
    logs: Any = [np.log(HEAD), np.log(BASE)]
    if not is_absolute:
        logs = [np.log(np.array(LATER_AGAIN) / HEAD), np.log(np.array(AGAIN) / BASE)]
    expected: Any = stats.ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    compared = compare(*repeated, is_absolute=is_absolute)
    for found in (row(compared, "slot"), row(compared, "threading")):
        assert found.noise_floor == pytest.approx(
            math.expm1((expected.high - expected.low) / 2)
        )


def test_two_narrow_floors_need_not_resolve_together(made: Any, make_trials: Any) -> None:
    """Each run resolves 3 % by itself; their difference scatters by √2 more."""
    run, _ = made({"threading": BASE, "slot": SLOT})
    again = [v * w for v, w in zip(BASE, [1.02, 0.975, 1.02, 0.98, 1.0], strict=True)]
    one = run, make_trials({"threading": BASE, "slot": SLOT}, repeat=again)
    found = row(compare(one, one), "slot")
    assert found.sides is not None
    assert [side.can_resolve for side in found.sides] == [True, True]
    assert max(side.noise_floor or 1.0 for side in found.sides) < 0.03
    assert found.noise_floor is not None
    assert 0.03 < found.noise_floor < 0.04
    assert found.can_resolve is False


def test_a_baseline_that_differs_from_itself_resolves_nothing(repeated: Any) -> None:
    """A floor below δ is not enough where its interval leaves 1 out: here of values."""
    found = row(compare(*repeated, is_absolute=True), "slot")
    assert found.noise_floor is not None
    assert found.noise_floor < found.threshold
    assert found.can_resolve is False
    assert row(compare(*repeated), "slot").can_resolve is True


def test_there_is_no_floor_without_one_baseline_and_two_trials(made: Any) -> None:
    """Values of two baselines are no A/A; one block has no interval."""
    one = made({"threading": BASE, "slot": SLOT})
    other = made({"slot": LATER, "threading": HEAD})
    short = made({"threading": BASE[:1], "slot": SLOT[:1]})
    for found in (
        row(compare(one, other, is_absolute=True), "slot"),
        row(compare(one, short), "slot"),
        row(compare(one, short, is_absolute=True), "slot"),
    ):
        assert (found.noise_floor, found.can_resolve) == (None, None)


def test_trials_of_both_runs_are_left_out_and_counted(pair: Any, make_trial: Any) -> None:
    """INVALID and failed trials of either run each cost their own block."""
    (base, base_trials), (head, head_trials) = pair
    gone = {("slot", 0), ("slot", 1)}
    base_trials = [t for t in base_trials if (t.contender, t.round) not in gone]
    base_trials.append(make_trial("slot", None, round=1))
    base_trials.append(make_trial("slot", 9e9, round=0, invalid="lost_reply"))
    head_trials = [t for t in head_trials if (t.contender, t.round) != ("slot", 3)]
    head_trials.append(make_trial("slot", None, round=3))
    found = row(compare((base, base_trials), (head, head_trials)), "slot")
    check_interval(
        found,
        np.log(np.array(LATER[:3]) / np.array(HEAD[:3])),
        np.log(np.array(SLOT[2:]) / np.array(BASE[2:])),
    )
    assert (found.num_invalid, found.num_failed) == (1, 2)


def test_a_zero_of_either_run_withholds_the_verdict(made: Any) -> None:
    """Of the contender, or of the baseline it is divided by."""
    good = {"threading": BASE, "slot": SLOT}
    for who in good:
        bad = good | {who: [0.0, *good[who][1:]]}
        for two in ((made(good), made(bad)), (made(bad), made(good))):
            assert row(compare(*two), "slot").verdict == "inconclusive"
    bad = good | {"threading": [0.0, *BASE[1:]]}
    assert row(compare(made(good), made(bad), is_absolute=True), "slot").verdict != (
        "inconclusive"
    )


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_latency_beyond_saturation_withholds_the_verdict(is_absolute: bool) -> None:
    """It is a lower limit, as long as the window; throughput and lighter cells are judged."""
    base = grids.open_grid(("threading", "slot"))
    faster = [
        replace(
            one,
            measurement=replace(
                one.measurement, latency_p99_s=0.5 * (one.measurement.latency_p99_s or 0.0)
            ),
        )
        for one in base.trials
        if one.measurement is not None
    ]
    found = compare(
        (base.run, base.trials),
        (base.run, faster),
        metrics=["latency_p99"],
        is_absolute=is_absolute,
    )
    light, full, beyond = (cell.name for cell in base.run.scenario.cells)
    verdicts = {r.cell: r.verdict for r in found.rows if r.contender == "slot"}
    kept = "faster" if is_absolute else "equivalent"
    assert verdicts == {light: kept, full: kept, beyond: "inconclusive"}


def test_one_block_in_a_run_decides_nothing(made: Any) -> None:
    """There is a ratio, no interval, and no regression."""
    compared = compare(
        made({"threading": BASE, "slot": SLOT}), made({"threading": [1e3], "slot": [1e3]})
    )
    found = row(compared, "slot")
    assert found.ratio is not None
    assert (found.ratio.low, found.verdict) == (None, "inconclusive")
    assert judge(compared, ["inconclusive"]).result == "inconclusive"


def test_what_one_run_lacks_is_noted_and_not_compared(made: Any) -> None:
    """Cells and contenders of one side only, by name and side."""
    base = made({"threading": BASE, "slot": SLOT, "old": SLOT}, slots=(1, 8))
    head = made({"threading": BASE, "slot": SLOT, "new": SLOT}, slots=(8, 64))
    compared = compare(base, head)
    assert [cell.name for cell in compared.cells] == ["num_slots=8"]
    assert [c.label for c in compared.contenders] == ["threading", "slot"]
    assert set(compared.notes) >= {
        "cell num_slots=1 is only in base",
        "cell num_slots=64 is only in head",
        "contender old is only in base",
        "contender new is only in head",
    }


def test_thresholds_are_heads_scenarios_or_the_callers(made: Any) -> None:
    """Runs of other δ say so; a metric may have its own."""
    rates = {"threading": BASE, "slot": SLOT}
    base, head = made(rates, threshold=0.03), made(rates, threshold=0.05)
    compared = compare(base, head, thresholds={"latency_p99": 0.2})
    assert dict(compared.thresholds) == {
        "throughput": 0.05, "latency_p50": 0.05, "latency_p99": 0.2,
    }  # fmt: skip
    assert row(compared, "slot", "latency_p99").threshold == 0.2
    assert "δ is 0.05, as head says; base says 0.03" in compared.notes
    told = compare(base, head, threshold=0.1)
    assert told.threshold == 0.1
    assert not [note for note in told.notes if "δ" in note]


def test_thresholds_of_a_run_until_decided_are_kept_between_runs(made: Any) -> None:
    """Head's, of the metric that it was to decide by; where base had another it is said."""
    rates = {"threading": BASE, "slot": SLOT}
    base, (run, trials) = made(rates), made(rates)
    planned = Sequential((5, 7, 10), 0.985, ("throughput",), {"throughput": 0.1})
    compared = compare(base, (replace(run, sequential=planned), trials))
    assert dict(compared.thresholds) == {
        "throughput": 0.1, "latency_p50": 0.03, "latency_p99": 0.03,
    }  # fmt: skip
    assert "δ of throughput is 0.1, as head says; base says 0.03" in compared.notes


def test_another_machine_is_refused(pair: Any) -> None:
    """One line names what differs and the way around it; told to, it compares and says so."""
    (base, base_trials), (head, head_trials) = pair
    base = replace(base, environment={"machine_id": "aa", "git_commit": "1"})
    head = replace(head, environment={"machine_id": "bb", "git_commit": "2"})
    two = (base, base_trials), (head, head_trials)
    with pytest.raises(
        SlotbenchError, match=r"^the runs are not comparable: machine_id is aa and bb; .*--allow-different$"
    ):  # fmt: skip
        compare(*two)
    compared = compare(*two, allow_different=True)
    assert [(d.name, d.forbids) for d in compared.differences] == [
        ("machine_id", True),
        ("git_commit", False),
    ]


def test_a_part_resumed_elsewhere_counts(pair: Any) -> None:
    """A run that went on with another torch is not comparable, whatever it began with."""
    base, (head, trials) = pair
    base = (replace(base[0], environment={"torch_version": "2.13.0"}), base[1])
    again = Resumption("2025-01-02T04:04:05+00:00", 3, {"torch_version": "2.13.1"}, ())
    head = replace(head, environment={"torch_version": "2.13.0"}, resumptions=(again,))
    with pytest.raises(SlotbenchError, match=r"torch_version is 2\.13\.0 and 2\.13\.1"):
        compare(base, (head, trials))


def test_another_workload_under_the_same_name_is_refused(made: Any) -> None:
    """The field is named with both values and the cells; told to, it compares."""
    rates = {"threading": BASE, "slot": SLOT}
    base, (run, trials) = made(rates, slots=(1, 8)), made(rates, slots=(1, 8))
    cells = tuple(
        replace(
            cell,
            workload=replace(
                cell.workload, model=replace(cell.workload.model, latency_ms=2.0)
            ),
        )
        for cell in run.scenario.cells
    )
    head = (replace(run, scenario=replace(run.scenario, cells=cells)), trials)
    with pytest.raises(SlotbenchError, match=r"model\.latency_ms is 0\.0 and 2\.0;"):
        compare(base, head)
    (found,) = compare(base, head, allow_different=True).differences
    assert (found.name, found.base, found.head, found.forbids) == (
        "model.latency_ms", 0.0, 2.0, True,
    )  # fmt: skip
    assert found.why == "another workload in 2 cells, such as cell 'num_slots=1'"


def test_many_forbidding_differences_are_counted(pair: Any) -> None:
    """A refusal stays one readable line."""
    (base, one), (head, other) = pair
    names = ("machine_id", "cpu_model_name", "cpu_count", "python_version", "torch_version")
    names += ("python_implementation", "gil_enabled")
    base = replace(base, environment=dict.fromkeys(names, "a"))
    head = replace(head, environment=dict.fromkeys(names, "b"))
    with pytest.raises(SlotbenchError, match="2 more; measure"):
        compare((base, one), (head, other))


def test_nothing_in_common_is_one_line(made: Any) -> None:
    """No cell, or no contender, and what to run instead."""
    one = made({"threading": BASE, "slot": SLOT}, slots=(1,))
    with pytest.raises(SlotbenchError, match="have no cell in common"):
        compare(one, made({"threading": BASE, "slot": SLOT}, slots=(8,)))
    with pytest.raises(SlotbenchError, match="have no contender in common"):
        compare(one, made({"mine": BASE, "yours": SLOT}, slots=(1,)))


def test_different_baselines_need_a_word(made: Any) -> None:
    """One line names both; --baseline or --absolute decides."""
    base = made({"threading": BASE, "slot": SLOT})
    head = made({"slot": LATER, "threading": HEAD})
    with pytest.raises(SlotbenchError, match=r"threading in \S+ and slot in .*--absolute"):
        compare(base, head)
    assert row(compare(base, head, baseline="slot"), "slot").verdict == "drift"
    check_interval(
        row(compare(base, head, is_absolute=True), "slot"), np.log(LATER), np.log(SLOT)
    )
    with pytest.raises(SlotbenchError, match="leave out --baseline or --absolute"):
        compare(base, head, baseline="slot", is_absolute=True)
    with pytest.raises(
        SlotbenchError, match=r"no contender 'slto' in .*: it has threading"
    ):
        compare(base, head, baseline="slto")


def test_committed_runs_are_compared_as_a_frame_would() -> None:
    """Two recorded runs of limits: one cell's ratio, computed anew from the trials."""
    base, head = (store.read(REFERENCE / name) for name in ("limits_first", "limits"))
    compared = compare((base.run, base.trials), (head.run, head.trials))
    found = row(compared, "slot")
    logs = []
    for one in (base, head):
        values: dict[tuple[str, int], float] = {
            (t.contender, t.round): t.measurement.num_replies / t.measurement.window_s
            for t in one.trials
            if t.cell == compared.cells[0].name and t.arm == 0 and t.measurement is not None
        }
        rounds = sorted({number for _, number in values})
        logs.append(
            [
                math.log(values["slot", r] / values[str(compared.baseline), r])
                for r in rounds
            ]
        )
    check_interval(found, logs[1], logs[0])


def test_runs_on_other_cores_are_refused() -> None:
    """The committed run on one core is not compared with the one on two."""
    two, one = (store.read(REFERENCE / name) for name in ("wakeups", "wakeups_one_core"))
    with pytest.raises(SlotbenchError, match="cpu_affinity_count is 2 and 1"):
        compare((two.run, two.trials), (one.run, one.trials))


def test_the_same_change_is_found_whatever_the_machine_does(made: Any) -> None:
    """Ratios do not move when a run's every trial is half as fast; values do."""
    half = {"threading": [v / 2 for v in HEAD], "slot": [v / 2 for v in LATER]}
    base = made({"threading": BASE, "slot": SLOT})
    quick, slow = made({"threading": HEAD, "slot": LATER}), made(half)
    one, other = (row(compare(base, head), "slot") for head in (quick, slow))
    assert one.ratio is not None
    assert other.ratio is not None
    for field in dataclasses.fields(one.ratio):
        assert getattr(one.ratio, field.name) == pytest.approx(
            getattr(other.ratio, field.name)
        )
