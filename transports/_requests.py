"""What the model needs of a request: the schema, and reading a request against it.

It must not know how requests travel.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, NamedTuple

import torch
from tensordict import TensorDict, is_non_tensor, is_tensor_collection
from tensordict.base import TensorDictBase

from transports._errors import RequestError

# Mapped in C: a request's check costs some 0.4 µs a leaf this way, 0.9 as Python code.
_FORM: Final = operator.attrgetter("shape", "dtype", "device")
_PLAIN: Final = {torch.Tensor}


class Leaf(NamedTuple):
    """One tensor the model needs."""

    path: tuple[str, ...]
    shape: torch.Size
    dtype: torch.dtype
    device: torch.device

    def __str__(self) -> str:
        return _describe(self.shape, self.dtype, self.device)


@dataclass(frozen=True, slots=True)
class Node:
    """One (nested) TensorDict of the schema: its entries are leaves, by index, or nodes."""

    entries: tuple[tuple[str, int | Node], ...]
    batch_size: torch.Size
    device: torch.device | None


class Request:
    """What a transport keeps of one submitted TensorDict.

    `fields` is a shallow copy of the TensorDict's own entries, made at submit; the reply is
    built in it, so it is used once. `device` is the TensorDict's device metadata, `leaves` the
    tensors the model needs, in the schema's order.
    """

    __slots__ = ("device", "fields", "leaves")

    def __init__(
        self,
        fields: dict[str, Any],
        device: torch.device | None,
        leaves: tuple[torch.Tensor, ...],
    ) -> None:
        self.fields: Final = fields
        self.device: Final = device
        self.leaves: Final = leaves


class Layout:
    """An established schema: immutable, so that any thread may read it."""

    __slots__ = ("_forms", "_pick", "leaves", "places", "root")

    def __init__(self, td: TensorDictBase) -> None:
        leaves: list[Leaf] = []
        self.root: Final = _node(td, (), leaves)
        self.leaves: Final = tuple(leaves)
        if not leaves:
            raise RequestError(
                "the request has no tensor leaf, so there is nothing to batch"
            )
        # By name where it is not nested, else by path.
        self.places: Final = tuple(
            p[0] if len(p) == 1 else p for p in (x.path for x in leaves)
        )
        self._forms: Final = [leaf[1:] for leaf in leaves]
        self._pick: Final = _picker(leaves)

    def read_flat(self, td: TensorDict) -> Request | None:
        """Read a request of plain tensors, none nested, that fits; None for any other."""
        if self._pick is None:
            return None
        fields = dict(td.items())
        try:
            leaves = self._pick(fields)
            fits = [*map(_FORM, leaves)] == self._forms
        except (KeyError, AttributeError):
            return None
        # A nested or odd entry beyond the schema needs care too, and goes the long way.
        if not fits or {*map(type, fields.values())} != _PLAIN:
            return None
        return Request(fields, td.device, leaves)

    def select(self, fields: dict[str, Any]) -> tuple[torch.Tensor, ...]:
        """Return the leaves among a request's entries, in order.

        Raises:
            RequestError: one is missing, or of another shape, dtype or device.
        """
        selected = []
        for leaf in self.leaves:
            path, shape, dtype, device = leaf
            value = fields.get(path[0])
            for key in path[1:]:
                value = value.get(key, None) if isinstance(value, TensorDictBase) else None
            if (
                not isinstance(value, torch.Tensor)
                or value.shape != shape
                or value.dtype != dtype
                or value.device != device
            ):
                raise _mismatch(leaf, value)
            selected.append(value)
        return tuple(selected)


class RequestSchema:
    """The leaves the model needs of every request, given or taken from the first request.

    Leaves beyond the schema are ignored here and stay with the actor; entries that are no
    tensors are never part of it. Nothing is cast, moved or filled in.

    Args:
        spec: a TensorDict of batch size [] with exactly these leaves; only its structure is
            kept. None: the first request decides.

    Threads:
        Any. One lock is taken, only until the schema exists.

    Raises:
        ValueError: `spec` is no TensorDict of batch size [] with a tensor leaf.
    """

    def __init__(self, spec: TensorDictBase | None = None) -> None:
        self._lock = Lock()
        self._layout: Layout | None = None
        if spec is not None:
            _check(spec, "spec")
            self._layout = Layout(spec)

    @property
    def layout(self) -> Layout | None:
        """The established layout, or None while no request has come."""
        return self._layout

    def read(self, td: TensorDictBase) -> Request:
        """Check `td` against the schema and take from it what the reply will need.

        Raises:
            ValueError: `td` is no TensorDict of batch size [], or a leaf is missing or differs
                in shape, dtype or device; the message names leaf, expected and got.
        """
        layout = self._layout
        if layout is not None and type(td) is TensorDict and not td.batch_size:
            request = layout.read_flat(td)
            if request is not None:
                return request
        _check(td, "a request")
        layout = layout or self._establish(td)
        fields = _own_fields(td)
        return Request(fields, td.device, layout.select(fields))

    def select(self, td: TensorDictBase) -> tuple[torch.Tensor, ...]:
        """Return the tensors the model needs of `td`, in the schema's order.

        Raises:
            ValueError: as `read` does.
        """
        return self.read(td).leaves

    def _establish(self, td: TensorDictBase) -> Layout:
        with self._lock:
            # Another actor's first request may have won; then ours is checked against it.
            if self._layout is None:
                self._layout = Layout(td)
            return self._layout


def _picker(
    leaves: list[Leaf],
) -> Callable[[dict[str, Any]], tuple[torch.Tensor, ...]] | None:
    """Make the function that takes a flat schema's leaves out of a request's entries."""
    if any(len(leaf.path) > 1 for leaf in leaves):
        return None
    names = [leaf.path[0] for leaf in leaves]
    if len(names) > 1:
        return operator.itemgetter(*names)
    return lambda fields: (fields[names[0]],)


def _check(td: Any, what: str) -> None:
    if type(td) is not TensorDict and not isinstance(td, TensorDictBase):
        raise RequestError(f"{what} must be a TensorDict, got {type(td).__name__}")
    if td.batch_size:
        raise RequestError(
            f"{what} must have batch size [], got {list(td.batch_size)}: submit one row each"
        )


def _own_fields(td: TensorDictBase) -> dict[str, Any]:
    # Nested nodes are copied so that neither side's later edits reach the other's.
    return {
        key: value.clone(recurse=False)
        if type(value) is not torch.Tensor
        and is_tensor_collection(value)
        and not is_non_tensor(value)
        else value
        for key, value in td.items()
    }


def _node(td: TensorDictBase, prefix: tuple[str, ...], leaves: list[Leaf]) -> Node:
    entries: list[tuple[str, int | Node]] = []
    for key, value in td.items():
        path = (*prefix, key)
        if isinstance(value, torch.Tensor):
            entries.append((key, len(leaves)))
            leaves.append(Leaf(path, value.shape, value.dtype, value.device))
        elif is_non_tensor(value):
            continue
        elif isinstance(value, TensorDictBase):
            child = _node(value, path, leaves)
            if child.entries:
                entries.append((key, child))
        else:
            raise RequestError(
                f"request leaf {_name(path)}: expected a tensor or a TensorDict, got "
                f"{type(value).__name__}; leave it out of spec=, or pass its .to_tensordict()"
            )
    return Node(tuple(entries), td.batch_size, td.device)


def _describe(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> str:
    return f"{str(dtype).removeprefix('torch.')} {list(shape)} on {device}"


def _name(path: tuple[str, ...]) -> str:
    return repr(path[0] if len(path) == 1 else path)


def _mismatch(leaf: Leaf, value: object) -> RequestError:
    if isinstance(value, torch.Tensor):
        got = _describe(value.shape, value.dtype, value.device)
    else:
        got = "no such leaf" if value is None else type(value).__name__
    return RequestError(
        f"request leaf {_name(leaf.path)}: expected {leaf}, got {got} "
        "(the first request fixes what the model needs, unless spec= does)"
    )
