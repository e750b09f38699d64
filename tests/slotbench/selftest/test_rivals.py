"""Other methods, each held against its own oracle."""

import math

import numpy as np
import pytest
from scipy import stats

from slotbench.errors import SlotbenchError
from slotbench.selftest import rivals


def values(
    seed: int, *, comparisons: int = 60, trials: int = 6, ratio: float = 1.0
) -> rivals.Values:
    """Seconds per request: processes differ by 2 %, slices by 1 %."""
    random = np.random.default_rng(seed)
    between = 0.02 * random.standard_normal((comparisons, trials, 1))
    within = 0.01 * random.standard_normal((comparisons, trials, 10))
    return 0.001 * ratio * np.exp(between + within)


def test_mann_whitney_is_scipys_one_comparison_at_a_time() -> None:
    """On pooled values; the direction is that of the larger ranks."""
    base, head = values(1), values(2, ratio=1.01)

    found = rivals.mann_whitney(base, head)

    for one, below, above in zip(found, base, head, strict=True):
        p_value = stats.mannwhitneyu(above.ravel(), below.ravel()).pvalue
        higher = stats.mannwhitneyu(
            above.ravel(), below.ravel(), alternative="greater"
        ).pvalue
        assert one == (0 if p_value >= 0.05 else 1 if higher < 0.5 else -1)
    assert {-1, 0, 1} == set(found.tolist())


def test_the_bootstrap_is_scipys_percentile_bootstrap() -> None:
    """Its interval is that of `scipy.stats.bootstrap`, up to the draws."""
    base, head = values(3, comparisons=4), values(4, comparisons=4)
    head *= np.array([1.05, 0.95, 1.05, 1.0])[:, None, None]

    found = rivals.bootstrap(base, head, np.random.default_rng(0), 20_000)

    for number in range(4):
        theirs = stats.bootstrap(
            (head[number].mean(axis=1), base[number].mean(axis=1)),
            lambda above, below, axis: above.mean(axis=axis) / below.mean(axis=axis),
            method="percentile",
            n_resamples=20_000,
            rng=np.random.default_rng(1),
        ).confidence_interval
        width = theirs.high - theirs.low
        assert found.low[number] == pytest.approx(theirs.low, abs=0.05 * width)
        assert found.high[number] == pytest.approx(theirs.high, abs=0.05 * width)
        is_apart = int(theirs.low > 1) - int(theirs.high < 1)
        assert found.directions[number] == is_apart
    assert found.directions.tolist()[:3] == [1, -1, 1]


def test_pyperf_itself_is_asked() -> None:
    """It pools all values in a t test, as scipy's says of the same numbers; both suites at once."""
    base, head = values(5), values(6, ratio=1.005)
    pooled = base.reshape(60, 60), head.reshape(60, 60)

    found = rivals.pyperf_compare(
        {"slices": (base, head), "trials": (base[:, :, :1], head[:, :, :1])}
    )

    for name, (below, above) in {
        "slices": pooled,
        "trials": (base[:, :, 0], head[:, :, 0]),
    }.items():
        said = stats.ttest_ind(above, below, axis=1)
        expected = np.where(said.pvalue < 0.05, np.sign(said.statistic), 0)
        # pyperf's table of critical values has two or three digits.
        is_close = np.abs(said.pvalue - 0.05) < 0.005
        assert (found[name] == expected)[~is_close].all()
    assert set(found["slices"].tolist()) == {-1, 0, 1}


def test_pyperf_tells_slower_from_faster() -> None:
    """Of hand-made suites: twice as long, half as long, and the same numbers."""
    base = np.array([[[1.0, 1.01], [0.99, 1.0]]] * 3)
    head = base * np.array([2.0, 0.5, 1.0])[:, None, None]

    assert rivals.pyperf_compare({"x": (base, head)})["x"].tolist() == [1, -1, 0]


def test_what_pyperf_prints_is_read_whole() -> None:
    """Names, directions, "no change", and the hidden ones; a list that lacks one is refused."""
    text = (
        "a/0: Mean +- std dev: [base] 1.00 us +- 0.01 us -> [head] 1.00 us +- 0.00 us: 1.00x slower\n"
        "a/1: Mean +- std dev: [base] 2.00 us +- 0.01 us -> [head] 1.00 us +- 0.00 us: 2.00x faster\n"
        "a/2: Mean +- std dev: [base] 2.00 us +- 0.01 us -> [head] 2.00 us +- 0.00 us: no change\n"
        "\nBenchmark hidden because not significant (2): a/3, a/4\n"
        "\nGeometric mean: 1.01x slower\n"
    )
    expected = {"a/0": 1, "a/1": -1, "a/2": 0, "a/3": 0, "a/4": 0}

    assert rivals.parse_compare_to(text) == expected
    with pytest.raises(SlotbenchError, match="hides 3 benchmarks and names 2"):
        rivals.parse_compare_to(text.replace("(2)", "(3)"))


def test_what_pyperf_refuses_is_told() -> None:
    """Values that it takes for none are its own error."""
    nothing = np.full((2, 2, 1), math.nan)
    with pytest.raises((SlotbenchError, ValueError)):
        rivals.pyperf_compare({"x": (nothing, nothing)})
