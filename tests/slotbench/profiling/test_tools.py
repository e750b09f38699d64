"""The optional profilers, each run on a small trial in a worker, and what they do without."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slotbench.errors import SlotbenchError
from slotbench.measure.executor import Worker
from slotbench.measure.zygote import Task
from slotbench.profiling import tools
from slotbench.profiling.tools import ToolOutcome, tool_flame
from slotbench.profiling.tools._paths import as_imported
from slotbench.records import Model
from tests.slotbench.support import allocating, trials

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """A worker that serves all tests of the module: starting one takes seconds."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", trials.SUPPORT, prepend=os.pathsep)
    modules = ("slotbench.measure.preload", "?slotbench.torchrl", "?allocating")
    with Worker(modules) as made:
        made.start_worker()
        yield made
    patch.undo()


@pytest.fixture
def use(worker: Worker, tmp_path: Path) -> Any:
    """Run a tool on a small trial of a contender; its files are ``tmp_path / "stem.…"``."""
    return functools.partial(_use, worker, tmp_path)


def _use(
    worker: Worker, folder: Path, tool: str, contender: str, **changes: Any
) -> ToolOutcome:
    if problem := tools.get(tool).missing():
        pytest.skip(problem)
    spec = trials.spec(contender, **changes)
    arguments = {"name": tool, "spec": spec, "folder": str(folder), "stem": "stem"}
    outcome = worker.do(Task("slotbench.profiling.tools:run", arguments, 120.0))
    assert isinstance(outcome.value, ToolOutcome), outcome
    if "cannot look into the trial" in outcome.value.note:
        pytest.skip(outcome.value.note)
    return outcome.value


def test_tools_are_found_by_their_files() -> None:
    """All three, each with one line of summary; a misspelt one is met with those that are near."""
    assert tools.available() == ("flame", "memory", "torch")
    for name in tools.available():
        assert tools.get(name).SUMMARY
        assert "\n" not in tools.get(name).SUMMARY
    with pytest.raises(SlotbenchError, match=r"unknown tool 'flam': did you mean flame\?"):
        tools.get("flam")


def test_listing_tools_is_cheap() -> None:
    """Names, summaries and what is missing cost no import of torch, memray or the trials."""
    code = """
import sys
from slotbench.profiling import tools
for name in tools.available():
    tools.get(name).SUMMARY, tools.get(name).missing()
print(sorted({"torch", "memray", "numpy", "slotbench.measure"} & set(sys.modules)))
"""
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "[]\n"


def test_what_is_missing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It says what is not installed, what that costs, and what to do; torch is always there."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    assert tools.get("flame").missing() == (
        "py-spy is not installed: no flame graphs; pip install 'slotbench[profile]'"
    )
    assert tools.get("memory").missing() == (
        "memray is not installed: no allocations; pip install 'slotbench[profile]'"
    )
    assert tools.get("torch").missing() == ""


@pytest.mark.parametrize("tool", ["flame", "memory", "torch"])
def test_a_trial_that_fails_is_noted(use: Any, tool: str) -> None:
    """The contender's own error stands in the note, and in the trial's record."""
    found = use(tool, "wrong_transports:fails_to_build")

    assert found.trial.status == "failed"
    assert found.note.startswith("the trial failed: ")
    assert "no wire" in found.note
    assert "\n" not in found.note
    assert (found.files, found.counts) == ((), {})


