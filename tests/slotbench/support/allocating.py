"""Honest transports that do, for every request, a known amount of what a profiler counts."""

from typing import Any

from tensordict import TensorDictBase

from transports import ThreadingTransport

NUM_ALLOCATED = 100
SIZE = 1000
BLOCKS_PER_REQUEST = 2 * NUM_ALLOCATED
"""A bytearray is an object and its bytes."""

BYTES_PER_REQUEST = NUM_ALLOCATED * (56 + SIZE + 1)
"""`sys.getsizeof(bytearray())`, and a byte at the end that is always 0."""

NUM_CALLS = 250
"""CPython keeps the numbers that it takes to count them: 0 to 256."""


class Allocating(ThreadingTransport):
    """Allocates `NUM_ALLOCATED` bytearrays of `SIZE` bytes with every request."""

    def submit(self, td: TensorDictBase) -> Any:
        for _ in range(NUM_ALLOCATED):
            bytearray(SIZE)
        return super().submit(td)


class Calling(ThreadingTransport):
    """Calls a function that does nothing `NUM_CALLS` times with every request."""

    def submit(self, td: TensorDictBase) -> Any:
        for _ in range(NUM_CALLS):
            _nothing()
        return super().submit(td)


def _nothing() -> None:
    pass


def allocating(num_slots: int) -> Allocating:
    return Allocating()


def calling(num_slots: int) -> Calling:
    return Calling()
