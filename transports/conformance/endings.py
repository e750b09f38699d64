"""Guarantee 3: nothing hangs; each call ends in a reply, or soon in an error that names the cause."""

from __future__ import annotations

import ctypes
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import torch
from tensordict.base import TensorDictBase

from transports.conformance import _actors
from transports.conformance._actors import (
    PAIRS,
    Served,
    Task,
    WatchedModel,
    act,
    expect_reply,
    need,
    request,
    serve,
)
from transports.conformance._api import (
    CheckFailedError,
    NotApplicableError,
    SystemFactory,
    check,
    describe,
)

# An error that comes of a server that does not run says so in some such word, and is none of
# those that a mistake in the code raises, or a wait that ran out.
_STOPPED: Final = re.compile(
    r"\b(stop(s|ped|ping)?|shut(s|ting)?|shutdown|closed|closing|dead|dies|died|terminated|exited"
    r"|not running|no server|(not|never)( been)? started)\b",
    re.IGNORECASE,
)
_ACCIDENTS: Final = (
    TimeoutError,
    AttributeError,
    NameError,
    KeyError,
    IndexError,
    TypeError,
)
_SOON_S: Final = 1.0
_NUM_TRIES: Final = 3


class _ModelError(Exception):
    """What a model under check raises."""


# ---- the server comes and goes


@check(3)
def shutdown_under_load(factory: SystemFactory) -> None:
    """When the server is shut down, actors that call in a loop all end, in an error that says so."""

    def loop(client: Any) -> None:
        while not served.is_over:
            client(request())

    with serve(factory, num_clients=8) as served:
        tasks = [served.task("call", lambda c=c: loop(c)) for c in served.clients(8)]  # type: ignore[misc]  # a default binds the loop's value
        served.model.wait_for_batches(16)
        served.shutdown()
        for task in tasks:
            _expect_stopped(task)


@check(3)
def shutdown_keeps_its_timeout(factory: SystemFactory) -> None:
    """A shutdown returns within its timeout though the model does not; when that does, everyone ends."""
    with serve(factory, num_clients=2) as served:
        holder, other = served.clients(2)
        held = served.hold(holder)
        waiting = served.ask(other, request(1), "call of one who waits")
        served.shutdown()
        served.model.release()
        held.ending()
        waiting.ending()


@check(3)
def call_before_start(factory: SystemFactory) -> None:
    """A call before start, without a timeout, ends in an error; once started, the client works."""
    with serve(factory, num_clients=1, is_started=False) as served:
        client = served.client()
        _expect_stopped(served.call(client, request(), "call before start"))
        served.start()
        _expect_served(served, client)


@check(3)
def call_before_start_with_timeout(factory: SystemFactory) -> None:
    """A request waited for with a timeout is served when the server starts meanwhile."""
    with serve(factory, num_clients=1, is_started=False) as served:
        reply = served.submit(served.client(), request())
        waiting = served.task("result()", lambda: reply.result(_actors.PATIENCE_S))
        served.start()
        expect_reply(waiting.reply())


@check(3)
def call_after_shutdown(factory: SystemFactory) -> None:
    """A call after shutdown ends in an error that says so."""
    with serve(factory, num_clients=1) as served:
        client = served.client()
        _expect_served(served, client)
        served.shutdown()
        _expect_stopped(served.call(client, request(), "call after shutdown"))


@check(3)
def call_after_shutdown_with_timeout(factory: SystemFactory) -> None:
    """A call after shutdown that waits with a timeout is told of that, and not that its time ran out."""
    with serve(factory, num_clients=1) as served:
        client = served.client()
        _expect_served(served, client)
        served.shutdown()
        submit = need(client, "submit")
        name = "submit and result(timeout) after shutdown"
        wait_s = _actors.PATIENCE_S / 2
        _expect_stopped(served.task(name, lambda: submit(request()).result(wait_s)))


