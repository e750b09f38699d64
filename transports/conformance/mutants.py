"""Systems broken on purpose, each of which a check must catch: `PlainSystem` with one fault."""

# ruff: noqa: D102 - what an overridden method is for stands in PlainSystem

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from tensordict import TensorDict
from tensordict.base import TensorDictBase

from transports.conformance._api import Check, Mutant, sentence
from transports.conformance.arguments import (
    refuses_bad_batch_sizes,
    refuses_bad_num_clients,
    refuses_bad_timeout,
    refuses_min_above_max,
    timeout_counts_from_oldest,
)
from transports.conformance.bad_clients import (
    bad_client_at_first_contact,
    bad_client_before_start,
    bad_client_device,
    bad_client_dtype,
    bad_client_missing_leaf,
    bad_client_recovers,
    bad_client_shape,
    extra_leaf_stays,
    nothing_is_cast,
    nothing_is_stale,
)
from transports.conformance.endings import (
    call_after_shutdown,
    call_after_shutdown_with_timeout,
    call_before_start,
    call_before_start_with_timeout,
    cancelled_reply,
    dropped_reply,
    model_raises_exception,
    model_raises_keyboard_interrupt,
    model_raises_system_exit,
    model_raises_timeout_error,
    model_returns_no_tensordict,
    model_returns_too_few_rows,
    model_returns_too_many_rows,
    restart,
    server_thread_dies,
    server_thread_dies_while_an_actor_waits,
    shutdown_under_load,
    timed_out_wait,
)
from transports.conformance.fairness import fairness, fairness_with_a_pausing_actor
from transports.conformance.plain import PlainClient, PlainRequest, PlainSystem
from transports.conformance.replies import (
    replies_match_requests,
    replies_match_requests_in_partial_batches,
    requests_served_once,
)
from transports.conformance.results import (
    request_is_not_mutated,
    request_is_not_mutated_with_device,
    result_is_a_new_object,
    result_is_a_new_object_with_device,
    result_is_not_the_models_tensor,
    result_survives_a_reused_output_buffer,
    result_survives_a_weight_update,
    result_survives_pass_through,
    result_survives_views_of_the_input,
    result_survives_writes_into_the_input,
    results_share_no_element,
)
from transports.conformance.slots import (
    call_after_close,
    close_with_a_waiting_request,
    dead_actor,
    late_reply_after_close,
    late_reply_after_drop,
    slot_reused_after_close,
    slot_reused_after_drop,
    slot_reused_after_with,
)

_SystemT = TypeVar("_SystemT", bound=type[PlainSystem])
_registered: Final[list[Mutant]] = []


def _breaks(*checks: Check) -> Callable[[_SystemT], _SystemT]:
    """Register a class as a mutant of each of the checks; its docstring says what is wrong."""

    def register(broken: _SystemT) -> _SystemT:
        name = re.sub(r"(?<!^)(?=[A-Z])", "-", broken.__name__).lower()
        _registered.extend(
            Mutant(
                name if len(checks) == 1 else f"{name}:{check.name}",
                check.name,
                broken,
                sentence(broken),
            )
            for check in checks
        )
        return broken

    return register


# ---- 1: replies


@_breaks(replies_match_requests)
class RotatesRows(PlainSystem):
    """Now and then each row of a batch goes to its neighbour."""

    num_batches = 0

    def answer_all(self, batch: list[PlainRequest], outcomes: Sequence[Any]) -> None:
        self.num_batches += 1
        by = 1 if self.num_batches % 7 == 0 else 0
        super().answer_all(batch, [*outcomes[by:], *outcomes[:by]])


@_breaks(replies_match_requests_in_partial_batches)
class MixesUpPartialBatches(PlainSystem):
    """Replies come in reverse order where more requests wait than a batch takes."""

    def answer_all(self, batch: list[PlainRequest], outcomes: Sequence[Any]) -> None:
        super().answer_all(batch, outcomes[::-1] if self.waiting else outcomes)


@_breaks(requests_served_once)
class ServesTwice(PlainSystem):
    """Now and then a request that was taken stays in the list."""

    num_batches = 0

    def take(self) -> list[PlainRequest]:
        batch = super().take()
        self.num_batches += 1
        if self.num_batches % 10 == 0:
            self.waiting.append(batch[0])
        return batch


# ---- 2: results


@_breaks(result_is_a_new_object, result_is_a_new_object_with_device)
class ReturnsTheRequest(PlainSystem):
    """The outputs are written into the submitted TensorDict, which is returned."""

    def compose(self, request: PlainRequest, row: dict[str, Any]) -> TensorDictBase:
        return request.td.update(row)


