"""What an actor steps: a synthetic environment with think time, or a real one.

Threads: an environment is used by one actor alone, and made by the main thread or, where the actor
is another process, there.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase

from slotbench.compute import think_times
from slotbench.measure import libraries, waiting
from slotbench.measure.identity import REQUEST_ID
from slotbench.records import GymEnvironment, Leaf, Observation, ThinkTime, Workload

_POOL_BYTES: Final = 64 * 1024**2
_POOL_MAX: Final = 4
"""Each actor rotates through up to 4 observations, fewer where all actors' together
would exceed 64 MiB, so that it is not one cached row that is sent again and again."""


class ActorEnvironment(Protocol):
    """The two halves of an actor's step around its request. Neither is timed as latency."""

    def request(self) -> Any:
        """Return the next request."""

    def step(self, reply: Any) -> None:
        """Act on the reply: spend the think time, or step the real environment."""


def build(
    workload: Workload, ids: Sequence[torch.Tensor], *, has_payload: bool, seed: int
) -> ActorEnvironment:
    """Make one actor's environment.

    Args:
        workload: of the cell.
        ids: the actor's request ids, used round and round.
        has_payload: False for the floor, whose requests are None.
        seed: of this actor's think times and episodes.

    Raises:
        slotbench.errors.ScenarioError: see `slotbench.measure.libraries.make`.
    """
    if workload.environment is not None:
        return RealActorEnvironment(
            workload.environment,
            workload.observation,
            ids,
            has_payload=has_payload,
            seed=seed,
        )
    if not has_payload:
        return EmptyEnvironment(workload.think_time, seed)
    return SyntheticEnvironment(
        workload.observation, workload.think_time, ids, workload.num_slots, seed
    )


class EmptyEnvironment:
    """Think time without observations."""

    def __init__(self, think: ThinkTime, seed: int) -> None:
        self._times_s = think_times.draw_s(think, seed)
        self._spend = waiting.by_mode(think.mode)
        self._num_steps = 0

    def request(self) -> Any:
        """Return None: there is no payload."""
        return

    def step(self, reply: Any) -> None:  # noqa: ARG002  # a synthetic environment ignores actions
        """Spend the next think time."""
        if self._times_s:
            self._spend(self._times_s[self._num_steps % len(self._times_s)])
            self._num_steps += 1


class SyntheticEnvironment(EmptyEnvironment):
    """Random observations of the specified shapes, and think time.

    A request is a new TensorDict over tensors made before the trial; with
    ``reuse_request`` it is one of a few TensorDicts whose id leaf is replaced.
    """

    def __init__(
        self,
        observation: Observation,
        think: ThinkTime,
        ids: Sequence[torch.Tensor],
        num_slots: int,
        seed: int,
    ) -> None:
        super().__init__(think, seed)
        self._ids = ids
        self._device = "cpu" if observation.device_metadata else None
        row_bytes = max(1, sum(_num_bytes(leaf) for leaf in observation.leaves))
        pool_size = min(_POOL_MAX, max(1, _POOL_BYTES // (row_bytes * num_slots)))
        generator = torch.Generator().manual_seed(seed)
        self._pool = [_nested(observation.leaves, generator) for _ in range(pool_size)]
        self._reused = (
            [self._build(i) for i in range(pool_size)] if observation.reuse_request else []
        )
        self._num_requests = 0

    def _build(self, i: int) -> TensorDictBase:
        row = dict(self._pool[i % len(self._pool)])
        row[REQUEST_ID] = self._ids[i % len(self._ids)]
        return TensorDict(row, batch_size=[], device=self._device)

    def request(self) -> TensorDictBase:
        """Return the next observation with its id."""
        i = self._num_requests
        self._num_requests = i + 1
        if not self._reused:
            return self._build(i)
        return self._reused[i % len(self._reused)].set(
            REQUEST_ID, self._ids[i % len(self._ids)]
        )


class RealActorEnvironment:
    """A real environment with one observation tensor, which begins again at the end of episodes.

    The reply's "action" is an integer scalar for a Discrete space, else a float32 tensor
    that is clipped to the space; the floor, which brings no action, steps random ones.
    """

    def __init__(
        self,
        spec: GymEnvironment,
        form: Observation,
        ids: Sequence[torch.Tensor],
        *,
        has_payload: bool,
        seed: int,
    ) -> None:
        self._env = libraries.make(spec, seed)
        self._device = "cpu" if form.device_metadata else None
        self._reused = (
            TensorDict({}, [], device=self._device) if form.reuse_request else None
        )
        self._ids = ids
        self._has_payload = has_payload
        self._observation = self._env.reset()
        space = self._env.action_space
        space.seed(seed)
        self._random_actions = [space.sample() for _ in range(64)]
        self._bounds = (space.low, space.high) if hasattr(space, "low") else None
        self._num_requests = 0

    def request(self) -> TensorDictBase | None:
        """Return the observation as a tensor, with its id; None for the floor."""
        i = self._num_requests
        self._num_requests = i + 1
        if not self._has_payload:
            return None
        # A copy: environments may write the next observation into the same array.
        observation = torch.from_numpy(np.array(self._observation))
        row = {"observation": observation, REQUEST_ID: self._ids[i % len(self._ids)]}
        if self._reused is not None:
            return self._reused.update(row)
        return TensorDict(row, batch_size=[], device=self._device)

    def step(self, reply: TensorDictBase | None) -> None:
        """Step the environment with the reply's action."""
        if reply is None:
            action = self._random_actions[self._num_requests % len(self._random_actions)]
        elif self._bounds is None:
            action = int(reply.get("action"))
        else:
            action = np.clip(reply.get("action").numpy(), *self._bounds)
        self._observation = self._env.step(action)


def _num_bytes(leaf: Leaf) -> int:
    dtype: torch.dtype = getattr(torch, leaf.dtype)
    return math.prod(leaf.shape) * dtype.itemsize


def _nested(leaves: Sequence[Leaf], generator: torch.Generator) -> dict[str, Any]:
    """Build {"state": {"joint": tensor}, …} from dotted keys."""
    row: dict[str, Any] = {}
    for leaf in leaves:
        *parents, name = leaf.key.split(".")
        place = row
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = _random_tensor(leaf, generator)
    return row


def _random_tensor(leaf: Leaf, generator: torch.Generator) -> torch.Tensor:
    dtype = getattr(torch, leaf.dtype)
    if dtype.is_floating_point:
        return torch.rand(leaf.shape, generator=generator).to(dtype)
    high = 2 if dtype == torch.bool else 127
    return torch.randint(high, leaf.shape, generator=generator).to(dtype)
