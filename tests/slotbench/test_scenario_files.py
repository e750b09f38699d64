"""Scenario files: where they are found, how they fail to be read, and those that we ship."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from slotbench import contenders, scenario
from slotbench.errors import ScenarioError
from slotbench.measure import runner
from slotbench.scenario import _find
from slotbench.scenario._schema import Head, Workload
from slotbench.scenario._table import Table, field_names

SHIPPED = tuple(sorted(path.stem for path in _find.shipped_folder().glob("*.toml")))
ROOT = Path(scenario.__file__).parents[2]
TEXT = """title = "t"
question = "q"
num_slots = 4
[[contenders]]
name = "torchrl.threading"
"""


def raises(message: str) -> pytest.RaisesExc[ScenarioError]:
    """Expects exactly this line."""
    return pytest.raises(ScenarioError, match=f"^{re.escape(message)}$")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_path_is_taken_as_a_path(elsewhere: Path) -> None:
    """With a separator or .toml, nothing but that file is looked for."""
    (elsewhere / "mine.toml").write_text(TEXT)
    (elsewhere / "odd.txt").write_text(TEXT)
    for reference in ("mine.toml", "./mine.toml", str(elsewhere / "mine.toml")):
        made = scenario.load(reference)
        assert (made.name, made.source, made.text) == ("mine", "mine.toml", TEXT)
    assert scenario.load("./odd.txt").name == "odd"
    for reference in (
        "no.toml",
        "./quickstart",
        "scenarios/quickstart.toml",
        "a\0.toml",
        f"{'a' * 300}.toml",
    ):
        message = f"{reference}: there is no such file; 'slotbench list' shows names"
        with raises(" ".join(message.split())):
            scenario.find(reference)
    with pytest.raises(ScenarioError, match="there is no such file"):
        scenario.find("./")


def test_a_file_outside_is_named_as_it_was_given(
    elsewhere: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A source is relative below the current folder, else the path that the user gave."""
    path = tmp_path_factory.mktemp("other") / "mine.toml"
    path.write_text(TEXT)
    assert scenario.load(str(path)).source == str(path)


def test_a_name_is_looked_for_here_and_then_in_the_package(elsewhere: Path) -> None:
    """A scenario in ./scenarios hides the shipped one of its name."""
    assert scenario.find("quickstart") == _find.shipped_folder() / "quickstart.toml"
    (elsewhere / "scenarios").mkdir()
    (elsewhere / "scenarios" / "quickstart.toml").write_text(TEXT)
    (elsewhere / "scenarios" / "folder.toml").mkdir()
    assert scenario.find("quickstart") == Path("scenarios/quickstart.toml")
    assert scenario.load("quickstart").source == "scenarios/quickstart.toml"
    assert [info.name for info in scenario.available()] == sorted(
        path.stem for path in _find.shipped_folder().glob("*.toml")
    )


