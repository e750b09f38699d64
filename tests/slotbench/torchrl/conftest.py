"""Our transports as TorchRL's users make them, a policy that can be checked, and an env."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule

with warnings.catch_warnings():
    # torchrl.collectors warns of a deprecated class of its own.
    warnings.simplefilter("ignore")
    inference_server = pytest.importorskip("torchrl.modules.inference_server")
    from torchrl.collectors import AsyncBatchedCollector
    from torchrl.data import Bounded, Composite, Unbounded
    from torchrl.envs import EnvBase

from slotbench import torchrl as adapter

NUM_SLOTS = 4
STEPS = 5
JOIN_S = 60.0
SUPPORT = str(Path(__file__).parent.parent / "support")

torch.set_num_threads(1)

MakeTransport = Callable[..., Any]

_KINDS: dict[str, MakeTransport] = {
    "slot": adapter.SlotTransport,
    "slot[preallocate]": lambda n, **k: adapter.SlotTransport(n, preallocate=True, **k),
    "slot[inline]": lambda n, **k: adapter.SlotTransport(n, inline=True, **k),
    "threading": lambda _, **k: adapter.ThreadingTransport(**k),
}


@pytest.fixture(params=_KINDS)
def make_transport(request: pytest.FixtureRequest) -> MakeTransport:
    """Make each of our transports, with each option, for a number of actors."""
    return _KINDS[request.param]


@pytest.fixture
def transport(make_transport: MakeTransport) -> Any:
    """Each of our transports, for four actors."""
    return make_transport(NUM_SLOTS)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Somebody's transport of our contract, which knows nothing of TorchRL."""
    monkeypatch.syspath_prepend(SUPPORT)
    import wrong_transports

    return wrong_transports.honest(NUM_SLOTS)


@pytest.fixture
def serve() -> Iterator[Callable[..., Any]]:
    """Start TorchRL's own server; it is stopped at the end of the test."""
    with ExitStack() as stack:

        def start(model: Any, transport: Any, **options: Any) -> Any:
            server = inference_server.InferenceServer(model, transport, **options)
            stack.callback(_stop, server, transport)
            return server.start()

        yield start


def _stop(server: Any, transport: Any) -> None:
    # It sleeps for its timeout before it sees that it shall stop, unless woken.
    server.shutdown(timeout=0.0)
    if hasattr(transport, "wake"):
        transport.wake()


@pytest.fixture
def collect() -> Iterator[Callable[..., Any]]:
    """Make TorchRL's own collector around a transport; it is shut down at the end."""
    with ExitStack() as stack:

        def make(transport: Any, policy: Any = None, **options: Any) -> Any:
            num_envs = options.pop("num_envs", NUM_SLOTS)
            make_env = options.pop("make_env", CountEnv)
            if policy is not None:
                options["policy"] = policy
            collector = AsyncBatchedCollector(
                [make_env] * num_envs,
                transport=transport,
                **{
                    "frames_per_batch": 20,
                    "total_frames": 60,
                    "env_backend": "threading",
                    "policy_backend": "threading",
                    **options,
                },
            )
            stack.callback(collector.shutdown)
            return collector

        yield make


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """The threads after a test are those before it, and multiprocessing's, which stays."""
    before = set(threading.enumerate())
    yield
    left = [
        t for t in threading.enumerate() if t not in before and "(_serve)" not in t.name
    ]
    for thread in left:
        thread.join(10.0)
    assert [t for t in left if t.is_alive()] == []


@pytest.fixture
def together() -> Callable[..., list[Any]]:
    """Run `target(i)` in `count` threads; return the results or raise the first error."""

    def run(count: int, target: Callable[[int], Any]) -> list[Any]:
        results: list[Any] = [None] * count
        errors: list[BaseException] = []

        def body(index: int) -> None:
            try:
                results[index] = target(index)
            except BaseException as exc:  # noqa: BLE001 - raised by the caller
                errors.append(exc)

        threads = [
            threading.Thread(target=body, args=(i,), daemon=True) for i in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(JOIN_S)
        if errors:
            raise errors[0]
        assert not any(thread.is_alive() for thread in threads), "an actor hangs"
        return results

    return run


def _request(value: float = 1.0, **more: Any) -> TensorDict:
    return TensorDict({"observation": torch.full((2,), float(value))}, [], **more)


@pytest.fixture
def request_of() -> Callable[..., TensorDict]:
    """Build a request whose observation is this value, twice."""
    return _request


@pytest.fixture
def policy() -> Any:
    """Return a module with weights: the action is the sum of the observation."""
    module = TensorDictModule(
        torch.nn.Linear(2, 1, bias=False), in_keys=["observation"], out_keys=["action"]
    )
    with torch.no_grad():
        module.module.weight.fill_(1.0)
    return module


@pytest.fixture
def double() -> Callable[[Any], Any]:
    """Return a model without weights that writes into its batch, as modules do."""

    def model(batch: Any) -> Any:
        return batch.set("action", batch.get("observation") * 2)

    return model


class CountEnv(EnvBase):  # type: ignore[misc]  # torchrl is untyped
    """Counts its steps; an episode has five, and a reset says less than a step does.

    The observation is nested, as in multi-agent environments.
    """

    def __init__(self) -> None:
        super().__init__(device=None, batch_size=torch.Size([]))
        self.observation_spec = Composite(
            agent=Composite(observation=Unbounded(shape=(2,)))
        )
        self.action_spec = Unbounded(shape=(1,))
        self.reward_spec = Unbounded(shape=(1,))
        self.done_spec = Composite(
            done=Bounded(0, 1, shape=(1,), dtype=torch.bool),
            terminated=Bounded(0, 1, shape=(1,), dtype=torch.bool),
        )
        self.count = 0

    def _observe(self, **more: Any) -> TensorDict:
        is_done = torch.tensor([self.count >= STEPS])
        return TensorDict(
            {
                "agent": TensorDict({"observation": torch.full((2,), float(self.count))}),
                "done": is_done,
                "terminated": is_done.clone(),
                **more,
            }
        )

    def _reset(self, tensordict: Any = None, **_: Any) -> TensorDict:
        self.count = 0
        return self._observe()

    def _step(self, tensordict: Any) -> TensorDict:
        self.count += 1
        return self._observe(reward=torch.ones(1))

    def _set_seed(self, seed: int | None) -> None:
        pass


@pytest.fixture
def nested_policy() -> Any:
    """Return a module for `CountEnv`: the action is the sum of the nested observation."""
    module = TensorDictModule(
        torch.nn.Linear(2, 1, bias=False),
        in_keys=[("agent", "observation")],
        out_keys=["action"],
    )
    with torch.no_grad():
        module.module.weight.fill_(1.0)
    return module
