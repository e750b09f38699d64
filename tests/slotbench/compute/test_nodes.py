"""What nodes have in common, what differs, and what is said of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench import frames, report
from slotbench.compute import comparison, nodes
from slotbench.draw import render
from slotbench.draw.screen import Screen
from slotbench.draw.validity import as_json, show_run
from slotbench.records import BrokenOff, Node, Scalar, TrialRecord
from tests.slotbench.support import grids

ONE: dict[str, Scalar] = {
    "machine_id": "a",
    "cpu_model_name": "x",
    "cpu_count": 4,
    "torch_version": "2.13",
}
OTHER = ONE | {"machine_id": "b", "cpu_model_name": "y"}
BROKEN = BrokenOff(2, "num_slots=4", 0, "slot", "the node died")


def spread(*made: Node) -> Any:
    """A small grid, its rounds in turn on these nodes."""
    stored = grids.small_grid()

    def home(trial: TrialRecord) -> str:
        return made[trial.round % len(made)].label

    trials = tuple(replace(trial, node=home(trial)) for trial in stored.trials)
    return replace(stored, run=replace(stored.run, nodes=made), trials=trials)


def test_common_facts_are_those_that_all_share() -> None:
    """One machine's are its own; several have an id of their own, whatever their order."""
    assert nodes.common_environment([ONE]) == ONE
    assert nodes.common_environment([ONE, dict(ONE)]) == ONE
    both = nodes.common_environment([ONE, OTHER])
    assert both.keys() == {"machine_id", "cpu_count", "torch_version"}
    assert both["machine_id"] not in {"a", "b"}
    assert nodes.common_environment([OTHER, ONE, OTHER]) == both
    assert nodes.common_environment([]) == {}


@given(st.lists(st.dictionaries(st.sampled_from("pqrs"), st.integers(0, 2)), min_size=1))
def test_what_is_common_is_in_every_environment(made: list[dict[str, Scalar]]) -> None:
    """And what is in every one of them is common."""
    common = nodes.common_environment(made)
    for name in "pqrs":
        values = {repr(one.get(name)) for one in made}
        assert (name in common) == (len(values) == 1 and values != {"None"})


def test_software_must_be_the_same_and_hardware_need_not() -> None:
    """A package that is missing differs; so does a contender's own code."""
    assert nodes.software_differences(ONE, OTHER) == ()
    assert nodes.software_differences(ONE, ONE | {"torch_version": "2.0"}) == (
        "torch_version is 2.0, elsewhere 2.13",
    )
    assert nodes.software_differences({}, {"mine.code_sha256": "1"}) == (
        "mine.code_sha256 is 1, elsewhere None",
    )


def test_so_must_that_of_other_interpreters() -> None:
    """Another release under the same name would be another contender on that node."""
    theirs = {"python3.14t.python_version": "3.14.0", "python3.14t.torch_version": "2.13"}
    changed = theirs | {"python3.14t.python_version": "3.14.2"}
    assert nodes.software_differences(theirs, theirs) == ()
    assert nodes.software_differences(theirs, changed) == (
        "python3.14t.python_version is 3.14.2, elsewhere 3.14.0",
    )


