"""Our transports, and anybody's, in TorchRL's own server."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from tensordict import TensorDict

inference_server = pytest.importorskip("torchrl.modules.inference_server")

from slotbench import torchrl as adapter  # noqa: E402  # needs torchrl

SUPPORT = str(Path(__file__).parent / "support")


@pytest.fixture(params=["slot", "slot[preallocate]", "threading", "foreign"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SUPPORT)
    if request.param == "foreign":
        import wrong_transports

        return adapter.adapt(wrong_transports.honest(4))
    if request.param == "slot[preallocate]":
        return adapter.create("slot", 4, preallocate=True)
    return adapter.create(request.param, 4)


def test_they_are_torchrls_transports(transport: Any) -> None:
    """A duck type would be refused; these are real subclasses, used as they are."""
    assert isinstance(transport, inference_server.InferenceTransport)
    assert adapter.adapt(transport) is transport


@pytest.mark.parametrize("device", [None, "cpu"])
def test_every_actor_gets_its_own_reply(transport: Any, device: str | None) -> None:
    """Four actors at once in TorchRL's server: each reply is the answer to its request."""

    def model(batch: TensorDict) -> TensorDict:
        return batch.set("action", batch.get("observation") * 2)

    wrong: list[str] = []

    def act(client: Any, actor: int) -> None:
        for step in range(30):
            value = float(100 * actor + step)
            observation = TensorDict(
                {"observation": torch.tensor([value])}, [], device=device
            )
            reply = client(observation)
            if reply["action"].item() != 2 * value:
                wrong.append(f"{value} -> {reply['action'].item()}")

    with inference_server.InferenceServer(model, transport, max_batch_size=4) as server:
        actors = [
            threading.Thread(target=act, args=(server.client(), i), daemon=True)
            for i in range(4)
        ]
        for actor in actors:
            actor.start()
        for actor in actors:
            actor.join(60)
            assert not actor.is_alive(), "an actor still waits for its reply"

    assert wrong == []


def test_a_models_error_reaches_the_actor(transport: Any) -> None:
    """TorchRL's server sends it through resolve_exception."""

    def model(batch: TensorDict) -> TensorDict:
        raise ArithmeticError("no answer")

    with (
        inference_server.InferenceServer(model, transport) as server,
        pytest.raises(ArithmeticError, match=r"^no answer$"),
    ):
        server.client()(TensorDict({"observation": torch.zeros(1)}, []))
