"""Laws of scaling in words: constants with intervals, and what may not be concluded."""

import dataclasses

import pytest

from slotbench.compute.scalability import Estimate, Scalability, scalability
from slotbench.draw import scaling_table
from tests.slotbench.support import scaling


def asked(**options: object) -> Scalability:
    stored = scaling.ladder(**options)  # type: ignore[arg-type]
    return scalability(stored.run, stored.trials)


def test_a_row_says_what_was_computed() -> None:
    """Without noise an interval is a point; a peak beyond the slots measured is not told."""
    (table,) = scaling_table.tables(asked(noise=0.0))

    assert table.name == "num_slots 1, 4, 16, 64, model.latency_ms=0.0"
    assert len(table.header) == len(table.rows[0])
    threading, slot, _ = table.rows
    assert threading[:2] == ("threading", "1 000/s [1 000, 1 000]")
    assert threading[2].startswith("0.300 [")
    assert threading[4].startswith("26.5 [")
    assert threading[6:] == ("", "")
    assert slot[3].startswith("1.00e-4 [")
    assert slot[4] == "> 64"
    assert slot[6:] == ("lower", "lower")


def test_ends_of_a_peak_beyond_what_was_measured_are_not_numbers() -> None:
    """The point is inside, the upper end is not."""
    found = asked()
    law = dataclasses.replace(found.laws[0], peak_slots=Estimate(30.0, 20.0, 90.0))
    (table,) = scaling_table.tables(dataclasses.replace(found, laws=(law,)))

    assert table.rows[0][4] == "30.0 [20.0, > 64]"


@pytest.mark.parametrize(
    ("over", "said"),
    [
        (Estimate(-0.25, -0.3, -0.2), "slot: σ lower by 0.250 [0.200, 0.300]"),
        (Estimate(0.25, 0.2, 0.3), "slot: σ higher by 0.250 [0.200, 0.300]"),
    ],
)
def test_a_decided_difference_of_contention_is_a_note(over: Estimate, said: str) -> None:
    """Its size without the sign that the word has."""
    found = asked()
    word = "lower" if over.point < 0 else "higher"
    law = dataclasses.replace(
        found.laws[1],
        contention_over=over,
        contention_difference=word,  # type: ignore[arg-type]
    )
    (table,) = scaling_table.tables(dataclasses.replace(found, laws=(law,)))
    assert said in table.notes
    bad = dataclasses.replace(law, misfit_ratio=0.5)
    (table,) = scaling_table.tables(dataclasses.replace(found, laws=(bad,)))
    assert table.notes == ("the law fits 0 of 1 contender",)


def test_what_was_not_fitted_stands_below() -> None:
    """With how many slot counts are missing."""
    found = dataclasses.replace(asked(), missing=("slot: the law needs 4",))
    assert scaling_table.tables(found)[-1].notes[-1] == "not fitted: slot: the law needs 4"


def test_more_than_linear_is_named_as_what_it_is() -> None:
    """Batching, and not a lock that helps."""
    constants = {"threading": (1000.0, 0.1, 1e-4), "slot": (1000.0, -0.01, 1e-4)}
    (table,) = scaling_table.tables(asked(constants=constants, noise=0.1))
    assert any("more than linear, as batching makes it" in note for note in table.notes)
