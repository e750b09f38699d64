"""A pydantic error as one line: what is wrong, and what to do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from slotbench.contenders import did_you_mean
from slotbench.scenario._text import show


@dataclass(frozen=True, slots=True)
class Problem:
    """The first of the problems that one validation found.

    Attributes:
        field: dotted name, with [0] for places in arrays; "" for the whole.
        text: what is wrong; what to do.
        ties_fields: fields disagree that are each well by themselves.
    """

    field: str
    text: str
    ties_fields: bool


def first_problem(error: ValidationError, known: Iterable[str] = ()) -> Problem:
    """Picks the first problem and says how many more there are.

    Args:
        error: what pydantic raised.
        known: dotted field names to offer for an unknown one.
    """
    problems = [
        problem
        for problem in error.errors(include_url=False)
        if problem["type"] != "default_factory_not_called"
    ]
    first = problems[0]
    field = _dotted(first["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    ties_fields = first["type"] == "value_error" and not _message(first).startswith(
        "should"
    )
    return Problem(field, _text(first, field, known) + more, ties_fields)


def unknown(field: str, known: Iterable[str]) -> str:
    """What to say of a field that does not exist."""
    if field.startswith(("observation.leaves.", "model.outputs.")):
        leaf = field.rpartition(".")[0]
        known = (f"{leaf}.shape", f"{leaf}.dtype")
    return f"unknown field; {did_you_mean(field, known) or 'see scenarios/README.md'}"


def _dotted(place: tuple[int | str, ...]) -> str:
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return dotted.removeprefix(".")


def _message(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    message = str(problem["msg"]).removeprefix("Input ").replace(" after validation", "")
    return message.replace("Dictionary", "Table")


def _text(problem: Mapping[str, Any], field: str, known: Iterable[str]) -> str:
    kind, message = problem["type"], _message(problem)
    if kind == "missing":
        return "is missing; add it"
    if kind == "extra_forbidden":
        return unknown(field, known)
    value = show(problem["input"])
    if kind in {"model_type", "dict_type"}:
        return f"{value} is not a table; write one"
    if message.startswith("should"):
        return f"{value} is not allowed; it {message}"
    if kind == "value_error":
        return message
    return f"{value} is not allowed; {message[0].lower()}{message[1:]}"
