"""What replies are made of, and who may write to what: for every transport and server."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict

import transports


@pytest.mark.parametrize(
    "kind", ["passthrough", "inplace", "view", "reuse", "zero", "expand"]
)
def test_replies_and_requests_never_change_after_they_were_handed_over(
    kind, variant, serve, request_of
):
    """Whatever the model does to its batch, old replies and submitted tensors stay."""
    reused = {}

    def model(td):
        if kind == "inplace":
            td["obs"].add_(100.0)
            td.set("obs", td["obs"])
            td.set_("id", td["id"] * 0)
        elif kind == "view":
            td.set("action", td["obs"][:, :2])
        elif kind == "reuse":
            n = td.batch_size[0]
            out = reused.setdefault(n, torch.zeros(n, 3))
            td.set("action", out.copy_(td["obs"]))
        elif kind == "zero":
            td.set("action", td["obs"] * 2)
            td.zero_()
        elif kind == "expand":
            reused["one"] = reused.get("one", torch.zeros(1)).fill_(td["obs"][0, 0])
            td.set("action", reused["one"].expand(td.batch_size[0]))
        return td

    transport = variant.create(1)
    serve(variant, model, transport)
    client = transport.client()
    requests, kept, replies, snapshots = [], [], [], []
    for sequence in range(5):
        td = request_of(7, sequence)
        requests.append(td)
        kept.append(td.clone())
        replies.append(client(td))
        snapshots.append(replies[-1].clone())
    for td, before in zip(requests, kept, strict=True):
        assert set(td.keys(True, True)) == set(before.keys(True, True))
        assert (td == before).all()
    for sequence, (reply, snapshot) in enumerate(zip(replies, snapshots, strict=True)):
        assert (reply == snapshot).all()
        if kind in {"passthrough", "view"}:
            assert reply["obs"].tolist() == [sequence] * 3
        if kind == "reuse":
            assert reply["action"].tolist() == [sequence] * 3
        if kind == "expand":
            assert reply["action"].item() == sequence


def test_the_model_keeping_its_batch_keeps_it_to_itself(variant, serve, request_of):
    """A batch kept and overwritten later reaches neither reply nor request, nor the next batch."""
    batches = []

    def model(td):
        if not variant.gives_batches_again:
            for old in batches:
                old.apply_(torch.zero_)
        batches.append(td)
        return td.set("action", td["obs"])

    transport = variant.create(1)
    serve(variant, model, transport)
    client = transport.client()
    replies = [(td := request_of(1, n), client(td)) for n in range(1, 4)]
    for n, (td, reply) in enumerate(replies, start=1):
        assert (
            td["obs"].tolist()
            == reply["obs"].tolist()
            == reply["action"].tolist()
            == [n] * 3
        )
    kept = [old["obs"].tolist() for old in batches]
    assert kept == (
        [[[3.0] * 3]] * 3
        if variant.gives_batches_again
        else [[[0.0] * 3], [[0.0] * 3], [[3.0] * 3]]
    )


def test_the_reply_is_new_and_holds_the_requests_own_leaves(variant, serve, request_of):
    """Extra, nested and non-tensor leaves come back; outputs win; the request is untouched."""
    transport = variant.create(1)

    def model(td):
        assert set(td.keys(True, True)) == {"id", "obs", ("inner", "x")}
        return td.set("obs", td["obs"] + 1).set("action", td["obs"])

    serve(variant, model, transport)
    client = transport.client()
    client(request_of(0, 0))
    td = request_of(
        0, 1, extra=torch.arange(4), name="env-0", deep={"a": {"b": torch.ones(2)}}
    )
    reply = client(td)
    assert reply is not td
    assert set(td.keys()) == {"id", "obs", "inner", "extra", "name", "deep"}
    assert set(reply.keys()) >= {*td.keys(), "action"}
    assert reply["obs"].tolist() == [2.0] * 3
    assert td["obs"].tolist() == [1.0] * 3
    assert reply["extra"] is td["extra"]
    assert reply["name"] == "env-0"
    assert reply["deep", "a", "b"] is td["deep", "a", "b"]
    reply["deep", "a"].set("c", torch.ones(()))
    assert ("deep", "a", "c") not in td.keys(True)


def test_a_later_request_may_have_more_leaves(variant, serve):
    """TorchRL's collector sends five leaves at reset and seven afterwards."""
    first = {f"leaf{n}": torch.full((2,), float(n)) for n in range(5)}
    later = first | {"reward": torch.ones(1), "terminal": torch.ones(1, dtype=torch.bool)}
    transport = variant.create(1)
    serve(variant, lambda td: td.set("action", td["leaf4"] * 2), transport)
    client = transport.client()
    assert set(client(TensorDict(first)).keys()) >= {*first, "action"}
    reply = client(TensorDict(later))
    assert set(reply.keys()) >= {*later, "action"}
    assert reply["action"].tolist() == [8.0, 8.0]


