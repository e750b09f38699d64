"""Option ``python``: which interpreter a contender's trials run in, and whether they can."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import slotbench
import transports
from slotbench import contenders, scenario
from slotbench.errors import ContenderError, ScenarioError
from slotbench.session import without_missing
from slotbench.store import environment

SCENARIO = """
title = "t"
question = "q"
num_slots = 2
[[contenders]]
name = "slot"
baseline = true
[[contenders]]
name = "threading"
python = ["", "other"]
[[contenders]]
name = "floor"
"""


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is searched for commands first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


@pytest.fixture
def other(on_path: Path) -> str:
    """This interpreter by another name: another one to slotbench."""
    (on_path / "other").symlink_to(sys.executable)
    return "other"


@pytest.fixture
def bare(on_path: Path) -> str:
    """An interpreter that has no packages."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", on_path.parent / "bare"], check=True
    )
    (on_path / "bare").symlink_to(on_path.parent / "bare" / "bin" / "python")
    return "bare"


def script(folder: Path, name: str, text: str) -> str:
    """A command that is no Python."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return name


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("slot[python=python3.14t]", "slot[python=python3.14t]"),
        ('slot[python=""]', "slot"),
        ("slot[python=a,preallocate]@torchrl", "slot[preallocate,python=a]@torchrl"),
        ('floor[python="python3.14t -X gil=1"]', 'floor[python="python3.14t -X gil=1"]'),
        ('slot[python="python3.14t "]', "slot[python=python3.14t]"),
        ('slot[python=" a  -X  gil=1"]', 'slot[python="a -X gil=1"]'),
        ('slot[python="a -Xgil=1"]', 'slot[python="a -Xgil=1"]'),
        ("slot[python=\"'/a b/python'\"]", "slot[python=\"'/a b/python'\"]"),
        ('slot[python=" "]', "slot"),
        ("torchrl.slot[python=python3.14]", "torchrl.slot[python=python3.14]"),
        ("my.module:factory[python=a]", "my.module:factory[python=a]"),
    ],
)
def test_every_contender_has_the_option(text: str, label: str) -> None:
    """Its label says it, unless it is the run's own interpreter."""
    assert contenders.parse(text).label == label


def test_the_option_is_the_harnesss(other: str) -> None:
    """It is no keyword of a transport's."""
    assert contenders.PYTHON in contenders.HARNESS_OPTIONS
    made = contenders.parse("slot[python=other]")
    assert (contenders.python_of(made), contenders.python_of(contenders.parse("slot"))) == (
        other,
        "",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slot[python]", "contender slot: python is the command of an interpreter, not true"),
        ("floor[python=3]", "contender floor: python is the command of an interpreter, not 3"),
        ('slot[python="a -I"]', 'contender slot: python="a -I": -I would hide slotbench from it; leave it out'),
        ('slot[python="a -sE"]', 'contender slot: python="a -sE": -sE would hide slotbench from it; leave it out'),
        ('slot[python="\'a"]', "contender slot: python=\"'a\": No closing quotation"),
    ],
)  # fmt: skip
def test_what_is_no_interpreter_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ContenderError) as caught:
        contenders.parse(text)

    assert str(caught.value) == message


def test_flags_of_python_that_have_words_are_left_alone() -> None:
    """The letters of "-X importtime" hide nothing."""
    for flags in ("-X importtime", "-XE", "-W ignore::ImportWarning", "--E"):
        assert contenders.parse(f'slot[python="a {flags}"]').options["python"]


def test_an_interpreter_that_has_all_is_missing_nothing(other: str) -> None:
    assert contenders.missing_requirement(contenders.parse(f"slot[python={other}]")) is None
    facts = contenders.python_facts(other)
    assert facts["python_version"] == sys.version.split()[0]
    assert {"torch_version", "tensordict_version", "numpy_version"} <= facts.keys()
    assert not any("/" in str(value) for value in facts.values())


