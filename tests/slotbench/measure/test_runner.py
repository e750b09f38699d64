"""The loop over trials, with an executor that only keeps a diary."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from slotbench.errors import ContenderError, RecordError, ScenarioError
from slotbench.measure import budget, runner
from slotbench.measure.outcomes import failed
from slotbench.records import (
    Batching,
    Cell,
    Contender,
    GymEnvironment,
    Model,
    Scenario,
    TrialRecord,
    TrialSpec,
    Window,
    Workload,
)

Scenarios = Callable[..., Scenario]


class DiaryExecutor:
    """Runs nothing; writes down what it was asked, and fails every trial."""

    def __init__(self, problems: dict[str | None, str] | None = None) -> None:
        self.diary: list[str] = []
        self.problems = problems or {}

    worker_start_s = 0.0

    def start_worker(self) -> None:
        self.diary.append("worker")
        self.worker_start_s += 5.0

    def check(self, contender: Contender | None, workload: Workload) -> str:
        return self.problems.get(contender.label if contender else None, "")

    def run(self, spec: TrialSpec) -> TrialRecord:
        self.diary.append(spec.trial_id)
        return failed(spec, "now", "the diary runs nothing")

    def close(self) -> None:
        self.diary.append("closed")


def test_every_round_has_a_fresh_worker(scenario: Scenarios) -> None:
    """The first round uses the worker that made the checks; each other starts its own."""
    executor = DiaryExecutor()
    runner.run(
        scenario("threading", "slot", rounds=3), executor, lambda _: None, lambda _: None
    )

    assert [line for line in executor.diary if line == "worker" or line.endswith("p0")] == [
        "r0-c0-a0-p0", "worker", "r1-c0-a0-p0", "worker", "r2-c0-a0-p0",
    ]  # fmt: skip


def test_each_trial_is_handed_over_before_the_next_begins(scenario: Scenarios) -> None:
    """A record that is not kept yet is never risked by another trial."""
    executor = DiaryExecutor()
    runner.run(
        scenario("threading", "slot", rounds=1),
        executor,
        lambda record: executor.diary.append(f"kept {record.trial_id}"),
        lambda _: None,
    )

    trials = [f"r0-c0-a0-p{i}" for i in range(3)]
    assert executor.diary == [line for trial in trials for line in (trial, f"kept {trial}")]


def test_failed_trials_do_not_end_the_run(scenario: Scenarios) -> None:
    """Every planned trial is asked for, and progress ends at all of them."""
    kept: list[TrialRecord] = []
    progress: list[runner.Progress] = []
    runner.run(scenario("threading", "slot"), DiaryExecutor(), kept.append, progress.append)

    assert len(kept) == 6
    assert (progress[0].num_done, progress[-1].num_done, progress[-1].num_trials) == (
        0,
        6,
        6,
    )


def test_what_cannot_be_recorded_ends_the_run(scenario: Scenarios) -> None:
    """A full disk is not a reason to go on measuring."""
    executor = DiaryExecutor()

    def refuse(record: TrialRecord) -> None:
        raise RecordError("disk full")

    with pytest.raises(RecordError):
        runner.run(scenario("threading", "slot"), executor, refuse, lambda _: None)
    assert executor.diary == ["r0-c0-a0-p0"]


def test_an_optional_contender_that_cannot_be_made_is_skipped(scenario: Scenarios) -> None:
    """It is named with the reason, and the others race."""
    planned = scenario("threading", "slot", "slot[preallocate]")
    optional = replace(planned.contenders[1], optional=True)
    planned = replace(
        planned, contenders=(planned.contenders[0], optional, planned.contenders[2])
    )

    racing, skipped = runner.admit(planned, DiaryExecutor({"slot": "broken"}))

    assert [c.label for c in racing.contenders] == ["threading", "slot[preallocate]"]
    assert [(skip.label, skip.reason) for skip in skipped] == [
        ("slot", "contender 'slot' cannot be made: broken")
    ]


def test_a_named_contender_that_cannot_be_made_is_an_error(scenario: Scenarios) -> None:
    """Nothing is run without it."""
    with pytest.raises(ContenderError, match=r"^contender 'slot' cannot be made: broken$"):
        runner.admit(scenario("threading", "slot"), DiaryExecutor({"slot": "broken"}))


def test_a_workload_that_cannot_be_made_is_the_scenarios_error(scenario: Scenarios) -> None:
    """An unknown environment is not blamed on a contender, nor skipped."""
    with pytest.raises(ScenarioError, match=r"^scenario 'small': no such environment$"):
        runner.admit(scenario("threading"), DiaryExecutor({None: "no such environment"}))


def test_the_estimate_counts_every_trial(scenario: Scenarios) -> None:
    """Twice the rounds are twice the time; a cell more costs its trials."""
    one = scenario("threading", "slot", rounds=1)
    (cell,) = one.cells
    two_cells = replace(one, cells=(cell, Cell("b", {}, cell.workload)))

    assert runner.estimate_s(replace(one, rounds=2)) == pytest.approx(
        2 * runner.estimate_s(one)
    )
    assert runner.estimate_s(two_cells) - runner.estimate_s(one) == pytest.approx(
        3 * budget.estimate_trial_s(cell.workload)
    )


def test_the_estimate_knows_prolonged_windows(workload: Callable[..., Workload]) -> None:
    """One actor and a 20 ms model need 10 s for 500 replies, 100 actors do not."""
    slow = Model(latency_ms=20.0)
    window = Window(warmup_s=0.3, measure_s=1.0, min_requests=500, max_measure_s=10.0)
    one = workload(num_slots=1, model=slow, window=window)
    many = workload(
        num_slots=100, model=slow, window=window, batching=Batching(max_batch_size=100)
    )

    assert budget.estimate_trial_s(one) == pytest.approx(10.3, abs=0.2)
    assert budget.estimate_trial_s(many) == pytest.approx(1.3, abs=0.3)


def test_every_different_workload_is_checked(scenario: Scenarios) -> None:
    """An axis over the options of an environment is tried value by value."""
    planned = scenario("threading")
    (cell,) = planned.cells
    options = [{"a": 1}, {"a": 2}, {"a": 1}]
    cells = [
        Cell(str(i), {}, replace(cell.workload, environment=GymEnvironment("E", chosen)))
        for i, chosen in enumerate(options)
    ]
    tried: list[object] = []

    class Trying(DiaryExecutor):
        def check(self, contender: Contender | None, workload: Workload) -> str:
            if contender is None:
                assert workload.environment is not None
                tried.append(workload.environment.options)
            return ""

    runner.admit(replace(planned, cells=tuple(cells)), Trying())

    assert tried == [{"a": 1}, {"a": 2}]
