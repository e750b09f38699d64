"""Systems broken on purpose, each of which a check must catch: `PlainSystem` with one fault."""

# ruff: noqa: D102 - what an overridden method is for stands in PlainSystem

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import Any, Final, TypeVar

from tensordict import NestedKey, TensorDict
from tensordict.base import TensorDictBase

from transports.conformance._api import Mutant, sentence
from transports.conformance.plain import PlainClient, PlainRequest, PlainSystem

_SystemT = TypeVar("_SystemT", bound=type[PlainSystem])
_registered: Final[list[Mutant]] = []


def _breaks(*checks: str) -> Callable[[_SystemT], _SystemT]:
    """Register a class as a mutant of each of the checks; its docstring says what is wrong."""

    def register(broken: _SystemT) -> _SystemT:
        name = re.sub(r"(?<!^)(?=[A-Z])", "-", broken.__name__).lower()
        _registered.extend(
            Mutant(
                name if len(checks) == 1 else f"{name}:{check}",
                check,
                broken,
                sentence(broken),
            )
            for check in checks
        )
        return broken

    return register


# ---- 1: replies


@_breaks("replies-match-requests")
class RotatesRows(PlainSystem):
    """Now and then each row of a batch goes to its neighbour."""

    num_batches = 0

    def answer_all(self, batch: list[PlainRequest], outcomes: Sequence[Any]) -> None:
        self.num_batches += 1
        by = 1 if self.num_batches % 7 == 0 else 0
        super().answer_all(batch, [*outcomes[by:], *outcomes[:by]])


@_breaks("replies-match-requests-in-partial-batches")
class MixesUpPartialBatches(PlainSystem):
    """Replies come in reverse order where more requests wait than a batch takes."""

    def answer_all(self, batch: list[PlainRequest], outcomes: Sequence[Any]) -> None:
        super().answer_all(batch, outcomes[::-1] if self.waiting else outcomes)


class _OneReplyClient(PlainClient):
    """One that keeps its reply in itself, for whoever asks."""

    last: PlainRequest

    def __call__(self, td: TensorDictBase) -> Any:
        self.last = self.submit(td)
        time.sleep(0)
        return self.last.result()


@_breaks("replies-match-requests-of-a-shared-client")
class SharesReplies(PlainSystem):
    """Of two threads that use a client, the first gets the reply of the second."""

    client_class = _OneReplyClient


class _AssertingClient(PlainClient):
    """One that assumes to be alone."""

    is_busy = False

    def __call__(self, td: TensorDictBase) -> Any:
        assert not self.is_busy
        self.is_busy = True
        try:
            return super().__call__(td)
        finally:
            self.is_busy = False


@_breaks("replies-match-requests-of-a-shared-client")
class AssertsToBeAlone(PlainSystem):
    """A second thread that uses a client meets an AssertionError, as if that were a defect."""

    client_class = _AssertingClient


@_breaks("requests-served-once")
class ServesTwice(PlainSystem):
    """Now and then a request that was taken stays in the list."""

    num_batches = 0

    def take(self) -> list[PlainRequest]:
        batch = super().take()
        self.num_batches += 1
        if self.num_batches % 10 == 0:
            self.waiting.append(batch[0])
        return batch


@_breaks("nested-leaves-arrive")
class ForgetsNestedOutputs(PlainSystem):
    """A reply has no other nested leaves than its request."""

    def compose(self, request: PlainRequest, row: dict[NestedKey, Any]) -> TensorDictBase:
        flat = {name: leaf for name, leaf in row.items() if isinstance(name, str)}
        return super().compose(request, flat)


# ---- 2: results


@_breaks("result-is-a-new-object", "result-is-a-new-object-with-device")
class ReturnsTheRequest(PlainSystem):
    """The outputs are written into the submitted TensorDict, which is returned."""

    def compose(self, request: PlainRequest, row: dict[NestedKey, Any]) -> TensorDictBase:
        return request.td.update(row)


@_breaks("request-is-not-mutated-with-device")
class WritesOutputsIntoTheRequest(PlainSystem):
    """The outputs are written into the submitted TensorDict, and a copy of that returned."""

    def compose(self, request: PlainRequest, row: dict[NestedKey, Any]) -> TensorDictBase:
        return request.td.update(row).clone()


