"""Blocks spread over nodes that are lost at every possible moment; nothing is run."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench import contenders
from slotbench.compute import blocks
from slotbench.errors import ClusterError, ContenderError, RecordError
from slotbench.measure import lanes, runner
from slotbench.measure.executor import WORKER_DIED
from slotbench.records import (
    CalibrationRecord,
    Cell,
    RunRecord,
    Scenario,
    TrialRecord,
    TrialSpec,
)
from tests.slotbench.measure.test_runner import DiaryExecutor, plan
from tests.slotbench.support import trials as support
from tests.slotbench.support.fleets import ScriptedFleet, ScriptedHost, cluster


def planned(num_cells: int = 2, rounds: int = 2) -> RunRecord:
    """A run of blocks of three trials each."""
    return plan(
        Scenario(
            name="small",
            title="t",
            question="q",
            source="",
            text="text",
            overrides=(),
            cells=tuple(Cell(f"c{i}", {}, support.workload()) for i in range(num_cells)),
            contenders=tuple(
                contenders.parse(name, baseline=name == "threading")
                for name in ("threading", "slot")
            ),
            rounds=rounds,
            seed=1,
            threshold=0.03,
        )
    )


class Kept:
    """What a run on a cluster records."""

    def __init__(self, run: RunRecord, *hosts: ScriptedHost, **options: object) -> None:
        self.run = run
        self.cluster = cluster(*hosts, **options)
        self.trials: list[TrialRecord] = []
        self.calibrations: list[CalibrationRecord] = []
        self.progress: list[runner.Progress] = []
        self.observed_s = 0.0

    def measure(self, recorded: Iterable[TrialRecord] = ()) -> "Kept":
        self.cluster.start_worker()
        self.observed_s = runner.run(
            self.run,
            self.cluster,
            self.trials.append,
            self.progress.append,
            recorded=tuple(recorded),
            on_calibration=self.calibrations.append,
        )
        return self

    def check_whole(self, before: Iterable[TrialRecord] = ()) -> None:
        """Every block has one attempt that counts, whole; each attempt is of one node."""
        every = [*before, *self.trials]
        ids = Counter(trial.trial_id for trial in every)
        assert max(ids.values()) == 1
        counted = blocks.counted_trials(self.run, every)
        size = blocks.block_size(self.run)
        assert Counter((t.round, t.cell) for t in counted) == {
            (index, cell): size
            for index, of_round in enumerate(self.run.design.blocks)
            for cell, _ in of_round
        }
        homes: dict[tuple[int, str, int], set[str]] = {}
        for trial in every:
            homes.setdefault((trial.round, trial.cell, trial.attempt), set()).add(
                trial.node
            )
        assert {len(labels) for labels in homes.values()} == {1}
        assert runner.unfinished(self.run, every) == []


def test_one_node_records_what_this_machine_would() -> None:
    """The same trials in the same order, each round in a fresh worker; labelled by the node."""
    run, alone, host = planned(), DiaryExecutor(), ScriptedHost()
    here: list[TrialRecord] = []
    alone.start_worker()
    observed_s = runner.run(
        run, alone, here.append, lambda _: None, on_calibration=lambda _: None
    )
    kept = Kept(run, host).measure()

    assert host.diary == alone.diary
    assert [replace(t, node="", status="failed", error="") for t in kept.trials] == [
        replace(t, error="") for t in here
    ]
    assert {one.node for one in (*kept.trials, *kept.calibrations)} == {"n1"}
    assert kept.observed_s == observed_s
    assert kept.cluster.worker_start_s == 10.0
    assert kept.progress[-1] == runner.Progress(12, 12, "done")


def test_nodes_share_the_blocks() -> None:
    """Each measures its own at the same time: neither can go on before the other has begun."""
    both = threading.Barrier(2, timeout=60)
    waited = set[str]()

    def meet(host: str) -> Callable[[TrialSpec], None]:
        def before(_: TrialSpec) -> None:
            if host not in waited:
                waited.add(host)
                both.wait()

        return before

    kept = Kept(planned(), ScriptedHost(before=meet("a")), ScriptedHost(before=meet("b")))
    kept.measure().check_whole()

    assert {trial.node for trial in kept.trials} == {"n1", "n2"}
    assert {c.node for c in kept.calibrations} == {"n1", "n2"}


# A worker's start, then per block a calibration and three trials; two blocks, then another worker.
@pytest.mark.parametrize("call", range(1, 12))
@pytest.mark.parametrize("fate", ["lost", "died"])
def test_a_block_survives_its_node_whenever_that_ends(call: int, fate: str) -> None:
    """What was recorded stays, the block is measured whole elsewhere, and the loss is recorded."""
    kept = Kept(planned(), ScriptedHost({call: fate}))
    fleet = kept.cluster._fleet
    first = kept.cluster
    # The second joins once the first has failed, so that the failure is met at each call.
    first.on_event = lambda line: (
        fleet.later.append(ScriptedHost()) if "broken off" in line else None  # type: ignore[attr-defined]
    )
    kept.measure().check_whole()

    (node, *_) = first.nodes()
    assert len(node.broken_off) == 1
    assert bool(node.lost) == (fate == "lost")
    partial = [
        made
        for made in Counter((t.round, t.cell, t.attempt) for t in kept.trials).values()
        if made < 3
    ]
    assert len(partial) == (
        node.broken_off[0].doing in {"slot", "threading"} and bool(partial)
    )
    assert kept.progress[-1].num_done == kept.progress[-1].num_trials == len(kept.trials)
    assert not any(trial.status == "failed" for trial in kept.trials)


@given(
    scripts=st.lists(
        st.dictionaries(
            st.integers(0, 25), st.sampled_from(["lost", "died", "no start"]), max_size=3
        ),
        min_size=0,
        max_size=3,
    ),
    num_joining=st.integers(0, 1),
)
def test_every_block_is_measured_whole_once_whatever_is_lost(
    scripts: list[dict[int, str]],
    num_joining: int,
) -> None:
    """With a node that stays: one attempt counts, each attempt is of one node, and no trial is there twice."""

    def disturbed(spec: TrialSpec) -> bool:
        return spec.attempt == 0 and spec.cell == "c1" and spec.position == 0

    hosts = [ScriptedHost(script, disturbed=disturbed) for script in scripts]
    fleet = ScriptedFleet(*hosts, ScriptedHost(disturbed=disturbed))
    kept = Kept(planned(num_cells=3), fleet=fleet)
    kept.cluster.on_event = lambda _: (
        fleet.later.append(ScriptedHost()) if num_joining and len(kept.trials) > 5 else None
    )
    kept.measure().check_whole()
    assert blocks.num_repeats(kept.run, kept.trials) <= 1


def test_a_run_whose_nodes_are_all_lost_ends_and_goes_on() -> None:
    """One line names them; what was recorded is gone on from, with other labels."""
    kept = Kept(planned(), ScriptedHost({3: "lost"}), ScriptedHost({4: "lost"}))
    with pytest.raises(
        ClusterError, match=r"^no node of the cluster is left; lost are n1: the node "
    ):
        kept.measure()
    assert kept.trials
    assert all(node.lost == "the node died" for node in kept.cluster.nodes())

    anew = Kept(kept.run, ScriptedHost({2: "lost"}), earlier=kept.cluster.nodes())
    with pytest.raises(ClusterError, match=r"; lost are n3: the node died$"):
        anew.measure(kept.trials)
    again = Kept(kept.run, ScriptedHost(), earlier=kept.cluster.nodes())
    again.measure(kept.trials).check_whole(kept.trials)
    assert {trial.node for trial in again.trials} == {"n3"}
    assert [node.sitting for node in again.cluster.nodes()] == [0, 0, 1]


def test_nodes_that_are_all_lost_before_the_first_trial_are_no_contenders_fault() -> None:
    """One of them alone is left out; a contender that fails on the others is told as such."""
    dying = Kept(planned(), ScriptedHost(problem="lost"), ScriptedHost(problem="lost"))
    dying.cluster.start_worker()
    with pytest.raises(
        ClusterError, match="is left; lost are n1: the node died; n2: the node died"
    ):
        runner.admit(dying.run.scenario, dying.cluster)
    with pytest.raises(ClusterError, match="no node of the cluster is left"):
        dying.cluster.check(None, support.workload())

    one = Kept(planned(), ScriptedHost(problem="lost"), ScriptedHost(problem="no such"))
    one.cluster.start_worker()
    with pytest.raises(ContenderError, match="no such"):
        runner.admit(one.run.scenario, one.cluster)
    assert [node.lost for node in one.cluster.nodes()] == ["the node died", ""]


def test_what_cannot_be_recorded_ends_the_run_and_frees_the_nodes() -> None:
    """A full disk is met by a node's thread, and told by the run's."""
    hosts = [ScriptedHost(), ScriptedHost()]
    kept = Kept(planned(), *hosts)

    def refuse(record: TrialRecord) -> None:
        raise RecordError("disk full")

    kept.cluster.start_worker()
    with pytest.raises(RecordError, match="disk full"):
        runner.run(kept.run, kept.cluster, refuse, lambda _: None)
    assert all(host.is_let_go.is_set() for host in hosts)
    assert not any(node.lost for node in kept.cluster.nodes())


def test_ctrl_c_ends_every_lane_and_blames_no_node() -> None:
    """It is heard by the run's thread, here while it tells of a loss; the other node is in a trial."""
    may_go_on = threading.Event()

    def hang(_: TrialSpec) -> None:
        assert may_go_on.wait(60)

    stays = ScriptedHost(before=hang)
    stays.is_let_go = may_go_on  # it is let go: the trial ends
    kept = Kept(planned(), ScriptedHost({2: "lost"}), stays)

    def press(line: str) -> None:
        if "is lost" in line:
            raise KeyboardInterrupt

    kept.cluster.on_event = press
    with pytest.raises(KeyboardInterrupt):
        kept.measure()
    assert [bool(node.lost) for node in kept.cluster.nodes()] == [True, False]
    assert len(kept.trials) <= 1


