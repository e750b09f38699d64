"""The loop over trials, with an executor that only keeps a diary."""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench import contenders
from slotbench.compute import blocks
from slotbench.errors import ContenderError, RecordError, ScenarioError
from slotbench.measure import budget, design, runner
from slotbench.measure.outcomes import failed
from slotbench.records import (
    SCHEMA_VERSION,
    Batching,
    CalibrationRecord,
    Cell,
    Contender,
    Finding,
    GymEnvironment,
    Leaf,
    Load,
    Model,
    Observation,
    RunRecord,
    Scenario,
    ThinkTime,
    TrialRecord,
    TrialSpec,
    Window,
    Workload,
)
from tests.slotbench.support.calibrations import calibration

Scenarios = Callable[..., Scenario]


STOLEN = Finding("steal", "DISTURBED", "half of it", "wait")


def plan(scenario: Scenario, max_attempts: int = runner.MAX_ATTEMPTS) -> RunRecord:
    """A run of the scenario, before its first trial."""
    return RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id="20261123T064501Z-small-3fa9c1",
        created_at="2026-11-23T06:45:01+00:00",
        status="running",
        scenario=scenario,
        scenario_sha256="",
        skipped=(),
        design=design.draw(scenario),
        environment={},
        command=(),
        max_attempts=max_attempts,
    )


class DiaryExecutor:
    """Runs nothing; writes down what it was asked, and fails every trial.

    Args:
        problems: what it says when asked to make a contender.
        disturbed: trials that the machine interferes with.
    """

    def __init__(
        self,
        problems: dict[str | None, str] | None = None,
        disturbed: Callable[[TrialSpec], bool] = lambda _: False,
    ) -> None:
        self.diary: list[str] = []
        self.problems = problems or {}
        self.disturbed = disturbed

    worker_start_s = 0.0
    status: Literal["ok", "failed"] = "failed"

    def start_worker(self) -> None:
        self.diary.append("worker")
        self.worker_start_s += 5.0

    def check(self, contender: Contender | None, workload: Workload) -> str:
        return self.problems.get(contender.label if contender else None, "")

    def run(self, spec: TrialSpec) -> TrialRecord:
        self.diary.append(spec.trial_id)
        record = replace(failed(spec, "now", "the diary runs nothing"), status=self.status)
        return replace(record, findings=(STOLEN,)) if self.disturbed(spec) else record

    def calibrate(self, spec: TrialSpec) -> CalibrationRecord:
        self.diary.append(f"calibrated {spec.trial_id}")
        return calibration(spec.cell, spec.round, attempt=spec.attempt, duration_s=2.0)

    def close(self) -> None:
        self.diary.append("closed")


def test_every_round_has_a_fresh_worker(scenario: Scenarios) -> None:
    """The first round uses the worker that made the checks; each other starts its own."""
    executor = DiaryExecutor()
    planned = plan(scenario("threading", "slot", rounds=3))
    runner.run(planned, executor, lambda _: None, lambda _: None)

    assert [line for line in executor.diary if line == "worker" or line.endswith("p0")] == [
        "r0-c0-a0-p0", "worker", "r1-c0-a0-p0", "worker", "r2-c0-a0-p0",
    ]  # fmt: skip


def test_each_trial_is_handed_over_before_the_next_begins(scenario: Scenarios) -> None:
    """A record that is not kept yet is never risked by another trial."""
    executor = DiaryExecutor()
    runner.run(
        plan(scenario("threading", "slot", rounds=1)),
        executor,
        lambda record: executor.diary.append(f"kept {record.trial_id}"),
        lambda _: None,
    )

    trials = [f"r0-c0-a0-p{i}" for i in range(3)]
    assert executor.diary == [line for trial in trials for line in (trial, f"kept {trial}")]


def test_each_attempt_at_a_block_begins_with_a_calibration(scenario: Scenarios) -> None:
    """Kept before the first trial; of a block measured again another one."""
    stolen = {"r0-c0-a0-p1"}
    executor = DiaryExecutor(disturbed=lambda spec: spec.trial_id in stolen)
    kept: list[CalibrationRecord] = []
    observed_s = runner.run(
        plan(scenario("threading", "slot", rounds=2)),
        executor,
        lambda _: None,
        lambda _: None,
        on_calibration=kept.append,
    )

    firsts = [x for x in executor.diary if x.endswith("p0")]
    blocks_ = [("r0-c0-a0-p0"), ("r0-c0-a1-p0"), ("r1-c0-a0-p0")]
    assert firsts == [line for one in blocks_ for line in (f"calibrated {one}", one)]
    assert [(one.round, one.attempt) for one in kept] == [(0, 0), (0, 1), (1, 0)]
    assert observed_s == 6.0