@pytest.mark.parametrize(
    ("contender", "code", "server"),
    [
        ("slot", "transports/slot.py", "inference-server"),
        ("torchrl.slot", "torchrl/modules/inference_server/_slot.py", "InferenceServer-"),
    ],
)
def test_flame_graphs_show_actors_and_server(
    use: Any, tmp_path: Path, contender: str, code: str, server: str
) -> None:
    """Each thread has its profile, with its own loop in it and the transport's code beneath.

    No file of code is named by where it lies on this machine. The SVG has both, too.
    """
    found = use("flame", contender)

    assert (found.note, found.trial.error) == ("", "")
    assert found.files == ("stem.speedscope.json", "stem.flame.svg")
    profile = json.loads((tmp_path / "stem.speedscope.json").read_text())
    frames = profile["shared"]["frames"]
    seen = {
        one["name"]: {frames[i]["name"] for stack in one["samples"] for i in stack}
        for one in profile["profiles"]
    }
    actors = [calls for name, calls in seen.items() if '"actor-' in name]
    servers = [calls for name, calls in seen.items() if server in name]
    assert len(actors) == 4
    assert all("Actor._loop" in calls for calls in actors)
    assert len(servers) == 1
    assert "InferenceServer._run" in servers[0]
    assert "Actor._loop" not in servers[0]
    files = {frame["file"] for frame in frames if frame["file"]}
    assert code in files
    assert not [file for file in files if Path(file).is_absolute()]

    svg = (tmp_path / "stem.flame.svg").read_text()
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "Actor._loop" in svg
    assert "InferenceServer._run" in svg


@pytest.mark.parametrize(
    ("num_slots", "rate_hz"), [(1, 250), (16, 88), (256, 6), (4096, 5)]
)
def test_many_actors_are_looked_at_less_often(num_slots: int, rate_hz: int) -> None:
    """A look takes its time for each thread; the share of time that looks take stays."""
    assert tool_flame.rate_hz(num_slots) == rate_hz


def _fake_py_spy(
    monkeypatch: pytest.MonkeyPatch, folder: Path, script: str
) -> tool_flame._TwoRecordings:
    """Two recordings, not started, by a py-spy that is this shell script."""
    fake = folder / "py-spy"
    fake.write_text(f"#!/bin/sh\necho started >> {folder}/starts\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    first, second = (
        tool_flame._Recording("raw", folder / name, 10, 1.0) for name in ("first", "second")
    )
    return tool_flame._TwoRecordings(first, second, 0.0)


def test_a_py_spy_that_may_not_look_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its own reason is kept, as one line; it is not tried a second time."""
    recordings = _fake_py_spy(
        monkeypatch,
        tmp_path,
        "echo 'Error: no\n\nCaused by:\n    0: denied' $RUST_BACKTRACE >&2; exit 1",
    )
    recordings.begin()
    recordings.end()

    assert recordings.problems == [
        "py-spy cannot look into the trial, so there are no flame graphs: Error: no "
        "Caused by: 0: denied 0 (a container needs the capability SYS_PTRACE)",
        "",
    ]
    assert (tmp_path / "starts").read_text() == "started\n"


def test_a_py_spy_that_does_not_start_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file that is no program is a problem of the tool, and none of the trial."""
    recordings = _fake_py_spy(monkeypatch, tmp_path, "")
    (tmp_path / "py-spy").write_bytes(b"\x7fELF")
    recordings.begin()
    recordings.end()

    assert "does not start, so there are no flame graphs: [Errno" in recordings.problems[0]


def test_a_py_spy_that_writes_nothing_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each recording without a file is told of, with what was said last."""
    recordings = _fake_py_spy(
        monkeypatch,
        tmp_path,
        "trap 'echo disk full; exit 1' INT; echo Sampling process; while :; do :; done",
    )
    recordings.begin()
    recordings.end()

    assert recordings.problems == [
        "py-spy wrote no first: disk full",
        "py-spy wrote no second: disk full",
    ]


@pytest.mark.parametrize("contender", ["slot", "torchrl.threading", "floor"])
def test_allocations_are_counted_and_drawn(
    use: Any, tmp_path: Path, contender: str
) -> None:
    """Two numbers per reply, and a page that works offline and names the transport's code."""
    found = use("memory", contender)

    assert (found.note, found.trial.error) == ("", "")
    assert found.files == ("stem.memory.html",)
    assert set(found.counts) == {"python_blocks", "allocated_bytes"}
    assert found.counts["python_blocks"] > 1
    # No block has less than 16 bytes, and none of so small a request has a mebibyte.
    assert 16 < found.counts["allocated_bytes"] / found.counts["python_blocks"] < MEBIBYTE
    page = (tmp_path / "stem.memory.html").read_text()
    assert "memray" in page
    assert f"slotbench profile: {contender} in all" in page
    assert "slotbench/measure/actors.py" in page
    assert str(Path.cwd()) not in page
    assert [path.name for path in tmp_path.iterdir()] == ["stem.memory.html"], "no more"


