"""``slotbench run --executor ray``, on nodes that run nothing; real ones are in tests/slotbench/measure."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import slotbench as package
from slotbench.errors import SlotbenchError
from slotbench.measure import on_ray
from tests.slotbench.support.fleets import ScriptedFleet, ScriptedHost, cluster
from tests.slotbench.support.scripted import ScriptedExecutor, noisy

SMALL = """
title = "Small"
question = "Does it run?"
rounds = 2
num_slots = 4
[[contenders]]
name = "threading"
baseline = true
[[contenders]]
name = "slot"
"""
ON_RAY = ("--executor", "ray", "--address", "10.0.0.1:6379")


def host(script: dict[int, str] | None = None) -> ScriptedHost:
    facts = {"torch_version": "2.13"}
    return ScriptedHost(script, facts=facts, measure=ScriptedExecutor(noisy({})).run)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Have these nodes at the address, instead of a cluster; what was asked for it."""
    asked: list[str] = []

    def use(*hosts: ScriptedHost) -> list[str]:
        def opened(_: object, address: str, **options: Any) -> Any:
            asked.append(address)
            return cluster(*hosts, **options)

        def fleet(_: object, address: str) -> ScriptedFleet:
            asked.append(address)
            return ScriptedFleet(*hosts)

        monkeypatch.setattr(on_ray, "open_cluster", opened)
        monkeypatch.setattr(on_ray, "RayFleet", fleet)
        return asked

    return use


def test_a_run_on_a_cluster_tells_of_its_nodes(
    slotbench: Any,
    small: Path,
    nodes: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who takes part, who is lost, on how many it ran; the record does not know the address."""
    has_begun = threading.Event()
    dying, other = host({4: "lost"}), host()
    dying.before = lambda _: has_begun.set()
    other.before = lambda _: None if has_begun.wait(60) else pytest.fail("one did it all")
    asked = nodes(dying, other)
    monkeypatch.setattr(sys, "argv", ["slotbench", "run", str(small), *ON_RAY])
    outcome = slotbench("run", small, *ON_RAY)

    assert outcome.code == 0, outcome.stderr
    assert asked == ["10.0.0.1:6379"]
    assert "slotbench: n2 takes part: 2 CPUs\n" in outcome.stderr
    assert "slotbench: n1 is lost: the node died\n" in outcome.stderr
    assert " on 2 nodes in " in outcome.stdout
    record = package.load().record
    assert record.command == ("slotbench", "run", str(small), "--executor", "ray")
    assert [node.lost for node in record.nodes] == ["the node died", ""]
    assert set(package.load().nodes["num_cpus"]) == {2.0}


def test_a_run_that_lost_all_nodes_says_how_it_goes_on(
    slotbench: Any, small: Path, nodes: Callable[..., list[str]]
) -> None:
    """Interrupted, in one line; what it and the note of the record say to do works."""
    nodes(host({4: "lost"}))
    outcome = slotbench("run", small, *ON_RAY)
    assert outcome.code == 130
    last = outcome.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "slotbench: interrupted: no node of the cluster is left; lost are n1: "
    )
    assert package.load().record.status == "interrupted"
    (note,) = package.load().stored.notes
    assert note.endswith(" --executor ray'")
    *_, again = last.split("go on with ")
    assert again.endswith("--executor ray --address 10.0.0.1:6379'")
    assert "Traceback" not in outcome.stderr

    nodes(host())
    words = again.strip("'").split()[1:]
    plan = slotbench(*words, "--dry-run")
    assert "0 of 2 blocks measured, 2 left" in plan.stdout
    assert "on the cluster's 1 node\n" in plan.stdout
    assert slotbench(*words).code == 0
    assert package.load().record.status == "complete"


def test_a_plan_says_what_the_cluster_makes_of_its_duration(
    slotbench: Any, small: Path, nodes: Callable[..., list[str]]
) -> None:
    """Divided by its nodes; nothing of one is said of this machine alone."""
    nodes(host(), host(), host())
    (line,) = slotbench("run", small, "--dry-run", *ON_RAY).stdout.splitlines()[-1:]
    assert " on one machine, " in line
    assert line.endswith("on the cluster's 3 nodes")
    assert "machine" not in slotbench("run", small, "--dry-run").stdout


def test_an_address_is_of_a_cluster(slotbench: Any, small: Path) -> None:
    """Given without one it would do nothing; from Python likewise."""
    outcome = slotbench("run", small, "--address", "10.0.0.1:6379")
    assert outcome.code == 2
    assert "--address goes with --executor ray" in outcome.stderr
    with pytest.raises(SlotbenchError, match="address goes with executor='ray'"):
        package.run(small, address="10.0.0.1:6379")
    with pytest.raises(SlotbenchError, match="must be 'local' or 'ray'"):
        package.run(small, executor="dask")


def test_python_runs_on_a_cluster_too(
    small: Path, tmp_path: Path, nodes: Callable[..., list[str]]
) -> None:
    """The command that it records does the same."""
    asked = nodes(host(), host())
    run = package.run(small, executor="ray", results_dir=tmp_path / "results")
    assert asked == [""]
    assert run.record.status == "complete"
    assert run.record.command[-2:] == ("--executor", "ray")


def test_python_warns_of_what_a_cluster_loses(
    small: Path, tmp_path: Path, nodes: Callable[..., list[str]]
) -> None:
    """While the run goes on; that a node takes part is no warning."""
    has_begun = threading.Event()
    dying, other = host({4: "lost"}), host()
    dying.before = lambda _: has_begun.set()
    other.before = lambda _: None if has_begun.wait(60) else pytest.fail("one did it all")
    nodes(dying, other)
    with pytest.warns(UserWarning, match="^slotbench: n1") as told:
        run = package.run(small, executor="ray", results_dir=tmp_path / "results")
    assert run.record.status == "complete"
    lines = [str(one.message) for one in told]
    assert "slotbench: n1 is lost: the node died" in lines
    assert not any("takes part" in line for line in lines)


def test_an_unknown_executor_is_one_line(slotbench: Any, small: Path) -> None:
    """With those that there are, and no word of a library's."""
    outcome = slotbench("run", small, "--executor", "Ray")
    assert outcome.code == 2
    (line,) = outcome.stderr.splitlines()
    assert line.startswith(
        "slotbench: error: Invalid value for '--executor': 'Ray' is not one of 'local', 'ray' ("
    )


def test_without_ray_there_is_no_cluster(
    slotbench: Any, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said in a line, with what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = slotbench("run", small, *ON_RAY)
    assert outcome.code == 2
    assert "error: Ray is not installed: pip install 'slotbench[ray]'" in outcome.stderr