@_breaks("request-is-not-mutated")
class ServesOneRowInPlace(PlainSystem):
    """A batch of one is a view of the request, so the model writes into that."""

    def stack(self, batch: list[PlainRequest]) -> TensorDict:
        if len(batch) > 1:
            return super().stack(batch)
        leaves = batch[0].leaves
        return TensorDict({name: leaves[name].unsqueeze(0) for name in self.schema}, [1])


@_breaks(
    "result-survives-a-reused-output-buffer",
    "result-survives-a-weight-update",
    "result-is-not-the-models-tensor",
    "results-share-no-element",
)
class ReturnsViews(PlainSystem):
    """Results are views of what the model returned."""

    def take_apart(self, result: Any, num_rows: int) -> list[dict[NestedKey, Any]]:
        return [{n: v[row].detach() for n, v in result.items()} for row in range(num_rows)]


@_breaks(
    "result-survives-pass-through",
    "result-survives-writes-into-the-input",
    "result-survives-views-of-the-input",
)
class ReusesItsInputBuffer(ReturnsViews):
    """Each batch is built in the same memory, and results may be views of it."""

    buffer: TensorDict | None = None

    def stack(self, batch: list[PlainRequest]) -> TensorDict:
        stacked = super().stack(batch)
        if self.buffer is None or len(self.buffer) != len(stacked):
            self.buffer = stacked
        # A new TensorDict of the old tensors: outputs are not kept.
        return TensorDict(self.buffer.update_(stacked).to_dict(), [len(batch)])


@_breaks("request-is-not-mutated", "request-is-not-mutated-with-device")
class LocksTheRequest(PlainSystem):
    """A submitted TensorDict is locked from then on."""

    def submit(self, slot: int, td: TensorDictBase) -> PlainRequest:
        return super().submit(slot, td.lock_())


@_breaks("result-survives-pass-through", "result-survives-a-weight-update")
class RingOfEight(PlainSystem):
    """Results are made in eight buffers in turn."""

    num_batches = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.buffers: dict[tuple[Any, ...], Any] = {}

    def take_apart(self, result: Any, num_rows: int) -> list[dict[NestedKey, Any]]:
        rows = super().take_apart(result, num_rows)
        self.num_batches += 1
        for number, row in enumerate(rows):
            for name, leaf in row.items():
                place = (self.num_batches % 8, num_rows, number, name)
                row[name] = self.buffers.setdefault(place, leaf).copy_(leaf)
        return rows


@_breaks("result-survives-a-reused-output-buffer")
class ReusesMemoryOfPairs(RingOfEight):
    """Results are made in the same memory each time, where a batch is more than one request."""

    def take_apart(self, result: Any, num_rows: int) -> list[dict[NestedKey, Any]]:
        if num_rows == 1:
            return PlainSystem.take_apart(self, result, num_rows)
        self.num_batches = 0
        return super().take_apart(result, num_rows)


# ---- 3: endings


class _Unwatched(PlainSystem):
    """A waiting actor never looks whether a server is there."""

    def look_after(self, request: PlainRequest, *, is_patient: bool) -> None:
        pass


@_breaks(
    "call-before-start",
    "call-after-shutdown",
    "call-after-shutdown-with-timeout",
    "server-thread-dies",
)
class LeavesLateCallersAlone(_Unwatched):
    """A call made while no server runs waits without end."""


@_breaks("shutdown-under-load", "server-thread-dies-while-an-actor-waits")
class ForgetsWhoWaits(_Unwatched):
    """A server that stops tells nobody."""

    def reject_waiting(self) -> None:
        pass


@_breaks("shutdown-keeps-its-timeout")
class WaitsForTheModel(PlainSystem):
    """A shutdown takes as long as the model does."""

    def shutdown(self, timeout_s: float) -> None:  # noqa: ARG002 - that it is not used is the fault
        super().shutdown(threading.TIMEOUT_MAX)


@_breaks("errors-come-within-a-second")
class LooksLate(PlainSystem):
    """A waiting actor looks for the first time after 1.2 s whether a server is there."""

    def look_after(self, request: PlainRequest, *, is_patient: bool) -> None:
        if time.monotonic() > request.since_s + 1.2:
            super().look_after(request, is_patient=is_patient)


@_breaks("call-after-shutdown", "call-after-shutdown-with-timeout")
class SpeaksOfADeadline(PlainSystem):
    """Who calls after shutdown is told of something else, in words that have the right ones in them."""

    def stopped(self) -> Exception:
        return RuntimeError("deadline exceeded; the closest is _stop_event")


