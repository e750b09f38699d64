"""The user's own policy, ``model.kind = "custom"``: found, made, and tried before it is served.

Threads: made by the main thread, called by the server's thread alone.
"""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import nn

from slotbench.errors import ScenarioError
from slotbench.measure.blame import told, told_of

Policy = Callable[[TensorDictBase], TensorDictBase]


def build(
    name: str,
    batch: TensorDictBase,
    wanted: str = "",
    move: Callable[[nn.Module], object] = lambda _: None,
) -> Policy:
    """Find the policy, make it where it has to be made, and try it on a batch.

    An ``nn.Module`` and any callable that needs an argument is the policy itself; a class or a
    function that needs none is called, and what it returns is the policy. It is called as a
    server calls it: with a TensorDict of batch size [n], without gradients.

    Args:
        name: "package.module:name".
        batch: of batch size [n], as a server would give it.
        wanted: the leaf that its answer must have; "" is none.
        move: called with a policy that is an ``nn.Module``: puts its weights where the batch is. Any
            other is left as it is: its weights are its own business.

    Raises:
        ScenarioError: it cannot be imported or made, raises on the batch, or returns anything
            but a TensorDict of batch size [n]; with the line of the user's own file.
    """
    package = name.partition(".")[0].partition(":")[0]
    place = f"model.policy {name!r}"
    try:
        policy = _made(name)
        if isinstance(policy, nn.Module):
            move(policy)
    except (Exception, SystemExit) as error:
        raise ScenarioError(f"{place} cannot be made: {told(error, package)}") from error
    if not callable(policy):
        raise ScenarioError(
            f"{place} is {_article(policy)}; name a policy, or what makes one when called"
        )
    made: Policy = policy
    _try(made, batch, wanted, place, name)
    return made


def _made(name: str) -> Any:
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    return found() if _is_maker(found) else found


def _is_maker(found: Any) -> bool:
    """Whether it has to be called, without arguments, to give the policy."""
    if isinstance(found, type):
        return True
    if isinstance(found, nn.Module) or not callable(found):
        return False
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # one written in C says nothing of itself
        return False
    variable = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return all(one.default is not one.empty or one.kind in variable for one in parameters)


def _article(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _try(policy: Policy, batch: TensorDictBase, wanted: str, place: str, name: str) -> None:
    """Call it once, as the server will."""
    num_rows = batch.batch_size[0]
    try:
        with torch.no_grad():
            result = policy(batch)
    except (Exception, SystemExit) as error:
        raise ScenarioError(
            f"{place} raised on a batch of {num_rows}: {told_of(error, name)}"
        ) from error
    said = _article(result)
    if isinstance(result, TensorDictBase):
        said = f"a TensorDict of batch size {list(result.batch_size)}"
        if result.batch_size == batch.batch_size:
            said = f"no leaf {wanted!r}"
            if result.is_locked:
                said = "a locked TensorDict, to which no server could add"
            elif not wanted or result.get(wanted, None) is not None:
                return
    leaf = f" with {wanted!r}" if wanted else ""
    raise ScenarioError(
        f"{place} returned {said} on a batch of {num_rows}; "
        f"return a TensorDict of batch size [{num_rows}]{leaf}"
    )
