"""The stress program runs, and finds bugs that were planted in a transport."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.stress import faults
from tests.stress.ledger import Book, BrokenPromiseError, Fate, problems
from tests.stress.model import Model
from tests.stress.rounds import CONTENDERS, Setting, StalledError, draw, run
from transports import SlotTransport, ThreadingTransport

torch.set_num_threads(1)

ROOT = Path(__file__).parents[2]
STALL_S = 20.0
PLAIN = Setting(seed="7", seconds=0.3, num_actors=16)
ALL = Setting(
    seed="7",
    seconds=0.5,
    num_actors=16,
    rate=0.02,
    faults=frozenset(faults.NAMES | Model.FAULTS - {"exit"} | {"gc"}),
)


def with_server_fault(name: str) -> Setting:
    return Setting(**{**vars(ALL), "faults": ALL.faults | {name}})


@pytest.mark.parametrize("is_drained", [False, True])
@pytest.mark.parametrize("contender", CONTENDERS)
def test_a_plain_round_holds(contender, is_drained):
    """Every reply is its own, and nothing else happens."""
    setting = Setting(**{**vars(PLAIN), "is_drained": is_drained})
    tally = run(setting, CONTENDERS[contender], stall_s=STALL_S)
    assert tally.num_replies > 0
    assert tally.fates == Counter({Fate.REPLIED: tally.num_replies})
    assert not tally.errors
    assert not tally.faults


@pytest.mark.parametrize("fault", ["exit", "restart", "kill"])
@pytest.mark.parametrize("contender", CONTENDERS)
def test_a_round_full_of_faults_holds(contender, fault):
    """Whatever is injected, every request ends in one way that a fault explains."""
    tally = run(with_server_fault(fault), CONTENDERS[contender], stall_s=STALL_S)
    assert tally.num_replies > 0
    assert tally.fates[Fate.OPEN] == 0
    assert tally.faults.total() > 0


class Swapping(ThreadingTransport):
    """Hands two actors each other's rows, once in a while."""

    num_rows = 0

    def resolve_batch(self, callbacks: list[Any], batch: Any, result: Any) -> None:
        self.num_rows += len(callbacks)
        if len(callbacks) > 1 and self.num_rows > 1000:
            self.num_rows = 0
            callbacks = [callbacks[1], callbacks[0], *callbacks[2:]]
        super().resolve_batch(callbacks, batch, result)


class Losing(SlotTransport):
    """Forgets to answer, once in a while."""

    num_answers = 0

    def _hand_out(self, slot: int, reply: Any) -> None:
        self.num_answers += 1
        if self.num_answers != 1000:
            super()._hand_out(slot, reply)


class Doubling(SlotTransport):
    """Gives the model a request twice, once in a while; the actor sees nothing of it."""

    num_rows = 0

    def gather(self, callbacks: list[int]) -> Any:
        self.num_rows += len(callbacks)
        if self.num_rows < 1000:
            return super().gather(callbacks)
        self.num_rows = 0
        return super().gather([*callbacks, callbacks[0]])

    def resolve_batch(self, callbacks: list[int], batch: Any, result: Any) -> None:
        super().resolve_batch(callbacks, batch, result[: len(callbacks)])


class Overwriting(SlotTransport):
    """Reuses the memory of a reply that was given away, a while later."""

    def __init__(self, num_slots: int) -> None:
        super().__init__(num_slots)
        self.given: list[Any] = []

    def _hand_out(self, slot: int, reply: Any) -> None:
        if not isinstance(reply, BaseException):
            self.given.append(reply["action"])
        if len(self.given) > 1000:
            self.given.pop(0).zero_()
        super()._hand_out(slot, reply)


class Scribbling(SlotTransport):
    """Writes into what actors submitted."""

    def _request(self, callback: int) -> Any:
        request = super()._request(callback)
        if self._replies[callback] is None and random.random() < 0.001:
            request.leaves[0][1:].add_(1)
            request.leaves[0][0].add_(0)
        return request


class Refusing(SlotTransport):
    """Invents an error, once in a while."""

    num_answers = 0

    def _hand_out(self, slot: int, reply: Any) -> None:
        self.num_answers += 1
        super()._hand_out(slot, KeyError("none") if self.num_answers == 1000 else reply)