def test_every_interpreter_is_calibrated_in_every_block(scenario: Scenarios) -> None:
    """By its own first trial there, all before the block's first."""
    executor = DiaryExecutor()
    raced = ("threading", "slot[python=a]", "slot", "threading[python=a]", "slot[python=b]")
    planned = plan(scenario(*raced, rounds=2))
    calibrated: list[CalibrationRecord] = []
    runner.run(
        planned,
        executor,
        lambda _: None,
        lambda _: None,
        on_calibration=calibrated.append,
    )

    assert len(calibrated) == 2 * 3
    for number in range(2):
        first, *rest = (x for x in executor.diary if f"r{number}-" in x)
        begin = [first, *rest][:4]
        assert [line.startswith("calibrated") for line in begin] == [True] * 3 + [False]
        ((_, order),) = planned.design.blocks[number]
        asked = [order[int(line.rpartition("p")[2])] for line in begin[:3]]
        pythons = [label.partition("python=")[2][:1] for label in asked]
        assert sorted(pythons) == ["", "a", "b"]
        of_all = [label.partition("python=")[2][:1] for label in order]
        positions = [int(line.rpartition("p")[2]) for line in begin[:3]]
        assert positions == [of_all.index(python) for python in pythons]


def test_failed_trials_do_not_end_the_run(scenario: Scenarios) -> None:
    """Every planned trial is asked for, and progress ends at all of them."""
    kept: list[TrialRecord] = []
    progress: list[runner.Progress] = []
    planned = plan(scenario("threading", "slot"))
    runner.run(planned, DiaryExecutor(), kept.append, progress.append)

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
        runner.run(plan(scenario("threading", "slot")), executor, refuse, lambda _: None)
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
        + budget.estimate_calibration_s(cell.workload)
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


@pytest.mark.parametrize(
    ("name", "buffered"),
    [
        ("slot", 0),
        ("torchrl.mp", 0),
        ("slot@collector", 64 + 8),
        ("slot[frames_per_batch=200,env_backend=multiprocessing]@collector", 200 + 8),
        # Chunks of 64 steps of each of 8 envs, or of anybody's transport that may be such a one.
        ("torchrl.process_slot@collector", 64 + 8 * 64),
        ("torchrl.process_slot[frames_per_batch=1000]@collector", 1000 + 8 * 125),
        ("m:f[env_backend=multiprocessing]@collector", 64 + 8 * 64),
        ("torchrl.parallel", 64),
    ],
)
def test_a_collectors_window_is_long_against_what_it_holds_back(
    name: str, buffered: int, workload: Callable[..., Workload]
) -> None:
    """Ten times its batch and its envs' chunks, or what the scenario asks for if that is more."""
    contender = contenders.parse(name)
    one = workload(num_slots=8, window=Window(min_requests=100))

    assert budget.buffered_frames(one, contender) == buffered
    assert budget.min_replies(one, contender) == max(100, 10 * buffered)
    many = replace(one, window=Window(min_requests=50_000))
    assert budget.min_replies(many, contender) == 50_000


def test_the_estimate_knows_collectors_and_processes(
    workload: Callable[..., Workload],
) -> None:
    """A longer window and a longer start; threads' stays what it is without a contender."""
    one = workload(
        num_slots=8,
        model=Model(latency_ms=8.0),
        window=Window(warmup_s=0.3, measure_s=0.5, min_requests=100),
    )
    threads, processes, collector = (
        budget.estimate_trial_s(one, contenders.parse(name))
        for name in ("slot", "torchrl.mp", "slot@collector")
    )
    assert threads == budget.estimate_trial_s(one)
    assert processes == pytest.approx(threads + 8 * 0.05)
    # 720 steps of 8 ms by 8 envs are 0.72 s, 0.22 more than asked for; the collector starts in 1.5.
    assert collector == pytest.approx(threads + 0.22 + 1.5)


