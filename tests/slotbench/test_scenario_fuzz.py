"""No input makes the loader raise anything but its own two errors."""

import itertools
import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from slotbench.errors import ContenderError, ScenarioError
from slotbench.records import Scenario
from slotbench.scenario import loads
from slotbench.scenario._grid import _KNOWN

HEAD = 'title = "t"\nquestion = "q"\n'
NUMBERS = st.sampled_from(
    [0, 1, 2, 8, 64, -1, 2**63 - 1, 2**200, 0.5, float("nan"), float("inf")]
)
WORDS = st.sampled_from(
    [
        "num_slots", "sleep", "spin", "mlp", "nature_cnn", "none", "constant", "float32", "uint8",
        "CartPole-v1", "m:f", "m:f[x]", "torchrl.slot", "floor", "name", "baseline", "optional",
        "server", "torchrl", "collate", "lazy_stack", "preallocate", "shape", "dtype", "kind",
        "leaves", "options", "model", "observation", "environment", "grid", "contenders", "a.b",
        "request_id", "", "\n", "é", "rounds", "batching.min_batch_size",
    ]
)  # fmt: skip
FIELD = st.sampled_from([*_KNOWN, "model", "environment", "observation.leaves.a", "grid"])
SCALARS = st.booleans() | NUMBERS | WORDS | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | FIELD | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
TABLES = st.dictionaries(FIELD | WORDS, VALUES, max_size=5)
GRIDS = TABLES | st.lists(TABLES, max_size=3) | VALUES
GOOD = {
    "num_slots": [1, 8],
    "model.kind": ["sleep", "spin"],
    "model.latency_ms": [0, 0.1],
    "observation.shape": [[8], []],
    "batching.max_batch_size": ["num_slots", 64],
    "think_time.mode": ["busy"],
}


def toml(value: Any) -> str:
    """A value in TOML; tables inline."""
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


def document(table: dict[str, Any]) -> str:
    """A whole document of inline values, as TOML."""
    return "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in table.items())


def load(text: str, **changes: Any) -> Scenario | None:
    """The scenario, or None where it was refused with one line."""
    try:
        return loads(text, name="x", **changes)
    except (ScenarioError, ContenderError) as error:
        line = str(error)
    assert line
    assert "\n" not in line
    assert len(line) < 1000
    return None


@settings(max_examples=400, deadline=None, database=None)
@given(table=TABLES, grid=GRIDS, entries=st.lists(TABLES, max_size=3) | VALUES)
def test_any_table_loads_or_is_refused(
    table: dict[str, Any], grid: Any, entries: Any
) -> None:
    """Whatever the tables hold, there is a scenario or one line."""
    base = {"title": "t", "question": "q", "contenders": [{"name": "m:f"}]}
    load(document(table))
    load(document({**base, **table, "grid": grid}))
    load(document({**base, "num_slots": 1, "contenders": entries}))


@settings(max_examples=400, deadline=None, database=None)
@given(
    table=st.dictionaries(FIELD, VALUES, min_size=1, max_size=2),
    entry=st.dictionaries(WORDS, VALUES, max_size=2),
)
def test_one_wrong_thing_in_a_good_scenario(
    table: dict[str, Any], entry: dict[str, Any]
) -> None:
    """A scenario that is good but for one or two values reaches every check."""
    base = {"title": "t", "question": "q", "num_slots": 4, "contenders": [{"name": "m:f"}]}
    load(document(base | table))
    load(
        document(
            base
            | {"contenders": [{"name": "m:f"} | entry, {"name": "torchrl.slot"} | entry]}
        )
    )
    del base["num_slots"]
    load(document(base | {"grid": {"num_slots": [1, 2]} | table}))
    grids = [{"num_slots": [1, 2]} | table, {"model.latency_ms": [1]} | table]
    load(document(base | {"num_slots": 4, "grid": grids}))


@settings(max_examples=400, deadline=None, database=None)
@given(
    overrides=st.lists(
        st.builds(
            lambda field, value: f"{field}={value}",
            FIELD,
            VALUES.map(toml) | st.text(max_size=20),
        )
        | st.text(max_size=20),
        max_size=3,
    ),
    named=st.lists(WORDS | st.text(max_size=10), max_size=2),
)
@example(overrides=["observation.leaves={a=3,'a.b'=4}"], named=[])
@example(overrides=["environment.options=3", "environment.options.x=1"], named=[])
@example(overrides=["model=1,2", "model.kind=mlp"], named=["\ud800"])
def test_any_change_loads_or_is_refused(overrides: list[str], named: list[str]) -> None:
    """Whatever the command line says."""
    for grids in (
        "[grid]\nmodel.latency_ms = [0, 1]\n",
        "[[grid]]\nmodel.latency_ms = [0, 1]\n[[grid]]\nnum_slots = [2, 3]\n",
    ):
        text = f"{HEAD}num_slots = 1\n{grids}[[contenders]]\nname = 'm:f'\n"
        load(text, overrides=overrides, contenders=named)


