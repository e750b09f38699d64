"""A buffer per leaf in which every batch is built, for transports that preallocate.

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
