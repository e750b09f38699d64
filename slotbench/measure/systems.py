"""A contender made runnable: a transport in a server, or the floor, behind three calls."""

import importlib
import importlib.metadata
from collections.abc import Callable
from typing import Any, Protocol

import torch
from tensordict import TensorDict, TensorDictBase, lazy_stack, maybe_dense_stack

from slotbench import contenders
from slotbench.errors import ContenderError
from slotbench.measure import checkout
from slotbench.measure.blame import told
from slotbench.measure.floor import FloorSystem
from slotbench.measure.recording import Collate
from slotbench.measure.served import ServedModel
from slotbench.records import Batching, Contender

_COLLATE = {
    "lazy_stack": lazy_stack,
    "maybe_dense_stack": maybe_dense_stack,
    "default": None,
}


class System(Protocol):
    """What a trial drives: clients out, a model served behind them."""

    @property
    def collate(self) -> Collate:
        """Makes a batch as this system's server does; a leaf's share of it is the id's cost."""

    def client(self) -> Callable[[Any], Any]:
        """Return the next actor's blocking call. Main thread, before ``start``."""

    def start(self) -> None:
        """Start serving."""

    def shutdown(self, timeout_s: float) -> bool:
        """Stop serving; return whether the server's thread ended in time."""


class TransportSystem:
    """A transport and the inference server that runs it, ours or TorchRL's.

    Attributes:
        transport: as the server was given it.
        server: `transports.InferenceServer` or TorchRL's.
    """

    def __init__(self, transport: Any, server: Any, collate: Collate) -> None:
        self.collate = collate
        self.transport = transport
        self.server = server

    def client(self) -> Callable[[Any], Any]:
        """Return a client of the transport."""
        client: Callable[[Any], Any] = self.transport.client()
        return client

    def start(self) -> None:
        """Start the server."""
        self.server.start()

    def shutdown(self, timeout_s: float) -> bool:
        """Stop the server; both servers join their thread for at most the timeout."""
        worker = getattr(self.server, "_worker", None)  # TorchRL forgets it in shutdown
        self.server.shutdown(timeout=timeout_s)
        return not (worker.is_alive() if worker is not None else self.server.is_alive)


def build(
    contender: Contender, num_slots: int, batching: Batching, model: ServedModel
) -> System:
    """Make the contender.

    Raises:
        ContenderError: it is not installed, fails to import, or refuses its options.
    """
    if contender.name == "floor":
        return FloorSystem(num_slots, batching, model.serve_without_payload)
    try:
        transport = _build_transport(contender, num_slots)
    except (Exception, SystemExit) as error:
        raise ContenderError(
            f"contender {contender.label!r} cannot be made: {told(error, contenders.package_of(contender))}"
        ) from error
    missing = [verb for verb in _VERBS if not callable(getattr(transport, verb, None))]
    if missing:
        raise ContenderError(
            f"contender {contender.label!r} is no transport: it has no {', '.join(missing)}; "
            "see transports.Transport"
        )
    return _serve(contender, transport, batching, model)


def build_as_given(
    contender: Contender,
    num_slots: int,
    batching: Batching,
    model: Callable[[TensorDictBase], TensorDictBase],
) -> TransportSystem:
    """Make the contender; what it raises is raised as it is.

    For those who want to see what it refuses. The floor cannot be made so.
    """
    return _serve(contender, _build_transport(contender, num_slots), batching, model)


def _serve(
    contender: Contender,
    transport: Any,
    batching: Batching,
    model: Callable[[TensorDictBase], TensorDictBase],
) -> TransportSystem:
    """Put the transport into its server; ours comes from where our transport did."""
    collate_fn = _COLLATE[str(contender.options.get("collate", "default"))]
    server = _server_class(contender)(
        model,
        transport,
        max_batch_size=batching.max_batch_size,
        min_batch_size=batching.min_batch_size,
        timeout=batching.timeout_ms / 1e3,
        collate_fn=collate_fn,
    )
    if contender.server == "torchrl":
        return TransportSystem(transport, server, server.collate_fn)
    default = _stack_leaves if hasattr(transport, "gather") else torch.stack
    return TransportSystem(transport, server, collate_fn or default)


def _stack_leaves(items: list[TensorDictBase]) -> TensorDict:
    """Stack tensors leaf by leaf, as the fast path of our transports does."""
    names = list(items[0].keys())
    leaves = {name: torch.stack([item.get(name) for item in items]) for name in names}
    return TensorDict(leaves, [len(items)])


def _build_transport(contender: Contender, num_slots: int) -> Any:
    """Call the contender's factory with its options."""
    options = {
        key: value
        for key, value in contender.options.items()
        if key not in contenders.HARNESS_OPTIONS
    }
    folder = contenders.checkout(contender)
    if folder is not None:
        checkout.use(folder, contenders.package_of(contender))
    transport = _factory(contender)(num_slots, **options)
    if contender.server == "torchrl":
        from slotbench.torchrl import adapt

        transport = adapt(transport)
    return transport


_VERBS = ("client", "wait_for_work", "drain", "resolve", "resolve_exception")


def _factory(contender: Contender) -> Callable[..., Any]:
    """Find ``factory(num_slots, **options)`` by the contender's name."""
    name = contender.name
    if name.startswith("torchrl."):
        return _torchrl_factory(name.removeprefix("torchrl."))
    transports = _transports()
    if name in transports.available():
        if contender.server == "torchrl":
            from slotbench import torchrl as adapter

            return lambda num_slots, **options: adapter.create(name, num_slots, **options)
        return lambda num_slots, **options: transports.create(name, num_slots, **options)
    if ":" in name:
        module, _, attribute = name.partition(":")
        factory: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        return factory
    (entry_point,) = importlib.metadata.entry_points(
        group=contenders.ENTRY_POINT_GROUP, name=name
    )
    loaded: Callable[..., Any] = entry_point.load()
    return loaded


def _torchrl_factory(name: str) -> Callable[..., Any]:
    from torchrl.modules import inference_server

    if name == "slot":
        slot: Callable[..., Any] = inference_server.SlotTransport
        return slot
    return lambda num_slots: inference_server.ThreadingTransport()  # noqa: ARG005  # its queue has no size


def _server_class(contender: Contender) -> Callable[..., Any]:
    if contender.server == "torchrl":
        from torchrl.modules.inference_server import InferenceServer

        torchrl_server: Callable[..., Any] = InferenceServer
        return torchrl_server
    server: Callable[..., Any] = _transports().InferenceServer
    return server


def _transports() -> Any:
    """The package as this process has it now: installed, or from a contender's checkout."""
    return importlib.import_module("transports")
