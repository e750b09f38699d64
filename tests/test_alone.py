"""Where several processes run tests, one that measures time is alone."""

import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.alone import Turns

JOIN_S = 60.0


@pytest.fixture
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Turns]]:
    """Three that run the same tests; locks are the file's, and so also keep threads apart."""
    run_id = f"of-a-test-{time.monotonic_ns()}"
    with (
        closing(Turns(run_id)) as first,
        closing(Turns(run_id)) as second,
        closing(Turns(run_id)) as third,
    ):
        yield [first, second, third]


@contextmanager
def waiting(turns: Turns, *, alone: bool) -> Iterator[threading.Thread]:
    """A process that asks for its turn, and has had it at the end."""
    asking = threading.Thread(target=turns.begin, kwargs={"alone": alone}, daemon=True)
    asking.start()
    yield asking
    asking.join(JOIN_S)
    assert not asking.is_alive()


def is_free(file: IO[str], kind: int) -> bool:
    """Whether the lock could be had just now; a look takes it and gives it back."""
    with Path(file.name).open(encoding="utf-8") as again:
        try:
            fcntl.flock(again, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def wait_until_taken(file: IO[str]) -> None:
    deadline = time.monotonic() + JOIN_S
    while is_free(file, fcntl.LOCK_SH):
        assert time.monotonic() < deadline


def test_others_run_together(processes: list[Turns]) -> None:
    """None of them waits."""
    for turns in processes:
        turns.begin(alone=False)


def test_while_one_is_alone_the_others_wait(processes: list[Turns]) -> None:
    """Until it ends its turn; from test to test it keeps it."""
    first, second, _ = processes
    first.begin(alone=True)
    with waiting(second, alone=False) as asking:
        wait_until_taken(second._door)
        first.begin(alone=True)
        assert not is_free(first._room, fcntl.LOCK_SH)
        assert asking.is_alive()
        first.end()


def test_who_wants_to_be_alone_is_next(processes: list[Turns]) -> None:
    """It waits for those that run, and nobody else begins meanwhile."""
    first, second, third = processes
    first.begin(alone=False)
    with waiting(second, alone=True) as wants:
        wait_until_taken(second._door)
        with waiting(third, alone=False) as late:
            assert wants.is_alive()
            first.end()
            wants.join(JOIN_S)
            assert not is_free(first._room, fcntl.LOCK_SH)
            assert late.is_alive()
            second.end()
