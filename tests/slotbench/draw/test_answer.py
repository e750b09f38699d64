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
    assert words["Where it matters"] == (
        "slot is shown to be faster than every contender that is not slot at every number of "
        "actors with a policy of 0 ms and 1 ms."
    )
    assert words["What is lost to what"] == (
        "Where there is a time to wait for, slot reaches 0.15× to 0.60× of the bound: the "
        "transport loses the most, in 2 of 2 (4 and 64 actors)."
    )
    assert words["Preallocation"] == (
        "slot[preallocate] over slot costs in 4 of 4 (0.90×)."
    )


def test_nothing_shown_is_called_so() -> None:
    """Equal contenders under noise: no name is recommended over another."""
    place = grids.cell()
    rates = dict.fromkeys([(place.name, x) for x in ("threading", "slot")], 1000.0)
    words = said(grids.stored(rates, [place], labels=("threading", "slot"), noise=10))

    assert words["Use"].startswith(
        "Whichever suits you: no two of the 2 contenders are shown to differ by more than 3 % in "
        "the one cell."
    )
    assert "What is called shown" not in words["How sure"]


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
        "slot: threading is shown to be more than 3 % faster in 1 of 3 cells (2."
    )
    assert words["Use"].endswith("nobody in the others.")


def test_contenders_that_no_cell_tells_apart_are_named() -> None:
    """Alike is what neither side of any verdict holds."""
    place = grids.cell()
    labels = ("threading", "slot", "m:f")
    rates = {(place.name, x): r for x, r in zip(labels, (500, 1000, 1000), strict=True)}
    words = said(grids.stored(rates, [place], labels=labels, noise=2))

    assert "is nowhere told apart from it" in words["Use"]


def test_a_run_that_cannot_be_relied_on_says_so_at_once() -> None:
    """Beside the recommendation: much disturbed, or a noise floor of a quarter."""
    cells = [grids.cell(n, ms) for n in (4, 64) for ms in (0.0, 1.0)]
    steal = Finding("steal", "DISTURBED", "20 %", "run again")
    findings = {(c.name, label): steal for c in cells for label in grids.LABELS}
    words = said(grids.small_grid(findings=findings))
    assert words["Use"].endswith(
        "Do not rely on it: the machine disturbed 20 of 120 trials."
    )
    words = said(grids.small_grid(noise=30))
    assert "Do not rely on it: the noise floor is" in words["Use"]


def test_what_must_hold_for_a_contender_is_said() -> None:
    """An inline transport runs the policy in any actor's thread."""
    place = grids.cell()
    rates = {(place.name, "threading"): 500.0, (place.name, "slot[inline]"): 1000.0}
    words = said(grids.stored(rates, [place], labels=("threading", "slot[inline]")))

    assert "only for a policy that may" in words["Use"]


def test_what_has_no_number_is_named() -> None:
    """It is not why the leader leads."""
    cells = [grids.cell(n) for n in (1, 8)]
    rates = {(c.name, "threading"): 1000.0 for c in cells}
    rates[cells[0].name, "slot"] = 3000.0
    words = said(grids.stored(rates, cells, labels=("threading", "slot")))

    assert words["Use"].startswith(
        "threading: slot is shown to be more than 3 % faster in 1 of 2"
    )
    assert "slot has no usable number in 1 cell." in words["Use"]


def test_a_place_of_several_cells_must_show_it_in_all() -> None:
    """One observation's size in which it is not faster: not "at 8 actors"."""
    cells = [grids.cell(shape=(n,), **{"observation.shape": n}) for n in (8, 1000)]
    rates = {(c.name, "threading"): 1000.0 for c in cells}
    rates |= {(cells[0].name, "slot"): 2000.0, (cells[1].name, "slot"): 1000.0}
    words = said(grids.stored(rates, cells, labels=("threading", "slot")))

    assert words["Where it matters"].startswith("Nowhere: no cell shows")