def test_the_wheels_folder_comes_before_the_checkouts(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed, scenarios lie inside the package; in a checkout, beside it."""
    assert _find.shipped_folder() == ROOT / "scenarios"
    package = elsewhere / "site-packages" / "slotbench"
    (package / "scenarios").mkdir(parents=True)
    (package / "scenarios" / "only.toml").write_text(TEXT)
    monkeypatch.setattr(_find, "PACKAGE", package)
    assert [info.name for info in scenario.available()] == ["only"]
    monkeypatch.chdir(ROOT / "tests")
    assert scenario.load("only").source == "slotbench/scenarios/only.toml"


def test_an_unknown_name_offers_the_nearest(elsewhere: Path) -> None:
    """A misspelt name gets its neighbours, a strange one the command that lists all."""
    with raises(
        "unknown scenario \"quikstart\"; did you mean quickstart? 'slotbench list' shows all"
    ):
        scenario.load("quikstart")
    with raises("unknown scenario \"zzz\"; 'slotbench list' shows all"):
        scenario.load("zzz")
    with raises("unknown scenario \"\"; 'slotbench list' shows all"):
        scenario.load("")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"title = 'a'\nx = = 3\n", "x.toml: line 2, column 5: not TOML: Invalid value"),
        (b"x = 'abc", "x.toml: line 1, column 9: not TOML: Expected \"'\""),
        (b"x = 1\nx = 2\n", "x.toml: line 2, column 6: not TOML: Cannot overwrite a value"),
        (b"# a\n# \xff\n", "x.toml: line 2: not UTF-8; save the file as UTF-8"),
        (b"\xff\xfet\x00", "x.toml: line 1: not UTF-8; save the file as UTF-8"),
        (b"# " + b"x" * 1_000_000, "x.toml: larger than 1 MB; a scenario is a short TOML file"),
        (b"x = 0x" + b"f" * 5000, "x.toml: a whole number has more than 64 bits; give a smaller one"),
        (b"x = " + b"[" * 5000, "x.toml: nested too deeply; flatten it"),
        (b"a." * 5000 + b"x = 3", "x.toml: nested too deeply; flatten it"),
    ],
    ids=range(9),
)  # fmt: skip
def test_an_unreadable_file_is_one_line_with_its_place(
    data: bytes, message: str, elsewhere: Path
) -> None:
    """The file, the line and the column, and no traceback."""
    (elsewhere / "x.toml").write_bytes(data)
    with raises(message):
        scenario.load("x.toml")


def test_a_file_that_cannot_be_opened_is_one_line(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's reason is passed on."""
    (elsewhere / "x.toml").write_text(TEXT)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with raises("x.toml: cannot be read: Permission denied; check its permissions"):
        scenario.load("x.toml")


def test_windows_files_load(elsewhere: Path) -> None:
    """A byte order mark and CRLF do no harm."""
    (elsewhere / "x.toml").write_bytes(
        b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()
    )
    assert scenario.load("x.toml").title == "t"


def test_a_broken_file_is_listed_with_its_reason(elsewhere: Path) -> None:
    """One bad file does not hide the others."""
    (elsewhere / "scenarios").mkdir()
    (elsewhere / "scenarios" / "bad.toml").write_text("x = = 1")
    (elsewhere / "scenarios" / "bare.toml").write_text("title = 3")
    listed = {info.name: info for info in scenario.available()}
    assert set(listed) >= {*SHIPPED, "bad", "bare"}
    assert (listed["bad"].title, listed["bad"].question) == (
        "(cannot be read)",
        "scenarios/bad.toml: line 1, column 5: not TOML: Invalid value",
    )
    assert (listed["bare"].title, listed["bare"].question) == ("3", "")
    assert listed["quickstart"].question.endswith("?")
    assert "\n" not in listed["quickstart"].question


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenarios_load(name: str) -> None:
    """Each loads and asks a question; without TorchRL it runs, unless that is its baseline."""
    made = scenario.load(name)
    assert made.question.endswith("?")
    foreign = [one for one in made.contenders if one.server == "torchrl"]
    (baseline,) = (one for one in made.contenders if one.baseline)
    assert baseline in foreign or all(one.optional for one in foreign)


def test_quickstart_fits_its_time() -> None:
    """Its estimate, imports included, leaves room within 90 s."""
    assert runner.estimate_s(scenario.load("quickstart")) <= 85


def test_grid_and_cartpole_are_what_the_readme_promises() -> None:
    """25 cells with TorchRL at default and at best; real CartPole and a real MLP."""
    grid = scenario.load("grid")
    points = {(c.workload.num_slots, c.workload.model.latency_ms) for c in grid.cells}
    assert points == {(n, ms) for n in (1, 4, 16, 64, 256) for ms in (0, 0.1, 1, 5, 20)}
    labels = {one.label for one in grid.contenders}
    assert {"slot", "slot[preallocate]", "threading", "floor"} < labels
    assert {
        "torchrl.slot",
        "torchrl.slot[collate=lazy_stack]",
        "torchrl.threading",
    } < labels
    cell = scenario.load("cartpole").cells[1]
    assert cell.workload.environment is not None
    assert (cell.workload.environment.id, cell.workload.model.kind) == (
        "CartPole-v1",
        "mlp",
    )


def test_limits_is_what_it_asks() -> None:
    """Actors, row size, leaves and model, against TorchRL at its best; in half an hour."""
    made = scenario.load("limits")
    (baseline,) = (one.label for one in made.contenders if one.baseline)
    assert baseline == "torchrl.slot[collate=lazy_stack]"
    cells = {cell.name: cell.workload for cell in made.cells}
    assert {work.num_slots for work in cells.values()} == {1, 16, 64, 256}
    large = cells["observation.shape=[3,224,224], observation.dtype=float32"]
    assert (large.num_slots, large.observation.leaves[0].shape) == (64, (3, 224, 224))
    full = cells["num_slots=64, model.latency_ms=5, batching.min_batch_size=num_slots"]
    assert full.batching.min_batch_size == full.batching.max_batch_size == 64
    assert all(w.batching.max_batch_size == w.num_slots for w in cells.values())
    assert runner.estimate_s(made) <= 30 * 60


def test_loading_a_scenario_loads_no_torch() -> None:
    """In a fresh interpreter, `load` and `missing_requirement` import nothing heavy."""
    script = (
        "import sys\n"
        "from slotbench import contenders, scenario\n"
        "scenario.available()\n"
        "assert 'pydantic' not in sys.modules\n"
        f"made = scenario.loads({TEXT!r}, name='x')\n"
        "for one in made.contenders: contenders.missing_requirement(one)\n"
        "scenario.load('quickstart')\n"
        "heavy = {'torch', 'tensordict', 'torchrl', 'gymnasium', 'pandas', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def defaults(table: type[Table], prefix: str = "") -> dict[str, object]:
    """Dotted field → default, of the fields that have a plain one."""
    found: dict[str, object] = {}
    for name, field in table.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Table):
            found |= defaults(field.annotation, f"{prefix}{name}.")
        elif field.default not in (PydanticUndefined, None):
            found[prefix + name] = field.default
    return found


def test_the_readme_has_every_field_with_its_default() -> None:
    """Its tables list exactly the fields of the schema, with the schema's defaults."""
    text = (ROOT / "scenarios" / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w.]+)` \| [^|]* \| ([^|]*) \|", text, re.MULTILINE))
    known = field_names(Head) | field_names(Workload)
    options = {"name", "server", "baseline", "optional", "preallocate", "inline"}
    options |= {"copy_result", *contenders.HARNESS_OPTIONS} - {contenders.CHECKOUT}
    assert set(rows) - options == {name for name, is_table in known.items() if not is_table}
    for field, default in (defaults(Head) | defaults(Workload)).items():
        shown = f'"{default}"' if isinstance(default, str) else str(default).lower()
        assert rows[field] == shown.removesuffix(".0"), field
