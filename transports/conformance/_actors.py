"""What checks are written with: actors in threads, a model that can be held, bounded waits.

No check waits without end and none sleeps to let another thread get somewhere: it holds the
*model* and counts batches. A transport may run the model in an actor's own thread, inside
`submit`, so the thread that submits is never the one that releases the model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import torch
from tensordict import NestedKey, TensorDict
from tensordict.base import TensorDictBase

from transports.conformance._api import (
    CheckFailedError,
    Model,
    NotApplicableError,
    System,
    SystemFactory,
    describe,
)

# The promise is that everything ends within 1 s; the rest is for a busy machine.
PATIENCE_S: float = 3.0
# Nothing is promised of how long it takes to build and start a system.
START_PATIENCE_S: float = 20.0

# Long enough for two actors who start together to meet in a batch, short enough to be waited
# for by one whose partner was refused.
MEETING_S: Final = 0.2
# Batches of two, where two ask.
PAIRS: Final[dict[str, Any]] = {
    "min_batch_size": 2,
    "max_batch_size": 2,
    "timeout_s": MEETING_S,
}


class Task:
    """Something done in a thread of its own, as an actor would, and waited for with patience.

    Args:
        name: of what is done; it begins the reason if this fails.
        target: what to do.
        patience_s: how long it may take, if not the usual.
    """

    def __init__(
        self, name: str, target: Callable[[], Any], patience_s: float | None = None
    ) -> None:
        self.name: Final = name
        self._patience_s: Final = PATIENCE_S if patience_s is None else patience_s
        self._value: Any = None
        self._error: BaseException | None = None
        # A daemon: one that hangs in the system must not keep the process alive.
        self.thread: Final = threading.Thread(
            target=self._run, args=(target,), name=f"conformance: {name}", daemon=True
        )
        self.thread.start()

    def _run(self, target: Callable[[], Any]) -> None:
        try:
            self._value = target()
        except BaseException as exc:  # noqa: BLE001 - whatever it is, the check judges it
            self._error = exc

    def is_over(self, within_s: float = 0.0) -> bool:
        """Tell whether it has ended, waiting for that at most so long."""
        self.thread.join(max(0.0, within_s))
        return not self.thread.is_alive()

    def value(self) -> Any:
        """Return its value, or raise its error as it is.

        Raises:
            CheckFailedError: neither within the patience; or the error is no Exception, which
                would end the checking thread.
        """
        error = self.ending()
        if error is None:
            return self._value
        if isinstance(error, Exception):
            raise error
        raise CheckFailedError(f"{self.name}: {describe(error)}") from error

    def reply(self) -> Any:
        """Return its value.

        Raises:
            CheckFailedError: it ended in an error, or not at all.
        """
        error = self.ending()
        if error is None:
            return self._value
        raise CheckFailedError(
            f"{self.name}: expected a reply, got {describe(error)}"
        ) from error

    def error(self) -> BaseException:
        """Return the error it ended in.

        Raises:
            CheckFailedError: it ended in none, or not at all.
        """
        error = self.ending()
        if error is None:
            raise CheckFailedError(f"{self.name}: expected an error, got a reply")
        return error

    def ending(self) -> BaseException | None:
        """Return the error it ended in, or None if that was a value.

        Raises:
            CheckFailedError: it did not end.
        """
        if not self.is_over(self._patience_s):
            raise CheckFailedError(
                f"{self.name}: no answer and no error within {self._patience_s:g} s"
            )
        if isinstance(self._error, CheckFailedError | NotApplicableError):
            raise self._error
        return self._error


def act(td: TensorDictBase) -> TensorDictBase:
    """Write an action and an echo of the id into the batch, as a TensorDictModule does."""
    td.set("action", td.get("obs") * 2)
    td.set("echo", td.get("id").clone())
    return td


class WatchedModel:
    """A model that knows what it was given and can be held while it has a batch.

    Args:
        step: what it does with a batch.

    Attributes:
        batches: per batch, in order, the (actor, sequence) of each row.
    """

    def __init__(self, step: Callable[[TensorDictBase], Any] = act) -> None:
        self.step: Final = step
        self.batches: Final[list[list[tuple[int, int]]]] = []
        self.changed: Final = threading.Condition()
        self._may_go_on: Final = threading.Event()
        self._may_go_on.set()

    def __call__(self, td: TensorDictBase) -> Any:
        """Note the batch, wait if held, and do the step."""
        ids = [(actor, sequence) for actor, sequence in td.get("id").tolist()]
        with self.changed:
            self.batches.append(ids)
            self.changed.notify_all()
        self._may_go_on.wait(4 * PATIENCE_S)
        return self.step(td)

    def hold(self) -> None:
        """Keep the next batch inside the model until `release`."""
        self._may_go_on.clear()

    def release(self) -> None:
        """Let the batch that is held, and all others, go on."""
        self._may_go_on.set()

    def wait_for_batches(self, count: int) -> None:
        """Return when `count` batches have reached the model.

        Raises:
            CheckFailedError: they have not within the patience.
        """
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.batches) >= count, PATIENCE_S):
                raise CheckFailedError(
                    f"batch {count} did not reach the model within {PATIENCE_S:g} s"
                )


class Served:
    """A system under check, around a watched model; every call of it is bounded."""

    def __init__(self, system: System, model: WatchedModel) -> None:
        self.system: Final = system
        self.model: Final = model
        self.is_over = False  # tells actors in a loop that nobody counts on them any more
        self._tasks: Final[list[Task]] = []

    def start(self) -> None:
        """Start the system, or raise what it raises."""
        self._keep(Task("start()", self.system.start, START_PATIENCE_S)).value()

    def shutdown(self) -> None:
        """Shut the system down."""
        self.task("shutdown()", lambda: self.system.shutdown(PATIENCE_S / 2)).value()

    def client(self) -> Any:
        """Return a new client, or raise what the system raises."""
        # The task is not kept: it would keep the client.
        return Task("client()", self.system.client).value()

    def clients(self, count: int) -> list[Any]:
        """Return new clients."""
        return [self.client() for _ in range(count)]

    def task(self, name: str, target: Callable[[], Any]) -> Task:
        """Do something in a thread of its own."""
        return self._keep(Task(name, target))

    def _keep(self, task: Task) -> Task:
        self._tasks.append(task)
        return task

    def call(self, client: Any, td: TensorDictBase, name: str = "call") -> Task:
        """Call the client in a thread of its own."""
        return self.task(name, lambda: client(td))

    def submit(self, client: Any, td: TensorDictBase, name: str = "submit") -> Any:
        """Return what the client's `submit` returns; in a thread of its own, which ends.

        Raises:
            NotApplicableError: the client has no `submit`.
        """
        submit = need(client, "submit")
        return Task(name, lambda: submit(td)).reply()

    def ask(self, client: Any, td: TensorDictBase, name: str = "call") -> Task:
        """Call the client in a thread of its own; where it has `submit`, that was done on return."""
        if not hasattr(client, "submit"):
            return self.call(client, td, name)
        is_submitted = threading.Event()

        def submit_and_wait() -> Any:
            try:
                reply = client.submit(td)
            finally:
                is_submitted.set()
            return reply.result()

        task = self.task(name, submit_and_wait)
        is_submitted.wait(PATIENCE_S)
        return task

    def hold(self, client: Any) -> Task:
        """Keep a request of the client's inside the model, so that others have to wait."""
        self.model.hold()
        held = self.call(client, request(), "call held in the model")
        self.model.wait_for_batches(1)
        return held

    def wait_for(self, tasks: Iterable[Task]) -> None:
        """Return when all are over; patience begins anew with every batch the model sees.

        Raises:
            CheckFailedError: one is not over, and no batch came for the whole patience.
        """
        for task in tasks:
            seen = -1
            while not task.is_over(PATIENCE_S):
                if len(self.model.batches) == seen:
                    task.value()  # raises
                seen = len(self.model.batches)

    def end(self) -> None:
        """Shut down; nothing may be left waiting."""
        self.is_over = True
        self.model.release()
        self.shutdown()
        deadline = time.monotonic() + PATIENCE_S
        for task in self._tasks:
            if not task.is_over(deadline - time.monotonic()):
                raise CheckFailedError(
                    f"{task.name}: after shutdown still no answer and no error within "
                    f"{PATIENCE_S:g} s"
                )

    def give_up(self) -> None:
        """Shut down as far as that goes; what hangs is left behind."""
        self.is_over = True
        self.model.release()
        with suppress(Exception):
            self.shutdown()


