"""A cell goes on while a row may still be decided, and not for one that cannot be."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from slotbench.compute import deciding, statistics
from slotbench.errors import SlotbenchError
from slotbench.records import Design, RunRecord, Sequential

BASE = [1000.0, 1010.0, 990.0, 1005.0, 995.0]
CLOSE = [1030.0, 1000.0, 1040.0, 970.0, 1010.0]
FAST = [1500.0, 1510.0, 1490.0, 1505.0, 1495.0]
PLANNED = Sequential((5, 7, 10), 0.98, ("throughput",), {"throughput": 0.03})


def sequential_run(run: RunRecord, rounds: int = 5) -> RunRecord:
    order = tuple((cell.name, ()) for cell in run.scenario.cells)
    design = Design(1, rounds, 0, (order,) * rounds)
    return replace(run, design=design, sequential=PLANNED)


def standing(run: RunRecord, trials: Any, more: int = 50) -> dict[str, str]:
    """Contender → where it stands in the one cell."""
    found = deciding.standings(run, trials, more_rounds={"num_slots=8": more})
    return {one.row.contender: one.standing for one in found}


def test_each_judged_row_is_decided_or_open(make_run: Any, make_trials: Any) -> None:
    """The floor is judged by nobody; a verdict decides, and an open row may still get one."""
    run = sequential_run(make_run(["threading", "slot", "other", "floor"]))
    trials = make_trials({"threading": BASE, "slot": FAST, "other": CLOSE, "floor": FAST})
    assert standing(run, trials) == {"slot": "decided", "other": "open"}


def test_a_cell_is_as_open_as_its_rows(make_run: Any, make_trials: Any) -> None:
    """One open row keeps the cell; else it is decided only if every row is."""
    run = sequential_run(make_run(["threading", "slot", "other"]))
    trials = make_trials({"threading": BASE, "slot": FAST, "other": CLOSE})
    rows = deciding.standings(run, trials, more_rounds={"num_slots=8": 50})
    assert deciding.of_cell(rows) == "open"
    assert deciding.of_cell(rows[:1]) == "decided"
    assert deciding.of_cell(deciding.standings(run, trials)) == "no prospect"


def test_a_contender_that_mostly_fails_is_not_waited_for(
    make_run: Any, make_trials: Any
) -> None:
    """Nor one with a value of 0, which no number of rounds decides."""
    run = sequential_run(make_run(["threading", "never", "seldom", "zero"]))
    seldom = [1030.0, None, None, 970.0, None]
    trials = make_trials(
        {
            "threading": BASE,
            "never": [None] * 5,
            "seldom": seldom,
            "zero": [0.0, *CLOSE[1:]],
        }
    )
    assert set(standing(run, trials).values()) == {"no numbers"}
    mostly = make_trials({"threading": BASE, "never": [*CLOSE[:3], None, None]})
    assert standing(sequential_run(make_run(["threading", "never"])), mostly) == {
        "never": "open"
    }


def test_the_runs_own_confidence_decides(make_run: Any, make_trials: Any) -> None:
    """What 95 % would call faster stays open at the level of all looks."""
    trials = make_trials({"threading": BASE, "slot": [x * f for x, f in zip(BASE, (1.09, 1.02, 1.12, 1.03, 1.05), strict=True)]})  # fmt: skip
    run = sequential_run(make_run())
    assert standing(run, trials) == {"slot": "open"}
    loose = replace(run, sequential=replace(PLANNED, confidence=0.95))
    assert standing(loose, trials) == {"slot": "decided"}


@pytest.mark.parametrize(("mean", "more"), [(0.0, 6), (0.02, 6), (0.02, 40), (0.08, 3)])
def test_the_prospect_is_the_share_of_futures_that_decide(mean: float, more: int) -> None:
    """Simulated: the mean by Student's t about what was seen, the spread as it was."""
    logs = mean + 0.04 * np.array([-1.3, -0.4, 0.1, 0.5, 1.1])
    ratio = statistics.paired_log_ratio(np.exp(logs).tolist(), [1.0] * 5, 0.98)
    assert ratio.log_sd is not None
    random = np.random.default_rng(1)
    then = 5 + more
    # Given the mean m of n pairs the truth is m + t·s/√n; the other pairs are about that.
    spread = ratio.log_sd * np.sqrt(1 / 5 - 1 / then)
    means = np.log(ratio.point) + spread * random.standard_t(4, 200_000)
    width = stats.t.isf(0.01, then - 1) * ratio.log_sd / np.sqrt(then)
    limit = np.log1p(0.03)
    decided = (np.abs(means) > width) | (np.abs(means) + width <= limit)
    chance = deciding.prospect(ratio, more, 0.03, 0.98)
    assert chance == pytest.approx(decided.mean(), abs=0.005)


def test_what_never_can_be_decided_is_refused(make_run: Any) -> None:
    """A metric without a good direction, and a race without a rival."""
    contenders = make_run().scenario.contenders
    with pytest.raises(SlotbenchError, match="mean_batch_size has no good direction"):
        deciding.check(contenders, ["mean_batch_size"])
    with pytest.raises(SlotbenchError, match="nothing to decide"):
        deciding.check(contenders[:1], ["throughput"])
