"""Where scenarios lie: a path, the folder ./scenarios, or the ones that slotbench ships."""

import os
from dataclasses import dataclass
from pathlib import Path

from slotbench.contenders import did_you_mean
from slotbench.errors import ScenarioError
from slotbench.scenario._text import parse_toml, read_text, show

PACKAGE = Path(__file__).absolute().parents[1]
"""The folder of slotbench; not by importing it, which stands above this layer."""


@dataclass(frozen=True, slots=True)
class ScenarioInfo:
    """One line of ``slotbench list``.

    Attributes:
        name: stem of the file; `find` takes it.
        title: "(cannot be read)" for a file that is not TOML; ``question`` says why.
        question: what the scenario answers.
        path: the file.
        citation: where its constants are from; "" for one of no such claim.
    """

    name: str
    title: str
    question: str
    path: Path
    citation: str = ""


def find(reference: str) -> Path:
    """Finds a scenario's file by path or by name.

    Args:
        reference: a path, if it holds a separator or ends in ``.toml``; else a name,
            looked for in ./scenarios, then among the scenarios that slotbench ships.

    Raises:
        ScenarioError: there is no such file.
    """
    if reference.endswith(".toml") or any(
        sign in reference for sign in (os.sep, os.altsep) if sign
    ):
        if _is_file(Path(reference)):
            return Path(reference)
        raise ScenarioError(
            f"{reference}: there is no such file; 'slotbench list' shows names"
        )
    paths = _paths()
    if reference not in paths:
        near = did_you_mean(reference, paths)
        advice = "'slotbench list' shows all"
        raise ScenarioError(
            f"unknown scenario {show(reference)}; {f'{near} {advice}' if near else advice}"
        )
    return paths[reference]


def available() -> tuple[ScenarioInfo, ...]:
    """Every scenario that `find` finds by name, by name; nothing but TOML is checked."""
    return tuple(_info(name, path) for name, path in sorted(_paths().items()))


def shown(path: Path) -> str:
    """A path as messages and records have it: short, and free of the machine's folders.

    Below the current folder it is relative to that; a shipped scenario's is
    ``slotbench/scenarios/<file>``.
    """
    full = path.absolute()
    if full.is_relative_to(Path.cwd()):
        return str(full.relative_to(Path.cwd()))
    if full.parent == shipped_folder():
        return f"slotbench/scenarios/{path.name}"
    return str(path)


def shipped_folder() -> Path:
    """The folder of the scenarios that come with slotbench: in the wheel, or the checkout."""
    inside = PACKAGE / "scenarios"
    return inside if inside.is_dir() else PACKAGE.parent / "scenarios"


def _paths() -> dict[str, Path]:
    """Scenario name → file; one in ./scenarios hides a shipped one of the same name."""
    paths: dict[str, Path] = {}
    for folder in (Path("scenarios"), shipped_folder()):
        for path in sorted(folder.glob("*.toml")):
            if path.stem not in paths and _is_file(path):
                paths[path.stem] = path
    return paths


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _info(name: str, path: Path) -> ScenarioInfo:
    try:
        document = parse_toml(read_text(path, shown(path)), shown(path))
    except ScenarioError as error:
        return ScenarioInfo(name, "(cannot be read)", str(error), path)
    title, question, citation = (
        " ".join(str(document.get(key, "")).split())
        for key in ("title", "question", "citation")
    )
    return ScenarioInfo(name, title, question, path, citation)