@check(3)
def errors_come_within_a_second(factory: SystemFactory) -> None:
    """A call after shutdown ends within 1 s."""
    with serve(factory, num_clients=1) as served:
        client = served.client()
        served.shutdown()
        for _ in range(_NUM_TRIES):  # a machine that stalls may spoil one
            call = served.call(client, request(), "call after shutdown")
            if call.is_over(_SOON_S):
                _expect_stopped(call)
                return
            call.ending()
    raise CheckFailedError(
        f"call after shutdown: no error within {_SOON_S:g} s, in {_NUM_TRIES} tries"
    )


@check(3)
def restart(factory: SystemFactory) -> None:
    """After shutdown and start, the clients of before work."""
    with serve(factory, num_clients=1) as served:
        client = served.client()
        _expect_served(served, client)
        served.shutdown()
        try:
            served.start()
        except CheckFailedError:
            raise
        except Exception as exc:
            raise NotApplicableError(f"it does not start again: {describe(exc)}") from exc
        _expect_served(served, client)


@check(3)
def server_thread_dies(factory: SystemFactory) -> None:
    """When the server's thread dies while idle, calls after that end in an error that says so."""
    _in_one_of_two_tries(lambda: _kill_idle_server(factory))


@check(3)
def server_thread_dies_while_an_actor_waits(factory: SystemFactory) -> None:
    """When the server's thread dies, an actor whose request waits to be batched ends in an error."""
    _in_one_of_two_tries(lambda: _kill_waiting_server(factory))


# ---- what the model does


@check(3)
def model_raises_exception(factory: SystemFactory) -> None:
    """An error of the model's reaches the actors of its batch, as it is, and the next call works."""
    _expect_error_of_model(factory, _ModelError("of the model"))


@check(3)
def model_raises_timeout_error(factory: SystemFactory) -> None:
    """A TimeoutError of the model's is an answer, and not the end of a wait; the next call works."""
    _expect_error_of_model(factory, TimeoutError("of the model"))


@check(3)
def model_raises_system_exit(factory: SystemFactory) -> None:
    """When the model raises SystemExit, everyone ends in an error that names it."""
    _expect_end_by_model(factory, SystemExit("of the model"))


@check(3)
def model_raises_keyboard_interrupt(factory: SystemFactory) -> None:
    """When the model raises KeyboardInterrupt, everyone ends in an error that names it."""
    _expect_end_by_model(factory, KeyboardInterrupt("of the model"))


@check(3)
def model_returns_too_few_rows(factory: SystemFactory) -> None:
    """Too few rows are an error for each actor of the batch, and the next call works."""
    _expect_bad_result(factory, lambda td: act(td)[1:])


@check(3)
def model_returns_too_many_rows(factory: SystemFactory) -> None:
    """Too many rows are an error for each actor of the batch, and the next call works."""
    _expect_bad_result(factory, lambda td: torch.cat([act(td), td]))


@check(3)
def model_returns_no_tensordict(factory: SystemFactory) -> None:
    """Something else than a TensorDict is an error for each actor, and the next call works."""
    _expect_bad_result(factory, lambda td: td.get("obs"))


# ---- what the actor does with its reply


@check(3)
def cancelled_reply(factory: SystemFactory) -> None:
    """A request that was cancelled ends in an error, others in replies; its client's next call works."""
    with serve(factory, num_clients=3) as served:
        holder, canceller, other = served.clients(3)
        held = served.hold(holder)
        reply = served.submit(canceller, request(1))
        cancel = need(reply, "cancel", of="reply")
        waiting = served.ask(other, request(2), "call of another actor")
        was_cancelled = served.task("cancel()", cancel).value()
        result = served.task("result() of the cancelled request", reply.result)
        served.model.release()
        if was_cancelled:
            result.error()
        result.ending()
        expect_reply(held.reply())
        expect_reply(waiting.reply(), 2)
        _expect_served(served, canceller, 1)


