"""Grids, their cells' names, and what ``--set`` does to them."""

import re

import pytest

from slotbench.errors import ScenarioError
from slotbench.records import Scenario
from slotbench.scenario import loads

HEAD = 'title = "t"\nquestion = "q"\n'
CONTENDERS = '\n[[contenders]]\nname = "torchrl.threading"\n'
GRID = "[grid]\nnum_slots = [1, 8]\nmodel.latency_ms = [0, 0.1]\n"
GRIDS = (
    "num_slots = 64\nmodel.latency_ms = 2\n"
    "[[grid]]\nobservation.num_leaves = [1, 16]\n"
    "[[grid]]\nnum_slots = [4, 8]\nmodel.latency_ms = [0, 5]\n"
)


def scenario(fields: str, *overrides: str) -> Scenario:
    """A scenario with these fields and changes."""
    return loads(HEAD + fields + CONTENDERS, name="x", source="x.toml", overrides=overrides)


def names(fields: str, *overrides: str) -> list[str]:
    """The names of its cells."""
    return [cell.name for cell in scenario(fields, *overrides).cells]


def raises(message: str) -> pytest.RaisesExc[ScenarioError]:
    """Expects exactly this line."""
    return pytest.raises(ScenarioError, match=f"^{re.escape(message)}$")


def test_every_combination_is_a_cell_in_axis_order() -> None:
    """The last axis runs fastest, coordinates are as in the file, workloads as named."""
    cells = scenario(GRID).cells
    assert [cell.name for cell in cells] == [
        "num_slots=1, model.latency_ms=0",
        "num_slots=1, model.latency_ms=0.1",
        "num_slots=8, model.latency_ms=0",
        "num_slots=8, model.latency_ms=0.1",
    ]
    assert cells[1].coordinates == {"num_slots": 1, "model.latency_ms": 0.1}
    found = [(cell.workload.num_slots, cell.workload.model.latency_ms) for cell in cells]
    assert found == [(1, 0.0), (1, 0.1), (8, 0.0), (8, 0.1)]


def test_the_grid_may_be_tables() -> None:
    """[grid.model] is grid.model; a whole table may be an axis and ties its fields."""
    assert names("num_slots = 1\n[grid.model]\nlatency_ms = [0]\n") == [
        "model.latency_ms=0"
    ]
    cells = scenario(
        "num_slots = 1\n[grid]\nmodel = [{kind = 'mlp'}, {latency_ms = 1}]\n"
    ).cells
    assert [cell.name for cell in cells] == [
        'model={"kind":"mlp"}',
        'model={"latency_ms":1}',
    ]
    assert [cell.workload.model.kind for cell in cells] == ["mlp", "sleep"]


def test_num_slots_stands_for_each_cells_number() -> None:
    """A batch size of "num_slots" follows the axis."""
    cells = scenario("batching.min_batch_size = 'num_slots'\n" + GRID).cells
    assert [cell.workload.batching.min_batch_size for cell in cells] == [1, 1, 8, 8]
    with raises(
        "x.toml: batching: min_batch_size 8 is above max_batch_size 4; lower the one or raise "
        'the other (in cell "num_slots=8, model.latency_ms=0")'
    ):
        scenario("batching = { min_batch_size = 'num_slots', max_batch_size = 4 }\n" + GRID)


def test_names_show_lists_flags_and_texts() -> None:
    """Any field can be an axis; its values are written compactly and on one line."""
    fields = "num_slots = 1\n[grid]\n"
    assert names(fields + "observation.shape = [[8], [84, 84, 4]]") == [
        "observation.shape=[8]",
        "observation.shape=[84,84,4]",
    ]
    assert names(fields + "observation.reuse_request = [true]") == [
        "observation.reuse_request=true"
    ]
    assert names(fields + "environment.id = ['A/B-v1']") == ["environment.id=A/B-v1"]
    assert names(fields + "environment.id = ['A']\nenvironment.options.x = ['a, b=1']") == [
        'environment.id=A, environment.options.x="a, b=1"'
    ]
    assert names(fields + "observation.leaves.a.shape = [[3], [5]]") == [
        "observation.leaves.a.shape=[3]",
        "observation.leaves.a.shape=[5]",
    ]


