"""The histogram keeps what records.Histogram promises."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slotbench.compute.histogram import MAX_NS, count, edges_ns, merge, percentile_ns
from slotbench.compute.percentiles import nearest_rank
from slotbench.records import Histogram

LATENCIES = st.one_of(st.integers(0, 2000), st.integers(0, MAX_NS))


def index_of(value: int) -> int:
    """Bucket of one value."""
    ((index, number),) = count(np.array([value])).buckets
    assert number == 1
    return index


@given(LATENCIES)
@example(0)
@example(63)
@example(64)
@example(127)
@example(128)
@example(2**60 - 1)
@example(2**53 + 1)
@example(MAX_NS)
def test_a_value_lies_within_the_edges_of_its_bucket(value: int) -> None:
    """Its edges are low <= v < high, at a width of at most 1/64 of the lower edge."""
    low, high = edges_ns(index_of(value))
    assert low <= value < high
    assert high - low == 1 or (high - low) * 64 <= low


@pytest.mark.parametrize("power", range(7, 62))
def test_buckets_meet_at_every_power_of_two(power: int) -> None:
    """The last value below a power and the power itself are in neighbouring buckets."""
    last, first = index_of(2**power - 1), index_of(2**power)
    assert first == last + 1
    assert edges_ns(last)[1] == edges_ns(first)[0] == 2**power


def test_buckets_tile_the_whole_range() -> None:
    """Every bucket begins where the one before ends, from 0 to 2**62."""
    end, index = 0, 0
    while end <= MAX_NS:
        low, high = edges_ns(index)
        assert low == end
        end, index = high, index + 1


@given(st.integers(0, 63))
def test_small_values_are_exact(value: int) -> None:
    """Below 64 a bucket holds one value."""
    assert edges_ns(index_of(value)) == (value, value + 1)


@given(st.lists(LATENCIES, max_size=60))
def test_counting_keeps_every_sample(values: list[int]) -> None:
    """Counts add up, indices rise, no bucket is empty; order does not matter."""
    found = count(np.array(values, np.int64))
    assert sum(number for _, number in found.buckets) == len(values)
    assert [index for index, _ in found.buckets] == sorted({i for i, _ in found.buckets})
    assert all(number > 0 for _, number in found.buckets)
    assert count(np.array(values[::-1], np.int64)) == found


def test_it_holds_plain_integers() -> None:
    """A record of it can be written as JSON."""
    found = count(np.array([[3, 3], [500, 7]], np.uint32))
    assert found.buckets == ((3, 2), (7, 1), (253, 1))
    assert {type(part) for bucket in found.buckets for part in bucket} == {int}


@given(
    st.lists(LATENCIES, min_size=44, max_size=200), st.sampled_from([0, 10, 50, 90, 100])
)
def test_percentiles_are_within_0_8_percent_of_the_exact_ones(
    values: list[int], percent: int
) -> None:
    """The middle of the bucket is at most 1/128 off the exact order statistic."""
    exact = nearest_rank(sorted(values), percent)
    found = percentile_ns(count(np.array(values)), percent)
    assert exact is not None
    assert found is not None
    # One part in 10**12 more, for floats of values near 2**62.
    assert abs(found - exact) <= exact * (0.0078125 + 1e-12)


def test_percentiles_of_a_real_shape_are_within_0_8_percent() -> None:
    """On 100 000 lognormal latencies p50, p90, p99 and p99.9 hold the bound."""
    values = np.sort(np.random.default_rng(3).lognormal(11, 1.5, 100_000).astype(np.int64))
    found = count(values)
    for percent in (50, 90, 99, 99.9):
        exact, near = nearest_rank(values, percent), percentile_ns(found, percent)
        assert exact is not None
        assert near == pytest.approx(exact, rel=0.008)


def test_too_few_samples_have_no_percentile() -> None:
    """458 samples give no p99; 459 do; none give nothing."""
    assert percentile_ns(count(np.arange(458)), 99) is None
    assert percentile_ns(count(np.arange(459)), 99) is not None
    assert percentile_ns(Histogram(), 50) is None


@given(st.lists(LATENCIES, max_size=40), st.lists(LATENCIES, max_size=40))
def test_merging_is_counting_together(first: list[int], second: list[int]) -> None:
    """The histogram of both is the merge of each, in either order."""
    one, two = count(np.array(first, np.int64)), count(np.array(second, np.int64))
    assert merge(one, two) == merge(two, one) == count(np.array(first + second, np.int64))


def test_merging_nothing_is_empty() -> None:
    """No histograms make an empty one."""
    assert merge() == Histogram()


@pytest.mark.parametrize("value", [-1, MAX_NS + 1])
def test_values_out_of_range_are_refused(value: int) -> None:
    """A negative latency is a fault of the clock, not a bucket."""
    with pytest.raises(ValueError, match="can be kept"):
        count(np.array([5, value]))


def test_floats_are_refused() -> None:
    """Seconds passed for nanoseconds do not end in bucket 0."""
    with pytest.raises(TypeError, match="integers of nanoseconds"):
        count(np.array([0.001]))


@pytest.mark.parametrize("index", [-1, 3649])
def test_unknown_buckets_are_refused(index: int) -> None:
    """There is nothing below the first bucket and nothing above 2**62."""
    with pytest.raises(ValueError, match="bucket"):
        edges_ns(index)
