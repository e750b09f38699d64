"""Asks the command line in this process, with bounds, and judges the form of its answer."""

import contextlib
import csv
import io
import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from slotbench.cli import main

IS_FULL = bool(os.environ.get("SLOTBENCH_FUZZ"))
CPU_LIMIT_S = 60.0
"""Of one command, of this process's own time, so that a busy machine does not matter."""

MEMORY_LIMIT_BYTES = 2**30
"""Of one command, beyond what this process has."""

MAX_LINE = 2000
"""Characters of an error: nobody reads a line of a megabyte."""

PREFIX = "slotbench: "
ERROR = "slotbench: error: "


@dataclass(frozen=True)
class Answer:
    """What a command said.

    Attributes:
        arguments: that it was given.
        code: that it exited with.
    """

    arguments: tuple[str, ...]
    code: int
    stdout: str
    stderr: str


class _TooDear(BaseException):
    """Not an Exception: the command line must not take it for a defect of its own."""


def examples(few: int, many: int) -> int:
    """How many examples to try: few, or many where all are asked for."""
    return many if IS_FULL else few


def ask(*arguments: str | Path, folder: Path, is_bounded: bool = True) -> Answer:
    """Run a command in that working directory.

    Args:
        arguments: as in a shell, without "slotbench".
        folder: also keeps what the command said, in files: real ones, as a shell's are.
        is_bounded: hold the command to `CPU_LIMIT_S` and `MEMORY_LIMIT_BYTES`. A process that
            it starts would inherit the bounds.
    """
    texts = tuple(map(str, arguments))
    out, err = folder / ".stdout", folder / ".stderr"
    path, handler = list(sys.path), signal.getsignal(signal.SIGTERM)
    bounds = _bounded() if is_bounded else contextlib.nullcontext()
    code: object = None
    with (
        out.open("w", encoding="utf-8") as stdout,
        err.open("w", encoding="utf-8", errors="backslashreplace") as stderr,
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        contextlib.chdir(folder),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        try:
            with bounds:
                main(texts)
        except SystemExit as exit_:
            code = exit_.code
        except _TooDear:
            code = f"took more than {CPU_LIMIT_S:g} s of CPU time"
        finally:
            sys.path[:] = path
            signal.signal(signal.SIGTERM, handler)
    said = [file.read_bytes().decode("utf-8") for file in (out, err)]
    assert isinstance(code, int), f"{texts}: {code}"
    return Answer(texts, code, *said)


def check(answer: Answer, codes: Collection[int] = (0,)) -> None:
    """Fail where the answer is neither one of these exits nor a refusal in one line."""
    lines = answer.stderr.splitlines()
    errors = [line for line in lines if line.startswith(ERROR)]
    assert answer.code in {*codes, 2}, answer
    assert all(line.startswith(PREFIX) for line in lines), answer
    assert "Traceback" not in answer.stderr, answer
    assert all(len(line) <= MAX_LINE for line in lines), answer
    if answer.code == 2:
        assert len(errors) == 1, answer
        assert lines[-1] == errors[0], answer
        assert not answer.stdout, answer
    else:
        assert len(errors) <= (answer.code != 0), answer


def check_json(answer: Answer) -> None:
    """Fail where a successful answer is no JSON that every reader takes."""
    if answer.code != 2:
        json.loads(answer.stdout, parse_constant=_refuse)


def check_csv(answer: Answer) -> None:
    """Fail where a successful answer is no table."""
    if answer.code != 2:
        rows = list(csv.reader(io.StringIO(answer.stdout, newline="")))
        assert len({len(row) for row in rows}) == 1, answer


def _refuse(name: str) -> NoReturn:
    raise AssertionError(f"{name} is no JSON number")


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + MEMORY_LIMIT_BYTES
    old = signal.signal(signal.SIGVTALRM, _give_up)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))
        signal.signal(signal.SIGVTALRM, old)


def _give_up(number: int, frame: FrameType | None) -> NoReturn:
    raise _TooDear
