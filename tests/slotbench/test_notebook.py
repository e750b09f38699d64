"""The progress bar of a notebook, and what runs and comparisons show there."""

import dataclasses
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slotbench import notebook
from slotbench.api import Run, ShownComparison, ShownTwoRuns
from slotbench.api._measure import Asked, as_set
from slotbench.measure.runner import Progress
from slotbench.scenario import load
from tests.slotbench.support import grids


def test_only_a_kernel_is_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script has no IPython, a terminal's shell has no kernel."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.is_notebook()
    for shell, expected in (
        (None, False),
        (SimpleNamespace(), False),
        (SimpleNamespace(kernel=1), True),
    ):
        module = ModuleType("IPython")
        module.get_ipython = lambda shell=shell: shell  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", module)
        assert notebook.is_notebook() is expected


def test_the_bar_says_how_far_and_how_long() -> None:
    """Its share, the trials, the time left by pace and estimate, and what it is at, as text."""
    shown = notebook.bar(Progress(25, 100, "round 1, <cell>"), 40.0, 10.0)

    assert 'value="0.2500"' in shown
    assert "25/100 trials, " in shown
    assert "30 s left" in shown
    assert "round 1, &lt;cell&gt;" in shown
    begun = notebook.bar(Progress(0, 0, "starting"), 40.0, 0.0)
    assert "value=" not in begun
    assert "40 s left" in begun


def test_a_run_shows_its_answers() -> None:
    """As HTML, its notes included; one without trials shows what it is."""
    stored = dataclasses.replace(grids.small_grid(), notes=("it was <killed>",))
    shown = Run(stored)._repr_html_()
    assert "slot: in none of 4 cells" in shown
    assert "it was &lt;killed&gt;" in shown
    assert (
        "Run 20250102T030405" in Run(dataclasses.replace(stored, trials=()))._repr_html_()
    )


def test_comparisons_show_tables() -> None:
    """Of one run and of two; they are still what slotbench.compute makes."""
    run = Run(grids.small_grid())
    one, two = run.compare(), run.compare_to(run)

    assert isinstance(one, ShownComparison)
    assert isinstance(two, ShownTwoRuns)
    for shown in (one._repr_html_(), two._repr_html_()):
        assert shown.count("<table>") == 4
        assert "torchrl.slot" in shown


def test_a_runs_plots_are_found_by_name() -> None:
    """``run.plot.<tab>`` lists them; another name offers the nearest."""
    plots = Run(grids.small_grid()).plot
    assert {"throughput", "latency"} <= set(dir(plots))
    assert "Requests per second" in (plots.throughput.__doc__ or "")
    assert len(plots.latency(where={"num_slots": 4}).axes) == 2
    with pytest.raises(AttributeError, match="did you mean throughput"):
        _ = plots.troughput
    with pytest.raises(AttributeError):
        _ = plots._hidden


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"num_slots": [4, 16], "rounds": 3}, ("num_slots=4,16", "rounds=3")),
        (
            {"observation.device_metadata": [False, True]},
            ("observation.device_metadata=false,true",),
        ),
        ({"observation.shape": (84, 84)}, ("observation.shape=[84, 84]",)),
        ({"model.kind": "spin"}, ("model.kind=spin",)),
        (["num_slots=4"], ("num_slots=4",)),
        ("num_slots=4", ("num_slots=4",)),
        ({"num_slots": range(2, 4)}, ("num_slots=2,3",)),
        ({"num_slots": np.int64(4)}, ("num_slots=4",)),
    ],
)
def test_overrides_are_those_of_the_command_line(overrides: Any, expected: Any) -> None:
    """A list is an axis, a tuple a value; they are understood as after ``--set``."""
    assert as_set(overrides) == expected
    load("quickstart", overrides=expected)


def test_a_run_from_python_records_how_to_do_it_again() -> None:
    """As a command line."""
    asked = Asked("run", "quickstart", ["num_slots=4"], "slot", None)
    assert asked.command(3) == (
        *("slotbench", "run", "quickstart", "--set", "num_slots=4"),
        *("--contender", "slot", "--rounds", "3"),
    )
    asked = Asked("profile", "grid", {"num_slots": 4}, (), 7)
    assert asked.command(None, [("--tool", "flame")]) == (
        *("slotbench", "profile", "grid", "--set", "num_slots=4", "--seed", "7"),
        *("--tool", "flame"),
    )
