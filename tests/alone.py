"""Tests that measure time run while no other test does, where several processes run tests.

Under pytest-xdist every test holds one lock, shared, and a test marked ``alone`` holds it for
itself. One process without xdist needs no lock, and takes none.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest


class Turns:
    """Whose turn it is, between processes of one test run.

    Args:
        run_id: the same in all of them, and in no other run.
    """

    def __init__(self, run_id: str) -> None:
        stem = Path(tempfile.gettempdir()) / f"slotbench-tests-{run_id}"
        # Held by whoever waits to be alone, so that others do not go past for ever.
        self._door = _opened(Path(f"{stem}.door"))
        self._room = _opened(Path(f"{stem}.room"))
        self._is_alone = False

    def close(self) -> None:
        """Give up the turn; the last process to come here leaves no file."""
        for file in (self._door, self._room):
            file.close()
            with contextlib.suppress(FileNotFoundError):
                Path(file.name).unlink()

    def begin(self, *, alone: bool) -> None:
        """Wait until this test may run; a process that is alone already goes on."""
        if alone and self._is_alone:
            return
        self.end()
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)
        self._is_alone = alone

    def end(self) -> None:
        """Let others go on."""
        fcntl.flock(self._room, fcntl.LOCK_UN)
        self._is_alone = False


def _opened(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8")


def _is_alone(item: pytest.Item | None) -> bool:
    return item is not None and item.get_closest_marker("alone") is not None


class Plugin:
    """Takes turns around every test: outside of its time limit, for waiting is not its fault."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Iterator[None]:
        self._turns.begin(alone=_is_alone(item))
        try:
            return (yield)
        finally:
            # One that follows another keeps the turn.
            if not (_is_alone(item) and _is_alone(nextitem)):
                self._turns.end()

    def pytest_unconfigure(self) -> None:
        self._turns.close()


def install(config: pytest.Config) -> None:
    """Take turns, if this process is one of several."""
    run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run_id and "PYTEST_XDIST_WORKER" in os.environ:
        config.pluginmanager.register(Plugin(Turns(run_id)), "turns")
