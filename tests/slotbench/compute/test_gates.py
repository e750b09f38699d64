"""Which rows fail a gate: Holm against published values, the rest on small synthetic runs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from slotbench.compute import between
from slotbench.compute.comparison import Comparison, compare
from slotbench.compute.gates import ALPHA, Gate, holm, judge
from slotbench.errors import SlotbenchError

BASE = [1000.0, 1001.0, 999.0, 1000.5, 999.5]
NOISY = [800.0, 1300.0, 900.0, 1200.0, 1000.0]


def times(factor: float) -> list[float]:
    """A contender that is that much faster in every round, within 0.1 %."""
    return [
        factor * value * wobble
        for value, wobble in zip(BASE, [1, 1.001, 0.999, 1.0005, 1], strict=True)
    ]


def outcomes(gate: Gate) -> dict[tuple[str, str], str]:
    """Contender and metric → what came of its row."""
    return {(g.row.contender, g.row.metric): g.outcome for g in gate.rows}


@pytest.fixture
def comparison(make_run: Any, make_trials: Any) -> Comparison:
    """One cell: a winner, a loser, one undecided, and a floor below them all."""
    run = make_run(["threading", "fast", "slow", "noisy", "floor"])
    return compare(
        run,
        make_trials(
            {
                "threading": BASE,
                "fast": times(1.5),
                "slow": times(0.9),
                "noisy": NOISY,
                "floor": times(0.5),
            }
        ),
    )


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        # stdlib.js, documentation of @stdlib/stats/padjust, as R's p.adjust has it.
        ([0.319, 0.201, 0.4, 0.374, 0.113], [0.957, 0.804, 0.957, 0.957, 0.565]),
        # Wikipedia, "Holm-Bonferroni method", example.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm_gives_published_values(raw: list[float], adjusted: list[float]) -> None:
    """Adjusted p-values stand in the order of the raw ones."""
    assert holm(raw) == pytest.approx(tuple(adjusted))


def test_holm_rejects_what_a_published_example_rejects() -> None:
    """R package HDLSSkST 2.1.0, page ``Holm``: at 5 % the third and the last of seven."""
    raw = [0.50, 0.01, 0.001, 0.69, 0.02, 0.05, 0.0025]
    assert [p < 0.05 for p in holm(raw)] == [False, False, True, False, False, False, True]


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.001, 0.2))
def test_holm_is_the_step_down_procedure(raw: list[float], alpha: float) -> None:
    """Adjusted p-values below a level are those the procedure, as Holm words it, rejects."""
    rejected = set()
    for rank, index in enumerate(sorted(range(len(raw)), key=raw.__getitem__)):
        if raw[index] * (len(raw) - rank) >= alpha:
            break
        rejected.add(index)
    assert {i for i, p in enumerate(holm(raw)) if p < alpha} == rejected


def test_a_row_beyond_the_threshold_regresses(comparison: Comparison) -> None:
    """A tenth slower fails by throughput and both latencies; faster and noisy do not."""
    gate = judge(comparison, ["regression"])
    assert gate.result == "regression"
    found = outcomes(gate)
    assert {who for (who, _), outcome in found.items() if outcome == "regressed"} == {
        "slow"
    }
    assert {metric for (who, metric) in found if who == "slow"} == set(comparison.metrics)
    assert found["fast", "throughput"] == found["fast", "latency_p99"] == "passed"
    assert found["noisy", "throughput"] == "inconclusive"


def test_baseline_and_floor_are_not_gated(comparison: Comparison) -> None:
    """The floor is half as fast and fails nothing."""
    gated = {contender for contender, _ in outcomes(judge(comparison, ["regression"]))}
    assert gated == {"fast", "slow", "noisy"}


def test_slower_within_the_threshold_passes(make_run: Any, make_trials: Any) -> None:
    """10 % slower is no regression where 20 % do not matter, and is one for p99 alone."""
    trials = make_trials({"threading": BASE, "slow": times(0.9)})
    run = make_run(["threading", "slow"])
    assert judge(compare(run, trials, threshold=0.2), ["regression"]).result == "passed"
    mixed = compare(run, trials, threshold=0.2, thresholds={"latency_p99": 0.05})
    gate = judge(mixed, ["regression"])
    assert gate.result == "regression"
    assert outcomes(gate) == {
        ("slow", "throughput"): "passed",
        ("slow", "latency_p50"): "passed",
        ("slow", "latency_p99"): "regressed",
    }


def test_a_metric_without_direction_is_not_gated(
    make_run: Any, make_trials: Any, make_measurement: Any
) -> None:
    """Mean batch size may differ as it likes; alone it leaves nothing to gate."""
    trials = make_trials({"threading": BASE, "slow": times(0.9)})
    run = make_run(["threading", "slow"])
    both = compare(run, trials, metrics=["mean_batch_size", "latency_p50"])
    assert {metric for _, metric in outcomes(judge(both, ["regression"]))} == {
        "latency_p50"
    }
    with pytest.raises(SlotbenchError, match=r"^there is nothing to gate"):
        judge(compare(run, trials, metrics=["mean_batch_size"]), ["regression"])


def test_many_rows_take_one_near_miss_together(make_run: Any, make_trials: Any) -> None:
    """A row that is beyond δ by itself is not among twenty that are taken together."""
    rng = np.random.default_rng(8)
    labels = ["threading", "near", *(f"same{number}" for number in range(19))]
    rates = {label: (1000 * rng.normal(1, 0.02, 5)).tolist() for label in labels}
    rates["threading"] = [1000.0] * 5
    rates["near"] = [850.0, 940.0, 890.0, 870.0, 945.0]
    both = ["threading", "near"]
    pair = {label: rates[label] for label in both}
    few = compare(make_run(both), make_trials(pair), metrics=["throughput"])
    many = compare(make_run(labels), make_trials(rates), metrics=["throughput"])
    assert judge(few, ["regression"]).result == "regression"
    gate = judge(many, ["regression"])
    (near,) = [gated for gated in gate.rows if gated.row.contender == "near"]
    assert gate.result == "passed"
    assert near.is_beyond
    assert near.p_worse is not None
    assert near.p_holm == pytest.approx(20 * near.p_worse)
    assert near.p_worse < ALPHA < 20 * near.p_worse


def test_inconclusive_fails_where_it_is_asked(make_run: Any, make_trials: Any) -> None:
    """An undecided row passes one gate and fails the other; a regression fails both."""
    trials = make_trials({"threading": BASE, "noisy": NOISY})
    found = compare(make_run(["threading", "noisy"]), trials)
    assert judge(found, ["regression"]).result == "passed"
    assert judge(found, ["inconclusive"]).result == "inconclusive"
    assert judge(found, ["inconclusive", "regression"]).fail_on == (
        "regression",
        "inconclusive",
    )
    trials = make_trials({"threading": BASE, "slow": times(0.9)})
    worse = compare(make_run(["threading", "slow"]), trials)
    assert judge(worse, ["inconclusive"]).result == "regression"


def test_a_contender_without_trials_passes_no_gate(make_run: Any, make_trials: Any) -> None:
    """Of which nothing was recorded has no p, and is missing data; of a floor it is none."""
    found = compare(
        make_run(["threading", "slot", "absent"]),
        make_trials({"threading": BASE, "slot": times(1.5)}),
    )
    for asked in ("inconclusive", "regression"):
        gate = judge(found, [asked])
        assert gate.result == "missing data"
        assert gate.missing == ("the run lacks any metric of absent in num_slots=8",)
        assert outcomes(gate)["absent", "throughput"] == "no ratio"
    kept = between.narrow(found, ["slot"])
    assert judge(kept, ["regression"]).result == "passed"
    rates = {"threading": BASE, "slot": times(1.5)}
    floor = compare(make_run([*rates, "floor"]), make_trials(rates))
    assert judge(floor, ["regression"]).result == "passed"


def test_a_metric_or_a_baseline_without_numbers_is_missing(
    make_run: Any, make_trials: Any
) -> None:
    """Trials that have no p99, or none of the baseline, leave rows that nobody judged."""
    trials = [
        replace(t, measurement=replace(t.measurement, latency_p99_s=None))
        if t.contender == "slot"
        else t
        for t in make_trials({"threading": BASE, "slot": times(1.5)})
    ]
    gate = judge(compare(make_run(), trials), ["regression"])
    assert gate.result == "missing data"
    assert gate.missing == ("the run lacks p99 latency of slot in num_slots=8",)
    alone = [t for t in trials if t.contender == "slot"]
    gate = judge(compare(make_run(), alone, metrics=["throughput"]), ["regression"])
    assert gate.missing == ("the run lacks any metric of threading in num_slots=8",)
    zero = make_trials({"threading": BASE, "slot": [0.0] * 5})
    gate = judge(compare(make_run(), zero, metrics=["throughput"]), ["regression"])
    assert gate.missing == ("no ratio by any metric of slot in num_slots=8",)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("interrupted", "was interrupted"),
        ("killed", "was killed"),
        ("running", "has not ended"),
    ],
)
def test_an_incomplete_run_passes_no_gate(
    status: str, words: str, make_run: Any, make_trials: Any
) -> None:
    """Alone, as base and as head; a regression in it still is one."""
    trials = make_trials({"threading": BASE, "slot": times(1.5)})
    whole, part = (make_run(), trials), (make_run(status=status), trials)
    for compared, name in (
        (compare(*part), "the run"),
        (between.compare(part, whole), "base"),
        (between.compare(whole, part), "head"),
    ):
        gate = judge(compared, ["regression"])
        assert (gate.result, gate.missing) == ("missing data", (f"{name} {words}",))
    worse = make_run(status=status), make_trials({"threading": BASE, "slot": times(1.3)})
    assert judge(between.compare(whole, worse), ["regression"]).result == "regression"


def test_what_head_lacks_is_missing_and_what_base_lacks_is_new(
    make_run: Any, make_trials: Any
) -> None:
    """Cells and contenders, skipped or not; floors and what was not chosen are not gated."""
    rates = {"threading": BASE, "slot": times(1.5)}
    few = make_run([*rates], slots=(8,)), make_trials(rates)
    more = rates | {"broken": times(1.2), "floor": times(7)}
    cells = ["num_slots=1", "num_slots=8"]
    many = make_run([*more], slots=(1, 8)), make_trials(more, cells=cells)
    gate = judge(between.compare(many, few), ["regression"])
    assert gate.result == "missing data"
    assert gate.missing == ("head has no contender broken", "head has no cell num_slots=1")
    assert judge(between.compare(few, many), ["regression"]).result == "passed"
    chosen = between.narrow(between.compare(many, few), ["slot"])
    assert judge(chosen, ["regression"]).missing == ("head has no cell num_slots=1",)


def test_a_gate_whose_only_contender_is_gone_is_no_wrong_usage(
    make_run: Any, make_trials: Any
) -> None:
    """It is missing data, though no row is left; without a metric to gate it is usage."""
    rates = {"threading": BASE, "slot": times(1.5)}
    base, head = make_run([*rates]), make_run(["threading"])
    two = (base, make_trials(rates)), (head, make_trials({"threading": BASE}))
    gate = judge(between.compare(*two), ["regression"])
    assert (gate.rows, gate.result) == ((), "missing data")
    with pytest.raises(SlotbenchError, match=r"^there is nothing to gate"):
        judge(between.compare(*two, metrics=["mean_batch_size"]), ["regression"])


@pytest.mark.parametrize("side", ["base", "head"])
def test_a_row_without_trials_of_one_run_is_missing(
    side: str, make_run: Any, make_trials: Any, make_trial: Any
) -> None:
    """Also where the other run's INVALID trial is in the row; failed trials come first."""
    rates = {"threading": BASE, "slot": times(1.5)}
    bad = make_trial("slot", 1.0, round=5, invalid="lost_reply")
    whole = make_run(), [*make_trials(rates), bad]
    empty = make_run(), make_trials({"threading": BASE})
    two = (empty, whole) if side == "base" else (whole, empty)
    gate = judge(between.compare(*two), ["regression"])
    assert gate.result == "missing data"
    assert gate.missing == (f"{side} lacks any metric of slot in num_slots=8",)
    failed = make_trials(rates | {"threading": [None, *BASE[1:]]})
    two = (empty, (make_run(), failed)) if side == "base" else ((make_run(), failed), empty)
    assert judge(between.compare(*two), ["regression"]).result == "failed trial"


