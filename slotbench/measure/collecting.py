"""TorchRL's ``AsyncBatchedCollector`` around a transport: the crew of a trial, and its system.

The collector has actors of its own: threads, or processes, that step an env and ask the policy. So
what an actor does elsewhere, an env does here (`slotbench.measure.recorded_env`). Latency is then the
way through the collector, its env pool, `PolicyClientModule` and the transport, and a reply is a
step. A thread iterates over the collector, does nothing with what it gets, and counts it: the
frames.

``torchrl.parallel`` is the collection without a transport: TorchRL's ``Collector`` over a
``ParallelEnv``, a process an env, all stepped together and then asked for together.

The trial's end: the envs are told to ask no more; when all that was counted has been read they are
released, and only then is the collector shut down.

Source: torchrl 0.14.1, ``torchrl.collectors._async_batched``, ``torchrl.collectors._single`` and
``torchrl.envs.async_envs``.
"""

import functools
import multiprocessing
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from tensordict import maybe_dense_stack
from torchrl.collectors import AsyncBatchedCollector, Collector
from torchrl.envs import ParallelEnv
from torchrl.modules.inference_server import ProcessSlotTransport

from slotbench import contenders
from slotbench.measure import factories
from slotbench.measure.crew import WATCH_STEP_S, settled
from slotbench.measure.layouts import Layouts
from slotbench.measure.outcomes import raised
from slotbench.measure.recorded_env import RecordedEnv
from slotbench.measure.recording import Collate
from slotbench.measure.served import SharedServedModel
from slotbench.measure.shared import SharedFlag, reserve
from slotbench.measure.shared_log import SharedLog
from slotbench.records import TrialSpec


class Collection:
    """A collector, its envs and who iterates over it: the crew of a trial.

    Args:
        spec: of the trial; its contender is ``…@collector``.
        max_requests: room for stamps of each env.
        model: what is served; perhaps in another process.
        layouts: makes samples of a request and of a reply.

    Threads: the main thread's.

    Raises:
        ContenderError: the transport cannot be made.
    """

    def __init__(
        self,
        spec: TrialSpec,
        max_requests: int,
        model: SharedServedModel,
        layouts: Callable[[], Layouts],
    ) -> None:
        workload, contender = spec.workload, spec.contender
        # The pools of TorchRL take the default: what is forked has the memory that is shared.
        multiprocessing.set_start_method("fork", force=True)
        sample = layouts()
        self._logs = [SharedLog(i, max_requests) for i in range(workload.num_slots)]
        self._stop = SharedFlag()
        self._release = SharedFlag()
        self._error = ""
        self._start_timeout_s = spec.deadline_s / 2
        self._frames: list[tuple[int, int]] = [(time.perf_counter_ns(), 0)]
        self._consumer = threading.Thread(
            target=self._consume, name="consumer", daemon=True
        )
        self._has_ended = False
        env_backend = contenders.env_backend_of(contender)
        self._model = model

        env_of = functools.partial(
            RecordedEnv,
            workload=workload,
            seed=spec.seed,
            sample=sample,
            is_lent=env_backend == "multiprocessing",
            in_step=reserve(1) if contender.name == "torchrl.parallel" else None,
            stop=self._stop,
            release=self._release,
        )
        make = _parallel if contender.name == "torchrl.parallel" else _asynchronous
        self._collector = make(
            spec, [functools.partial(env_of, log) for log in self._logs], model, sample
        )

    @property
    def actors(self) -> Sequence[SharedLog]:
        """One log each, by index."""
        return self._logs

    def start(self, serve: Callable[[], None]) -> None:
        """Start the collector, its server with it, and return when every env has asked once.

        Raises:
            RuntimeError: it failed, or an env did not ask in time.
        """
        self._consumer.start()
        deadline = time.monotonic() + self._start_timeout_s
        while not all(log.num_submitted for log in self._logs):
            if self._error:
                raise RuntimeError(raised(self._error))
            if time.monotonic() > deadline:
                raise RuntimeError("an env of the collector has not asked for an action")
            time.sleep(WATCH_STEP_S)
        serve()

    def stop(self) -> None:
        """See `slotbench.measure.crew.Crew.stop`."""
        self._stop.set()

    def is_stopped(self) -> bool:
        """See `slotbench.measure.crew.Crew.is_stopped`."""
        return self._stop.is_set()

    def wait(self, timeout_s: float) -> bool:
        """See `slotbench.measure.crew.Crew.wait`."""
        return self._stop.wait(timeout_s)

    def settle(self, timeout_s: float) -> list[int]:
        """See `slotbench.measure.crew.Crew.settle`."""
        stuck = settled(
            self._logs,
            has_ended=lambda index: self._logs[index].is_over.is_set(),
            join=lambda index, wait_s: self._logs[index].is_over.wait(wait_s),
            timeout_s=timeout_s,
            grace_s=timeout_s,
        )
        if self._error:
            self._logs[0].end(self._error)
        return stuck

    def num_frames_at(self, at_ns: int) -> int:
        """Steps that the consumer had been handed at that moment."""
        return max(frames for when_ns, frames in list(self._frames) if when_ns <= at_ns)

    def end(self, timeout_s: float) -> bool:
        """Let the envs go on and end the collector; return whether it ended in time.

        What is served from now on does not count.
        """
        replied = [log.stamps_ns()[1] for log in self._logs]
        if isinstance(self._collector, Collector) and all(map(len, replied)):
            # It calls its policy when it is made, and once more than it steps when it begins.
            self._model.forget_rehearsals(min(int(stamps[0]) for stamps in replied))
        self._model.freeze()
        self._release.set()
        ending = threading.Thread(target=self._shut_down, daemon=True)
        ending.start()
        ending.join(timeout_s)
        self._consumer.join(timeout_s)
        return self._has_ended

    def _shut_down(self) -> None:
        if isinstance(self._collector, Collector):
            # It works in the consumer's thread, which takes one more batch and ends.
            self._consumer.join()
        self._collector.shutdown()
        self._has_ended = True

    def _consume(self) -> None:
        """Take what is collected and forget it, as fast as it comes."""
        num_frames = 0
        try:
            for batch in self._collector:
                num_frames += batch.numel()
                self._frames.append((time.perf_counter_ns(), num_frames))
                if self._release.is_set():
                    return
        except Exception as error:  # noqa: BLE001  # reported: the trial must hear of it
            if not self._release.is_set():
                self._error = _told(error)
                self._stop.set()