@check(3)
def cancelled_reply_in_the_model(factory: SystemFactory) -> None:
    """Cancelling a request that is in the model harms nobody in its batch, and it ends, too."""
    with serve(factory, num_clients=2, **PAIRS) as served:
        canceller, other = served.clients(2)
        served.model.hold()
        reply = served.submit(canceller, request())
        cancel = need(reply, "cancel", of="reply")
        # The other completes the batch. Its thread may run the model, but not the canceller's.
        held = served.call(other, request(1), "call in the same batch")
        served.model.wait_for_batches(1)
        served.task("cancel()", cancel).value()
        served.model.release()
        expect_reply(held.reply(), 1)
        served.task("result() of the cancelled request", reply.result).ending()
        _expect_both_served(served, [canceller, other])


@check(3)
def dropped_reply(factory: SystemFactory) -> None:
    """A reply may be dropped unread: the client's next call works and gets its own answer."""
    with serve(factory, num_clients=1) as served:
        client = served.client()
        for sequence in range(3):
            served.submit(client, request(0, 10 + sequence))
            _expect_served(served, client, 0, sequence)


@check(3)
def timed_out_wait(factory: SystemFactory) -> None:
    """A wait that timed out may be waited again, and the client's next call works."""
    with serve(factory, num_clients=2) as served:
        holder, client = served.clients(2)
        held = served.hold(holder)
        reply = served.submit(client, request(1))
        error = served.task("result(0.05)", lambda: reply.result(0.05)).error()
        if not isinstance(error, TimeoutError):
            raise CheckFailedError(
                f"result(0.05): expected TimeoutError: {describe(error)}"
            )
        served.model.release()
        expect_reply(held.reply())
        expect_reply(served.task("result()", reply.result).reply(), 1)
        _expect_served(served, client, 1, 1)


# ---- helpers


def _expect_served(served: Served, client: Any, actor: int = 0, sequence: int = 0) -> None:
    call = served.call(client, request(actor, sequence), f"call of actor {actor}")
    expect_reply(call.reply(), actor, sequence)


