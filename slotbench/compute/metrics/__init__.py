"""One number a trial, for every file of this folder: the stem is the metric's name.

A metric is a module with ``LABEL``, ``UNIT``, ``BETTER`` and
``value(measurement) -> float | None``; its docstring says the formula, what is not in
the number, and where it comes from. Adding one is adding a file.
"""

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from slotbench.compute.statistics import Better
from slotbench.errors import SlotbenchError
from slotbench.records import TrialMeasurement


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric's module says.

    Attributes:
        name: the module's stem.
        label: for people: "p50 latency".
        unit: of ``value``: "requests/s", "s", "rows".
        better: which way is good.
        value: the number of one trial; None where the trial cannot give it.
    """

    name: str
    label: str
    unit: str
    better: Better
    value: Callable[[TrialMeasurement], float | None]


def available() -> tuple[str, ...]:
    """Names of all metrics, sorted."""
    return tuple(
        sorted(
            module.name
            for module in pkgutil.iter_modules(__path__)
            if not module.ispkg and not module.name.startswith("_")
        )
    )


@functools.cache
def get(name: str) -> Metric:
    """The metric of that name.

    Raises:
        SlotbenchError: there is none; the nearest names are offered.
    """
    known = available()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
        raise SlotbenchError(f"unknown metric {name!r}: did you mean {', '.join(near)}?")
    module = importlib.import_module(f"{__name__}.{name}")
    return Metric(name, module.LABEL, module.UNIT, module.BETTER, module.value)
