"""``slotbench check``, whole: from contenders to a table, JSON and an exit code."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slotbench.cli import _progress
from slotbench.cli.check import _Stop
from slotbench.contenders import _installed
from slotbench.measure import checking

SUPPORT = str(Path(__file__).parent.parent / "support")
NAME = "requests-served-once"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def support_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SUPPORT)
    monkeypatch.setenv("PYTHONPATH", SUPPORT, prepend=os.pathsep)


def test_a_right_transport_passes(slotbench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0, a table, no complaint; a module in the working directory will do."""
    monkeypatch.delenv("PYTHONPATH")
    source = (Path(SUPPORT) / "wrong_transports.py").read_text()
    Path("my_transport_checked_here.py").write_text(source)
    label = "my_transport_checked_here:honest"
    outcome = slotbench("check", label, "slot", " slot", "--check", NAME)

    assert (outcome.code, _said(outcome.stderr)) == (0, [])
    lines = outcome.stdout.splitlines()
    assert lines[:2] == [f"{label}: 1 pass, 0 fail, 0 n/a", "slot: 1 pass, 0 fail, 0 n/a"]
    assert [line.split() for line in lines if NAME in line] == [[NAME, "pass", "pass"]]


def test_failures_are_exit_code_1_and_all_in_the_json(
    slotbench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hang, a death and a wrong reply fail beside one that passes; the record is whole."""
    monkeypatch.setattr(checking, "DEADLINE_S", 5.0)
    labels = [
        "wrong_transports:honest",
        "wrong_transports:swapped",
        "deadly_transports:hangs",
        "deadly_transports:exits_at_once",
    ]
    outcome = slotbench("check", *labels, "--check", NAME, "--format", "json")

    assert (outcome.code, _said(outcome.stderr)) == (1, [])
    document = json.loads(outcome.stdout)
    assert document["schema_version"] == 1
    assert {"slotbench_version", "python_version", "torch_version", "tensordict_version",
            "cpu_count"} <= document["environment"].keys()  # fmt: skip
    assert [one["label"] for one in document["contenders"]] == labels
    found = [one["findings"][0] for one in document["contenders"]]
    assert [f["outcome"] for f in found] == ["pass", "fail", "fail", "fail"]
    assert all((f["check"], f["guarantee"]) == (NAME, 1) for f in found)
    assert all(f["duration_s"] > 0 for f in found)
    assert found[2]["reason"] == "hung: not done after 5 s, killed"
    assert "in hangs" in found[2]["stacks"]
    assert "exit code 7" in found[3]["reason"]
    for private in (os.uname().nodename, str(Path(SUPPORT).parent), sys.prefix):
        assert private not in outcome.stdout


def test_the_checks_are_listed_with_their_promises(slotbench: Any) -> None:
    """Without a contender; ``--check`` and the format hold here, too."""
    outcome = slotbench("check", "--list")
    assert (outcome.code, _said(outcome.stderr)) == (0, [])
    assert outcome.stdout.startswith("1. ")
    first_lines = [x for x in outcome.stdout.splitlines() if x[:3] == "   " != x[3:6]]
    rows = [line.split(maxsplit=1) for line in first_lines]
    assert NAME in [name for name, _ in rows]
    assert all(promise for _, promise in rows)

    listed = json.loads(
        slotbench("check", "--list", "--check", NAME, "--format", "json").stdout
    )
    assert [plan["name"] for plan in listed["checks"]] == [NAME]
    assert listed["contenders"] == []


def test_an_unknown_check_is_one_line(slotbench: Any) -> None:
    """Exit code 2, and the nearest name."""
    outcome = slotbench("check", "slot", "--check", NAME.upper(), "--check", f"{NAME}x")

    assert (outcome.code, outcome.stdout) == (2, "")
    (line,) = _said(outcome.stderr)
    assert line.startswith(f"slotbench: error: unknown check '{NAME.upper()}'; ")


def test_a_contender_that_cannot_be_made_is_one_line(slotbench: Any) -> None:
    """Exit code 2; what was raised is named, and where."""
    outcome = slotbench("check", "fails_to_import:factory", "--check", NAME)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert _said(outcome.stderr) == [
        "slotbench: error: contender 'fails_to_import:factory' cannot be made: "
        "ZeroDivisionError (fails_to_import.py, line 3)"
    ]


def test_debug_shows_the_contenders_own_frames(slotbench: Any) -> None:
    """The traceback is that of the process that made it; the line at the end stays."""
    label = "wrong_transports:fails_to_build"
    outcome = slotbench("check", label, "--check", NAME, "--debug")

    assert outcome.code == 2
    assert "in fails_to_build\n    raise ValueError" in outcome.stderr
    assert outcome.stderr.splitlines()[-1].startswith(
        f"slotbench: error: contender '{label}' cannot be made: ValueError: no wire ("
    )


def test_a_contender_that_exits_at_import_is_one_line(slotbench: Any) -> None:
    """With sys.exit it cannot be made; with os._exit it takes the worker along. Both are named."""
    Path("exits_checked_here.py").write_text("import sys\nsys.exit(3)\n")
    Path("dies_checked_here.py").write_text("import os\nos._exit(3)\n")

    outcome = slotbench("check", "exits_checked_here:f")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert _said(outcome.stderr) == [
        "slotbench: error: contender 'exits_checked_here:f' cannot be made: "
        "SystemExit: 3 (exits_checked_here.py, line 2)"
    ]
    outcome = slotbench("check", "dies_checked_here:f")
    assert (outcome.code, outcome.stdout) == (4, "")
    assert _said(outcome.stderr) == [
        "slotbench: error: the worker process did not start: it ended with exit code 3 "
        "while it imported dies_checked_here, and printed nothing"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no contender given: write one, as in 'slotbench check slot', or --list"),
        (
            ["slot", "floor"],
            "contender floor: it is no transport and promises nothing; leave it out",
        ),
        (
            ["--list", "slto"],
            "--list with contender slto: it shows the checks and makes none; leave out one",
        ),
        (["slott"], 'unknown contender "slott"; did you mean slot?'),
        (["slot[prealocate]"], "contender slot: unknown option prealocate; did you mean"),
        (["nosuchmodule:f"], "contender nosuchmodule:f: module 'nosuchmodule' is not"),
        (
            ["slot", "slot[python=nowhere]"],
            "contender 'slot[python=nowhere]': checks run in slotbench's own interpreter; leave out python",
        ),
        (["slot@collector"], "contender 'slot@collector': TorchRL's collector has no"),
        (["slot", "--format", "jsn"], "unknown format 'jsn': did you mean json?"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(
    arguments: list[str], message: str, slotbench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said at once: no process is started to find it."""
    monkeypatch.delattr(checking, "worker")
    outcome = slotbench("check", *arguments)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"slotbench: error: {message}")
    assert outcome.stderr.count("\n") == 1


