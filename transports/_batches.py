"""Builds the model's batch out of requests, and replies out of the model's result.

It must not know how requests travel. Two promises are kept here: the model never gets a tensor
an actor holds, and an actor never gets one the model may write to again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import torch
from tensordict import TensorDict, is_non_tensor
from tensordict.base import TensorDictBase

from transports._errors import ModelResultError
from transports._requests import Layout, Node, Request

Path: TypeAlias = tuple[str, ...]
# Per path of the schema: the tensor the model was given, and its version at that moment.
Given: TypeAlias = Mapping[Path, tuple[torch.Tensor, int | None]]

_NO_SIZE: Final = torch.Size(())


class Plan:
    """Where outputs go in a reply; one for all rows of a batch.

    `sizes` holds the row's batch size of each nested node of the result, `devices` those the
    outputs are on.
    """

    __slots__ = ("devices", "is_flat", "names", "paths", "sizes")

    def __init__(
        self,
        paths: Sequence[Path],
        sizes: Mapping[Path, torch.Size],
        devices: frozenset[torch.device],
    ) -> None:
        self.paths: Final = paths
        self.sizes: Final = sizes
        self.devices: Final = devices
        self.is_flat: Final = all(len(path) == 1 for path in paths)
        self.names: Final = tuple(path[0] for path in paths)


Answer: TypeAlias = tuple[Plan, tuple[Any, ...]]


def new_tensordict(
    fields: Mapping[str, Any], batch_size: torch.Size, device: torch.device | None
) -> TensorDict:
    """Make a TensorDict of entries known to fit, without TensorDict's checks.

    The one place that relies on tensordict's private `_new_unsafe` (2 µs instead of 6).
    """
    return TensorDict._new_unsafe(fields, batch_size=batch_size, device=device)


def build(node: Node, tensors: Sequence[torch.Tensor], lead: tuple[int, ...]) -> TensorDict:
    """Arrange `tensors`, in the schema's order, as the schema's TensorDict.

    Shapes:
        Each tensor is `[*lead, ...]`; the TensorDict's batch size is `lead`.
    """
    fields = {
        key: tensors[entry] if isinstance(entry, int) else build(entry, tensors, lead)
        for key, entry in node.entries
    }
    return new_tensordict(fields, torch.Size((*lead, *node.batch_size)), node.device)


def stack_requests(requests: Sequence[Request]) -> tuple[torch.Tensor, ...]:
    """Stack each leaf of the requests into a fresh tensor `[n, ...]` that needs no gradient."""
    with torch.no_grad():
        return tuple(
            torch.stack(rows) for rows in zip(*(r.leaves for r in requests), strict=True)
        )


def remember(layout: Layout, tensors: Sequence[torch.Tensor]) -> Given:
    """Note what is being handed to the model, to tell its outputs from its inputs later."""
    return {
        leaf.path: (tensor, _version(tensor))
        for leaf, tensor in zip(layout.leaves, tensors, strict=True)
    }


def take_batch(result: object, given: Given, num_rows: int) -> list[Answer]:
    """Take the model's result apart into one answer a row.

    Every output is copied once per leaf, so nothing of the model's is kept; the rows of a leaf
    share that copy's memory, each its own part of it.

    Raises:
        ModelResultError: `result` is no TensorDict of batch size [num_rows].
    """
    plan, columns = _outputs(result, given, torch.Size((num_rows,)))
    rows: list[tuple[Any, ...]] = [()] * num_rows
    if columns:
        rows = list(zip(*(_copy(column).unbind(0) for column in columns), strict=True))
    if len(rows) != num_rows:
        raise ModelResultError(
            f"the model returned {len(rows)} rows for a batch of {num_rows} requests"
        )
    return [(plan, row) for row in rows]


def take_row(result: object, given: Given) -> Answer:
    """Take an answer from the model's row for one request, of batch size []; copies outputs.

    Raises:
        ModelResultError: `result` is no TensorDict of batch size [].
    """
    plan, values = _outputs(result, given, _NO_SIZE)
    return plan, tuple(_copy(value) for value in values)


def compose(request: Request, answer: Answer) -> TensorDict:
    """Make the reply: a new TensorDict of the request's own entries and the outputs, which win.

    Its device metadata is the request's, or None if an output is elsewhere.

    Threads:
        The actor's.
    """
    plan, row = answer
    fields = request.fields.copy()
    device = request.device if plan.devices <= {request.device} else None
    if plan.is_flat:
        fields.update(zip(plan.names, row, strict=True))
        return new_tensordict(fields, _NO_SIZE, device)
    fields = {
        key: value.clone(recurse=False) if isinstance(value, TensorDictBase) else value
        for key, value in fields.items()
    }
    reply = new_tensordict(fields, _NO_SIZE, device)
    if device is None:
        reply.clear_device_()  # or a nested node of the request would move an output
    for path, value in zip(plan.paths, row, strict=True):
        _parent(reply, path, plan.sizes).set(path[-1], value)
    return reply


def _parent(td: TensorDict, path: Path, sizes: Mapping[Path, torch.Size]) -> TensorDictBase:
    for depth, key in enumerate(path[:-1], start=1):
        child = td.get(key, None)
        if not isinstance(child, TensorDictBase) or is_non_tensor(child):
            td.set(key, TensorDict({}, batch_size=sizes[path[:depth]]))
            child = td.get(key)
        td = child
    return td


def _outputs(result: object, given: Given, expected: torch.Size) -> tuple[Plan, list[Any]]:
    if not isinstance(result, TensorDictBase):
        raise ModelResultError(
            f"the model must return a TensorDict of batch size {list(expected)}, got "
            f"{type(result).__name__}"
        )
    if result.batch_size != expected:
        raise ModelResultError(
            f"the model must return one row per request: expected batch size "
            f"{list(expected)}, got {list(result.batch_size)}"
        )
    sizes: dict[Path, torch.Size] = {}
    outputs: list[tuple[Path, Any]] = []

    def visit(td: TensorDictBase, prefix: Path) -> None:
        for key, value in td.items():
            path = (*prefix, key)
            if isinstance(value, TensorDictBase) and not is_non_tensor(value):
                sizes[path] = value.batch_size[len(expected) :]
                visit(value, path)
            elif not _is_input(path, value, given):
                outputs.append((path, value))

    visit(result, ())
    values = [value for _, value in outputs]
    devices = frozenset(v.device for v in values if isinstance(v, torch.Tensor))
    return Plan([path for path, _ in outputs], sizes, devices), values


def _is_input(path: Path, value: object, given: Given) -> bool:
    """Tell whether an entry of the result is what the model was given there, never written to.

    Assumes:
        Writes bump `_version`; those through `.data` or NumPy do not, and stay unseen.
    """
    tensor, version = given.get(path, (None, None))
    return value is tensor and version is not None and _version(tensor) == version


def _version(tensor: Any) -> int | None:
    # Tensors of inference mode count no versions: None, never equal to what was remembered.
    return None if tensor.is_inference() else tensor._version


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value.clone()
