"""Real runs are judged by what was planted in them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slotbench import contenders
from slotbench.records import Contender
from slotbench.selftest import criteria, real
from slotbench.store import StoredRun

_NAME = "slotbench.selftest.planted:transport"
_LABELS = (_NAME, f"{_NAME}[slowdown=0.0]", f"{_NAME}[slowdown=0.05]")
_RATES = [1000.0, 1010.0, 990.0, 1005.0, 995.0]


def stored(make_run: Any, make_trials: Any, labels: tuple[str, ...], **trials: Any) -> Any:
    run = make_run(labels, rounds=5)
    raced = tuple(
        replace(contenders.parse(label), baseline=label == labels[0]) for label in labels
    )
    run = replace(run, scenario=replace(run.scenario, contenders=raced))
    return StoredRun(Path("x"), run, tuple(make_trials(**trials)))


@pytest.fixture
def two_runs(make_run: Any, make_trials: Any) -> Any:
    """A/A that is off by ``off``, and contenders that are slower by what is planted."""

    def make(off: float = 1.0) -> tuple[StoredRun, StoredRun]:
        wobble = [1.001, 0.999, 1.002, 0.998, 1.0]
        again = [rate * off * one for rate, one in zip(_RATES, wobble, strict=True)]
        repeated = stored(
            make_run, make_trials, ("slot",), throughputs={"slot": _RATES}, repeat=again
        )
        slower = [rate / 1.05 * one for rate, one in zip(_RATES, wobble, strict=True)]
        same = [rate * one for rate, one in zip(_RATES, wobble, strict=True)]
        rates = dict(zip(_LABELS, (_RATES, same, slower), strict=True))
        planted = stored(make_run, make_trials, _LABELS, throughputs=rates)
        return repeated, planted

    return make


def test_what_was_planted_is_read_from_the_contender(two_runs: Any) -> None:
    """0 and 5 %, with the ratio and verdict of the comparison; no interval is missing."""
    found = real.judge(*two_runs())

    assert [one.slowdown for one in found.planted] == [0.0, 0.05]
    assert [one.verdict for one in found.planted] == ["equivalent", "slower"]
    assert found.planted[1].point == pytest.approx(1 / 1.05, rel=1e-5)
    assert found.planted[1].low < 1 / 1.05 < found.planted[1].high
    assert found.num_missing == 0
    (again,) = found.repeated
    assert again.num_pairs == 5
    assert again.low < 1.0 < again.high


def test_a_baseline_that_differs_from_itself_is_seen(two_runs: Any) -> None:
    """The A/A ratio is second arm over first."""
    (again,) = real.judge(*two_runs(off=1.1)).repeated
    assert again.point == pytest.approx(1.1, rel=1e-3)
    assert again.low > 1.0


def test_what_has_no_interval_is_missing(two_runs: Any) -> None:
    """A contender whose trials are not there, and a cell without A/A; each counts once."""
    repeated, planted = two_runs()
    lacks_arm = replace(repeated, trials=tuple(t for t in repeated.trials if t.arm == 0))
    lacks_one = replace(
        planted, trials=tuple(t for t in planted.trials if t.contender != _LABELS[2])
    )

    found = real.judge(lacks_arm, lacks_one)

    assert found.num_missing == 2
    assert any(not one.holds for one in criteria.judge((), found))


def test_the_shipped_scenarios_fit_what_is_judged() -> None:
    """At least 40 cells of A/A; planted with full batches, and with 0, 5 and 10 %."""
    repeated, planted = real.load()

    assert len(repeated.cells) >= 40
    assert len(repeated.contenders) == 1
    base, *others = planted.contenders
    assert base.baseline
    assert _slowdowns(others) == [0.0, 0.05, 0.1]
    assert {one.name for one in planted.contenders} == {_NAME}
    for cell in planted.cells:
        workload = cell.workload
        assert workload.batching.min_batch_size == workload.num_slots
        assert workload.think_time.distribution == "none"
    assert real.estimate_s((repeated,)) <= 360
    assert real.estimate_s((planted,)) <= 360


def test_the_real_path_runs_and_is_judged(tmp_path: Path) -> None:
    """Two rounds of one cell each, on this machine: recorded as ordinary runs, intervals there."""
    repeated, planted = real.load(rounds=2)
    window = replace(repeated.cells[0].workload.window, warmup_s=0.02, measure_s=0.05)

    def small(one: Any) -> Any:
        cell = next(c for c in one.cells if c.workload.num_slots == 4)
        workload = replace(cell.workload, window=window)
        return replace(one, cells=(replace(cell, workload=workload),))

    found = real.measure((small(repeated), small(planted)), tmp_path)

    assert len(found.repeated) == 1
    assert [one.slowdown for one in found.planted] == [0.0, 0.05, 0.1]
    assert found.num_missing == 0
    assert all(one.mean_batch_size > 0.9 * 4 for one in found.planted)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == sorted(found.run_ids)


def _slowdowns(of: list[Contender]) -> list[Any]:
    return [one.options[real.SLOWDOWN] for one in of]