def test_a_node_that_joins_takes_part() -> None:
    """The first waits in its first trial until another has measured one."""
    has_joined = threading.Event()
    late = ScriptedHost(before=lambda _: has_joined.set())
    fleet = ScriptedFleet()

    def wait(_: TrialSpec) -> None:
        if not has_joined.is_set():
            fleet.later.append(late)
            assert has_joined.wait(60)

    fleet.later.append(ScriptedHost(before=wait))
    kept = Kept(planned(), fleet=fleet)
    kept.measure().check_whole()
    assert {trial.node for trial in kept.trials} == {"n1", "n2"}


def test_a_node_of_other_software_is_left_out() -> None:
    """It is recorded with what differs, measures nothing, and is freed for others."""
    other = ScriptedHost(facts={"torch_version": "2.0", "cpu_model_name": "b"})
    own = ScriptedHost(facts={"torch_version": "2.13", "cpu_model_name": "a"})
    kept = Kept(planned(), fleet=ScriptedFleet(own))
    kept.cluster.start_worker()
    kept.cluster._fleet.later.append(other)  # type: ignore[attr-defined]
    slow = ScriptedHost(facts={"torch_version": "2.13", "cpu_model_name": "c"})
    kept.cluster._fleet.later.append(slow)  # type: ignore[attr-defined]
    joined = threading.Event()
    own.before = lambda _: joined.wait(60) and None  # type: ignore[func-returns-value]
    slow.before = lambda _: joined.set()
    runner.run(kept.run, kept.cluster, kept.trials.append, lambda _: None)

    by_label = {node.label: node for node in kept.cluster.nodes()}
    assert by_label["n2"].lost == "torch_version is 2.0, elsewhere 2.13"
    assert not by_label["n2"].is_admitted
    assert by_label["n3"].is_admitted
    assert "n2" not in {trial.node for trial in kept.trials}
    assert (other.is_gone_for_good, other.diary) == (True, ["worker"])
    here = kept.cluster.environment()
    assert here["torch_version"] == "2.13"
    assert "cpu_model_name" not in here


def test_a_contender_that_one_node_cannot_make_leaves_that_one_out() -> None:
    """What none of them can make is the contender's own fault."""
    kept = Kept(planned(), ScriptedHost(problem="no such module"), ScriptedHost())
    kept.cluster.start_worker()
    runner.admit(kept.run.scenario, kept.cluster)
    assert [bool(node.lost) for node in kept.cluster.nodes()] in (
        [True, False],
        [False, True],
    )
    assert len(kept.cluster.members()) == 1

    broken = Kept(planned(), *(ScriptedHost(problem="no such module") for _ in range(2)))
    broken.cluster.start_worker()
    label = kept.run.scenario.contenders[0]
    assert broken.cluster.check(label, support.workload()) == "no such module"
    assert len(broken.cluster.members()) == 2


def test_a_node_whose_worker_does_not_come_up_twice_is_given_up() -> None:
    """Once is forgiven; the blocks go elsewhere, and the run ends well."""
    forgiven = Kept(planned(), ScriptedHost({9: "no start"}))
    forgiven.measure().check_whole()
    assert forgiven.cluster.nodes()[0].lost == ""

    host = ScriptedHost({9: "no start", 10: "no start"})
    with pytest.raises(ClusterError, match="the worker process did not start"):
        Kept(planned(), host).measure()
    assert host.is_gone_for_good


def test_a_trial_in_which_every_worker_dies_has_failed() -> None:
    """It is a contender's doing, then: recorded as on one machine, once it was tried elsewhere."""
    hosts = [ScriptedHost(), ScriptedHost()]
    kept = Kept(planned(num_cells=1, rounds=1), *hosts)
    dies = kept.run.design.blocks[0][0][1][0]

    for host in hosts:
        run = host.run

        def deadly(
            spec: TrialSpec, run: Callable[[TrialSpec], TrialRecord] = run
        ) -> TrialRecord:
            record = run(spec)
            is_it = f"{spec.contender.label}#{spec.arm}" == dies
            return replace(record, status="failed", error=WORKER_DIED) if is_it else record

        host.run = deadly  # type: ignore[method-assign]
    kept.measure().check_whole()

    broken = [one for node in kept.cluster.nodes() for one in node.broken_off]
    assert len(broken) == lanes.MAX_DEATHS
    failed = [trial for trial in kept.trials if trial.status == "failed"]
    assert [(trial.error, trial.attempt) for trial in failed] == [(WORKER_DIED, 0)]


def test_a_block_that_ends_every_node_ends_the_run() -> None:
    """Nodes that come back for ever would else be ended for ever."""
    fleet = ScriptedFleet(ScriptedHost({1: "lost"}))
    kept = Kept(planned(), fleet=fleet)
    kept.cluster.on_event = lambda line: (
        fleet.later.append(ScriptedHost({1: "lost"})) if "is lost" in line else None
    )
    with pytest.raises(
        ClusterError, match=r"was broken off 5 times, at last on n5 at the calib"
    ):
        kept.measure()


def test_no_cluster_is_one_without_nodes() -> None:
    """Said before anything is recorded, with why each cannot measure."""
    with pytest.raises(ClusterError, match="has no node that offers CPUs"):
        cluster().start_worker()
    with pytest.raises(
        ClusterError, match=r"can measure: n1: the worker process did not start"
    ):
        cluster(ScriptedHost({0: "no start"})).start_worker()


def test_a_worker_that_was_asked_for_is_fresh_on_every_node() -> None:
    """A run until decided measures each of its rounds by itself: the worker of the last look serves none."""
    kept = Kept(planned(rounds=1), ScriptedHost())
    kept.measure()
    kept.measure(kept.trials[:3])
    assert [x for x in kept.cluster.members()[0].host.diary if x == "worker"] == [
        "worker"
    ] * 2  # type: ignore[attr-defined]


def test_a_worker_that_died_is_replaced_before_its_block_is_measured_again() -> None:
    """On the only node; the dead one's trial is not in the record."""
    host = ScriptedHost({2: "died"})
    kept = Kept(planned(num_cells=1, rounds=1), host).measure()
    kept.check_whole()
    first = ["calibrated r0-c0-a0-p0", "r0-c0-a0-p0"]
    assert host.diary == ["worker", *first, "worker", *first, "r0-c0-a0-p1", "r0-c0-a0-p2"]
    assert [trial.position for trial in kept.trials] == [0, 1, 2]


def test_a_block_that_is_broken_off_goes_to_another_node() -> None:
    """Though the one that broke it off is free at once, and the other has a block of its own."""
    has_begun, is_other_busy = threading.Event(), threading.Event()

    def other_is_busy(_: TrialSpec) -> None:
        has_begun.set()
        assert is_other_busy.wait(60)

    def first_has_begun(_: TrialSpec) -> None:
        is_other_busy.set()
        assert has_begun.wait(60)

    dying = ScriptedHost({2: "died"}, before=other_is_busy)
    kept = Kept(planned(), dying, ScriptedHost(before=first_has_begun)).measure()
    kept.check_whole()
    broken = [(node.label, one) for node in kept.cluster.nodes() for one in node.broken_off]
    ((label, one),) = broken
    counted = blocks.counted_trials(kept.run, kept.trials)
    homes = {t.node for t in counted if (t.round, t.cell) == (one.round, one.cell)}
    assert label not in homes


def test_a_node_that_is_not_ready_at_the_end_is_no_node_of_the_run() -> None:
    """Nor is it waited for."""
    may_start = threading.Event()

    class Slow(ScriptedHost):
        def start_worker(self) -> float:
            assert may_start.wait(60)
            return super().start_worker()

        def let_go(self, *, for_good: bool) -> None:
            super().let_go(for_good=for_good)
            may_start.set()

    fleet = ScriptedFleet(ScriptedHost())
    kept = Kept(planned(), fleet=fleet)
    kept.cluster.start_worker()
    fleet.later.append(Slow())
    with kept.cluster:
        runner.run(kept.run, kept.cluster, kept.trials.append, lambda _: None)
        kept.check_whole()
        assert [node.label for node in kept.cluster.nodes()] == ["n1"]
    assert fleet.is_closed


def test_that_nodes_are_waited_for_is_said_once() -> None:
    """Of those whose CPUs are in use; none of the command's silence is a riddle."""

    class Busy(ScriptedFleet):
        def num_awaited(self) -> int:
            return 2

    told: list[str] = []
    waits = cluster(
        fleet=Busy(ScriptedHost()), on_event=told.append, gather_s=0.5, tell_s=0.0
    )
    waits.start_worker()
    assert [line for line in told if "waiting" in line] == [
        "waiting for the CPUs of 2 nodes, of which other processes of the cluster use some"
    ]
