"""A contender made runnable: a transport in a server, or the floor, behind three calls."""

import importlib
import importlib.metadata
import inspect
import multiprocessing
from collections.abc import Callable
from typing import Any, Protocol

import torch
from tensordict import TensorDict, TensorDictBase, lazy_stack, maybe_dense_stack

from slotbench import contenders
from slotbench.errors import ContenderError
from slotbench.measure import checkout
from slotbench.measure.blame import told
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
) -> System:
    """Make the contender.

    Args:
        contender: whose actors are not TorchRL's collector's.
        num_slots: of the trial.
        batching: the server's rule.
        model: what is served.
        layouts: called where memory is made of what requests and replies look like.

    Raises:
        ContenderError: it is not installed, fails to import, or refuses its options.
    """
    if contender.name == "floor":
        return FloorSystem(num_slots, batching, model.serve_without_payload)
    transport = build_transport(contender, num_slots, layouts)
    return _serve(contender, transport, batching, model)


def build_transport(
    contender: Contender, num_slots: int, layouts: Callable[[], Layouts]
) -> Any:
    """Make the contender's transport alone; arguments as of `build`.

    Raises:
        ContenderError: as `build`.
    """
    try:
        transport = _build_transport(contender, num_slots, layouts)
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
    return transport


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
    transport = _build_transport(contender, num_slots, layouts)
    return _serve(contender, transport, batching, model)


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
        get_ready = getattr(transport, "get_ready", None)
        return TransportSystem(transport, server, server.collate_fn, get_ready)
    default = _stack_leaves if hasattr(transport, "gather") else torch.stack
    return TransportSystem(transport, server, collate_fn or default)


def _stack_leaves(items: list[TensorDictBase]) -> TensorDict:
    """Stack tensors leaf by leaf, as the fast path of our transports does."""
    names = list(items[0].keys())
    leaves = {name: torch.stack([item.get(name) for item in items]) for name in names}
    return TensorDict(leaves, [len(items)])


def _build_transport(
    contender: Contender, num_slots: int, layouts: Callable[[], Layouts]
) -> Any:
    """Call the contender's factory with its options."""
    options = {
        key: value
        for key, value in contender.options.items()
        if key not in contenders.HARNESS_OPTIONS
    }
    folder = contenders.checkout(contender)
    if folder is not None:
        checkout.use(folder, contenders.package_of(contender))
    transport = _factory(contender, layouts)(num_slots, **options)
    if contender.server in {"torchrl", "collector"}:
        from slotbench.torchrl import adapt

        transport = adapt(transport)
    return transport


_VERBS = ("client", "wait_for_work", "drain", "resolve", "resolve_exception")


def _factory(contender: Contender, layouts: Callable[[], Layouts]) -> Callable[..., Any]:
    """Find ``factory(num_slots, **options)`` by the contender's name."""
    name = contender.name
    if name.startswith("torchrl.") and ":" not in name:
        return _torchrl_factory(name.removeprefix("torchrl."), layouts)
    transports = _transports()
    if name in transports.available():
        if contender.server in {"torchrl", "collector"}:
            from slotbench import torchrl as adapter

            return lambda num_slots, **options: adapter.create(name, num_slots, **options)
        return lambda num_slots, **options: transports.create(name, num_slots, **options)
    if ":" in name:
        module, _, attribute = name.partition(":")
        return _with_layouts(getattr(importlib.import_module(module), attribute), layouts)
    (entry_point,) = importlib.metadata.entry_points(
        group=contenders.ENTRY_POINT_GROUP, name=name
    )
    return _with_layouts(entry_point.load(), layouts)


def _with_layouts(
    factory: Callable[..., Any], layouts: Callable[[], Layouts]
) -> Callable[..., Any]:
    """Give a factory that has parameters for them samples of a request and of a reply."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return factory  # of C, or with a signature that cannot be read
    if not {"request_spec", "response_spec"} <= set(parameters):
        return factory
    sample = layouts()
    return lambda num_slots, **options: factory(
        num_slots, request_spec=sample.request, response_spec=sample.reply, **options
    )


def _torchrl_factory(name: str, layouts: Callable[[], Layouts]) -> Callable[..., Any]:
    """Find TorchRL's own. Its queues have no number of slots.

    Those between processes are made for actors that are forked: their clients are inherited.
    """
    from torchrl.modules import inference_server as of_torchrl

    forked = multiprocessing.get_context("fork")
    if name in {"shared_memory", "process_slot"}:
        make = {
            "shared_memory": of_torchrl.SharedMemoryTransport,
            "process_slot": of_torchrl.ProcessSlotTransport,
        }[name]
        sample = layouts()
        # Its server stamps every reply with the version of the weights.
        reply = sample.reply.clone().set(
            "policy_version", torch.zeros((), dtype=torch.int64)
        )
        return lambda num_slots, **options: make(
            sample.request, reply, num_slots=num_slots, ctx=forked, **options
        )
    factories: dict[str, Callable[..., Any]] = {
        "slot": of_torchrl.SlotTransport,
        "threading": lambda num_slots: of_torchrl.ThreadingTransport(),  # noqa: ARG005
        "mp": lambda num_slots: of_torchrl.MPTransport(forked),  # noqa: ARG005
        "ray": _ray_transport,
    }
    return factories[name]


def _ray_transport(num_slots: int) -> Any:
    """Make TorchRL's Ray transport, on a Ray of this process's own, which ends when it does.

    Not by ``ray.shutdown``, which ends the process where an actor's thread still waits for a reply.
    """
    import ray
    from torchrl.modules.inference_server import RayTransport

    class _RayTransport(RayTransport):  # type: ignore[misc]  # torchrl is untyped
        def get_ready(self) -> None:
            """Wait until every queue's process is there and has passed something once."""
            for queue in (self._request_queue, *self._response_queues.values()):
                queue.put(None)
                queue.get()

    if not ray.is_initialized():
        # A queue is a Ray actor, which wants no processor but while it starts.
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            num_cpus=num_slots + 1,
        )
    return _RayTransport()


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
