"""A round: one transport under one setting, drawn from the seed, for a few seconds."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import gc
import os
import random
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from tensordict import TensorDict

from tests.stress import faults
from tests.stress.actors import Actor, Scene
from tests.stress.ledger import BrokenPromiseError, Fate, problems
from tests.stress.model import Model
from transports import InferenceServer, SlotTransport, ThreadingTransport, Transport

Factory = Callable[..., Transport]
"""Makes a transport of `num_slots`; `spec=` as theirs."""

_LOOK_S: Final = 0.02
# Where no fault is injected, replies are to come fast: a few thousand a second are all there are with
# one actor, or with many and a switch interval in which none gets anything done.
_MANY: Final = (8, 16, 16, 32, 32, 64, 64, 128, 256)
_LONG_S: Final = (1e-4, 1e-3, 5e-3, 5e-3)
_SERVER_FAULTS: Final = ("exit", "restart", "kill")
_MODEL_FAULTS: Final = tuple(sorted(Model.FAULTS - {"exit"}))


def _slot(**options: Any) -> Factory:
    return lambda num_slots, *, spec: SlotTransport(num_slots, spec=spec, **options)


CONTENDERS: Final[Mapping[str, Factory]] = {
    "slot": _slot(),
    "slot[preallocate]": _slot(preallocate=True),
    "slot[inline]": _slot(inline=True),
    "slot[preallocate,inline]": _slot(preallocate=True, inline=True),
    "threading": lambda num_slots, *, spec: ThreadingTransport(spec=spec),
}


class StalledError(BrokenPromiseError):
    """Nothing moved for so long that something is lost."""


@dataclass(frozen=True)
class Setting:
    """What a round is run under; `seed` decides what its actors and model do."""

    seed: str
    seconds: float
    num_actors: int
    num_spare_slots: int = 0
    width: int = 4
    has_spec: bool = True
    is_drained: bool = False
    max_batch: int = 64
    min_batch: int = 1
    timeout_s: float = 0.01
    switch_s: float = 0.005
    rate: float = 0.0
    is_on_one_core: bool = False
    faults: frozenset[str] = frozenset()

    def __str__(self) -> str:
        path = "drained" if self.is_drained else "batched"
        cores = "one core" if self.is_on_one_core else "all cores"
        return (
            f"{self.num_actors:3} actors, {cores}, {path}, batches {self.min_batch} to "
            f"{self.max_batch}, switch {self.switch_s:g} s"
        )


def draw(seed: str, seconds: float) -> Setting:
    """Draw a setting: plain and fast, or, three in ten and half as long, full of faults."""
    rng = random.Random(seed)
    is_faulty = rng.random() < 0.3
    num_actors = rng.choice([1, 2, 3, 8, 16, 32, 64, 128, 256] if is_faulty else _MANY)
    max_batch = rng.choice([num_actors, 2 * num_actors, max(num_actors // 3, 1), 64])
    setting = Setting(
        seed=seed,
        seconds=seconds,
        num_actors=num_actors,
        num_spare_slots=rng.choice([0, 0, 1, num_actors]),
        has_spec=rng.random() < 0.5,
        is_drained=rng.random() < (0.2 if is_faulty else 0.05),
        max_batch=max_batch,
        min_batch=rng.choice([1, 1, max(1, min(num_actors // 2, max_batch))]),
        timeout_s=rng.choice([0.001, 0.01]),
        switch_s=rng.choice([1e-6, 1e-5, 1e-4, 1e-3, 5e-3] if is_faulty else _LONG_S),
        # There a thread wakes another in a fifth of the time, so most replies come that way.
        is_on_one_core=rng.random() < (0.3 if is_faulty else 0.8),
    )
    if not is_faulty:
        return setting
    names = {name for name in _MODEL_FAULTS if rng.random() < 0.5}
    names |= {name for name in sorted(faults.NAMES) if rng.random() < 0.5}
    names |= {"gc"} if rng.random() < 0.5 else set()
    names |= {rng.choice(["", *_SERVER_FAULTS])} - {""}
    return dataclasses.replace(
        setting,
        seconds=seconds / 2,
        width=rng.choice([4, 4, 512]),
        rate=rng.choice([0.001, 0.01, 0.1]),
        faults=frozenset(names),
    )


@dataclass
class Tally:
    """What came of a round."""

    seconds: float
    fates: Counter[Fate]
    errors: Counter[str]
    faults: Counter[str]

    @property
    def num_replies(self) -> int:
        """How many replies were checked, each against its request."""
        return self.fates[Fate.REPLIED]


def run(setting: Setting, factory: Factory, *, stall_s: float) -> Tally:
    """Run a round and check its books.

    Args:
        setting: what to run it under.
        factory: makes the transport.
        stall_s: after so long without an answer the stacks are dumped, and the round fails.

    Raises:
        BrokenPromiseError: something was lost, doubled, swapped or changed, or ended without a cause.
    """
    with _switching(setting.switch_s), _expecting_kills() as strays:
        stage = _Round(setting, factory, stall_s)
        try:
            began = time.monotonic()
            stage.play(until=began + setting.seconds)
            stage.finish()
            seconds = time.monotonic() - began
        finally:
            stage.scene.is_over = True  # whoever still runs ends
            stage.server.shutdown()
        stage.check()
    if strays:
        raise BrokenPromiseError(f"a thread ended on {strays[0]!r}") from strays[0]
    return stage.tally(seconds)


def prepare() -> None:
    """Make a process ready: what imports left would be gone through by each full collection."""
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()


def play(contender: str, setting: Setting, stall_s: float, core: int) -> Tally | str:
    """Run a round, in a process of the pool; return what came of it, or how it failed.

    Args:
        contender: its name.
        setting: what to run it under.
        stall_s: see `run`.
        core: which one to use, where it is to be one.
    """
    if hasattr(os, "sched_setaffinity"):  # for this thread and those it will start
        every = range(os.cpu_count() or 1)
        os.sched_setaffinity(0, {core} if setting.is_on_one_core else every)
    # If not even the round's own watch runs any more.
    faulthandler.dump_traceback_later(setting.seconds + 5 * stall_s, exit=True)
    try:
        return run(setting, CONTENDERS[contender], stall_s=stall_s)
    except BrokenPromiseError as exc:
        cause = exc.__cause__
        return f"{exc}\n" + ("".join(traceback.format_exception(cause)) if cause else "")
    finally:
        faulthandler.cancel_dump_traceback_later()


class _Round:
    def __init__(self, setting: Setting, factory: Factory, stall_s: float) -> None:
        self.setting = setting
        self._stall_s = stall_s
        rng = self._rng = random.Random(f"{setting.seed}/round")
        spec = TensorDict({"observation": torch.zeros(setting.width, dtype=torch.int64)})
        self._transport = factory(
            setting.num_actors + setting.num_spare_slots,
            spec=spec if setting.has_spec else None,
        )
        # A batch is up to num_actors requests: so that a fault meets a batch now and then.
        model_rate = min(0.1, setting.rate * setting.num_actors)
        self._model = Model(setting.faults, model_rate, random.Random(rng.random()))
        self.server = self._new_server()
        self.scene = Scene(self._transport, setting.width, setting.faults, setting.rate)
        self._actors = [
            Actor(number, self.scene, random.Random(rng.random()))
            for number in range(setting.num_actors)
        ]
        self._threads: list[threading.Thread] = []
        self._num_faults: Counter[str] = Counter()
        self._num_ended = 0
        self._moved_at = time.monotonic()

    def play(self, until: float) -> None:
        """Run the actors, inject what comes from outside, and start again what died."""
        self.server.start()
        self._threads = [self._new_thread(actor) for actor in self._actors]
        next_fault = self._next_fault()
        while (now := time.monotonic()) < until:
            self._tend()
            if now >= next_fault:
                self._disturb()
                next_fault = self._next_fault()
            time.sleep(_LOOK_S)

    def finish(self) -> None:
        """Let every actor end its last request."""
        self.scene.is_over = True
        while any(thread.is_alive() for thread in self._threads):
            self._tend()
            time.sleep(_LOOK_S / 10)

    def check(self) -> None:
        """Check the books against the model's, and what was kept."""
        if self.server.is_alive:
            raise BrokenPromiseError("the server did not shut down")
        self._check_failures()
        for actor in self._actors:
            actor.check_all_kept()
        wrong = [
            *problems(
                [actor.book for actor in self._actors],
                self._model.served,
                self._model.failed,
                may_lose_served="kill" in self.setting.faults,
            )
        ]
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise BrokenPromiseError(wrong[0] + more)

    def tally(self, seconds: float) -> Tally:
        """Add up."""
        books = [actor.book for actor in self._actors]
        outside = self._num_faults + self._model.num_faults
        return Tally(
            seconds,
            Counter({fate: sum(book.count(fate) for book in books) for fate in Fate}),
            sum((actor.errors for actor in self._actors), Counter()),
            sum((actor.num_faults for actor in self._actors), outside),
        )

    # ---- looking after it

    def _tend(self) -> None:
        self._check_failures()
        if not self.server.is_alive:
            self._start_server()
        for number, actor in enumerate(self._actors):
            if not self.scene.is_over and not self._threads[number].is_alive():
                self._threads[number] = self._new_thread(actor)
        self._check_progress()

    def _check_failures(self) -> None:
        for actor in self._actors:
            if actor.failure is not None:
                raise actor.failure

    def _check_progress(self) -> None:
        # An actor's last request is one less than it opened; those that ended count all.
        num_ended = sum(len(actor.book.fates) for actor in self._actors)
        num_ended -= sum(thread.is_alive() for thread in self._threads)
        if num_ended != self._num_ended:
            self._num_ended, self._moved_at = num_ended, time.monotonic()
        elif time.monotonic() - self._moved_at > self._stall_s:
            faulthandler.dump_traceback(sys.__stderr__ or 2)
            waiting = [
                f"{actor.book.actor} ({len(actor.book.fates) - 1})"
                for actor, thread in zip(self._actors, self._threads, strict=True)
                if thread.is_alive()
            ]
            raise StalledError(
                f"no reply for {self._stall_s:g} s; stacks are above; actors still waiting "
                f"(for request): {', '.join(waiting[:5])}{' …' if waiting[5:] else ''}"
            )

    # ---- faults from outside

    def _next_fault(self) -> float:
        return time.monotonic() + self._rng.uniform(0.02, 0.6)

    def _disturb(self) -> None:
        """One of the faults that come from other threads, if this round has any."""
        names = [*sorted(self.setting.faults & {"restart", "kill", "gc"})]
        if not names:
            return
        fault = self._rng.choice(names)
        self._num_faults[fault] += 1
        if fault == "gc":
            threading.Thread(target=gc.collect, daemon=True).start()
        elif fault == "restart":
            self.server.shutdown(self._stall_s)
            if self._rng.random() < 0.5:
                time.sleep(self._rng.uniform(0.0, 0.1))  # actors meet nobody
        else:
            self._kill()

    def _kill(self) -> None:
        thread = self.server._thread
        give_up_at = time.monotonic() + self._stall_s
        while thread is not None and thread.is_alive():
            if time.monotonic() > give_up_at:
                faulthandler.dump_traceback(sys.__stderr__ or 2)
                raise StalledError(
                    "the server did not end when it was killed; stacks are above"
                )
            # Not always at the first: raised in a finaliser it goes to nobody.
            thread.join(1.0 if faults.kill(thread) else 0.001)

    def _start_server(self) -> None:
        if self._rng.random() < 0.5:
            self.server = self._new_server()
        self.server.start()

    def _new_server(self) -> InferenceServer:
        setting = self.setting
        return InferenceServer(
            self._model,
            self._transport,
            max_batch_size=setting.max_batch,
            min_batch_size=setting.min_batch,
            timeout=setting.timeout_s,
            collate_fn=torch.stack if setting.is_drained else None,
        )

    def _new_thread(self, actor: Actor) -> threading.Thread:
        thread = threading.Thread(
            target=actor.run, name=f"actor-{actor.book.actor}", daemon=True
        )
        thread.start()
        return thread


@contextlib.contextmanager
def _switching(interval_s: float) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval_s)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _is_of_a_kill(error: BaseException | None) -> bool:
    """Whether it is what a thread was killed with, or what that led to in the standard library.

    Condition.wait takes its lock back in a Python function: who is killed as that begins leaves
    ``with condition`` without it.
    """
    if isinstance(error, RuntimeError) and str(error) == "release unlocked lock":
        error = error.__context__
    return isinstance(error, faults.Killed | SystemExit)


@contextlib.contextmanager
def _expecting_kills() -> Iterator[list[BaseException]]:
    """Let the server's threads end on what they were told to end on; give what else ends one."""
    strays: list[BaseException] = []

    def hook(args: Any) -> None:
        if not _is_of_a_kill(args.exc_value):
            strays.append(args.exc_value)

    before = threading.excepthook, sys.unraisablehook
    threading.excepthook = sys.unraisablehook = hook
    try:
        yield strays
    finally:
        threading.excepthook, sys.unraisablehook = before
