"""A contender's transport, by its name: ours, TorchRL's, an installed package's, anybody's factory."""

import importlib
import importlib.metadata
import inspect
import multiprocessing
from collections.abc import Callable
from typing import Any, Final

import torch

from slotbench import contenders
from slotbench.errors import ContenderError
from slotbench.measure import checkout
from slotbench.measure.blame import told
from slotbench.measure.layouts import Layouts
from slotbench.records import Contender

_VERBS: Final = ("client", "wait_for_work", "drain", "resolve", "resolve_exception")


def build_transport(
    contender: Contender, num_slots: int, layouts: Callable[[], Layouts]
) -> Any:
    """Make the contender's transport.

    Args:
        contender: not the floor.
        num_slots: of the trial.
        layouts: called where memory is made of what requests and replies look like.

    Raises:
        ContenderError: it is not installed, fails to import, or refuses its options.
    """
    try:
        transport = build_as_given(contender, num_slots, layouts)
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
    contender: Contender, num_slots: int, layouts: Callable[[], Layouts]
) -> Any:
    """Call the contender's factory with its options; what it raises is raised as it is."""
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


def _factory(contender: Contender, layouts: Callable[[], Layouts]) -> Callable[..., Any]:
    """Find ``factory(num_slots, **options)`` by the contender's name."""
    name = contender.name
    if name.startswith("torchrl.") and ":" not in name:
        return _torchrl_factory(name.removeprefix("torchrl."), layouts)
    transports = own_package()
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


def _ray_transport(num_slots: int) -> Any:  # noqa: ARG001  # its queues have no size of ours
    """Make TorchRL's Ray transport, on a Ray of this process's own."""
    from torchrl.modules.inference_server import RayTransport

    class _RayTransport(RayTransport):  # type: ignore[misc]  # torchrl is untyped
        def get_ready(self) -> None:
            """Wait until every queue's process is there and has passed something once."""
            for queue in (self._request_queue, *self._response_queues.values()):
                queue.put(None)
                queue.get()

    start_ray()
    return _RayTransport()


def start_ray() -> None:
    """Start a Ray of this process's own, unless there is one; it ends when the process does.

    Not by ``ray.shutdown``, which ends the process where an actor's thread still waits for a reply.

    Threads: the main one's, or one that lives as long: Linux tells Ray's processes of their parent's
    death when the *thread* that started them ends (prctl(2), PR_SET_PDEATHSIG), and they follow it.
    """
    import ray

    if not ray.is_initialized():
        # A queue is a Ray actor, which wants no processor but while it starts; for each processor Ray
        # starts a worker that nobody asked for, and that computes while the trial does.
        ray.init(
            # Never a cluster that is there already: its nodes are not what is measured.
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            num_cpus=1,
        )


def own_package() -> Any:
    """The package as this process has it now: installed, or from a contender's checkout."""
    return importlib.import_module("transports")
