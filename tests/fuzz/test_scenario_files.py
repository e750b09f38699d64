"""Whatever a scenario file holds, ``slotbench run`` takes it or refuses it in one line."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.answers import Answer, ask, check, examples
from tests.fuzz.scenario_files import files, good_lines, options, shipped_files

TINY = [
    *("--set", "window.warmup_s=0.01", "--set", "window.measure_s=0.02"),
    *("--set", "window.max_measure_s=0.2", "--set", "window.max_requests=20000"),
    *("--attempts", "1", "--rounds", "1"),
]


def plan(data: bytes, arguments: list[str]) -> Answer:
    """Ask for the plan of a scenario file, and judge the form of the answer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fuzzed.toml").write_bytes(data)
        answer = ask("run", "fuzzed.toml", "--dry-run", *arguments, folder=folder)
    check(answer)
    if answer.code == 0:
        assert " expected duration " in answer.stdout
    return answer


@settings(max_examples=examples(100, 6000), database=None)
@given(data=files(), arguments=options())
def test_a_file_made_from_a_valid_one_is_planned_or_refused(
    data: bytes, arguments: list[str]
) -> None:
    """Values of any type and size, keys that do not exist, tables twice: a plan or one line."""
    plan(data, arguments)


@settings(max_examples=examples(50, 3000), database=None)
@given(data=shipped_files(), arguments=options())
def test_a_damaged_shipped_scenario_is_planned_or_refused(
    data: bytes, arguments: list[str]
) -> None:
    """Bytes and lines of our own scenarios changed, cut off and doubled: a plan or one line."""
    plan(data, arguments)


@settings(max_examples=examples(20, 1000), database=None)
@given(
    data=st.binary(max_size=80)
    | st.text("[]{}=.,'\"#\n \\axtruefalsenanif019-_:Tu", max_size=60).map(str.encode)
)
def test_any_bytes_are_planned_or_refused(data: bytes) -> None:
    """Bytes that nobody meant as TOML, alone and below a scenario: a plan or one line."""
    plan(data, [])
    plan(
        b"title='t'\nquestion='q'\nnum_slots=1\n"
        + data
        + b"\n[[contenders]]\nname='slot'\n",
        [],
    )


HEAD = "title = 't'\nquestion = 'q'\nnum_slots = 1\n"
CONTENDER = "[[contenders]]\nname = 'slot'\n"
AXIS = "[" + ",".join(map(str, range(1, 1001))) + "]"


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}[grid]\ntorch_threads = {AXIS}\nmodel.num_outputs = {AXIS}\n"
        f"batching.timeout_ms = {AXIS}\n{CONTENDER}",
        HEAD
        + "[grid.environment.options]\n"
        + "".join(f"a{i} = [1,2]\n" for i in range(40_000))
        + CONTENDER,
        HEAD
        + "[grid.environment.options]\n"
        + "".join(f"a{i} = {AXIS}\n" for i in range(200))
        + CONTENDER,
        HEAD
        + "".join(f"environment.options.a{i} = 1\n" for i in range(25_000))
        + CONTENDER,
        HEAD + "a." * 480_000 + "b = 1\n" + CONTENDER,
        HEAD + f"[{'a.' * 240_000}b]\n" + "a.b = 1\n" * 40_000 + CONTENDER,
        HEAD + f'"{"a." * 480_000}b" = 1\n' + CONTENDER,
        HEAD + f"x = '{'a' * 900_000}'\n" + CONTENDER,
        HEAD + f"{'a' * 900_000} = 1\n" + CONTENDER,
        HEAD + f"{CONTENDER}{'a' * 900_000} = 1\n",
        HEAD + f"{CONTENDER}from = '{'a' * 900_000}'\n",
        HEAD + f"[[contenders]]\nname = '{'a' * 900_000}'\n",
        HEAD + f"[[contenders]]\nname = 'm:{'a.' * 400_000}f'\n",
        HEAD + f"[[contenders]]\nname = 'slot[{'a,' * 400_000}a]'\n",
        HEAD + CONTENDER * 30_000,
        HEAD + "[[grid]]\n" * 100_000 + CONTENDER,
        f"{HEAD}rounds = 10000\n[grid]\nmodel.num_outputs = {AXIS}\ntorch_threads = [1,2,3]\n"
        + CONTENDER,
        *(
            f"{HEAD}observation.shape = {'[' * depth}1{']' * depth}\n{CONTENDER}"
            for depth in (30, 60, 120, 240, 300, 320, 330, 400, 480, 900)
        ),
        *(
            f"{HEAD}[grid]\nobservation.shape = [{'[' * depth}1{']' * depth}]\n{CONTENDER}"
            for depth in (60, 120, 180, 240, 300, 400)
        ),
        *(
            f"{HEAD}{'a.' * depth}b = 1\n{CONTENDER}"
            for depth in (60, 300, 440, 460, 480, 600, 880, 920, 940, 960)
        ),
    ],
    ids=lambda text: f"{text[40:70]!r}, {len(text)} bytes",
)
def test_a_monster_is_refused_at_once(text: str) -> None:
    """Billions of cells, names of a megabyte, nesting without end: one short line, and soon."""
    assert plan(text.encode(), []).code == 2


@settings(max_examples=examples(1, 12), database=None)
@given(lines=good_lines())
def test_a_small_valid_scenario_really_runs(lines: list[str]) -> None:
    """What is planned can be measured: every such run ends, recorded and compared."""
    text = "\n".join(lines).encode()
    assert plan(text, TINY).code == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fuzzed.toml").write_bytes(text)
        answer = ask("run", "fuzzed.toml", *TINY, folder=folder, is_bounded=False)
        assert answer.code in {0, 3, 4}, answer
        assert "\nRecorded in results" in answer.stdout
        check(ask("compare", folder=folder), codes=(0, 3))
