"""A contender made runnable: a transport in a server, or the floor, behind three calls."""

from collections.abc import Callable
from typing import Any, Final, Protocol

import torch
from tensordict import TensorDict, TensorDictBase, lazy_stack, maybe_dense_stack

from slotbench.measure import factories
from slotbench.measure.floor import FloorSystem
from slotbench.measure.layouts import Layouts
from slotbench.measure.recording import Collate
from slotbench.measure.served import ServedModel
from slotbench.records import Batching, Contender

_COLLATE = {
    "lazy_stack": lazy_stack,
    "maybe_dense_stack": maybe_dense_stack,
    "default": None,
}


_STAGES_ITSELF: Final = "torchrl.process_slot"


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

    Args:
        collate: see `System`.
        get_ready: called before the server is started, when all clients exist.
    """

    def __init__(
        self,
        transport: Any,
        server: Any,
        collate: Collate,
        get_ready: Callable[[], object] | None = None,
    ) -> None:
        self.collate = collate
        self.transport = transport
        self.server = server
        self._get_ready = get_ready

    def client(self) -> Callable[[Any], Any]:
        """Return a client of the transport."""
        client: Callable[[Any], Any] = self.transport.client()
        return client

    def start(self) -> None:
        """Start the server."""
        if self._get_ready is not None:
            self._get_ready()
        self.server.start()

    def shutdown(self, timeout_s: float) -> bool:
        """Stop the server; both servers join their thread for at most the timeout."""
        worker = getattr(self.server, "_worker", None)  # TorchRL forgets it in shutdown
        self.server.shutdown(timeout=timeout_s)
        return not (worker.is_alive() if worker is not None else self.server.is_alive)


def build(
    contender: Contender,
    num_slots: int,
    batching: Batching,
    model: ServedModel,
    layouts: Callable[[], Layouts],
    *,
    device: str = "cpu",
) -> System:
    """Make the contender.

    Args:
        contender: whose actors are not TorchRL's collector's.
        num_slots: of the trial.
        batching: the server's rule.
        model: what is served.
        layouts: called where memory is made of what requests and replies look like.
        device: of the policy.

    Raises:
        ContenderError: it is not installed, fails to import, or refuses its options.
    """
    if contender.name == "floor":
        return FloorSystem(num_slots, batching, model.serve_without_payload)
    transport = factories.build_transport(contender, num_slots, layouts)
    return _serve(contender, transport, batching, model, device)


def build_as_given(
    contender: Contender,
    num_slots: int,
    batching: Batching,
    model: Callable[[TensorDictBase], TensorDictBase],
    layouts: Callable[[], Layouts],
) -> TransportSystem:
    """Make the contender; what it raises is raised as it is; arguments as of `build`.

    For those who want to see what it refuses. The floor cannot be made so.
    """
    transport = factories.build_as_given(contender, num_slots, layouts)
    return _serve(contender, transport, batching, model)


def _serve(
    contender: Contender,
    transport: Any,
    batching: Batching,
    model: Callable[[TensorDictBase], TensorDictBase],
    device: str = "cpu",
) -> TransportSystem:
    """Put the transport into its server; ours comes from where our transport did.

    TorchRL's server of fixed slots builds its batches in pinned memory and copies them without blocking,
    if it is told of a device: it is used so. Any other moves what it has collated with a plain
    ``to``, row by row where that is lazily stacked: there the policy does better
    (`slotbench.measure.on_device`).
    """
    moves = {}
    if device != "cpu" and contender.name == _STAGES_ITSELF:
        moves["policy_device"] = device
    collate_fn = _COLLATE[str(contender.options.get("collate", "default"))]
    server = _server_class(contender)(
        model,
        transport,
        max_batch_size=batching.max_batch_size,
        min_batch_size=batching.min_batch_size,
        timeout=batching.timeout_ms / 1e3,
        collate_fn=collate_fn,
        **moves,
    )
    if contender.server == "torchrl":
        get_ready = getattr(transport, "get_ready", None)
        return TransportSystem(transport, server, server.collate_fn, get_ready)
    default = _stack_leaves if hasattr(transport, "gather") else torch.stack
    return TransportSystem(transport, server, collate_fn or default)


def _stack_leaves(items: list[TensorDictBase]) -> TensorDict:
    """Stack tensors leaf by leaf, as the fast path of our transports does."""
    names = list(items[0].keys())
    leaves = {name: torch.stack([item.get(name) for item in items]) for name in names}
    return TensorDict(leaves, [len(items)])


def _server_class(contender: Contender) -> Callable[..., Any]:
    if contender.server == "torchrl":
        from torchrl.modules.inference_server import InferenceServer

        torchrl_server: Callable[..., Any] = InferenceServer
        return torchrl_server
    server: Callable[..., Any] = factories.own_package().InferenceServer
    return server
