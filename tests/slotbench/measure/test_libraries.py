"""Real environments of two libraries: seeded, reset, refused in one line."""

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from slotbench.errors import ScenarioError
from slotbench.measure import executor, libraries
from slotbench.records import GymEnvironment, Model, Observation, Window
from tests.slotbench.support import trials

gymnasium = pytest.importorskip("gymnasium")

PONG = GymEnvironment("ALE/Pong-v5", preprocessing="atari")
POOL_PONG = GymEnvironment("Pong-v5", library="envpool")
CARTPOLE = GymEnvironment("CartPole-v1")
POOL_CARTPOLE = GymEnvironment("CartPole-v1", library="envpool")


def needs(spec: GymEnvironment) -> None:
    """Skip where the libraries of the environment are not installed."""
    for module in executor.environment_modules(spec):
        if module != "?gymnasium.envs.mujoco":
            pytest.importorskip(module.removeprefix("?"))
    if spec.id.startswith("Ant") and spec.library == "gymnasium":
        pytest.importorskip("mujoco")


def played(spec: GymEnvironment, seed: int, num_steps: int) -> np.ndarray[Any, Any]:
    """All observations of an episode's beginning, in which actions take turns."""
    env = libraries.make(spec, seed)
    seen = [env.reset()]
    seen += [env.step(number % int(env.action_space.n)) for number in range(num_steps)]
    env.close()
    return np.stack(seen)


@pytest.mark.parametrize("spec", [CARTPOLE, POOL_CARTPOLE], ids=["gymnasium", "envpool"])
def test_episodes_are_those_of_the_seed(spec: GymEnvironment) -> None:
    """The same seed plays the same, another does not, and large seeds are taken."""
    needs(spec)
    first = played(spec, 2**40 + 1, 50)

    np.testing.assert_array_equal(first, played(spec, 2**40 + 1, 50))
    assert not np.array_equal(first, played(spec, 2, 50))


@pytest.mark.parametrize("spec", [CARTPOLE, POOL_CARTPOLE], ids=["gymnasium", "envpool"])
def test_an_episode_follows_the_other(spec: GymEnvironment) -> None:
    """Pushed to one side the pole falls within 12 steps; it stands again, time after time."""
    needs(spec)
    env = libraries.make(spec, 3)
    env.reset()
    angles = [abs(float(env.step(1)[2])) for _ in range(100)]
    env.close()

    falls = [a > 0.15 and b < 0.05 for a, b in itertools.pairwise(angles)]
    assert sum(falls) >= 5
    assert max(angles) < 0.3, "it went on after the end"


@pytest.mark.parametrize("spec", [PONG, POOL_PONG], ids=["gymnasium", "envpool"])
def test_atari_is_four_grey_frames_of_84_by_84(spec: GymEnvironment) -> None:
    """Both libraries send what DQN's networks take, and its newest frame moves on."""
    needs(spec)
    frames = played(spec, 0, 40)

    assert (frames.shape, frames.dtype) == ((41, 4, 84, 84), np.uint8)
    np.testing.assert_array_equal(frames[30, 0], frames[29, 1])
    assert not np.array_equal(frames[30, 3], frames[29, 3])


def test_atari_skips_four_frames() -> None:
    """A game of 40 frames is over after 10 steps, be a step of the game itself one frame or not."""
    needs(PONG)
    env: Any = libraries.make(PONG, 0)
    env.reset()
    game = env._env.unwrapped.ale
    before = game.getEpisodeFrameNumber()
    for _ in range(10):
        env.step(0)

    assert game.getEpisodeFrameNumber() - before == 40


