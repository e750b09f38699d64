"""TorchRL's ``AsyncBatchedCollector`` around a transport, as both the system and the crew of a trial.

The collector has actors of its own: threads, or processes, that step an env and ask the policy. So
what an actor does elsewhere, an env does here: `RecordedEnv` is an actor's environment in TorchRL's
form, which stamps and checks as an actor does, from the moment at which it hands out an
observation to the moment at which it is given the action. Latency is then the way through the
collector, its env pool, `PolicyClientModule` and the transport, and a reply is a step. A thread
iterates over the collector, does nothing with what it gets, and counts it: the frames.

Once stopped, an env keeps the action it was given and asks no more, until all that was counted
has been read; only then is the collector shut down.

Source: torchrl 0.14.1, ``torchrl.collectors._async_batched`` and ``torchrl.envs.async_envs``.
"""

import math
import multiprocessing
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from tensordict import TensorDictBase, maybe_dense_stack
from torchrl.collectors import AsyncBatchedCollector
from torchrl.data import Bounded, Categorical, Composite, Unbounded
from torchrl.envs import EnvBase
from torchrl.modules.inference_server import ProcessSlotTransport

from slotbench import contenders
from slotbench.compute import think_times
from slotbench.measure import environments, systems
from slotbench.measure.crew import WATCH_STEP_S, settled
from slotbench.measure.identity import IdentityCheck
from slotbench.measure.layouts import Layouts
from slotbench.measure.recording import Collate
from slotbench.measure.served import SharedServedModel
from slotbench.measure.shared import SharedFlag
from slotbench.measure.shared_log import SharedLog
from slotbench.records import TrialSpec, Workload

_START_TIMEOUT_S: Final = 60.0
_HELD_STEP_S: Final = 0.005


class RecordedEnv(EnvBase):  # type: ignore[misc]  # torchrl is untyped
    """An actor's environment in TorchRL's form, with an actor's stamps and checks.

    Args:
        log: of the actor, in memory that all processes share.
        workload: of the cell.
        seed: of the trial.
        sample: what a request and a reply look like.
        is_lent: the action comes in memory that is written to again.
        stop: the trial is over.
        release: what was counted has been read; go on, so that the collector can end.

    Threads: one at a time, whichever the collector steps it in.
    """

    def __init__(
        self,
        log: SharedLog,
        workload: Workload,
        seed: int,
        *,
        sample: Layouts,
        is_lent: bool,
        stop: SharedFlag,
        release: SharedFlag,
    ) -> None:
        super().__init__(device=None, batch_size=[])
        self._log = log
        self._stop = stop
        self._release = release
        self._identity = IdentityCheck(log.index, copies=is_lent)
        self._environment = environments.build(
            workload,
            self._identity.ids,
            has_payload=True,
            seed=think_times.actor_seed(seed, log.index),
        )
        self._num_submitted = 0
        self.observation_spec = _spec_of(sample.request)
        # All that the policy says is the action, so that the collector brings the id's echo, too.
        self.full_action_spec = _spec_of(sample.reply)
        self.reward_spec = Unbounded(shape=(1,))
        self.done_spec = Categorical(2, dtype=torch.bool, shape=(1,))

    def _reset(self, tensordict: TensorDictBase | None = None, **_: Any) -> TensorDictBase:
        del tensordict
        return self._ask()

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        replied_ns = time.perf_counter_ns()
        i = self._num_submitted - 1
        if i >= 0 and not self._release.is_set():
            self._log.replied_ns[i] = replied_ns
            try:
                self._identity.add(tensordict)
                self._environment.step(tensordict)
            except BaseException:
                self._log.tell(traceback.format_exc(), self._identity.problem)
                self._stop.set()
                raise
        found = self._ask()
        return found.update({"reward": torch.zeros(1)})

    def _ask(self) -> TensorDictBase:
        """Make the next request, and stamp it; hold it back where the trial is over."""
        if self._num_submitted >= len(self._log.submitted_ns):
            self._stop.set()
        if self._stop.is_set():
            self._finish()
        request: TensorDictBase = self._environment.request().clone(recurse=False)
        done = torch.zeros(1, dtype=torch.bool)
        request.update({"done": done, "terminated": done.clone()})
        if not self._release.is_set():
            i = self._num_submitted
            self._num_submitted = i + 1
            self._log.submitted_ns[i] = time.perf_counter_ns()
        return request

    def _finish(self) -> None:
        """Check the last replies, and wait until the collector is being shut down."""
        if not self._release.is_set():
            self._identity.finish()
            self._log.tell("", self._identity.problem)
        self._release.wait(math.inf, step_s=_HELD_STEP_S)

    def _set_seed(self, seed: int | None) -> None:
        """Its seed is its trial's."""


