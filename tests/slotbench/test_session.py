"""A run leaves a folder that says how it ended, however it ended."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from slotbench import store
from slotbench.errors import ClusterError, ContenderError, RecordError
from slotbench.measure import until_decided
from slotbench.measure.outcomes import failed
from slotbench.records import (
    CalibrationRecord,
    Contender,
    Scenario,
    Skipped,
    TrialRecord,
    TrialSpec,
    Workload,
)
from slotbench.session import check_resumable, resume_run, run_scenario
from tests.slotbench.conftest import build_run
from tests.slotbench.support.calibrations import calibration
from tests.slotbench.support.fleets import ScriptedFleet, ScriptedHost, cluster
from tests.slotbench.support.scripted import ScriptedExecutor, noisy


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

    def calibrate(self, spec: TrialSpec) -> CalibrationRecord:
        return calibration(spec.cell, spec.round, attempt=spec.attempt)

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
    assert [(one.round, one.cell) for one in stored.calibrations] == [
        (index, cell)
        for index, blocks in enumerate(stored.run.design.blocks)
        for cell, _ in blocks
    ]
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


def broken_off(scenario: Scenario, results: Path, after: int = 4) -> Path:
    """Record a run that Ctrl-C ended after so many trials."""
    executor = CannedExecutor()
    executor.error, executor.fails_at = KeyboardInterrupt(), after
    with pytest.raises(KeyboardInterrupt):
        run_scenario(scenario, executor, results)
    return store.find(None, results)


def in_environment(path: Path, **facts: object) -> None:
    """Let the record say that it was begun elsewhere."""
    file = path / "run.json"
    run = json.loads(file.read_text())
    run["environment"] |= facts
    file.write_text(json.dumps(run))


def test_a_resumed_run_is_complete_and_says_so(scenario: Scenario, tmp_path: Path) -> None:
    """The finished block stays, the broken one is measured again; who went on is recorded."""
    path = broken_off(scenario, tmp_path)
    before = store.read(path)
    assert "go on with" in before.notes[0]
    executor = CannedExecutor()
    assert resume_run(path, executor, command=["slotbench", "run", "--resume"]) == path
    after = store.read(path)

    assert executor.num_run == 3  # of two blocks of three, the second was broken off
    assert after.trials[:4] == before.trials
    assert [(t.round, t.attempt) for t in after.trials[3:]] == [(1, 0), *[(1, 1)] * 3]
    assert [(c.round, c.attempt) for c in after.calibrations] == [(0, 0), (1, 0), (1, 1)]
    assert (after.run.status, after.notes) == ("complete", ())
    (resumed,) = after.run.resumptions
    assert (resumed.num_trials, resumed.command) == (4, ("slotbench", "run", "--resume"))
    assert resumed.environment["python_version"] == before.run.environment["python_version"]
    assert after.run.created_at == before.run.created_at


def test_a_run_may_be_resumed_again(scenario: Scenario, tmp_path: Path) -> None:
    """Broken off twice, it has two resumptions; each begins where the record ends."""
    path = broken_off(scenario, tmp_path, after=1)
    again = CannedExecutor()
    again.error, again.fails_at = OSError("disk full"), 4
    with pytest.raises(OSError, match="disk full"):
        resume_run(path, again)
    assert store.read(path).run.status == "interrupted"
    resume_run(path, CannedExecutor())

    after = store.read(path).run
    assert (after.status, [r.num_trials for r in after.resumptions]) == ("complete", [1, 5])


def test_a_run_that_only_lacks_its_end_gets_it(scenario: Scenario, tmp_path: Path) -> None:
    """Killed between the last trial and the last run.json: nothing is measured again."""
    path = run_scenario(scenario, CannedExecutor(), tmp_path)
    file = path / "run.json"
    file.write_text(file.read_text().replace('"complete"', '"running"'))
    executor = CannedExecutor()
    resume_run(path, executor)
    assert executor.num_run == 0
    assert store.read(path).run.status == "complete"


def test_half_a_line_does_not_stop_a_resumption(scenario: Scenario, tmp_path: Path) -> None:
    """What a kill in the middle of a write left is cleared away."""
    path = broken_off(scenario, tmp_path)
    with (path / "trials.jsonl").open("a") as file:
        file.write('{"trial_id": "r1-c')
    resume_run(path, CannedExecutor())
    assert len(store.read(path).trials) == 7


def test_a_complete_run_has_nothing_to_resume(scenario: Scenario, tmp_path: Path) -> None:
    """It is said, and the record is as it was."""
    path = run_scenario(scenario, CannedExecutor(), tmp_path)
    before = (path / "run.json").read_bytes()
    with pytest.raises(RecordError, match="is complete: there is nothing to resume"):
        resume_run(path, CannedExecutor())
    assert (path / "run.json").read_bytes() == before


def test_a_run_is_measured_by_one_process_at_a_time(
    scenario: Scenario, tmp_path: Path
) -> None:
    """While it goes on nobody can resume it, and nothing is recorded of the attempt."""
    refused: list[str] = []

    class Resuming(CannedExecutor):
        def run(self, spec: TrialSpec) -> TrialRecord:
            if self.num_run == 2:
                with pytest.raises(RecordError) as caught:
                    resume_run(store.find(None, tmp_path), CannedExecutor())
                refused.append(str(caught.value))
            return super().run(spec)

    path = run_scenario(scenario, Resuming(), tmp_path)
    assert [text.partition(" measuring")[0] for text in refused] == ["another process is"]
    assert store.read(path).run.resumptions == ()


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("machine_id", "another"),
        ("python_version", "3.99.0"),
        ("torch_version", "9.9"),
        ("code_sha256", "0000"),
        ("tensordict_version", "0.0.1"),
    ],
)
def test_a_run_goes_on_where_it_was_begun(
    fact: str, value: str, scenario: Scenario, tmp_path: Path
) -> None:
    """Another machine or version is named and refused, and may be asked for."""
    path = broken_off(scenario, tmp_path)
    in_environment(path, **{fact: value})
    before = (path / "run.json").read_bytes()
    with pytest.raises(RecordError, match=rf"{fact} was {value}, is .*--allow-different"):
        resume_run(path, CannedExecutor())
    assert (path / "run.json").read_bytes() == before
    resume_run(path, CannedExecutor(), allow_different=True)
    after = store.read(path).run
    assert after.environment[fact] == value
    assert after.resumptions[0].environment.get(fact) != value


def test_a_busier_machine_is_the_same_machine(scenario: Scenario, tmp_path: Path) -> None:
    """Facts of the moment do not forbid a resumption."""
    path = broken_off(scenario, tmp_path)
    in_environment(path, load_avg_1min=99.0)
    resume_run(path, CannedExecutor())
    assert store.read(path).run.status == "complete"


def test_a_resumed_run_needs_all_its_contenders(scenario: Scenario, tmp_path: Path) -> None:
    """One that can no longer be made, optional or not, would leave its blocks broken."""
    optional = replace(scenario.contenders[-1], optional=True, baseline=False)
    planned = replace(scenario, contenders=(*scenario.contenders[:-1], optional))
    path = broken_off(planned, tmp_path)
    with pytest.raises(
        ContenderError, match=r"^cannot go on without a contender: .*broken"
    ):
        resume_run(path, CannedExecutor({optional.label: "broken"}))
    assert store.read(path).run.resumptions == ()


def test_a_record_without_a_hash_of_the_code_goes_by_its_commit(
    scenario: Scenario, tmp_path: Path
) -> None:
    """As those of an earlier slotbench."""
    path = broken_off(scenario, tmp_path)
    file = path / "run.json"
    run = json.loads(file.read_text())
    del run["environment"]["code_sha256"]
    run["environment"]["git_commit"] = "0000"
    file.write_text(json.dumps(run))
    with pytest.raises(RecordError, match="git_commit was 0000"):
        resume_run(path, CannedExecutor())


def test_a_contender_that_was_edited_meanwhile_is_another(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not committed, in a checkout or not: what is measured changed, and is not mixed."""
    for folder in ("base", "installed"):
        (tmp_path / folder / "mine").mkdir(parents=True)
        (tmp_path / folder / "mine" / "__init__.py").write_text("depth = 1")
        (tmp_path / folder / "beside.py").write_text("width = 1")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    name = "mine:create"
    label = f"{name}[from={tmp_path}/base]"
    based = Contender(label, name, {"from": f"{tmp_path}/base"}, "reference")
    installed = Contender(name, name, {}, "reference")
    planned = replace(scenario, contenders=(*scenario.contenders, based, installed))
    path = broken_off(planned, tmp_path / "results")
    for folder, fact in (
        ("base", f"{tmp_path}/base.code_sha256"),
        ("installed", "mine.code_sha256"),
    ):
        for name in ("mine/__init__.py", "beside.py"):
            file = tmp_path / folder / name
            before = file.read_text()
            file.write_text("depth = 2")
            with pytest.raises(RecordError, match=f"{fact} was "):
                resume_run(path, CannedExecutor())
            file.write_text(before)
    # A record of an earlier version knows of no such hash, and cannot be held to it.
    stored = path / "run.json"
    run = json.loads(stored.read_text())
    del run["environment"]["mine.code_sha256"]
    stored.write_text(json.dumps(run))
    resume_run(path, CannedExecutor())
    assert store.read(path).run.status == "complete"


