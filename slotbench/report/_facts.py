"""What was measured, on what: what the chapters of runs and profiles share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from slotbench.compute import nodes as of_nodes
from slotbench.compute.environment_diff import fact_of
from slotbench.draw import units
from slotbench.records import Cell, RunRecord, Scalar, TrialRecord

_MACHINE: Final = {
    "machine": (
        "cpu_model_name",
        "cpu_count",
        "cpu_affinity_count",
        "gpu_name",
        "gpu_count",
        "platform",
    ),
    "versions": (
        "python_version",
        "gil_enabled",
        "torch_version",
        "tensordict_version",
        "torchrl_version",
        "gpu_driver_version",
        "cuda_version",
    ),
    "code": ("git_commit", "git_dirty", "code_sha256"),
}
"""What is shown first of the environment; the rest is a click away."""

_VERSION: Final = "python_version"
"""What is recorded of every interpreter."""


def grid(cells: Sequence[Cell]) -> str:
    """Every axis with its values, as the cells have them."""
    found: dict[str, dict[str, None]] = {}
    for cell in cells:
        for axis, value in cell.coordinates.items():
            found.setdefault(axis, {})[str(value)] = None
    axes = [f"{axis} {', '.join(values)}" for axis, values in found.items()]
    return "; ".join(axes) or "one cell"


def window(cells: Iterable[Cell]) -> str:
    """How long trials are watched."""
    windows = [cell.workload.window for cell in cells]
    spans, warm = (
        sorted({getattr(one, name) for one in windows})
        for name in ("measure_s", "warmup_s")
    )
    return (
        f"{', '.join(units.seconds(span) for span in spans)} after "
        f"{', '.join(units.seconds(span) for span in warm)} of warm-up, longer where too few "
        "replies came"
    )


def machine(environment: Mapping[str, Scalar]) -> dict[str, str]:
    """Machine, versions, code and other interpreters, each in a line."""
    facts = {}
    others = [
        name.removesuffix(f".{_VERSION}")
        for name in environment
        if fact_of(name) == _VERSION != name
    ]
    of_others = {
        f"in {python}": tuple(f"{python}.{name}" for name in _MACHINE["versions"])
        for python in others
    }
    for title, names in (_MACHINE | of_others).items():
        said = [
            f"{fact_of(name)} {environment[name]}" for name in names if name in environment
        ]
        if said:
            facts[title] = ", ".join(said)
    return facts


def nodes(run: RunRecord, trials: Sequence[TrialRecord]) -> dict[str, str]:
    """The nodes of a cluster, with what each did, what differs and why it was lost; nothing of one machine."""
    said = of_nodes.lines(run, trials)
    return {"nodes": "; ".join(line.removeprefix("node ") for line in said)} if said else {}
