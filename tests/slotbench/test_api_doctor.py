"""``slotbench.doctor`` gives the diagnosis that the command prints."""

from pathlib import Path
from typing import Any

import pyperf
import pytest

import slotbench
from slotbench.api import Doctor
from slotbench.compute import power
from slotbench.diagnostics import diagnose
from slotbench.draw import diagnosis as drawn
from slotbench.errors import RecordError, SlotbenchError
from tests.slotbench.support import diagnoses


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """What `slotbench.doctor` gives where nothing is measured; how it was asked is in its command."""
    monkeypatch.setattr(
        diagnose,
        "diagnose",
        lambda plan, *, contender, command, on_progress: diagnoses.diagnosis(
            command=command, is_quick=plan.is_quick
        ),
    )
    return slotbench.doctor(quick=True, rounds=4, contender="threading")


def test_it_is_asked_as_the_command_is(doctor: Doctor) -> None:
    """Its record says which command line does the same."""
    assert doctor.record.command == (
        *("slotbench", "doctor", "--quick", "--rounds", "4", "--contender", "threading"),
    )
    assert doctor.record.is_quick
    assert slotbench.doctor().record.command == ("slotbench", "doctor")
    assert {"doctor", "Doctor", "load_diagnosis"} <= set(dir(slotbench))


def test_it_shows_itself_as_text_and_html(doctor: Doctor) -> None:
    """As the command does, and as a fragment; its repr is one line."""
    assert str(doctor) == drawn.show(doctor.record)
    assert doctor._repr_html_() == drawn.fragment(doctor.record)
    assert "\n" not in repr(doctor)
    assert "5 rounds show" in repr(doctor)
    assert doctor.advice == doctor.record.advice


def test_it_says_what_any_number_of_rounds_resolves(doctor: Doctor) -> None:
    """By the spread of the cell's throughput; an unknown cell is named, with those there are."""
    log_sd = doctor.record.noise.cells[0].log_sd
    assert log_sd is not None
    for rounds in (2, 7, 50):
        assert doctor.resolves(rounds) == power.smallest_effect(log_sd, rounds)
        assert doctor.resolves(rounds, diagnoses.CELL) == doctor.resolves(rounds)
    assert doctor.resolves(1) is None
    with pytest.raises(
        SlotbenchError, match="no cell 'x' in this diagnosis: it has num_slots=8"
    ):
        doctor.resolves(5, "x")


def test_it_is_written_and_read(doctor: Doctor, tmp_path: Path) -> None:
    """As JSON and back, replacing what was there; the primitives for pyperf."""
    for _ in range(2):
        path = doctor.to_json(tmp_path / "doctor.json")
        suite = doctor.to_pyperf(str(tmp_path / "primitives.json"))
    assert slotbench.load_diagnosis(path) == doctor
    assert len(pyperf.BenchmarkSuite.load(str(suite)).get_benchmarks()) == 3
    with pytest.raises(RecordError, match="cannot read"):
        slotbench.load_diagnosis(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"rounds": 2}, "at least 3 rounds, and not 2"), ({"contender": "nope"}, "nope")],
)
def test_what_cannot_be_diagnosed_is_refused(asked: dict[str, Any], said: str) -> None:
    """Before anything is measured."""
    with pytest.raises(SlotbenchError, match=said):
        slotbench.doctor(**asked)