@contextmanager
def serve(
    factory: SystemFactory,
    model: WatchedModel | None = None,
    *,
    num_clients: int,
    is_started: bool = True,
    **batching: Any,
) -> Iterator[Served]:
    """Build a system around a model, start it, and shut it down at the end."""
    model = model or WatchedModel()
    system = construct(factory, model, num_clients=num_clients, **batching)
    served = Served(system, model)
    try:
        if is_started:
            served.start()
        yield served
    except BaseException:
        served.give_up()
        raise
    served.end()


def construct(factory: SystemFactory, model: Model, **arguments: Any) -> System:
    """Build a system, or raise what its constructor raises."""
    told = ", ".join(f"{name}={value}" for name, value in arguments.items())
    system: System = Task(
        f"construction with {told}", lambda: factory(model, **arguments), START_PATIENCE_S
    ).value()
    return system


def need(handle: Any, method: str, of: str = "client") -> Callable[..., Any]:
    """Return a method that not every client, or reply, has.

    Raises:
        NotApplicableError: this one has not.
    """
    found: Callable[..., Any] | None = getattr(handle, method, None)
    if found is None:
        raise NotApplicableError(f"its {of}, a {type(handle).__name__}, has no {method}()")
    return found


def request(actor: int = 0, sequence: int = 0, **extra: Any) -> TensorDict:
    """Return the request of that number: who asks, three numbers, and what else is given."""
    return TensorDict(
        {
            "id": torch.tensor([actor, sequence]),
            "obs": torch.full((3,), _number(actor, sequence)),
            **extra,
        },
        [],
    )


def expect_reply(reply: Any, actor: int = 0, sequence: int = 0) -> None:
    """Check that this is the reply of `act` to that request.

    Raises:
        CheckFailedError: it is not.
    """
    expect(reply, "echo", [actor, sequence], actor, sequence)
    expect(reply, "id", [actor, sequence], actor, sequence)
    expect(reply, "action", [2 * _number(actor, sequence)] * 3, actor, sequence)


def expect(
    reply: Any, leaf: NestedKey, expected: Any, actor: int = 0, sequence: int = 0
) -> None:
    """Check one leaf of a reply.

    Raises:
        CheckFailedError: it is not there, or something else.
    """
    whose = f"actor {actor}'s request {sequence}"
    if not isinstance(reply, TensorDictBase):
        raise CheckFailedError(
            f"expected a TensorDict as the reply to {whose}, got {type(reply).__name__}"
        )
    value = reply.get(leaf, None)
    if value is None:
        raise CheckFailedError(f"no {leaf!r} in the reply to {whose}")
    if value.tolist() != expected:
        raise CheckFailedError(
            f"expected {expected}, got {value.tolist()} in {leaf!r} of {whose}"
        )


def _number(actor: int, sequence: int) -> float:
    return 1000.0 * actor + sequence