def test_a_run_is_resumed_with_the_attempts_it_was_begun_with(
    scenario: Scenario, tmp_path: Path
) -> None:
    """Unless the resumption says otherwise."""
    executor = CannedExecutor()
    executor.error, executor.fails_at = KeyboardInterrupt(), 2
    with pytest.raises(KeyboardInterrupt):
        run_scenario(scenario, executor, tmp_path, max_attempts=1)
    path = store.find(None, tmp_path)
    resume_run(path, CannedExecutor())
    assert store.read(path).run.max_attempts == 1


def until_decided_run(results: Path, executor: ScriptedExecutor, **options: object) -> Path:
    """Run five rounds of two cells, one of which takes more, until they are decided."""
    planned = build_run(slots=(1, 2)).scenario
    until = until_decided.plan(planned, **options)  # type: ignore[arg-type]
    return run_scenario(planned, executor, results, until=until)


def scripted(stop_after: int = 10**9) -> ScriptedExecutor:
    ratios = {"num_slots=1": {"slot": 2.0}, "num_slots=2": {"slot": 1.05}}
    return ScriptedExecutor(noisy(ratios), stop_after)


def test_a_run_until_decided_is_recorded_with_what_it_decided(tmp_path: Path) -> None:
    """The design holds every round that was measured; how each cell ended reads back."""
    stored = store.read(until_decided_run(tmp_path, scripted()))

    until = stored.run.sequential
    assert until is not None
    assert (stored.run.status, until.ended) == ("complete", "decided")
    assert [one.cell for one in until.stopped] == ["num_slots=1", "num_slots=2"]
    assert until.stopped[1].rounds == stored.run.design.rounds > 5
    assert len(stored.trials) == stored.run.design.num_trials
    with pytest.raises(RecordError, match="nothing to resume"):
        check_resumable(stored)


