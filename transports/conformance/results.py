"""Guarantee 2: a result never changes after it was returned, nor does the request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tensordict import TensorDict
from tensordict.base import TensorDictBase

from transports.conformance._actors import (
    PAIRS,
    WatchedModel,
    act,
    expect_reply,
    request,
    serve,
)
from transports.conformance._api import CheckFailedError, SystemFactory, check

# More than a ring of buffers is likely to have.
_NUM_REQUESTS = 20


@check(2)
def result_is_a_new_object(factory: SystemFactory) -> None:
    """The result is not the TensorDict that was submitted."""
    _expect_new_object(factory, request())


@check(2)
def result_is_a_new_object_with_device(factory: SystemFactory) -> None:
    """The result is not the submitted TensorDict where that one says on which device it is."""
    _expect_new_object(factory, TensorDict(request(), device="cpu"))


@check(2)
def request_is_not_mutated(factory: SystemFactory) -> None:
    """The submitted TensorDict stays what it was in every respect, whatever the model writes."""
    _expect_no_mutation(factory, request(0, 1))


@check(2)
def request_is_not_mutated_with_device(factory: SystemFactory) -> None:
    """A submitted TensorDict that says on which device it is stays as it was, too."""
    _expect_no_mutation(factory, TensorDict(request(0, 1), device="cpu"))


@check(2)
def result_survives_pass_through(factory: SystemFactory) -> None:
    """A result in which the model passes the observation on stays what it was."""

    def pass_on(td: TensorDictBase) -> TensorDictBase:
        return td.set("action", td.get("obs"))

    _expect_results_stay(factory, pass_on)


@check(2)
def result_survives_writes_into_the_input(factory: SystemFactory) -> None:
    """A result stays what it was when the model writes into the observations of later batches."""

    def write(td: TensorDictBase) -> TensorDictBase:
        td.get("obs").add_(1)
        return act(td)

    _expect_results_stay(factory, write)


@check(2)
def result_survives_views_of_the_input(factory: SystemFactory) -> None:
    """A result made of views of the model's input stays what it was."""

    def view(td: TensorDictBase) -> TensorDictBase:
        return td.set("action", td.get("obs")[:, :2])

    _expect_results_stay(factory, view)


@check(2)
def result_survives_a_reused_output_buffer(factory: SystemFactory) -> None:
    """A result stays what it was when the model writes the next one into the same buffer."""
    buffer = torch.zeros(64, 3)

    def fill(td: TensorDictBase) -> TensorDictBase:
        action = buffer[: len(td)]
        torch.mul(td.get("obs"), 2, out=action)
        return td.set("action", action)

    _expect_results_stay(factory, fill)


@check(2)
def result_survives_a_weight_update(factory: SystemFactory) -> None:
    """A result that is the model's own parameter stays what it was when that is updated in place."""
    weight = torch.nn.Parameter(torch.zeros(3))

    def update(td: TensorDictBase) -> TensorDictBase:
        with torch.no_grad():
            weight.add_(1)
        return td.set("action", weight.expand(len(td), 3))

    _expect_results_stay(factory, update)


@check(2)
def result_is_not_the_models_tensor(factory: SystemFactory) -> None:
    """Who writes into a result does not write into the model."""
    weight = torch.zeros(3)

    def give(td: TensorDictBase) -> TensorDictBase:
        return td.set("action", weight.expand(len(td), 3))

    with serve(factory, WatchedModel(give), num_clients=1) as served:
        reply = served.call(served.client(), request()).reply()
        _overwrite(reply.get("action"))
        if weight.any():
            raise CheckFailedError("writing into a result changed a tensor of the model's")


@check(2)
def results_share_no_element(factory: SystemFactory) -> None:
    """Who writes into a result does not write into another actor's, though the model gave all the same."""

    def give(td: TensorDictBase) -> TensorDictBase:
        return td.set("action", torch.zeros(3).expand(len(td), 3))

    with serve(factory, WatchedModel(give), num_clients=2, **PAIRS) as served:
        tasks = [served.call(c, request(i)) for i, c in enumerate(served.clients(2))]
        first, second = [task.reply() for task in tasks]
        _overwrite(first.get("action"))
        if second.get("action").any():
            raise CheckFailedError("writing into one actor's result changed another's")


def _expect_new_object(factory: SystemFactory, td: TensorDict) -> None:
    with serve(factory, num_clients=1) as served:
        reply = served.call(served.client(), td).reply()
        if reply is td:
            raise CheckFailedError("the result is the very TensorDict that was submitted")
        expect_reply(reply)


def _expect_no_mutation(factory: SystemFactory, td: TensorDict) -> None:
    def write(batch: TensorDictBase) -> TensorDictBase:
        batch.get("obs").mul_(-1)
        batch.set_("id", batch.get("id") + 1)
        return act(batch)

    tensors = dict(td.items())
    copies = {name: tensor.clone() for name, tensor in tensors.items()}
    form = _form(td)
    with serve(factory, WatchedModel(write), num_clients=1) as served:
        client = served.client()
        served.call(client, td).reply()
        served.call(client, request(0, 2)).reply()  # nor by the next batch
    if {*td.keys()} != {*tensors}:
        raise CheckFailedError(
            f"the request had {sorted(tensors)}; afterwards it has {sorted(td.keys())}"
        )
    if _form(td) != form:
        raise CheckFailedError(f"the request had {form}; afterwards it has {_form(td)}")
    for name, tensor in tensors.items():
        if td.get(name) is not tensor:
            raise CheckFailedError(f"{name!r} of the request is another tensor afterwards")
        if not torch.equal(tensor, copies[name]):
            raise CheckFailedError(
                f"{name!r} of the request was {copies[name].tolist()}, is {tensor.tolist()}"
            )


def _form(td: TensorDict) -> str:
    return f"batch_size={[*td.batch_size]}, device={td.device}, is_locked={td.is_locked}"


def _expect_results_stay(
    factory: SystemFactory, step: Callable[[TensorDictBase], TensorDictBase]
) -> None:
    """Let one actor ask alone, then two together: memory may be reused for either only."""
    _expect_results_of_actors_stay(factory, step, 1)
    _expect_results_of_actors_stay(factory, step, 2, **PAIRS)


def _expect_results_of_actors_stay(
    factory: SystemFactory,
    step: Callable[[TensorDictBase], TensorDictBase],
    count: int,
    **batching: Any,
) -> None:
    """Make requests one after the other, keep what comes back, and compare it in the end."""
    results: list[tuple[int, Any, dict[Any, torch.Tensor]]] = []
    with serve(factory, WatchedModel(step), num_clients=count, **batching) as served:
        clients = served.clients(count)
        for sequence in range(_NUM_REQUESTS):
            calls = [served.call(c, request(i, sequence)) for i, c in enumerate(clients)]
            for result in [call.reply() for call in calls]:
                copies = {name: leaf.clone() for name, leaf in result.items()}
                results.append((sequence, result, copies))
    for sequence, result, copies in results:
        for name, copy in reversed(copies.items()):  # the action first
            if not torch.equal(result.get(name), copy):
                raise CheckFailedError(
                    f"{name!r} of result {sequence} was {copy.tolist()}; "
                    f"{_NUM_REQUESTS - 1 - sequence} requests later it is "
                    f"{result.get(name).tolist()}"
                )


def _overwrite(tensor: torch.Tensor) -> None:
    with torch.no_grad():
        tensor.fill_(1)
