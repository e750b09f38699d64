"""The interpreters that contenders run in: option ``python``, the command that starts one, what it has.

The other interpreter runs the very code of this one: slotbench and transports are linked into a folder
that comes first on its path, and nothing else of this interpreter's packages does. So it needs
slotbench's requirements installed, and not slotbench.
"""

import functools
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from slotbench.contenders._values import shown
from slotbench.errors import ContenderError
from slotbench.records import Contender, Scalar

_OWN_CODE: Final = "SLOTBENCH__OWN_CODE"
"""Environment variable of processes of other interpreters: the folder of links to our code, which is temporary."""
PYTHON: Final = "python"
"""Option that every contender has: the interpreter that its trials run in; "" is the run's own."""

_NEEDED: Final = ("torch", "tensordict", "numpy")
"""What a trial imports."""

_OLDEST: Final = (3, 11)
_HIDING: Final = frozenset("EI")
"""Flags with which Python does not look at PYTHONPATH."""

_PROBE: Final = Path(__file__).with_name("_probe.py")
_PROBE_TIMEOUT_S: Final = 60.0
_MAX_SAID: Final = 100
_FATAL: Final = "Fatal Python error: "
"""What a Python that does not start prints first, and its state after that."""


def python_of(contender: Contender) -> str:
    """Names the interpreter that the contender's trials run in; "" is the run's own."""
    return str(contender.options.get(PYTHON, ""))


def pythons(contenders: Iterable[Contender]) -> tuple[str, ...]:
    """Names every interpreter that these run in, each once, in their order."""
    return tuple(dict.fromkeys(map(python_of, contenders)))


def words(python: str) -> list[str]:
    """Splits ``python`` as a shell does: the command, then flags of the interpreter.

    Raises:
        ContenderError: quotes are left open, or a flag would hide slotbench from it.
    """
    try:
        found = shlex.split(python)
    except ValueError as error:
        raise ContenderError(f"{PYTHON}={shown(python)}: {error}") from None
    for flag in found[1:]:
        # "-X gil=1" and "-Xgil=1" have words of their own behind the letter.
        if flag[:1] == "-" and flag[1:2] not in {"-", "X", "W"} and _HIDING & set(flag):
            raise ContenderError(
                f"{PYTHON}={shown(python)}: {flag} would hide slotbench from it; leave it out"
            )
    return found


def canonical_python(python: str) -> str:
    """Writes ``python`` as its words make it, one blank between them; other text of the same words is equal.

    Raises:
        ContenderError: as `words`.
    """
    return shlex.join(words(python))


def python_command(python: str) -> tuple[str, ...]:
    """Finds the command of an interpreter, with its flags.

    This one's has the flag ``-X gil`` that it was started with, which would else be its alone. A link to the interpreter of a virtual environment starts it in that environment.

    Args:
        python: as option ``python``; "" is this interpreter.

    Raises:
        ContenderError: there is no such command.
    """
    if not python:
        gil = sys._xoptions.get("gil")  # documented
        return (sys.executable, *([] if gil is None else ["-X", f"gil={gil}"]))
    name, *flags = words(python) or [""]
    found = shutil.which(name)
    if found is None:
        raise ContenderError(
            f"{PYTHON}={shown(python)}: there is no command {shown(name)}; put it on PATH, or give "
            "its path"
        )
    return (_of_its_venv(found), *flags)


