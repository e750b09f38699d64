"""The model as every server is given it: the policy, the id echo, and a log of batches."""

import time
from collections.abc import Callable

from tensordict import TensorDictBase

from slotbench.measure import shared
from slotbench.measure.columns import Column, first, reserve
from slotbench.measure.identity import REPLY_ID, REQUEST_ID
from slotbench.measure.policies import Policy

_clock = time.perf_counter_ns


class ServedModel:
    """Wraps any policy: copies each request's id into the reply, and stamps each batch.

    Args:
        policy: called with the batch; what it returns is returned.
        serve: spends S(n) without a batch, for the floor.
        max_batches: room in the log; later batches are served, counted, not stamped.

    Threads: called by the server's thread alone; the log is read by the main thread
    after that thread has ended, or with the last entry possibly missing.

    """

    def __init__(
        self, policy: Policy, serve: Callable[[int], None], max_batches: int
    ) -> None:
        self._policy = policy
        self._serve = serve
        self._begin_ns = reserve(max_batches)
        self._end_ns = reserve(max_batches)
        self._size = reserve(max_batches)
        self._num_batches = 0
        self._num_served = 0

    @property
    def num_served(self) -> int:
        """Rows of all batches so far."""
        return self._num_served

    @property
    def num_forgotten(self) -> int:
        """Batches that the policy served before the first one of `log`."""
        return 0

    def __call__(self, batch: TensorDictBase) -> TensorDictBase:
        """Run the policy on the batch of n and add the echo of its ids."""
        begin_ns = _clock()
        ids = batch.get(REQUEST_ID)
        # The tensor itself, not a copy: a transport that gives a later batch the same memory
        # and hands out what it was given is caught by it.
        result = self._policy(batch).set(REPLY_ID, ids)
        self._log(begin_ns, ids.shape[0])
        return result

    def serve_without_payload(self, batch_size: int) -> None:
        """Spend the service time of a batch of n that carries nothing."""
        begin_ns = _clock()
        self._serve(batch_size)
        self._log(begin_ns, batch_size)

    def _log(self, begin_ns: int, batch_size: int) -> None:
        self._num_served += batch_size
        i = self._num_batches
        if i < len(self._size):
            self._begin_ns[i] = begin_ns
            self._size[i] = batch_size
            self._end_ns[i] = _clock()
            self._num_batches = i + 1

    def log(self) -> tuple[Column, Column, Column]:
        """Return begin and end stamps [ns] and sizes [rows] of the batches so far."""
        n = self._num_batches
        return first(n, self._begin_ns), first(n, self._end_ns), first(n, self._size)


class SharedServedModel(ServedModel):
    """A `ServedModel` that a forked process calls, and this one reads; arguments as of it.

    Rows of batches beyond ``max_batches`` are not counted.
    """

    def __init__(
        self, policy: Policy, serve: Callable[[int], None], max_batches: int
    ) -> None:
        super().__init__(policy, serve, 0)
        self._begin_ns = shared.reserve(max_batches)
        self._end_ns = shared.reserve(max_batches)
        self._size = shared.reserve(max_batches)
        self._num_forgotten = 0
        self._frozen: tuple[Column, Column, Column] | None = None

    def forget_rehearsals(self, first_reply_ns: int) -> None:
        """Forget all batches before the one that the first reply is of. Of the process that reads.

        Args:
            first_reply_ns: when the first actor had it; of actors that are all in every batch.
        """
        began_ns = self.log()[0]
        self._num_forgotten = max(0, int((began_ns < first_reply_ns).sum()) - 1)

    @property
    def num_forgotten(self) -> int:
        """Those that `forget_rehearsals` forgot."""
        return self._num_forgotten

    def freeze(self) -> None:
        """Forget of all later batches. Of the process that reads."""
        self._frozen = self.log()

    @property
    def num_served(self) -> int:
        """Rows of all batches so far."""
        return int(self.log()[2].sum())

    def log(self) -> tuple[Column, Column, Column]:
        """Return begin and end stamps [ns] and sizes [rows] of the batches so far."""
        if self._frozen is not None:
            return self._frozen
        n, since = shared.num_filled(self._end_ns), self._num_forgotten
        begin_ns, end_ns, size = (
            first(n, column)[since:]
            for column in (self._begin_ns, self._end_ns, self._size)
        )
        return begin_ns, end_ns, size