def test_true_is_not_one() -> None:
    """An axis may hold both where a field takes both."""
    text = (
        "num_slots = 1\nenvironment.id = 'A'\n[grid]\nenvironment.options.x = [true, 1]\n"
    )
    assert names(text) == ["environment.options.x=true", "environment.options.x=1"]


def test_a_change_settles_what_the_file_gave_twice() -> None:
    """A field both fixed and varied loads once --set says which."""
    assert names("num_slots = 4\n" + GRID, "num_slots=2", "model.latency_ms=0") == ["all"]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("num_slots = []", "grid.num_slots: the axis is empty; give at least one value"),
        ("num_slots = 8", "grid.num_slots: 8 is not a list; write [8]"),
        ("model = {}", "grid.model: {} is not a list; write [{}]"),
        ("num_slots = [4, 8, 4]", "grid.num_slots: 4 is there twice; keep one"),
        ("num_slots = [1]\nmodel.latency_ms = [1, 1.0]",
         "grid.model.latency_ms: 1.0 is there twice; keep one"),
        ("num_slots = [1]\nmodel.latency_ms = [nan, nan]",
         "grid.model.latency_ms: nan is there twice; keep one"),
        ("num_slots = [1]\nobservation.shape = [[8], [8]]",
         "grid.observation.shape: [8] is there twice; keep one"),
        ("num_slot = [1]", "grid.num_slot: unknown field; did you mean num_slots?"),
        ("num_slots = [1]\nrounds = [1, 2]", "grid.rounds: cannot be varied; give one value"),
        ("num_slots = [1, 0]",
         "grid.num_slots: 0 is not allowed; it should be greater than or equal to 1"),
        ("num_slots = [1]\nmodel = [{ knd = 'mlp' }]",
         "grid.model.knd: unknown field; did you mean model.kind?"),
        ("num_slots = [1]\nmodel = [{}]\n'model.kind' = ['mlp']",
         "grid.model.kind: model is given as a whole as well; keep one"),
        (f"num_slots = [1]\nmodel.latency_ms = {list(range(101))}\nwindow.min_requests = "
         f"{list(range(1, 101))}",
         "grid: 10100 cells; keep it to 10000 by shorter axes"),
    ],
)  # fmt: skip
def test_a_wrong_axis_is_named(grid: str, message: str) -> None:
    """Each mistake in [grid] has its own line."""
    with raises(f"x.toml: {message}"):
        scenario(f"[grid]\n{grid}\n")


def test_a_field_is_fixed_or_varied() -> None:
    """Both at once is refused, as a field or as a part of one."""
    with raises("x.toml: grid.num_slots: is fixed outside of the grid as well; keep one"):
        scenario("num_slots = 4\n" + GRID)
    with raises("x.toml: model.kind: model is given as a whole as well; keep one"):
        scenario("num_slots = 1\nmodel.kind = 'mlp'\n[grid]\nmodel = [{}]\n")


def test_ten_thousand_cells_are_allowed() -> None:
    """The limit itself loads."""
    axis = list(range(1, 101))
    text = f"[grid]\nnum_slots = {axis}\nwindow.min_requests = {axis}\n"
    assert len(scenario(text).cells) == 10_000


def test_cells_of_several_grids_follow_each_other() -> None:
    """Each grid has its own axes, names and coordinates; the top level is its default."""
    cells = scenario(GRIDS).cells
    assert [cell.name for cell in cells] == [
        "observation.num_leaves=1",
        "observation.num_leaves=16",
        "num_slots=4, model.latency_ms=0",
        "num_slots=4, model.latency_ms=5",
        "num_slots=8, model.latency_ms=0",
        "num_slots=8, model.latency_ms=5",
    ]
    assert cells[1].coordinates == {"observation.num_leaves": 16}
    assert cells[2].coordinates == {"num_slots": 4, "model.latency_ms": 0}
    assert [cell.workload.num_slots for cell in cells] == [64, 64, 4, 4, 8, 8]
    assert [len(cell.workload.observation.leaves) for cell in cells] == [1, 16, 1, 1, 1, 1]
    assert [cell.workload.model.latency_ms for cell in cells] == [2, 2, 0, 5, 0, 5]


