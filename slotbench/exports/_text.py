"""Names of runs, cells and contenders, made fit for paths and for other formats."""

import json
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any, Final

_MAX_BYTES: Final = 200
"""Of a file's name, its suffix not counted; file systems end at 255."""


def file_name(text: str) -> str:
    """A name that a shell and a file system take as it is.

    Letters, digits and ``_ . = , @ -`` stay; anything else is "-". Different texts may
    become the same name: see `file_names`.
    """
    name = re.sub(r"[^\w.=,@-]+", "-", text, flags=re.ASCII).strip("-.")
    return name[:_MAX_BYTES] or "unnamed"


def file_names(texts: Iterable[str]) -> dict[str, str]:
    """Text → `file_name`; no two are alike, also where case does not count: "a", "a-2"."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for text in texts:
        wanted = name = file_name(text)
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{wanted}-{number}"
        taken.add(name.lower())
        names[text] = name
    return names


def percent_encode(text: str, unsafe: str) -> str:
    """Write white space, control characters, "%" and ``unsafe`` as %XX of their UTF-8."""
    return "".join(
        urllib.parse.quote(sign, safe="")
        if sign.isspace() or not sign.isprintable() or sign == "%" or sign in unsafe
        else sign
        for sign in text
    )


def value_text(value: Any) -> str:
    """A coordinate as a scenario would have it: false, 1.5, [84,84,4]."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
