"""The example that docs/torchrl.md shows runs, and is what it shows."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "docs/examples/cartpole_torchrl.py"
LINE = re.compile(r" *(\d+) frames, policy +(\d+): mean return +(\d+\.\d)")


@pytest.fixture
def example() -> Any:
    """Import the example as a module."""
    spec = importlib.util.spec_from_file_location("cartpole_torchrl", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_trains_to_the_end(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Two updates of some 150 steps: each is served before the next, and its line is printed."""
    example.FRAMES_PER_UPDATE = 150
    example.train(300, seed=0)
    lines = capsys.readouterr().out.splitlines()

    shown = [LINE.fullmatch(line) for line in lines]
    assert all(shown)
    assert [int(m[2]) for m in shown if m] in ([1], [1, 2])
    assert all(float(m[3]) >= 1.0 for m in shown if m)


def test_the_docs_show_its_lines_and_its_output() -> None:
    """Every line of code shown is in it, and what it is said to print is what it prints."""
    blocks = re.findall(
        r"```(\w+)\n(.*?)```", (ROOT / "docs/torchrl.md").read_text(), re.DOTALL
    )
    source = {line.strip() for line in EXAMPLE.read_text().splitlines()}
    code = next(text for kind, text in blocks if "AsyncBatchedCollector(" in text)
    output = next(text for kind, text in blocks if kind == "text")

    assert {line.strip() for line in code.splitlines()} <= source
    shown = [LINE.fullmatch(line) for line in output.splitlines()]
    assert all(shown)
    returns = [float(match[3]) for match in shown if match]
    assert returns[-1] > 5 * returns[0]