def test_a_real_network_has_no_latency_of_its_own() -> None:
    """It is named in the place of one."""
    cells = [grids.cell(4, 1.0), grids.cell(4, 0.0, **{"model.kind": "mlp"})]
    network = dataclasses.replace(cells[1].workload, model=Model("mlp"))
    cells[1] = dataclasses.replace(cells[1], workload=network)
    rates = {
        (c.name, x): r for c in cells for x, r in (("threading", 500.0), ("slot", 1000.0))
    }
    words = said(grids.stored(rates, cells, labels=("threading", "slot")))

    assert "with a policy of a real network (mlp) and 1 ms" in words["Where it matters"]


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
        "slot is shown to be faster than every contender that is not slot at 8 actors with a "
        "policy of 0 ms; nowhere with a policy of 20 ms."
    )


def test_what_was_left_out_and_what_disturbed_is_said() -> None:
    """INVALID, disturbed and a broken-off end stand in the last answer."""
    cells = [grids.cell(n, ms) for n in (4, 64) for ms in (0.0, 1.0)]
    findings = {
        (cells[0].name, "slot"): Finding("lost_reply", "INVALID", "1 lost", "check it"),
        (cells[1].name, "slot"): Finding("steal", "DISTURBED", "20 %", "run again"),
    }
    words = said(grids.small_grid(findings=findings), status="killed")

    assert "Of 120 trials 1 INVALID had to be left out" in words["How sure"]
    assert "The machine disturbed 1 trial of those used." in words["How sure"]
    assert "The run was killed" in words["How sure"]
    assert words["Use"].endswith("Do not rely on it: the run was killed.")
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


def test_the_best_of_the_others_is_the_fastest_of_them() -> None:
    """In the cell spoken of, whatever the order of contenders."""
    place = grids.cell(64, 1.0)
    labels = ("threading", "slot", "a:f", "b:g", "c:h")
    rates = {
        (place.name, x): r for x, r in zip(labels, (500, 2000, 700, 900, 600), strict=True)
    }
    words = said(grids.stored(rates, [place], labels=labels))

    assert "neither slot nor the baseline, b:g, serves 0.45× [" in words["By how much"]


def test_what_can_be_resolved_is_not_called_hidden() -> None:
    """Only cells whose noise floor exceeds δ are counted."""
    quiet = said(grids.small_grid(noise=0.3))["How sure"]
    assert "cannot be resolved" not in quiet
    loud = said(grids.small_grid(noise=5))["How sure"]
    assert "A difference of 3 % cannot be resolved in 4 of 4 cells." in loud


def test_trials_that_were_replaced_are_told_of_as_such() -> None:
    """They disturb no number that is used."""
    steal = Finding("steal", "DISTURBED", "20 %", "run again")
    cells = [grids.cell(n, ms) for n in (4, 64) for ms in (0.0, 1.0)]
    first = grids.small_grid(findings={(cells[0].name, "slot"): steal})
    again = tuple(
        dataclasses.replace(t, attempt=1, findings=(), trial_id=f"{t.trial_id}+")
        for t in first.trials
        if (t.round, t.cell) == (0, cells[0].name)
    )
    words = said(dataclasses.replace(first, trials=(*first.trials, *again)))["How sure"]

    assert "Of 120 trials none had to be left out." in words
    assert "6 more trials were measured again." in words
    assert "disturbed" not in words


def test_a_size_from_which_preallocation_pays_covers_all_larger_ones() -> None:
    """It pays at 4 kB and not at 400 kB: no size is named."""
    cells = [grids.cell(shape=(n,), **{"observation.shape": n}) for n in (8, 1000, 100_000)]
    rates = {}
    for place, gain in zip(cells, (0.9, 1.5, 0.8), strict=True):
        rates[place.name, "slot"] = 1000.0
        rates[place.name, "slot[preallocate]"] = 1000.0 * gain
    words = said(grids.stored(rates, cells, labels=("slot", "slot[preallocate]")))

    assert "observations of" not in words["Preallocation"]
    assert "pays in 1 of 3 (1.50×); costs in 2 of 3" in words["Preallocation"]