def test_opencv_computes_in_the_actors_own_thread() -> None:
    """Its pool of threads would be shared by all actors."""
    needs(PONG)
    import cv2

    cv2.setNumThreads(2)
    libraries.make(PONG, 0).close()

    assert cv2.getNumThreads() == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (GymEnvironment("CartPol-v1"), r"environment 'CartPol-v1' cannot be made: .+CartPole.*"),
        (
            GymEnvironment("CartPole-v1", {"nosuch": 1}),
            r"environment 'CartPole-v1' cannot be made: .+nosuch.*",
        ),
        (
            GymEnvironment("Ant-v5", {"xml_file": "nosuch.xml"}),
            r"environment 'Ant-v5' cannot be made: .+nosuch.+",
        ),
        (
            GymEnvironment("ALE/Pong-v5", {"mode": 77}, preprocessing="atari"),
            r"environment 'ALE/Pong-v5' cannot be made: .+mode.+",
        ),
        (
            GymEnvironment("FrozenLake-v1"),
            r"environment 'FrozenLake-v1' has spaces Discrete\(16\) and Discrete\(4\); .+",
        ),
        (
            GymEnvironment("ALE/Pongg-v5", preprocessing="atari"),
            r"environment 'ALE/Pongg-v5' cannot be made: .+",
        ),
        (
            GymEnvironment("Pongg-v5", library="envpool"),
            r"environment 'Pongg-v5' cannot be made: Pongg-v5 is not supported.+",
        ),
        (
            GymEnvironment("CartPole-v1", {"nosuch": 1}, library="envpool"),
            r"environment 'CartPole-v1' cannot be made: .+nosuch.*",
        ),
        (
            GymEnvironment("CartPole-v1", {"max_episode_steps": "x"}, library="envpool"),
            r"environment 'CartPole-v1' cannot be made: .+incompatible constructor arguments\.",
        ),
        (
            GymEnvironment("FrozenLake-v1", library="envpool"),
            r"environment 'FrozenLake-v1' has spaces Discrete\(16\) and Discrete\(4\); .+",
        ),
    ],
)  # fmt: skip
def test_an_environment_that_cannot_be_used_is_one_line(
    spec: GymEnvironment, message: str
) -> None:
    """Unknown names, wrong options and spaces that cannot be sent are said."""
    needs(spec)
    with pytest.raises(ScenarioError) as caught:
        libraries.make(spec, 0)

    assert "\n" not in str(caught.value)
    assert caught.match(f"^{message}$")


@pytest.mark.parametrize(
    ("spec", "missing"),
    [
        (CARTPOLE, "gymnasium"),
        (PONG, "ale_py"),
        (PONG, "cv2"),
        (GymEnvironment("Ant-v5"), "mujoco"),
        (POOL_PONG, "envpool"),
    ],
)
def test_a_library_that_is_missing_is_named_with_the_extra(
    spec: GymEnvironment, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pip has to install is said, whichever library lacks."""
    if missing in {"cv2", "mujoco"}:
        needs(spec)
    if missing == "mujoco":
        for name in [
            name for name in sys.modules if name.startswith("gymnasium.envs.mujoco")
        ]:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)  # its import fails from here on
    with pytest.raises(ScenarioError) as caught:
        libraries.make(spec, 0)

    assert str(caught.value).endswith("pip install 'slotbench[envs]'")
    assert missing in str(caught.value).lower()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "spec", [CARTPOLE, PONG, POOL_PONG], ids=["mujoco", "atari", "envpool"]
)
def test_what_a_zygote_imports_starts_no_thread(spec: GymEnvironment) -> None:
    """A process of several threads cannot be forked safely; the kernel counts them."""
    needs(spec)
    modules = [m.removeprefix("?") for m in executor.environment_modules(spec)]
    code = f"import importlib\nfor name in {modules}: importlib.import_module(name)\n"
    code += "import os\nprint(len(os.listdir('/proc/self/task')))"
    if sys.platform != "linux":
        pytest.skip("threads are counted in /proc")
    pytest.importorskip("mujoco")
    environ = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # as a worker's are
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.strip() == "1"


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (PONG, "nature_cnn"),
        (POOL_PONG, "nature_cnn"),
        (GymEnvironment("Ant-v4", library="envpool"), "mlp"),
        (GymEnvironment("Ant-v5"), "mlp"),
    ],
    ids=["atari", "envpool-atari", "envpool-mujoco", "mujoco"],
)
def test_a_trial_runs_on_it(spec: GymEnvironment, kind: Any) -> None:
    """Two actors, a real network: every reply is the one that was asked for, and none is lost."""
    needs(spec)
    window = Window(warmup_s=0.02, measure_s=0.05, min_requests=10, max_measure_s=10.0)
    changes: dict[str, Any] = {
        "num_slots": 2,
        "environment": spec,
        "observation": Observation(()),
        "model": Model(kind),
        "window": window,
    }
    record = trials.run(trials.spec("slot", **changes))

    assert (record.status, record.error) == ("ok", "")
    assert record.measurement is not None
    assert record.measurement.num_replies >= 10
    assert not record.is_invalid
