"""A profile leaves a folder that says how it ended, however it ended."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slotbench import contenders, profiles, store
from slotbench.compute import profile as computed
from slotbench.errors import ContenderError, RecordError, SlotbenchError
from slotbench.measure.executor import LocalExecutor
from slotbench.measure.zygote import Outcome, Task
from slotbench.profiling import plan, timeline
from slotbench.records import PASSES, Cell, Contender, Scenario, Skipped, Workload
from tests.slotbench.support import trials


def build_scenario(*labels: str, num_cells: int = 1) -> Scenario:
    cells = tuple(
        Cell(
            f"num_slots={2 + index}",
            {"num_slots": 2 + index},
            trials.workload(num_slots=2 + index),
        )
        for index in range(num_cells)
    )
    raced = tuple(contenders.parse(x, baseline=i == 0) for i, x in enumerate(labels))
    return Scenario("small", "t", "q", "", "text", (), cells, raced, 2, 7, 0.03)


class CannedExecutor:
    """Gives no outcome but errors; raises ``error`` instead of the trial ``fails_at``."""

    worker_start_s = 0.0

    def __init__(
        self, problem: str = "", fails_at: int = -1, error: BaseException | None = None
    ):
        self.problem, self.fails_at, self.error = problem, fails_at, error
        self.tasks: list[Task] = []
        self.num_started = 0

    def start_worker(self) -> None:
        self.num_started += 1

    def check(self, contender: Contender | None, workload: Workload) -> str:
        return self.problem if contender else ""

    def worker_of(self, contender: Contender) -> "CannedExecutor":
        return self

    def do(self, task: Task) -> Outcome:
        if len(self.tasks) == self.fails_at and self.error is not None:
            raise self.error
        self.tasks.append(task)
        return Outcome(error="canned: it died", stacks="Thread 0x1")


def canned(
    scenario: Scenario, executor: CannedExecutor, folder: Path, **options: Any
) -> Path:
    return profiles.profile_scenario(scenario, executor, folder, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[store.StoredProfile]:
    """A real profile of three contenders, one round."""
    scenario = build_scenario("threading", "slot", "floor")
    with LocalExecutor(scenario) as executor:
        path = profiles.profile_scenario(
            scenario,
            executor,
            tmp_path_factory.mktemp("results"),
            rounds=1,
            skipped=[Skipped("torchrl.slot", "not installed")],
            command=["slotbench", "profile"],
        )
        yield store.read_profile(path)


def test_a_profile_is_recorded_whole(measured: store.StoredProfile) -> None:
    assert (measured.state, measured.notes) == ("complete", ())
    record = measured.profile
    assert record.num_trials == len(measured.trials) == len(PASSES) * 3
    assert record.command == ("slotbench", "profile")
    assert [skip.label for skip in record.skipped] == ["torchrl.slot"]
    assert record.environment["python_version"]
    assert record.total_s is not None
    for one in measured.trials:
        assert one.trial.status == "ok", one.trial.error
        assert one.trial.duration_s > 0.0


def test_every_pass_of_a_real_profile_gives_its_rows(measured: store.StoredProfile) -> None:
    (cell,) = computed.cells(measured.profile, measured.trials)
    slot, floor = cell.of("slot"), cell.of("floor")
    assert slot.problems == ()
    assert slot.round_trip is not None
    assert {"lock_acquisitions", "torch_calls_server", "gil_drops"} <= slot.ledger.keys()
    assert {"cpu_actors_s", "blocks_in_flight"} <= slot.ledger.keys()
    assert floor.round_trip is not None
    assert [one.holds for one in slot.claims] == [True, True, True]
    assert slot.prices_s["futures_made"] > 0.0


def test_the_timeline_shows_every_contender(measured: store.StoredProfile) -> None:
    (name,) = measured.profile.timelines
    file = measured.path / name
    assert file.stat().st_size < timeline.MAX_BYTES
    read = json.loads(file.read_text(encoding="utf-8"))
    assert list(read["otherData"]["requests"]) == ["threading", "slot", "floor"]


def test_a_profile_is_no_run(measured: store.StoredProfile) -> None:
    """So no comparison can find one."""
    results = measured.path.parent
    assert store.all_runs(results) == []
    with pytest.raises(RecordError, match="there is no run in"):
        store.find(None, results)
    with pytest.raises(RecordError, match=r"is not a run: it holds no run\.json"):
        store.read(measured.path)
    assert store.find(None, results, ("run", "profile")) == measured.path
    for name in ("small", "small-profile"):
        assert store.find(name, results, ("profile",)) == measured.path
        assert store.find(name, results, ("run", "profile")) == measured.path
    with pytest.raises(RecordError, match="no run 'small'"):
        store.find("small", results)
    assert store.kind_of(measured.path) == "profile"


def test_a_pass_that_dies_is_a_failed_trial_with_its_stacks(tmp_path: Path) -> None:
    executor = CannedExecutor()
    path = canned(build_scenario("slot"), executor, tmp_path, rounds=1)
    found = store.read_profile(path)
    assert found.state == "complete"
    assert len(found.trials) == len(PASSES)
    assert {one.trial.error for one in found.trials} == {"canned: it died"}
    assert found.trials[0].trial.stacks == "Thread 0x1"
    assert found.profile.timelines == ()


def test_each_round_has_a_fresh_worker(tmp_path: Path) -> None:
    executor = CannedExecutor()
    canned(build_scenario("slot"), executor, tmp_path, rounds=3)
    assert executor.num_started == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RecordError("disk full")])
def test_an_interrupted_profile_keeps_what_it_has(
    tmp_path: Path, error: BaseException
) -> None:
    executor = CannedExecutor(fails_at=3, error=error)
    with pytest.raises(type(error)):
        canned(build_scenario("slot"), executor, tmp_path, rounds=1)
    (path,) = store.all_runs(tmp_path, ("profile",))
    found = store.read_profile(path)
    assert found.state == "interrupted"
    assert len(found.trials) == 3
    assert found.notes == (f"{path.name} was interrupted; 3 trials recorded, 5 planned",)


def test_a_contender_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ContenderError, match="it is broken"):
        canned(build_scenario("slot"), CannedExecutor("it is broken"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["torchrl.mp", "slot@collector", "torchrl.parallel"])
def test_actors_that_are_no_threads_of_ours_are_refused(name: str, tmp_path: Path) -> None:
    """Probes reach no other process, and no collector's workers; nothing is started or recorded."""
    executor = CannedExecutor()
    with pytest.raises(
        ContenderError, match=r"a profile reaches no others; name others with"
    ):
        canned(build_scenario("threading", name), executor, tmp_path)
    assert (executor.num_started, list(tmp_path.iterdir())) == (0, [])


