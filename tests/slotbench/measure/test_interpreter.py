"""Whether there is a GIL, whether anybody asked for it, and which module brought it back."""

import subprocess
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import Any

import pytest

from slotbench.measure import interpreter
from tests.slotbench.support import trials

WARNING = (
    "The global interpreter lock (GIL) has been enabled to load module 'old._speedups', "
    "which has not declared that it can run safely without the GIL."
)


@pytest.fixture
def free_threaded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """This interpreter as if it were such a build; call it with whether the GIL is on."""
    known = sysconfig.get_config_var

    def become(is_on: bool) -> None:
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: is_on, raising=False)
        monkeypatch.setattr(
            sysconfig,
            "get_config_var",
            lambda name: 1 if name == "Py_GIL_DISABLED" else known(name),
        )

    monkeypatch.setattr(interpreter, "_LOADED", [])
    monkeypatch.setattr(sys, "_xoptions", {})
    monkeypatch.delenv("PYTHON_GIL", raising=False)
    return become


def test_a_gil_that_nobody_asked_for_is_found(
    free_threaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_threaded(False)
    assert interpreter.unasked_gil() is None
    free_threaded(True)
    assert interpreter.unasked_gil() == ""
    monkeypatch.setenv("PYTHON_GIL", "1")
    assert interpreter.unasked_gil() is None
    monkeypatch.setattr(sys, "_xoptions", {"gil": "0"})  # stands before the variable
    assert interpreter.unasked_gil() == ""
    monkeypatch.setattr(sys, "_xoptions", {"gil": "1"})
    assert interpreter.unasked_gil() is None


def test_a_gil_that_is_all_there_is_was_not_turned_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A build with a GIL, also one too old to say so."""
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: None)
    monkeypatch.delattr(sys, "_is_gil_enabled", raising=False)

    assert interpreter.is_gil_enabled()
    assert interpreter.unasked_gil() is None


def test_the_module_that_turned_it_on_is_named(
    free_threaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By CPython's own warning, which is still shown; other warnings are nothing to us."""
    shown: list[str] = []
    with warnings.catch_warnings():  # which itself replaces what shows them
        warnings.simplefilter("always")
        monkeypatch.setattr(
            warnings, "showwarning", lambda text, *_: shown.append(str(text))
        )
        interpreter.listen()
        warnings.warn(WARNING, RuntimeWarning, stacklevel=1)
        warnings.warn("something else", RuntimeWarning, stacklevel=1)
    free_threaded(True)

    assert interpreter.unasked_gil() == "old._speedups"
    assert shown == [WARNING, "something else"]


@pytest.mark.parametrize("is_on", [True, False])
def test_a_trial_records_whether_it_had_one(free_threaded: Any, is_on: bool) -> None:
    """And warns where it should have had none."""
    free_threaded(is_on)
    record = trials.run(trials.spec("slot"))

    assert record.status == "ok"
    assert record.is_gil_enabled is is_on
    assert ("gil_back" in {one.rule for one in record.findings}) is is_on


def test_a_failed_trial_records_it_too(free_threaded: Any) -> None:
    free_threaded(False)
    record = trials.run(trials.spec("nowhere:at_all"))

    assert (record.status, record.is_gil_enabled) == ("failed", False)


ZYGOTE = """
import sys
sys._is_gil_enabled = lambda: "turns_it_on" in sys.modules
sys.path.append(sys.argv[1])
from slotbench.measure import zygote
for module in ("turns_it_on", "leaves_it", "ends", "nowhere"):
    for mode in ("fork", "inline"):
        print(module, mode, zygote._may_turn_gil_on(module, mode))
print(sorted({"turns_it_on", "leaves_it", "ends"} & set(sys.modules)))
sys._is_gil_enabled = lambda: True
print(zygote._may_turn_gil_on("turns_it_on", "fork"))
"""


def test_one_contenders_module_does_not_turn_it_on_for_all(tmp_path: Path) -> None:
    """A zygote without a GIL tries an import in a child first; in itself nothing is imported by that."""
    for name, text in (
        ("turns_it_on", ""),
        ("leaves_it", ""),
        ("ends", "raise SystemExit(3)"),
    ):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-c", ZYGOTE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.splitlines() == [
        *("turns_it_on fork True", "turns_it_on inline True"),
        *("leaves_it fork False", "leaves_it inline True"),
        *("ends fork False", "ends inline True"),
        *("nowhere fork False", "nowhere inline True"),
        *("[]", "False"),
    ]
