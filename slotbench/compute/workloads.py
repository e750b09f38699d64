"""What a workload comes to: sizes and coordinates that its fields do not say at once."""

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from slotbench.records import Cell, Leaf, Model, Observation, Workload

_DIGITS: Final = re.compile(r"\d+$")


def observation_bytes(leaves: Iterable[Leaf]) -> int:
    """Bytes of one request's tensors, without the harness's own id leaf."""
    return sum(math.prod(leaf.shape) * _itemsize(leaf.dtype) for leaf in leaves)


def unfit_convolution(
    model: Model, height_width: Sequence[int]
) -> tuple[int, Sequence[int]] | None:
    """Find the first of a ``cnn``'s convolutions whose kernel is larger than what it reads.

    Args:
        model: of kind "cnn".
        height_width: of the image, pixels.

    Returns:
        Its number, from 0, and the height and width that it reads; None if all fit.
    """
    sides = tuple(height_width)
    for layer, (kernel, stride) in enumerate(
        zip(model.kernel_sizes, model.strides, strict=True)
    ):
        if min(sides) < kernel:
            return layer, sides
        sides = tuple((side - kernel) // stride + 1 for side in sides)
    return None


def axes(cells: Iterable[Cell]) -> tuple[str, ...]:
    """Every axis of all grids once, in the scenario's order."""
    return tuple(dict.fromkeys(axis for cell in cells for axis in cell.coordinates))


def coordinates(cell: Cell, names: Iterable[str]) -> dict[str, Any]:
    """Where a cell stands on these axes, also on those that its own grid does not vary.

    Args:
        cell: of a scenario.
        names: dotted names of fields.

    Returns:
        Name → number, text or bool; lists as JSON text; None for a field that is not set,
        or that the workload keeps in no such form.
    """
    return {
        name: _plain(cell.coordinates.get(name, _field(cell.workload, name)))
        for name in names
    }


def _field(workload: Workload, name: str) -> Any:
    if name.startswith("observation."):
        derived = _of_observation(workload.observation)
        if name in derived:
            return derived[name]
    value: Any = workload
    for part in name.split("."):
        value = (
            value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
        )
    return value


def _of_observation(observation: Observation) -> dict[str, Any]:
    """What a scenario says of observations; where leaves differ, it was said leaf by leaf."""
    shapes = {leaf.shape for leaf in observation.leaves}
    dtypes = {leaf.dtype for leaf in observation.leaves}
    return {
        "observation.shape": list(*shapes) if len(shapes) == 1 else None,
        "observation.dtype": next(iter(dtypes)) if len(dtypes) == 1 else None,
        "observation.num_leaves": len(observation.leaves),
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False)
    return value


def _itemsize(dtype: str) -> int:
    """Bytes of one element; the name of every dtype but bool ends in its bits."""
    bits = _DIGITS.search(dtype)
    return 1 if bits is None else int(bits.group()) // 8
