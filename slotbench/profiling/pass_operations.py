"""What a request makes: objects, tensors, copies, and the torch operations that drop the GIL.

Every operation is looked at, which costs many times what it does itself: this pass tells numbers
per request, not times. Batches may be smaller than they are without it.
"""

import functools
import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from threading import get_ident
from types import FunctionType
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from slotbench.measure import environments, layouts, systems
from slotbench.measure.actors import Actor
from slotbench.measure.identity import IdentityCheck
from slotbench.measure.policies import Policy
from slotbench.measure.served import ServedModel
from slotbench.measure.systems import System
from slotbench.profiling import _patches, _prices, _probes
from slotbench.profiling._patches import Patches
from slotbench.profiling._places import PlacedModel, place_methods
from slotbench.profiling._probes import WAITS, Found, Probes
from slotbench.profiling._tallies import Tallies, Tally
from slotbench.records import Batching, Contender, TrialRecord, Workload

_COPYING: Final = frozenset({
    *("clone", "copy_", "_to_copy", "stack", "cat", "contiguous"),
    *("index", "index_select", "gather", "_foreach_copy_", "lift_fresh_copy"),
})  # fmt: skip
"""ATen's names of operations that do nothing but copy."""

_ROWS: Final = (
    *("handles_made", "torch_calls_actors", "torch_calls_server"),
    *("tensors_made", "tensor_bytes", "copies", "copied_bytes"),
)
"""Of the ledger, beside those of `_patches.OBJECTS`."""

_NUM_HELD: Final = 32
_SUBMIT_S: Final = 5.0
"""How long submitting without a server may take, before it is taken for one that waits."""


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's is untyped
    """Notes the operations of the thread that entered it; one each."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tally = tally

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tally = self._tally
        if tally.place != "model":
            name = func.overloadpacket.__name__
            own = {t.untyped_storage().data_ptr() for t in _tensors((args, kwargs))}
            made = [
                t for t in _tensors(result) if t.untyped_storage().data_ptr() not in own
            ]
            size = sum(tensor.untyped_storage().nbytes() for tensor in made)
            tally.add("torch", len(made), size)
            if name in _COPYING:
                written = sum(tensor.nbytes for tensor in _tensors(result))
                tally.add("copies", written)
        return result


class OperationsPass(Probes):
    """Counts in one trial. Actors make their plain call, and not its two halves."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._tallies = Tallies()
        self._patches = Patches()
        self._watched: dict[int, _Watch] = {}
        self._rows = {*_patches.OBJECTS, *_ROWS}
        self._taken: dict[int, Any] = {}

    def before_build(self, contender: Contender) -> None:
        """Have constructors note what they make."""
        self._contender = contender
        tallies = self._tallies
        handle = _handle_class(contender, self._workload)
        kinds: dict[str, type] = dict(_patches.OBJECTS)
        if handle is None:
            self._rows.discard("handles_made")
        elif not issubclass(handle, kinds["futures_made"]):
            kinds["handles_made"] = handle
        for name, cls in kinds.items():
            self._patches.constructor(cls, lambda name=name: tallies.mine().add(name))  # type: ignore[misc]

    def model(
        self, policy: Policy, serve: Callable[[int], None], max_batches: int
    ) -> ServedModel:
        """Tell the model's operations from the transport's."""
        return PlacedModel(policy, serve, max_batches, self._tallies)

    def attach(self, system: System, actors: Sequence[Actor]) -> None:
        """Watch the server's thread from its first wait on."""
        super().attach(system, actors)
        place_methods(system, self._tallies)
        _probes.wrap_methods(system, WAITS, self._around_wait)

    def _around_wait(self, name: str, wait: Callable[..., Any]) -> Callable[..., Any]:
        del name
        watched = self._watched

        def watching(*args: Any, **kwargs: Any) -> Any:
            if get_ident() not in watched:
                # Never left: between two of the server's calls it unbinds the model's result.
                watched[get_ident()] = watch = _Watch(self._tallies.mine())
                watch.__enter__()  # type: ignore[no-untyped-call]
            return wait(*args, **kwargs)

        return watching

    def client(self, system: System, index: int) -> Callable[[Any], Any]:
        """Watch the actor while it is in the client."""
        del index
        call, _ = _probes.halves(system)
        mine = self._tallies.mine
        watches: list[_Watch] = []

        def client(request: Any) -> Any:
            if not watches:
                tally = mine()
                tally.is_actor = True
                watches.append(_Watch(tally))
            with watches[0]:
                return call(request)

        return client

    def before_window(self) -> None:
        """Begin to count."""
        self._tallies.clear()
        self.count_from_here()

    def after_window(self, begin_ns: int, end_ns: int) -> None:
        """Count no more."""
        del begin_ns, end_ns
        self.count_to_here()
        self._taken = self._tallies.take()

    def after_trial(self) -> None:
        """Give the classes their own constructors back."""
        self._patches.undo()

    def result(self, trial: TrialRecord) -> Found:
        """Divide by the replies."""
        del trial
        n = self.num_replies
        if not n:
            return Found()
        sums = dict.fromkeys(sorted(self._rows), 0)
        for tally, counts in self._taken.values():
            for key, (times, first, second) in counts.items():
                if key == "torch":
                    who = "actors" if tally.is_actor else "server"
                    sums[f"torch_calls_{who}"] += times
                    sums["tensors_made"] += first
                    sums["tensor_bytes"] += second
                elif key == "copies":
                    sums["copies"] += times
                    sums["copied_bytes"] += first
                else:
                    sums[str(key)] += times
        counts = {name: total / n for name, total in sums.items()}
        return Found(
            counts=counts | _held(self._contender, self._workload),
            prices_s=_prices.of_operations(),
        )


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Every strided tensor in arguments or results, inside lists, too."""
    if isinstance(value, torch.Tensor):
        if value.layout is torch.strided:  # others have no memory of their own
            yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)


def _submits(
    contender: Contender, workload: Workload, number: int
) -> list[Callable[[], Any]]:
    """Make a transport without a server, and so many first requests to it.

    Returns:
        Calls that submit; empty where clients have no ``submit``.
    """
    if contender.name == "floor":
        return []
    model = ServedModel(lambda batch: batch, lambda _: None, max_batches=1)
    sample = functools.partial(layouts.of_workload, workload, 0)
    system = systems.build(contender, number, Batching(), model, sample)
    submits = []
    for index in range(number):
        submit = getattr(system.client(), "submit", None)
        if submit is None:
            return []
        environment = environments.build(
            workload, IdentityCheck(index).ids, has_payload=True, seed=index
        )
        submits.append(_Submit(submit, environment.request()))
    return list(submits)


class _Submit:
    """One request, to be submitted once."""

    __slots__ = ("_request", "_submit")

    def __init__(self, submit: Callable[[Any], Any], request: Any) -> None:
        self._submit, self._request = submit, request

    def __call__(self) -> Any:
        return self._submit(self._request)


def _in_time(call: Callable[[], Any]) -> Any:
    """Call in a thread of its own; None if that is not done in time, or fails."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception:  # noqa: BLE001  # then it is not known; the trial says what is wrong
            results.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_SUBMIT_S)
    return results[0] if results else None


