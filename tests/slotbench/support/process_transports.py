"""A small honest transport between processes, and the same one broken on purpose."""

import multiprocessing
import os
import signal
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase

_FORKED = multiprocessing.get_context("fork")


class PipeTransport:
    """Honest: one queue in for all clients, one out for each; what is sent is plain lists."""

    def __init__(self, num_slots: int) -> None:
        self._requests: Any = _FORKED.SimpleQueue()
        self._replies = [_FORKED.SimpleQueue() for _ in range(num_slots)]
        self._num_clients = 0

    def client(self) -> Any:
        slot = self._num_clients
        self._num_clients += 1

        def call(td: TensorDictBase) -> TensorDictBase:
            self.ask(slot, td)
            reply = self._replies[slot].get()
            return TensorDict({key: torch.tensor(value) for key, value in reply.items()})

        return call

    def ask(self, slot: int, td: TensorDictBase) -> None:
        self._requests.put((slot, {key: value.tolist() for key, value in td.items()}))

    def submit(self, td: TensorDictBase) -> Any:
        raise NotImplementedError

    def wait_for_work(self, timeout: float) -> None:
        self._requests._reader.poll(timeout)

    def drain(self, max_items: int) -> tuple[list[TensorDictBase], list[Any]]:
        items: list[TensorDictBase] = []
        callbacks = []
        while len(items) < max_items and self._requests._reader.poll(0):
            slot, row = self._requests.get()
            items.append(TensorDict({key: torch.tensor(row[key]) for key in row}))
            callbacks.append(slot)
        return items, callbacks

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        self._replies[callback].put({key: value.tolist() for key, value in result.items()})

    def resolve_exception(self, callback: Any, exc: BaseException) -> None:
        raise exc


honest = PipeTransport


class swapped(PipeTransport):  # noqa: N801  # a contender's name
    """Two actors get each other's replies, once."""

    def __init__(self, num_slots: int) -> None:
        super().__init__(num_slots)
        self._held: list[tuple[Any, TensorDictBase]] = []
        self._num_resolved = 0

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        self._num_resolved += 1
        if 20 <= self._num_resolved < 40 and not self._held:
            self._held.append((callback, result))
            return
        if self._held and self._held[0][0] != callback:
            ((other, others_result),) = self._held
            self._held = [(None, result)]  # once
            if other is not None:
                super().resolve(other, result)
                result = others_result
        super().resolve(callback, result)


class dropped(PipeTransport):  # noqa: N801
    """One reply never comes."""

    num_resolved = 0

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        self.num_resolved += 1
        if self.num_resolved != 20:
            super().resolve(callback, result)


class raising(PipeTransport):  # noqa: N801
    """A client meets an error after a while."""

    num_asked = 0

    def ask(self, slot: int, td: TensorDictBase) -> None:
        self.num_asked += 1
        if slot == 1 and self.num_asked == 10:
            raise OSError("lost the pipe")
        super().ask(slot, td)


class dying(raising):  # noqa: N801
    """An actor's process ends."""

    def ask(self, slot: int, td: TensorDictBase) -> None:
        try:
            super().ask(slot, td)
        except OSError:
            os._exit(7)


class stale(PipeTransport):  # noqa: N801
    """After a while every actor gets the reply before the one that it asked for."""

    num_resolved = 0

    def __init__(self, num_slots: int) -> None:
        super().__init__(num_slots)
        self._last: dict[Any, TensorDictBase] = {}

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        self.num_resolved += 1
        last = self._last.get(callback, result)
        self._last[callback] = result.clone()
        super().resolve(callback, last if self.num_resolved > 20 else result)


class killed(PipeTransport):  # noqa: N801
    """The server's process is killed by the system, say for want of memory."""

    num_resolved = 0

    def resolve(self, callback: Any, result: TensorDictBase) -> None:
        self.num_resolved += 1
        if self.num_resolved == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        super().resolve(callback, result)
