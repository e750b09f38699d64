"""Which trials count, which pair, and what is said of the rest."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from slotbench.compute.blocks import counted_trials
from slotbench.compute.comparison import Comparison, ComparisonRow, compare
from slotbench.errors import RecordError, SlotbenchError
from slotbench.records import Contender, Finding

BASE = [1000.0, 1010.0, 990.0, 1005.0, 995.0]
FAST = [1500.0, 1520.0, 1480.0, 1500.0, 1510.0]


def row(
    comparison: Comparison,
    contender: str,
    metric: str = "throughput",
    cell: str = "num_slots=8",
) -> ComparisonRow:
    """The one row of that contender, metric and cell."""
    (found,) = [
        r
        for r in comparison.rows
        if (r.contender, r.metric, r.cell) == (contender, metric, cell)
    ]
    return found


def test_the_ratio_of_values_is_the_ratio(make_run: Any, make_trials: Any) -> None:
    """With complete pairs value over value is the estimate's point, for every metric."""
    found = compare(make_run(), make_trials({"threading": BASE, "slot": FAST}))
    for metric in ("throughput", "latency_p50", "latency_p99"):
        slot, base = row(found, "slot", metric), row(found, "threading", metric)
        assert slot.ratio is not None
        assert slot.value is not None
        assert base.value is not None
        assert slot.value / base.value == pytest.approx(slot.ratio.point, rel=1e-12)


def test_the_interval_is_that_of_the_pairs(make_run: Any, make_trials: Any) -> None:
    """The one-sample interval on the logs of the blocks' ratios, by scipy, is the row's."""
    found = row(compare(make_run(), make_trials({"threading": BASE, "slot": FAST})), "slot")
    logs = np.log(np.array(FAST) / np.array(BASE))
    expected = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert found.ratio is not None
    assert found.ratio.num_pairs == 5
    assert found.ratio.low == pytest.approx(math.exp(expected.low))
    assert found.ratio.high == pytest.approx(math.exp(expected.high))


def test_more_throughput_and_less_latency_are_both_faster(
    make_run: Any, make_trials: Any
) -> None:
    """A verdict follows the metric's direction."""
    found = compare(make_run(), make_trials({"threading": BASE, "slot": FAST}))
    assert [r.verdict for r in found.rows if r.contender == "slot"] == ["faster"] * 3
    turned = compare(make_run(), make_trials({"threading": FAST, "slot": BASE}))
    assert [r.verdict for r in turned.rows if r.contender == "slot"] == ["slower"] * 3


def test_the_order_of_trials_does_not_matter(make_run: Any, make_trials: Any) -> None:
    """Pairs are found by round and cell, not by place in the file."""
    trials = make_trials({"threading": BASE, "slot": FAST})
    forth, back = compare(make_run(), trials), compare(make_run(), trials[::-1])
    assert forth.rows == back.rows


def test_every_cell_contender_and_metric_has_a_row(make_run: Any, make_trials: Any) -> None:
    """Also where nothing was recorded; the baseline leads and the floor comes last."""
    run = make_run(["threading", "floor", "slot"], slots=(1, 8))
    found = compare(run, make_trials({"threading": BASE}))
    assert [(r.cell, r.contender, r.metric) for r in found.rows] == [
        (cell, contender, metric)
        for cell in ("num_slots=1", "num_slots=8")
        for contender in ("threading", "slot", "floor")
        for metric in ("throughput", "latency_p50", "latency_p99")
    ]
    empty = row(found, "slot", cell="num_slots=1")
    assert (empty.value, empty.ratio, empty.verdict, empty.num_trials) == (None,) * 3 + (0,)


def test_the_baselines_own_row_has_no_ratio(make_run: Any, make_trials: Any) -> None:
    """It is compared with nothing, and its value comes from its first arm alone."""
    trials = make_trials({"threading": BASE, "slot": FAST}, repeat=[5000.0] * 5)
    base = row(compare(make_run(), trials), "threading")
    assert base.is_baseline
    assert (base.ratio, base.verdict) == (None, None)
    assert base.value == pytest.approx(math.exp(np.log(BASE).mean()))