def _more_than_threading(use: Any, contender: str) -> dict[str, float]:
    """What each reply takes more than with the plain transport; batches have one row."""
    plain = use("memory", "threading", num_slots=1).counts
    more = use("memory", contender, num_slots=1).counts
    return {name: more[name] - plain[name] for name in plain}


def test_known_allocations_are_counted(use: Any) -> None:
    """What a transport allocates more than another is found in blocks and bytes, to a fifth."""
    more = _more_than_threading(use, "allocating:allocating")

    blocks, size = allocating.BLOCKS_PER_REQUEST, allocating.BYTES_PER_REQUEST
    assert more["python_blocks"] == pytest.approx(blocks, rel=0.2)
    assert more["allocated_bytes"] == pytest.approx(size, rel=0.2)


def test_calls_are_not_counted_as_allocations(use: Any) -> None:
    """Tracing makes an object for every call's frame: none is among the blocks."""
    more = _more_than_threading(use, "allocating:calling")

    assert abs(more["python_blocks"]) < 0.2 * allocating.NUM_CALLS


@pytest.mark.parametrize("contender", ["slot", "torchrl.slot"])
def test_torch_tells_the_models_operators(use: Any, tmp_path: Path, contender: str) -> None:
    """An mlp of three layers is three linear layers a call; the trace holds the same calls."""
    found = use("torch", contender, model=Model("mlp"))

    assert (found.note, found.trial.error) == ("", "")
    assert found.files == ("stem.torch.json", "stem.torch.txt")
    table = {
        cells[0]: cells[1:]
        for line in (tmp_path / "stem.torch.txt").read_text().splitlines()
        if len(cells := line.split()) == 5 and line.startswith("aten::")
    }
    assert table["aten::linear"][-1] == "3"
    assert table["aten::tanh"][-1] == "2"
    assert float(table["aten::linear"][2]) > float(table["aten::linear"][0]) > 0
    trace = _trace(tmp_path)
    assert len(_model_calls(trace)) == 200
    assert {"aten::addmm", "aten::tanh"} <= {
        event["name"] for event in trace["traceEvents"]
    }
    assert "host_name" not in trace
    assert str(tmp_path) not in json.dumps(trace)


def test_torch_follows_the_model_into_the_actors_thread(use: Any, tmp_path: Path) -> None:
    """With an inline transport and one actor it is the actor that runs the model."""
    found = use("torch", "slot[inline]", model=Model("mlp"), num_slots=1)

    assert found.note == ""
    trace = _trace(tmp_path)
    names = {
        event["tid"]: event["args"]["name"]
        for event in trace["traceEvents"]
        if event["name"] == "thread_name"
    }
    threads = {names[event["tid"]] for event in _model_calls(trace)}
    assert "actor-0" in threads
    assert threads <= {"actor-0", "inference-server"}


def test_the_floor_has_no_operators(use: Any) -> None:
    """There is nothing to profile, and a line says so."""
    found = use("torch", "floor")

    assert found.note == "the floor calls no model that torch could be seen in"
    assert (found.files, found.trial.status) == ((), "ok")


def _trace(folder: Path) -> Any:
    path = folder / "stem.torch.json"
    assert path.stat().st_size < 20 * MEBIBYTE
    return json.loads(path.read_text())


def _model_calls(trace: Any) -> list[Any]:
    return [
        event
        for event in trace["traceEvents"]
        if event["name"] == "model call" and event["ph"] == "X"
    ]


def test_code_is_named_as_it_is_imported() -> None:
    """By the longest folder of Python's path; else by its name alone."""
    import torch.nn

    assert as_imported(tool_flame.__file__) == "slotbench/profiling/tools/tool_flame.py"
    assert as_imported(torch.nn.__file__) == "torch/nn/__init__.py"
    assert as_imported("/nowhere/at/all.py") == "all.py"
    assert as_imported("<string>") == "<string>"
