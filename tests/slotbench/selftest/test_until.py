"""Runs until decided are counted as they came out, and one that peeks is found out."""

from dataclasses import replace
from typing import Any

from slotbench.records import SequentialCount
from slotbench.selftest import criteria, until
from slotbench.selftest.noise import NOISES, SILENCE
from slotbench.selftest.until import Setting, Task


def task(num_cells: int = 80, noise: Any = NOISES["between 5 %"]) -> Task:
    return Task(Setting(noise, 5), num_cells, 1, (0, 0, 0))


def found(counted: tuple[SequentialCount, ...], **place: Any) -> SequentialCount:
    (one,) = [x for x in counted if all(getattr(x, k) == v for k, v in place.items())]
    return one


def test_without_noise_what_was_put_in_is_found_at_the_first_look() -> None:
    """No difference is equivalent, one of 3 % is there; five rounds, no more."""
    one = task(4, SILENCE)
    counted = until.record(one.setting, one.count())
    same = found(counted, method="slotbench", metric="throughput", effect=0.0)
    other = found(counted, method="slotbench", metric="throughput", effect=0.03)
    assert same.looks == (5, 7, 10, 14, 20)
    assert (same.num_comparisons, same.num_decided, same.num_rounds) == (4, 4, 20)
    assert (other.num_lower, other.num_higher) == (4, 0)


def test_the_correction_keeps_five_percent_and_peeking_does_not() -> None:
    """On the same simulated machines; the criteria tell them apart."""
    one = task()
    counted = until.record(one.setting, one.count())
    assert all(x.holds for x in criteria.judge((), None, counted))
    ours, theirs = (
        found(counted, method=method, metric="throughput", effect=0.0)
        for method in ("slotbench", "peeking")
    )
    assert ours.num_lower + ours.num_higher < theirs.num_lower + theirs.num_higher
    passed_off = [replace(theirs, method="slotbench", num_comparisons=4000, num_lower=340)]
    assert not all(x.holds for x in criteria.judge((), None, passed_off))
