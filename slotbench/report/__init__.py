"""Recorded runs as one document that a person reads; nothing is measured again.

``render(runs, "html")`` is one self-contained page: no network, plots as SVG, its data in it.
``render(runs, "md")`` is the same without plots. What is said is composed by
`slotbench.draw` from verdicts; what is drawn comes from `slotbench.plots`; this package puts
both in order.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from slotbench.errors import RecordError, SlotbenchError

if TYPE_CHECKING:
    from slotbench.store import StoredRun

FORMATS: Final = ("html", "md")


def render(
    runs: "Sequence[StoredRun]",
    format_name: str = "html",
    *,
    baseline: str | None = None,
    threshold: float | None = None,
) -> str:
    """Write the report of one run, or of several in the order given.

    Args:
        runs: at least one; of several, each further one is also compared with the first.
        format_name: one of `FORMATS`.
        baseline: label of the contender to compare with; None is each scenario's own.
        threshold: δ; None is each scenario's own.

    Raises:
        SlotbenchError: no such format, contender or threshold, or no run.
        RecordError: a run holds no trials yet.
    """
    if format_name not in FORMATS:
        raise SlotbenchError(
            f"unknown format {format_name!r}: it is {' or '.join(FORMATS)}"
        )
    if not runs:
        raise SlotbenchError("a report needs at least one run")
    for stored in runs:
        if not stored.trials:
            raise RecordError(
                f"{stored.path} holds no trials yet: there is nothing to report"
            )
    from slotbench.report import _html, _md
    from slotbench.report._content import build

    report = build(runs, baseline=baseline, threshold=threshold)
    return _html.render(report) if format_name == "html" else _md.render(report)