def test_the_estimate_knows_what_starting_a_device_takes(
    workload: Callable[..., Workload],
) -> None:
    """In every trial's process and every calibration's, but for the floor, which has no policy."""
    here, there = workload(), workload(device="cuda:0")
    start_s = budget.device_start_s(there)
    assert start_s > 0.5
    assert budget.device_start_s(here) == 0.0
    slot, floor = contenders.parse("slot"), contenders.parse("floor")
    for who, more_s in ((slot, start_s), (None, start_s), (floor, 0.0)):
        added_s = budget.estimate_trial_s(there, who) - budget.estimate_trial_s(here, who)
        assert added_s == pytest.approx(more_s)
    added_s = budget.estimate_calibration_s(there) - budget.estimate_calibration_s(here)
    assert added_s == pytest.approx(start_s)


def test_a_think_is_waited_for_within_reason(workload: Callable[..., Workload]) -> None:
    """Three times its mean and its longest reset, up to 10 s."""
    short = ThinkTime("constant", 20.0, reset_every=5, reset_ms=100.0, reset_max_ms=300.0)
    assert budget.longest_think_s(workload(think_time=short)) == pytest.approx(0.36)
    assert budget.longest_think_s(workload(think_time=ThinkTime("constant", 6e4))) == 10.0


def test_a_schedule_beyond_the_room_is_refused(
    scenario: Scenarios, workload: Callable[..., Workload]
) -> None:
    """Before anything is recorded: it would end in the middle of the window."""
    planned = scenario("threading")
    window = Window(warmup_s=0.5, measure_s=1.0, max_requests=2_000)
    busy = workload(num_slots=4, window=window, load=Load("constant", 400.0))
    cell = replace(planned.cells[0], workload=busy)
    with pytest.raises(
        ScenarioError, match=r"some 2400 requests are due .* is 2000; raise"
    ):
        runner.admit(replace(planned, cells=(cell,)), DiaryExecutor({}))


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


def test_every_device_is_tried_before_anything_is_recorded(scenario: Scenarios) -> None:
    """An axis over devices, otherwise alike; the one that is not there is said in a line."""
    planned = scenario("threading")
    (cell,) = planned.cells
    cells = tuple(
        Cell(name, {"device": name}, replace(cell.workload, device=name))
        for name in ("cpu", "cuda")
    )

    class OnHostOnly(DiaryExecutor):
        def check(self, contender: Contender | None, workload: Workload) -> str:
            del contender
            return (
                "" if workload.device == "cpu" else f"device {workload.device}: not there"
            )

    with pytest.raises(ScenarioError, match="scenario 'small': device cuda: not there"):
        runner.admit(replace(planned, cells=cells), OnHostOnly({}))


def measure(
    planned: RunRecord, executor: DiaryExecutor, **options: Any
) -> list[TrialRecord]:
    """Run and return what was recorded."""
    kept: list[TrialRecord] = []
    runner.run(planned, executor, kept.append, lambda _: None, **options)
    return kept


def attempts(records: list[TrialRecord]) -> Counter[tuple[int, str, int]]:
    return Counter((record.round, record.cell, record.attempt) for record in records)


def with_cells(scenario: Scenario, count: int) -> Scenario:
    (cell,) = scenario.cells
    return replace(
        scenario, cells=tuple(Cell(f"c{i}", {"i": i}, cell.workload) for i in range(count))
    )


def test_a_disturbed_block_is_measured_again_whole(scenario: Scenarios) -> None:
    """At the end of its round, in the same worker, with every contender, once it went well."""
    planned = plan(with_cells(scenario("threading", "slot", rounds=2), 3))
    executor = DiaryExecutor(
        disturbed=lambda spec: (
            (spec.round, spec.cell, spec.attempt, spec.position) == (0, "c1", 0, 1)
        )
    )
    records = measure(planned, executor)

    assert attempts(records) == {(r, f"c{c}", 0): 3 for r in range(2) for c in range(3)} | {
        (0, "c1", 1): 3
    }
    assert [r.cell for r in records[9:12]] == ["c1"] * 3
    assert executor.diary[12] == "worker"
    assert blocks.counted_attempts(planned, records)[0, "c1"] == 1