def test_invalid_trials_alone_are_invalid_and_not_missing(
    make_run: Any, make_trials: Any, make_trial: Any
) -> None:
    """The record holds them: what is wrong is named by its own word."""
    trials = make_trials({"threading": BASE})
    trials += [make_trial("slot", 1.0, round=n, invalid="lost_reply") for n in range(5)]
    gate = judge(compare(make_run(), trials), ["regression"])
    assert (gate.result, gate.missing) == ("INVALID", ())


def test_a_value_of_zero_regresses_nothing(make_run: Any, make_trials: Any) -> None:
    """The verdict is withheld, so the gate has none; it is inconclusive."""
    trials = make_trials({"threading": BASE, "slow": [0.0, *times(0.9)[1:]]})
    found = compare(make_run(["threading", "slow"]), trials, metrics=["throughput"])
    (gated,) = judge(found, ["regression"]).rows
    assert (gated.p_worse, gated.outcome) == (None, "inconclusive")


@pytest.mark.parametrize("who", ["slot", "threading"])
def test_failed_and_invalid_trials_behind_gated_rows(
    who: str, make_run: Any, make_trials: Any, make_trial: Any
) -> None:
    """Failed before INVALID before inconclusive, of the contender or of its baseline."""
    rates: dict[str, Any] = {"threading": BASE, "slot": times(1.5)}
    trials = make_trials(rates | {who: [None, *rates[who][1:]]}, repeat=BASE)
    trials = [t for t in trials if (t.contender, t.round, t.arm) != (who, 4, 0)]
    trials.append(make_trial(who, 1.0, round=4, invalid="lost_reply"))
    gate = judge(compare(make_run(), trials), ["inconclusive"])
    assert (gate.result, gate.failed, gate.invalid) == ("failed trial", {who: 1}, {who: 1})
    kept = [t for t in trials if t.status == "ok"]
    assert judge(compare(make_run(), kept), ["regression"]).result == "INVALID"


