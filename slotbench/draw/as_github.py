"""The comparison as a comment on a pull request: what changed first, the rest folded away.

The first line is `MARKER`, which shows nowhere: a bot finds its former comment by it and
replaces it. GitHub takes 65 536 characters; what is beyond `MAX_LENGTH` is left out, whole
tables at a time, and said to be.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from slotbench.compute import metrics
from slotbench.compute.between import Compared
from slotbench.compute.comparison import ComparisonRow
from slotbench.compute.gates import Gate, GatedRow
from slotbench.draw import cell_table, units
from slotbench.draw.as_md import bullets, cell, escape, pipes
from slotbench.draw.page import Page, Section, page
from slotbench.draw.screen import PAPER, Screen

MARKER: Final = "<!-- slotbench -->"
MAX_LENGTH: Final = 65_000

# Small enough that all but the tables fits, were every sign of it escaped.
_MAX_ROWS: Final = 20
_MAX_LINES: Final = 20
_MAX_LINE: Final = 300
_MAX_TEXT: Final = 2_000
_MAX_SECTIONS: Final = 20_000
"""Of all sections together."""
_ORDER: Final = ("slower", "faster", "different", "inconclusive")
"""Verdicts worth a look; the undecided last, for they may be many."""


def render(compared: Compared, screen: Screen = PAPER, gate: Gate | None = None) -> str:
    """GitHub Markdown of at most `MAX_LENGTH` characters; the screen is ignored."""
    del screen
    shown = page(compared, gate)
    before = [
        MARKER,
        f"### {escape(_cut(shown.title))}",
        escape(_cut(shown.opening, _MAX_TEXT)),
        f"**{escape(_cut(shown.gate, _MAX_TEXT))}**" if shown.gate else "",
        _notable(compared, gate),
    ]
    after = [
        _folded("Differences between the runs", _listed(shown.differences)),
        *(_section(section, len(shown.sections)) for section in shown.sections),
        _folded("Left out, and other remarks", _listed(shown.remarks)),
        _folded("How to reproduce", _code(shown.commands)),
        f"<sub>{'<br>'.join(escape(_cut(line)) for line in shown.facts)}</sub>",
    ]
    room = MAX_LENGTH - sum(len(part) + 2 for part in (*before, *after))
    parts = (*before, _tables(shown, room), *after)
    return "\n\n".join(part for part in parts if part)


def _section(section: Section, number: int) -> str:
    """A section folded; where it takes more than its share of the room, how to see it."""
    inside = "\n\n".join((*map(cell, section.tables), escape(section.legend)))
    if len(inside) > _MAX_SECTIONS // number:
        command = " ".join(
            filter(None, ("slotbench compare", section.option, "--format md"))
        )
        inside = f"Too many cells for a comment; `{command}` shows all."
    return _folded(section.title, inside)


def _notable(compared: Compared, gate: Gate | None) -> str:
    """What is slower, faster or undecided: of each first what is furthest from 1.

    The undecided begin with those that may yet turn out the worst.
    """
    # Floors and baselines have verdicts of their own, which are not among these.
    rows = [row for row in compared.rows if row.verdict in _ORDER]
    if not rows:
        return "Every contender that has a verdict is equivalent." if _any(compared) else ""
    rows.sort(key=lambda row: (_ORDER.index(row.verdict or ""), _rank(row)))
    gated = {} if gate is None else {id(found.row): found for found in gate.rows}
    header = ["", "contender", "cell", "metric", "ratio", "verdict"]
    header += ["Holm p"] if gate is not None else []
    lines = [
        (
            cell_table.mark(row),
            f"`{_cut(row.contender)}`",
            # `pipes` escapes this one.
            escape(_cut(row.cell)).replace("\\|", "|"),
            escape(metrics.get(row.metric).label),
            cell_table.ratio(row),
            row.verdict or "",
            *([_holm(gated.get(id(row)))] if gate is not None else []),
        )
        for row in rows[:_MAX_ROWS]
    ]
    parts = [pipes(header, lines, frozenset({0, 1, 2, 3, 5}))]
    if len(rows) > _MAX_ROWS:
        parts.append(f"{len(rows) - _MAX_ROWS} more are in the tables below.")
    return "\n\n".join(parts)


def _any(compared: Compared) -> bool:
    return any(row.verdict == "equivalent" for row in compared.rows)


def _rank(row: ComparisonRow) -> float:
    point = 0.0 if row.ratio is None else row.ratio.point
    log_ratio = math.log(point) if 0.0 < point < math.inf else math.inf
    if row.verdict != "inconclusive":
        return -abs(log_ratio)
    return log_ratio if metrics.get(row.metric).better == "higher" else -log_ratio


def _holm(gated: GatedRow | None) -> str:
    if gated is None or gated.p_holm is None:
        return units.MISSING
    failed = " ✗" if gated.outcome == "regressed" else ""
    return escape(units.p_value(gated.p_holm)) + failed


def _tables(shown: Page, room: int) -> str:
    """All tables folded, or as many of the first ones as there is room for."""
    drawn = [cell(table) for table in shown.tables]
    for number in range(len(drawn), -1, -1):
        missing = len(drawn) - number
        said = (
            f"{units.count(missing, 'cell')} of {len(drawn)} left out: a comment holds no "
            "more; `slotbench compare --format md` shows all."
            if missing
            else ""
        )
        inside = "\n\n".join(filter(None, (*drawn[:number], said, escape(shown.legend))))
        folded = _folded(f"All numbers, {units.count(len(drawn), 'cell')}", inside)
        if len(folded) <= room:
            return folded
    return ""


def _listed(lines: Sequence[str]) -> str:
    shown = [_cut(line) for line in lines[:_MAX_LINES]]
    if len(lines) > _MAX_LINES:
        shown.append(f"{len(lines) - _MAX_LINES} more")
    return bullets(shown)


def _code(lines: Iterable[str]) -> str:
    shown = "\n".join(_cut(line, _MAX_TEXT) for line in lines).replace("```", "'''")
    return f"```sh\n{shown}\n```"


def _folded(title: str, inside: str) -> str:
    if not inside:
        return ""
    return f"<details><summary>{title}</summary>\n\n{inside}\n\n</details>"


def _cut(text: str, length: int = _MAX_LINE) -> str:
    return text if len(text) <= length else f"{text[:length]} … (cut)"