@_breaks("call-before-start", "shutdown-under-load")
class StumblesOverItsEnd(PlainSystem):
    """Who calls a server that does not run gets the error of a mistake in the code."""

    def stopped(self) -> Exception:
        return AttributeError("'NoneType' object has no attribute 'stop'")


@_breaks("call-before-start-with-timeout")
class RefusesBeforeStart(PlainSystem):
    """A request before start is refused, though its actor would wait."""

    def submit(self, slot: int, td: TensorDictBase) -> PlainRequest:
        if self.thread is None:
            raise self.stopped()
        return super().submit(slot, td)


@_breaks("restart")
class StaysStopped(PlainSystem):
    """A server that is started again still finds that it is to stop."""

    was_shut_down = False

    def shutdown(self, timeout_s: float) -> None:
        super().shutdown(timeout_s)
        self.was_shut_down = True

    def next_batch(self) -> list[PlainRequest]:
        return [] if self.was_shut_down else super().next_batch()


@_breaks("model-raises-exception")
class WrapsErrors(PlainSystem):
    """An error of the model's reaches the actors as another."""

    def answer_all(self, batch: list[PlainRequest], outcomes: Sequence[Any]) -> None:
        super().answer_all(
            batch,
            [RuntimeError("failed") if isinstance(o, Exception) else o for o in outcomes],
        )


@_breaks("model-raises-timeout-error", "dropped-reply")
class WantsItsReplyRead(PlainSystem):
    """A client is busy until its reply is read, and a TimeoutError is taken for the wait's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.busy: set[int] = set()

    def submit(self, slot: int, td: TensorDictBase) -> PlainRequest:
        if slot in self.busy:
            raise RuntimeError("the client has a request in flight")
        self.busy.add(slot)
        return _FreeingRequest(super().submit(slot, td), self.busy)


class _FreeingRequest(PlainRequest):
    """A request whose client is free when `result` has returned or raised, but for TimeoutError."""

    def __init__(self, inner: PlainRequest, busy: set[int]) -> None:
        super().__init__(inner.system, inner.slot, inner.td)
        self.inner: Final = inner
        self.busy: Final = busy

    def result(self, timeout: float | None = None) -> Any:
        try:
            reply = self.inner.result(timeout)
        except Exception as exc:
            if not isinstance(exc, TimeoutError):
                self.busy.discard(self.slot)
            raise
        self.busy.discard(self.slot)
        return reply


@_breaks("model-raises-system-exit")
class DiesSilently(_Unwatched):
    """What is no Exception ends the server's thread, with its batch unanswered."""

    def answer_all(self, batch: list[PlainRequest], outcomes: Sequence[Any]) -> None:
        if self.cause is None:
            super().answer_all(batch, outcomes)

    def reject_waiting(self) -> None:
        pass


@_breaks("model-raises-system-exit")
class ForgetsItsDeath(PlainSystem):
    """Who calls after the model has ended the server waits without end."""

    def look_after(self, request: PlainRequest, *, is_patient: bool) -> None:
        if self.cause is None:
            super().look_after(request, is_patient=is_patient)


@_breaks("model-raises-keyboard-interrupt")
class HandsOnCtrlC(PlainSystem):
    """What is no Exception is raised in the actors as it is, and ends them."""

    def stopped(self) -> Any:
        return self.cause or super().stopped()


@_breaks("model-returns-too-few-rows", "model-returns-too-many-rows")
class CountsNoRows(_Unwatched):
    """Rows are handed out as far as there are any."""

    def serve(self, batch: list[PlainRequest]) -> None:
        result = self.model(self.stack(batch))
        for request, row in zip(
            batch, super().take_apart(result, len(result)), strict=False
        ):
            request.answer(self.compose(request, row))


@_breaks("model-returns-no-tensordict")
class TrustsTheModel(PlainSystem):
    """A result that is no TensorDict ends the server's thread."""

    def take_apart(self, result: Any, num_rows: int) -> list[dict[NestedKey, Any]]:
        if not isinstance(result, TensorDictBase):
            raise SystemExit
        return super().take_apart(result, num_rows)


@_breaks("cancelled-reply")
class DiesOfCancelledRequests(PlainSystem):
    """A cancelled request stays in the list, and to answer it ends the server's thread."""

    def withdraw(self, request: PlainRequest, why: BaseException) -> bool:
        request.answer(why)
        return True

    def take(self) -> list[PlainRequest]:
        batch = super().take()
        if any(request.done() for request in batch):
            raise RuntimeError("the request was answered already")
        return batch


