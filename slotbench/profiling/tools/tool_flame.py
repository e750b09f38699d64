"""Flame graphs of all threads of a trial, actors and server: py-spy, from outside the process.

A speedscope file has a profile for each thread; the SVG has one graph, in which the actors lie
on top of each other and beside the server. Both show wall-clock time: what waits is there, at
the line where it waits, and it may be the GIL that it waits for. They say where to look; shares of
time are the passes' to tell.

py-spy writes one format at a time. Two trials would be two different pasts; two recordings at
once cannot be, since a process is stopped by one tracer at a time. So one trial has both,
one after the other: the first in its window, the second after it, while the actors go on.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from slotbench.profiling.tools._outcome import ToolOutcome, outcome
from slotbench.profiling.tools._watcher import Watcher
from slotbench.records import TrialSpec

SUMMARY: Final = "flame graphs of actors and server (needs py-spy)"

# The process is stopped for each look. With --nonblocking it would run on, and be slowed by 1 to
# 30 % instead of 15 to 50 % at equal rates. But then looks at threads that run often fail, 1 to 3
# stacks in 1 000 are of calls that no code makes, and the share of its time that the server spends
# in the model, known from its stamps, was shown as 0.15 to 1.65 times what it was; with stopping,
# 0.6 to 1.2 times. With 256 actors neither is right: 0.3 to 2.6 times, both. (16 to 64 actors of
# slot, torchrl.slot and torchrl.threading, models of 0 and 1 ms; 2 cores, which py-spy needs one
# of; py-spy 0.4.3.)
# --idle, since what py-spy takes for running is not: of torchrl.threading it showed 82 % in the
# actors, whose CPU time by the kernel's count is 43 % of all. --gil showed 8 %.
_OPTIONS: Final = ("--idle",)

# A look stops the process for 0.12 ms a thread, 40 ms with 256 actors: so it is stopped for a
# fifth of the time. Files have 0.2 to 0.9 MB.
_LOOKS_AT_THREADS_PER_S: Final = 1600
_MIN_RATE: Final = 5
_MAX_RATE: Final = 250
_LOOKS: Final = 300
_MIN_S: Final = 2.0
_MAX_S: Final = 10.0
_START_S: Final = 20.0
"""How long py-spy may take until it looks, and to write what it saw; 0.02 s each here."""

_MAX_REQUESTS: Final = 10_000_000
"""Room for stamps: the actors go on after the window. What is not used costs nothing."""
_PR_SET_PTRACER: Final = 0x59616D61
_NAME: Final = "py-spy"


def missing() -> str:
    """Say that py-spy is not installed; "" if it is."""
    if _command():
        return ""
    return f"{_NAME} is not installed: no flame graphs; pip install 'slotbench[profile]'"


def run(spec: TrialSpec, folder: str, stem: str) -> ToolOutcome:
    """Record "<stem>.speedscope.json" in the window, and "<stem>.flame.svg" after it."""
    from slotbench.profiling.tools._trial import run_watched

    rate = rate_hz(spec.workload.num_slots)
    seconds = min(_MAX_S, max(_MIN_S, _LOOKS / rate))
    window = replace(
        spec.workload.window,
        measure_s=seconds,
        max_measure_s=max(seconds, spec.workload.window.max_measure_s),
        max_requests=_MAX_REQUESTS,
    )
    longest_s = window.max_measure_s + _START_S
    speedscope = Path(folder) / f"{stem}.speedscope.json"
    svg = Path(folder) / f"{stem}.flame.svg"
    for path in (speedscope, svg):
        path.unlink(missing_ok=True)
    watcher = _TwoRecordings(
        # Without --threads: speedscope's has a profile for each thread as it is, and in the SVG
        # a tower for each of many actors would be too narrow to read.
        _Recording("speedscope", speedscope, rate, longest_s),
        _Recording("flamegraph", svg, rate, longest_s),
        seconds,
    )
    spec = replace(spec, workload=replace(spec.workload, window=window))
    trial = run_watched(spec, watcher)
    if speedscope.exists():
        _forget_folders(speedscope, f"{spec.contender.label} in {spec.cell}")
    return outcome(trial, (speedscope, svg), watcher.problems)


def rate_hz(num_slots: int) -> int:
    """Looks per second, so that a fifth of the time is spent on them."""
    return max(_MIN_RATE, min(_MAX_RATE, _LOOKS_AT_THREADS_PER_S // (num_slots + 2)))


class _Recording:
    """One py-spy that looks at this process from `start` to `stop`.

    Attributes:
        problem: what went wrong, in words; "" if nothing has.
        is_looking: it has attached.
    """

    def __init__(self, format_: str, path: Path, rate_hz: int, longest_s: float) -> None:
        self.problem = ""
        self.is_looking = False
        self._path = path
        self._arguments = [
            *("record", *_OPTIONS, "--format", format_, "--output", str(path)),
            *("--rate", str(rate_hz), "--duration", str(int(longest_s) + 1)),
        ]
        self._process: subprocess.Popen[str] | None = None
        self._said: list[str] = []  # words

    def start(self) -> None:
        """Start it, and wait until it looks or has failed; the actors go on meanwhile."""
        _allow_tracing()
        try:
            self._process = subprocess.Popen(
                [_command(), *self._arguments, "--pid", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=os.environ | {"RUST_BACKTRACE": "0"},  # of use to py-spy's authors
            )
        except OSError as error:
            self.problem = f"{_NAME} does not start, so there are no flame graphs: {error}"
            return
        self.is_looking = self._has_attached(self._process)
        if not self.is_looking:
            self._finish(self._process)
            self.problem = (
                f"{_NAME} cannot look into the trial, so there are no flame graphs: "
                f"{' '.join(self._said) or 'it says nothing'} (a container needs the "
                "capability SYS_PTRACE)"
            )

    def stop(self) -> None:
        """Let it write what it saw."""
        if self._process is None or not self.is_looking:
            return
        self._process.send_signal(signal.SIGINT)
        self._finish(self._process)
        if not self._path.exists():
            said = " ".join(self._said) or "it says nothing"
            self.problem = f"{_NAME} wrote no {self._path.name}: {said}"

    def _has_attached(self, process: "subprocess.Popen[str]") -> bool:
        """Read what it prints until it says that it looks; False if it ends, or says nothing."""
        assert process.stdout is not None
        until = time.monotonic() + _START_S
        while select.select([process.stdout], [], [], max(0, until - time.monotonic()))[0]:
            line = process.stdout.readline()
            if "Sampling process" in line:
                return True
            if not line:
                return False
            self._said += line.split()
        return False

    def _finish(self, process: "subprocess.Popen[str]") -> None:
        """Wait for its end, and bring it about if it does not come."""
        try:
            rest, _ = process.communicate(timeout=_START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            rest, _ = process.communicate()
        self._said += rest.split()


class _TwoRecordings(Watcher):
    def __init__(self, first: _Recording, second: _Recording, seconds: float) -> None:
        self._first = first
        self._second = second
        self._seconds = seconds

    @property
    def problems(self) -> list[str]:
        return [self._first.problem, self._second.problem]

    def begin(self) -> None:
        self._first.start()

    def end(self) -> None:
        self._first.stop()
        if not self._first.is_looking:  # and would not the next time
            return
        self._second.start()
        time.sleep(self._seconds)
        self._second.stop()


def _command() -> str:
    """Find py-spy: beside this Python, where pip puts it, or else on PATH; "" if nowhere."""
    beside = shutil.which(_NAME, path=str(Path(sys.executable).parent))
    return beside or shutil.which(_NAME) or ""


def _allow_tracing() -> None:
    """Let a child look into this process where Linux's Yama lets only a parent do so."""
    if sys.platform == "linux":
        anyone = ctypes.c_ulong(-1)
        # Without Yama it fails, and need not succeed.
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, anyone, 0, 0, 0)


def _forget_folders(path: Path, title: str) -> None:
    """Name the files of code as they are imported, and the profile after what it shows."""
    from slotbench.profiling.tools._paths import as_imported

    profile: dict[str, Any] = json.loads(path.read_text("utf-8"))
    for frame in profile["shared"]["frames"]:
        if frame.get("file"):
            frame["file"] = as_imported(frame["file"])
    profile["name"] = title
    path.write_text(json.dumps(profile, separators=(",", ":")), "utf-8")
