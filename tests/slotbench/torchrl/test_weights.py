"""New weights reach the policy that is served, between batches, and replies say which version."""

from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torchrl.weight_update import NoWeightSyncScheme

inference_server = pytest.importorskip("torchrl.modules.inference_server")


class InThreadSync:
    """What TorchRL's server asks of a scheme, where trainer and server share a process."""

    def __init__(self) -> None:
        self.pending: list[TensorDict] = []
        self.initialized_on_receiver = self.synchronized_on_receiver = False
        self.model: Any = None

    def init_on_receiver(self, *, model_id: str, model: Any, worker_idx: int) -> None:
        self.model = model
        self.initialized_on_receiver = True

    def connect(self, *, worker_idx: int) -> None:
        self.synchronized_on_receiver = True

    def receive(self, timeout: float | None = None) -> TensorDict | None:
        if not self.pending:
            return None
        weights = self.pending.pop()
        weights.to_module(self.model)
        return weights


def _ask_until_version(client: Any, request: Any, version: int) -> Any:
    # The server looks for new weights before each batch, perhaps not yet before the next one.
    for _ in range(1000):
        reply = client(request)
        if reply["policy_version"].item() == version:
            return reply
    raise AssertionError(f"no reply of policy version {version}")


def test_update_model_is_served_next(
    transport: Any, serve: Any, policy: Any, request_of: Any
) -> None:
    """The reply after it is the new weights', and bears the next version."""
    server = serve(policy, transport)
    client = server.client()
    before = client(request_of(1.0))

    @torch.no_grad()  # type: ignore[untyped-decorator]  # torch does not type it
    def update(model: Any) -> None:
        model.module.weight.fill_(5.0)

    server.update_model(update)
    after = client(request_of(1.0))

    assert (before["action"].item(), before["policy_version"].item()) == (2.0, 0)
    assert (after["action"].item(), after["policy_version"].item()) == (10.0, 1)
    assert server.stats()["weight_updates"] == 1


def test_the_version_goes_where_it_is_told(
    transport: Any, serve: Any, policy: Any, request_of: Any
) -> None:
    """Under a nested key, and beginning anywhere; or nowhere at all."""
    client = serve(
        policy, transport, policy_version=12, policy_version_key=("meta", "version")
    ).client()
    reply = client(request_of())

    assert reply["meta", "version"].item() == 12
    assert "policy_version" not in reply.keys()  # noqa: SIM118 - a TensorDict is not iterated by key


def test_a_scheme_in_threads_is_applied(
    transport: Any, serve: Any, policy: Any, request_of: Any
) -> None:
    """What the trainer gives a scheme is what is served, after the batch under way."""
    scheme = InThreadSync()
    client = serve(policy, transport, weight_sync=scheme).client()
    assert client(request_of(1.0))["action"].item() == 2.0

    weights = TensorDict.from_module(policy).data.apply(lambda w: w * 0.5)
    scheme.pending.append(weights)
    reply = _ask_until_version(client, request_of(1.0), 1)

    assert reply["action"].item() == 1.0


def test_a_scheme_that_never_updates(
    transport: Any, serve: Any, policy: Any, request_of: Any
) -> None:
    """TorchRL's NoWeightSyncScheme: served, version 0."""
    client = serve(policy, transport, weight_sync=NoWeightSyncScheme()).client()

    assert client(request_of(1.0))["policy_version"].item() == 0
