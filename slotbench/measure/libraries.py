"""Real environments, whichever library they come from, all stepped alike.

A library differs from another in how an environment is made, seeded, batched and reset; an
actor sees none of that. Imports of a library, and the threads that it starts, belong to
the trial's own process: nothing here is called in one that forks.

Threads: an environment is made by the main thread and stepped by one actor alone. EnvPool
steps it in a thread of its own, for which the actor waits without the GIL.
"""

import importlib
import warnings
from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from slotbench.errors import ScenarioError
from slotbench.records import GymEnvironment, Leaf

ATARI_FRAME_SKIP: Final = 4
ATARI_SCREEN: Final = 84
ATARI_STACK: Final = 4
"""As in Mnih et al. 2015 ("Human-level control…", Nature 518), Methods; EnvPool's defaults, too."""

_EXTRA: Final = "pip install 'slotbench[envs]'"
_MAX_SEED: Final = 2**31 - 1
"""EnvPool takes an int32."""

Array = npt.NDArray[Any]


class RealEnvironment(Protocol):
    """One environment that goes on by itself when an episode ends.

    Attributes:
        observation_space: a `gymnasium.spaces.Box`.
        action_space: a `gymnasium.spaces.Box` or ``Discrete``.
    """

    observation_space: Any
    action_space: Any

    def reset(self) -> Array:
        """Begin the first episode; return its first observation."""

    def step(self, action: Array | int) -> Array:
        """Return what comes of the action: after an episode's last, the next one's first observation."""

    def close(self) -> None:
        """End it."""


def observation_leaf(env: RealEnvironment) -> Leaf:
    """Say what an actor sends of it: one tensor, "observation"."""
    space = env.observation_space
    return Leaf("observation", tuple(space.shape), str(space.dtype))


def make(spec: GymEnvironment, seed: int) -> RealEnvironment:
    """Make the environment.

    Args:
        spec: which.
        seed: of its episodes.

    Raises:
        slotbench.errors.ScenarioError: not installed, not known, wrong options, or spaces
            this harness cannot send (the observation must be one array, the action
            Discrete or Box).
    """
    makers: dict[str, Callable[[GymEnvironment, int], RealEnvironment]] = {
        "gymnasium": _Gymnasium,
        "envpool": _EnvPool,
    }
    env = makers[spec.library](spec, seed)
    gymnasium = _imported("gymnasium", spec)
    observation, action = env.observation_space, env.action_space
    if not isinstance(observation, gymnasium.spaces.Box) or not isinstance(
        action, gymnasium.spaces.Box | gymnasium.spaces.Discrete
    ):
        env.close()
        raise ScenarioError(
            f"environment {spec.id!r} has spaces {observation} and {action}; "
            "a Box observation and a Box or Discrete action are supported"
        )
    return env


class _Gymnasium:
    """An environment of Gymnasium, reset in the step that ends an episode."""

    def __init__(self, spec: GymEnvironment, seed: int) -> None:
        gymnasium = _imported("gymnasium", spec)
        if "ALE/" in spec.id:
            _imported("ale_py", spec)  # registers the ids
        is_atari = spec.preprocessing == "atari"
        if is_atari:
            # Its threads would be the actors', times their number.
            _imported("cv2", spec).setNumThreads(1)
        options = {**spec.options, **({"frameskip": 1} if is_atari else {})}
        try:
            env = gymnasium.make(spec.id, **options)
            if is_atari:
                env = gymnasium.wrappers.AtariPreprocessing(
                    env, frame_skip=ATARI_FRAME_SKIP, screen_size=ATARI_SCREEN
                )
                env = gymnasium.wrappers.FrameStackObservation(env, ATARI_STACK)
        except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
            raise _refused(spec, error, f"; {_EXTRA}") from error
        except Exception as error:  # an environment may raise anything
            raise _refused(spec, error) from error
        self._env = env
        self._seed = seed
        self.observation_space, self.action_space = (
            env.observation_space,
            env.action_space,
        )

    def reset(self) -> Array:
        return np.asarray(self._env.reset(seed=self._seed)[0])

    def step(self, action: Array | int) -> Array:
        observation, _, terminated, truncated, _ = self._env.step(action)
        if terminated or truncated:
            observation, _ = self._env.reset()
        return np.asarray(observation)

    def close(self) -> None:
        self._env.close()


class _EnvPool:
    """A pool of one environment of EnvPool, stepped by one thread.

    It resets itself: the step after an episode's last one ignores its action and returns
    the next episode's first observation.
    """

    def __init__(self, spec: GymEnvironment, seed: int) -> None:
        envpool = _imported("envpool", spec)
        # Gymnasium warns of how EnvPool writes the limits of a space.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            try:
                self._pool = envpool.make(
                    spec.id,
                    env_type="gymnasium",
                    num_envs=1,
                    num_threads=1,
                    seed=seed % _MAX_SEED,
                    **spec.options,
                )
            except Exception as error:  # it asserts that it knows the id
                raise _refused(spec, error) from error
            self.observation_space = self._pool.observation_space
            self.action_space = self._pool.action_space

    def reset(self) -> Array:
        observation: Array = self._pool.reset()[0][0]
        return observation

    def step(self, action: Array | int) -> Array:
        batch = np.asarray(action, self.action_space.dtype)[np.newaxis]
        observation: Array = self._pool.step(batch)[0][0]
        return observation

    def close(self) -> None:
        self._pool.close()


def _imported(name: str, spec: GymEnvironment) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ScenarioError(
            f"environment {spec.id!r} needs {name}, which cannot be imported "
            f"({_line(error)}); {_EXTRA}"
        ) from error


def _refused(spec: GymEnvironment, error: Exception, remedy: str = "") -> ScenarioError:
    return ScenarioError(f"environment {spec.id!r} cannot be made: {_line(error)}{remedy}")


def _line(error: Exception) -> str:
    """The first line of what a library says; its bindings list their signatures for dozens."""
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return first.removesuffix(" The following argument types are supported:")