@pytest.mark.parametrize("stop_after", [7, 30, 34])
def test_a_run_until_decided_is_resumed_to_the_same_end(
    stop_after: int, tmp_path: Path
) -> None:
    """Ctrl-C keeps the plan as it had grown; resumed, it decides what it would have decided."""
    whole = store.read(until_decided_run(tmp_path / "whole", scripted()))
    with pytest.raises(KeyboardInterrupt):
        until_decided_run(tmp_path / "broken", scripted(stop_after))
    path = store.find(None, tmp_path / "broken")
    broken = store.read(path)
    assert (broken.run.status, len(broken.trials)) == ("interrupted", stop_after)
    assert broken.run.design.num_trials >= stop_after

    resume_run(path, scripted())

    again = store.read(path)
    assert again.run.status == "complete"
    assert again.run.sequential == whole.run.sequential
    assert again.run.design == whole.run.design


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("looks", [5, 5], "do not rise"),
        ("looks", [5, 10**9], "more than 1000 rounds"),
        ("confidence", 1.5, "not between 0 and 1"),
        ("metrics", [], "not one for each metric"),
        ("stopped", [{"cell": "x", "rounds": 5, "reason": "decided"}], "no cell 'x'"),
    ],
)
def test_looks_that_cannot_be_are_damage(
    tmp_path: Path, field: str, value: object, said: str
) -> None:
    """A record that was edited is refused in one line."""
    path = until_decided_run(tmp_path, scripted())
    data = json.loads((path / "run.json").read_text())
    data["sequential"][field] = value
    (path / "run.json").write_text(json.dumps(data))
    with pytest.raises(RecordError, match=said):
        store.read(path)