def test_one_grid_in_a_list_may_vary_what_is_fixed() -> None:
    """It is the list that makes the top level a default, not the number of grids."""
    (cell,) = scenario("num_slots = 4\n[[grid]]\nnum_slots = [8]\n").cells
    assert (cell.name, cell.workload.num_slots) == ("num_slots=8", 8)


def test_a_grid_without_axes_is_the_top_level() -> None:
    """One cell, called "all", beside those of the other grids."""
    text = "num_slots = 4\n[[grid]]\n[[grid]]\nnum_slots = [8]\n"
    assert names(text) == ["all", "num_slots=8"]


def test_a_whole_table_as_an_axis_replaces_what_is_fixed_in_it() -> None:
    """In its grid nothing of the top level's table is left; in the others all of it is."""
    first, second = scenario(
        "num_slots = 1\nmodel = { latency_ms = 5, num_outputs = 2 }\n"
        "[[grid]]\nmodel = [{ kind = 'mlp' }]\n[[grid]]\ntorch_threads = [2]\n"
    ).cells
    assert (first.workload.model.kind, first.workload.model.num_outputs) == ("mlp", 4)
    assert (second.workload.model.latency_ms, second.workload.model.num_outputs) == (5, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid = []", "grid: [] is not a table; write [grid]"),
        ("grid = 3", "grid: 3 is not a table; write [grid]"),
        ("grid = [{}, 3]",
         "grid[1]: 3 is not a table; write [[grid]]"),
        ("[[grid]]\n[[grid]]\nnum_slots = 8", "grid[1].num_slots: 8 is not a list; write [8]"),
        ("[[grid]]\n[[grid]]\nnum_slot = [8]",
         "grid[1].num_slot: unknown field; did you mean num_slots?"),
        ("[[grid]]\nrounds = [8]", "grid[0].rounds: cannot be varied; give one value"),
        ("[[grid]]\ntorch_threads = [1]\n[[grid]]\nnum_slots = [1, 0]",
         "grid[1].num_slots: 0 is not allowed; it should be greater than or equal to 1"),
        ("[[grid]]\nmodel = [{}]\nmodel-kind = 1", "grid[0].model-kind: unknown field; "
         "did you mean model.kind?"),
        ("model = {}\n[[grid]]\n[[grid]]\nmodel.kind = ['mlp']",
         "grid[1].model.kind: model is given as a whole as well; keep one"),
        ("[[grid]]\nnum_slots = [1, 2]\n[[grid]]\nnum_slots = [2, 3]",
         'grid[1]: cell "num_slots=2" is in grid[0] as well; keep one'),
        ("[[grid]]\nnum_slots = [2]\nmodel.latency_ms = [1]\n"
         "[[grid]]\nmodel.latency_ms = [0, 1.0]\nnum_slots = [2]",
         'grid[1]: cell "model.latency_ms=1.0, num_slots=2" is in grid[0] as well; keep one'),
        ("[[grid]]\ntorch_threads = [2]\n[[grid]]\n[[grid]]",
         'grid[2]: cell "all" is in grid[1] as well; keep one'),
        ("environment.id = 'A'\n[[grid]]\nenvironment.options.x = [1]\n"
         "[[grid]]\nenvironment.options.x = ['1']",
         "grid: two cells have the same name; rename values"),
        ("batching.max_batch_size = 4\n[[grid]]\nnum_slots = [8]\n"
         "[[grid]]\nbatching.min_batch_size = [2, 8]",
         "batching: min_batch_size 8 is above max_batch_size 4; lower the one or raise the "
         'other (in cell "batching.min_batch_size=8")'),
    ],
)  # fmt: skip
def test_a_mistake_in_several_grids_names_the_grid(text: str, message: str) -> None:
    """A grid is counted from 0, as a contender is; a cell made twice is named."""
    with raises(f"x.toml: {message}"):
        scenario(f"num_slots = 4\n{text}\n")


