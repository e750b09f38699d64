"""Scenarios that others' workloads are measured by: whole, runnable, and never changed.

``python tests/scenarios/test_library.py`` writes what is new into released.json.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pytest
import torch

from slotbench import scenario
from slotbench.measure import environments, policies
from slotbench.measure.identity import REQUEST_ID, IdentityCheck
from slotbench.records import Cell, Leaf, Scenario, Workload

RELEASED: Final = Path(__file__).with_name("released.json")
"""Name → digest of the cells: what a scenario of that name has measured ever since."""

NAMES: Final = tuple(
    path.stem for path in sorted((Path(__file__).parents[2] / "scenarios").glob("*.toml"))
)
LIBRARY: Final = tuple(
    info.name for info in scenario.available() if info.name in NAMES and info.citation
)
_NUM_ACTORS: Final = 2


def digest(made: Scenario) -> str:
    """SHA-256 of the cells: of names and workloads, less windows and what is at its default.

    A field that workloads get later changes no digest, since those of today have its default.
    """
    cells = {cell.name: _said(_constants(cell)) for cell in made.cells}
    text = json.dumps(cells, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _constants(cell: Cell) -> Workload:
    """The workload with the window of no scenario: how long one looks is no constant of it."""
    plain = {
        field.name: field.default for field in dataclasses.fields(cell.workload.window)
    }
    window = dataclasses.replace(cell.workload.window, **plain)
    return dataclasses.replace(cell.workload, window=window)


def _said(value: Any) -> Any:
    """A record as plain data, without fields that are at their default."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: field.default for field in dataclasses.fields(value)}
        return {
            name: _said(getattr(value, name))
            for name, default in fields.items()
            if getattr(value, name) != default
        }
    if isinstance(value, list | tuple):
        return [_said(item) for item in value]
    if isinstance(value, dict):
        return {key: _said(item) for key, item in value.items()}
    return value


def released() -> dict[str, str]:
    """What has been released so far."""
    found: dict[str, str] = json.loads(RELEASED.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_says_what_it_is(name: str) -> None:
    """A title that is a line of a list, a question; of the library, where it is from."""
    made = scenario.load(name)

    assert len(made.title) <= 60
    assert len(made.question) >= 40
    assert made.question.endswith("?")
    if name in LIBRARY:
        assert len(made.citation) >= 40
        assert "stimate" in made.citation, (
            "what is an estimate is called so, or that nothing is"
        )
        assert made.citation.endswith(".")


@pytest.mark.parametrize("name", LIBRARY)
def test_a_released_workload_never_changes(name: str) -> None:
    """Results of one name are of one workload, however old they are."""
    assert name in released(), (
        f"{name} is new: python tests/scenarios/test_library.py writes its digest"
    )
    assert digest(scenario.load(name)) == released()[name], (
        f"scenarios/{name}.toml: its cells are not those that were released; constants of a "
        "name never change: undo it, and make a new scenario of another name"
    )


def test_a_released_workload_is_never_removed() -> None:
    """Results of it would be of nothing."""
    assert set(released()) <= set(LIBRARY)


def test_a_digest_is_of_the_constants_alone() -> None:
    """Any of them; not the window, the rounds or the words."""
    made = scenario.load("rl_slow_reset")
    same = scenario.load(
        "rl_slow_reset", overrides=["window.measure_s=1.5"], rounds=1, seed=9
    )
    other = [
        scenario.load("rl_slow_reset", overrides=[change])
        for change in (
            "think_time.reset_ms=201",
            "model.hidden=[255]",
            "torch_threads=2",
            "batching.timeout_ms=2",
            "observation.leaves.pixels.dtype='int8'",
            "num_slots=33",
        )
    ]

    assert digest(same) == digest(made)
    assert len({digest(one) for one in (made, *other)}) == 7


@pytest.mark.parametrize("name", NAMES)
def test_every_workload_can_be_made(name: str) -> None:
    """Of every cell that differs in more than numbers of actors: two actors' requests, one batch."""
    made = scenario.load(name)
    if any(cell.workload.environment is not None for cell in made.cells):
        pytest.importorskip("gymnasium")
    kinds = {
        (
            cell.workload.observation,
            cell.workload.model,
            str(cell.workload.environment),
        ): cell
        for cell in made.cells
    }
    for cell in kinds.values():
        _serve_once(_small(cell.workload))


def _small(workload: Workload) -> Workload:
    """Two actors; a policy that is not waited for."""
    model = dataclasses.replace(workload.model, latency_ms=0.0, latency_per_item_ms=0.0)
    return dataclasses.replace(workload, num_slots=_NUM_ACTORS, model=model)


def _serve_once(workload: Workload) -> None:
    policy = policies.build(workload, seed=1)
    actors = [
        environments.build(workload, IdentityCheck(i).ids, has_payload=True, seed=i)
        for i in range(_NUM_ACTORS)
    ]
    with torch.no_grad():
        result = policy(torch.stack([actor.request() for actor in actors]))

    assert result.batch_size == torch.Size([_NUM_ACTORS])
    assert result.get(REQUEST_ID).tolist() == [0, 1 << 32]
    leaves = list(workload.observation.leaves)
    if workload.environment is None:
        default = Leaf("action", (workload.model.num_outputs,), "float32")
        leaves += workload.model.outputs or (default,)
    for leaf in leaves:
        tensor = result.get(tuple(leaf.key.split(".")))
        assert tuple(tensor.shape) == (_NUM_ACTORS, *leaf.shape), leaf.key
        assert str(tensor.dtype) == f"torch.{leaf.dtype}", leaf.key


if __name__ == "__main__":
    known = released() if RELEASED.exists() else {}
    new = {name: digest(scenario.load(name)) for name in LIBRARY if name not in known}
    text = json.dumps(known | new, indent=2, sort_keys=True)
    RELEASED.write_text(f"{text}\n", encoding="utf-8")
