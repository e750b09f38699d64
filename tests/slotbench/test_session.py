"""A run leaves a folder that says how it ended, however it ended."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from slotbench import store
from slotbench.errors import ContenderError
from slotbench.measure.outcomes import failed
from slotbench.records import Contender, Scenario, Skipped, TrialRecord, TrialSpec, Workload
from slotbench.session import run_scenario


class CannedExecutor:
    """Fails every trial without running it; raises ``error`` instead of trial ``fails_at``."""

    def __init__(self, problems: dict[str, str] | None = None) -> None:
        self.problems = problems or {}
        self.error: BaseException | None = None
        self.fails_at = -1
        self.num_run = 0

    worker_start_s = 0.0

    def start_worker(self) -> None:
        pass

    def check(self, contender: Contender | None, workload: Workload) -> str:
        return self.problems.get(contender.label, "") if contender else ""

    def run(self, spec: TrialSpec) -> TrialRecord:
        if self.num_run == self.fails_at and self.error is not None:
            raise self.error
        self.num_run += 1
        return failed(spec, "now", "canned")

    def close(self) -> None:
        pass


@pytest.fixture
def scenario(make_run: Callable[..., object]) -> Scenario:
    made = make_run().scenario  # type: ignore[attr-defined]
    return replace(made, rounds=2)


def test_a_complete_run_is_recorded_as_such(scenario: Scenario, tmp_path: Path) -> None:
    """Every planned trial, the plan, the machine and the time's account are there."""
    skipped = Skipped("torchrl.slot", "not installed")
    path = run_scenario(
        scenario,
        CannedExecutor(),
        tmp_path,
        skipped=[skipped],
        command=["slotbench", "run"],
    )
    stored = store.read(path)

    assert stored.run.status == "complete"
    assert len(stored.trials) == stored.run.design.num_trials > 0
    assert stored.run.accounting is not None
    assert stored.run.skipped == (skipped,)
    assert stored.run.command == ("slotbench", "run")
    assert stored.run.environment["python_version"]
    assert stored.notes == ()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("disk full")])
def test_an_interrupted_run_keeps_its_trials(
    error: BaseException, scenario: Scenario, tmp_path: Path
) -> None:
    """Whatever ends it, the trials that ended before are read back, and it says interrupted."""
    executor = CannedExecutor()
    executor.error, executor.fails_at = error, 3
    with pytest.raises(type(error)):
        run_scenario(scenario, executor, tmp_path)

    stored = store.read(store.find(None, tmp_path))
    assert stored.run.status == "interrupted"
    assert len(stored.trials) == 3


def test_nothing_is_recorded_of_a_run_that_cannot_start(
    scenario: Scenario, tmp_path: Path
) -> None:
    """A contender that cannot be made leaves no folder behind."""
    label = scenario.contenders[0].label
    with pytest.raises(ContenderError):
        run_scenario(scenario, CannedExecutor({label: "broken"}), tmp_path / "results")

    assert not (tmp_path / "results").exists()


def test_contenders_found_broken_are_recorded_as_skipped(
    scenario: Scenario, tmp_path: Path
) -> None:
    """An optional contender that installs but cannot be made is named in the record."""
    optional = replace(scenario.contenders[-1], optional=True, baseline=False)
    planned = replace(scenario, contenders=(*scenario.contenders[:-1], optional))
    path = run_scenario(planned, CannedExecutor({optional.label: "broken"}), tmp_path)

    run = store.read(path).run
    assert run.skipped == (
        Skipped(optional.label, f"contender {optional.label!r} cannot be made: broken"),
    )
    assert optional.label not in {contender.label for contender in run.scenario.contenders}