@_breaks(request_is_not_mutated_with_device)
class WritesOutputsIntoTheRequest(PlainSystem):
    """The outputs are written into the submitted TensorDict, and a copy of that returned."""

    def compose(self, request: PlainRequest, row: dict[str, Any]) -> TensorDictBase:
        return request.td.update(row).clone()


@_breaks(request_is_not_mutated)
class ServesOneRowInPlace(PlainSystem):
    """A batch of one is a view of the request, so the model writes into that."""

    def stack(self, batch: list[PlainRequest]) -> TensorDict:
        if len(batch) > 1:
            return super().stack(batch)
        leaves = batch[0].leaves
        return TensorDict({name: leaves[name].unsqueeze(0) for name in self.schema}, [1])


@_breaks(
    result_survives_a_reused_output_buffer,
    result_survives_a_weight_update,
    result_is_not_the_models_tensor,
    results_share_no_element,
)
class ReturnsViews(PlainSystem):
    """Results are views of what the model returned."""

    def take_apart(self, result: Any, num_rows: int) -> list[dict[str, Any]]:
        return [{n: v[row].detach() for n, v in result.items()} for row in range(num_rows)]


@_breaks(
    result_survives_pass_through,
    result_survives_writes_into_the_input,
    result_survives_views_of_the_input,
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


# ---- 3: endings


class _Unwatched(PlainSystem):
    """A waiting actor never looks whether a server is there."""

    def look_after(self, request: PlainRequest, *, is_patient: bool) -> None:
        pass


@_breaks(
    call_before_start,
    call_after_shutdown,
    call_after_shutdown_with_timeout,
    server_thread_dies,
)
class LeavesLateCallersAlone(_Unwatched):
    """A call made while no server runs waits without end."""


@_breaks(shutdown_under_load, server_thread_dies_while_an_actor_waits)
class ForgetsWhoWaits(_Unwatched):
    """A server that stops tells nobody."""

    def reject_waiting(self) -> None:
        pass


@_breaks(call_before_start_with_timeout)
class RefusesBeforeStart(PlainSystem):
    """A request before start is refused, though its actor would wait."""

    def submit(self, slot: int, td: TensorDictBase) -> PlainRequest:
        if self.thread is None:
            raise self.stopped()
        return super().submit(slot, td)


@_breaks(restart)
class StaysStopped(PlainSystem):
    """A server that is started again still finds that it is to stop."""

    was_shut_down = False

    def shutdown(self, timeout_s: float) -> None:
        super().shutdown(timeout_s)
        self.was_shut_down = True

    def next_batch(self) -> list[PlainRequest]:
        return [] if self.was_shut_down else super().next_batch()


@_breaks(model_raises_exception)
class WrapsErrors(PlainSystem):
    """An error of the model's reaches the actors as another."""

    def answer_all(self, batch: list[PlainRequest], outcomes: Sequence[Any]) -> None:
        super().answer_all(
            batch,
            [RuntimeError("failed") if isinstance(o, Exception) else o for o in outcomes],
        )


@_breaks(model_raises_timeout_error, dropped_reply)
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


@_breaks(model_raises_system_exit)
class DiesSilently(_Unwatched):
    """What is no Exception ends the server's thread, with its batch unanswered."""

    def answer_all(self, batch: list[PlainRequest], outcomes: Sequence[Any]) -> None:
        if self.cause is None:
            super().answer_all(batch, outcomes)

    def reject_waiting(self) -> None:
        pass


@_breaks(model_raises_keyboard_interrupt)
class HandsOnCtrlC(PlainSystem):
    """What is no Exception is raised in the actors as it is, and ends them."""

    def stopped(self) -> Any:
        return self.cause or super().stopped()


@_breaks(model_returns_too_few_rows, model_returns_too_many_rows)
class CountsNoRows(_Unwatched):
    """Rows are handed out as far as there are any."""

    def serve(self, batch: list[PlainRequest]) -> None:
        result = self.model(self.stack(batch))
        for request, row in zip(
            batch, super().take_apart(result, len(result)), strict=False
        ):
            request.answer(self.compose(request, row))


@_breaks(model_returns_no_tensordict)
class TrustsTheModel(PlainSystem):
    """A result that is no TensorDict ends the server's thread."""

    def take_apart(self, result: Any, num_rows: int) -> list[dict[str, Any]]:
        if not isinstance(result, TensorDictBase):
            raise SystemExit
        return super().take_apart(result, num_rows)


@_breaks(cancelled_reply)
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


@_breaks(timed_out_wait)
class GivesUpOnTimeout(PlainSystem):
    """A wait that timed out withdraws the request."""

    def time_out(self, request: PlainRequest) -> None:
        self.withdraw(request, RuntimeError("the request was given up"))


# ---- 4: bad clients


@_breaks(bad_client_missing_leaf, bad_client_shape, bad_client_dtype, bad_client_device)
class ChecksNothing(PlainSystem):
    """A request that fits no other is found when the batch is stacked, and fails all of it."""

    def check_fits(self, td: TensorDictBase) -> None:
        self.schema = self.schema or dict(td.items())

    def stack(self, batch: list[PlainRequest]) -> TensorDict:
        # torch.stack promotes dtypes; elsewhere that is an error, as here.
        if len({request.leaves["obs"].dtype for request in batch}) > 1:
            raise TypeError("expected tensors of one dtype")
        return super().stack(batch)


@_breaks(bad_client_at_first_contact, bad_client_before_start)
class DiesOfBadRequests(_Unwatched):
    """A request that fits no other ends the server's thread before the model is called."""

    def check_fits(self, td: TensorDictBase) -> None:
        self.schema = self.schema or dict(td.items())

    def take(self) -> list[PlainRequest]:
        batch = super().take()
        self.stack(batch)
        return batch


@_breaks(bad_client_recovers)
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


@_breaks(nothing_is_cast)
class CastsToTheFirst(PlainSystem):
    """A leaf is cast to the dtype it had in the first request."""

    def submit(self, slot: int, td: TensorDictBase) -> PlainRequest:
        cast = {n: v.to(self.schema[n][0]) for n, v in td.items() if n in self.schema}
        return super().submit(slot, td.clone(recurse=False).update(cast))


@_breaks(nothing_is_stale)
class FillsInFromBefore(PlainSystem):
    """A leaf that a request lacks is the one of the client's last request."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.last: dict[int, dict[str, Any]] = {}

    def submit(self, slot: int, td: TensorDictBase) -> PlainRequest:
        self.last[slot] = {**self.last.get(slot, {}), **dict(td.items())}
        return super().submit(slot, TensorDict(self.last[slot], []))


@_breaks(extra_leaf_stays)
class DropsExtraLeaves(PlainSystem):
    """A leaf that the first request lacked is dropped."""

    def compose(self, request: PlainRequest, row: dict[str, Any]) -> TensorDictBase:
        return TensorDict(row, [], device=request.td.device)


# ---- 5: fairness


@_breaks(fairness)
class ServesNewestFirst(PlainSystem):
    """A batch takes the newest requests."""

    def take(self) -> list[PlainRequest]:
        batch = self.waiting[-self.max_batch_size :]
        self.waiting = self.waiting[: -self.max_batch_size]
        return batch


@_breaks(fairness_with_a_pausing_actor)
class ServesLowestSlotsFirst(PlainSystem):
    """A batch takes the requests of the lowest slots."""

    def take(self) -> list[PlainRequest]:
        self.waiting.sort(key=lambda request: request.slot)
        return super().take()


# ---- 6: slots


class _UncloseableClient(PlainClient):
    def close(self) -> None:
        pass


@_breaks(slot_reused_after_close, call_after_close, dead_actor)
class NeverGivesBack(PlainSystem):
    """To close a client does nothing, nor does to drop it."""

    client_class = _UncloseableClient


class _UnendingClient(PlainClient):
    def __exit__(self, *exc_info: object) -> None:
        pass

    def __del__(self) -> None:
        pass


@_breaks(slot_reused_after_with, slot_reused_after_drop)
class GivesBackOnCloseOnly(PlainSystem):
    """Only close() gives a slot back."""

    client_class = _UnendingClient


@_breaks(late_reply_after_close, late_reply_after_drop, close_with_a_waiting_request)
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


# ---- 7: arguments


@_breaks(
    refuses_bad_num_clients,
    refuses_bad_batch_sizes,
    refuses_min_above_max,
    refuses_bad_timeout,
)
class AcceptsAnything(PlainSystem):
    """Arguments are not looked at."""

    def check_arguments(self, *arguments: Any) -> None:
        pass


@_breaks(timeout_counts_from_oldest)
class RestartsItsTimer(PlainSystem):
    """Each request begins the timeout anew."""

    def due_in_s(self) -> float:
        due_in_s = super().due_in_s()
        if len(self.waiting) in range(1, self.min_batch_size):
            due_in_s += self.waiting[-1].since_s - self.waiting[0].since_s
        return due_in_s


MUTANTS: Final[tuple[Mutant, ...]] = tuple(_registered)