def test_torchrl_that_is_missing_is_one_line(
    slotbench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to install."""
    monkeypatch.setattr(_installed, "_can_find", lambda module: module != "torchrl")
    outcome = slotbench("check", "torchrl.slot")

    assert outcome.code == 2
    assert outcome.stderr == (
        "slotbench: error: contender torchrl.slot: torchrl is not installed; "
        "pip install 'slotbench[torchrl]'\n"
    )


def test_the_command_itself_loads_no_torch() -> None:
    """All that needs it runs in the worker."""
    code = (
        "import sys\nfrom slotbench.cli import main\n"
        f"try:\n    main(['check', 'slot', '--check', {NAME!r}])\n"
        "finally:\n    print({'torch', 'tensordict', 'torchrl'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert "slot: 1 pass, 0 fail, 0 n/a" in done.stdout
    assert done.stdout.endswith("set()\n")
    assert _said(done.stderr) == []


def test_progress_is_lines_where_stderr_is_no_terminal(
    slotbench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is imported, then what is checked; here all lines, else one now and then."""
    monkeypatch.setattr(_progress, "_LINE_EVERY_S", 0.0)
    label = "wrong_transports:honest"
    outcome = slotbench("check", "slot", label, "--check", NAME)

    assert outcome.code == 0
    lines = [line.partition("left: ") for line in outcome.stderr.splitlines()]
    doing = [text for _, _, text in lines]
    assert doing[0].startswith("starting a worker: importing torch")
    assert "starting a worker: importing wrong_transports" in doing
    assert [text for text in doing if NAME in text] == [f"slot: {NAME}", f"{label}: {NAME}"]
    assert [before.partition(",")[0] for before, _, text in lines if NAME in text] == [
        "0/2 checks",
        "1/2 checks",
    ]


def test_progress_is_shown_on_a_terminal(tmp_path: Path) -> None:
    """On stderr, and gone at the end; stdout is the table alone."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "slotbench", "check", "slot", "--check", NAME],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as process:
        os.close(theirs)
        shown = _read_all(ours)
        stdout, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert stdout.startswith("slot: 1 pass")
    assert "starting a worker: importing" in shown
    assert f"slot: {NAME}" in shown


def test_ctrl_c_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130, what was found until then, and neither worker nor check goes on."""
    place = tmp_path / "pid"
    monkeypatch.setenv("SAY_WHO_HANGS_IN", str(place))
    process = _start_check(tmp_path, "slot", "deadly_transports:hangs", "--check", NAME)
    hanging = _wait_for_pid(place, process)
    worker = int(Path(f"/proc/{hanging}/stat").read_text().rpartition(")")[2].split()[1])
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert _said(stderr) == ["slotbench: interrupted after 1 of 2 checks"]
    lines = stdout.splitlines()
    assert lines[:2] == [
        "slot: 1 pass, 0 fail, 0 n/a",
        "deadly_transports:hangs: 0 pass, 0 fail, 0 n/a, 1 not made",
    ]
    assert [line.split() for line in lines if NAME in line] == [[NAME, "pass", "-"]]
    assert worker != process.pid
    for pid in (worker, hanging):
        _wait_until_gone(pid)


def test_ctrl_c_before_the_first_check(tmp_path: Path) -> None:
    """What was imported is named; no table, and a worker that imports does not go on either."""
    place = tmp_path / "pid"
    (tmp_path / "hangs_at_import_here.py").write_text(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(place)!r}).write_text(f'{{os.getpid()}}\\n')\n"
        "while True:\n    time.sleep(0.01)\n"
    )
    process = _start_check(tmp_path, "hangs_at_import_here:f")
    worker = _wait_for_pid(place, process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)

    assert (process.returncode, stdout) == (130, "")
    assert _said(stderr) == [
        "slotbench: interrupted before the first check, while starting a worker: "
        "importing hangs_at_import_here"
    ]
    assert worker != process.pid
    _wait_until_gone(worker)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_ctrl_c_may_be_pressed_all_the_time(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found is shown once and whole, and the exit code is 130, to the very end."""
    place = tmp_path / "pid"
    monkeypatch.setenv("SAY_WHO_HANGS_IN", str(place))
    process = _start_check(tmp_path, "slot", "deadly_transports:hangs", "--check", NAME)
    _wait_for_pid(place, process)
    process.send_signal(number)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.002)  # a finger; nothing waits for it
    stdout, stderr = process.communicate()

    assert process.returncode == 130
    assert _said(stderr) == ["slotbench: interrupted after 1 of 2 checks"]
    assert "Traceback" not in stderr
    rows = [line.split() for line in stdout.splitlines() if NAME in line]
    assert rows == [[NAME, "pass", "-"]]


@pytest.fixture
def signals_restored() -> Iterator[None]:
    """Handlers as before."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_restored")