def test_what_one_grid_lacks_is_said_with_a_cell_of_it() -> None:
    """Another grid has the field: the line alone would puzzle."""
    with raises('x.toml: num_slots: is missing; add it (in cell "torch_threads=1")'):
        scenario("[[grid]]\nnum_slots = [8]\n[[grid]]\ntorch_threads = [1]\n")
    with raises("x.toml: num_slots: is missing; add it"):
        scenario("[grid]\ntorch_threads = [1]\n")


def test_ten_thousand_cells_are_counted_over_all_grids() -> None:
    """The limit is on their sum."""
    axis = list(range(1, 101))
    text = (
        f"[[grid]]\nnum_slots = {axis}\nwindow.min_requests = {axis[:99]}\n"
        f"[[grid]]\nnum_slots = {axis}\ntorch_threads = [1]\n"
    )
    assert len(scenario(text).cells) == 10_000
    with raises("x.toml: grid: 10001 cells; keep it to 10000 by shorter axes"):
        scenario(f"num_slots = 1\n{text}[[grid]]\n")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["num_slots=2"],
         ["observation.num_leaves=1", "observation.num_leaves=16",
          "model.latency_ms=0", "model.latency_ms=5"]),
        (["num_slots=2", "model.latency_ms=1"],
         ["observation.num_leaves=1", "observation.num_leaves=16", "all"]),
        (["num_slots=2", "model.latency_ms=1", "observation.num_leaves=3"], ["all"]),
        (["num_slots=2,3", "model.latency_ms=1"],
         ["observation.num_leaves=1, num_slots=2", "observation.num_leaves=1, num_slots=3",
          "observation.num_leaves=16, num_slots=2", "observation.num_leaves=16, num_slots=3",
          "num_slots=2", "num_slots=3"]),
        (["num_slots=2,3", "model={}", "observation.num_leaves=1"],
         ["num_slots=2", "num_slots=3"]),
        (["model.kind=spin,sleep", "num_slots=1", "observation.num_leaves=1", "model.latency_ms=1"],
         ["model.kind=spin", "model.kind=sleep"]),
        (["rounds=3", "torch_threads=2", "num_slots=2", "model={latency_ms=1}"],
         ["observation.num_leaves=1", "observation.num_leaves=16", "all"]),
    ],
)  # fmt: skip
def test_set_changes_every_grid(overrides: list[str], expected: list[str]) -> None:
    """An axis goes from all or comes into all; what has become the same cell is one."""
    assert names(GRIDS, *overrides) == expected


def test_set_reaches_the_cells_of_every_grid() -> None:
    """A fixed value is that of all cells, also where a grid varied the field."""
    cells = scenario(GRIDS, "num_slots=2", "batching.max_batch_size='num_slots'").cells
    assert {cell.workload.num_slots for cell in cells} == {2}
    assert {cell.workload.batching.max_batch_size for cell in cells} == {2}