def python_environ(python: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Gives the environment variables to start an interpreter with: ``environ``, and where our code is."""
    environ = dict(environ)
    environ.pop(_OWN_CODE, None)  # of who started this process
    if python:
        environ = _without_home(environ)
        environ[_OWN_CODE] = _own_code().name
        paths = [_own_code().name, *filter(None, [environ.get("PYTHONPATH")])]
        environ["PYTHONPATH"] = os.pathsep.join(paths)
    return environ


def forget_own_code() -> None:
    """Removes the folder where other interpreters find our code; for a process that is to be killed."""
    if _own_code.cache_info().currsize:
        _own_code().cleanup()
        _own_code.cache_clear()


def missing_of_python(python: str, packages: Iterable[str] = ()) -> str | None:
    """Says why trials cannot run in an interpreter, or None; runs it once, for some 50 ms.

    Args:
        python: as option ``python``.
        packages: that are needed there beside what every trial imports.
    """
    if not python:
        return None
    try:
        facts = python_facts(python)
    except ContenderError as error:
        return str(error)
    for package in (*_NEEDED, *packages):
        if f"{package}_version" not in facts:
            extra = "" if package in _NEEDED else f"[{package}]"
            wanted = shlex.quote(f"slotbench{extra}")
            return (
                f"{PYTHON}={shown(python)}: {package} is not installed there; install it with "
                f"{_in_shell(python)} -m pip install {wanted}"
            )
    return None


def python_facts(python: str) -> dict[str, Scalar]:
    """Asks an interpreter for its version, its GIL and the packages that it has.

    Returns:
        As `slotbench.store.environment.collect` names them: ``python_version``,
        ``python_free_threaded_build``, ``gil_enabled`` as it starts, and ``torch_version``, … of what is
        installed.

    Raises:
        ContenderError: there is no such command, it is no Python, or too old.
    """
    found = _probed(python_command(python))
    if isinstance(found, str):
        raise ContenderError(f"{PYTHON}={shown(python)}: {found}")
    oldest = ".".join(map(str, _OLDEST))
    version = str(found["python_version"])
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        raise ContenderError(
            f"{PYTHON}={shown(python)}: it is Python {version}; slotbench needs {oldest} or later"
        )
    return dict(found)


@functools.cache
def _probed(command: tuple[str, ...]) -> dict[str, Scalar] | str:
    """Run the probe there; return what it found, or what went wrong, in words."""
    try:
        ran = subprocess.run(
            [*command, "-c", _PROBE.read_text(encoding="utf-8")],
            env={**_without_home(os.environ), "PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"it does not start: {error}"
    try:
        facts = json.loads(ran.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        facts = None
    if ran.returncode == 0 and isinstance(facts, dict) and "python_version" in facts:
        return facts
    said = (ran.stderr or ran.stdout).strip().splitlines() or ["nothing"]
    fatal = [line for line in said if line.startswith(_FATAL)]
    return f"it is no Python that starts: it printed {(fatal or said[-1:])[0][:_MAX_SAID]}"


def _without_home(environ: Mapping[str, str]) -> dict[str, str]:
    """The place of this interpreter's own library is nothing for another one."""
    return {name: value for name, value in environ.items() if name != "PYTHONHOME"}


def _of_its_venv(command: str) -> str:
    """Follow links up to a virtual environment: Python looks for one where it is started from."""
    place = Path(command)
    while place.is_symlink() and not _is_in_venv(place):
        place = place.parent / place.readlink()
    return str(place) if _is_in_venv(place) else command


def _in_shell(python: str) -> str:
    """What a shell has to call to install into the interpreter: without flags, and not through a link.

    Through one to a virtual environment, pip would install into the Python that this was made from.
    """
    name, *_ = words(python)
    command = python_command(python)[0]
    if command == shutil.which(name):
        return shlex.quote(name)
    # Reasons of what was skipped are recorded: not with the name of who measured.
    place, home = Path(command), os.environ.get("HOME")
    if home and place.is_relative_to(home):
        return f"~/{shlex.quote(str(place.relative_to(home)))}"
    return shlex.quote(command)


def _is_in_venv(place: Path) -> bool:
    return any((folder / "pyvenv.cfg").exists() for folder in place.absolute().parents[:2])


def remove_own_code() -> None:
    """In another interpreter: removes the folder where it found our code, since who made it was killed."""
    folder = os.environ.get(_OWN_CODE)
    if folder:
        shutil.rmtree(
            folder, ignore_errors=True
        )  # a process beside this one may be at it, too


@functools.cache
def _own_code() -> "tempfile.TemporaryDirectory[str]":
    """Link this process's slotbench and transports into a folder of their own; gone with the process."""
    folder = tempfile.TemporaryDirectory(prefix="slotbench-")
    for package in ("slotbench", "transports"):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        (Path(folder.name) / package).symlink_to(
            Path(spec.submodule_search_locations[0]).resolve()
        )
    return folder
