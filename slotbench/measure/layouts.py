"""What one request and one reply of a workload look like: memory that processes share is made of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from tensordict import TensorDictBase

from slotbench.measure import environments, policies
from slotbench.measure.identity import REPLY_ID, REQUEST_ID, IdentityCheck
from slotbench.records import ThinkTime, Workload


@dataclass(frozen=True, slots=True)
class Layouts:
    """A sample of each; only keys, shapes and dtypes count.

    Attributes:
        request: what an actor sends, the harness's id included; batch size [].
        reply: what the model adds to it, the echo of the id included; batch size [].
    """

    request: TensorDictBase
    reply: TensorDictBase


def of_workload(workload: Workload, seed: int) -> Layouts:
    """Ask the workload's environment once, and its policy without its service time.

    On the host: who asks is about to fork, which a process that has used a device must not. The user's
    own policy is asked where it is, since it may be at home there alone.
    """
    quick = without_waits(workload)
    if quick.model.kind != "custom":
        quick = replace(quick, device="cpu")
    ids = IdentityCheck(0).ids
    environment = environments.build(quick, ids, has_payload=True, seed=seed)
    policy = policies.build(quick, seed)

    def echo(batch: TensorDictBase) -> TensorDictBase:
        # Read first: a policy may return a TensorDict of its outputs alone.
        echoed = batch.get(REQUEST_ID)
        return policy(batch).set(REPLY_ID, echoed)

    return of_model(environment.request(), echo)


def without_waits(workload: Workload) -> Workload:
    """The workload with a policy that answers at once, and actors that do not think."""
    model = replace(workload.model, latency_ms=0.0, latency_per_item_ms=0.0)
    return replace(workload, model=model, think_time=ThinkTime())


def of_model(
    request: TensorDictBase, model: Callable[[TensorDictBase], TensorDictBase]
) -> Layouts:
    """Ask a model about one request; outputs are what it added or replaced."""
    batch: TensorDictBase = torch.stack([request])
    asked = batch.copy()
    with torch.no_grad():
        result = model(batch)
    added = [
        key
        for key in result.keys(include_nested=True, leaves_only=True)
        if result.get(key) is not asked.get(key, None)
    ]
    return Layouts(request.clone(), result.select(*added)[0].clone())
