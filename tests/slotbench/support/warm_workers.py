"""Workers forked from one process that has torch imported: a start costs 0.2 s, not 2.5 s.

`WarmProcess` stands in for `subprocess.Popen` where the executor starts a zygote. What runs in it
is the same: `zygote.main` with the same arguments, descriptors, environment and working
directory, in a session of its own. What it does not exercise is a start from nothing; the tests
of the executor, and those that start the command line as a process, do that.
"""

import contextlib
import gc
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, Final, Self

import slotbench

_MODULE: Final = "slotbench.measure.zygote"
_ROOT: Final = str(Path(slotbench.__file__).parents[1])
_HEAD: Final = struct.Struct("I")
_STATUS: Final = struct.Struct("i")


class Nursery:
    """The process that warm workers are forked from; started with the first of them.

    Threads: one, the caller's.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End it. Workers that it gave out live until they are closed."""
        if self._process is not None and self._socket is not None:
            self._socket.close()
            self._process.wait()
            self._process = self._socket = None

    def namespace(self) -> Any:
        """Give what the executor needs of `subprocess`, with warm workers."""

        def popen(arguments: Sequence[str], **options: Any) -> Any:
            place = list(arguments).index(_MODULE) + 1
            # Another interpreter, or this one with flags, is what is started and no other.
            is_own = list(arguments[:place]) == [sys.executable, "-P", "-m", _MODULE]
            if not is_own or arguments[place + 1] != "fork":
                return subprocess.Popen(arguments, **options)
            return self._start(arguments[place:], options)

        return SimpleNamespace(
            Popen=popen,
            DEVNULL=subprocess.DEVNULL,
            TimeoutExpired=subprocess.TimeoutExpired,
        )

    def _start(self, arguments: Sequence[str], options: Mapping[str, Any]) -> "WarmProcess":
        if self._socket is None:
            self._begin()
        assert self._socket is not None
        log: IO[bytes] = options["stdout"]
        ours, theirs = socket.socketpair()
        with theirs:
            place = os.getcwd()  # noqa: PTH109  # sent as it is
            text = pickle.dumps((list(arguments[1:]), dict(options["env"]), place))
            descriptors = [int(arguments[0]), log.fileno(), theirs.fileno()]
            socket.send_fds(self._socket, [_HEAD.pack(len(text))], descriptors)
            self._socket.sendall(text)
        return WarmProcess(ours)

    def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": _ROOT,
                    **dict.fromkeys(
                        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
                    ),
                },
            )
        self._socket = ours


class WarmProcess:
    """What of a `subprocess.Popen` the executor uses, of a process that is nobody's child here.

    Its warden, which is its parent, tells its number and, when it has ended, how.
    """

    def __init__(self, warden: socket.socket) -> None:
        self._warden = warden
        self.pid = self._told(None)
        self.returncode: int | None = None

    def kill(self) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            try:
                self.returncode = self._told(timeout)
            except TimeoutError:
                raise subprocess.TimeoutExpired(_MODULE, timeout or 0.0) from None
            self._warden.close()
        return self.returncode

    def __del__(self) -> None:
        self._warden.close()

    def _told(self, timeout: float | None) -> int:
        self._warden.settimeout(timeout)
        text = self._warden.recv(_STATUS.size)
        if len(text) < _STATUS.size:
            raise RuntimeError("the process that warm workers are forked from has died")
        number: int = _STATUS.unpack(text)[0]
        return number


def _serve(descriptor: int) -> None:
    """Import what every worker needs; for every request fork a warden, and that a worker."""
    import slotbench.measure.preload  # noqa: F401  # what all this is for

    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # wardens are not waited for
    asking = socket.socket(fileno=descriptor)
    while True:
        head, descriptors, _, _ = socket.recv_fds(asking, _HEAD.size, 3)
        if not head:
            os._exit(0)
        text = _exactly(asking, _HEAD.unpack(head)[0])
        if os.fork() == 0:
            asking.close()
            _watch(*pickle.loads(text), *descriptors)
        for each in descriptors:
            os.close(each)


def _watch(
    arguments: list[str],
    environ: dict[str, str],
    place: str,
    connection: int,
    log: int,
    status: int,
) -> None:
    """Fork the worker, tell its number, wait for it, and tell how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        _be_worker(arguments, environ, place, connection, log)
    os.close(connection)
    os.close(log)
    with contextlib.suppress(BrokenPipeError):
        os.write(status, _STATUS.pack(pid))
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        os.write(status, _STATUS.pack(ended))
    os._exit(0)


def _be_worker(
    arguments: list[str], environ: dict[str, str], place: str, connection: int, log: int
) -> None:
    """Become what ``python -P -m slotbench.measure.zygote`` would be."""
    from slotbench.measure import zygote

    code = 1
    try:
        os.setsid()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.chdir(place)
        os.environ.clear()
        os.environ.update(environ)
        sys.path[:0] = [
            one for one in environ.get("PYTHONPATH", "").split(os.pathsep) if one
        ]
        sys.argv = [zygote.__file__, str(connection), *arguments]
        zygote.main(sys.argv[1:])
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    except BaseException:  # noqa: BLE001  # printed, as an interpreter does at its end
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _exactly(asking: socket.socket, num_bytes: int) -> bytes:
    text = b""
    while len(text) < num_bytes:
        text += asking.recv(num_bytes - len(text))
    return text


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
