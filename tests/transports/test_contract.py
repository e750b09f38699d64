"""What every transport keeps, behind our server's two paths and behind TorchRL's."""

from __future__ import annotations

import threading

import pytest
import torch

WAIT_S = 60.0


def test_every_reply_goes_to_the_request_it_answers(
    variant, serve, together, request_of, tiny_switch_interval, act, check
):
    """Eight actors at once, batches of at most five, sixty requests each."""
    transport = variant.create(8)
    serve(variant, act, transport, max_batch_size=5)
    clients = [transport.client() for _ in range(8)]

    def actor(index):
        for sequence in range(60):
            check(clients[index](request_of(index, sequence)), index, sequence)

    together(8, actor)


def test_a_request_that_does_not_fit_harms_its_client_only(
    variant, serve, together, request_of, act, check
):
    """Wrong requests are ValueErrors at submit, and the same client goes on."""
    transport = variant.create(4)
    serve(variant, act, transport)
    clients = [transport.client() for _ in range(4)]
    check(clients[0](request_of(0, 0)), 0, 0)
    wrong = request_of(0, 0).set("obs", torch.zeros(4))

    def actor(index):
        for sequence in range(20):
            if index == 0:
                with pytest.raises(
                    ValueError, match=r"'obs'.*float32 \[3\].*float32 \[4\]"
                ):
                    clients[0](wrong)
            check(clients[index](request_of(index, sequence)), index, sequence)

    together(4, actor)


@pytest.mark.parametrize("error", [ValueError("no"), TimeoutError("model"), KeyError("k")])
def test_a_models_error_is_the_reply_as_it_is(
    error, variant, serve, request_of, act, check
):
    """The very exception arrives, again on asking again, and the client is free after it."""
    fail = True

    def model(td):
        if fail:
            raise error
        return act(td)

    transport = variant.create(1)
    serve(variant, model, transport)
    client = transport.client()
    for _ in range(2):
        reply = client.submit(request_of())
        for _ in range(2):
            with pytest.raises(type(error)) as caught:
                reply.result(WAIT_S)
            assert caught.value is error
    fail = False
    check(client(request_of(0, 3)), 0, 3)


def test_a_timed_out_request_stays_in_flight(variant, serve, request_of, act, check):
    """TimeoutError, not done; later the same reply arrives, the same object each time."""
    if variant.may_block_in_submit:
        pytest.skip("the one actor would run the model, which waits for it, inside submit")
    go = threading.Event()

    def model(td):
        assert go.wait(WAIT_S)
        return act(td)

    transport = variant.create(1)
    serve(variant, model, transport)
    reply = transport.client().submit(request_of(1, 2))
    try:
        for timeout in (0, 0.001, -1):
            with pytest.raises(TimeoutError):
                reply.result(timeout)
        assert not reply.done()
    finally:
        go.set()
    check(reply.result(WAIT_S), 1, 2)
    assert reply.done()
    assert reply.result() is reply.result(0)


def test_min_batch_size_is_waited_for(ours, serve, together, request_of, act, check):
    """With a patience far beyond the test, all four requests form one batch."""
    sizes = []

    def model(td):
        sizes.append(td.batch_size[0])
        return act(td)

    transport = ours.create(4)
    serve(ours, model, transport, min_batch_size=4, timeout=20.0)
    clients = [transport.client() for _ in range(4)]
    together(4, lambda i: check(clients[i](request_of(i, i)), i, i))
    assert sizes == [4]


@pytest.mark.parametrize(
    "bad",
    [
        lambda td: td[:1],
        lambda td: torch.cat([td, td]),
        lambda _: None,
        lambda td: td["obs"],
    ],
    ids=["fewer", "more", "none", "tensor"],
)
def test_a_result_with_other_rows_fails_the_batch_with_expected_and_got(
    bad, ours, serve, request_of, act, check
):
    """Each request of the batch gets the RuntimeError; the server goes on."""
    wrong = True
    transport = ours.create(2)
    clients = [transport.client() for _ in range(2)]
    replies = [client.submit(request_of(i, 0)) for i, client in enumerate(clients)]
    serve(ours, lambda td: bad(td) if wrong else act(td), transport)
    for reply in replies:
        with pytest.raises(RuntimeError, match=r"batch size \[2\].*got"):
            reply.result(WAIT_S)
    wrong = False
    check(clients[1](request_of(1, 1)), 1, 1)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_an_exit_in_the_model_stops_the_server_and_leaves_nobody_waiting(
    error, ours, serve, request_of
):
    """Everybody gets a RuntimeError that names it: no actor's thread ends by it in silence."""
    transport = ours.create(2)
    replies = [transport.client().submit(request_of(i, 0)) for i in range(2)]

    def model(_):
        raise error

    serve(ours, model, transport, max_batch_size=1)
    for reply in replies:
        with pytest.raises(RuntimeError, match=type(error).__name__) as raised:
            reply.result(WAIT_S)
        assert raised.value.__cause__ is error


def test_shutdown_rejects_what_is_pending_and_serves_what_was_taken(
    ours, serve, request_of, act, check
):
    """One request is in the model when the server is told to stop, another one waits."""
    entered, go = threading.Event(), threading.Event()

    def model(td):
        entered.set()
        assert go.wait(WAIT_S)
        return act(td)

    if ours.may_block_in_submit:
        pytest.skip("the one actor would run the model, which waits for it, inside submit")
    transport = ours.create(2)
    server = serve(ours, model, transport)
    taken = transport.client().submit(request_of(0, 0))
    assert entered.wait(WAIT_S)
    pending = transport.client().submit(request_of(1, 1))
    server.shutdown(timeout=0.0)
    assert server.is_alive
    go.set()
    server.shutdown(WAIT_S)
    assert not server.is_alive
    check(taken.result(WAIT_S), 0, 0)
    with pytest.raises(RuntimeError, match="shut down"):
        pending.result(WAIT_S)


def test_a_server_may_be_started_again_but_not_twice(ours, serve, request_of, act, check):
    """After a shutdown, start serves the same clients, and what they submitted meanwhile."""
    transport = ours.create(1)
    server = serve(ours, act, transport)
    client = transport.client()
    with pytest.raises(RuntimeError, match="running already"):
        server.start()
    check(client(request_of(0, 1)), 0, 1)
    server.shutdown()
    waiting = client.submit(request_of(0, 2))
    server.start()
    check(waiting.result(WAIT_S), 0, 2)


def test_the_first_answer_stands(contender, request_of, act, check):
    """Answers after the first, by any call, reach neither that request nor the next one."""
    transport = contender.create(1)
    client = transport.client()
    reply = client.submit(request_of(0, 0))
    (row,), (callback,) = transport.drain(4)
    transport.resolve(callback, act(row))
    transport.resolve_exception(callback, ValueError("late"))
    check(reply.result(0), 0, 0)
    reply = client.submit(request_of(0, 1))
    transport.resolve(callback, row)
    transport.resolve_exception(callback, ValueError("late"))
    transport.resolve_batch([callback], row, row)
    assert not reply.done()
    (row,), (callback,) = transport.drain(4)
    transport.resolve(callback, act(row))
    check(reply.result(0), 0, 1)


def test_drain_takes_nothing_when_nothing_is_asked_for_or_there(contender, request_of):
    """Empty lists, and the request stays ready."""
    transport = contender.create(1)
    assert transport.drain(4) == ([], [])
    transport.client().submit(request_of())
    assert transport.drain(0) == transport.drain(-1) == ([], [])
    items, callbacks = transport.drain(4)
    assert len(items) == len(callbacks) == 1
    assert transport.claim(4) == []
