"""The words of an answer follow from verdicts, and turn with them."""

import dataclasses

import pytest

from slotbench.compute import answers, comparison
from slotbench.draw import answer
from slotbench.records import Finding, GymEnvironment, Model
from slotbench.store import StoredRun
from tests.slotbench.support import grids


def said(stored: StoredRun, status: str = "complete") -> dict[str, str]:
    compared = comparison.compare(stored.run, stored.trials)
    compared = dataclasses.replace(compared, status=status)
    found = answers.answer(stored.run, stored.trials)
    return {one.about: one.text for one in answer.sentences(found, compared)}


def test_a_clear_race_reads_so() -> None:
    """Every number in the sentences is one that the grid was made of."""
    words = said(grids.small_grid())

    assert list(words) == [
        *("Use", "By how much", "Where it matters", "Preallocation"),
        *("What is lost to what", "How sure"),
    ]
    assert words["Use"] == (
        "slot: in none of 4 cells is any of the 3 others shown to be more than 3 % faster."
    )
    assert words["By how much"].startswith(
        "At 64 actors and a 1 ms policy, slot serves 1.2"
    )
    assert (
        "Over all cells, against threading: more requests in 4 of 4 (1."
        in (words["By how much"])
    )
    assert (
        "The best of another kind there, torchrl.slot, serves 0.4" in words["By how much"]
    )
    assert words["Where it matters"] == (
        "Somebody is shown to be slower than slot at every number of actors with a policy of "
        "0 and 1 ms."
    )
    assert words["Preallocation"] == (
        "slot[preallocate] over slot costs in 4 of 4 (0.90×)."
    )


def test_nothing_shown_is_called_so() -> None:
    """Equal contenders under noise: no name is recommended over another."""
    place = grids.cell()
    rates = dict.fromkeys([(place.name, x) for x in ("threading", "slot")], 1000.0)
    words = said(grids.stored(rates, [place], labels=("threading", "slot"), noise=10))

    assert words["Use"].startswith("Whichever suits you: in none of 1 cell is one of the 2")
    assert "equivalent" not in words["Use"]


def test_who_is_ahead_of_the_recommended_one_is_said() -> None:
    """With the cells and the range of its lead."""
    cells = [grids.cell(n) for n in (1, 8, 64)]
    rates = {
        (place.name, label): rate
        for place, pair in zip(cells, [(1000, 500), (500, 1000), (500, 1000)], strict=True)
        for label, rate in zip(("threading", "slot"), pair, strict=True)
    }
    words = said(grids.stored(rates, cells, labels=("threading", "slot")))

    assert words["Use"].startswith(
        "slot, against which the fewest cells speak: in 1 of 3 cells threading (2."
    )
    assert words["Use"].endswith("is shown to be more than 3 % faster, in 2 nobody.")


def test_contenders_that_no_cell_tells_apart_are_named() -> None:
    """Alike is what neither side of any verdict holds."""
    place = grids.cell()
    labels = ("threading", "slot", "m:f")
    rates = {(place.name, x): r for x, r in zip(labels, (500, 1000, 1000), strict=True)}
    words = said(grids.stored(rates, [place], labels=labels, noise=2))

    assert "is nowhere told apart from it" in words["Use"]


def test_one_round_decides_nothing() -> None:
    """Means have no interval."""
    words = said(grids.small_grid(rounds=1))

    assert "nothing is decided: one round gives no interval" in words["Use"]
    assert "no cell has an interval" in words["Preallocation"]


def test_a_run_without_numbers_says_that() -> None:
    """Nothing recorded, or one contender alone."""
    empty = said(grids.stored({}, [grids.cell()]))
    assert empty["Nothing to choose"] == "No trial gave a number to use."
    place = grids.cell()
    alone = said(grids.stored({(place.name, "threading"): 1.0}, [place]))
    assert "No two contenders" in alone["Nothing to choose"]


def test_preallocation_pays_from_a_size_on() -> None:
    """Where it pays for every observation from some size up, the size is told."""
    cells = [grids.cell(shape=(n,), **{"observation.shape": n}) for n in (8, 1000, 100_000)]
    rates = {}
    for place, gain in zip(cells, (0.9, 1.5, 3.0), strict=True):
        rates[place.name, "slot"] = 1000.0
        rates[place.name, "slot[preallocate]"] = 1000.0 * gain
    words = said(grids.stored(rates, cells, labels=("slot", "slot[preallocate]")))

    assert words["Preallocation"] == (
        "slot[preallocate] over slot pays in 2 of 3 (1.50× to 3.00×), in every cell with "
        "observations of 4.00 kB and more; costs in 1 of 3 (0.90×)."
    )


def test_a_slow_policy_hides_the_transport() -> None:
    """Where nobody is shown to be slower, that is said."""
    cells = [grids.cell(8, ms) for ms in (0.0, 20.0)]
    rates = {
        (cells[0].name, "threading"): 500.0,
        (cells[0].name, "slot"): 1000.0,
        (cells[1].name, "threading"): 300.0,
        (cells[1].name, "slot"): 300.0,
    }
    words = said(grids.stored(rates, cells, labels=("threading", "slot")))

    assert words["Where it matters"] == (
        "Somebody is shown to be slower than slot at 8 actors with a policy of 0 ms, nowhere "
        "with a policy of 20 ms."
    )


def test_what_was_left_out_and_what_disturbed_is_said() -> None:
    """INVALID, disturbed and a broken-off end stand in the last answer."""
    cells = [grids.cell(n, ms) for n in (4, 64) for ms in (0.0, 1.0)]
    findings = {
        (cells[0].name, "slot"): Finding("lost_reply", "INVALID", "1 lost", "check it"),
        (cells[1].name, "slot"): Finding("steal", "DISTURBED", "20 %", "run again"),
    }
    words = said(grids.small_grid(findings=findings), status="killed")

    assert "1 INVALID had to be left out" in words["How sure"]
    assert "1 trial used were disturbed by the machine" in words["How sure"]
    assert "The run was killed" in words["How sure"]
    assert "Of 120 trials none had to be left out." in said(grids.small_grid())["How sure"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "64 actors and a 1 ms policy"),
        ({"model": Model("mlp")}, "64 actors and a real network (mlp)"),
        ({"num_slots": 1}, "1 actor and a 1 ms policy"),
        (
            {"environment": GymEnvironment("CartPole-v1"), "model": Model("sleep", 0.0)},
            "64 actors and a 0 ms policy",
        ),
    ],
)
def test_a_cell_is_told_as_people_do(changes: dict[str, object], expected: str) -> None:
    """Actors and policy, then what else the grid varies."""
    place = grids.cell(64, 1.0)
    place = dataclasses.replace(
        place,
        workload=dataclasses.replace(place.workload, **changes),  # type: ignore[arg-type]
    )
    assert answer.cell_in_words(place) == expected
    more = dataclasses.replace(place, coordinates={**place.coordinates, "observation.n": 2})
    assert answer.cell_in_words(more) == f"{expected}, observation.n=2"