def _chain(error: BaseException) -> list[BaseException]:
    """Return the error, its cause, that one's cause, and so on."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    return chain


def _expect_stopped(task: Task) -> None:
    """Expect an error that says that no server runs."""
    error = task.error()
    told = " ".join(describe(e) for e in _chain(error))
    # So that the words of `ServerStoppedError` count, too.
    told = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", told)
    if (
        not isinstance(error, Exception)
        or isinstance(error, _ACCIDENTS)
        or not _STOPPED.search(told)
    ):
        raise CheckFailedError(
            f"{task.name}: expected an error saying that no server runs, got {describe(error)}"
        )


def _expect_error_of_model(factory: SystemFactory, error: Exception) -> None:
    """Let the model raise it for the first requests of two actors, together or one by one."""

    def fail(td: TensorDictBase) -> Any:
        if _has_first_request(td):
            raise error
        return act(td)

    with serve(factory, WatchedModel(fail), num_clients=2, **PAIRS) as served:
        clients = served.clients(2)
        tasks = [served.call(c, request(i)) for i, c in enumerate(clients)]
        for task in tasks:
            got = task.error()
            if type(got) is not type(error) or str(got) != str(error):
                raise CheckFailedError(
                    f"{task.name}: expected {describe(error)}, got {describe(got)}"
                )
        _expect_both_served(served, clients)


def _expect_end_by_model(factory: SystemFactory, error: BaseException) -> None:
    """Let the model raise it with one actor in the batch, two that wait and one that comes later."""

    def fail(td: TensorDictBase) -> Any:  # noqa: ARG001 - a model's signature
        raise error

    with serve(factory, WatchedModel(fail), num_clients=3, max_batch_size=1) as served:
        first, *others = served.clients(3)
        tasks = [served.hold(first)]
        tasks += [
            served.ask(c, request(i), "call of one who waits")
            for i, c in enumerate(others, 1)
        ]
        served.model.release()
        for task in tasks:
            got = task.error()
            if not isinstance(got, Exception) or not any(
                type(error).__name__ in describe(e) for e in _chain(got)
            ):
                raise CheckFailedError(
                    f"{task.name}: expected an error naming {type(error).__name__}, got "
                    f"{describe(got)}"
                )
        served.call(first, request(0, 1), "call after that").ending()


def _expect_bad_result(
    factory: SystemFactory, step: Callable[[TensorDictBase], Any]
) -> None:
    """Let the model return that for the first requests of two actors, together or one by one."""

    def sometimes(td: TensorDictBase) -> Any:
        return step(td) if _has_first_request(td) else act(td)

    with serve(factory, WatchedModel(sometimes), num_clients=2, **PAIRS) as served:
        clients = served.clients(2)
        tasks = [served.call(c, request(i)) for i, c in enumerate(clients)]
        for task in tasks:
            if not isinstance(error := task.error(), Exception):
                raise CheckFailedError(
                    f"{task.name}: expected an Exception: {describe(error)}"
                )
        _expect_both_served(served, clients)


def _has_first_request(td: TensorDictBase) -> bool:
    return bool((td.get("id")[:, 1] == 0).any())


def _expect_both_served(served: Served, clients: list[Any]) -> None:
    again = [served.call(c, request(i, 1), "next call") for i, c in enumerate(clients)]
    for actor, task in enumerate(again):
        expect_reply(task.reply(), actor, 1)


def _in_one_of_two_tries(attempt: Callable[[], None]) -> None:
    """Let one success do: a thread that is killed just as it takes a lock keeps that for ever."""
    try:
        attempt()
    except CheckFailedError:
        attempt()


def _kill_idle_server(factory: SystemFactory) -> None:
    with serve(factory, num_clients=2, is_started=False) as served:
        threads = _start_and_find_threads(served)
        first, second = served.clients(2)
        _expect_served(served, first)
        _kill(threads, _actors.PATIENCE_S / 3)
        # A thread that sleeps without end dies when a request wakes it.
        waking = served.call(first, request(), "call that wakes a dying thread")
        waking.is_over(_actors.PATIENCE_S)
        _need_dead(threads)
        _expect_stopped(served.call(second, request(1), "call after the thread died"))
        _expect_stopped(served.call(first, request(), "another call after it"))


def _kill_waiting_server(factory: SystemFactory) -> None:
    # A lone request waits that long for a second one, which never comes.
    timeout_s = _actors.PATIENCE_S / 2
    with serve(
        factory, num_clients=2, is_started=False, min_batch_size=2, timeout_s=timeout_s
    ) as served:
        threads = _start_and_find_threads(served)
        reply = served.submit(served.client(), request())
        waiting = served.task("result()", reply.result)
        # A server that takes requests before it has a batch of them has taken it by then: what
        # is still in the queue is easily told that the server ended.
        waiting.is_over(timeout_s / 4)
        _kill(threads, 2 * timeout_s)
        _need_dead(threads)
        if served.model.batches:
            raise NotApplicableError("the request was served before the thread died")
        _expect_stopped(waiting)


def _start_and_find_threads(served: Served) -> list[threading.Thread]:
    before = {*threading.enumerate()}
    served.start()
    threads = [
        t for t in threading.enumerate() if t not in before and "conformance" not in t.name
    ]
    if not threads:
        raise NotApplicableError("start() starts no thread of this process")
    return threads


def _kill(threads: list[threading.Thread], within_s: float) -> None:
    """Raise SystemExit in each thread as soon as it runs again, which its timeouts make it."""
    deadline = time.monotonic() + within_s
    for thread in threads:
        ident = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit))
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _need_dead(threads: list[threading.Thread]) -> None:
    deadline = time.monotonic() + _actors.PATIENCE_S
    for thread in threads:  # a caller may learn of a death just before it is complete
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        raise NotApplicableError("its thread cannot be killed from outside")