def test_a_failed_floor_is_not_behind_a_gated_row(make_run: Any, make_trials: Any) -> None:
    """Its trials are in no ratio that is judged."""
    rates = {"threading": BASE, "slot": times(1.5), "floor": [None, *times(7)[1:]]}
    found = compare(make_run(list(rates)), make_trials(rates))
    gate = judge(found, ["regression"])
    assert (gate.result, gate.failed) == ("passed", {})


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["regresion"], r"^a gate cannot fail on 'regresion': did you mean regression\?$"),
        (["x"], r"did you mean regression or inconclusive\?$"),
        ([], "needs something to fail on"),
    ],
)
def test_a_gate_that_is_none_is_one_line(
    asked: list[str], message: str, comparison: Comparison
) -> None:
    """It names what there is."""
    with pytest.raises(SlotbenchError, match=message):
        judge(comparison, asked)


def test_equal_contenders_fail_the_gate_in_2_percent_at_most(
    make_run: Any, make_trials: Any
) -> None:
    """Six contenders exactly at the edge of δ: the family errs in 2.5 %, not in 14 %."""
    rng = np.random.default_rng(21)
    labels = ["threading", *(f"edge{number}" for number in range(6))]
    run = make_run(labels)
    failed = alone = 0
    for _ in range(300):
        block = rng.normal(0, 0.2, 5)
        rates = {
            label: np.exp(block + rng.normal(0, 0.01, 5) + 7).tolist() for label in labels
        }
        for label in labels[1:]:
            rates[label] = [value / 1.03 for value in rates[label]]
        gate = judge(
            compare(run, make_trials(rates), metrics=["throughput"]), ["regression"]
        )
        failed += gate.result == "regression"
        alone += any(gated.is_beyond for gated in gate.rows)
    most = stats.binom.ppf(0.9999, 300, 0.025)
    assert failed <= most < alone
