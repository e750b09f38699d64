"""A transport, a policy and an environment variable that tell in which interpreter they are made."""

import os
import signal
from typing import Any, NoReturn

NAME = "SLOTBENCH_TEST_INTERPRETER"
"""Variable that the test's other interpreter sets."""


def place() -> str:
    """Names the interpreter that this runs in."""
    return os.environ.get(NAME, "this one")


def transport(num_slots: int) -> NoReturn:
    """A transport that cannot be made, and says where."""
    raise OSError(f"asked for {num_slots} in {place()}")


def policy(batch: Any) -> Any:
    """A policy that fails in the other interpreter alone."""
    if NAME in os.environ:
        raise OSError("no policy there")
    return batch


def zygote() -> int:
    """Names the process that this one was forked from."""
    return os.getppid()


def kill_zygote() -> None:
    """Ends that process, as the kernel does where memory runs out."""
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()  # its death is to be seen before an outcome is
