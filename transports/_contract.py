"""What a transport, a client and a reply are: protocols, to be met and not to be inherited.

It must not know any transport. The contract is TorchRL's `InferenceTransport`, so that a class
meeting it fits TorchRL's server behind a wrapper that only inherits.

Two sides. *Actor threads* hold a client each and submit; *the server thread*, one per
transport, waits, drains, runs the model and resolves. A **callback** names one drained request;
what it is (a slot's number, a Future) is the transport's own business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from tensordict.base import TensorDictBase


class Reply(Protocol):
    """The answer to one request, perhaps not there yet."""

    def done(self) -> bool:
        """Tell whether `result` would return, or raise, at once.

        Blocks:
            Never on the server.
        """

    def result(self, timeout: float | None = None) -> TensorDictBase:
        """Return the reply: the request's own leaves and the model's outputs, which win.

        Called again it returns the same object, or raises the same error.

        Outputs carry no gradient, and are views of one copy per batch: in-place autograd on
        them fails, and one that is kept keeps its batch's memory; `.clone()` it for either.

        Threads:
            The actor's.
        Blocks:
            Until the server answers, or `timeout` seconds; None: as long as a server lives.

        Raises:
            TimeoutError: no answer within `timeout`; the request stays in flight and may be
                waited for again.
            ServerStoppedError: the server's thread has ended, or stopped before it took the
                request; or none has come yet and there is no `timeout` to wait for one. Within
                a second (`LOOK_S`, 0.5 s, and what the machine needs). The request is withdrawn.
            Exception: whatever the model raised (a TimeoutError of the model's is its answer,
                not a timeout of the wait), or why its result does not fit.
        """


class Client(Protocol):
    """An actor's handle on the transport; a context manager that closes it."""

    def __call__(self, td: TensorDictBase) -> TensorDictBase:
        """Submit `td`, wait as long as a server lives, and return the reply.

        Blocks:
            Until the server answers, or is found dead.

        Raises:
            Exception: as `submit` and `Reply.result` do.
        """

    def close(self) -> None:
        """Give back what the client holds; closing again does nothing.

        A reply that comes later is dropped. A client nobody refers to any more is closed.

        Threads:
            Any, while no other uses the client.
        Blocks:
            Never.
        """

    def submit(self, td: TensorDictBase) -> Reply:
        """Hand `td`, of batch size [], to the server without waiting for the answer.

        `td` is never written to. Its tensors belong to the transport until the reply is there.

        Threads:
            One actor's thread, unless the transport allows sharing.
        Blocks:
            Never on the server.

        Raises:
            ValueError: `td` does not fit the schema; only this client is concerned.
            RuntimeError: the transport allows one request in flight per client, and one is; or
                the client is closed.
        """


class Transport(Protocol):
    """Carries requests from actor threads to the server thread, and replies back.

    The server is the thread that waits for work or drains; one at a time, and the next one after
    the last one's thread has ended.

    Guarantees, of a transport of this package in this package's server; `transports.conformance`
    checks each of them, and of anybody's:
        1. A reply belongs to its request; none is lost, doubled or swapped.
        2. A result never changes after it was returned, nor does the request.
        3. Nothing hangs: each call ends in a reply, or soon in an error that names the cause.
        4. One bad client harms no other, and nothing is silently cast, dropped or kept stale.
        5. A waiting request is in one of the next ⌈N/max_batch_size⌉ + 1 batches.
        6. A slot is reusable: another client gets it, and never a reply to the one before.
        7. Arguments that make no sense are refused; the timeout counts from the oldest request.
    """

    def client(self) -> Client:
        """Return a new client.

        Threads:
            Any.

        Raises:
            RuntimeError: the transport has a fixed number of clients and all are in use.
        """

    def submit(self, td: TensorDictBase) -> Reply:
        """Submit without a client, where the transport can.

        Threads:
            Any.

        Raises:
            NotImplementedError: requests go through `client()` only.
            ValueError: `td` does not fit the schema.
        """

    def wait_for_work(self, timeout: float) -> None:
        """Return when a request is ready, or after `timeout` seconds; now and then for nothing.

        Threads:
            The server's.
        Blocks:
            At most `timeout` seconds.
        """

    def drain(self, max_items: int) -> tuple[list[TensorDictBase], list[Any]]:
        """Take up to `max_items` ready requests: what the model needs of each, and a callback.

        Threads:
            The server's.
        Blocks:
            Never.
        Ordering:
            The transport's to say; both lists are in the same order.
        """

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        """Answer a drained request with the model's row for it, of batch size [].

        The first answer stands: answering again does nothing.

        Threads:
            The server's.
        Blocks:
            Never.

        Raises:
            Exception: only if the request was not answered.
        """

    def resolve_exception(self, callback: Any, exc: BaseException) -> None:
        """Answer a drained request with an error; the first answer stands.

        Threads:
            The server's.
        Blocks:
            Never.
        """


