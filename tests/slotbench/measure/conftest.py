"""Small workloads, and the wrong transports on the path of this process and its workers."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slotbench import contenders
from slotbench.measure.executor import LocalExecutor
from slotbench.records import (
    Batching,
    Cell,
    Model,
    Observation,
    Scenario,
    ThinkTime,
    TrialSpec,
    Window,
    Workload,
)
from tests.slotbench.support import trials

_HERE = trials.SUPPORT


@pytest.fixture(autouse=True)
def wrong_transports_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(_HERE)
    monkeypatch.setenv("PYTHONPATH", _HERE, prepend=os.pathsep)


@pytest.fixture
def workload() -> Callable[..., Workload]:
    """Build a small workload; keywords replace its fields."""
    return trials.workload


@pytest.fixture
def scenario(workload: Callable[..., Workload]) -> Callable[..., Scenario]:
    """Build a scenario of the named contenders, the first of them the baseline."""

    def build(*names: str, **changes: Any) -> Scenario:
        fields: dict[str, Any] = {
            "name": "small",
            "title": "t",
            "question": "q",
            "source": "",
            "text": "text",
            "overrides": (),
            "cells": (Cell("all", {}, workload()),),
            "contenders": tuple(
                contenders.parse(name, baseline=i == 0) for i, name in enumerate(names)
            ),
            "rounds": 2,
            "seed": 1,
            "threshold": 0.03,
        }
        return Scenario(**(fields | changes))

    return build


@pytest.fixture
def spec(workload: Callable[..., Workload]) -> Callable[..., TrialSpec]:
    """Build a trial of the named contender."""

    def build(name: str, deadline_s: float = 60.0, **changes: Any) -> TrialSpec:
        contender = contenders.parse(name)
        return TrialSpec(
            "t0", 0, "all", 0, 0, 0, contender, workload(**changes), 1, deadline_s
        )

    return build


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    """A worker that serves all tests of a module: starting one takes seconds."""
    yield from _worker("slot", "wrong_transports:honest")


@pytest.fixture(scope="module")
def torchrl_executor() -> Iterator[LocalExecutor]:
    """The same, with TorchRL, its collector and the transports between processes imported."""
    pytest.importorskip("torchrl")
    yield from _worker("slot@collector", "torchrl.mp", "process_transports:honest")


def _worker(*names: str) -> Iterator[LocalExecutor]:
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", _HERE, prepend=os.pathsep)
    small = Workload(1, Observation(()), ThinkTime(), Model(), Batching(), Window())
    raced = tuple(map(contenders.parse, names))
    scenario = Scenario(
        "s", "t", "q", "", "", (), (Cell("all", {}, small),), raced, 1, 1, 0.03
    )
    with LocalExecutor(scenario) as made:
        made.start_worker()
        yield made
    patch.undo()