def test_a_machine_that_stays_busy_does_not_hold_the_run_for_ever(
    scenario: Scenarios,
) -> None:
    """No block is tried more than three times, and a quarter of all at most is added."""
    planned = plan(with_cells(scenario("threading", "slot", rounds=4), 4))
    always = attempts(measure(planned, DiaryExecutor(disturbed=lambda _: True)))
    one_block = DiaryExecutor(disturbed=lambda spec: (spec.round, spec.cell) == (1, "c2"))
    once = attempts(measure(planned, one_block))

    assert len(always) == 16 + 4
    assert set(always.values()) == set(once.values()) == {3}
    assert {attempt for index, cell, attempt in once if (index, cell) == (1, "c2")} == {
        0,
        1,
        2,
    }
    assert len(once) == 16 + 2


def test_the_only_block_of_a_run_may_be_repeated_once(scenario: Scenarios) -> None:
    """A quarter of one block is rounded up; --attempts 1 repeats none."""
    small = scenario("threading", "slot", rounds=1)

    assert len(measure(plan(small), DiaryExecutor(disturbed=lambda _: True))) == 6
    once = measure(plan(small, max_attempts=1), DiaryExecutor(disturbed=lambda _: True))
    assert len(once) == 3


@pytest.mark.parametrize("stop_after", range(6, 18))
def test_a_repeat_that_was_owed_is_made_after_a_resumption(
    stop_after: int, scenario: Scenarios
) -> None:
    """Killed after the disturbed block, before or in its repeat: the rest is as without a kill."""
    planned = plan(with_cells(scenario("threading", "slot", rounds=2), 2))

    def steal(spec: TrialSpec) -> bool:
        return (spec.round, spec.cell, spec.attempt) == (0, "c0", 0)

    recorded: list[TrialRecord] = []
    with contextlib.suppress(RecordError):
        keep = _keep_until(recorded, stop_after)
        runner.run(planned, DiaryExecutor(disturbed=steal), keep, lambda _: None)
    before = list(recorded)
    runner.run(
        planned,
        DiaryExecutor(disturbed=steal),
        recorded.append,
        lambda _: None,
        recorded=before,
    )
    counted = blocks.counted_trials(planned, recorded)
    assert not any(trial.is_disturbed for trial in counted)
    assert Counter((t.round, t.cell) for t in counted) == {
        (r, c): 3 for r in range(2) for c in ("c0", "c1")
    }
    complete = [count for count in attempts(recorded).values() if count == 3]
    assert len(complete) == 5
    assert runner.unfinished(planned, recorded) == []


def test_a_resumed_run_does_not_repeat_more_than_one_that_went_through(
    scenario: Scenarios,
) -> None:
    """The quarter is of the run, and three times is in all, however often it was broken off."""
    planned = plan(with_cells(scenario("threading", "slot", rounds=4), 2))
    recorded: list[TrialRecord] = []
    for stop_after in (7, 7, 7, None):
        with contextlib.suppress(RecordError):
            runner.run(
                planned,
                DiaryExecutor(disturbed=lambda _: True),
                _keep_until(recorded, stop_after),
                lambda _: None,
                recorded=list(recorded),
            )
    complete = [count for count in attempts(recorded).values() if count == 3]
    assert len(complete) == 8 + 2
    assert blocks.num_repeats(planned, recorded) == 2


def test_an_attempt_in_which_everything_failed_counts_only_alone(
    scenario: Scenarios,
) -> None:
    """The worker died in the repeat: the disturbed numbers are better than none."""
    planned = plan(scenario("threading", "slot", rounds=1))
    (cell,) = planned.scenario.cells

    def made(attempt: int, *, is_ok: bool) -> list[TrialRecord]:
        specs = design.block(planned.scenario, planned.design, 0, cell.name, attempt)
        records = [replace(failed(s, "now", "died"), findings=()) for s in specs]
        if is_ok:
            records = [replace(r, status="ok", findings=(STOLEN,)) for r in records]
        return records

    block = (0, cell.name)
    both = made(0, is_ok=True) + made(1, is_ok=False)
    assert blocks.counted_attempts(planned, both) == {block: 0}
    assert blocks.counted_attempts(planned, made(0, is_ok=False)) == {block: 0}


def test_of_disturbed_attempts_the_least_disturbed_counts(scenario: Scenarios) -> None:
    """Of equals the last; what came out has no say."""
    planned = plan(scenario("threading", "slot", rounds=2))
    (cell,) = planned.scenario.cells
    disturbed = {(0, 0): 1, (0, 1): 2, (1, 0): 2, (1, 1): 2}
    records = [
        replace(
            failed(spec, "now", "no"),
            findings=(STOLEN,) if spec.position < disturbed[index, attempt] else (),
        )
        for index, attempt in disturbed
        for spec in design.block(
            planned.scenario, planned.design, index, cell.name, attempt
        )
    ]

    assert blocks.counted_attempts(planned, records) == {
        (0, cell.name): 0,
        (1, cell.name): 1,
    }