def test_the_second_arm_serves_the_noise_floor_alone(
    make_run: Any, make_trials: Any
) -> None:
    """Changing it moves the noise floor of every row and no ratio."""
    quiet = compare(make_run(), make_trials({"threading": BASE, "slot": FAST}))
    loud = compare(
        make_run(),
        make_trials(
            {"threading": BASE, "slot": FAST}, repeat=[1100.0, 900.0, 1000.0, 1200.0, 950.0]
        ),
    )
    assert row(quiet, "slot").ratio == row(loud, "slot").ratio
    assert row(quiet, "slot").can_resolve is True
    assert row(loud, "slot").can_resolve is False
    logs = np.log(np.array([1100.0, 900.0, 1000.0, 1200.0, 950.0]) / np.array(BASE))
    half = stats.t.ppf(0.975, 4) * logs.std(ddof=1) / math.sqrt(5)
    assert row(loud, "slot").noise_floor == pytest.approx(math.expm1(half))


def test_invalid_trials_are_counted_listed_and_never_used(
    make_run: Any, make_trials: Any, make_trial: Any
) -> None:
    """Their numbers move nothing, whichever side they are on."""
    trials = make_trials({"threading": BASE, "slot": [*FAST[:4], None]})
    kept = [t for t in trials if not (t.round == 3 and t.arm == 0)]
    wrong = [
        make_trial("slot", 9e9, round=4, invalid="reply_lost"),
        make_trial("threading", 1.0, round=3, invalid="clock"),
        make_trial("slot", FAST[3], round=3),
    ]
    kept = [t for t in kept if not (t.contender == "slot" and t.round == 4)]
    found = compare(make_run(), kept + wrong)
    slot = row(found, "slot")
    assert slot.ratio is not None
    assert slot.ratio.num_pairs == 3
    assert slot.num_invalid == 1
    assert slot.num_trials == 4
    assert slot.value == pytest.approx(math.exp(np.log(FAST[:4]).mean()))
    assert {(p.kind, p.rule, p.contender, p.round) for p in found.problems} == {
        ("INVALID", "reply_lost", "slot", 4),
        ("INVALID", "clock", "threading", 3),
    }


def test_failed_trials_are_counted_and_listed_with_their_error(
    make_run: Any, make_trials: Any
) -> None:
    """A hung trial costs its pair and shows its reason."""
    found = compare(make_run(), make_trials({"threading": BASE, "slot": [None, *FAST[1:]]}))
    slot = row(found, "slot")
    assert slot.ratio is not None
    assert (slot.num_failed, slot.num_trials, slot.ratio.num_pairs) == (1, 4, 4)
    (problem,) = found.problems
    assert (problem.kind, problem.detail) == ("failed", "hung after 30 s")


def test_only_the_highest_attempt_of_a_block_counts(
    make_run: Any, make_trials: Any, make_trial: Any
) -> None:
    """A block measured again replaces all its trials, and no trial of another block."""
    trials = make_trials({"threading": BASE, "slot": FAST})
    again = [
        make_trial("threading", 2000.0, round=0, attempt=1),
        make_trial("slot", 2000.0, round=0, attempt=1),
        make_trial("threading", 2000.0, round=0, attempt=1, arm=1),
    ]
    found = row(compare(make_run(), trials + again), "slot")
    expected = [1.0, *(a / b for a, b in zip(FAST[1:], BASE[1:], strict=True))]
    assert found.ratio is not None
    assert found.ratio.point == pytest.approx(math.exp(np.log(expected).mean()))
    assert len(counted_trials(make_run(), trials + again)) == len(trials)


def test_problems_of_replaced_attempts_are_listed_but_not_counted(
    make_run: Any, make_trials: Any, make_trial: Any
) -> None:
    """A lost reply is shown also where the block was measured again."""
    trials = [t for t in make_trials({"threading": BASE, "slot": FAST}) if t.round != 0]
    first = [make_trial("slot", 1500.0, round=0, invalid="reply_lost")]
    again = [
        make_trial("threading", 1000.0, round=0, attempt=1),
        make_trial("slot", 1500.0, round=0, attempt=1),
    ]
    found = compare(make_run(), trials + first + again)
    assert row(found, "slot").num_invalid == 0
    assert [(p.rule, p.is_counted) for p in found.problems] == [("reply_lost", False)]


