"""``slotbench doctor``, once for real, and with a diagnosis that is known."""

import json
import signal
from pathlib import Path
from typing import Any

import pyperf
import pytest

from slotbench.diagnostics import diagnose
from slotbench.draw import diagnosis as drawn
from slotbench.store import document, read_diagnosis
from tests.slotbench.support import diagnoses


@pytest.fixture(autouse=True)
def sigterm_again() -> Any:
    """The command takes SIGTERM for itself; other tests have their own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Nothing is measured; the plans that were asked for."""
    asked: list[Any] = []

    def instead(plan: Any, **options: Any) -> Any:
        asked.append((plan, options["contender"]))
        return diagnoses.diagnosis()

    monkeypatch.setattr(diagnose, "diagnose", instead)
    return asked


def test_a_quick_diagnosis_from_end_to_end(slotbench: Any, tmp_path: Path) -> None:
    """Three real rounds: JSON on stdout, progress on stderr, the suite in its file, nothing in results."""
    outcome = slotbench(
        *("doctor", "--quick", "--rounds", "3", "--json", "--pyperf", "p.json")
    )
    assert outcome.code == 0, outcome.stderr
    (tmp_path / "d.json").write_text(outcome.stdout, encoding="utf-8")
    found = read_diagnosis(tmp_path / "d.json")

    assert "left: " in outcome.stderr
    assert found.is_quick
    assert found.environment["cpu_count"] > 0
    noise = found.noise
    assert (noise.contender, noise.num_rounds, noise.num_workers) == ("slot", 3, 1)
    assert (noise.num_trials, noise.num_failed) == (12, 0)
    assert {(c.cell, c.metric) for c in noise.cells} == {
        (f"model.latency_ms={ms}", metric)
        for ms in (0, 1)
        for metric in ("throughput", "latency_p50", "latency_p99")
    }
    assert all(cell.value is not None and cell.value > 0 for cell in noise.cells)
    assert {one.rounds for one in found.resolvable} == {5, 10, 20}
    assert all(len(primitive.runs) == 3 for primitive in found.primitives)
    # Each side sleeps for the other, wherever the kernel put the two.
    for primitive in found.primitives:
        if primitive.group == "hand-over":
            assert all(r.voluntary + r.involuntary >= 1 for r in primitive.runs)
    suite = pyperf.BenchmarkSuite.load(str(tmp_path / "p.json"))
    assert suite.get_benchmark_names() == [one.name for one in found.primitives]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.json", "p.json"]


def test_the_text_is_the_diagnosis(slotbench: Any, known: list[Any]) -> None:
    """Advice is no failure."""
    outcome = slotbench("doctor")

    assert (outcome.code, outcome.stdout) == (0, drawn.show(diagnoses.diagnosis()))
    assert known == [(diagnose.FULL, "slot")]


def test_options_reach_the_plan(slotbench: Any, known: list[Any]) -> None:
    """Rounds, contender and quick; JSON is the record."""
    outcome = slotbench(
        *("doctor", "--quick", "--rounds", "9", "--contender", "threading", "--json")
    )

    assert outcome.stdout == document(diagnoses.diagnosis()).decode("utf-8")
    assert json.loads(outcome.stdout)["schema_version"] == 1
    ((plan, contender),) = known
    assert (plan.rounds, plan.is_quick, contender) == (9, True, "threading")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rounds", "2"], "at least 3 rounds, and not 2"),
        (["--contender", "slott"], "slott"),
        (["--contender", "floor"], "contender floor: nobody is compared with it"),
        (["--rounds", "x"], "--rounds"),
        (["extra"], "extra"),
    ],
)
def test_what_cannot_be_diagnosed_is_said_in_one_line(
    slotbench: Any, arguments: list[str], said: str
) -> None:
    """Before anything is measured, with exit code 2."""
    outcome = slotbench("doctor", *arguments)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.count("\n") == 1
    assert said in outcome.stderr


def test_a_suite_that_exists_is_kept_unless_forced(
    slotbench: Any, known: list[Any], tmp_path: Path
) -> None:
    """It is said before a minute and a half is spent, and names this command's option."""
    (tmp_path / "p.json").write_text("mine")
    outcome = slotbench("doctor", "--pyperf", "p.json")
    assert outcome.code == 2
    assert (
        "p.json exists already; --force replaces it, --pyperf writes elsewhere"
        in outcome.stderr
    )
    assert known == []
    assert (tmp_path / "p.json").read_text() == "mine"

    assert slotbench("doctor", "--pyperf", "p.json", "--force").code == 0
    assert len(pyperf.BenchmarkSuite.load(str(tmp_path / "p.json")).get_benchmarks()) == 3


def test_ctrl_c_says_that_nothing_was_recorded(
    slotbench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 130, and nothing on stdout."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(diagnose, "diagnose", interrupted)
    outcome = slotbench("doctor")

    assert (outcome.code, outcome.stdout) == (130, "")
    assert "interrupted; nothing was recorded" in outcome.stderr
