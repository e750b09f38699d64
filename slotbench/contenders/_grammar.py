"""The grammar ``name[option=value,…]@server``: text to contender, contender to its canonical label."""

import json
import re
from collections.abc import Mapping
from typing import Final, cast

from slotbench.contenders._installed import available
from slotbench.contenders._known import (
    TORCHRLS,
    check_option,
    check_server,
    check_together,
    default_server,
    is_default,
)
from slotbench.contenders._pythons import PYTHON, canonical_python
from slotbench.contenders._values import did_you_mean, shown
from slotbench.errors import ContenderError
from slotbench.records import Contender, Scalar
from slotbench.records.contender import Server

MAX_LABEL: Final = 1_000
"""Characters; a label is a line of every table, and part of many messages."""

_GRAMMAR: Final = re.compile(
    r"(?P<name>[^\[\]@=,\s]+)(?:\[(?P<options>.+)\])?(?:@(?P<server>[^\[\]@=,\s]+))?"
)
_OPTION: Final = re.compile(
    r'\s*(?P<key>[A-Za-z_]\w*)\s*(?:=\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s,\[\]="\\]+)\s*)?(?:,|$)',
    re.ASCII,
)
_FACTORY: Final = re.compile(
    r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.\w+)*", re.ASCII
)
_INT: Final = re.compile(r"[+-]?\d{1,4000}", re.ASCII)
_FLOAT: Final = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?", re.ASCII)
_PLAIN: Final = re.compile(r'[^\s,\[\]="\\]+')


def parse(text: str, *, optional: bool = False, baseline: bool = False) -> Contender:
    """Reads one contender as written on a command line.

    Args:
        text: ``name[option=value,…]@server``; a bare option is true. Values are
            true/false, whole and decimal numbers, else text, in double quotes where it
            holds one of ``, [ ] = "`` or a space, or looks like a number.
        optional: see `records.Contender`.
        baseline: see `records.Contender`.

    Raises:
        ContenderError: bad syntax, or an unknown name, option, value or server.
    """
    name, options, server = split(text)
    return make(name, options, server, optional=optional, baseline=baseline)


def split(text: str) -> tuple[str, dict[str, Scalar], str | None]:
    """Reads the parts of ``name[option=value,…]@server`` without asking what they mean.

    Raises:
        ContenderError: the text is not of that form or too long, or gives an option twice.
    """
    _check_length(text)
    match = _GRAMMAR.fullmatch(text.strip())
    if match is None:
        raise _syntax_error(text)
    return match["name"], _split_options(match["options"] or "", text), match["server"]


def make(
    name: str,
    options: Mapping[str, Scalar],
    server: str | None = None,
    *,
    optional: bool = False,
    baseline: bool = False,
) -> Contender:
    """Builds a contender from its parts and gives it its canonical label.

    Args:
        name: "slot", "torchrl.slot", "floor", "package.module:factory", or the name of
            an entry point of the group "slotbench.transports".
        options: keyword arguments of the transport; ``collate`` of the server; ``from``,
            the folder (of another checkout, say) that its package is imported from; and ``python``, the
            interpreter that it runs in.
        server: "reference", "torchrl" or "collector"; None is the contender's own default.
        optional: see `records.Contender`.
        baseline: see `records.Contender`.

    Raises:
        ContenderError: an unknown name, option, value or server; or the package
            ``transports`` that Python finds is not slotbench's.
    """
    _check_name(name)
    chosen = check_server(name, server)
    for key, value in options.items():
        check_option(name, key, value, chosen)
    check_together(name, options, chosen)
    if PYTHON in options:
        options = {**options, PYTHON: canonical_python(str(options[PYTHON]))}
    kept = {
        key: options[key]
        for key in sorted(options)
        if not is_default(name, key, options, chosen)
    }
    label = _label(name, kept, chosen)
    _check_length(label)
    return Contender(label, name, kept, chosen, optional, baseline)


def bare_label(contender: Contender) -> str:
    """Writes the label that it would have without option ``python``: of it in any interpreter the same."""
    kept = {key: value for key, value in contender.options.items() if key != PYTHON}
    return _label(contender.name, kept, contender.server)


def _label(name: str, kept: Mapping[str, Scalar], server: Server) -> str:
    return name + _written(kept) + ("" if server == default_server(name) else f"@{server}")


def _syntax_error(text: str) -> ContenderError:
    shown = json.dumps(text[:100], ensure_ascii=False)
    return ContenderError(f"contender {shown}: write it as name[option=value,…]@server")


def _check_length(text: str) -> None:
    if len(text) > MAX_LABEL:
        raise ContenderError(
            f"contender {shown(text)}: {len(text)} characters; keep it to {MAX_LABEL}"
        )


def _split_options(text: str, whole: str) -> dict[str, Scalar]:
    options: dict[str, Scalar] = {}
    position = 0
    while position < len(text):
        match = _OPTION.match(text, position)
        if match is None or (match.end() == len(text) and text.endswith(",")):
            raise _syntax_error(whole)
        if match["key"] in options:
            raise ContenderError(
                f"contender {whole}: {match['key']} is given twice; keep one"
            )
        options[match["key"]] = (
            True if match["value"] is None else _read(match["value"], whole)
        )
        position = match.end()
    return options


def _read(text: str, whole: str) -> Scalar:
    if text.startswith('"'):
        try:
            return cast("str", json.loads(text))
        except ValueError:
            raise _syntax_error(whole) from None
    if text in {"true", "false"}:
        return text == "true"
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _written(options: Mapping[str, Scalar]) -> str:
    parts = [
        key if value is True else f"{key}={_text(value)}" for key, value in options.items()
    ]
    return f"[{','.join(parts)}]" if parts else ""


def _text(value: Scalar) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and _read(value, value) == value:
        return value
    return repr(value) if isinstance(value, float) else json.dumps(value)


def _check_name(name: str) -> None:
    if ":" in name:
        if not _FACTORY.fullmatch(name):
            raise ContenderError(
                f"contender {json.dumps(name[:100])}: write a factory as package.module:factory"
            )
    elif name == "floor" or name in TORCHRLS:
        return
    elif name not in (known := available()):
        raise ContenderError(
            f"unknown contender {json.dumps(name[:100], ensure_ascii=False)}; "
            f"{did_you_mean(name, known) or 'known'} "
            f"({', '.join(known)}, or package.module:factory)"
        )
