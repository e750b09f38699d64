"""The life of a request: stamps around the public parts of transport, client and model.

A transport is not asked to help, and no file of anybody's is patched: this object's methods
are wrapped. An actor's call is made in its two halves, ``submit`` and ``result``. What this
costs is told by the pass "plain".
"""

import time
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any, Final

import numpy as np
import torch
from tensordict import TensorDictBase

from slotbench.compute import phases
from slotbench.measure.actors import Actor
from slotbench.measure.identity import REQUEST_ID
from slotbench.measure.policies import Policy
from slotbench.measure.served import ServedModel
from slotbench.measure.systems import System
from slotbench.profiling import _probes, sample
from slotbench.profiling._probes import DRAINS, RESOLVES, WAITS, Found, Probes
from slotbench.profiling._tables import Actors, Log, Numbers, group, numbers, tables
from slotbench.records import Contender, TrialRecord, Workload

_clock = time.perf_counter_ns

_ACTOR_SHIFT: Final = 32
_WITH_DOORBELL: Final = frozenset({"transports.slot", "slotbench.measure.floor"})
_CHUNK: Final = 256
"""Batches whose ids are kept apart before they are made one tensor."""

_SAMPLE_S: Final = 0.02
_SLOWEST: Final = 10
_MAX_SAMPLED: Final = 600