def test_what_drain_gives_shares_no_memory_with_requests(contender, request_of):
    """Writing into a drained row changes neither its request nor another row."""
    transport = contender.create(2)
    clients = [transport.client(), transport.client()]
    requests = [request_of(i, 1) for i in range(2)]
    for client, td in zip(clients, requests, strict=True):
        client.submit(td)
    items, _ = transport.drain(4)
    items[0].zero_()
    assert requests[0]["obs"].tolist() == items[1]["obs"].tolist() == [1.0] * 3
    assert transport.drain(4) == ([], [])


def test_an_input_under_another_name_is_an_output(contender, request_of):
    """Only the very input at its own place is no output: it keeps the request's tensor."""
    transport = contender.create(1)
    td = request_of(0, 5)
    reply = transport.client().submit(td)
    callbacks = transport.claim(1)
    batch = transport.gather(callbacks)
    transport.resolve_batch(callbacks, batch, batch.set("copy", batch["obs"]))
    assert reply.result(0)["copy"].tolist() == [5.0] * 3
    assert reply.result(0)["obs"] is td["obs"]


def test_an_input_written_in_place_is_an_output(contender, request_of):
    """The write reaches the reply, and not the request."""
    transport = contender.create(1)
    td = request_of(0, 5)
    reply = transport.client().submit(td)
    callbacks = transport.claim(1)
    batch = transport.gather(callbacks)
    batch["obs"].mul_(2)
    transport.resolve_batch(callbacks, batch, batch)
    assert reply.result(0)["obs"].tolist() == [10.0] * 3
    assert td["obs"].tolist() == [5.0] * 3


def test_tensors_of_inference_mode_are_served_and_replies_are_normal_tensors(ours, serve):
    """Requests made, and outputs computed, under inference mode."""

    def model(td):
        with torch.inference_mode():
            return TensorDict({"obs": td["obs"], "action": td["obs"] * 2}, td.batch_size)

    transport = ours.create(1)
    serve(ours, model, transport)
    client = transport.client()
    with torch.inference_mode():
        first = client(TensorDict({"obs": torch.ones(2)}))
    second = client(TensorDict({"obs": torch.ones(2, requires_grad=True)}))
    for reply in (first, second):
        assert reply["action"].tolist() == [2.0, 2.0]
        assert not reply["action"].is_inference()
        assert not reply["action"].requires_grad


def test_non_tensor_and_nested_outputs_reach_their_rows(ours, serve, request_of):
    """A label per row, a nested node with a batch size of its own, and its device metadata."""

    def model(td):
        n = td.batch_size[0]
        inner = TensorDict({"z": torch.arange(n * 2).view(n, 2)}, [n, 2])
        return TensorDict({"who": "policy", "new": inner, "obs": {"was": td["obs"]}}, [n])

    transport = ours.create(1)
    serve(ours, model, transport)
    reply = transport.client()(request_of(0, 3).to("cpu"))
    assert reply["who"] == "policy"
    assert reply["new"].batch_size == torch.Size([2])
    assert reply["new", "z"].tolist() == [0, 1]
    assert reply["obs", "was"].tolist() == [3.0] * 3
    assert reply["inner", "x"].item() == 0
    assert reply.device == torch.device("cpu")


def test_spec_fixes_what_the_model_gets(ours, serve, request_of):
    """Leaves outside spec stay with the actor; a request without one of them is refused."""
    seen = []

    def model(td):
        seen.append(set(td.keys(True, True)))
        return td.set("action", td["obs"])

    transport = ours.create(1, spec=TensorDict({"obs": torch.zeros(3)}))
    serve(ours, model, transport)
    client = transport.client()
    assert client(request_of(2, 4))["id"].tolist() == [2, 4]
    assert seen == [{"obs"}]
    with pytest.raises(transports.TransportError, match=r"'obs'.*no such leaf"):
        client.submit(TensorDict({"other": torch.zeros(3)}))


def test_a_batch_carries_no_gradient(contender):
    """Nor do drained rows, whatever the requests' tensors want."""
    transport = contender.create(1)
    client = transport.client()
    for take in (
        lambda: transport.gather(transport.claim(1)),
        lambda: transport.drain(1)[0][0],
    ):
        reply = client.submit(TensorDict({"obs": torch.ones(2, requires_grad=True)}))
        assert not take()["obs"].requires_grad
        transport.resolve_exception(
            0 if contender.name == "slot" else reply, ValueError("end")
        )
        with pytest.raises(ValueError, match="end"):
            reply.result(0)


def test_an_output_that_does_not_fit_among_its_requests_entries_is_that_actors_error(
    variant, serve, request_of
):
    """Beyond the schema one request has a node of another batch size; the other is answered."""

    def model(td):
        n = td.batch_size[0]
        return td.set("extra", TensorDict({"y": torch.ones(n, 2)}, [n]))

    transport = variant.create(2, spec=request_of(0, 0))
    clients = [transport.client(), transport.client()]
    odd = request_of(0, 0).set("extra", TensorDict({"x": torch.ones(3)}, [3]))
    replies = [clients[0].submit(odd), clients[1].submit(request_of(1, 0))]
    serve(variant, model, transport, min_batch_size=2)
    with pytest.raises(RuntimeError, match="batch dimension mismatch"):
        replies[0].result(60)
    assert replies[1].result(60)["extra", "y"].tolist() == [1.0, 1.0]
