"""What is said of a search is what it shows, and no more."""

import csv
import io
import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from slotbench import store
from slotbench.draw import Screen, slo
from slotbench.errors import SlotbenchError
from slotbench.records import Limit, SloPlan
from slotbench.store import StoredSlo
from tests.slotbench.support.slos import P99_2MS, SimulatedExecutor, search


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredSlo:
    return search(tmp_path_factory.mktemp("results"))


def test_the_opening_names_intervals_and_what_lies_between_them(stored: StoredSlo) -> None:
    """The ratio is of the leader's lower end over the other's upper one, rounded down."""
    opening = slo.page(stored).opening
    found = json.loads(slo.as_json(stored))
    of = {one["contender"]: one for one in found["searches"]}
    ratio = of["slot"]["held_per_s"] / of["threading"]["failed_per_s"]
    said = re.search(r"slot holds at least (\d\.\d\d)× the load of threading", opening)
    assert said is not None
    assert ratio - 0.01 < float(said[1]) <= ratio
    assert re.match(
        r"slot keeps p99 ≤ 2.00 ms up to a load between [\d ]+/s and [\d ]+/s; "
        r"threading up to a load between",
        opening,
    )


def test_overlapping_intervals_show_no_difference(stored: StoredSlo) -> None:
    """Two contenders of one name's trials cannot lead each other."""
    twin = replace(
        stored,
        trials=tuple(
            replace(one, trial=replace(one.trial, contender=label, trial_id=f"{label}-{i}"))
            for i, one in enumerate(stored.trials)
            if one.trial.contender == "slot"
            for label in ("threading", "slot")
        ),
    )
    assert "The intervals show no difference between them." in slo.page(twin).opening


@pytest.mark.parametrize("width", [40, 80, 120])
def test_text_fits_its_screen(stored: StoredSlo, width: int) -> None:
    text = slo.render(stored, "text", Screen(width=width))
    assert max(map(len, text.splitlines())) <= width
    assert "shown to hold" in text


def test_columns_and_numbers_can_be_told_apart(tmp_path: Path) -> None:
    """Each column has a name of its own, and no number is broken between its thousands."""
    plan = SloPlan((Limit(50.0, 1e-3), Limit(99.0, 2e-3)))
    both = search(tmp_path, "slot", plan=plan)
    header = slo.page(both).tables[0].header
    assert len(set(header)) == len(header)
    for width in range(60, 130):
        text = slo.render(both, "text", Screen(width=width))
        assert not re.search(r"\d\n *\d\d\d/s", text)


def test_every_format_says_the_same(stored: StoredSlo) -> None:
    found = json.loads(slo.render(stored, "json"))
    (first, second) = csv.DictReader(io.StringIO(slo.render(stored, "csv")))
    for row, one in zip((first, second), found["searches"], strict=True):
        assert float(row["held_per_s"]) == one["held_per_s"]
        assert float(row["p99_failed_s"]) == one["p99_failed_s"]
        loads = {load["load_per_s"]: load["decision"] for load in one["loads"]}
        assert loads[one["held_per_s"]] == "holds"
        assert loads[one["failed_per_s"]] == "fails"
    for name in ("md", "html", "text"):
        text = slo.render(stored, name)
        assert "slot" in text
        assert text.endswith("\n")
    with pytest.raises(SlotbenchError, match="did you mean json"):
        slo.render(stored, "jsn")


def test_a_generator_that_could_not_is_not_a_server_that_could_not(tmp_path: Path) -> None:
    executor = SimulatedExecutor(invalid_above_per_s=4500.0)
    text = slo.render(
        search(tmp_path, "slot", executor=executor), "text", Screen(width=200)
    )
    assert "up to 4 410/s at least" in text
    assert "4 630/s could not be offered" in text
    assert "generator: late by 3 ms" in text


def test_a_contender_that_fails_is_no_generator_that_could_not(tmp_path: Path) -> None:
    executor = SimulatedExecutor(fails_above_per_s=4500.0)
    stored = search(tmp_path, "slot", executor=executor)
    text = slo.render(stored, "text", Screen(width=300))
    assert "warning: slot: it does not serve 4 630/s: 3 trials without numbers" in text
    assert "failed: it died" in text
    assert "could not be offered" not in text


def _noise(load: float, chance: random.Random) -> float:
    """Around 2 ms, so widely that no number of trials tells."""
    return 2e-3 * math.exp(chance.gauss(0.0, 0.8))


@pytest.mark.parametrize(
    ("p99_of", "ending", "opening", "note"),
    [
        (
            lambda load, chance: 1e-3 if load < 5000.0 else _noise(load, chance),
            "undecided above",
            r"up to [\d ]+/s at least",
            r"no load up to [\d ]+/s was shown not to hold",
        ),
        (
            lambda load, chance: 6e-3 if load > 6000.0 else _noise(load, chance),
            "undecided below",
            r"below 6 \d\d0/s, if at all",
            "was not shown to fail either",
        ),
        (_noise, "not found", "was not found", "none not to"),
        (
            lambda *_: 1e-3,
            "all hold",
            r"[\d ]+/s at least",
            "the highest load tried, holds",
        ),
        (lambda *_: 9e-3, "none holds", "at no load", "p99 is 9.00 ms"),
    ],
)
def test_ends_that_are_undecided_are_not_claimed(
    tmp_path: Path,
    p99_of: Callable[[float, random.Random], float],
    ending: str,
    opening: str,
    note: str,
) -> None:
    """Holding and failing are said of loads that were shown to, and of no others."""
    executor = SimulatedExecutor(seed=2, p99_of=p99_of)
    stored = search(tmp_path, "slot", executor=executor)
    (found,) = slo.document(stored)["searches"]
    assert found["ending"] == ending
    assert re.search(opening, slo.page(stored).opening)
    text = slo.render(stored, "text", Screen(width=400))
    assert re.search(note, text)
    claims = {"all hold": "begin higher", "none holds": "the lowest tried, p99"}
    for of_ending, claim in claims.items():
        assert (claim in text) == (of_ending == ending)


def test_no_load_holds_names_the_latency_of_the_lowest(tmp_path: Path) -> None:
    plan = SloPlan((Limit(50.0, 1.0), Limit(99.0, 0.1e-3)))
    text = slo.render(search(tmp_path, "slot", plan=plan), "text", Screen(width=300))
    assert "no load was shown to hold p50 ≤ 1.00 s and p99 ≤ 100 µs" in text
    assert re.search(r"the lowest tried, p50 is \d+ µs, p99 is \d+ µs", text)


def test_a_search_that_was_cut_short_says_what_stands(tmp_path: Path) -> None:
    executor = SimulatedExecutor(fails_at=25, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, executor=executor)
    stored = store.read_slo(store.find(None, tmp_path, ("slo",)))
    text = slo.render(stored, "text", Screen(width=400))
    assert "its search has not ended" in text
    assert "slotbench slo --resume" in text


def test_a_busy_machine_is_told(tmp_path: Path) -> None:
    executor = SimulatedExecutor(disturbed=range(1000))
    text = slo.render(
        search(tmp_path, "slot", executor=executor), "text", Screen(width=200)
    )
    assert "DISTURBED and made again" in text
    assert "search on a machine that does nothing else" in text
    assert "DISTURBED too many trials of slot for that to be right with 95 %" in text


def test_a_search_without_trials_is_said_to_have_none(tmp_path: Path) -> None:
    stored = search(tmp_path, plan=replace(P99_2MS, budget_s=0.1))
    for name in slo.FORMATS:
        assert slo.render(stored, name)
    assert "at a load that is not found yet" in slo.page(stored).opening