class CollectorSystem:
    """The same collector as a trial's `slotbench.measure.systems.System`: there is little to drive."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self.collate: Collate = maybe_dense_stack
        """What the collector gives its server."""

    def client(self) -> Callable[[Any], Any]:
        """Nobody asks but the collector's own workers."""
        raise AssertionError("a collector has actors of its own")

    def start(self) -> None:
        """The server was started with the envs."""

    def shutdown(self, timeout_s: float) -> bool:
        """End the collector; return whether it ended in time."""
        return self._collection.end(timeout_s)


def _asynchronous(
    spec: TrialSpec,
    envs: list[Callable[[], Any]],
    model: SharedServedModel,
    sample: Layouts,
) -> Any:
    """TorchRL's collector with an inference server, around the contender's transport."""
    workload, contender = spec.workload, spec.contender
    transport = factories.build_transport(contender, workload.num_slots, lambda: sample)
    is_of_processes = isinstance(transport, ProcessSlotTransport)
    policy = {"policy_factory": lambda: model} if is_of_processes else {"policy": model}
    batching = workload.batching
    return AsyncBatchedCollector(
        envs,
        **policy,
        transport=transport,
        env_backend=contenders.env_backend_of(contender),
        frames_per_batch=_frames_per_batch(spec),
        max_batch_size=batching.max_batch_size,
        min_batch_size=batching.min_batch_size,
        server_timeout=batching.timeout_ms / 1e3,
    )


def _parallel(
    spec: TrialSpec,
    envs: list[Callable[[], Any]],
    model: SharedServedModel,
    sample: Layouts,  # noqa: ARG001  # one signature
) -> Any:
    """TorchRL's collector without a server: the policy is called with all observations at once."""
    num_slots = spec.workload.num_slots
    # Whole steps of all envs; TorchRL would round up, and say so on stderr.
    frames = -(-_frames_per_batch(spec) // num_slots) * num_slots
    return Collector(
        ParallelEnv(num_slots, envs, mp_start_method="fork"),
        model,
        frames_per_batch=frames,
        total_frames=-1,
    )


def _frames_per_batch(spec: TrialSpec) -> int:
    return int(spec.contender.options.get("frames_per_batch", contenders.FRAMES_PER_BATCH))


def _told(error: BaseException) -> str:
    """Write down an error that ends with the one it began with: the collector says little of it."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    first = [] if root is error else traceback.format_exception(error, chain=False)
    return "".join([*first, *traceback.format_exception(root)])
