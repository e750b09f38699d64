"""Whatever became of a results folder, every command reads it or refuses it in one line."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slotbench import exports
from tests.fuzz.answers import Answer, ask, check, check_csv, check_json, examples
from tests.fuzz.results_folders import ODDITIES, Folder, folders, recorded

RENAMED = "renamed"
OTHERS = [
    ("compare", "RUN", "--format", "csv"),
    ("compare", "RUN", "--format", "json"),
    ("compare", "RUN", "--format", "md"),
    ("compare", "RUN", "--format", "github"),
    ("compare", "RUN", "--metric", "mean_batch_size", "--baseline", "floor"),
    ("compare", "RUN", "--fail-on", "inconclusive"),
    ("compare", "RUN", "sound"),
    ("compare", "sound", "RUN", "--absolute", "--allow-different"),
    ("show", "RUN"),
    ("show", "RUN", "--problems"),
    ("show", "RUN", "--json"),
    ("show", "RUN", "--trial", "r0-c0-a0-p0"),
    ("show", "RUN", "--trial", "r1-c0-a0-p1"),
    ("report", "RUN", "--format", "md", "-o", "-"),
    ("plot", "RUN", "throughput", "-o", "out.png", "--force"),
    ("plot", "RUN", "batch_sizes", "--where", "num_slots=8", "-o", "out.svg", "--force"),
    ("run", "--resume", "RUN", "--dry-run", "--allow-different"),
    *(("export", "RUN", name, "-o", f"out-{name}") for name in exports.available()),
]
"""Of a run that ``compare`` takes all of these are asked; of another, one."""

CODES = {
    **dict.fromkeys(("compare", "export"), (0, 3)),
    **dict.fromkeys(("show", "run", "list", "report", "plot"), (0,)),
}
GATE_CODES = (0, 1, 3, 4)


def asked(folder: Path, *arguments: str | Path) -> Answer:
    """The answer to a command, its form judged."""
    answer = ask(*arguments, folder=folder)
    is_gate = "--fail-on" in arguments
    check(answer, GATE_CODES if is_gate else CODES[str(arguments[0])])
    if "json" in arguments or "--json" in arguments:
        check_json(answer)
    if "csv" in arguments and arguments[0] == "compare":
        check_csv(answer)
    return answer


def ask_all(damaged: Folder, other: int) -> None:
    """Put the folder beside a sound one, and ask every command for it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = folder / "results"
        Folder("sound", *recorded()).write(results)
        path = damaged.write(results)
        try:
            assert asked(folder, "list", "--runs").code == 0
            assert asked(folder, "list", "--runs", "--json").code == 0
            first = asked(folder, "compare", path)
            others = OTHERS if first.code != 2 else [OTHERS[other]]
            for arguments in others:
                asked(folder, *(str(path) if one == "RUN" else one for one in arguments))
        finally:
            for file in path.iterdir():
                if not file.is_symlink():
                    file.chmod(0o700)


@settings(max_examples=examples(12, 1000), database=None)
@given(damaged=folders(), other=st.integers(0, len(OTHERS) - 1))
def test_a_damaged_folder_is_read_or_refused(damaged: Folder, other: int) -> None:
    """Any value of any field, lines and bytes lost or doubled, files swapped: an answer."""
    ask_all(damaged, other)


def test_the_sound_folder_is_read_by_every_command() -> None:
    """What the damage is done to is itself sound: no command refuses it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = Folder(RENAMED, *recorded()).write(folder / "results")
        Folder("sound", *recorded()).write(folder / "results")
        for arguments in OTHERS:
            answer = asked(
                folder, *(str(path) if one == "RUN" else one for one in arguments)
            )
            assert answer.code != 2, answer


@pytest.mark.parametrize("oddity", ODDITIES)
def test_something_else_in_a_files_place_is_refused(oddity: str) -> None:
    """A folder, a loop of links, a pipe without a writer, an endless device: no command hangs."""
    ask_all(Folder(RENAMED, *recorded(), oddity), 0)
