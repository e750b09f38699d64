"""A contiguous buffer per leaf, with a row per slot, for transports that keep requests in place.

It must not know how requests travel.
"""

from __future__ import annotations

from threading import Lock

import torch

from transports._requests import RequestSchema


class RowBuffer:
    """One tensor `[num_rows, ...]` per leaf of the schema, allocated at the first write.

    If the schema is there already it is allocated at once.

    Threads:
        `write`: any, one at a time per row. `columns`: any; a row being written is undefined.
    """

    def __init__(self, schema: RequestSchema, num_rows: int) -> None:
        self._schema = schema
        self._num_rows = num_rows
        self._allocating = Lock()
        self._columns: tuple[torch.Tensor, ...] = ()
        self._rows: list[tuple[torch.Tensor, ...]] = []
        if schema.layout is not None:
            self._allocate()

    def write(self, row: int, leaves: tuple[torch.Tensor, ...]) -> None:
        """Copy `leaves`, checked against the schema before, into the row: all of them."""
        if not self._rows:
            self._allocate()
        for target, leaf in zip(self._rows[row], leaves, strict=True):
            target.copy_(leaf.detach() if leaf.requires_grad else leaf)

    def columns(self, rows: list[int]) -> tuple[torch.Tensor, ...]:
        """Return the rows of each leaf as a fresh tensor `[len(rows), ...]`."""
        if rows == list(range(self._num_rows)):
            return tuple(column.clone() for column in self._columns)
        index = torch.tensor(rows)
        return tuple(c.index_select(0, index.to(c.device)) for c in self._columns)

    def _allocate(self) -> None:
        layout = self._schema.layout
        assert layout is not None, "leaves were checked against the schema before"
        # Rows are written from any thread, also outside the inference mode of the first one.
        with self._allocating, torch.inference_mode(False), torch.no_grad():
            if self._rows:
                return  # another actor's first write was faster
            self._columns = tuple(
                torch.empty(
                    (self._num_rows, *leaf.shape), dtype=leaf.dtype, device=leaf.device
                )
                for leaf in layout.leaves
            )
            # Last: other threads take its being there as the sign that all is.
            self._rows = list(zip(*(c.unbind(0) for c in self._columns), strict=True))