def test_an_attempt_that_was_broken_off_counts_only_alone(scenario: Scenarios) -> None:
    """A complete one is preferred, however disturbed; without one, what there is is shown."""
    planned = plan(scenario("threading", "slot", rounds=1))
    (cell,) = planned.scenario.cells
    block = (0, cell.name)

    def made(attempt: int, count: int, *findings: Finding) -> list[TrialRecord]:
        specs = design.block(planned.scenario, planned.design, 0, cell.name, attempt)
        return [replace(failed(s, "now", "no"), findings=findings) for s in specs[:count]]

    assert blocks.counted_attempts(planned, made(0, 3, STOLEN) + made(1, 2)) == {block: 0}
    assert blocks.counted_attempts(planned, made(0, 2) + made(1, 1)) == {block: 1}
    assert block in blocks.owed_blocks(planned, made(0, 2) + made(1, 1))
    assert block not in blocks.owed_blocks(planned, made(0, 2) + made(1, 3))


@given(num_recorded=st.integers(0, 18), again=st.integers(0, 18))
def test_whatever_was_broken_off_is_measured_to_the_end(
    num_recorded: int, again: int
) -> None:
    """Stopped after any trial, resumed, stopped again, resumed: every block is whole, once.

    What was finished is not measured again, and nothing that was recorded is lost.
    """
    planned = plan(with_cells(_two_contenders(), 3))
    recorded: list[TrialRecord] = []
    for stop_after in (num_recorded, again, None):
        before = list(recorded)
        finished = {(r.round, r.cell) for r in before} - blocks.owed_blocks(
            planned, before
        ).keys()
        with contextlib.suppress(RecordError):
            runner.run(
                planned,
                DiaryExecutor(),
                _keep_until(recorded, stop_after),
                lambda _: None,
                recorded=before,
            )
        assert recorded[: len(before)] == before
        assert not {(r.round, r.cell) for r in recorded[len(before) :]} & finished

    counted = blocks.counted_trials(planned, recorded)
    assert Counter((t.round, t.cell, t.contender, t.arm) for t in counted) == {
        (r, f"c{c}", who, arm): 1
        for r in range(2)
        for c in range(3)
        for who, arm in (("threading", 0), ("threading", 1), ("slot", 0))
    }
    assert len({t.trial_id for t in recorded}) == len(recorded)
    assert runner.unfinished(planned, recorded) == []
    assert runner.estimate_rest_s(planned, recorded) == 0


def _two_contenders() -> Scenario:
    workload = Workload(
        num_slots=2,
        observation=Observation((Leaf("x", (1,), "float32"),)),
        think_time=ThinkTime(),
        model=Model(),
        batching=Batching(),
        window=Window(),
    )
    return Scenario(
        name="small",
        title="Small",
        question="?",
        source="",
        text="",
        overrides=(),
        cells=(Cell("all", {}, workload),),
        contenders=(
            Contender("threading", "threading", {}, "reference", baseline=True),
            Contender("slot", "slot", {}, "reference"),
        ),
        rounds=2,
        seed=1,
        threshold=0.03,
    )


def _keep_until(
    recorded: list[TrialRecord], stop_after: int | None
) -> Callable[[TrialRecord], None]:
    """Keep records, and raise instead of the one after so many."""
    left = [stop_after]

    def keep(record: TrialRecord) -> None:
        if left[0] == 0:
            raise RecordError("killed")
        recorded.append(record)
        left[0] = None if left[0] is None else left[0] - 1

    return keep


def test_the_rest_of_a_run_is_estimated(scenario: Scenarios) -> None:
    """Nothing recorded is the whole; a finished round is its share less."""
    planned = plan(scenario("threading", "slot", rounds=2))
    records = measure(planned, DiaryExecutor())

    assert runner.estimate_rest_s(planned, []) == pytest.approx(
        runner.estimate_s(planned.scenario)
    )
    assert runner.estimate_rest_s(planned, records[:3]) == pytest.approx(
        runner.estimate_s(planned.scenario) / 2
    )
