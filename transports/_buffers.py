"""Memory in which batches are built, where it is not fresh memory of the usual kind.

It must not know how requests travel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from transports._requests import Request


class BatchBuffer:
    """One tensor `[max_rows, ...]` per leaf, allocated with the first batch.

    A batch of n is rows 0 … n - 1, whoever sent them, so that it is a view and needs no memory of
    its own: for large rows the page faults of fresh memory cost more than the copy.

    Threads:
        One at a time.
    """

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._columns: tuple[torch.Tensor, ...] = ()
        self._prefixes: dict[int, tuple[torch.Tensor, ...]] = {}

    def stack(self, requests: Sequence[Request]) -> tuple[torch.Tensor, ...]:
        """Copy each leaf of the requests into the first rows; return those, `[n, ...]` a leaf.

        What is returned is overwritten by the next call.
        """
        if torch.is_grad_enabled():  # as in stack_requests
            with torch.no_grad():
                return self.stack(requests)
        num_rows = len(requests)
        prefixes = self._prefixes.get(num_rows)
        if prefixes is None:
            prefixes = self._prefixes[num_rows] = self._views(num_rows, requests[0].leaves)
        rows_per_leaf = zip(*[request.leaves for request in requests], strict=True)
        for prefix, rows in zip(prefixes, rows_per_leaf, strict=True):
            torch.stack(rows, out=prefix)
        # New objects, so that nothing a model does to the shape of one stays with ours.
        return tuple([prefix.detach() for prefix in prefixes])

    def _views(
        self, num_rows: int, leaves: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...]:
        # Written later by other threads too, inside and outside of inference mode.
        with torch.inference_mode(False), torch.no_grad():
            if not self._columns:
                self._columns = tuple(
                    torch.empty(
                        (self._max_rows, *leaf.shape), dtype=leaf.dtype, device=leaf.device
                    )
                    for leaf in leaves
                )
            return tuple(column[:num_rows] for column in self._columns)


class PinnedMemory:
    """Batches in page-locked memory, from which a GPU copies by itself, without the host waiting.

    Each batch's is its own as long as somebody holds it. Torch keeps what is given back, and gives it out
    again only when the copies from it that were enqueued have ended. So no batch is built where
    an earlier one is still being copied from, whatever the model does and whether or not it waits: which
    no buffer of ours could promise. It costs no page faults either.

    Threads:
        Any.

    Source: torch's caching host allocator ("CUDA semantics", "Use pinned memory buffers").
    """

    def stack(self, requests: Sequence[Request]) -> tuple[torch.Tensor, ...]:
        """Stack each leaf of the requests into a tensor `[n, ...]` that needs no gradient."""
        if torch.is_grad_enabled():  # as in stack_requests
            with torch.no_grad():
                return self.stack(requests)
        rows_per_leaf = zip(*[request.leaves for request in requests], strict=True)
        return tuple(
            [
                torch.stack(rows, out=new_pinned(len(rows), rows[0]))
                for rows in rows_per_leaf
            ]
        )


def new_pinned(num_rows: int, row: torch.Tensor) -> torch.Tensor:
    """Make room for so many rows like this one, in page-locked memory."""
    return torch.empty((num_rows, *row.shape), dtype=row.dtype, pin_memory=True)


def check_pinnable() -> None:
    """Raise a ValueError where there is no GPU for which memory could be page-locked.

    It does not start CUDA, where PYTORCH_NVML_BASED_CUDA_CHECK=1: what is forked could not use it then.
    """
    if not torch.cuda.is_available():
        raise ValueError("pin_memory needs a GPU that copies from it, and torch sees none")
