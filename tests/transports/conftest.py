"""What the tests of transports share: every transport behind every server, and thread helpers."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tensordict import TensorDict, lazy_stack

import transports

JOIN_S = 60.0

torch.set_num_threads(1)


@dataclass(frozen=True)
class Variant:
    """A transport with options, and the way a server drives it."""

    name: str
    options: tuple[tuple[str, Any], ...]
    path: str

    @property
    def may_block_in_submit(self) -> bool:
        """Whether an actor may run the model itself, inside `submit`."""
        return ("inline", True) in self.options and self.path == "batched"

    @property
    def gives_batches_again(self) -> bool:
        """Whether the next batch overwrites what the model was given, by design."""
        return ("preallocate", True) in self.options and self.path == "batched"

    def create(self, num_slots: int, **options: Any) -> Any:
        return transports.create(self.name, num_slots, **dict(self.options), **options)

    def __str__(self) -> str:
        options = ",".join(f"{k}={v}" for k, v in self.options)
        return (
            f"{self.name}[{options}]@{self.path}" if options else f"{self.name}@{self.path}"
        )


_OF_SLOT: list[tuple[tuple[str, Any], ...]] = [
    (),
    (("preallocate", True),),
    (("inline", True),),
    (("preallocate", True), ("inline", True)),
]
CONTENDERS = [
    (name, options)
    for name in transports.available()
    for options in (_OF_SLOT if name == "slot" else [()])
]


def variants(*paths: str) -> list[Variant]:
    """Return every contender on each of the paths."""
    return [Variant(name, options, path) for name, options in CONTENDERS for path in paths]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `variant` with all, one that asks for `ours` without TorchRL's."""
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", variants("batched", "drained", "torchrl"), ids=str)
    if "ours" in metafunc.fixturenames:
        metafunc.parametrize("ours", variants("batched", "drained"), ids=str)
    if "contender" in metafunc.fixturenames:
        metafunc.parametrize("contender", variants("direct"), ids=str)


def torchrl_server(model: Any, transport: Any, **options: Any) -> Any:
    """Build TorchRL's server around one of our transports, or skip the test without TorchRL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pytest.importorskip("torchrl.modules.inference_server")

    class Adapter(server.InferenceTransport):  # type: ignore[misc, name-defined]
        """TorchRL wants a subclass; everything else is passed on as it is."""

        def client(self) -> Any:
            return transport.client()

        def submit(self, td: Any) -> Any:
            return transport.submit(td)

        def drain(self, max_items: int) -> Any:
            return transport.drain(max_items)

        def wait_for_work(self, timeout: float) -> None:
            transport.wait_for_work(timeout)

        def resolve(self, callback: Any, result: Any) -> None:
            transport.resolve(callback, result)

        def resolve_exception(self, callback: Any, exc: BaseException) -> None:
            transport.resolve_exception(callback, exc)

    return server.InferenceServer(model, Adapter(), collate_fn=lazy_stack, **options)


@pytest.fixture
def serve() -> Iterator[Callable[..., Any]]:
    """Start the server of a variant around a model; stopped, and found stopped, at the end."""
    with ExitStack() as stack:

        def start(variant: Variant, model: Any, transport: Any, **options: Any) -> Any:
            if variant.path == "torchrl":
                server = torchrl_server(model, transport, **options)
            else:
                collate = torch.stack if variant.path == "drained" else None
                server = transports.InferenceServer(
                    model, transport, collate_fn=collate, **options
                )
            stack.enter_context(server)
            return server

        yield start


@pytest.fixture(autouse=True)
def harness_is_not_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here works where slotbench is not installed."""
    loaded = [name for name in sys.modules if name.startswith("slotbench.")]
    for name in ("slotbench", *loaded):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """The threads after a test are those before it."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before]
    for thread in left:
        thread.join(5.0)
    assert [t for t in left if t.is_alive()] == []


@pytest.fixture
def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by itself, so that a lost wake-up is not made good and hangs the test."""
    monkeypatch.setattr("transports.slot.LOOK_S", 10 * JOIN_S)


@pytest.fixture
def tiny_switch_interval() -> Iterator[None]:
    """Let threads interleave as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def together() -> Callable[..., list[Any]]:
    """Run `target(i)` in `count` threads from one start; return the results or raise the error."""

    def run(count: int, target: Callable[[int], Any]) -> list[Any]:
        start = threading.Barrier(count)
        results: list[Any] = [None] * count
        errors: list[BaseException] = []

        def body(index: int) -> None:
            try:
                start.wait(JOIN_S)
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
        assert not any(thread.is_alive() for thread in threads), "an actor hangs"
        if errors:
            raise errors[0]
        return results

    return run


class Doorbell:
    """A transport's doorbell that tells when its server has gone to sleep."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._is_waited_for = threading.Event()
        self.release = self._lock.release

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking:
            self._is_waited_for.set()
        is_rung = self._lock.acquire(blocking, timeout)
        self._is_waited_for.clear()
        return is_rung

    def wait_until_asleep(self) -> None:
        """Return once the server waits for a ring."""
        assert self._is_waited_for.wait(JOIN_S), "the server does not go to sleep"


@pytest.fixture
def doorbell() -> Callable[[Any], Doorbell]:
    """Give a slot transport, which nobody uses yet, a doorbell that tells of its server."""

    def install(transport: Any) -> Doorbell:
        transport._doorbell = bell = Doorbell()
        return bell

    return install


@pytest.fixture
def request_of() -> Callable[..., TensorDict]:
    """Build the request number `sequence` of an actor."""

    def build(actor: int = 0, sequence: int = 0, **extra: Any) -> TensorDict:
        return TensorDict(
            {
                "id": torch.tensor([actor, sequence]),
                "obs": torch.full((3,), float(sequence)),
                "inner": {"x": torch.tensor(float(actor))},
                **extra,
            },
            [],
        )

    return build


def _act(td: Any) -> Any:
    """Answer with something computed from the request, nested too, and echo who asked."""
    td.set("action", td["obs"] * 2)
    td.set("echo", td["id"])
    td.set(("inner", "y"), td["inner", "x"] + 1)
    return td


def _check(reply: Any, actor: int, sequence: int) -> None:
    assert reply["echo"].tolist() == [actor, sequence]
    assert reply["id"].tolist() == [actor, sequence]
    assert reply["action"].tolist() == [2.0 * sequence] * 3
    assert reply["inner", "x"].item() == actor
    assert reply["inner", "y"].item() == actor + 1
    assert reply.batch_size == torch.Size([])


@pytest.fixture
def act() -> Callable[[Any], Any]:
    """Return a model that computes an output of each request and echoes who asked."""
    return _act


@pytest.fixture
def check() -> Callable[[Any, int, int], None]:
    """Return the check that a reply of `act` answers the actor's request of that number."""
    return _check
