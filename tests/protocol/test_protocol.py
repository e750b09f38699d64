"""The protocol of `SlotTransport`, searched exhaustively by spin, whole and with a line left out.

Needs Debian's ``spin`` and a C compiler, which ``.ci/run`` installs; without them it is skipped.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).parent / "slot.pml"
COMPILER = shutil.which("gcc") or shutil.which("cc")

pytestmark = pytest.mark.skipif(
    shutil.which("spin") is None or COMPILER is None,
    reason="spin or a C compiler is missing: apt install spin gcc",
)


def search(folder: Path, *definitions: str) -> int:
    """Return the number of errors in all states that can be reached; all are visited if none."""

    def output_of(*command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout

    output_of("spin", "-a", *(f"-D{definition}" for definition in definitions), MODEL)
    flags = ("-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=2048")
    output_of(COMPILER, *flags, "-o", "pan", "pan.c")
    found = output_of("./pan", "-m200000")
    assert "max search depth too small" not in found, found
    assert "Search not completed" not in found or "errors: 0" not in found, found
    match = re.search(r"errors: (\d+)", found)
    assert match, found
    return int(match[1])


@pytest.mark.parametrize(
    "size",
    [("N=2", "K=2", "PATIENCE=0"), ("N=2", "K=1", "PATIENCE=1")],
    ids=["two requests each", "out of patience"],
)
def test_nobody_sleeps_for_ever_and_every_reply_is_its_requests(size, tmp_path):
    """Two actors, whatever the interleaving; a server that decides on turns as it likes."""
    assert search(tmp_path, *size) == 0


@pytest.mark.parametrize(
    "line", ["RING", "LOOK_BEFORE_SLEEP", "LOOK_AFTER_CHAIN", "ORDER", "PASS_ON"]
)
def test_without_any_of_these_lines_somebody_does(line, tmp_path):
    """The model sees what each is for."""
    assert search(tmp_path, "N=2", "K=2", "PATIENCE=1", f"WITHOUT_{line}") == 1