class _StampedModel(ServedModel):
    """Notes of each batch: begin, input read, end, thread, and the requests' ids.

    Threads: as `ServedModel`; read by the main thread when the server's has ended.
    """

    def __init__(
        self, policy: Policy, serve: Callable[[int], None], max_batches: int, log: Log
    ) -> None:
        super().__init__(policy, serve, max_batches)
        self.ids: list[torch.Tensor] = []
        self.chunks: list[torch.Tensor] = []
        self._noted = log
        self._read_ns = 0
        if hasattr(policy, "read"):
            _probes.wrap(policy, "read", self._around_read)

    def _around_read(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def stamped(batch: TensorDictBase) -> Any:
            leaves = read(batch)
            self._read_ns = _clock()
            return leaves

        return stamped

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        begin_ns = self._read_ns = _clock()
        # A copy: the batch's memory may be the next one's, too.
        ids = batch.get(REQUEST_ID).clone()
        result = super().__call__(batch)
        end_ns = _clock()
        self.ids.append(ids)
        if len(self.ids) == _CHUNK:
            self.chunks.append(torch.cat(self.ids))
            self.ids.clear()
        self._note(begin_ns, end_ns, ids.shape[0])
        return result

    def serve_without_payload(self, batch_size: int) -> None:
        begin_ns = self._read_ns = _clock()
        super().serve_without_payload(batch_size)
        self._note(begin_ns, _clock(), batch_size)

    def _note(self, begin_ns: int, end_ns: int, size: int) -> None:
        log = self._noted
        log.model_begin.append(begin_ns)
        log.read.append(self._read_ns)
        log.model_end.append(end_ns)
        log.runner.append(get_ident())
        log.sizes.append(size)
        log.num_resolved.append(len(log.resolved))


class PhasesPass(Probes):
    """Stamps of one trial.

    Threads: what is noted of the server's side is appended by whoever has its turn, one at a
    time; of an actor by that actor; a signal by anybody. All is read when the trial is over.
    """

    def __init__(self, workload: Workload) -> None:
        self._min_batch_size = workload.batching.min_batch_size
        self._log = Log()
        self._taken: list[list[int]] = []  # of the floor: the slots of each drain
        self._published: list[Numbers] = []
        self._actor_of_thread: dict[int, int] = {}
        self._is_write_seen = True
        self._is_floor = False
        self._window = (0, 0)
        self._state = {"waiting": 0, "draining": False, "resolving": False}

    def before_build(self, contender: Contender) -> None:
        """Know what the batches carry."""
        self._is_floor = contender.name == "floor"

    def model(
        self, policy: Policy, serve: Callable[[int], None], max_batches: int
    ) -> ServedModel:
        """Stamp each batch."""
        self._model = _StampedModel(policy, serve, max_batches, self._log)
        return self._model

    def attach(self, system: System, actors: Sequence[Actor]) -> None:
        """Wrap what the server calls."""
        super().attach(system, actors)
        _probes.wrap_methods(system, WAITS, self._around_wait)
        _probes.wrap_methods(system, DRAINS, self._around_drain)
        _probes.wrap_methods(system, RESOLVES, self._around_resolve)
        # Ours, and the floor, signal when a batch is due, and not with each submit.
        signalling = system if self._is_floor else getattr(system, "transport", None)
        if _rings(signalling):
            self._log.rings = numbers()
            _probes.wrap(signalling, "_ring", self._around_ring)

    def client(self, system: System, index: int) -> Callable[[Any], Any]:
        """Stamp the moment between submit and result."""
        call, submit = _probes.halves(system)
        published = numbers()
        self._published.append(published)
        note = published.append
        if submit is None:
            self._is_write_seen = False

            def stamped(request: Any) -> Any:
                note(0)
                return call(request)
        else:

            def stamped(request: Any) -> Any:
                wait = submit(request)
                note(_clock())
                return wait()

        def first(request: Any) -> Any:
            self._actor_of_thread[get_ident()] = index
            steps[0] = stamped
            return stamped(request)

        steps = [first]
        return lambda request: steps[0](request)  # noqa: PLW0108  # looked up anew each time

    def after_window(self, begin_ns: int, end_ns: int) -> None:
        """Note the window."""
        self._window = (begin_ns, end_ns)

    def result(self, trial: TrialRecord) -> Found:  # noqa: ARG002  # all is in the stamps
        """Cut the requests into phases, and keep some for a timeline."""
        stamps = [actor.stamps_ns() for actor in self._actors]
        found = tables(
            self._log,
            Actors(
                submitted=[submitted for submitted, _ in stamps],
                published=[
                    np.array(noted[: len(replied)], np.int64)
                    for noted, (_, replied) in zip(self._published, stamps, strict=True)
                ],
                replied=[replied for _, replied in stamps],
            ),
            self._rows(),
            min_batch_size=self._min_batch_size,
            actor_of_thread=self._actor_of_thread,
        )
        requests, drains, batches, _ = found
        summary = phases.summarise(
            requests, drains, batches, self._window, is_write_seen=self._is_write_seen
        )
        if summary is None:
            return Found()
        taken = sample.take(
            *found,
            self._window,
            for_s=_SAMPLE_S,
            num_slowest=_SLOWEST,
            max_requests=_MAX_SAMPLED,
        )
        return Found(phases=summary, sample=taken)

    def _rows(self) -> list[list[int]]:
        """Of each batch, the actor of each row."""
        if self._is_floor:
            groups = group(self._log)
            return [
                [slot for drain in one for slot in self._taken[drain]] for one in groups
            ]
        ids = self._model.chunks + self._model.ids
        actors = (torch.cat(ids) >> _ACTOR_SHIFT).tolist() if ids else []
        ends = np.cumsum(np.array(self._log.sizes, np.int64)).tolist()
        return [
            actors[end - size : end]
            for end, size in zip(ends, self._log.sizes, strict=True)
        ]

    # ---- wrappers; one method of a transport may be made of another, so the outermost counts

    def _around_wait(self, name: str, wait: Callable[..., Any]) -> Callable[..., Any]:
        log, state = self._log, self._state
        is_for_batch = name == "wait_for_batch"

        def stamped(*args: Any, **kwargs: Any) -> Any:
            if state["waiting"]:
                return wait(*args, **kwargs)
            log.is_due_together = is_for_batch
            state["waiting"] = begin_ns = _clock()
            try:
                return wait(*args, **kwargs)
            finally:
                log.waits.extend((begin_ns, _clock()))
                state["waiting"] = 0

        return stamped

    def _around_drain(self, name: str, drain: Callable[..., Any]) -> Callable[..., Any]:  # noqa: ARG002  # all alike
        log, state = self._log, self._state

        def stamped(*args: Any, **kwargs: Any) -> Any:
            if state["draining"]:
                return drain(*args, **kwargs)
            state["draining"] = True
            num_waits, under_way_ns = len(log.waits) // 2, state["waiting"]
            begin_ns = _clock()
            try:
                got = drain(*args, **kwargs)
            finally:
                state["draining"] = False
            end_ns = _clock()
            # claim() gives callbacks; drain() items and callbacks, perhaps more.
            callbacks = got[1] if isinstance(got, tuple) else got
            if not callbacks:
                log.empty_drains.append(end_ns)
            else:
                log.drains.extend(
                    (begin_ns, end_ns, len(callbacks), num_waits, under_way_ns)
                )
                if self._is_floor:
                    self._taken.append(list(callbacks))
            return got

        return stamped

    def _around_resolve(self, name: str, resolve: Callable[..., Any]) -> Callable[..., Any]:
        log, state = self._log, self._state
        is_whole = name != "resolve"

        def stamped(*args: Any, **kwargs: Any) -> Any:
            if state["resolving"]:
                return resolve(*args, **kwargs)
            state["resolving"] = True
            log.is_resolved_whole = is_whole
            try:
                return resolve(*args, **kwargs)
            finally:
                log.resolved.append(_clock())
                state["resolving"] = False

        return stamped

    def _around_ring(self, ring: Callable[..., Any]) -> Callable[..., Any]:
        assert self._log.rings is not None
        note = self._log.rings.append

        def stamped() -> Any:
            note(_clock())
            return ring()

        return stamped


def _rings(transport: Any) -> bool:
    """Whether it is one of ours, also of another checkout, that has a doorbell to be rung."""
    modules = {kind.__module__ for kind in type(transport).__mro__}
    return not modules.isdisjoint(_WITH_DOORBELL)
