"""TOML text to plain values and back to words; every failure is one line with its place."""

import json
import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from slotbench.errors import ScenarioError

Table = dict[str, Any]

_MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 64
"""Of tables and arrays in each other; the schema needs 6. A bound of our own, so that no
function that walks a document meets Python's."""

MAX_NAME: Final = 300
"""Characters of a field's dotted name; what is longer is data in the place of a key."""

_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_LONG_KEY: Final = re.compile(
    rf"(?<![\w.\"'-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MAX_DEPTH}}}", re.ASCII
)
"""A dotted key that nests too deeply; reading one takes the square of its length."""

_PLACE: Final = re.compile(r"(?s)(.*) \(at (?:line (\d+), column (\d+)|end of document)\)")
_OPENING, _CLOSING = "[{(", "]})"


def read_text(path: Path, where: str) -> str:
    """Reads a scenario's file.

    Raises:
        ScenarioError: it cannot be read, is larger than 1 MB, or is not UTF-8.
    """
    try:
        data = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else None
    except OSError as error:
        raise ScenarioError(
            f"{where}: cannot be read: {error.strerror}; check its permissions"
        ) from None
    if data is None:
        raise ScenarioError(f"{where}: larger than 1 MB; a scenario is a short TOML file")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ScenarioError(
            f"{where}: line {line}: not UTF-8; save the file as UTF-8"
        ) from None


def parse_toml(text: str, where: str) -> Table:
    """Parses a TOML document.

    Raises:
        ScenarioError: malformed (with line and column), nested without end, or holding a
            number of more than 64 bits or a key without end.
    """
    try:
        document = _parse(text.removeprefix("\ufeff"), where)
    except ValueError as error:
        raise ScenarioError(f"{where}: {_malformed(str(error), text)}") from None
    _check(document, where)
    return document


def _parse(text: str, where: str) -> Table:
    """Calls tomllib where its time is bounded.

    Raises:
        ScenarioError: nested too deeply.
        ValueError: malformed.
    """
    try:
        if not _LONG_KEY.search(text):
            return tomllib.loads(text)
    except RecursionError:
        pass
    raise ScenarioError(f"{where}: nested too deeply; flatten it")


def parse_values(text: str, where: str) -> list[Any]:
    """Reads what stands right of ``--set field=``: TOML values parted by commas.

    What is no TOML value is text: ``environment.id=CartPole-v1`` needs no quotes.

    Raises:
        ScenarioError: a value is missing, or a bracket or quote does not close.
    """
    return [_value(part, where) for part in _parts(text, where)]


def show(value: object) -> str:
    """A value as TOML writes it, on one line of at most 60 characters."""
    text = compact(value) if isinstance(value, str | list | dict | bool) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def compact(value: object) -> str:
    """A value as JSON without spaces; dates as they print."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def flatten(table: Table, where: str) -> dict[str, Any]:
    """Nested tables as dotted names; an empty table stays a value.

    Raises:
        ScenarioError: a quoted and a nested key give the same name, or a name is too long.
    """
    flat: dict[str, Any] = {}
    for name, value in _walk(table, ""):
        check_name(name, where)
        if name in flat:
            raise ScenarioError(f"{where}: {name}: given twice; keep one")
        flat[name] = value
    return flat


def _walk(table: Table, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _walk(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def nest(flat: dict[str, Any]) -> Table:
    """The inverse of `flatten`, for names of which none is a prefix of another."""
    table: Table = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        node = table
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return table


def _malformed(message: str, text: str) -> str:
    match = _PLACE.fullmatch(message)
    if match is None:
        return f"not TOML: {message}"
    line, column = match[2], match[3]
    if line is None:
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    return f"line {line}, column {column}: not TOML: {match[1]}"


def check_name(name: str, where: str) -> None:
    """Refuses a key or dotted name that is too long to be shown whole.

    Raises:
        ScenarioError: it is longer than `MAX_NAME`.
    """
    if len(name) > MAX_NAME:
        raise ScenarioError(
            f"{where}: {show(name)}: a name of {len(name)} characters; "
            f"keep it to {MAX_NAME}"
        )


def _check(value: object, where: str, depth: int = 0) -> None:
    """Refuses numbers that TOML does not allow and that Python could not even print.

    Also what is nested too deeply, and keys that are too long.
    """
    if isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise ScenarioError(f"{where}: nested too deeply; flatten it")
        for key in value if isinstance(value, dict) else ():
            check_name(key, where)
        for inner in value.values() if isinstance(value, dict) else value:
            _check(inner, where, depth + 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ScenarioError(
            f"{where}: a whole number has more than 64 bits; give a smaller one"
        )


def _value(part: str, where: str) -> Any:
    try:
        document = _parse(f"value = {part}", where)
    except ValueError:
        return part
    if set(document) != {"value"}:
        return part
    _check(document, where)
    return document["value"]


def _parts(text: str, where: str) -> list[str]:
    """Splits at commas that stand outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        else:
            depth += (sign in _OPENING) - (sign in _CLOSING)
        if sign == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    if depth != 0 or quote:
        raise ScenarioError(f"{where}: a bracket or quote does not close in {show(text)}")
    stripped = [part.strip() for part in parts]
    if not all(stripped):
        raise ScenarioError(
            f"{where}: a value is missing; write field=value or field=value,value"
        )
    return stripped


def freeze(value: object) -> object:
    """A hashable stand-in: equal for 1 and 1.0, different for 1 and true."""
    if isinstance(value, list):
        return tuple(freeze(inner) for inner in value)
    if isinstance(value, dict):
        return frozenset((key, freeze(inner)) for key, inner in value.items())
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return (type(value) is bool, value)
