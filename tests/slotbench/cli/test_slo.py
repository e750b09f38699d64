"""``slotbench slo``: limits in, an interval out, and a folder that goes on."""

import json
import math
import shlex
from pathlib import Path
from typing import Any

import pytest

import slotbench as package
from slotbench import store
from slotbench.cli import slo as command
from slotbench.measure.executor import LocalExecutor
from slotbench.records import TrialRecord, TrialSpec
from tests.slotbench.support.slos import SimulatedExecutor

SMALL = """
title = "Small"
question = "How much does it hold?"
num_slots = 4
[window]
warmup_s = 0.05
measure_s = 0.1
min_requests = 100
[[contenders]]
name = "threading"
baseline = true
[[contenders]]
name = "slot"
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> SimulatedExecutor:
    """Trials that take no time, whose truth is known."""
    executor = SimulatedExecutor()
    monkeypatch.setattr(command, "_executor", lambda _: executor)
    return executor


def test_a_search_is_made_recorded_and_shown_again(
    slotbench: Any, small: Path, tmp_path: Path, simulated: SimulatedExecutor
) -> None:
    outcome = slotbench("slo", small, "--p99", "2ms")
    assert outcome.code == 0, outcome.stderr
    assert "slot keeps p99 ≤ 2.00 ms up to a load between" in outcome.stdout
    (path,) = store.all_runs(tmp_path / "results", ("slo",))
    assert f"Recorded in results/{path.name}" in outcome.stdout
    assert simulated.specs[-1].workload.load.arrivals == "poisson"

    for reference in ("small", "newest", f"results/{path.name}"):
        again = slotbench("show", reference)
        assert again.code == 0, again.stderr
        assert again.stdout in outcome.stdout
    assert (
        json.loads(slotbench("show", "small", "--json").stdout)["schema"] == "slotbench.slo"
    )
    listed = json.loads(slotbench("list", "--runs", "--json").stdout)
    assert [(one["kind"], one["status"]) for one in listed] == [("slo", "complete")]
    page = slotbench("report", "small", "-o", "small.html")
    assert page.code == 0, page.stderr
    text = (tmp_path / "small.html").read_text()
    assert "shown to hold" in text
    assert "Latency over load" in text
    assert "recorded searches" in text
    assert slotbench("report", "small", "-o", "small.md").code == 0
    assert slotbench("plot", "small", "slo", "-o", "small.png").code == 0
    refused = slotbench("plot", "small", "latency")
    assert "is drawn of a run, and" in refused.stderr
    refused = slotbench("show", "small", "--problems")
    assert refused.code == 2
    assert "--problems is for a run" in refused.stderr
    for words in (
        ["compare", "small"],
        ["export", "small", "csv"],
        ["run", "--resume", "small"],
    ):
        assert slotbench(*words).code == 2


def test_it_goes_on_where_it_was_interrupted(
    slotbench: Any, small: Path, tmp_path: Path, simulated: SimulatedExecutor
) -> None:
    simulated.fails_at, simulated.error = 12, KeyboardInterrupt()
    outcome = slotbench("slo", small, "--p99", "2ms", "--format", "json")
    assert outcome.code == 130
    assert "go on with: slotbench slo --resume results/" in outcome.stderr
    simulated.error = None
    before = package.load_slo(results_dir=tmp_path / "results").trials
    outcome = slotbench("slo", "--resume", "newest", "--allow-different", "--dry-run")
    assert outcome.code == 0, outcome.stderr
    assert (
        "0 of 2 contenders in a cell searched, 12 trials recorded, 2 left" in outcome.stdout
    )
    assert package.load_slo(results_dir=tmp_path / "results").trials == before
    for words in (
        ("quickstart",),
        ("--p99", "2ms"),
        ("--set", "num_slots=4"),
        ("--contender", "slot"),
        ("--arrivals", "constant"),
        ("--precision", "10%"),
        ("--from", "100"),
        ("--seed", "1"),
    ):
        refused = slotbench("slo", *words, "--resume", "newest")
        assert refused.code == 2
        named = "SCENARIO" if len(words) == 1 else words[0]
        assert f"leave out {named}" in " ".join(refused.stderr.split())
    outcome = slotbench("slo", "--resume", "newest", "--allow-different")
    assert outcome.code == 0, outcome.stderr
    assert "up to a load between" in outcome.stdout
    outcome = slotbench("slo", "--resume", "newest")
    assert outcome.code == 2
    assert "is complete" in outcome.stderr


def test_only_those_named_are_searched(
    slotbench: Any, small: Path, simulated: SimulatedExecutor
) -> None:
    """Not the baseline beside them, as in a run: a search compares nothing with it."""
    words = (
        "--p99",
        "2ms",
        "--contender",
        "slot",
        "--arrivals",
        "constant",
        "--format",
        "csv",
    )
    outcome = slotbench("slo", small, *words)
    assert outcome.code == 0, outcome.stderr
    assert [line.split(",")[2] for line in outcome.stdout.splitlines()] == [
        "contender",
        "slot",
    ]
    assert simulated.specs[-1].workload.load.arrivals == "constant"


def test_a_contender_without_a_usable_trial_is_an_exit_code(
    slotbench: Any, small: Path, simulated: SimulatedExecutor
) -> None:
    simulated.failing = ("threading",)
    outcome = slotbench("slo", small, "--p99", "2ms")
    assert outcome.code == 4
    assert "threading: not found: failed: it died" in " ".join(outcome.stdout.split())


def test_a_closed_loop_that_worked_is_no_usable_trial(
    slotbench: Any, small: Path, simulated: SimulatedExecutor
) -> None:
    """It says where to begin, and nothing of what is asked."""
    simulated.fails_above_per_s = 0.0
    assert slotbench("slo", small, "--p99", "2ms").code == 4
    simulated.fails_above_per_s, simulated.invalid_above_per_s = math.inf, 0.0
    assert slotbench("slo", small, "--p99", "2ms").code == 3


def test_a_search_without_trials_offers_no_page(
    slotbench: Any, small: Path, simulated: SimulatedExecutor
) -> None:
    outcome = slotbench("slo", small, "--p99", "2ms", "--budget", "100ms")
    assert outcome.code == 0, outcome.stderr
    assert "Recorded in results/" in outcome.stdout
    assert "slotbench report" not in outcome.stdout


def test_a_plan_is_shown_and_nothing_done(
    slotbench: Any, small: Path, tmp_path: Path
) -> None:
    outcome = slotbench("slo", small, "--p99", "2ms", "--p50", "1ms", "--dry-run")
    assert outcome.code == 0, outcome.stderr
    assert "limits: p50 ≤ 1.00 ms and p99 ≤ 2.00 ms" in outcome.stdout
    assert "2 searches of poisson arrivals" in outcome.stdout
    assert not (tmp_path / "results").exists()


def _examples() -> list[list[str]]:
    text = (command.slo.__doc__ or "").partition("Examples:")[2]
    lines = [shlex.split(line) for line in text.splitlines() if line.strip()]
    return [words[1:] for words in lines if "--resume" not in words]


@pytest.mark.parametrize("words", _examples(), ids=" ".join)
def test_every_example_of_its_help_can_be_searched(
    slotbench: Any, words: list[str]
) -> None:
    outcome = slotbench(*words, "--dry-run")
    assert outcome.code == 0, outcome.stderr
    assert "expected duration" in outcome.stdout
    assert outcome.stderr.count("skipping floor: it is no transport") <= 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch", "--p99", "2ms"], "nosuch"),
        (["quickstart"], "a search needs a limit, such as --p99 2ms"),
        (["quickstart", "--p99", "2"], "write 800us, 2ms, 1.5s or 10m"),
        (["quickstart", "--p99", "2ms", "--format", "pdf"], "unknown format 'pdf'"),
        (["quickstart", "--p99", "2ms", "--arrivals", "even"], "poisson or constant"),
        (["quickstart", "--p99", "2ms", "--precision", "0.1%"], "--precision is from 1"),
        (
            ["quickstart", "--p99", "2ms", "--set", "load.arrivals=poisson"],
            "--arrivals says",
        ),
        (["quickstart", "--resume", "x"], "leave out SCENARIO"),
        (["grid", "--p99", "2ms"], "keep to 16"),
        (["--p99", "2ms"], "name a scenario"),
        (["--resume", "nope"], "no SLO search 'nope'"),
    ],
)
def test_a_mistake_is_one_line(slotbench: Any, arguments: list[str], said: str) -> None:
    outcome = slotbench("slo", *arguments)
    assert outcome.code == 2
    assert said in outcome.stderr
    assert "Traceback" not in outcome.stderr


class Impatient(LocalExecutor):
    """Real trials; Ctrl-C instead of the fourth."""

    num_run = 0

    def run(self, spec: TrialSpec) -> TrialRecord:
        if self.num_run == 3:
            raise KeyboardInterrupt
        self.num_run += 1
        return super().run(spec)


def test_it_searches_for_real(
    slotbench: Any, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed loop, and two steps in the open one; what they find is not asked."""
    monkeypatch.setattr(command, "_executor", Impatient)
    outcome = slotbench(
        *("slo", small, "--p50", "2ms", "--contender", "slot"),
        *("--set", "window.max_measure_s=1"),
    )
    assert outcome.code == 130, outcome.stderr
    found = package.load_slo(results_dir=tmp_path / "results")
    closed, *tried = found.trials
    for one in found.trials:
        assert one.trial.status == "ok", one.trial.error
        assert one.trial.measurement is not None
        assert (one.trial.measurement.open_loop is None) == (one is closed)
    for one in tried:
        assert one.load_per_s is not None
        assert one.trial.measurement is not None
        measured = one.trial.measurement
        assert measured.open_loop is not None
        due_per_s = measured.open_loop.num_intended / measured.window_s
        # Poisson: within five standard deviations.
        spread = 5.0 * (one.load_per_s / measured.window_s) ** 0.5
        assert abs(due_per_s - one.load_per_s) < spread