def test_a_run_on_a_cluster_records_its_nodes_as_they_come_and_go(
    scenario: Scenario, tmp_path: Path
) -> None:
    """What they share is its environment; run.json knows of a loss while the run goes on."""
    seen: list[tuple[str, ...]] = []
    facts = {"python_version": "3.11", "cpu_model_name": "x", "load_avg_5min": 1.0}
    hosts = [
        ScriptedHost({3: "lost"}, facts=facts),
        ScriptedHost(facts=facts | {"load_avg_5min": 2.0}),
    ]

    def look(_: object) -> None:
        runs = list(tmp_path.glob("*/run.json"))
        if runs:
            seen.append(tuple(n["lost"] for n in json.loads(runs[0].read_text())["nodes"]))

    fleet = ScriptedFleet(hosts[0])
    on = cluster(fleet=fleet)
    # The second one joins when the first is lost, so that it is seen in between.
    on.on_event = lambda line: fleet.later.append(hosts[1]) if "is lost" in line else None
    path = run_scenario(scenario, on, tmp_path, on_progress=look)
    run = store.read(path).run

    assert seen[0] == ("",)
    assert ("the node died", "") in seen
    assert run.status == "complete"
    assert [(n.label, n.lost, len(n.broken_off)) for n in run.nodes] == [
        ("n1", "the node died", 1),
        ("n2", "", 0),
    ]
    assert run.environment["cpu_model_name"] == "x"
    assert "load_avg_5min" not in run.environment
    assert run.environment["machine_id"] not in {
        n.environment["machine_id"] for n in run.nodes
    }
    assert run.accounting is not None
    assert run.accounting.node_s is not None
    assert run.accounting.worker_start_s >= 10.0


def test_a_run_whose_nodes_are_lost_is_resumed_on_others(
    scenario: Scenario, tmp_path: Path
) -> None:
    """Other machines of the cluster will do; other software will not, nor this machine."""
    with pytest.raises(ClusterError, match="no node of the cluster is left"):
        run_scenario(scenario, cluster(ScriptedHost({4: "lost"})), tmp_path)
    path = store.find(None, tmp_path)
    broken = store.read(path)
    assert broken.run.status == "interrupted"
    assert broken.run.nodes[0].lost == "the node died"

    with pytest.raises(RecordError, match=r"python_version was 3\.11, is "):
        resume_run(path, CannedExecutor())
    other = ScriptedHost(facts={"python_version": "3.12"})
    with pytest.raises(RecordError, match=r"python_version was 3\.11, is 3\.12"):
        resume_run(path, cluster(other, earlier=broken.run.nodes))
    resume_run(path, cluster(ScriptedHost(), earlier=broken.run.nodes))
    again = store.read(path)
    assert again.run.status == "complete"
    assert [node.label for node in again.run.nodes] == ["n1", "n2"]
    assert again.run.environment == broken.run.environment
    assert (
        again.run.resumptions[0].environment["machine_id"]
        == again.run.nodes[1].environment["machine_id"]
    )


def test_a_run_until_decided_on_a_cluster_decides_the_same(tmp_path: Path) -> None:
    """Its looks see every trial, and each node starts a fresh worker for each round."""
    whole = store.read(until_decided_run(tmp_path / "here", scripted()))
    hosts = [
        ScriptedHost(measure=scripted().run),
        ScriptedHost({40: "lost"}, measure=scripted().run),
    ]
    planned = build_run(slots=(1, 2)).scenario
    path = run_scenario(
        planned, cluster(*hosts), tmp_path / "there", until=until_decided.plan(planned)
    )
    found = store.read(path)
    assert found.run.sequential == whole.run.sequential
    assert found.run.design == whole.run.design
    assert found.run.status == "complete"


@pytest.mark.parametrize("labels", [["n1", "n1"], ["node"], ["n0"]])
def test_nodes_that_cannot_be_are_damage(
    labels: list[str], scenario: Scenario, tmp_path: Path
) -> None:
    """A record that was edited is refused in one line."""
    path = run_scenario(scenario, cluster(ScriptedHost()), tmp_path)
    data = json.loads((path / "run.json").read_text())
    data["nodes"] = [data["nodes"][0] | {"label": label} for label in labels]
    (path / "run.json").write_text(json.dumps(data))
    with pytest.raises(RecordError, match="nodes: "):
        store.read(path)


def test_ctrl_c_leaves_the_nodes_as_they_were_then(
    scenario: Scenario, tmp_path: Path
) -> None:
    """Also where it is pressed before a loss was written down."""
    on = cluster(ScriptedHost({4: "lost"}))

    def press(line: str) -> None:
        if "is lost" in line:
            raise KeyboardInterrupt

    on.on_event = press
    with pytest.raises(KeyboardInterrupt):
        run_scenario(scenario, on, tmp_path)
    run = store.read(store.find(None, tmp_path)).run
    assert (run.status, run.nodes[0].lost) == ("interrupted", "the node died")
