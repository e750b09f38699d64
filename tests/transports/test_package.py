"""What importing the package loads, and how transports are found."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import transports


def loaded(statement):
    """Run a statement in a fresh interpreter and return the top-level packages it loaded."""
    code = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    root = str(Path(transports.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": root},
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_no_torch():
    """Nor does asking for the names of its transports."""
    names = loaded("import transports; transports.available(); transports.CONTRACT_VERSION")
    assert names.isdisjoint({"torch", "tensordict", "numpy", "slotbench"})


def test_using_it_loads_nothing_of_the_harness():
    """Every public name resolved: neither slotbench nor a library only it needs."""
    names = loaded(
        "import transports\nfor name in transports.__all__: getattr(transports, name)"
    )
    assert names >= {"torch", "tensordict"}
    assert names.isdisjoint(
        {"slotbench", "typer", "pandas", "pyperf", "pydantic", "torchrl"}
    )


def test_its_tests_import_nothing_of_the_harness():
    """Nor could they while they run: conftest.py hides it."""
    imported = set()
    for path in Path(__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    assert "transports" in imported
    assert "slotbench" not in imported
    with pytest.raises(ImportError):
        importlib.import_module("slotbench.records")


def test_public_names_are_there_and_others_are_not():
    """Lazy names resolve, are listed, and a wrong one is an AttributeError."""
    assert transports.CONTRACT_VERSION == 1
    assert all(getattr(transports, name) is not None for name in transports.__all__)
    assert set(transports.__all__) <= set(dir(transports))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = transports.nothing


def test_transports_are_found_by_their_files():
    """Those of this package are among them, under the names users know."""
    assert {"slot", "threading"} <= set(transports.available())
    assert isinstance(transports.create("slot", 2), transports.SlotTransport)
    assert isinstance(transports.create("threading", 2), transports.ThreadingTransport)


def test_wrong_names_and_options_say_what_there_is():
    """The nearest name, the known options, and the range of num_slots."""
    with pytest.raises(ValueError, match=r"did you mean 'threading'.*slot.*threading"):
        transports.create("thread", 1)
    with pytest.raises(ValueError, match=r"available are .*slot.*threading"):
        transports.create("_server", 1)
    with pytest.raises(
        TypeError,
        match="no option 'prealocate'; known: preallocate, inline, pin_memory, spec",
    ):
        transports.create("slot", 1, prealocate=True)
    for flag in ("preallocate", "inline", "pin_memory"):
        with pytest.raises(TypeError, match=f"{flag} must be a bool, got 1"):
            transports.create("slot", 1, **{flag: 1})
    with pytest.raises(TypeError, match="no option 'preallocate'; known: spec"):
        transports.create("threading", 1, preallocate=True)
    with pytest.raises(ValueError, match="num_slots must be an int of at least 1"):
        transports.create("threading", 0)