def test_an_unknown_tool_is_refused_before_anything_starts(tmp_path: Path) -> None:
    executor = CannedExecutor()
    with pytest.raises(SlotbenchError, match="flam"):
        canned(build_scenario("slot"), executor, tmp_path, tool_names=["flam"])
    assert executor.num_started == 0


def test_a_tool_that_fails_is_noted_and_the_profile_goes_on(tmp_path: Path) -> None:
    executor = CannedExecutor()
    scenario = build_scenario("slot", "threading")
    path = canned(scenario, executor, tmp_path, rounds=1, tool_names=["torch"])
    found = store.read_profile(path)
    assert found.state == "complete"
    noted = [(one.contender, one.note) for one in found.profile.tools]
    assert noted == [("slot", "canned: it died"), ("threading", "canned: it died")]


def test_a_round_has_every_pass_of_every_contender_in_an_order_of_its_own() -> None:
    scenario = build_scenario("slot", "threading", num_cells=2)
    rounds = [plan.round_of(scenario, 7, index) for index in range(3)]
    for planned in rounds:
        seen = {(name, spec.cell, spec.contender.label) for name, spec in planned}
        assert len(seen) == len(planned) == len(PASSES) * 2 * 2
    orders = [[(n, s.cell, s.contender.label) for n, s in planned] for planned in rounds]
    assert orders[0] != orders[1] != orders[2]
    assert plan.round_of(scenario, 7, 0) == rounds[0]
    ids = [spec.trial_id for planned in rounds for _, spec in planned]
    assert len(set(ids)) == len(ids)
    # All trials of a cell and round see the same think times.
    for planned in rounds:
        assert len({spec.seed for _, spec in planned if spec.cell == "num_slots=2"}) == 1


def test_a_damaged_profile_is_refused_with_its_place(
    measured: store.StoredProfile, tmp_path: Path
) -> None:
    def damaged(file: str, change: Any) -> Path:
        folder = tmp_path / "copy"
        folder.mkdir(exist_ok=True)
        for name in ("profile.json", "passes.jsonl"):
            text = (measured.path / name).read_text(encoding="utf-8")
            (folder / name).write_text(change(text) if name == file else text)
        return folder

    def refused(file: str, change: Any, said: str) -> None:
        with pytest.raises(RecordError, match=said):
            store.read_profile(damaged(file, change))

    head, lines = "profile.json", "passes.jsonl"
    refused(head, lambda t: t[:50], r"profile\.json is damaged")
    refused(
        head, lambda t: t.replace('"rounds": 1', '"rounds": "1"'), "rounds: Input should be"
    )
    refused(
        head,
        lambda t: t.replace('"schema_version": 2', '"schema_version": 99'),
        "schema version 99, this slotbench reads up to 2",
    )
    refused(lines, lambda t: t.replace('"slot"', '"slut"', 1), "no contender 'slut'")
    refused(lines, lambda t: t.replace("{", "", 1), r"passes\.jsonl line 1 is damaged")
    refused(
        lines,
        lambda t: t + t.splitlines()[0] + "\n",
        r"line 16 is damaged: trial .* already",
    )
    cut = store.read_profile(damaged(lines, lambda t: t[:-40]))
    assert len(cut.trials) == 14
    assert "line 15 was cut short" in cut.notes[0]
    (tmp_path / "copy" / lines).unlink()
    with pytest.raises(RecordError, match=r"holds no passes\.jsonl"):
        store.read_profile(tmp_path / "copy")


def test_a_profile_comes_back_as_it_was_written(measured: store.StoredProfile) -> None:
    """Repr and not ==, because 1 == 1.0 == True."""
    again = store.read_profile(measured.path)
    assert repr(again.trials) == repr(measured.trials)
    with store.ProfileFolder(measured.path) as folder:
        folder.replace_profile(replace(measured.profile, total_s=1.0))
    assert store.read_profile(measured.path).profile.total_s == 1.0