@_breaks("cancelled-reply", "cancelled-reply-in-the-model")
class NeverAnswersTheCancelled(PlainSystem):
    """Who waits for a request that was cancelled waits without end."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cancelled: list[PlainRequest] = []

    def withdraw(self, request: PlainRequest, why: BaseException) -> bool:
        if not isinstance(why, CancelledError):
            return super().withdraw(request, why)
        self.cancelled.append(request)
        return True

    def answer_all(self, batch: list[PlainRequest], outcomes: Sequence[Any]) -> None:
        for request, outcome in zip(batch, outcomes, strict=True):
            if request not in self.cancelled:
                request.answer(outcome)


@_breaks("timed-out-wait")
class GivesUpOnTimeout(PlainSystem):
    """A wait that timed out withdraws the request."""

    def time_out(self, request: PlainRequest) -> None:
        self.withdraw(request, RuntimeError("the request was given up"))


# ---- 4: bad clients


@_breaks(
    "bad-client-missing-leaf", "bad-client-shape", "bad-client-dtype", "bad-client-device"
)
class ChecksNothing(PlainSystem):
    """A request that fits no other is found when the batch is stacked, and fails all of it."""

    def check_fits(self, td: TensorDictBase) -> None:
        self.schema = self.schema or dict(td.items())

    def stack(self, batch: list[PlainRequest]) -> TensorDict:
        # torch.stack promotes dtypes; elsewhere that is an error, as here.
        if len({request.leaves["obs"].dtype for request in batch}) > 1:
            raise TypeError("expected tensors of one dtype")
        return super().stack(batch)


@_breaks("bad-client-shape")
class TellsNoShapes(PlainSystem):
    """The error of a request that fits no other has the digits of both shapes, but no shapes."""

    def check_fits(self, td: TensorDictBase) -> None:
        try:
            super().check_fits(td)
        except ValueError:
            raise ValueError("leaf 'obs' does not fit: error 1234") from None


@_breaks("bad-client-at-first-contact", "bad-client-before-start")
class DiesOfBadRequests(_Unwatched):
    """A request that fits no other ends the server's thread before the model is called."""

    def check_fits(self, td: TensorDictBase) -> None:
        self.schema = self.schema or dict(td.items())

    def take(self) -> list[PlainRequest]:
        batch = super().take()
        self.stack(batch)
        return batch


@_breaks("bad-client-at-first-contact", "bad-client-before-start")
class DiesOfBadRequestsOpenly(PlainSystem):
    """A batch of requests that do not fit ends the server's thread, of which all are told."""

    def check_fits(self, td: TensorDictBase) -> None:
        self.schema = self.schema or dict(td.items())

    def next_batch(self) -> list[PlainRequest]:
        batch = super().next_batch()
        if len({request.leaves["obs"].shape for request in batch}) > 1:
            self.answer_all(batch, [self.stopped()] * len(batch))
            raise SystemExit
        return batch


@_breaks("bad-client-recovers")
class NeverForgives(PlainSystem):
    """A client whose request was refused is refused from then on."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.refused: set[int] = set()

    def submit(self, slot: int, td: TensorDictBase) -> PlainRequest:
        if slot in self.refused:
            raise RuntimeError("the client has a request in flight")
        self.refused.add(slot)
        request = super().submit(slot, td)
        self.refused.discard(slot)
        return request


@_breaks("nothing-is-cast")
class CastsToTheFirst(PlainSystem):
    """A leaf is cast to the dtype it had in the first request."""

    def submit(self, slot: int, td: TensorDictBase) -> PlainRequest:
        cast = {n: v.to(self.schema[n][0]) for n, v in td.items() if n in self.schema}
        return super().submit(slot, td.clone(recurse=False).update(cast))


@_breaks("outputs-keep-their-dtype")
class CastsOutputs(PlainSystem):
    """All outputs come as float64."""

    def take_apart(self, result: Any, num_rows: int) -> list[dict[NestedKey, Any]]:
        rows = super().take_apart(result, num_rows)
        return [{name: leaf.double() for name, leaf in row.items()} for row in rows]


@_breaks("nothing-is-stale")
class FillsInFromBefore(PlainSystem):
    """A leaf that a request lacks is the one of the client's last request."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.last: dict[int, dict[NestedKey, Any]] = {}

    def submit(self, slot: int, td: TensorDictBase) -> PlainRequest:
        self.last[slot] = {**self.last.get(slot, {}), **dict(td.items())}
        return super().submit(slot, TensorDict(self.last[slot], []))


