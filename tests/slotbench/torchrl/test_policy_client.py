"""TorchRL's PolicyClientModule, which looks like a policy, over our transports."""

import threading
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn.probabilistic import (
    InteractionType,
    interaction_type,
    set_interaction_type,
)

inference_server = pytest.importorskip("torchrl.modules.inference_server")

STAMP = "_torchrl_inference_interaction_type"


def says_how_it_samples(batch: Any) -> Any:
    """Answer 1 where it is to sample at random, else 0."""
    is_random = interaction_type() is InteractionType.RANDOM
    return batch.set("action", torch.full(batch.batch_size, int(is_random)))


@pytest.mark.parametrize("of", ["transport", "server", "client"])
def test_it_is_made_of_any_of_the_three(
    transport: Any, serve: Any, policy: Any, request_of: Any, of: str
) -> None:
    """Of the transport, of the server, or of a client: each is a policy with its keys."""
    server = serve(policy, transport)
    sources = {"transport": transport, "server": server, "client": transport.client()}
    module = inference_server.PolicyClientModule(
        sources[of], in_keys=["observation"], out_keys=["action"]
    )
    reply = module(request_of(3.0))

    assert reply["action"].item() == 6.0
    assert (module.in_keys, module.out_keys) == (["observation"], ["action"])
    assert set(reply.keys()) == {"observation", "action", "policy_version"}


def test_a_request_is_not_waited_for(
    transport: Any, serve: Any, policy: Any, request_of: Any
) -> None:
    """`submit` gives something to ask, whose result is the reply, again and again."""
    serve(policy, transport)
    future = inference_server.PolicyClientModule(transport).submit(request_of(1.0))

    assert future.result(timeout=10)["action"].item() == 2.0
    assert future.done()
    assert future.result() is future.result()


def test_nested_keys(transport: Any, serve: Any, nested_policy: Any) -> None:
    """Nested leaves go there and back."""
    serve(nested_policy, transport)
    module = inference_server.PolicyClientModule(
        transport, in_keys=[("agent", "observation")], out_keys=["action"]
    )
    reply = module(TensorDict({("agent", "observation"): torch.ones(2)}))

    assert reply["action"].item() == 2.0
    assert reply["agent", "observation"].tolist() == [1.0, 1.0]


def test_how_to_sample_travels_with_the_request(
    transport: Any, serve: Any, request_of: Any
) -> None:
    """The actor's mode, or the module's own, is what the model runs under; its own is not."""
    serve(says_how_it_samples, transport, max_batch_size=1)
    ambient = inference_server.PolicyClientModule(transport)
    explicit = inference_server.PolicyClientModule(
        transport, interaction_type=InteractionType.RANDOM
    )
    with set_interaction_type(InteractionType.RANDOM):
        assert ambient(request_of())["action"].item() == 1
    with set_interaction_type(InteractionType.DETERMINISTIC):
        assert ambient(request_of())["action"].item() == 0
        assert explicit(request_of())["action"].item() == 1


@pytest.mark.parametrize("device", [None, "cpu"])
def test_requests_of_several_rows_may_be_stamped(
    transport: Any, serve: Any, device: Any
) -> None:
    """A request with a batch size, and nothing in it but the stamp, is one as any other."""
    serve(says_how_it_samples, transport)
    module = inference_server.PolicyClientModule(transport)
    with set_interaction_type(InteractionType.RANDOM):
        reply = module(TensorDict({}, [3], device=device))

    assert reply["action"].tolist() == [1, 1, 1]
    assert set(reply.keys()) == {"action", "policy_version"}


def test_a_spec_must_have_a_place_for_the_mode(
    make_transport: Any, serve: Any, request_of: Any
) -> None:
    """Without it the policy would sample in some other mode: refused. With it, served."""
    without = make_transport(1, spec=request_of())
    serve(says_how_it_samples, without)
    with pytest.raises(ValueError, match=r"spec= has none.*add it to spec= as int8"):
        inference_server.PolicyClientModule(without)(request_of())

    spec = request_of().set(STAMP, torch.zeros((), dtype=torch.int8))
    with_place = make_transport(1, spec=spec)
    serve(says_how_it_samples, with_place)
    module = inference_server.PolicyClientModule(
        with_place, interaction_type=InteractionType.RANDOM
    )
    assert module(request_of())["action"].item() == 1


def test_a_guarded_client_can_ask_again(
    transport: Any, serve: Any, policy: Any, request_of: Any
) -> None:
    """With one request in flight at most, a reply that was read makes room, and so does an error."""

    def model(batch: Any) -> Any:
        if (batch["observation"] < 0).any():
            raise ArithmeticError("no answer")
        return policy(batch)

    serve(model, transport)
    module = inference_server.PolicyClientModule(transport, max_inflight=1)
    done: list[float] = []

    def act() -> None:
        done.append(module(request_of(1.0))["action"].item())
        future = module.submit(request_of(-1.0))
        with pytest.raises(ArithmeticError):
            future.result(timeout=10)
        done.append(module(request_of(2.0))["action"].item())

    actor = threading.Thread(target=act, daemon=True)
    actor.start()
    actor.join(30)

    assert done == [2.0, 4.0]


def test_a_wait_that_ran_out_keeps_the_request(
    transport: Any, serve: Any, request_of: Any
) -> None:
    """It stays in flight, and the next wait gets it."""
    go_on = threading.Event()

    def model(batch: Any) -> Any:
        assert go_on.wait(30)
        return batch.set("action", batch["observation"] * 2)

    serve(model, transport)
    future = inference_server.PolicyClientModule(transport, max_inflight=1).submit(
        request_of(1.0)
    )
    with pytest.raises(TimeoutError):
        future.result(timeout=0.0)
    assert not future.done()
    go_on.set()

    assert future.result(timeout=10)["action"][0].item() == 2.0