class Collection:
    """A collector, its envs and who iterates over it: a `System` and a `Crew` in one.

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
        transport = systems.build_transport(contender, workload.num_slots, lambda: sample)
        self._logs = [SharedLog(i, max_requests) for i in range(workload.num_slots)]
        self._stop = SharedFlag()
        self._release = SharedFlag()
        self._error = ""
        self._frames: list[tuple[int, int]] = [(time.perf_counter_ns(), 0)]
        self._consumer = threading.Thread(
            target=self._consume, name="consumer", daemon=True
        )
        self._has_ended = False
        batching = workload.batching
        is_of_processes = isinstance(transport, ProcessSlotTransport)
        policy = {"policy_factory": lambda: model} if is_of_processes else {"policy": model}
        env_backend = contenders.env_backend_of(contender)
        self._model = model

        def env_of(log: SharedLog) -> Callable[[], RecordedEnv]:
            return lambda: RecordedEnv(
                log,
                workload,
                spec.seed,
                sample=sample,
                is_lent=env_backend == "multiprocessing",
                stop=self._stop,
                release=self._release,
            )

        self._collector = AsyncBatchedCollector(
            [env_of(log) for log in self._logs],
            **policy,
            transport=transport,
            env_backend=env_backend,
            frames_per_batch=contender.options.get(
                "frames_per_batch", contenders.FRAMES_PER_BATCH
            ),
            max_batch_size=batching.max_batch_size,
            min_batch_size=batching.min_batch_size,
            server_timeout=batching.timeout_ms / 1e3,
        )

    # The system.

    @property
    def collate(self) -> Collate:
        """What the collector gives its server."""
        collate: Collate = maybe_dense_stack
        return collate

    def client(self) -> Callable[[Any], Any]:
        """Nobody asks but the collector's own workers."""
        raise AssertionError("a collector has actors of its own")

    def shutdown(self, timeout_s: float) -> bool:
        """Let the envs go on and end the collector; return whether it ended in time.

        What is served from now on does not count.
        """
        self._model.freeze()
        self._release.set()
        ending = threading.Thread(target=self._shut_down, daemon=True)
        ending.start()
        ending.join(timeout_s)
        self._consumer.join(timeout_s)
        return self._has_ended

    def _shut_down(self) -> None:
        self._collector.shutdown()
        self._has_ended = True

    # The crew.

    @property
    def actors(self) -> Sequence[SharedLog]:
        """One log each, by index."""
        return self._logs

    def start(self, serve: Callable[[], None] | None = None) -> None:
        """Start the collector, and return when every env has asked for the first time.

        Raises:
            RuntimeError: it failed, or an env did not ask in time.
        """
        if serve is None:
            return  # as a system: it starts with its envs
        self._consumer.start()
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not all(log.num_submitted for log in self._logs):
            if self._error:
                raise RuntimeError(self._error.strip().splitlines()[-1])
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
        )
        if self._error:
            self._logs[0].tell(self._error, "")
        return stuck

    def num_frames_at(self, at_ns: int) -> int:
        """Steps that the consumer had been handed at that moment."""
        return max(frames for when_ns, frames in list(self._frames) if when_ns <= at_ns)

    def _consume(self) -> None:
        """Take what is collected and forget it, as fast as it comes."""
        num_frames = 0
        try:
            for batch in self._collector:
                num_frames += batch.numel()
                self._frames.append((time.perf_counter_ns(), num_frames))
        except Exception as error:  # noqa: BLE001  # reported: the trial must hear of it
            if not self._release.is_set():
                self._error = _told(error)
                self._stop.set()


def _told(error: BaseException) -> str:
    """Write down an error that ends with the one it began with: the collector says little of it."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    first = [] if root is error else traceback.format_exception(error, chain=False)
    return "".join([*first, *traceback.format_exception(root)])


def _spec_of(sample: TensorDictBase) -> Composite:
    """The form of a TensorDict, for TorchRL: keys, shapes and dtypes, any values."""
    found = Composite(shape=sample.batch_size)
    for key, leaf in sample.items(include_nested=True, leaves_only=True):
        if leaf.dtype == torch.bool:
            found[key] = Categorical(2, dtype=torch.bool, shape=leaf.shape)
        elif leaf.dtype.is_floating_point:
            found[key] = Unbounded(shape=leaf.shape, dtype=leaf.dtype)
        else:
            limits = torch.iinfo(leaf.dtype)
            found[key] = Bounded(limits.min, limits.max, shape=leaf.shape, dtype=leaf.dtype)
    return found