@_breaks("extra-leaf-stays")
class DropsExtraLeaves(PlainSystem):
    """A leaf that the first request lacked is dropped."""

    def compose(self, request: PlainRequest, row: dict[NestedKey, Any]) -> TensorDictBase:
        return TensorDict(row, [], device=request.td.device)


# ---- 5: fairness


@_breaks("fairness")
class ServesNewestFirst(PlainSystem):
    """A batch takes the newest requests."""

    def take(self) -> list[PlainRequest]:
        batch = self.waiting[-self.max_batch_size :]
        self.waiting = self.waiting[: -self.max_batch_size]
        return batch


@_breaks("fairness-with-a-pausing-actor")
class ServesLowestSlotsFirst(PlainSystem):
    """A batch takes the requests of the lowest slots."""

    def take(self) -> list[PlainRequest]:
        self.waiting.sort(key=lambda request: request.slot)
        return super().take()


# ---- 6: slots


class _UncloseableClient(PlainClient):
    def close(self) -> None:
        pass


@_breaks("slot-reused-after-close", "call-after-close", "dead-actor")
class NeverGivesBack(PlainSystem):
    """To close a client does nothing, nor does to drop it."""

    client_class = _UncloseableClient


class _TwiceClosedClient(PlainClient):
    def close(self) -> None:
        with self.system.changed:
            self.is_closed = True
            self.system.free_slots.append(self.slot)

    def __del__(self) -> None:
        pass


class _UnendingClient(PlainClient):
    def __exit__(self, *exc_info: object) -> None:
        pass

    def __del__(self) -> None:
        pass


@_breaks("slot-reused-after-with", "slot-reused-after-drop")
class GivesBackOnCloseOnly(PlainSystem):
    """Only close() gives a slot back."""

    client_class = _UnendingClient


@_breaks("late-reply-after-close", "late-reply-after-drop", "close-with-a-waiting-request")
class HandsLateRepliesOn(PlainSystem):
    """A reply goes to the request its slot has now, whoever's that is."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.current: dict[int, PlainRequest] = {}

    def submit(self, slot: int, td: TensorDictBase) -> PlainRequest:
        request = self.current[slot] = super().submit(slot, td)
        return request

    def answer_all(self, batch: list[PlainRequest], outcomes: Sequence[Any]) -> None:
        super().answer_all([self.current[request.slot] for request in batch], outcomes)


@_breaks("close-twice")
class GivesBackTwice(HandsLateRepliesOn):
    """A client that is closed again gives its slot back again."""

    client_class = _TwiceClosedClient


# ---- 7: arguments


@_breaks(
    "refuses-bad-num-clients",
    "refuses-bad-batch-sizes",
    "refuses-min-above-max",
    "refuses-bad-timeout",
)
class AcceptsAnything(PlainSystem):
    """Arguments are not looked at."""

    def check_arguments(self, *arguments: Any) -> None:
        pass


@_breaks(
    "refuses-bad-num-clients",
    "refuses-bad-batch-sizes",
    "refuses-min-above-max",
    "refuses-bad-timeout",
)
class RefusesEverything(PlainSystem):
    """No arguments are accepted."""

    def check_arguments(self, *arguments: Any) -> None:  # noqa: ARG002 - that they are not looked at is the fault
        raise TypeError("got an unexpected argument")


@_breaks("max-batch-size-holds")
class TakesAll(PlainSystem):
    """A batch takes all that wait."""

    def take(self) -> list[PlainRequest]:
        batch, self.waiting = self.waiting, []
        return batch


@_breaks("min-batch-size-is-waited-for")
class WaitsForNobody(PlainSystem):
    """A batch is due as soon as there is a request."""

    def due_in_s(self) -> float:
        return 0.0 if self.waiting else super().due_in_s()


@_breaks("timeout-counts-from-oldest")
class RestartsItsTimer(PlainSystem):
    """Each request begins the timeout anew."""

    def due_in_s(self) -> float:
        due_in_s = super().due_in_s()
        if len(self.waiting) in range(1, self.min_batch_size):
            due_in_s += self.waiting[-1].since_s - self.waiting[0].since_s
        return due_in_s


MUTANTS: Final[tuple[Mutant, ...]] = tuple(_registered)
