"""What is said of a search is what it shows, and no more."""

import csv
import io
import json
import re
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


def test_a_search_without_trials_is_said_to_have_none(tmp_path: Path) -> None:
    stored = search(tmp_path, plan=replace(P99_2MS, budget_s=0.1))
    for name in slo.FORMATS:
        assert slo.render(stored, name)
    assert "at a load that is not found yet" in slo.page(stored).opening
