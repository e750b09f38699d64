"""The report as Markdown: what it says, without its plots."""

import re
from collections.abc import Iterable, Mapping

from slotbench.draw import as_md
from slotbench.report._content import Chapter, Report


def render(report: Report) -> str:
    """Markdown for an issue, a wiki or a README."""
    parts = [f"# {as_md.escape(report.title)}", as_md.bullets(report.between)]
    for chapter in report.chapters:
        if len(report.chapters) > 1:
            parts.append(
                f"## {as_md.escape(chapter.title)} ({as_md.escape(chapter.run_id)})"
            )
        parts += _chapter(chapter)
    parts.append(f"<sub>slotbench {report.version}</sub>")
    return "\n\n".join(part for part in parts if part) + "\n"


def _chapter(chapter: Chapter) -> Iterable[str]:
    escape = as_md.escape
    yield escape(chapter.question)
    yield "\n".join(
        f"- **{escape(one.about)}.** {escape(one.text)}" for one in chapter.answer
    )
    yield "### What was measured"
    yield _facts(chapter.facts)
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
    yield "### Every cell"
    for table in chapter.tables:
        yield as_md.cell(table).replace("### ", "#### ", 1)
    yield escape(chapter.legend)
    yield "### How to reproduce it"
    lines = [" ".join(line.split()) for line in chapter.commands]
    longest = max(map(len, re.findall("`+", "".join(lines))), default=0)
    fence = "`" * max(3, longest + 1)
    yield "\n".join((fence, *lines, fence))


def _facts(facts: Mapping[str, str]) -> str:
    rows = [(as_md.escape(name), as_md.escape(value)) for name, value in facts.items()]
    return as_md.pipes(("", ""), rows, range(2))
