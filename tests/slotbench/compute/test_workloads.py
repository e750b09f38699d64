"""Sizes and coordinates that a workload's fields do not say at once."""

import dataclasses

import pytest

from slotbench.compute import workloads
from slotbench.records import Cell, Leaf, Observation
from slotbench.scenario import loads
from tests.slotbench.conftest import build_workload


@pytest.mark.parametrize(
    ("leaves", "expected"),
    [
        ([Leaf("a", (8,), "float32")], 32),
        ([Leaf("a", (84, 84, 4), "uint8")], 28_224),
        ([Leaf("a", (3, 224, 224), "float32"), Leaf("b", (), "int64")], 602_120),
        ([Leaf("a", (5,), "bool"), Leaf("b", (5,), "bfloat16")], 15),
        ([], 0),
    ],
)
def test_an_observation_takes_that_many_bytes(leaves: list[Leaf], expected: int) -> None:
    """Elements times bits over eight, summed over leaves."""
    assert workloads.observation_bytes(leaves) == expected


def test_a_cell_stands_on_axes_that_its_grid_does_not_vary() -> None:
    """What the scenario file says is kept; the rest is read off the workload."""
    text = """
        title = "t"
        question = "q"
        num_slots = 64
        [[grid]]
        num_slots = [8]
        batching.min_batch_size = ["num_slots"]
        [[grid]]
        observation.shape = [[84, 84]]
        observation.dtype = ["uint8"]
        [[contenders]]
        name = "threading"
    """
    first, second = loads(text, name="x").cells
    axes = workloads.axes([first, second])

    assert axes == (
        *("num_slots", "batching.min_batch_size"),
        *("observation.shape", "observation.dtype"),
    )
    assert workloads.coordinates(first, axes) == {
        "num_slots": 8,
        "batching.min_batch_size": "num_slots",
        "observation.shape": "[8]",
        "observation.dtype": "float32",
    }
    assert workloads.coordinates(second, axes) == {
        "num_slots": 64,
        "batching.min_batch_size": 1,
        "observation.shape": "[84, 84]",
        "observation.dtype": "uint8",
    }


def test_leaves_that_differ_have_no_common_shape() -> None:
    """An axis that a cell has no one value on is None there."""
    leaves = (Leaf("a", (2,), "float32"), Leaf("b", (3,), "uint8"))
    workload = dataclasses.replace(build_workload(), observation=Observation(leaves))
    names = ("observation.shape", "observation.dtype", "observation.num_leaves", "no.such")

    assert workloads.coordinates(Cell("a", {}, workload), names) == {
        "observation.shape": None,
        "observation.dtype": None,
        "observation.num_leaves": 2,
        "no.such": None,
    }