GOOD_AXES = {
    field: st.lists(st.sampled_from(values), min_size=1, unique_by=repr)
    for field, values in GOOD.items()
}


@settings(max_examples=200, deadline=None, database=None)
@given(
    axes=st.fixed_dictionaries(
        {"num_slots": st.just([1, 8])},
        optional={name: axis for name, axis in GOOD_AXES.items() if name != "num_slots"},
    )
)
def test_good_grids_load(axes: dict[str, list[Any]]) -> None:
    """Allowed values give the product of the axes, with unique names, by file and by --set."""
    contenders = "[[contenders]]\nname = 'm:f'\n"
    made = load(
        HEAD
        + "[grid]\n"
        + "".join(f"{k} = {toml(v)}\n" for k, v in axes.items())
        + contenders
    )
    assert made is not None
    count = 1
    for values in axes.values():
        count *= len(values)
    assert len({cell.name for cell in made.cells}) == count
    assert [set(cell.coordinates) for cell in made.cells] == [set(axes)] * count
    changed = load(
        HEAD + contenders,
        overrides=[f"{k}={','.join(map(toml, v))}" for k, v in axes.items()],
    )
    assert changed is not None
    # TOML gathers the axes of one table, so the order of cells may differ.
    assert {repr(c.workload) for c in changed.cells} == {
        repr(c.workload) for c in made.cells
    }


def points(grid: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The product of the axes."""
    return [
        dict(zip(grid, point, strict=True)) for point in itertools.product(*grid.values())
    ]


def several(grids: list[dict[str, list[Any]]]) -> str:
    """A scenario of several grids over 4 slots."""
    tables = (
        "[[grid]]\n" + "".join(f"{name} = {toml(axis)}\n" for name, axis in grid.items())
        for grid in grids
    )
    return f"{HEAD}num_slots = 4\n{''.join(tables)}[[contenders]]\nname = 'm:f'\n"


@settings(max_examples=200, deadline=None, database=None)
@given(
    grids=st.lists(st.fixed_dictionaries({}, optional=GOOD_AXES), min_size=1, max_size=4)
)
def test_several_good_grids_are_the_union_of_their_products(
    grids: list[dict[str, list[Any]]],
) -> None:
    """Each cell is as it is alone in a scenario; refused exactly where one is there twice."""
    made = load(several(grids))
    expected = [point for grid in grids for point in points(grid)]
    unique = {repr(sorted(point.items())) for point in expected}
    assert (made is None) == (len(unique) < len(expected))
    if made is None:
        return
    # TOML gathers the axes of one table, so the order within a grid may differ.
    assert {repr(sorted(cell.coordinates.items())) for cell in made.cells} == unique
    assert len({cell.name for cell in made.cells}) == len(made.cells) == len(expected)
    assert [len(cell.coordinates) for cell in made.cells] == list(map(len, expected))
    for cell in (made.cells[0], made.cells[-1]):
        overrides = [f"{name}={toml(value)}" for name, value in cell.coordinates.items()]
        alone = load(several([{}]), overrides=overrides)
        assert alone is not None
        assert [one.workload for one in alone.cells] == [cell.workload]


@settings(max_examples=200, deadline=None, database=None)
@given(
    grids=st.lists(st.fixed_dictionaries({}, optional=GOOD_AXES), min_size=1, max_size=3),
    changes=st.fixed_dictionaries({}, optional=GOOD_AXES),
)
def test_changed_grids_hold_no_cell_twice(
    grids: list[dict[str, list[Any]]], changes: dict[str, list[Any]]
) -> None:
    """What --set says holds in every cell, and cells that it made alike are one."""
    if load(several(grids)) is None:
        return
    overrides = [f"{name}={','.join(map(toml, axis))}" for name, axis in changes.items()]
    made = load(several(grids), overrides=overrides)
    assert made is not None
    coordinates = [repr(sorted(cell.coordinates.items())) for cell in made.cells]
    varied = {name: axis for name, axis in changes.items() if len(axis) > 1}
    expected = {
        repr(sorted(point.items()))
        for grid in grids
        for point in points(
            {name: axis for name, axis in grid.items() if name not in changes} | varied
        )
    }
    assert len(coordinates) == len(expected)
    assert set(coordinates) == expected