def test_set_of_no_axis_does_not_hide_what_the_file_has_twice() -> None:
    """Only changes to axes make cells alike; a mistake of the file stays one."""
    text = "[[grid]]\nnum_slots = [1, 2]\n[[grid]]\nnum_slots = [2]\n"
    for override in ("rounds=3", "torch_threads=2"):
        with raises('x.toml: grid[1]: cell "num_slots=2" is in grid[0] as well; keep one'):
            scenario(text, override)
    assert names(text, "num_slots=3") == ["all"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["num_slots=4,16"],
         [f"num_slots={n}, model.latency_ms={ms}" for n in (4, 16) for ms in (0, 0.1)]),
        (["num_slots=4"], ["model.latency_ms=0", "model.latency_ms=0.1"]),
        ([" num_slots = 4 ", "model.latency_ms=5"], ["all"]),
        (["num_slots=4", "num_slots=2,3", "model.latency_ms=1"], ["num_slots=2", "num_slots=3"]),
        (["num_slots=1", "model.latency_ms=0", "observation.shape=[8],[84,84,4]"],
         ["observation.shape=[8]", "observation.shape=[84,84,4]"]),
        (["num_slots=1", "model.kind=sleep,spin", "model.latency_ms=0"],
         ["model.kind=sleep", "model.kind=spin"]),
        (["num_slots=1", "model={kind='mlp'}"], ["all"]),
        (["num_slots=1", "model={kind='mlp'},{kind='spin'}"],
         ['model={"kind":"mlp"}', 'model={"kind":"spin"}']),
        (["num_slots=1", "model={}", "model.kind=mlp,spin"], ["model.kind=mlp", "model.kind=spin"]),
    ],
)  # fmt: skip
def test_set_replaces_creates_and_removes_axes(
    overrides: list[str], expected: list[str]
) -> None:
    """Several values are an axis in its old place or at the end; one value fixes the field."""
    assert names(GRID, *overrides) == expected


def test_set_reads_toml_values_and_else_text() -> None:
    """Numbers, flags and lists keep their type; what is no TOML is text; last one wins."""
    overrides = [
        "environment.id=CartPole-v1",
        "environment.options={a=1,b='x,y'}",
        "environment.options.c=true",
        "model.kind=sleep",
        "model.kind=mlp",
        "model.hidden=[64,32]",
        "model.latency_ms=0",
        "num_slots=2",
        "threshold=0.05",
        'title="a, b"',
    ]
    made = scenario(GRID, *overrides)
    (cell,) = made.cells
    assert cell.workload.environment is not None
    assert cell.workload.environment.id == "CartPole-v1"
    assert cell.workload.environment.options == {"a": 1, "b": "x,y", "c": True}
    assert (cell.workload.model.kind, cell.workload.model.hidden) == ("mlp", (64, 32))
    assert (made.threshold, made.title, made.overrides) == (0.05, "a, b", tuple(overrides))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("num_slots", "--set num_slots: write field=value or field=value,value"),
        ("=4", "--set =4: write field=value or field=value,value"),
        ("num_slot=4", "--set num_slot: unknown field; did you mean num_slots?"),
        ("model={knd='mlp'}", "--set model.knd: unknown field; did you mean model.kind?"),
        ("contenders=slot", "--set contenders: unknown field; see scenarios/README.md"),
        ("num_slots=", "--set num_slots: a value is missing; write field=value or field=value,value"),
        ("num_slots=4,", "--set num_slots: a value is missing; write field=value or field=value,value"),
        ("num_slots=[4", '--set num_slots: a bracket or quote does not close in "[4"'),
        ("title='a", "--set title: a bracket or quote does not close in \"'a\""),
        ("num_slots=4,4", "--set num_slots: 4 is there twice; keep one"),
        ("num_slots=0", "--set num_slots: 0 is not allowed; it should be greater than or equal to 1"),
        ("num_slots=4,0", "--set num_slots: 0 is not allowed; it should be greater than or equal to 1"),
        ("num_slots=four", '--set num_slots: "four" is not allowed; it should be a valid integer'),
        ("num_slots=4\nseed=2",
         '--set num_slots: "4\\nseed=2" is not allowed; it should be a valid integer'),
        ("num_slots=true", "--set num_slots: true is not allowed; it should be a valid integer"),
        ("num_slots=0xffffffffffffffffff",
         "--set num_slots: a whole number has more than 64 bits; give a smaller one"),
        ("rounds=1,2", "--set rounds: cannot be varied; give one value"),
        ("num_slots=" + "[" * 5000 + "]" * 5000, "--set num_slots: nested too deeply; flatten it"),
    ],
)  # fmt: skip
def test_a_wrong_change_is_called_by_its_option(override: str, message: str) -> None:
    """A mistake on the command line names --set and the field, not the file."""
    with raises(message):
        scenario("num_slots = 1\n", override)