def _handle_class(contender: Contender, workload: Workload) -> type | None:
    """The class of what the client's submit returns; None where its objects cannot be counted."""

    def submit_one() -> Any:
        submits = _submits(contender, workload, 1)
        return submits[0]() if submits else None

    kind = type(_in_time(submit_one))
    # Only an __init__ of Python's own can be stood in for.
    return kind if isinstance(kind.__init__, FunctionType) else None


def _held(contender: Contender, workload: Workload) -> dict[str, float]:
    """Blocks and bytes that a request holds between submit and service."""

    def measure() -> dict[str, float]:
        submits = _submits(contender, workload, 2 * _NUM_HELD + 1)
        if not submits:
            return {}
        handles: list[Any] = [None] * len(submits)
        handles[0] = submits[0]()  # the schema's
        gc.collect()
        gc.disable()
        try:
            before = sys.getallocatedblocks()
            for i in range(1, _NUM_HELD + 1):
                handles[i] = submits[i]()
            blocks = sys.getallocatedblocks() - before
            tracemalloc.start()
            before_bytes = tracemalloc.get_traced_memory()[0]
            for i in range(_NUM_HELD + 1, len(submits)):
                handles[i] = submits[i]()
            held_bytes = tracemalloc.get_traced_memory()[0] - before_bytes
        finally:
            tracemalloc.stop()
            gc.enable()
        return {
            "blocks_in_flight": max(0, blocks) / _NUM_HELD,
            "bytes_in_flight": max(0, held_bytes) / _NUM_HELD,
        }

    return _in_time(measure) or {}