def test_the_place_of_our_library_is_not_anothers(
    other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not even start: asked under a name that nobody asked before."""
    monkeypatch.setenv("PYTHONHOME", "/nowhere")

    assert "torch_version" in contenders.python_facts(f"{other} -B")


def test_our_own_trials_have_the_gil_that_we_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was asked for: the run's facts say so of the run's own interpreter."""
    monkeypatch.setattr(sys, "_xoptions", {})
    assert contenders.python_command("") == (sys.executable,)
    monkeypatch.setattr(sys, "_xoptions", {"gil": "1"})
    assert contenders.python_command("") == (sys.executable, "-X", "gil=1")


def test_an_interpreter_without_torch_says_how_to_get_it(
    bare: str, on_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the environment's own Python: pip through the link would be the base Python's."""
    asked = f'slot[python="{bare} -B"]'
    place = on_path.parent / "bare" / "bin" / "python"
    begin = f'python="{bare} -B": torch is not installed there; install it with '
    monkeypatch.setenv("HOME", "/nowhere")
    found = contenders.missing_requirement(contenders.parse(asked))
    assert found == f"{begin}{place} -m pip install slotbench"

    monkeypatch.setenv("HOME", str(on_path.parent))
    found = contenders.missing_requirement(contenders.parse(asked))
    assert found == f"{begin}~/bare/bin/python -m pip install slotbench"

    direct = contenders.missing_requirement(contenders.parse(f'slot[python="{place}"]'))
    assert direct is not None
    assert direct.endswith(f"install it with {place} -m pip install slotbench")


def test_what_a_contender_needs_beside_is_looked_for_there(
    other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not here: TorchRL may be in the one interpreter and not in the other."""
    facts = contenders.python_facts(other)
    facts.pop("torchrl_version", None)
    monkeypatch.setattr("slotbench.contenders._pythons.python_facts", lambda _: facts)
    found = contenders.missing_requirement(
        contenders.parse(f"torchrl.slot[python={other}]")
    )

    assert found is not None
    said, command = found.split("; install it with ")
    assert said == 'python="other": torchrl is not installed there'
    assert command.endswith(" -m pip install 'slotbench[torchrl]'")


def test_commands_that_are_no_python_are_one_line(on_path: Path) -> None:
    """None of that name, one that fails, one that is too old."""
    script(on_path, "fails", "echo no such luck >&2; exit 3")
    script(on_path, "silent", "exit 0")
    script(
        on_path,
        "fatal",
        "printf 'Fatal Python error: no GIL=0\\nstate: early\\n' >&2; exit 1",
    )
    old = {"python_version": "3.9.1", "torch_version": "1"}
    script(on_path, "old", f"echo '{json.dumps(old)}'")
    expected = {
        "nowhere": 'there is no command "nowhere"; put it on PATH, or give its path',
        "fails": "it is no Python that starts: it printed no such luck",
        "fatal": "it is no Python that starts: it printed Fatal Python error: no GIL=0",
        "silent": "it is no Python that starts: it printed nothing",
        "old": "it is Python 3.9.1; slotbench needs 3.11 or later",
    }
    for python, said in expected.items():
        found = contenders.missing_requirement(contenders.parse(f"slot[python={python}]"))
        assert found == f'python="{python}": {said}'


def test_a_link_to_a_virtual_environments_python_is_that_environment(bare: str) -> None:
    """Python itself looks for pyvenv.cfg beside the link and would not find it."""
    (command,) = contenders.python_command(bare)

    assert Path(command).parent.parent.name == "bare"
    prefix = subprocess.run(
        [command, "-c", "import sys; print(sys.prefix)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert Path(prefix).name == "bare"


def test_another_interpreter_gets_our_code_and_nothing_else_of_ours(
    bare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without being installed there: slotbench, transports, and no package beside them."""
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    code = (
        "import json, slotbench.contenders, importlib.util as u;"
        "print(json.dumps([slotbench.__file__, u.find_spec('transports').origin,"
        "u.find_spec('tests') is None, u.find_spec('typer') is None]))"
    )
    ran = subprocess.run(
        [*contenders.python_command(bare), "-P", "-c", code],
        env=contenders.python_environ(bare, os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    *files, without_tests, without_typer = json.loads(ran.stdout)

    ours = [str(slotbench.__file__), str(transports.__file__)]
    assert [os.path.realpath(file) for file in files] == ours
    assert without_tests
    assert without_typer


def test_python_options_are_contenders_of_one_block() -> None:
    """As every option with several values."""
    loaded = scenario.loads(SCENARIO, name="s")

    assert [one.label for one in loaded.contenders] == [
        *("slot", "threading", "threading[python=other]", "floor"),
    ]


def test_every_contender_races_in_every_interpreter_given() -> None:
    """In place of what the scenario says; the baseline is that of the first."""
    loaded = scenario.loads(SCENARIO, name="s", pythons=("a", ""))

    assert [one.label for one in loaded.contenders] == [
        *("slot[python=a]", "slot", "threading[python=a]", "threading"),
        *("floor[python=a]", "floor"),
    ]
    assert [one.label for one in loaded.contenders if one.baseline] == ["slot[python=a]"]


def test_interpreters_go_with_named_contenders() -> None:
    loaded = scenario.loads(SCENARIO, name="s", contenders=("threading",), pythons=("a",))

    assert [one.label for one in loaded.contenders] == [
        *("slot[python=a]", "threading[python=a]"),
    ]


def test_no_interpreter_that_was_asked_for_is_passed_over_in_silence() -> None:
    """The one of a contender that was named, where another is given for all."""
    with pytest.raises(ScenarioError) as caught:
        scenario.loads(
            SCENARIO, name="s", contenders=("slot[python=b]",), pythons=("a", "b")
        )

    assert str(caught.value) == (
        "--contender: slot[python=b]: --python says where every contender runs; leave one of the two out"
    )


@pytest.mark.parametrize(
    ("pythons", "error", "message"),
    [
        (("a", "a"), ScenarioError, '--python: "a" is there twice; keep one'),
        (("a", "a "), ScenarioError, '--python: "a" is there twice; keep one'),
        (("a -E",), ContenderError, '--python: python="a -E": -E would hide'),
        ([f"a{n}" for n in range(60)], ScenarioError, "--python: more than 100 contenders"),
    ],
)
def test_wrong_interpreters_are_called_by_their_option(
    pythons: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        scenario.loads(SCENARIO, name="s", pythons=pythons)

    assert str(caught.value).startswith(message)


def test_an_optional_contender_whose_interpreter_is_missing_is_skipped() -> None:
    text = SCENARIO.replace('python = ["", "other"]', 'python = "nowhere"\noptional = true')
    racing, skipped = without_missing(scenario.loads(text, name="s"))

    assert [one.label for one in racing.contenders] == ["slot", "floor"]
    assert skipped[0].label == "threading[python=nowhere]"
    assert "there is no command" in skipped[0].reason


def test_the_environment_tells_what_each_interpreter_is(other: str) -> None:
    """Under its name as written; one that is gone tells nothing, and raises nothing."""
    raced = [contenders.parse(t) for t in ("slot", "slot[python=other]", "floor[python=x]")]
    found = environment.collect(raced)
    own = {name: value for name, value in found.items() if name.startswith("other.")}

    assert own == {f"other.{k}": v for k, v in contenders.python_facts(other).items()}
    assert not any(name.startswith("x.") for name in found)