@pytest.mark.parametrize(
    ("transport", "setting", "kind", "message"),
    [
        (Swapping, PLAIN, BrokenPromiseError, "is that of"),
        (Swapping, ALL, BrokenPromiseError, "is that of"),
        (Losing, PLAIN, StalledError, r"no reply for 1 s.*still waiting \(for request\)"),
        (Losing, ALL, StalledError, r"no reply for 1 s.*still waiting \(for request\)"),
        (Doubling, PLAIN, BrokenPromiseError, "given to the model more than once"),
        (Overwriting, PLAIN, BrokenPromiseError, "changed after it was read"),
        (Scribbling, PLAIN, BrokenPromiseError, "is its own: got|written to"),
        (Refusing, ALL, BrokenPromiseError, "no fault explains it"),
    ],
)
def test_a_planted_bug_is_found(transport, setting, kind, message, capfd):
    """One in a thousand replies, among all faults or none."""

    def factory(num_slots: int, *, spec: Any) -> Any:
        return transport() if transport is Swapping else transport(num_slots)

    setting = Setting(**{**vars(setting), "seconds": 2.0})
    with pytest.raises(kind, match=message):
        run(setting, factory, stall_s=1.0)


def test_what_the_books_tell():
    """Each disagreement of an actor's account with the model's, by name."""

    def told(
        *fates: Fate, served: Any = (), failed: Any = (), may_lose: bool = False
    ) -> str:
        book = Book(0)
        book.fates[:] = bytes(fates)
        return " ".join(
            problems(
                [book],
                [torch.tensor([place]) for place in served],
                [torch.tensor([place]) for place in failed],
                may_lose_served=may_lose,
            )
        )

    assert not told(Fate.REPLIED, Fate.FAILED, Fate.STOPPED, served=[0], failed=[1])
    assert not told(Fate.DROPPED, Fate.DROPPED, Fate.CANCELLED, Fate.REFUSED, served=[0])
    assert "1 requests lost: never answered: 1" in told(Fate.REPLIED, Fate.OPEN, served=[0])
    assert "more than once" in told(Fate.DROPPED, served=[0, 0])
    assert "more than once" in told(Fate.DROPPED, served=[0], failed=[0])
    assert "no model served it" in told(Fate.REPLIED)
    assert "served, and answered with an error" in told(Fate.FAILED, served=[0])
    assert "error of no batch" in told(Fate.FAILED)
    assert "given up for a stopped server" in told(Fate.STOPPED, served=[0])
    assert not told(Fate.STOPPED, served=[0], may_lose=True)
    assert "refused or cancelled" in told(Fate.REFUSED, served=[0])
    assert "refused or cancelled" in told(Fate.CANCELLED, failed=[0])
    assert "never made" in told(Fate.REPLIED, served=[0, 1])
    assert "which there is not" in told(Fate.REPLIED, served=[0, 1 << 32])


def test_a_setting_comes_from_its_seed():
    """The same again for a seed; over many, every fault is drawn and most rounds have none."""
    settings = [draw(f"1/{number}", 1.0) for number in range(300)]
    assert settings == [draw(f"1/{number}", 1.0) for number in range(300)]
    drawn = Counter(name for setting in settings for name in setting.faults)
    assert set(drawn) == faults.NAMES | Model.FAULTS | {"restart", "kill", "gc"}
    assert sum(not setting.faults for setting in settings) > 130


@pytest.mark.parametrize(("replies", "code"), [("1_000", 0), ("1_000_000_000", 1)])
def test_the_program_ends_with_enough_replies_or_out_of_time(replies, code):
    """It says how many, with which seed, and exits accordingly."""
    done = python("-m", "tests.stress", "--replies", replies, "--seed", "1", "--processes", "1",
                  "--seconds", "1" if code else "100", "--round-seconds", "0.3")  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    if code:
        assert last.startswith("time ran out")
        assert "of 1,000,000,000 asked for" in last
    else:
        assert "none lost, doubled, swapped or changed; seed 1" in last


def test_the_harness_is_not_needed():
    """Not even importable; in a fresh interpreter, as each of its processes is."""
    done = python(
        "-c", "import sys; sys.modules['slotbench'] = None; import tests.stress.__main__"
    )
    assert done.returncode == 0, done.stderr


def python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
