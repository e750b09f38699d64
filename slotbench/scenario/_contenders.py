"""The contenders of a scenario: options with several values expanded, one baseline."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError

from slotbench.contenders import PYTHON, canonical_python, make, parse, python_of, split
from slotbench.errors import ContenderError, ScenarioError
from slotbench.records import Contender
from slotbench.scenario._problems import first_problem
from slotbench.scenario._schema import Entry
from slotbench.scenario._text import Table, show

MAX_CONTENDERS: Final = 100


def from_document(document: Table, where: str) -> tuple[Contender, ...]:
    """Reads the ``[[contenders]]`` of a file.

    Raises:
        ScenarioError: none, too many, the same twice, or not exactly one baseline.
        ContenderError: one is misspelt.
    """
    entries = document.get("contenders", [])
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) for entry in entries
    ):
        raise ScenarioError(
            f"{where}: contenders: {show(entries)} is not a list of tables; write [[contenders]]"
        )
    contenders: list[Contender] = []
    for index, entry in enumerate(entries):
        contenders += _expand(entry, f"{where}: contenders[{index}]")
        if len(contenders) > MAX_CONTENDERS:
            raise ScenarioError(
                f"{where}: contenders: more than {MAX_CONTENDERS}; keep fewer in one block"
            )
    _check_duplicates(contenders, f"{where}: contenders")
    return _with_baseline(contenders, f"{where}: contenders")


def replaced(
    contenders: Sequence[Contender], texts: Sequence[str], pythons: Sequence[str] = ()
) -> tuple[Contender, ...]:
    """The scenario's baseline, then the contenders named on the command line.

    Args:
        contenders: of the scenario.
        texts: as written there.
        pythons: in which all will race (`in_each_python`).

    Raises:
        ScenarioError: the same contender twice, or one in an interpreter of its own where all have theirs.
        ContenderError: one is misspelt.
    """
    baseline = next(contender for contender in contenders if contender.baseline)
    named = []
    for text in texts:
        try:
            named.append(parse(text))
        except ContenderError as error:
            raise ContenderError(f"--contender: {error}") from None
        if pythons and python_of(named[-1]):
            raise ScenarioError(
                f"--contender: {named[-1].label}: --python says where every contender runs; leave one of "
                "the two out"
            )
    _check_duplicates(named, "--contender")
    return (baseline, *(one for one in named if one.label != baseline.label))


def in_each_python(
    contenders: Sequence[Contender], pythons: Sequence[str]
) -> tuple[Contender, ...]:
    """Every contender in every interpreter; one that is written in several is one.

    Args:
        contenders: of which one is the baseline.
        pythons: as option ``python``; the baseline is that of the first.

    Raises:
        ScenarioError: an interpreter is there twice, or there are too many contenders.
        ContenderError: the text is no command.
    """
    try:
        pythons = [canonical_python(python) for python in pythons]
    except ContenderError as error:
        raise ContenderError(f"--python: {error}") from None
    for place, python in enumerate(pythons):
        if python in pythons[:place]:
            raise ScenarioError(f"--python: {show(python)} is there twice; keep one")
    made: dict[str, Contender] = {}
    for one in contenders:
        bare = {key: value for key, value in one.options.items() if key != PYTHON}
        for place, python in enumerate(pythons):
            try:
                found = make(
                    one.name,
                    bare | {PYTHON: python},
                    one.server,
                    optional=one.optional,
                    baseline=one.baseline and place == 0,
                )
            except ContenderError as error:
                raise ContenderError(f"--python: {error}") from None
            known = made.get(found.label)
            if known is None or found.baseline:
                made[found.label] = found
    if len(made) > MAX_CONTENDERS:
        raise ScenarioError(
            f"--python: more than {MAX_CONTENDERS} contenders; keep fewer in one block"
        )
    return tuple(made.values())


def _expand(table: Table, where: str) -> list[Contender]:
    try:
        entry = Entry.model_validate(table)
    except ValidationError as error:
        problem = first_problem(error)
        raise ScenarioError(f"{where}: {problem.field}: {problem.text}") from None
    try:
        made = [
            make(name, options, server, optional=entry.optional, baseline=entry.baseline)
            for name, options, server in _combinations(entry, where)
        ]
    except ContenderError as error:
        raise ContenderError(f"{where}: {error}") from None
    if entry.baseline and len(made) > 1:
        raise ScenarioError(
            f"{where}: a baseline is one contender, not {len(made)}; give one value"
        )
    if entry.baseline and entry.optional:
        raise ScenarioError(
            f"{where}: a baseline cannot be optional; remove one of the two"
        )
    return made


def _combinations(entry: Entry, where: str) -> list[tuple[str, dict[str, Any], str | None]]:
    """Every (name, options, server) that an entry stands for."""
    name, options, server = split(entry.name)
    servers = [server] if entry.server is None else entry.server
    if server is not None and entry.server is not None:
        raise ScenarioError(f"{where}: server is given in the name as well; keep one")
    choices = {key: [value] for key, value in options.items()}
    for key, value in (entry.model_extra or {}).items():
        if key in options:
            raise ScenarioError(f"{where}: {key} is given in the name as well; keep one")
        if value == []:
            raise ScenarioError(
                f"{where}: {key}: the list is empty; give at least one value"
            )
        choices[key] = value if isinstance(value, list) else [value]
    if math.prod(map(len, choices.values())) * len(servers) > MAX_CONTENDERS:
        raise ScenarioError(
            f"{where}: more than {MAX_CONTENDERS} contenders; give fewer values"
        )
    return [
        (name, dict(zip(choices, values, strict=True)), chosen)
        for chosen in servers
        for values in itertools.product(*choices.values())
    ]


def _check_duplicates(contenders: Sequence[Contender], where: str) -> None:
    labels = [contender.label for contender in contenders]
    for label in labels:
        if labels.count(label) > 1:
            raise ScenarioError(f"{where}: {label} is there twice; keep one")


def _with_baseline(contenders: Sequence[Contender], where: str) -> tuple[Contender, ...]:
    """Marks the first that is not the floor where none is marked."""
    marked = [contender.label for contender in contenders if contender.baseline]
    if len(marked) > 1:
        raise ScenarioError(f"{where}: {' and '.join(marked)} are both baseline; mark one")
    if marked:
        return tuple(contenders)
    able = [one.label for one in contenders if one.name != "floor" and not one.optional]
    if not able:
        raise ScenarioError(
            f"{where}: nothing to compare with; add one that is neither floor nor optional"
        )
    return tuple(
        dataclasses.replace(one, baseline=True) if one.label == able[0] else one
        for one in contenders
    )
