"""Transports that can be made for one actor, and bring down the process for several."""

import itertools
import os
import signal
import sys
import time
from pathlib import Path

from wrong_transports import QueueTransport


def hangs(num_slots: int) -> QueueTransport:
    if num_slots > 1:
        if place := os.environ.get("SAY_WHO_HANGS_IN"):
            Path(place).write_text(f"{os.getpid()}\n")
        sum(itertools.repeat(0))  # in C, and never lets go of the GIL
    return QueueTransport(num_slots)


def exits_at_once(num_slots: int) -> QueueTransport:
    if num_slots > 1:
        os._exit(7)
    return QueueTransport(num_slots)


def exits(num_slots: int) -> QueueTransport:
    if num_slots > 1:
        sys.exit(3)
    return QueueTransport(num_slots)


def crashes(num_slots: int) -> QueueTransport:
    if num_slots > 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    return QueueTransport(num_slots)


def never_made(num_slots: int) -> QueueTransport:
    while True:
        time.sleep(0.01)
