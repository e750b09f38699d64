"""Which facts of two environments are told apart, and which of them forbid a comparison."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotbench.compute.environment_diff import (
    FORBIDDING,
    NAMED,
    OF_THE_MOMENT,
    Difference,
    differences,
)
from slotbench.store import environment

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(0.1, 0.9), st.text(max_size=4))
NAMES = st.sampled_from([*FORBIDDING, *NAMED, *OF_THE_MOMENT, "a_new_fact", "zeta"])
ENVIRONMENTS = st.dictionaries(NAMES, SCALARS, max_size=12)


def recorded(name: str) -> dict[str, bool | int | float | str]:
    """The environment of a committed run."""
    run = json.loads((REFERENCE / name / "run.json").read_text("utf-8"))
    found: dict[str, bool | int | float | str] = run["environment"]
    return found


@pytest.mark.parametrize("name", FORBIDDING)
def test_each_fact_of_machine_python_and_torch_forbids(name: str) -> None:
    """One such fact alone is enough, and says what it is."""
    (found,) = differences({name: "a"}, {name: "b"})
    assert found == Difference(name, "a", "b", forbids=True, why=FORBIDDING[name])


def test_another_commit_is_named_and_forbids_nothing() -> None:
    """Comparing two commits is what a comparison of runs is for."""
    (found,) = differences({"git_commit": "37850a8"}, {"git_commit": "54d8398"})
    assert found == Difference(
        "git_commit", "37850a8", "54d8398", forbids=False, why="another commit of slotbench"
    )


def test_a_fact_that_nobody_knows_is_named() -> None:
    """What a later version records is no secret to this one."""
    (found,) = differences({"fan_rpm": 900}, {"fan_rpm": 1200})
    assert (found.name, found.base, found.head, found.forbids) == (
        "fan_rpm", 900, 1200, False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["machine_id", "torch_version", "cpu_governor"])
def test_a_fact_that_one_side_lacks_forbids_nothing(name: str) -> None:
    """It is named on the side that has it; what is not known is not known to differ."""
    lost, won = differences({name: "a"}, {})[0], differences({}, {name: "a"})[0]
    assert (lost.base, lost.head, lost.forbids) == ("a", None, False)
    assert (won.base, won.head, won.forbids) == (None, "a", False)
    assert lost.why == won.why == "recorded in one of them only"


def test_a_truth_is_no_number() -> None:
    """Python's True == 1 hides no difference between a truth and a count."""
    assert differences({"x": True}, {"x": 1})
    assert not differences({"x": 1}, {"x": 1.0})


def test_runs_of_one_machine_differ_in_their_commit_alone() -> None:
    """Two committed runs of the same machine, hours and loads apart."""
    assert [d.name for d in differences(recorded("limits_first"), recorded("limits"))] == [
        "git_commit"
    ]


def test_a_run_on_fewer_cores_is_another_machine() -> None:
    """The committed run on one core forbids, by its affinity, a comparison with the other."""
    found = differences(recorded("wakeups"), recorded("wakeups_one_core"))
    assert [(d.name, d.base, d.head, d.forbids) for d in found] == [
        ("cpu_affinity_count", 2, 1, True),
        ("cpu_affinity", None, "0", False),
    ]


def test_one_machine_does_not_differ_from_itself() -> None:
    """Read twice in a row, by whatever names this machine has facts."""
    assert differences(environment.collect(), environment.collect()) == ()


@given(ENVIRONMENTS)
def test_equal_environments_do_not_differ(
    facts: dict[str, bool | int | float | str],
) -> None:
    """Nothing differs from a copy of itself."""
    assert differences(facts, dict(facts)) == ()


@given(ENVIRONMENTS, ENVIRONMENTS)
def test_every_difference_is_said_once_and_forbidding_ones_first(
    base: dict[str, bool | int | float | str], head: dict[str, bool | int | float | str]
) -> None:
    """What differs and is not of the moment, no more; turning the sides turns each one."""
    found = differences(base, head)
    assert sorted(d.name for d in found) == sorted(
        name
        for name in {*base, *head} - OF_THE_MOMENT
        if repr(base.get(name)) != repr(head.get(name))
    )
    assert [d.forbids for d in found] == sorted((d.forbids for d in found), reverse=True)
    assert differences(head, base) == tuple(
        Difference(d.name, d.head, d.base, d.forbids, d.why) for d in found
    )
