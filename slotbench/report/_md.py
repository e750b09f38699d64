"""The report as Markdown: what it says, without its plots."""

import re
from collections.abc import Iterable, Mapping

from slotbench.draw import as_md
from slotbench.draw.cell_table import CellTable
from slotbench.draw.profile import CellPage, Table
from slotbench.report._content import AnyChapter, Chapter, Report
from slotbench.report._profile import VIEWER, Linked, ProfileChapter
from slotbench.report._slo import SloChapter


def render(report: Report) -> str:
    """Markdown for an issue, a wiki or a README."""
    parts = [f"# {as_md.escape(report.title)}", as_md.bullets(report.between)]
    for chapter in report.chapters:
        if len(report.chapters) > 1:
            parts.append(
                f"## {as_md.escape(chapter.title)} ({as_md.escape(chapter.record_id)})"
            )
        if isinstance(chapter, ProfileChapter):
            parts += _profile(chapter)
        elif isinstance(chapter, SloChapter):
            parts += _slo(chapter)
        else:
            parts += _chapter(chapter)
    parts.append(f"<sub>slotbench {report.version}</sub>")
    return "\n\n".join(part for part in parts if part) + "\n"


def _chapter(chapter: Chapter) -> Iterable[str]:
    escape = as_md.escape
    yield from _opening(chapter)
    yield "### What the rules said"
    if chapter.rules:
        header = ("severity", "rule", "trials", "such as", "what to do")
        rows = [
            (r.severity, f"`{r.rule}`", *map(escape, (r.trials, r.example, r.remedy)))
            for r in chapter.rules
        ]
        yield as_md.pipes(header, rows, range(len(header)))
    else:
        yield "No rule spoke of any trial."
    yield as_md.bullets(chapter.remarks)
    for section in chapter.sections:
        yield f"### {escape(section.title)}"
        yield from _cells(section.tables)
        yield escape(section.legend)
    yield "### Every cell"
    yield from _cells(chapter.tables)
    yield escape(chapter.legend)
    yield _again(chapter.commands)


def _cells(tables: Iterable[CellTable]) -> Iterable[str]:
    for table in tables:
        yield as_md.cell(table).replace("### ", "#### ", 1)


def _profile(chapter: ProfileChapter) -> Iterable[str]:
    yield from _opening(chapter)
    yield as_md.escape(chapter.about)
    yield as_md.bullets(chapter.remarks)
    yield "### What each phase means"
    yield _facts(dict(chapter.phases))
    yield "### Every cell"
    for cell in chapter.cells:
        yield f"#### {as_md.escape(cell.name)}"
        if len(chapter.cells) > 1:
            yield from (as_md.escape(one.text) for one in cell.sentences)
        yield from _cell(cell)
    if chapter.timelines or chapter.tools:
        yield "### Timelines and tools"
        yield f"The files lie in {as_md.escape(chapter.folder)}; timelines open in {VIEWER}."
        yield "\n".join(map(_files, (*chapter.timelines, *chapter.tools)))
    yield _again(chapter.commands)


def _slo(chapter: SloChapter) -> Iterable[str]:
    yield from _opening(chapter)
    yield as_md.bullets(chapter.remarks)
    yield "### Every cell"
    yield from _cells(chapter.tables)
    yield as_md.escape(chapter.legend)
    yield _again(chapter.commands)


def _opening(chapter: AnyChapter) -> Iterable[str]:
    escape = as_md.escape
    yield escape(chapter.question)
    yield "\n".join(
        f"- **{escape(one.about)}.** {escape(one.text)}" for one in chapter.answer
    )
    yield "### What was measured"
    yield _facts(chapter.facts)


def _cell(cell: CellPage) -> Iterable[str]:
    for table in cell.tables:
        yield f"**{as_md.escape(table.title)}**"
        yield _table(table)
        yield as_md.bullets(table.notes)
    if cell.problems:
        yield "**problems**"
        yield as_md.bullets(cell.problems)


def _table(table: Table) -> str:
    rows = []
    for place, row in enumerate(table.rows):
        if table.groups and place in table.groups:
            group = f"**{as_md.escape(table.groups[place])}**"
            rows.append([group, *[""] * (len(row) - 1)])
        rows.append(list(map(as_md.escape, row)))
    return as_md.pipes(tuple(map(as_md.escape, table.header)), rows, table.left)


def _files(files: Linked) -> str:
    links = ", ".join(f"[{as_md.escape(name)}]({address})" for address, name in files.links)
    said = ": ".join(part for part in (links, as_md.escape(files.note)) if part)
    return f"- {as_md.escape(files.title)}: {said}"


def _again(commands: Iterable[str]) -> str:
    lines = [" ".join(line.split()) for line in commands]
    longest = max(map(len, re.findall("`+", "".join(lines))), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join(("### How to reproduce it", "", fence, *lines, fence))


def _facts(facts: Mapping[str, str]) -> str:
    rows = [(as_md.escape(name), as_md.escape(value)) for name, value in facts.items()]
    return as_md.pipes(("", ""), rows, range(2))
