"""Our transports, and anybody's, in TorchRL's own server."""

import gc
import re
import threading
import time
from concurrent.futures import Future, wait
from typing import Any

import pytest
import torch
from tensordict import TensorDict, lazy_stack

from slotbench import torchrl as adapter
from transports._errors import ServerStoppedError
from transports._requests import RequestSchema

inference_server = pytest.importorskip("torchrl.modules.inference_server")

STAMP = "_torchrl_inference_interaction_type"


def test_they_are_torchrls_transports(transport: Any) -> None:
    """A duck type would be refused; these are real subclasses, used as they are."""
    assert isinstance(transport, inference_server.InferenceTransport)
    assert adapter.adapt(transport) is transport


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("collate", [None, lazy_stack, torch.stack])
def test_every_actor_gets_its_own_reply(
    transport: Any, serve: Any, together: Any, double: Any, device: Any, collate: Any
) -> None:
    """Four actors at once: each reply is the answer to its request, with each collate."""
    options = {} if collate is None else {"collate_fn": collate}
    server = serve(double, transport, max_batch_size=4, **options)

    def act(actor: int) -> None:
        client = server.client()
        for step in range(30):
            value = float(100 * actor + step)
            reply = client(
                TensorDict({"observation": torch.tensor([value])}, [], device=device)
            )
            assert reply["action"].item() == 2 * value
            assert reply["observation"].item() == value

    together(4, act)