class BatchedTransport(Transport, Protocol):
    """The optional fast path: whole batches, no TensorDict per request on the server's side.

    A server looks for `wait_for_batch`, `claim`, `gather`, `resolve_batch` and `wake` together,
    and for `lend`, `server_begins` and `server_ended` each on its own.
    """

    def wait_for_batch(self, min_items: int, timeout: float) -> None:
        """Return when `min_items` requests are ready, or the oldest has been for `timeout` s.

        With none ready it returns after `timeout` seconds. Should it return earlier, a smaller
        batch is served. After `lend` it may take longer while none is ready: actors serve
        themselves, and `wake` ends the wait.

        Threads:
            The server's.
        Blocks:
            At most twice `timeout` seconds, but for what is said above.
        """

    def claim(self, max_items: int) -> list[Any]:
        """Take up to `max_items` ready requests, as `drain` does, but only their callbacks.

        Threads:
            The server's.
        Blocks:
            Never.
        Ordering:
            That of `drain`.
        """

    def gather(self, callbacks: list[Any]) -> TensorDictBase:
        """Build the batch of claimed, unanswered requests: batch size [n].

        Its tensors are no actor's. Where the transport says so, the next `gather` gives the same
        memory again: answer one batch before gathering the next.

        Threads:
            The server's.
        Ordering:
            Row i belongs to `callbacks[i]`.

        Raises:
            Exception: the batch cannot be built (memory); the requests are still to be answered.
        """

    def resolve_batch(
        self, callbacks: list[Any], batch: TensorDictBase, result: TensorDictBase
    ) -> None:
        """Answer all of `callbacks` from `result`, the model's TensorDict of batch size [n].

        A result that does not fit answers each of them with a RuntimeError.

        Threads:
            The server's; `batch` is what the last `gather` returned.
        Ordering:
            Row i answers `callbacks[i]`.

        Raises:
            Exception: only if no request was answered.
        """

    def wake(self) -> None:
        """Make the `wait_for_work` under way, or else the next one, return early.

        Threads:
            Any.
        Blocks:
            Never.
        """

    def lend(self, step: Callable[[], None] | None) -> None:
        """Allow that an actor runs `step`, the server's whole turn, while the server waits.

        The server calls it before its first wait and, with None, after its last. Between them
        it has the turn, except inside `wait_for_batch`, which does not return before
        an actor that has the turn gives it back.

        Threads:
            The server's; `step` is called from any actor's, one at a time.
        Blocks:
            While an actor runs a step.
        """

    def server_begins(self) -> None:
        """Say that there is a server: after the last one's death, requests need not be withdrawn.

        Threads:
            The server's, first of all.
        """

    def server_ended(self, reason: BaseException | None) -> None:
        """Say why no more will be served: None if told to stop. Later requests' errors name it.

        Threads:
            The server's, before it rejects what is pending for the last time.
        """
