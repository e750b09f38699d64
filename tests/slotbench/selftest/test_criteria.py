"""What is allowed follows from the binomial distribution and the stated limits."""

import math

import pytest

from slotbench.records import (
    Criterion,
    MachinePart,
    MethodCount,
    PlantedInterval,
    PredictedPower,
    RepeatedInterval,
    SelfTestSetting,
)
from slotbench.selftest import criteria


def setting(
    number: int, alarms: int, covered: int, *, is_gaussian: bool, metric: str = "throughput"
) -> SelfTestSetting:
    count = MethodCount("slotbench", metric, 0.0, number, alarms // 2, alarms - alarms // 2, covered)  # fmt: skip
    return SelfTestSetting("n", "noise", is_gaussian, 5, 10, (count,), (), ())


def verdicts(*settings: SelfTestSetting) -> list[bool]:
    return [one.holds for one in criteria.judge(settings)]


@pytest.mark.parametrize(
    ("number", "ratio", "chance"), [(4000, 0.05, 0.001), (40, 0.05, 0.01)]
)
def test_a_band_leaves_out_no_more_than_its_chance(
    number: int, ratio: float, chance: float
) -> None:
    """And one step narrower would, on either side; summed from binomial coefficients."""
    low, high = criteria.band(number, ratio, chance)

    def mass(first: int, last: int) -> float:
        return math.fsum(
            math.exp(
                math.lgamma(number + 1)
                - math.lgamma(k + 1)
                - math.lgamma(number - k + 1)
                + k * math.log(ratio)
                + (number - k) * math.log1p(-ratio)
            )
            for k in range(first, last + 1)
        )

    assert mass(0, low - 1) <= chance / 2 < mass(0, low)
    assert mass(high + 1, number) <= chance / 2 < mass(high, number)


def test_gaussian_noise_must_raise_five_percent_neither_more_nor_less() -> None:
    """Of 4 000 comparisons 200 hold; 120 and 280, which a limit alone would pass, do not."""
    assert verdicts(setting(4000, 200, 3800, is_gaussian=True)) == [True, True]
    assert verdicts(setting(4000, 120, 3800, is_gaussian=True)) == [False, True]
    assert verdicts(setting(4000, 280, 3800, is_gaussian=True)) == [False, True]


@pytest.mark.parametrize(
    ("is_gaussian", "metric"), [(False, "throughput"), (True, "latency_p99")]
)
def test_elsewhere_seven_percent_is_the_limit(is_gaussian: bool, metric: str) -> None:
    """As it stands for 4 000 comparisons, from below open; of percentiles also where noise is Gaussian."""

    def alarms(number: int) -> bool:
        return verdicts(
            setting(4000, number, 3800, is_gaussian=is_gaussian, metric=metric)
        )[0]

    assert [alarms(0), alarms(280), alarms(281)] == [True, True, False]


def test_coverage_is_at_least_93_percent() -> None:
    """3 720 of 4 000 hold, one fewer does not."""
    assert verdicts(setting(4000, 200, 3720, is_gaussian=False)) == [True, True]
    assert verdicts(setting(4000, 200, 3719, is_gaussian=False)) == [True, False]


def test_few_comparisons_are_allowed_what_chance_adds() -> None:
    """10 false alarms of 100 may be chance, 30 may not; the same of 88 and of 60 covered."""
    assert verdicts(setting(100, 10, 88, is_gaussian=False)) == [True, True]
    assert verdicts(setting(100, 30, 60, is_gaussian=False)) == [False, False]


def found(number: int, *, noise: str = "n", predicted: float | None = None) -> list[bool]:
    """What holds where so many of 4 000 slowdowns of 3 % were found."""
    count = MethodCount("slotbench", "throughput", 0.03, 4000, number, 0, 3800)
    power = () if predicted is None else (PredictedPower(0.03, predicted),)
    made = SelfTestSetting(noise, "noise", True, 5, 10, (count,), (), power)
    return [one.holds for one in criteria.judge([made]) if "found" in one.name]


def test_slowdowns_are_found_as_often_as_theory_says() -> None:
    """Of 4 000 at 50 %: 2 000 and a little beside; none at all, and 60 %, are a fault."""
    assert found(2000, predicted=0.5) == [True]
    assert found(1900, predicted=0.5) == [True]
    assert found(0, predicted=0.5) == [False]
    assert found(2400, predicted=0.5) == [False]


def test_a_comparison_must_pair() -> None:
    """Under a random walk one that does finds 3 % nearly always, one that does not nearly never."""
    assert found(3900, noise="random walk") == [True]
    assert found(400, noise="random walk") == [False]


def test_of_percentiles_coverage_is_judged_where_the_truth_is_known() -> None:
    """Windows of two lengths in requests have percentiles of two shares: shown, not judged."""
    counts = tuple(
        MethodCount("slotbench", "latency_p99", effect, 4000, 100, 100, 3500)
        for effect in (0.0, 0.1)
    )
    made = SelfTestSetting("n", "noise", True, 20, 10, counts, (), ())
    judged = [one for one in criteria.judge([made]) if one.name.startswith("intervals")]

    assert [one.holds for one in judged] == [False]
    assert "effect 0%" in judged[0].where


def machine(
    *,
    num_out: int = 2,
    verdict: str = "slower",
    point: float = 1 / 1.05,
    batch: float = 4.0,
    missing: int = 0,
) -> MachinePart:
    repeated = tuple(
        RepeatedInterval(str(i), 1.0, 1.01 if i < num_out else 0.99, 1.02, 5)
        for i in range(40)
    )
    planted = tuple(
        PlantedInterval(f"c{i}", slowdown, at, at - 0.01, at + 0.01, 20, batch, 4, said)
        for i in range(6)
        for slowdown, at, said in ((0.0, 1.0, "equivalent"), (0.05, point, verdict))
    )
    return MachinePart(("a", "b"), repeated, planted, missing)


def broken(part: MachinePart) -> list[Criterion]:
    return [one for one in criteria.judge((), part) if not one.holds]


def test_a_right_machine_passes() -> None:
    """Two A/A intervals of forty beside 1, the planted slowdown found and as large as planted."""
    assert broken(machine()) == []


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"num_out": 12}, "A/A intervals that exclude 1"),
        ({"verdict": "inconclusive"}, "cells called slower"),
        ({"point": 0.8}, "intervals that hold the true ratio"),
        ({"batch": 3.9}, "batches that hold all actors"),
        ({"missing": 1}, "intervals that are missing"),
    ],
)
def test_each_fault_of_a_machine_is_named(wrong: dict[str, object], name: str) -> None:
    """One criterion a fault."""
    assert {one.name for one in broken(machine(**wrong))} == {name}  # type: ignore[arg-type]