def test_anybodys_transport_is_adapted(
    foreign: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """One that only meets the contract is wrapped, and serves."""
    adapted = adapter.adapt(foreign)
    server = serve(double, adapted)

    assert adapted is not foreign
    assert server.client()(request_of(3.0))["action"].tolist() == [6.0, 6.0]


def test_what_torchrl_looks_for_is_passed_on(
    foreign: Any, serve: Any, double: Any, request_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapted transport that knows queue times has them in the server's statistics."""

    def drain_with_timing(max_items: int) -> Any:
        items, callbacks = foreign.drain(max_items)
        return items, callbacks, [time.monotonic() - 60.0] * len(items)

    monkeypatch.setattr(foreign, "drain_with_timing", drain_with_timing, raising=False)
    server = serve(double, adapter.adapt(foreign))
    server.client()(request_of())

    assert server.stats()["p50_queue_ms"] >= 60_000.0


def test_the_statistics_tell_how_long_requests_waited(
    transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """Queue times count from the submit, in milliseconds."""
    before = time.monotonic()
    replies = [transport.client().submit(request_of(i)) for i in range(3)]
    submitted = time.monotonic()
    while (
        time.monotonic() < submitted + 0.01
    ):  # a wait to be seen, however coarse the clock
        pass
    started = time.monotonic()
    server = serve(double, transport, max_batch_size=8)
    for reply in replies:
        reply.result(10)
    done = time.monotonic()
    stats = server.stats()

    assert stats["requests"] == 3
    assert stats["batches"] == 1
    assert stats["avg_batch_size"] == 3
    assert (started - submitted) * 1000 <= stats["p50_queue_ms"] <= (done - before) * 1000
    assert stats["p95_queue_ms"] >= stats["p50_queue_ms"]


def test_each_request_of_a_slot_has_its_own_time(
    transport: Any, request_of: Any, double: Any
) -> None:
    """The times given to the server are those of these requests, in order, not of earlier ones."""
    client = transport.client()
    for _ in range(2):
        before = time.monotonic()
        reply = client.submit(request_of())
        after = time.monotonic()
        items, callbacks, submitted_at = transport.drain_with_timing(4)

        assert (len(items), len(callbacks), len(submitted_at)) == (1, 1, 1)
        assert before <= submitted_at[0] <= after
        transport.resolve(callbacks[0], double(items[0]))
        reply.result(10)
    assert transport.drain_with_timing(4) == ([], [], [])


@pytest.mark.parametrize("num_requests", [1, 4])
def test_a_small_batch_is_served_all_the_same(
    transport: Any, serve: Any, double: Any, request_of: Any, num_requests: int
) -> None:
    """Fewer requests than the largest batch are not waited for without end."""
    serve(double, transport, max_batch_size=1024, timeout=0.05)
    replies = [transport.client().submit(request_of(i)) for i in range(num_requests)]

    assert [r.result(10)["action"][0].item() for r in replies] == [
        2 * i for i in range(num_requests)
    ]


def test_no_batch_exceeds_the_maximum(
    make_transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """Twenty requests that wait are served in batches of at most four, each once."""
    transport = make_transport(20)
    sizes: list[int] = []

    def collate(items: list[Any]) -> Any:
        sizes.append(len(items))
        return lazy_stack(items)

    replies = [transport.client().submit(request_of(i)) for i in range(20)]
    serve(double, transport, max_batch_size=4, collate_fn=collate)

    assert [r.result(10)["action"][0].item() for r in replies] == [
        2.0 * i for i in range(20)
    ]
    assert sum(sizes) == 20
    assert max(sizes) <= 4


def test_the_server_waits_for_a_minimum(
    transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """With a long timeout three requests, sent one by one, make one batch of three."""
    server = serve(double, transport, max_batch_size=8, min_batch_size=3, timeout=30.0)
    replies = [transport.client().submit(request_of(i)) for i in range(3)]
    for reply in replies:
        reply.result(20)

    assert server.stats()["batches"] == 1


def test_no_wake_up_is_lost(make_transport: Any, serve: Any, together: Any) -> None:
    """Eight actors, 50 requests each: a lost signal would cost the server's ten minutes of sleep."""
    transport = make_transport(8)
    server = serve(lambda batch: batch, transport, max_batch_size=4, timeout=600.0)

    def act(actor: int) -> None:
        client = server.client()
        for _ in range(50):
            client(TensorDict({"observation": torch.tensor(float(actor))}))

    together(8, act)


def test_threads_may_share_a_client_of_the_queue(
    serve: Any, together: Any, double: Any, request_of: Any
) -> None:
    """One client of ThreadingTransport, eight threads, every reply its own."""
    transport = adapter.ThreadingTransport()
    serve(double, transport, max_batch_size=16)
    client = transport.client()

    def act(actor: int) -> None:
        for step in range(20):
            value = float(100 * actor + step)
            assert client(request_of(value))["action"][0].item() == 2 * value

    together(8, act)


def test_the_queue_takes_requests_without_a_client(
    serve: Any, double: Any, request_of: Any
) -> None:
    """ThreadingTransport's submit gives a Future of the reply."""
    transport = adapter.ThreadingTransport()
    serve(double, transport)
    future = transport.submit(request_of(2.0))

    assert isinstance(future, Future)
    assert future.result(10)["action"][0].item() == 4.0


def test_slots_are_counted(request_of: Any) -> None:
    """One client a slot, be they kept or not, and none more; a request needs a client."""
    transport = adapter.SlotTransport(2)
    transport.client()
    transport.client()

    with pytest.raises(RuntimeError, match="slots"):
        transport.client()
    with pytest.raises(NotImplementedError):
        transport.submit(request_of())


def test_slots_are_used_again(serve: Any, double: Any, request_of: Any) -> None:
    """A client that is closed, or was used and is dropped, gives its slot back."""
    transport = adapter.SlotTransport(1)
    serve(double, transport)
    for i in range(3):
        transport.client().close()
        with transport.client():
            pass
        assert transport.client()(request_of(i))["action"][0].item() == 2.0 * i
        gc.collect()


def test_a_models_error_reaches_the_actor_and_the_server_goes_on(
    transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """TorchRL's server sends it through resolve_exception; the next request is served."""

    def model(batch: Any) -> Any:
        if (batch["observation"] < 0).any():
            raise ArithmeticError("no answer")
        return double(batch)

    server = serve(model, transport)
    client = server.client()

    with pytest.raises(ArithmeticError, match=r"^no answer$"):
        client(request_of(-1.0))
    assert client(request_of(1.0))["action"][0].item() == 2.0


def test_a_models_timeout_error_is_an_answer(
    transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """It is not taken for the end of the actor's wait: the client is free again."""

    def model(batch: Any) -> Any:
        if (batch["observation"] < 0).any():
            raise TimeoutError("too slow a policy")
        return double(batch)

    client = serve(model, transport).client()
    reply = client.submit(request_of(-1.0))

    with pytest.raises(TimeoutError, match=r"^too slow a policy$"):
        reply.result(10)
    assert client(request_of(1.0))["action"][0].item() == 2.0


def test_a_collates_error_is_its_batchs_alone(
    transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """The batch is answered with it; the next one is served."""

    def collate(items: list[Any]) -> Any:
        if any(item["observation"][0] < 0 for item in items):
            raise ValueError("not with me")
        return lazy_stack(items)

    server = serve(double, transport, max_batch_size=1, collate_fn=collate)
    client = server.client()

    with pytest.raises(ValueError, match="not with me"):
        client(request_of(-1.0))
    assert client(request_of(1.0))["action"][0].item() == 2.0
    assert server.is_alive


def test_a_wrong_number_of_rows_is_an_error(
    transport: Any, serve: Any, request_of: Any
) -> None:
    """A model that loses a row is told so, in every actor of the batch."""
    client = serve(lambda batch: lazy_stack([*batch, *batch]), transport).client()

    with pytest.raises(RuntimeError, match="2 results for a batch of 1"):
        client.submit(request_of()).result(10)


def test_a_result_stays_what_it_was(transport: Any, serve: Any, request_of: Any) -> None:
    """Replies that pass the observation through keep their values, and the request is not touched."""
    client = serve(
        lambda batch: batch.set("seen", batch["observation"]), transport
    ).client()
    requests = [request_of(i) for i in range(4)]
    replies = [client(request) for request in requests]

    assert [r["seen"][0].item() for r in replies] == [0.0, 1.0, 2.0, 3.0]
    assert all(set(r.keys()) == {"observation"} for r in requests)
    assert all(
        reply is not request for reply, request in zip(replies, requests, strict=True)
    )


def test_nested_leaves_and_empty_nodes(transport: Any, serve: Any) -> None:
    """Outputs are found where the model put them, beside the request's own nested leaves."""

    def model(batch: Any) -> Any:
        return batch.set(("agents", "action"), batch["agents", "observation"] + 1)

    client = serve(model, transport).client()
    reply = client(
        TensorDict({"agents": {"observation": torch.tensor(1.0)}, "next": TensorDict()})
    )

    assert reply["agents", "action"].item() == 2.0
    assert reply["agents", "observation"].item() == 1.0


@pytest.mark.parametrize("num_leaves", [16, 288])
@pytest.mark.parametrize("device", [None, "cpu"])
def test_many_leaves(transport: Any, serve: Any, num_leaves: int, device: Any) -> None:
    """Every leaf of a wide request reaches the model, and comes back."""

    def model(batch: Any) -> Any:
        return batch.set("total", torch.stack([*batch.values()]).sum(0))

    client = serve(model, transport).client()
    leaves = {f"leaf{i}": torch.tensor(float(i)) for i in range(num_leaves)}
    reply = client(TensorDict(leaves, [], device=device))

    assert reply["total"].item() == sum(range(num_leaves))
    assert all(reply[name].item() == leaf.item() for name, leaf in leaves.items())


def test_devices_of_requests_may_be_named_or_not(
    transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """Requests with and without device metadata share a batch; each reply is as its request."""
    serve(double, transport, max_batch_size=2, min_batch_size=2, timeout=10.0)
    named = transport.client().submit(request_of(1.0, device="cpu"))
    unnamed = transport.client().submit(request_of(2.0))

    assert named.result(20)["action"][0].item() == 2.0
    assert unnamed.result(20)["action"][0].item() == 4.0
    assert named.result().device == torch.device("cpu")
    assert unnamed.result().device is None


def test_devices_and_batching_by_config(
    transport: Any, serve: Any, policy: Any, request_of: Any
) -> None:
    """TorchRL's structured settings are honoured by its server with our transport."""
    server = serve(
        policy,
        transport,
        server_config=inference_server.InferenceServerConfig(
            max_batch_size=2, timeout=0.01
        ),
        device_config=inference_server.InferenceDeviceConfig(
            policy_device="cpu", output_device="cpu"
        ),
    )

    assert server.client()(request_of(1.0))["action"].device.type == "cpu"
    assert server.max_batch_size == 2


def test_leaves_beyond_the_first_requests_stay_with_the_actor(
    transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """A later request may carry more; one that lacks a leaf or has another form is refused."""
    client = serve(double, transport).client()
    client(request_of(1.0))
    later = request_of(2.0)
    later["reward"] = torch.tensor(5.0)
    reply = client(later)

    assert reply["action"][0].item() == 4.0
    assert reply["reward"].item() == 5.0
    with pytest.raises(ValueError, match="observation"):
        client(TensorDict({"reward": torch.tensor(1.0)}))
    with pytest.raises(ValueError, match="expected float32"):
        client(TensorDict({"observation": torch.zeros(2, dtype=torch.int64)}))
    assert client(request_of(3.0))["action"][0].item() == 6.0


def test_a_spec_chooses_what_the_policy_is_given(
    make_transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """Leaves beyond `spec` do not reach the model."""
    seen: list[set[str]] = []

    def model(batch: Any) -> Any:
        seen.append(set(batch.keys()))
        return double(batch)

    client = serve(model, make_transport(1, spec=request_of())).client()
    request = request_of(1.0)
    request["reward"] = torch.tensor(5.0)

    assert client(request)["reward"].item() == 5.0
    assert seen == [{"observation"}]


class TestRequestsOfSeveralRows:
    @pytest.mark.parametrize("device", [None, "cpu"])
    def test_are_one_request(
        self, transport: Any, serve: Any, double: Any, device: Any
    ) -> None:
        """The model gets [requests, rows, ...]; the reply has the request's batch size."""
        sizes: list[torch.Size] = []

        def model(batch: Any) -> Any:
            sizes.append(batch.batch_size)
            return double(batch)

        client = serve(model, transport).client()
        values = torch.arange(6.0).reshape(3, 2)
        td = TensorDict({"observation": values}, [3], device=device)
        replies = [client(td), client.submit(td).result(10)]

        assert sizes == [torch.Size([1, 3])] * 2
        for reply in replies:
            assert reply.batch_size == torch.Size([3])
            assert reply["action"].tolist() == (values * 2).tolist()
            assert set(reply.keys()) == {"observation", "action", "policy_version"}
            assert reply.device == td.device
        assert set(td.keys()) == {"observation"}

    def test_of_several_actors_make_one_batch(
        self, transport: Any, serve: Any, double: Any
    ) -> None:
        """Each actor gets its own rows back."""
        serve(double, transport, max_batch_size=2, min_batch_size=2, timeout=10.0)
        replies = [
            transport.client().submit(
                TensorDict({"observation": torch.full((3, 2), value)}, [3])
            )
            for value in (1.0, 2.0)
        ]

        assert [r.result(20)["action"].unique().tolist() for r in replies] == [[2.0], [4.0]]

    def test_do_not_mix_with_others(
        self, transport: Any, serve: Any, double: Any, request_of: Any
    ) -> None:
        """Another batch size is that client's ValueError, which names both; the server goes on."""
        client = serve(double, transport).client()
        three = TensorDict({"observation": torch.zeros(3, 2)}, [3])
        client(three)

        for other in (
            TensorDict({"observation": torch.zeros(4, 2)}, [4]),
            TensorDict(
                {"observation": torch.zeros(3, 2)}, [3, 2]
            ),  # the leaves are the same
            request_of(),
        ):
            problem = f"request of batch size {list(other.batch_size)}, expected [3]: all "
            with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
                client(other)
        assert client(three)["action"].shape == (3, 2)

    def test_are_refused_after_single_ones(
        self, transport: Any, serve: Any, double: Any, request_of: Any
    ) -> None:
        """The error names both batch sizes."""
        client = serve(double, transport).client()
        client(request_of())
        rows = TensorDict({"observation": torch.zeros(2, 2)}, [2])

        with pytest.raises(
            ValueError, match=r"^request of batch size \[2\], expected \[\]: all "
        ):
            client(rows)
        assert client(request_of(1.0))["action"][0].item() == 2.0

    def test_of_two_first_ones_one_wins(
        self, transport: Any, request_of: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The error says the same where another actor's first request came just before."""
        establish = RequestSchema._establish

        def overtaken(schema: RequestSchema, td: Any) -> Any:
            establish(schema, request_of())
            return establish(schema, td)

        monkeypatch.setattr(RequestSchema, "_establish", overtaken)
        rows = TensorDict({"observation": torch.zeros(2, 2)}, [2])

        with pytest.raises(
            ValueError, match=r"^request of batch size \[2\], expected \[\]: all "
        ):
            transport.client().submit(rows)

    def test_get_the_models_error(self, transport: Any, serve: Any) -> None:
        """An error is not taken apart for rows."""

        def model(batch: Any) -> Any:
            raise ArithmeticError("no rows")

        client = serve(model, transport).client()
        with pytest.raises(ArithmeticError, match="no rows"):
            client(TensorDict({"observation": torch.zeros(3, 2)}, [3]))

    def test_may_be_given_by_spec(
        self, make_transport: Any, serve: Any, double: Any, request_of: Any
    ) -> None:
        """A `spec` of three rows refuses a request of none, be it the first."""
        three = TensorDict({"observation": torch.zeros(3, 2)}, [3])
        client = serve(double, make_transport(1, spec=three)).client()

        with pytest.raises(ValueError, match=r"batch size \[\], expected \[3\]"):
            client(request_of())
        assert client(three)["action"].shape == (3, 2)

    def test_of_the_queue_can_be_cancelled(self, serve: Any, double: Any) -> None:
        """Cancelled before the server starts, the request harms nobody."""
        transport = adapter.ThreadingTransport()
        three = TensorDict({"observation": torch.zeros(3, 2)}, [3])
        cancelled, kept = transport.submit(three), transport.submit(three)
        assert cancelled.cancel()
        serve(double, transport)

        assert kept.result(10)["action"].shape == (3, 2)
        assert cancelled.cancelled()

    def test_of_the_queue_are_answered_through_a_future(
        self, serve: Any, double: Any
    ) -> None:
        """A real one: who is called back by it, or waits for several, sees the rows."""
        transport = adapter.ThreadingTransport()
        future = transport.submit(TensorDict({"observation": torch.ones(3, 2)}, [3]))
        seen: list[Any] = []
        future.add_done_callback(lambda done: seen.append(done.result()))
        serve(double, transport)

        assert isinstance(future, Future)
        assert wait([future], 10).done == {future}
        future.result(10)
        assert [reply.batch_size for reply in seen] == [torch.Size([3])]
        assert set(seen[0].keys()) == {"observation", "action", "policy_version"}

    def test_of_the_queue_keep_their_first_answer(self, double: Any) -> None:
        """A later one, or an error, changes nothing and raises nothing."""
        transport = adapter.ThreadingTransport()
        future = transport.submit(TensorDict({"observation": torch.ones(3, 2)}, [3]))
        (item,), (callback,) = transport.drain(1)
        transport.resolve(callback, double(item))
        transport.resolve(callback, item)
        transport.resolve_exception(callback, ArithmeticError())

        assert future.result(0)["action"].tolist() == [[2.0, 2.0]] * 3


def test_how_to_sample_is_not_lost_in_silence(
    make_transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """A request that says how to sample, after one that did not, is refused, not misread."""
    client = serve(double, make_transport(1)).client()
    client(request_of())
    stamped = request_of().set(STAMP, torch.tensor(3, dtype=torch.int8))

    with pytest.raises(ValueError, match="one kind of client"):
        client(stamped)
    assert client(request_of(1.0))["action"][0].item() == 2.0

    client = serve(double, make_transport(1)).client()
    client(stamped)
    with pytest.raises(ValueError, match="no such leaf"):
        client(request_of())


def test_shutdown_answers_those_who_wait(
    transport: Any, serve: Any, request_of: Any
) -> None:
    """A request queued behind the last batch gets the server's error."""
    is_in_model, go_on = threading.Event(), threading.Event()

    def model(batch: Any) -> Any:
        is_in_model.set()
        assert go_on.wait(30)
        return batch

    server = serve(model, transport, max_batch_size=1)
    served = transport.client().submit(request_of(1.0))
    assert is_in_model.wait(30)
    queued = transport.client().submit(request_of(2.0))
    server.shutdown(timeout=0.0)
    go_on.set()

    assert served.result(10)["observation"][0].item() == 1.0
    with pytest.raises(RuntimeError, match="shutting down"):
        queued.result(10)


def test_a_server_can_be_started_again(
    transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """Clients outlive their server: after a restart they are served."""
    server = serve(double, transport)
    client = server.client()
    assert client(request_of(1.0))["action"][0].item() == 2.0
    server.shutdown()
    server.start()

    assert client(request_of(2.0))["action"][0].item() == 4.0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_that_dies_is_noticed(
    transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """Its batch is never answered by TorchRL; ours tells each actor, and serves after a restart."""
    is_broken = True

    def model(batch: Any) -> Any:
        if is_broken:
            raise SystemExit
        return double(batch)

    server = serve(model, transport)
    client = server.client()
    with pytest.raises(ServerStoppedError):
        client.submit(request_of(1.0)).result(20)
    is_broken = False
    server.start()

    assert client(request_of(2.0))["action"][0].item() == 4.0


def test_a_call_after_shutdown_ends(
    transport: Any, serve: Any, double: Any, request_of: Any
) -> None:
    """Where TorchRL's own would wait for ever, ours says that the server stopped."""
    server = serve(double, transport)
    client = server.client()
    client(request_of(1.0))
    server.shutdown()

    with pytest.raises(ServerStoppedError):
        client.submit(request_of(2.0)).result(20)
