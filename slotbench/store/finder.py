"""Finds a run by what a user would type: nothing, a path, a run id, or an end of one."""

import difflib
import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from slotbench.errors import RecordError
from slotbench.store._files import PROFILE_FILE, RUN_FILE, SLO_FILE

NEWEST: Final = "newest"
PROFILE_ENDING: Final = "-profile"
"""What a profile's id has behind the scenario's name,"""
SLO_ENDING: Final = "-slo"
"""and a search's."""

_MAX_LISTED: Final = 5


HEADS: Final = {"run": RUN_FILE, "profile": PROFILE_FILE, "slo": SLO_FILE}
"""What there is to be found, and the file that its folder holds."""

NOUNS: Final = {"run": "run", "profile": "profile", "slo": "SLO search"}
"""What each is called."""

_MAKING: Final = {
    "run": "'slotbench run quickstart'",
    "profile": "'slotbench profile quickstart'",
    "slo": "'slotbench slo quickstart --p99 5ms'",
}


def find(
    reference: str | Path | None,
    results_dir: str | Path,
    kinds: Collection[str] = ("run",),
) -> Path:
    """Give the folder of the run, profile or search that is meant.

    Args:
        reference: None or "newest"; the path of a run's folder or of its run.json; a run
            id; a scenario's name, for its newest run; or what just one run id begins or
            ends with.
        results_dir: the folder that holds the runs, such as "results/reference".
        kinds: of `HEADS`, what may be meant.

    Raises:
        RecordError: nothing or more than one is meant; the nearest are named.
    """
    results = Path(results_dir)
    if reference is None or reference == NEWEST:
        return _newest(results, kinds)
    text = str(reference)
    for path in (Path(text), results / text):
        for head in (HEADS[kind] for kind in kinds):
            if path.name == head and path.is_file():
                return path.parent
            if text and (path / head).is_file():
                return path
    known = all_runs(results, kinds)
    # A run before what else there is of the same scenario, which has its name with an ending.
    for name in (text, f"{text}{PROFILE_ENDING}", f"{text}{SLO_ENDING}"):
        of_scenario = [run for run in known if _scenario_name(run) == name]
        if of_scenario:
            return of_scenario[-1]
    matches = _fitting(text, known)
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RecordError(
            f"{text!r} fits {len(matches)} {_noun(kinds)}s in {results}, name one: {_listed(matches)}"
        )
    is_path = isinstance(reference, Path) or (text and Path(text).exists())
    # To be read, and refused there with what is wrong with it.
    return Path(text) if is_path else _of_another_kind(text, results, kinds)


def _of_another_kind(text: str, results: Path, kinds: Collection[str]) -> Path:
    """The one folder that is meant and is no such thing: its reader says what it is."""
    others = _fitting(text, all_runs(results, set(HEADS) - set(kinds)))
    if len(others) != 1:
        raise _unknown(text, results, kinds)
    return others[0]


def _fitting(text: str, known: Sequence[Path]) -> list[Path]:
    """Those whose name begins or ends so."""
    return [
        run
        for run in known
        if text and (run.name.startswith(text) or run.name.endswith(text))
    ]


def kind_of(folder: Path) -> str:
    """Say what a folder holds, by its head: "run", "profile" or "slo"."""
    others = (kind for kind in HEADS if kind != "run")
    return next((kind for kind in others if (folder / HEADS[kind]).is_file()), "run")


def all_runs(results_dir: str | Path, kinds: Collection[str] = ("run",)) -> list[Path]:
    """List the folders in ``results_dir`` that hold a run.json (or a profile's), oldest first.

    Age is the time in the run id; a folder that was renamed tells it in its run.json.
    A folder that does not exist holds no runs.

    Raises:
        RecordError: ``results_dir`` cannot be read.
    """
    results = Path(results_dir)
    if not results.exists():
        return []
    try:
        runs = [
            path
            for path in results.iterdir()
            if any((path / HEADS[kind]).is_file() for kind in kinds)
        ]
    except OSError as error:
        raise RecordError(f"cannot read {results}: {error.strerror}") from error
    return sorted(runs, key=_age)


def _age(run: Path) -> tuple[str, int, str]:
    """Order runs by time of creation: to the second by name, then by last writing."""
    match = re.match(r"\d{8}T\d{6}Z", run.name)
    head = run / HEADS[kind_of(run)]
    stamp = match.group() if match else _created_at(head)
    return stamp, head.stat().st_mtime_ns, run.name


def _scenario_name(run: Path) -> str | None:
    """Read the scenario's name out of a run id."""
    match = re.fullmatch(r"\d{8}T\d{6}Z-(.+)-[0-9a-f]{6}", run.name)
    return match[1] if match else None


def _created_at(file: Path) -> str:
    try:
        text = str(json.loads(file.read_text(encoding="utf-8"))["created_at"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""  # damaged; to be read, and refused there
    match = re.match(r"(\d{4})-(\d\d)-(\d\d).(\d\d):(\d\d):(\d\d)", text)
    return "{}{}{}T{}{}{}Z".format(*match.groups()) if match else ""


def _noun(kinds: Collection[str]) -> str:
    return listed_or([NOUNS[kind] for kind in kinds])


def _make_one(kinds: Collection[str]) -> str:
    return listed_or([_MAKING[kind] for kind in kinds])


def listed_or(names: Sequence[str]) -> str:
    """Name alternatives: "a", "a or b", "a, b or c"."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _newest(results: Path, kinds: Collection[str]) -> Path:
    runs = all_runs(results, kinds)
    if not runs:
        raise RecordError(
            f"there is no {_noun(kinds)} in {results} yet: make one with {_make_one(kinds)}"
        )
    return runs[-1]


def _unknown(text: str, results: Path, kinds: Collection[str]) -> RecordError:
    noun, runs = _noun(kinds), all_runs(results, kinds)
    if not runs:
        return RecordError(
            f"no {noun} {text!r}: there is no {noun} in {results} yet; "
            f"make one with {_make_one(kinds)} or name a folder with --results"
        )
    near = [run for run in runs if _likeness(run.name, text) >= 0.7]
    near.sort(key=lambda run: _likeness(run.name, text))
    return RecordError(f"no {noun} {text!r} in {results}; there is {_listed(near or runs)}")


def _likeness(name: str, text: str) -> float:
    """Tell how like the text is to a run id or to a part of it (its scenario), 0 to 1."""
    parts = [name, *name.split("-")]
    return max(
        difflib.SequenceMatcher(None, part.lower(), text.lower()).ratio() for part in parts
    )


def _listed(runs: list[Path]) -> str:
    """Name runs, the last one first."""
    names = [run.name for run in reversed(runs)]
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more