def test_disturbed_trials_are_used_and_listed(make_run: Any, make_trials: Any) -> None:
    """DISTURBED and warnings take no trial out."""
    trials = make_trials({"threading": BASE, "slot": FAST})
    steal = Finding("steal", "DISTURBED", "4 % stolen", "use a quiet machine")
    trials = [replace(t, findings=(steal,)) if t.contender == "slot" else t for t in trials]
    found = compare(make_run(), trials)
    assert row(found, "slot").num_trials == 5
    assert [p.kind for p in found.problems] == ["DISTURBED"] * 5


def test_a_value_of_zero_withholds_the_verdict(make_run: Any, make_trials: Any) -> None:
    """A contender that once served nothing is not called faster by its other rounds."""
    found = compare(make_run(), make_trials({"threading": BASE, "slot": [0.0, *FAST[1:]]}))
    slot = row(found, "slot")
    assert slot.value == 0.0
    assert slot.verdict == "inconclusive"
    assert slot.more_blocks is None
    assert [p.rule for p in found.problems] == ["zero_value"]
    base = compare(make_run(), make_trials({"threading": [0.0, *BASE[1:]], "slot": FAST}))
    assert row(base, "slot").verdict == "inconclusive"


def test_a_missing_p99_takes_only_its_own_pair(make_run: Any, make_trials: Any) -> None:
    """Too few samples for p99 leave throughput alone."""
    trials = make_trials({"threading": BASE, "slot": FAST})
    trials = [
        replace(t, measurement=replace(t.measurement, latency_p99_s=None))
        if t.contender == "slot" and t.round < 4
        else t
        for t in trials
    ]
    found = compare(make_run(), trials)
    full, short = row(found, "slot").ratio, row(found, "slot", "latency_p99").ratio
    assert full is not None
    assert short is not None
    assert (full.num_pairs, short.num_pairs) == (5, 1)
    assert row(found, "slot", "latency_p99").verdict == "inconclusive"


def test_one_round_gives_points_and_no_verdict(make_run: Any, make_trials: Any) -> None:
    """A single block has a ratio, no interval, no noise floor."""
    found = row(
        compare(make_run(rounds=1), make_trials({"threading": [1000.0], "slot": [1500.0]})),
        "slot",
    )
    assert found.ratio is not None
    assert found.ratio.point == pytest.approx(1.5)
    assert found.ratio.low is None
    assert (found.verdict, found.more_blocks) == ("inconclusive", None)
    assert (found.noise_floor, found.can_resolve) == (None, None)


def test_another_baseline_can_be_named(make_run: Any, make_trials: Any) -> None:
    """Ratios turn round; the noise floor stays that of the contender that ran twice."""
    trials = make_trials({"threading": BASE, "slot": FAST})
    usual = compare(make_run(), trials)
    turned = compare(make_run(), trials, baseline="slot")
    one, other = row(usual, "slot").ratio, row(turned, "threading").ratio
    assert one is not None
    assert other is not None
    assert one.point * other.point == pytest.approx(1.0)
    assert row(turned, "threading").verdict == "slower"
    assert turned.contenders[0].label == turned.baseline == "slot"
    assert row(turned, "threading").noise_floor == row(usual, "slot").noise_floor


def test_the_floor_is_compared_and_marked(make_run: Any, make_trials: Any) -> None:
    """Its ratio is there for the reader, with a mark that it is no contestant."""
    run = make_run(["threading", "slot", "floor"])
    trials = make_trials({"threading": BASE, "slot": FAST, "floor": [9000.0] * 5})
    found = row(compare(run, trials), "floor")
    assert found.is_floor
    assert found.ratio is not None
    assert found.ratio.point == pytest.approx(9.0, rel=0.01)


