"""The report as one HTML file that needs nothing else."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from slotbench.plots import _style
from slotbench.plots._facets import distinct
from slotbench.report import _svg
from slotbench.report._content import AnyChapter, Report
from slotbench.report._figures import Figure
from slotbench.report._profile import VIEWER

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

_TEMPLATE: Final = "page.html.jinja"

_WIDE_IN: Final = 6.0
"""Inches beyond which a picture would be unreadable beside another."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """One facet, ready for the template.

    Attributes:
        header, rows: its data as texts.
        csv: its data as a link.
        is_wide: it has a row of the page for itself, and is scrolled where that is narrow.
    """

    title: str
    svg: "Markup"
    alt: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    csv: str
    file_name: str
    is_wide: bool


def render(report: Report) -> str:
    """Draw every plot and fill in the page."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("slotbench.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["marked"] = _marked
    chapters = [
        {
            "chapter": chapter,
            "figures": [
                _figure(figure, f"c{place}-{figure.plot.name}", chapter, Markup)
                for figure in chapter.figures
            ],
        }
        for place, chapter in enumerate(report.chapters)
    ]
    page = environment.get_template(_TEMPLATE).render(
        report=report, chapters=chapters, viewer=VIEWER
    )
    return page.rstrip() + "\n"


def _figure(
    figure: Figure, name: str, chapter: AnyChapter, markup: Any
) -> Mapping[str, object]:
    pictures, names = [], dict[str, _style.Fill | None]()
    for place, facet in enumerate(figure.facets):
        svg, drawn = _svg.draw(figure.plot, facet, f"{name}-{place}")
        names |= drawn
        header, rows = _table(facet.frame)
        pictures.append(
            _Picture(
                title=facet.title,
                svg=markup(svg),
                alt=figure.plot.describe(facet.frame),
                header=header,
                rows=rows,
                csv=_csv_link(facet.frame),
                is_wide=figure.plot.size(facet.frame)[0] > _WIDE_IN,
                file_name=f"{chapter.record_id}-{figure.plot.name}-{place}.csv",
            )
        )
    looks = _style.series(chapter.contenders)
    return {
        "name": name,
        "title": figure.plot.titled(figure.facets[0].frame),
        "summary": figure.plot.summary,
        "note": figure.note,
        "legend": [
            (markup(_svg.swatch(label, looks) if fill is None else _svg.box(fill)), label)
            for label, fill in names.items()
        ],
        "is_of_labels": not any(names.values()),
        "pictures": pictures,
    }


def _table(frame: "pd.DataFrame") -> tuple[list[str], list[list[str]]]:
    """The columns in which a facet's rows differ, and the first that says which they are."""
    import pandas as pd

    shown = [
        name
        for name in frame.columns
        if name in {"cell", "contender"} or len(distinct(frame, str(name))) > 1
    ]
    rows = [
        [
            ""
            if pd.isna(value)
            else f"{value:.5g}"
            if isinstance(value, float)
            else str(value)
            for value in row
        ]
        for row in frame[shown].itertuples(index=False)
    ]
    return shown, rows


def _csv_link(frame: "pd.DataFrame") -> str:
    data = base64.b64encode(
        frame.to_csv(index=False, float_format="%.8g").encode("utf-8")
    ).decode("ascii")
    return f"data:text/csv;charset=utf-8;base64,{data}"


def _marked(text: str, labels: Sequence[str]) -> "Markup":
    """The text with every contender's label in it set as code."""
    from markupsafe import Markup, escape

    longest = sorted(labels, key=len, reverse=True)
    names = "|".join(re.escape(label) for label in longest)
    parts = re.split(rf"(?<![\w.\[])({names})(?![\w\[]|\.\w)", text) if names else [text]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )
