"""Runs on a real Ray cluster, several node processes on this machine, of which some are killed.

One cluster serves the module; tests end its nodes and add others. Its head offers no CPU, so that the
process that the tests are attached to is never a node that measures.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from slotbench import store
from slotbench.compute import blocks
from slotbench.errors import ClusterError
from slotbench.measure.executor import LocalExecutor
from slotbench.measure.on_ray import RayFleet, open_cluster
from slotbench.measure.runner import Progress
from slotbench.records import Cell, Scenario, Window
from slotbench.session import resume_run, run_scenario
from tests.slotbench.support import trials as support

pytest.importorskip("ray")

_MEMORY_BYTES = 100 * 2**20
SMALL = """
title = "Small"
question = "Does it run?"
num_slots = 2
[[contenders]]
name = "threading"
baseline = true
"""


class Nodes:
    """The nodes of a cluster that measure."""

    def __init__(self, ray_cluster: Any) -> None:
        self.ray_cluster = ray_cluster
        self.up: list[Any] = []

    @property
    def address(self) -> str:
        return str(self.ray_cluster.address)

    def add(self) -> None:
        self.up.append(
            self.ray_cluster.add_node(num_cpus=1, object_store_memory=_MEMORY_BYTES)
        )

    def kill(self) -> None:
        """End the oldest node, with all its processes, as a power cut would."""
        self.ray_cluster.remove_node(self.up.pop(0), allow_graceful=False)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A cluster without any node that measures."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {
            "num_cpus": 0,
            "include_dashboard": False,
            "object_store_memory": _MEMORY_BYTES,
        }
        made = Cluster(initialize_head=True, head_node_args=head)
        yield Nodes(made)
        made.shutdown()


@pytest.fixture
def small(scenario: Callable[..., Scenario]) -> Scenario:
    """One round, for which one start of a worker does, of four cells, of trials of a tenth of a second."""
    workload = support.workload(num_slots=2, window=Window(0.02, 0.08, 10))
    cells = tuple(Cell(f"c{i}", {"i": i}, workload) for i in range(4))
    return scenario("threading", "slot", cells=cells, rounds=1)


def when(done: int, do: Callable[[], None]) -> Callable[[Progress], None]:
    """Do something once, when so many trials are done and the next is about to begin."""
    left = [do]

    def told(state: Progress) -> None:
        if state.num_done >= done and left and state.doing.startswith("n"):
            left.pop()()

    return told


def test_a_node_killed_in_mid_sweep_loses_nothing(
    nodes: Nodes, small: Scenario, tmp_path: Path
) -> None:
    """The run completes on the other one, and records what a run on this machine does."""
    nodes.add()
    nodes.add()
    events: list[str] = []
    with open_cluster(small, nodes.address, on_event=events.append) as cluster:
        told = when(2, nodes.kill)
        path = run_scenario(
            small, cluster, tmp_path / "ray", on_progress=told, max_attempts=1
        )
    with LocalExecutor(small) as executor:
        here = store.read(run_scenario(small, executor, tmp_path / "here", max_attempts=1))
    found = store.read(path)

    assert found.run.status == "complete"
    assert [bool(node.lost) for node in found.run.nodes].count(True) == 1
    assert any("is lost: " in line for line in events)
    counted = blocks.counted_trials(found.run, found.trials)
    assert Counter(
        (t.round, t.cell, t.contender, t.arm, t.seed) for t in counted
    ) == Counter((t.round, t.cell, t.contender, t.arm, t.seed) for t in here.trials)
    firsts = {t.trial_id: (t.contender, t.position) for t in here.trials}
    # What is of a first attempt stands in the same order; another attempt draws its own.
    assert all(
        firsts[t.trial_id] == (t.contender, t.position)
        for t in found.trials
        if t.attempt == 0
    )
    assert {t.status for t in found.trials} == {"ok"}
    homes: dict[tuple[int, str, int], set[str]] = {}
    for trial in found.trials:
        homes.setdefault((trial.round, trial.cell, trial.attempt), set()).add(trial.node)
    assert all(len(labels) == 1 for labels in homes.values())
    calibrated = blocks.counted_calibrations(found.run, found.trials, found.calibrations)
    assert {
        (r, c, x.attempt): {x.node}
        for (c, _), of in calibrated.items()
        for r, x in of.items()
    } == {(t.round, t.cell, t.attempt): {t.node} for t in counted}
    assert found.run.design == here.run.design
    assert {f.name for f in fields(here.trials[0])} == {f.name for f in fields(counted[0])}
    raises = "import os; os.nice(5); os.setpriority(os.PRIO_PROCESS, 0, 0)"
    may_raise = subprocess.run([sys.executable, "-c", raises], check=False)
    # Ray's own processes have a lower priority, which no trial is to have where that can be helped.
    assert ("niceness" in found.run.environment) == (may_raise.returncode != 0)
    same = ("code_sha256", "python_version", "torch_version", "machine_id", "cpu_count")
    assert {n: found.run.environment[n] for n in same} == {
        n: here.run.environment[n] for n in same
    }
    assert found.run.accounting is not None
    assert found.run.accounting.node_s is not None
    assert 0.0 < found.run.accounting.overhead_ratio < 1.0


def test_a_run_whose_nodes_are_all_killed_goes_on_even_here(
    nodes: Nodes, small: Scenario, tmp_path: Path
) -> None:
    """It ends as interrupted, in one line; what was recorded is not measured again.

    Its nodes were this machine, so that it may: where trials run is no part of what they are.
    """
    with open_cluster(small, nodes.address) as cluster:

        def kill() -> None:
            nodes.kill()
            cluster._alone_s = (
                0.0  # Ray takes a while to see that nobody is left: nobody comes
            )

        with pytest.raises(
            ClusterError, match=r"^no node of the cluster is left; lost are n1: "
        ):
            run_scenario(small, cluster, tmp_path, on_progress=when(4, kill))
    broken = store.read(store.find(None, tmp_path))
    assert broken.run.status == "interrupted"
    assert len(broken.trials) >= 4
    assert broken.run.nodes[0].lost

    with LocalExecutor(small) as executor:
        resume_run(broken.path, executor)
    found = store.read(broken.path)
    assert found.run.status == "complete"
    assert found.trials[: len(broken.trials)] == broken.trials
    assert [node.label for node in found.run.nodes] == ["n1"]
    assert {trial.node for trial in found.trials} == {"n1", ""}
    counted = blocks.counted_trials(found.run, found.trials)
    assert len(counted) == found.run.design.num_trials


def test_trials_run_in_another_interpreter_of_a_node_and_leave_no_file_there(
    nodes: Nodes, scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    """A node that does not have it is left out, and says what is missing."""
    other, kept = tmp_path / "bin" / "other", tmp_path / "tmp"
    other.parent.mkdir()
    kept.mkdir()
    other.symlink_to(sys.executable)
    nodes.add()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(other.parent), prepend=os.pathsep)
        patch.setenv("TMPDIR", str(kept))
        nodes.add()
    workload = support.workload(num_slots=2, window=Window(0.02, 0.08, 10))
    raced = scenario(
        *("slot[python=other]", "threading[python=other]"),
        cells=(Cell("all", {}, workload),),
        rounds=1,
    )
    with open_cluster(raced, nodes.address) as cluster:
        found = store.read(run_scenario(raced, cluster, tmp_path, max_attempts=1))
    while nodes.up:
        nodes.kill()

    assert {trial.status for trial in found.trials} == {"ok"}
    assert [one.python for one in found.calibrations] == ["other"]
    assert "other.torch_version" in found.run.environment
    (lost,) = {node.lost for node in found.run.nodes if node.lost}
    assert lost.startswith('python="other": there is no command "other"')
    assert list(kept.glob("slotbench-*")) == []


def test_a_trial_with_a_ray_of_its_own_does_not_find_the_cluster(
    nodes: Nodes, small: Scenario
) -> None:
    """Not even where RAY_ADDRESS names it."""
    script = (
        "from slotbench.measure.factories import start_ray; start_ray(); import ray; "
        "print(ray.get_runtime_context().gcs_address); ray.shutdown()"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", nodes.address)
        told = subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True
        )
    assert told.stdout.strip().rpartition(":")[2].isdigit()
    assert told.stdout.strip() != nodes.address


def test_a_cluster_without_what_a_trial_needs_says_what_is_missing(
    nodes: Nodes, scenario: Callable[..., Scenario]
) -> None:
    """No node here has a GPU."""
    while nodes.up:
        nodes.kill()
    nodes.add()
    workload = support.workload(num_slots=2, device="cuda")
    on_gpu = scenario("slot", cells=(Cell("all", {}, workload),))
    with (
        open_cluster(on_gpu, nodes.address) as cluster,
        pytest.raises(
            ClusterError, match=r" has no node \(yet\) that offers CPUs and a GPU"
        ),
    ):
        cluster.start_worker()
    nodes.kill()


def test_that_a_token_is_wanted_is_said_in_a_line(nodes: Nodes, tmp_path: Path) -> None:
    """And none of Ray's own, which its C++ writes where no setting of ours reaches."""
    written = tmp_path / "small.toml"
    written.write_text(SMALL)
    words = [
        "run",
        str(written),
        "--dry-run",
        "--executor",
        "ray",
        "--address",
        nodes.address,
    ]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH")}
    environ |= {"RAY_AUTH_MODE": "token", "HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-m", "slotbench", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert f"error: the Ray cluster at {nodes.address} asks for a token" in line
    assert "RAY_AUTH_MODE=token" in line


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://10.0.0.1:10001", "is an address of Ray's client, .* --address HOST:PORT"),
        ("10.0.0.1", "the address 10.0.0.1 of the Ray cluster has no port: "),
    ],
)
def test_an_address_that_is_none_is_told_at_once(
    address: str, said: str, small: Scenario
) -> None:
    """Before anything is connected to."""
    with pytest.raises(ClusterError, match=said):
        RayFleet(small, address)


def test_where_no_cluster_answers_is_said_in_a_line(small: Scenario) -> None:
    """At once: Ray itself would wait for minutes."""
    with pytest.raises(
        ClusterError, match=r"^no Ray cluster answers at 127\.0\.0\.1:9: start "
    ):
        RayFleet(small, "127.0.0.1:9")