def test_mean_batch_size_stands_beside_every_metric(
    make_run: Any, make_trials: Any
) -> None:
    """It is the mean over usable trials, the same in every row of a contender and cell."""
    found = compare(make_run(), make_trials({"threading": BASE, "slot": [None, *FAST[1:]]}))
    assert {r.mean_batch_size for r in found.rows} == {4.0}


def test_a_threshold_replaces_the_scenarios(make_run: Any, make_trials: Any) -> None:
    """±60 % makes a factor of 1.5 equivalent."""
    trials = make_trials({"threading": BASE, "slot": FAST})
    found = compare(make_run(), trials, threshold=0.6, metrics=("throughput",))
    assert found.threshold == 0.6
    assert row(found, "slot").verdict == "equivalent"


def test_a_metric_may_have_its_own_threshold(make_run: Any, make_trials: Any) -> None:
    """Its verdicts and what it can resolve follow it; the others keep theirs."""
    trials = make_trials(
        {"threading": BASE, "slot": FAST}, repeat=[1.06 * value for value in BASE]
    )
    found = compare(make_run(), trials, threshold=0.02, thresholds={"latency_p50": 0.6})
    assert dict(found.thresholds) == {
        "throughput": 0.02, "latency_p50": 0.6, "latency_p99": 0.02,
    }  # fmt: skip
    assert [r.threshold for r in found.rows if r.contender == "slot"] == [0.02, 0.6, 0.02]
    assert row(found, "slot").verdict == "faster"
    assert row(found, "slot", "latency_p50").verdict == "equivalent"
    assert row(found, "slot", "latency_p50").more_blocks == 0


def test_a_metric_without_direction_is_different_or_equivalent(
    make_run: Any, make_trials: Any
) -> None:
    """Batch size is neither faster nor slower; a metric named twice is compared once."""
    trials = make_trials({"threading": BASE, "slot": FAST})
    found = compare(make_run(), trials, metrics=["mean_batch_size", "mean_batch_size"])
    assert found.metrics == ("mean_batch_size",)
    assert row(found, "slot", "mean_batch_size").verdict == "equivalent"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline": "slto"}, "^no contender 'slto' in this run: it has threading, slot$"),
        ({"metrics": ["p50"]}, "^unknown metric 'p50'"),
        ({"metrics": []}, "^a comparison needs at least one metric$"),
        ({"threshold": -0.1}, "^threshold is -0.1"),
        ({"threshold": math.nan}, "^threshold is nan"),
        ({"thresholds": {"latency_p99": -1.0}}, "^threshold is -1.0"),
        ({"thresholds": {"p99": 0.1}}, "^unknown metric 'p99'"),
        (
            {"thresholds": {"mean_batch_size": 0.1}},
            "^a threshold is given for mean_batch_size, which is not compared",
        ),
    ],
)
def test_what_a_user_can_get_wrong_is_one_line(
    options: dict[str, Any], message: str, make_run: Any, make_trials: Any
) -> None:
    """Each is a SlotbenchError that says what is there instead."""
    with pytest.raises(SlotbenchError, match=message):
        compare(make_run(), make_trials({"threading": BASE}), **options)


def test_a_run_without_a_baseline_asks_for_one(make_run: Any) -> None:
    """It names the contenders to choose from."""
    run = make_run()
    contenders = tuple(
        Contender(c.label, c.name, c.options, c.server) for c in run.scenario.contenders
    )
    run = replace(run, scenario=replace(run.scenario, contenders=contenders))
    with pytest.raises(SlotbenchError, match="name one of threading, slot"):
        compare(run, [])


def test_trials_of_another_run_are_refused(make_run: Any, make_trial: Any) -> None:
    """An unknown cell, an unknown contender and a doubled trial are not passed over."""
    with pytest.raises(RecordError, match="does not have"):
        compare(make_run(), [make_trial(cell="num_slots=99")])
    with pytest.raises(RecordError, match="does not have"):
        compare(make_run(), [make_trial("stranger")])
    with pytest.raises(RecordError, match="twice in round 0"):
        compare(make_run(), [make_trial(), make_trial()])
