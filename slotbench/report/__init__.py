"""Recorded runs, profiles and searches as one document that a person reads; nothing is measured again.

``render(recorded, "html")`` is one self-contained page: no network, plots as SVG, its data in it.
``render(runs, "md")`` is the same without plots. What is said is composed by
`slotbench.draw` from verdicts; what is drawn comes from `slotbench.plots`; this package puts
both in order.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from slotbench.errors import RecordError, SlotbenchError

if TYPE_CHECKING:
    from slotbench.store import StoredProfile, StoredRun, StoredSlo

FORMATS: Final = ("html", "md")


def render(
    recorded: "Sequence[StoredRun | StoredProfile | StoredSlo]",
    format_name: str = "html",
    *,
    baseline: str | None = None,
    threshold: float | None = None,
    page_dir: Path | None = None,
) -> str:
    """Write the report of one run, profile or search, or of several in the order given.

    Args:
        recorded: at least one; of several runs, each further one is also compared with the
            first. Nothing is compared with a profile or a search.
        format_name: one of `FORMATS`.
        baseline: label of the contender to compare with; None is each scenario's own. Of a
            profile, the one to hold the fastest against.
        threshold: δ; None is each scenario's own. Profiles have none.
        page_dir: the folder that the document will lie in, where links to a profile's files
            begin; None is the profile's own folder.

    Raises:
        SlotbenchError: no such format, contender or threshold, a threshold for profiles alone,
            or nothing to report.
        RecordError: a run, profile or search holds no trials yet.
    """
    if format_name not in FORMATS:
        raise SlotbenchError(
            f"unknown format {format_name!r}: it is {' or '.join(FORMATS)}"
        )
    if not recorded:
        raise SlotbenchError("a report needs at least one run")
    for stored in recorded:
        if not stored.trials:
            raise RecordError(
                f"{stored.path} holds no trials yet: there is nothing to report"
            )
    from slotbench.frames import NOUNS, kind_of

    kinds = [kind_of(one) for one in recorded]
    if threshold is not None and "run" not in kinds:
        raise SlotbenchError(
            f"a threshold judges runs, and {NOUNS[kinds[0]]} has no verdicts: leave it out"
        )
    from slotbench.report import _html, _md
    from slotbench.report._content import build

    report = build(recorded, baseline=baseline, threshold=threshold, page_dir=page_dir)
    return _html.render(report) if format_name == "html" else _md.render(report)
