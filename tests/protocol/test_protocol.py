"""The protocol of `SlotTransport`, searched exhaustively by spin, whole and with a line left out.

`slot.pml` is who wakes whom, `ownership.pml` whose a request and a slot are when servers die and
clients follow each other; each says what is looked for and which line each variant leaves out.
Needs Debian's ``spin`` and a C compiler, which ``.ci/run`` installs; without them it is skipped.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMPILER = shutil.which("gcc") or shutil.which("cc")

needs_spin = pytest.mark.skipif(
    shutil.which("spin") is None or COMPILER is None,
    reason="spin or a C compiler is missing: apt install spin gcc",
)

PATIENT = ("K=2", "PATIENCE=0")
IMPATIENT = ("K=2", "K_OF_OTHERS=1", "PATIENCE=1")
ONCE = ("K=1", "PATIENCE=1")
SHUTDOWN = ("K=1", "PATIENCE=0", "SHUTDOWN")
REUSED = ("SLOTS=1", "ACTORS=2", "K=2", "SPURIOUS=1")

WHOLE = {
    "two requests each": ("slot", PATIENT),
    "out of patience": ("slot", IMPATIENT),
    "shutdown": ("slot", SHUTDOWN),
    "two owners of a slot": ("ownership", REUSED),
    "two slots": ("ownership", ("SLOTS=2", "ACTORS=2", "K=1", "SPURIOUS=0", "LIVES=1")),
    "clients come again": (
        "ownership",
        ("CLIENTS=2", "ACTORS=2", "K=1", "SPURIOUS=0", "LIVES=1"),
    ),
}

# What each variant is refuted by, at a size that is searched whole above, or is part of one.
STUCK = "invalid end state"
WITHOUT = {
    "slot": {
        "RING": (PATIENT, STUCK),
        "LOOK_BEFORE_SLEEP": (PATIENT, STUCK),
        "LOOK_FOR_WAKE": (SHUTDOWN, STUCK),
        "ORDER": (PATIENT, STUCK),
        "PASS_ON": (ONCE, STUCK),
        "STATE": (IMPATIENT, "replies[me]==sequence"),
        "LOOK_AFTER_CHAIN": (PATIENT, STUCK),
        "RING_AFTER_CHAIN": (PATIENT, STUCK),
        "NEXT_AT_OPEN_GATE": (IMPATIENT, STUCK),
        "NEXT_IF_NOT_PARKED": (ONCE, STUCK),
        "LAST_RELEASE": (SHUTDOWN, STUCK),
    },
    "ownership": {
        "REQUEST_FIRST": (REUSED, "reply==in_flight"),
        "REPLY_FIRST": (REUSED, "replies[slot]==mine"),
        "CLAIMANT_FIRST": (REUSED, "fates[in_flight[slot]]==0"),
        "STATE": (REUSED, "fates[mine]=="),
        "LOOK": (REUSED, STUCK),
        "WITHDRAW_LOCK": (REUSED, "fates[in_flight[slot]]==0"),
        "CLIENT_LOCK": (REUSED, "fates[in_flight[k]]==0"),
        "NOTE": (REUSED, "fates[in_flight[slot]]==0"),
        "NOTE_LOCK": (REUSED, "fates[in_flight[slot]]==0"),
        "CLAIMANT": (REUSED, STUCK),
        "CLAIMANT_LIVES": (REUSED, "fates[in_flight[slot]]==0"),
        "SERVER_LIVES": (REUSED, "fates[in_flight[slot]]==0"),
        "LOOK_AFTER_DEATH": (REUSED, "fates[in_flight[slot]]==0"),
        "IS_FREE": (REUSED, "states[slot]==0"),
        "IS_FREE_TO_GIVE": (REUSED, "states[slot]==0"),
        "ABANDONED": (REUSED, "slot!=255"),
    },
}
VARIANTS = [(model, line) for model, lines in WITHOUT.items() for line in lines]


def search(folder: Path, model: str, *definitions: str) -> str | None:
    """Visit all states that can be reached; return the first error found, None without one."""

    def output_of(*command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout

    source = HERE / f"{model}.pml"
    output_of("spin", "-a", *(f"-D{definition}" for definition in definitions), source)
    # Not optimised: these searches end sooner than the compiler would.
    output_of(COMPILER, "-O0", "-w", "-DSAFETY", "-DVECTORSZ=2048", "-o", "pan", "pan.c")
    found = output_of("./pan", "-m100000")
    errors = re.search(r"errors: (\d+)", found)
    assert errors, found
    assert "max search depth too small" not in found, found
    if errors[1] != "0":
        error = re.search(r"pan:1: (.*) \(at depth", found)
        assert error, found
        return error[1].replace(" ", "")
    assert "Search not completed" not in found, found
    return None


@needs_spin
@pytest.mark.parametrize(("model", "size"), WHOLE.values(), ids=WHOLE)
def test_nobody_waits_for_ever_and_every_reply_is_its_requests(model, size, tmp_path):
    """Two actors, whatever the interleaving; a server that decides, and ends, as it likes."""
    assert search(tmp_path, model, *size) is None


@needs_spin
@pytest.mark.parametrize(("model", "line"), VARIANTS)
def test_without_any_of_these_lines_it_is_not_so(model, line, tmp_path):
    """The model sees what each is for, and finds that and nothing else."""
    size, expected = WITHOUT[model][line]
    found = search(tmp_path, model, *size, f"WITHOUT_{line}")
    assert found is not None
    assert expected.replace(" ", "") in found


@pytest.mark.parametrize("model", WITHOUT)
def test_the_variants_are_those_of_the_model(model):
    """Each is tried, is in the model and says there which line of the code it leaves out."""
    text = (HERE / f"{model}.pml").read_text()
    head, body = text.split("*/", 1)
    asked = re.findall(r"^#\s*(?:ifdef|ifndef) WITHOUT_(\w+)$", body, re.MULTILINE)
    explained = re.findall(r"^ \*     ([A-Z_]+)  +(\w[\w., ]*): ", head, re.MULTILINE)
    assert set(asked) == set(WITHOUT[model])
    assert [name for name, _ in explained] == list(WITHOUT[model])


@pytest.mark.parametrize("model", WITHOUT)
def test_the_lines_are_those_of_the_code(model):
    """What a variant leaves out stands in the function that it names."""
    head = (HERE / f"{model}.pml").read_text().split("*/", 1)[0]
    code = "".join(
        (HERE.parents[1] / "transports" / name).read_text()
        for name in ("slot.py", "_serving.py")
    )
    quoted = re.findall(
        r"^ \*     [A-Z_]+  +(?:\w+\.)?(\w+).*?: .*?`([^`]+)`", head, re.MULTILINE
    )
    assert len(quoted) == len(WITHOUT[model]) - ("LOOK_AFTER_DEATH" in WITHOUT[model])
    for function, line in quoted:
        body = re.search(
            rf"^    def {function}\(.*?(?=^    (?:def|@|#)|^\S|\Z)",
            code,
            re.MULTILINE | re.DOTALL,
        )
        assert body, function
        assert line.split("...")[0] in body[0], f"{function} has lost {line}"