def test_what_is_said_of_several_machines() -> None:
    """Whether their CPUs differ, and whether nodes were one machine in the same sitting."""
    one, other = Node("n1", 4, ONE), Node("n2", 4, OTHER)
    assert nodes.notes([one]) == nodes.notes([]) == ()
    (note,) = nodes.notes([one, other])
    assert note.startswith("measured on 2 machines (they differ in cpu_model_name: ")
    (note,) = nodes.notes([one, replace(other, environment=ONE | {"machine_id": "b"})])
    assert "of equal CPUs" in note
    (note,) = nodes.notes([one, replace(one, label="n2")])
    assert note.startswith("nodes n1, n2 are one machine")
    assert nodes.notes([one, replace(one, label="n2", sitting=1)]) == ()
    assert nodes.notes([one, replace(other, is_admitted=False)]) == ()
    lost = replace(other, lost="the node died", broken_off=(BROKEN,))
    (*_, note) = nodes.notes([one, lost])
    assert note == (
        "1 of 2 nodes was lost; the block that was broken off there counts only as measured again, whole"
    )
    assert nodes.notes([replace(one, lost="x")]) == ("1 of 1 nodes was lost",)
    gpus = [{**ONE, "machine_id": name, "gpu_name": f"gpu {name}"} for name in "ab"]
    (note,) = nodes.notes([replace(one, environment=gpu) for gpu in gpus])
    assert note.startswith("measured on 2 machines (they differ in gpu_name: ")
    without: dict[str, Scalar] = ONE | {"machine_id": "c"}
    (note,) = nodes.notes([replace(one, environment=x) for x in (gpus[0], without)])
    assert "of equal CPUs" in note  # one has none: no cell has used the other's
    (note,) = nodes.notes([replace(one, environment=ONE | {"niceness": 15})])
    assert note.startswith("trials on n1 gave way to all other processes")


def test_a_run_on_a_cluster_says_so_wherever_it_is_shown() -> None:
    """Text, JSON and show: nodes with their blocks, what differs, and why one was lost."""
    lost = Node("n2", 4, OTHER, lost="the node died", broken_off=(BROKEN,))
    stored = spread(Node("n1", 4, ONE), lost)
    compared = comparison.compare(stored.run, stored.trials)

    assert "measured on 2 machines" in " ".join(render(compared).split())
    shown = " ".join(show_run(stored).split())
    num_blocks = {share.node.label: share.num_blocks for share in compared.nodes}
    assert sum(num_blocks.values()) == sum(map(len, stored.run.design.blocks))
    assert f"node n1: {num_blocks['n1']} blocks, 4 CPUs, cpu_model_name x" in shown
    assert "cpu_model_name y, lost: the node died" in shown
    assert "round 3, num_slots=4, attempt 1 was broken off at slot: the node died" in shown
    trial = next(one for one in stored.trials if one.node == "n2")
    wide = " ".join(show_run(stored, Screen(250)).split())
    assert f"{trial.trial_id} n2 {trial.cell} {trial.contender} " in wide
    narrow = " ".join(show_run(stored, Screen(60)).split())
    assert f"{trial.trial_id} {trial.contender} in {trial.cell} on n2 " in narrow
    told = report.render([stored], "md")
    assert f"n1: {num_blocks['n1']} blocks, 4 CPUs, " in told
    assert "measured on 2 machines" in told
    assert '"node": "n1"' in as_json(stored)
    assert '"label": "n2"' in render(compared, "json")
    assert "node" not in " ".join(render(replace(compared, nodes=())).split())


def test_frames_tell_nodes_apart() -> None:
    """Trials have theirs; a node alone says what a comparison of its blocks says."""
    stored = spread(Node("n1", 4, ONE), Node("n2", 4, OTHER))
    trials = frames.trials_frame(stored)
    assert set(trials["node"]) == {"n1", "n2"}
    found = frames.nodes_frame(stored)
    assert list(found["node"]) == ["n1", "n2"]
    assert list(found["cpu_model_name"]) == ["x", "y"]

    by_node = frames.ratios_by_node_frame(stored)
    mine = tuple(trial for trial in stored.trials if trial.node == "n2")
    alone = frames.ratios_frame(replace(stored, trials=mine))
    both = by_node[by_node["node"] == "n2"].drop(columns="node").reset_index(drop=True)
    assert both.equals(alone)
    assert set(by_node["node"]) == {"n1", "n2"}


@pytest.mark.parametrize("make", [frames.nodes_frame, frames.ratios_by_node_frame])
def test_one_machine_has_no_nodes(make: Callable[[Any], Any]) -> None:
    """No row, and the same columns."""
    empty, full = make(grids.small_grid()), make(spread(Node("n1", 4, ONE)))
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)