def test_a_stop_is_one_keyboard_interrupt() -> None:
    """The second is none; one that Python swallowed is still known."""
    with _Stop() as stop:
        stop.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            stop.check()


@pytest.mark.usefixtures("signals_restored")
def test_a_stop_after_the_last_check_cuts_nothing_short() -> None:
    """It is known and raises nothing."""
    with _Stop() as stop:
        stop.finish()
        assert not stop.is_asked
        signal.raise_signal(signal.SIGINT)
        assert stop.is_asked


@pytest.mark.usefixtures("signals_restored")
def test_signals_are_left_as_they_were() -> None:
    """One that is ignored, as a shell does for what runs in the background, stays ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    before = signal.getsignal(signal.SIGTERM)
    with _Stop() as stop:
        assert signal.getsignal(signal.SIGTERM) is not before
        signal.raise_signal(signal.SIGINT)
        assert not stop.is_asked

    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is before


def _said(stderr: str) -> list[str]:
    """What the command said; progress is not that."""
    return [line for line in stderr.splitlines() if line.startswith("slotbench: ")]


def _start_check(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "slotbench", "check", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _read_all(descriptor: int) -> str:
    """Read a terminal until nobody holds its other end."""
    read = b""
    # An OSError is what Linux says when the other end is closed.
    with open(descriptor, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        while part := terminal.read(4096):
            read += part
    return read.decode()


def _wait_for_pid(place: Path, process: subprocess.Popen[str]) -> int:
    deadline = time.monotonic() + 120
    while not (place.exists() and place.read_text().endswith("\n")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no check hung in 120 s"
        time.sleep(0.01)
    return int(place.read_text())


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20  # a check that nobody ends ends itself after 30 s
    while _is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} outlived the command by 20 s"
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
