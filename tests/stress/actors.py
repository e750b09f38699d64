"""An actor: makes requests one after the other and checks every reply."""

from __future__ import annotations

import gc
import random
import time
from collections import Counter, deque
from collections.abc import Set
from dataclasses import dataclass
from typing import Any, Final

import torch
from tensordict import TensorDict
from tensordict.base import TensorDictBase

from tests.stress import faults
from tests.stress.ledger import Book, BrokenPromiseError, Fate
from tests.stress.model import Planted, expected
from transports import Client, Reply, Transport
from transports._errors import (
    InFlightError,
    ModelResultError,
    NoSlotLeftError,
    ServerStoppedError,
)

_BLOCK: Final = 128
_NUM_KEPT: Final = 8
_BETWEEN_TRIES_S: Final = 0.001
_MAY_STOP: Final = frozenset({"exit", "restart", "kill"})


@dataclass
class Scene:
    """What the actors of a round share."""

    transport: Transport
    width: int
    faults: Set[str]
    rate: float
    is_over: bool = False


class Actor:
    """A row of requests; threads may die over it, the next one goes on where the last ended.

    Threads:
        `run`: one at a time. The rest is that thread's, but for looks at `book` and `failure`.
    """

    def __init__(self, number: int, scene: Scene, rng: random.Random) -> None:
        self.scene = scene
        self.rng = rng
        self.book = Book(number)
        self.client: Client | None = None
        self.errors: Counter[str] = Counter()
        self.num_faults: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self.has_dropped = False  # a request of this client's may be in flight, for nobody
        self._faults = [*faults.of(scene.faults, scene.transport)]
        self._kept: deque[tuple[TensorDictBase, int]] = deque()
        self._requests: tuple[TensorDictBase, ...] = ()
        self._first = 0
        self._block: torch.Tensor | None = None

    def run(self) -> None:
        """Make requests until the round is over, the actor is told to die, or a check fails."""
        try:
            self.take_client()
            while not self.scene.is_over and self.client is not None:
                if self._faults:
                    self._run_faulty()
                else:
                    self._run_plain()
        except faults.Died:
            pass
        except BaseException as exc:  # noqa: BLE001 - the round fails with it
            self.failure = exc
        self.client = None

    def _run_plain(self) -> None:
        """A block of requests; the tight loop that most replies go through."""
        requests = self._next_block()
        client, fates, scene = self.client, self.book.fates, self.scene
        width = scene.width
        assert client is not None
        number = self.book.first_id + len(fates)
        for request in requests:
            if scene.is_over:
                return
            fates.append(Fate.OPEN)
            try:
                reply = client(request)
            except Exception as exc:  # noqa: BLE001 - sorted there
                fates[-1] = self.fate_of(exc, number)
            else:
                if reply["action"].tolist() != expected(number, width):
                    raise _wrong(reply, number, width)
                fates[-1] = Fate.REPLIED
            number += 1
        if fates[-1] == Fate.REPLIED:
            self._keep(reply, number - 1)

    def _run_faulty(self) -> None:
        for _ in range(_BLOCK):
            if self.rng.random() < self.scene.rate:
                fault = self.rng.choice(self._faults)
                self.num_faults[fault.__name__] += 1
                fault(self)
            else:
                self.call()
            if self.client is None or self.scene.is_over:
                return

    # ---- what faults are made of

    def call(self) -> None:
        """Make one request as most actors do."""
        assert self.client is not None
        place, request = self.next_request()
        number = self.book.first_id + place
        try:
            reply = self.client(request)
        except Exception as exc:  # noqa: BLE001 - sorted there
            self.book.end(place, self.fate_of(exc, number))
        else:
            self.check(reply, place)
        self.has_dropped = False

    def submit(self) -> tuple[int, Reply] | None:
        """Submit the next request; None if one whose reply was dropped is in the way."""
        assert self.client is not None
        place, request = self.next_request()
        try:
            reply = self.client.submit(request)
        except InFlightError:
            if not self.has_dropped:
                raise
            self.errors["in flight"] += 1
            self.book.end(place, Fate.REFUSED)
            return None
        self.has_dropped = False
        return place, reply

    def read(self, place: int, reply: Reply) -> None:
        """Wait for the reply, check it, and that it is the same when read again."""
        try:
            result = reply.result()
        except Exception as exc:
            self.book.end(place, self.fate_of(exc, self.book.first_id + place))
            error = faults.error_of(reply)
            if error is not exc:
                raise BrokenPromiseError(
                    f"an error read again was another: {error!r}"
                ) from exc
            return
        if reply.result() is not result or not reply.done():
            raise BrokenPromiseError("a reply read again was another")
        self.check(result, place)

    def next_request(self) -> tuple[int, TensorDictBase]:
        """Open the next request; return its place and the TensorDict."""
        if len(self.book.fates) - self._first >= len(self._requests):
            self._new_block()
        place = self.book.begin()
        return place, self._requests[place - self._first]

    def check(self, reply: TensorDictBase, place: int) -> None:
        """Check the reply, and keep one in some to look at later."""
        number = self.book.first_id + place
        if reply["action"].tolist() != expected(number, self.scene.width):
            raise _wrong(reply, number, self.scene.width)
        self.book.end(place, Fate.REPLIED)
        if place % 16 == 0:
            self._keep(reply, number)

    def fate_of(self, exc: Exception, number: int) -> Fate:
        """Return what an error means for its request, or raise that none was due."""
        if isinstance(exc, Planted):
            if number not in exc.ids:
                raise BrokenPromiseError(
                    f"request {number} got another batch's error"
                ) from exc
            fate = Fate.FAILED
        elif isinstance(exc, ModelResultError) and "few_rows" in self.scene.faults:
            fate = Fate.FAILED
        elif isinstance(exc, ServerStoppedError) and _MAY_STOP & self.scene.faults:
            fate = Fate.STOPPED
        else:
            raise BrokenPromiseError(
                f"request {number} failed and no fault explains it"
            ) from exc
        self.errors[type(exc).__name__] += 1
        return fate

    def take_client(self) -> None:
        """Get a client, waiting for a slot if all are in use; None if the round ends first."""
        self.client, self.has_dropped = None, False
        while not self.scene.is_over:
            try:
                self.client = self.scene.transport.client()
            except NoSlotLeftError:
                self.errors["NoSlotLeftError"] += 1
                # A client may be part of a cycle: an error's traceback refers to its frames.
                if self.errors["NoSlotLeftError"] % 100 == 0:
                    gc.collect()
                time.sleep(_BETWEEN_TRIES_S)
            else:
                return

    # ---- what must not change

    def _new_block(self) -> tuple[TensorDictBase, ...]:
        self._check_block()
        self._first = len(self.book.fates)
        self._block = self._observations()
        batch = TensorDict({"observation": self._block}, [_BLOCK])
        self._requests = batch.unbind(0)
        return self._requests

    def _next_block(self) -> tuple[TensorDictBase, ...]:
        """As actors do that keep their TensorDicts: write into those whose replies are read."""
        if self._block is None or self.scene.faults:
            return self._new_block()
        self._check_block()
        self._first = len(self.book.fates)
        self._block.add_(_BLOCK)
        return self._requests

    def _observations(self) -> torch.Tensor:
        first = self.book.first_id + self._first
        return torch.arange(first, first + _BLOCK)[:, None].repeat(1, self.scene.width)

    def _check_block(self) -> None:
        if self._block is not None and not torch.equal(self._block, self._observations()):
            raise BrokenPromiseError(f"requests of actor {self.book.actor} were written to")

    def _keep(self, reply: TensorDictBase, number: int) -> None:
        # Checked now: it is the request's own tensor, which this actor may write to from now on.
        if reply["observation"].tolist() != [number] * self.scene.width:
            raise BrokenPromiseError(f"the reply to {number} has another's observation")
        self._kept.append((reply, number))
        if len(self._kept) > _NUM_KEPT:
            self._check_kept(*self._kept.popleft())

    def _check_kept(self, reply: TensorDictBase, number: int) -> None:
        if reply["action"].tolist() != expected(number, self.scene.width):
            raise BrokenPromiseError(
                f"the reply to {number} changed after it was read: {reply['action'].tolist()}"
            )

    def check_all_kept(self) -> None:
        """Check what was kept to the end of the round, when no thread runs any more."""
        for reply, number in self._kept:
            self._check_kept(reply, number)
        self._check_block()


def _wrong(reply: Any, number: int, width: int) -> BrokenPromiseError:
    got, due = reply["action"].tolist(), expected(number, width)
    whose = "its own" if got[0] == number else f"that of {got[0]}"
    return BrokenPromiseError(f"the reply to {number} is {whose}: got {got}, due {due}")
