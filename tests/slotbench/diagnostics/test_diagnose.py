"""A diagnosis is put together from its parts, and says which of them failed."""

from typing import Any

import pytest

from slotbench.diagnostics import diagnose, primitives, timers
from slotbench.diagnostics.facts import Facts
from slotbench.errors import SlotbenchError, WorkerError
from slotbench.measure.executor import LocalExecutor
from slotbench.measure.runner import Progress
from slotbench.measure.zygote import Outcome, Task
from slotbench.records import PrimitiveRun, RecorderCosts, TrialRecord, TrialSpec
from tests.slotbench.conftest import build_trial
from tests.slotbench.support import diagnoses

PARTS = [("hand-over: a", "hand-over", "o"), ("b", "small rows", "p")]


class Scripted:
    """In place of the executor: answers tasks and trials, and logs what came."""

    log: list[str]
    seeds: list[int]

    def __init__(self, scenario: Any, fails: str = "") -> None:
        self.worker_start_s = 0.0
        self._fails = fails
        Scripted.log = self.log = []
        Scripted.seeds = self.seeds = []

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.log.append("closed")

    def start_worker(self) -> None:
        self.log.append("worker")

    def check(self, contender: object, workload: object) -> str:
        return ""

    def run(self, spec: TrialSpec) -> TrialRecord:
        self.log.append("trial")
        value = 1000.0 + 10 * spec.round * spec.arm
        return build_trial("slot", value, cell=spec.cell, round=spec.round, arm=spec.arm)

    def do(self, task: Task) -> Outcome:
        name = task.function.removeprefix("slotbench.diagnostics.")
        self.log.append(name)
        if "seed" in task.arguments:
            self.seeds.append(task.arguments["seed"])
        if name == self._fails:
            return Outcome(error="OSError: no threads left", stacks="in line 7")
        known = diagnoses.diagnosis()
        return Outcome(
            {
                "timers:timers": known.timers,
                "recorder:costs": RecorderCosts(0.0, 0.0, 8, ()),
                "primitives:described": PARTS,
                "primitives:measure": {
                    name: PrimitiveRun(1, 1.0, (float(len(self.log)),), 0.0, 0.0, 0.0)
                    for name, _, _ in PARTS
                },
            }[name]
        )


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnose, "LocalExecutor", Scripted)


@pytest.mark.parametrize("quick", [False, True])
def test_parts_follow_each_other_in_workers_of_their_own(
    scripted: None, quick: bool
) -> None:
    """Every round and every process of primitives starts a worker, unless it is to be quick."""
    told: list[Progress] = []
    plan = diagnose.planned(quick=quick, rounds=3)
    found = diagnose.diagnose(plan, command=("x",), on_progress=told.append)

    fresh = [] if quick else ["worker"]
    assert Scripted.log == [
        *("worker", "timers:timers", "recorder:costs"),
        *["trial"] * 4,
        *(fresh + ["trial"] * 4) * 2,
        "primitives:described",
        *([*fresh, "primitives:measure"]) * plan.processes,
        "closed",
    ]
    assert len(set(Scripted.seeds)) == plan.processes, "an order of its own in each"
    assert [len(primitive.runs) for primitive in found.primitives] == [plan.processes] * 2
    assert len({run.values_s for run in found.primitives[0].runs}) == plan.processes
    assert (found.is_quick, found.command, found.noise.num_trials) == (quick, ("x",), 12)
    assert found.total_s > 0
    done = [state.num_done for state in told]
    assert done == sorted(done)
    assert told[-1].num_done == told[-1].num_trials == 2 + 12 + plan.processes
    assert all(state.num_done <= state.num_trials for state in told[1:])


@pytest.mark.parametrize(
    "part",
    ["timers:timers", "recorder:costs", "primitives:described", "primitives:measure"],
)
def test_a_part_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """In one line, with its stacks as a note; the worker is ended."""
    monkeypatch.setattr(diagnose, "LocalExecutor", lambda one: Scripted(one, fails=part))
    with pytest.raises(WorkerError, match="no threads left") as caught:
        diagnose.diagnose(diagnose.planned(quick=True, rounds=3))

    assert part in str(caught.value)
    assert any("in line 7" in note for note in caught.value.__notes__)
    assert Scripted.log[-1] == "closed"


def test_parts_are_named_as_they_can_be_called() -> None:
    """Every function that a worker is asked for exists and takes what it is given."""
    names = [name for name, _, _ in primitives.described()]
    scenario = diagnose.noise.scenario("slot", 3)
    with LocalExecutor(scenario) as executor:
        sitting = diagnose._Sitting(diagnose.QUICK, executor, lambda _: None)
        sitting.executor.start_worker()
        found = sitting.do(
            *("primitives:measure",), names=names[:1], seed=1, num_values=2, value_s=1e-4
        )
        costs = sitting.do("recorder:costs")

    assert len(found[names[0]].values_s) == 2
    assert costs.servers


def test_what_is_measured_becomes_fact() -> None:
    """Shares of the A/A run, and what clock and sleep were found to take."""
    known = diagnoses.diagnosis()
    found = diagnose.with_measured(Facts(num_cpus=3), known.timers, known.noise)

    assert found.num_cpus == 3
    assert found.clock_read_s == known.timers.read_s
    assert found.sleep_over_s == 8e-5
    assert found.disturbed_ratio == 0.0
    assert (found.steal_ratio, found.foreign_ratio) == (None, None)


def test_more_is_estimated_to_take_longer() -> None:
    """A quick diagnosis under 20 s, a full one under 2 minutes, more rounds longer."""
    quick, full = (diagnose.estimate_s(diagnose.planned(quick=q)) for q in (True, False))

    assert quick < 20 < full < 120
    assert diagnose.estimate_s(diagnose.planned(quick=False, rounds=24)) > full
    assert len(primitives.catalogue()) == diagnose._NUM_PRIMITIVES
    assert len(timers.ASKED_S) == 3


@pytest.mark.parametrize("rounds", [2, 0, -1])
def test_too_few_rounds_are_refused(rounds: int) -> None:
    """Also of a quick one; three are enough."""
    with pytest.raises(SlotbenchError, match=f"at least 3 rounds, and not {rounds}"):
        diagnose.planned(quick=True, rounds=rounds)
    assert diagnose.planned(quick=True, rounds=3).rounds == 3
