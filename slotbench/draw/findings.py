"""What ``slotbench check`` found: a row a check, a column a contender, reasons below.

A fail has a line with its reason; checks that do not apply (n/a) share the line of theirs.
Where no contender was checked, the checks with their promises. A check that an interrupted
command did not make is a dash.
"""

import dataclasses
import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from slotbench.contenders import did_you_mean
from slotbench.draw.as_md import escape
from slotbench.draw.screen import PAPER, Screen, drawn
from slotbench.errors import SlotbenchError
from slotbench.records import CheckedContender, CheckPlan, Conformance
from slotbench.records.conformance import CheckResult

SCHEMA: Final = "slotbench.conformance"

_WORDS: Final[dict[CheckResult, str]] = {"pass": "pass", "fail": "FAIL", "n/a": "n/a"}
_NOT_MADE: Final = "-"
_INDENT: Final = "   "
_GAP: Final = "  "
_MIN_PROMISE_WIDTH: Final = 24


def render(found: Conformance, name: str = "text", screen: Screen = PAPER) -> str:
    """The findings in a format, ending in one newline.

    Args:
        found: what to show.
        name: of the format; see `check_format`.
        screen: width and colour, for text.
    """
    check_format(name)
    written = {"text": _text, "md": _markdown, "json": _json}[name](found, screen)
    return written.rstrip("\n") + "\n"


def check_format(name: str) -> None:
    """Refuse a format that there is not.

    Raises:
        SlotbenchError: the format is not text, md or json.
    """
    if name not in {"text", "md", "json"}:
        near = did_you_mean(name, ("text", "md", "json")) or "use text, md or json"
        raise SlotbenchError(f"unknown format {name!r}: {near}")


def _json(found: Conformance, screen: Screen) -> str:
    del screen
    document = {"schema": SCHEMA, **dataclasses.asdict(found)}
    for contender in document["contenders"]:
        for finding in contender["findings"]:
            if not finding["stacks"]:
                del finding["stacks"]
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def _markdown(found: Conformance, screen: Screen) -> str:
    del screen
    # In a table a bar ends the cell, inside a code span too.
    heads = [f"`{x.label}`".replace("|", "\\|") for x in found.contenders] or ["promise"]
    rows = [["check", *heads], ["---"] * (1 + len(heads))]
    for sentence, checks in _by_guarantee(found):
        rows.append([f"**{escape(sentence)}**", *("" for _ in heads)])
        for check in checks:
            words = _row(found, check) or [escape(check.promise)]
            bold = [f"**{word}**" if word == _WORDS["fail"] else word for word in words]
            rows.append([f"`{check.name}`", *bold])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    for contender in found.contenders:
        if failures := _failures(contender):
            lines += ["", f"`{contender.label}` fails:", ""]
            lines += [f"- `{name}`: {escape(reason)}" for name, reason in failures]
        if exempt := _not_applicable(contender):
            lines += ["", f"`{contender.label}` n/a:", ""]
            for reason, names in exempt.items():
                lines.append(f"- {escape(reason)}: {', '.join(f'`{n}`' for n in names)}")
    return "\n".join(lines)


def _text(found: Conformance, screen: Screen) -> str:
    # A reason is one line however long: it can be searched and copied.
    return drawn(map(_styled, _lines(found, screen.width)), screen, soft_wrap=True)


def _styled(line: str) -> Text:
    text = Text(line)
    text.highlight_regex(r"\bFAIL\b|\b[1-9]\d* fail\b", "red")
    text.highlight_regex(r"\bpass\b", "green")
    return text


def _lines(found: Conformance, width: int) -> Iterator[str]:
    yield from (_summary(contender, found) for contender in found.contenders)
    name_width = len(_INDENT) + max((len(c.name) for c in found.checks), default=0)
    heads = [contender.label for contender in found.contenders]
    if name_width + sum(len(_GAP) + cell_len(head) for head in heads) > width:
        short = [f"c{number}" for number in range(1, len(heads) + 1)]
        yield ""
        yield from (f"{a} = {head}" for a, head in zip(short, heads, strict=True))
        heads = short
    widths = [max(cell_len(head), len(_WORDS["fail"])) for head in heads]
    if heads:
        yield ""
        yield _columns("", name_width, heads, widths)
    for sentence, checks in _by_guarantee(found):
        yield from _wrap("", sentence, len(_INDENT), width)
        for check in checks:
            name = _INDENT + check.name
            if heads:
                yield _columns(name, name_width, _row(found, check), widths)
            else:
                yield from _promise(name, name_width, check.promise, width)
    for contender in found.contenders:
        if failures := _failures(contender):
            yield ""
            yield f"{contender.label} fails:"
            yield from (f"{_INDENT}{name}: {reason}" for name, reason in failures)
        if exempt := _not_applicable(contender):
            yield ""
            yield f"{contender.label} n/a:"
            for reason, names in exempt.items():
                yield f"{_INDENT}{reason}: {', '.join(names)}"


def _columns(
    name: str, name_width: int, cells: Sequence[str], widths: Sequence[int]
) -> str:
    padded = (
        cell + " " * (w - cell_len(cell)) for cell, w in zip(cells, widths, strict=True)
    )
    return _GAP.join((name.ljust(name_width), *padded)).rstrip()


def _promise(name: str, name_width: int, promise: str, width: int) -> Iterator[str]:
    """The check's name and its promise beside it, or below where that is too narrow."""
    indent = name_width + len(_GAP)
    if width - indent >= _MIN_PROMISE_WIDTH:
        yield from _wrap(name.ljust(name_width) + _GAP, promise, indent, width)
    else:
        yield name
        yield from _wrap(2 * _INDENT, promise, 2 * len(_INDENT), width)


def _wrap(before: str, text: str, indent: int, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, indent + _MIN_PROMISE_WIDTH),
        initial_indent=before,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _summary(contender: CheckedContender, found: Conformance) -> str:
    count = Counter(finding.outcome for finding in contender.findings)
    counts = [f"{count[word]} {word}" for word in _WORDS]
    broken = sorted({f.guarantee for f in contender.findings if f.outcome == "fail"})
    if broken:
        noun = "guarantee" if len(broken) == 1 else "guarantees"
        counts[1] += f" ({noun} {', '.join(map(str, broken))})"
    if num_left := len(found.checks) - len(contender.findings):
        counts.append(f"{num_left} not made")
    return f"{contender.label}: {', '.join(counts)}"


def _by_guarantee(found: Conformance) -> Iterator[tuple[str, list[CheckPlan]]]:
    for number, sentence in found.guarantees.items():
        checks = [check for check in found.checks if check.guarantee == number]
        yield f"{number}. {sentence}", checks


def _row(found: Conformance, check: CheckPlan) -> list[str]:
    """What each contender's column says of the check."""
    return [
        next(
            (_WORDS[f.outcome] for f in contender.findings if f.check == check.name),
            _NOT_MADE,
        )
        for contender in found.contenders
    ]


def _failures(contender: CheckedContender) -> list[tuple[str, str]]:
    return [(f.check, f.reason) for f in contender.findings if f.outcome == "fail"]


def _not_applicable(contender: CheckedContender) -> dict[str, list[str]]:
    """Why checks do not apply, each reason with the names of its checks."""
    exempt: dict[str, list[str]] = {}
    for finding in contender.findings:
        if finding.outcome == "n/a":
            exempt.setdefault(finding.reason, []).append(finding.check)
    return exempt
