"""A facet of a plot as an SVG that lives inside a page: its colours are the page's."""

import html
import io
import re
from typing import Final

from slotbench.plots import Facet, Plot, _style

_COLORS: Final = {
    _style.INK: "currentColor",
    _style.MUTED: "var(--muted)",
    _style.GRID: "var(--grid)",
    _style.BLUE: "var(--blue)",
    _style.ORANGE: "var(--orange)",
    _style.GREEN: "var(--green)",
    _style.PURPLE: "var(--purple)",
    _style.SKY: "var(--sky)",
    _style.AMBER: "var(--amber)",
    _style.GREY: "var(--grey)",
}
"""Colour of a plot → what the page puts there, by day or by night."""

_COLOR: Final = re.compile("|".join(_COLORS), re.IGNORECASE)
_ID: Final = re.compile(r'(?<=\bid=")|(?<=url\(#)|(?<=href="#)')
_SIZE: Final = re.compile(r'\s(?:width|height)="[\d.]+pt"')


_PLACE: Final = re.compile(r'\b(?:d|x|y|transform|points)="[^"]*"')
_LONG: Final = re.compile(r"-?\d+\.\d{3,}")
"""Coordinates to a millionth of a point, where a hundredth is less than anybody sees."""


def draw(plot: Plot, facet: Facet, name: str) -> tuple[str, dict[str, _style.Fill | None]]:
    """Draw one facet.

    Args:
        plot: what to draw.
        facet: of its frame.
        name: unique in the page: every id in the SVG begins with it.

    Returns:
        The ``<svg>`` element, with a title and a description for those who do not see it; and
        what a legend has to tell, which the page draws once for all facets: name → how it is
        filled, None for a line.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": name, "hatch.linewidth": 0.5}
    ):
        figure = Figure(figsize=plot.size(facet.frame), layout="constrained")
        ax = plot.draw(facet.frame, figure.add_subplot())
        legend = ax.get_legend()
        names = {}
        if legend is not None:
            handles, labels = ax.get_legend_handles_labels()
            names = {
                label.strip(): _fill(handle)
                for handle, label in zip(handles, labels, strict=True)
            }
            legend.remove()
        target = io.StringIO()
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    return _inline(target.getvalue(), plot, facet, name), names


def swatch(label: str, looks: dict[str, _style.Series]) -> str:
    """A stroke with its marker, as the plots draw that contender, or the bound."""
    look = looks.get(label)
    color = "currentColor" if look is None else _COLORS[look.color]
    dashes = {"--": "5 2", "-.": "6 2 1 2", ":": "1.5 2"}
    dash = "" if look is None or look.dashes == "-" else dashes.get(str(look.dashes), "3 1")
    marker = "" if look is None else _MARKERS.get(look.marker, _MARKERS["o"])
    return (
        '<svg class="swatch" viewBox="0 0 28 12" aria-hidden="true">'
        f'<path d="M0 6H28" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}" fill="none"/>'
        f'<g fill="{color}">{marker}</g></svg>'
    )


def box(fill: _style.Fill) -> str:
    """A box, filled as the plots fill it."""
    strokes = _HATCHES.get(fill.hatch[:1], "")
    return (
        '<svg class="swatch" viewBox="0 0 28 12" aria-hidden="true">'
        f'<rect x=".5" y=".5" width="27" height="11" fill="{_COLORS[fill.color]}" '
        f'stroke="{_style.HATCH}" stroke-width=".5"/>'
        f'<path d="{strokes}" stroke="{_style.HATCH}" stroke-linecap="round" '
        'fill="none"/></svg>'
    )


def _fill(handle: object) -> _style.Fill | None:
    """How the bars of a legend's entry are filled; None for lines."""
    from matplotlib.colors import to_hex
    from matplotlib.container import BarContainer

    if not isinstance(handle, BarContainer):
        return None
    bar = handle.patches[0]
    return _style.Fill(to_hex(bar.get_facecolor()), bar.get_hatch() or "")


_HATCHES: Final = {
    "/": "M2 11 9 1M9 11 16 1M16 11 23 1M22 11 27 4",
    "\\": "M1 4 6 11M5 1 12 11M12 1 19 11M19 1 26 11",
    ".": "".join(f"M{x} {y}h.01" for y in (3.5, 8.5) for x in range(3, 27, 4)),
}
"""Sign of a hatch → strokes in a box of 28 by 12."""

_MARKERS: Final = {
    "o": '<circle cx="14" cy="6" r="4"/>',
    "s": '<rect x="10.5" y="2.5" width="7" height="7"/>',
    "^": '<path d="M14 1.5 18.5 10H9.5Z"/>',
    "v": '<path d="M14 10.5 18.5 2H9.5Z"/>',
    "D": '<path d="M14 1 19 6 14 11 9 6Z"/>',
    "P": '<path d="M12 1h4v3h3v4h-3v3h-4V8H9V4h3Z"/>',
    "X": '<path d="M10 2 14 5 18 2 16 6 18 10 14 7 10 10 12 6Z"/>',
    "<": '<path d="M9 6 18 1.5V10.5Z"/>',
    ">": '<path d="M19 6 10 1.5V10.5Z"/>',
}


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number.group()):.2f}"


def _inline(document: str, plot: Plot, facet: Facet, name: str) -> str:
    body = document[document.index("<svg") :]
    # Its style sheet would be the whole page's; the page has what it says.
    for tag in ("metadata", "style"):
        body = re.sub(rf"<{tag}\b.*?</{tag}>", "", body, flags=re.DOTALL)
    body = _PLACE.sub(lambda found: _LONG.sub(_rounded, found.group()), body)
    body = _ID.sub(f"{name}-", body)
    body = _COLOR.sub(lambda found: _COLORS[found.group().lower()], body)
    head, rest = body.split(">", 1)
    title = plot.titled(facet.frame)
    if facet.title:
        title = f"{title}: {facet.title}"
    width = plot.size(facet.frame)[0]
    said = (
        f'<title id="{name}-title">{html.escape(title)}</title>'
        f'<desc id="{name}-desc">{html.escape(plot.describe(facet.frame))}</desc>'
    )
    head = _SIZE.sub("", head)
    return (
        f'{head} role="img" aria-labelledby="{name}-title {name}-desc" '
        f'style="max-width:{width:.2f}in">{said}{rest}'
    )
