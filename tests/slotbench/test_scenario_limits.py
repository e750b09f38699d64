"""What is too long, too deep or too much is refused before any time is spent on it."""

import re

import pytest

from slotbench.errors import ContenderError, ScenarioError, SlotbenchError
from slotbench.scenario import loads
from slotbench.scenario._grid import MAX_CELL_NAME, MAX_FIELDS
from slotbench.scenario._load import MAX_TRIALS
from slotbench.scenario._text import MAX_DEPTH, MAX_NAME

HEAD = "title = 't'\nquestion = 'q'\nnum_slots = 1\n"
CONTENDER = "[[contenders]]\nname = 'm:f'\n"
OPTIONS = "[grid.environment.options]\n"


def error_of(text: str, kind: type[SlotbenchError] = ScenarioError) -> str:
    """The line that a user sees; it is short."""
    with pytest.raises(kind) as caught:
        loads(text, name="x")
    assert len(str(caught.value)) < 2000
    return str(caught.value)


def test_a_count_of_cells_that_python_cannot_write() -> None:
    """3 000 axes of 1 000 values are 10^9000 cells, a number of more than 4 300 digits."""
    values = ",".join(map(str, range(1000)))
    axes = "".join(f"a{i}=[{values}]\n" for i in range(200))
    assert error_of(f"{HEAD}{OPTIONS}{axes}{CONTENDER}") == (
        "x: grid: over 1e+15 cells; keep it to 10000 by shorter axes"
    )
    axes = "".join(f"a{i}=[1,2,3,4,5,6,7,8,9,10,11,12,13]\n" for i in range(3990))
    assert "over 1e+15 cells" in error_of(f"{HEAD}{OPTIONS}{axes}{CONTENDER}")


def test_a_file_of_fields_only() -> None:
    """Fields are held against each other: not tens of thousands of them."""
    axes = "".join(f"a{i} = [1]\n" for i in range(40_000))
    assert error_of(f"{HEAD}{OPTIONS}{axes}{CONTENDER}") == (
        f"x: 40003 fields; keep it to {MAX_FIELDS} by splitting the scenario"
    )


def test_all_leaves_that_are_allowed() -> None:
    """1 024 leaves, each with its shape and its dtype, are below the limit of fields."""
    leaves = "".join(f"l{i} = {{shape = [1], dtype = 'uint8'}}\n" for i in range(1024))
    made = loads(f"{HEAD}{CONTENDER}[observation.leaves]\n{leaves}", name="x")
    assert len(made.cells[0].workload.observation.leaves) == 1024


@pytest.mark.parametrize(
    "line",
    [
        f"{'a.' * 480_000}b = 1",
        f"{'a . ' * 100_000}b = 1",
        f"""{'"a".' * 100_000}b = 1""",
        f"[{'a.' * 240_000}b]\n" + "a.b = 1\n" * 40_000,
        f"observation.shape = {'[' * (MAX_DEPTH + 1)}{']' * (MAX_DEPTH + 1)}",
        f"{'a.' * (MAX_DEPTH + 1)}b = 1",
        f"x = {'{a=' * (MAX_DEPTH + 1)}1{'}' * (MAX_DEPTH + 1)}",
    ],
    ids=lambda line: line[:20],
)
def test_what_is_nested_deeply_is_not_walked(line: str) -> None:
    """A dotted key takes the square of its length to read: a long one is not read at all."""
    assert error_of(f"{HEAD}{line}\n{CONTENDER}") == "x: nested too deeply; flatten it"


def test_a_change_is_bounded_as_the_file_is() -> None:
    """--set parses TOML too."""
    for change in (
        "num_slots=1\n" + "a." * 30_000 + "b=1",
        "model=" + "{a=" * 99 + "1" + "}" * 99,
    ):
        with pytest.raises(ScenarioError, match="nested too deeply; flatten it"):
            loads(HEAD + CONTENDER, name="x", overrides=[change])
    with pytest.raises(ScenarioError, match=re.escape(f"keep it to {MAX_NAME}")):
        loads(HEAD + CONTENDER, name="x", overrides=["a." * 30_000 + "b=1"])


def test_prose_with_dots_is_no_key() -> None:
    """Rows of dots and of decimals in a text or an array are not mistaken for a long key."""
    dots = "one . . . . " * 40 + "…" * 10 + ". " * 200 + " ".join(["1.5,"] * 200)
    text = f"title = 't'\nquestion = '''{dots}'''\nnum_slots = 1\n{CONTENDER}"
    assert loads(text, name="x").question == " ".join(dots.split())


@pytest.mark.parametrize(
    "line",
    [f"{'a' * 900_000} = 1", f'"{"a." * 480_000}b" = 1', f"{CONTENDER}{'a' * 900_000} = 1"],
    ids=["field", "quoted", "option"],
)
def test_a_name_of_a_megabyte(line: str) -> None:
    """A name that cannot be shown is cut in the message and refused."""
    assert error_of(f"{HEAD}{line}\n{CONTENDER}").endswith(
        f"characters; keep it to {MAX_NAME}"
    )


@pytest.mark.parametrize(
    "entry",
    [
        f"name = 'm:{'a' * 900_000}'",
        f"name = 'm:f'\nfrom = '{'a' * 900_000}'",
        f"name = 'slot[{'a,' * 400_000}a]'",
    ],
    ids=["factory", "from", "options"],
)
def test_a_contender_of_a_megabyte(entry: str) -> None:
    """A label is part of messages and tables: one that fills pages is refused."""
    assert error_of(f"{HEAD}[[contenders]]\n{entry}\n", ContenderError).endswith(
        "characters; keep it to 1000"
    )


def test_a_cell_whose_name_fills_pages() -> None:
    """A cell is named by its values: a long text is fixed, not varied."""
    options = f"environment.id = 'm'\n{OPTIONS}a = ['{'b' * MAX_CELL_NAME}']\n"
    assert error_of(f"{HEAD}{options}{CONTENDER}").startswith("x: grid: the name of cell ")


def test_a_run_of_millions_of_trials() -> None:
    """Each limit of its own is kept, and the plan alone would fill the memory."""
    axis = "[" + ",".join(map(str, range(1, 1001))) + "]"
    text = f"{HEAD}rounds = 10000\n[grid]\nmodel.num_outputs = {axis}\n{CONTENDER}"
    assert error_of(text) == (
        "x: 20000000 trials (10000 rounds of 1000 cells with 1 contenders, the baseline "
        f"twice); keep it to {MAX_TRIALS}"
    )
    assert loads(text, name="x", rounds=500).rounds == 500
