"""An actor's environment in the form that TorchRL's collectors step, with an actor's stamps and checks.

An env that was handed an action is where an actor is when its reply has come; one that hands out
an observation, where an actor submits its request. Between the two lies all that a collector does.
Once the trial is over, an env keeps the action that it was given and asks no more, until it is
released.
"""

import math
import time
import traceback
from typing import Any, Final

import torch
from tensordict import TensorDictBase
from torchrl.data import Bounded, Categorical, Composite, Unbounded
from torchrl.envs import EnvBase

from slotbench.compute import think_times
from slotbench.measure import environments
from slotbench.measure.identity import IdentityCheck
from slotbench.measure.layouts import Layouts
from slotbench.measure.shared import SharedFlag
from slotbench.measure.shared_log import SharedLog
from slotbench.records import Workload

_HELD_STEP_S: Final = 0.005


class RecordedEnv(EnvBase):  # type: ignore[misc]  # torchrl is untyped
    """An actor's environment in TorchRL's form, with an actor's stamps and checks.

    Args:
        log: of the actor, in memory that all processes share.
        workload: of the cell.
        seed: of the trial.
        sample: what a request and a reply look like.
        is_lent: the action comes in memory that is written to again.
        in_step: room for one integer, shared by envs that are only stepped all together, and
            so must stop at the same step; None where each may stop for itself.
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
        in_step: memoryview | None,
        stop: SharedFlag,
        release: SharedFlag,
    ) -> None:
        super().__init__(device=None, batch_size=[])
        self._log = log
        self._in_step = in_step
        self._stop = stop
        self._release = release
        self._identity = IdentityCheck(
            log.index, on_problem=log.tell_problem, copies=is_lent
        )
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
                self._log.end(traceback.format_exc())
                self._stop.set()
                raise
        found = self._ask()
        return found.update({"reward": torch.zeros(1)})

    def _ask(self) -> TensorDictBase:
        """Make the next request, and stamp it; hold it back where the trial is over."""
        if self._num_submitted >= len(self._log.submitted_ns) - 1:
            self._stop.set()
        if self._stop.is_set() and self._num_submitted >= self._last():
            self._finish()
        request: TensorDictBase = self._environment.request().clone(recurse=False)
        done = torch.zeros(1, dtype=torch.bool)
        request.update({"done": done, "terminated": done.clone()})
        if not self._release.is_set():
            i = self._num_submitted
            self._num_submitted = i + 1
            self._log.submitted_ns[i] = time.perf_counter_ns()
        return request

    def _last(self) -> int:
        """Say how many requests there are in all, now that the trial is over.

        Of envs in step, one may see that it is over where another has just asked once more: the
        first to see it lets all ask once more. None can be further than that.
        """
        if self._in_step is None:
            return 0
        if not self._in_step[0]:
            self._in_step[0] = self._num_submitted + 1
        return int(self._in_step[0])

    def _finish(self) -> None:
        """Check the last replies, and wait until the collector is being shut down."""
        if not self._release.is_set():
            self._identity.finish()
            self._log.end()
        self._release.wait(math.inf, step_s=_HELD_STEP_S)

    def _set_seed(self, seed: int | None) -> None:
        """Its seed is its trial's."""


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
