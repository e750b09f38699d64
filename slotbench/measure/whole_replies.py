"""Replies that hold the request's own leaves, from clients whose replies hold the outputs alone.

TorchRL's transports with fixed slots answer with what the model added. Their own worker lays that
over the observation (``observation.update(policy_output)`` in ``_process_env_loop`` of torchrl
0.14.1), and so does a check that asks what a reply holds.
"""

from collections.abc import Callable
from typing import Any

from tensordict import TensorDictBase

from slotbench.measure.systems import TransportSystem


class WholeReplies(TransportSystem):
    """A system whose clients lay outputs over what was asked."""

    def client(self) -> Callable[[Any], Any]:
        """Return a client of the transport; what else it has is passed on."""
        return _Client(super().client())


class _Client:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, td: TensorDictBase, **options: Any) -> TensorDictBase:
        return _laid_over(td, self._inner(td, **options))

    def submit(self, td: TensorDictBase) -> "_Reply":
        return _Reply(self._inner.submit(td), td)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Reply:
    def __init__(self, inner: Any, td: TensorDictBase) -> None:
        self._inner = inner
        self._td = td

    def result(self, timeout: float | None = None) -> TensorDictBase:
        return _laid_over(self._td, self._inner.result(timeout=timeout))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def with_all_outputs(
    model: Callable[[TensorDictBase], TensorDictBase], reply: TensorDictBase
) -> Callable[[TensorDictBase], TensorDictBase]:
    """Let a model answer with every leaf of a reply: those that it does not make are zeros."""

    def whole(batch: TensorDictBase) -> TensorDictBase:
        result = model(batch)
        for key in set(reply.keys()) - set(result.keys()):
            result.set(key, reply.get(key).expand(len(batch), *reply.get(key).shape) * 0)
        return result

    return whole


def _laid_over(td: TensorDictBase, outputs: TensorDictBase) -> TensorDictBase:
    laid: TensorDictBase = td.clone(recurse=False).update(outputs)
    return laid
