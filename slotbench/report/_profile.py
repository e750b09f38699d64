"""What stands in a report of a profile and in which order; not how it looks."""

import os
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from slotbench.compute.comparison import FLOOR, in_order
from slotbench.draw import profile as drawn
from slotbench.draw import units
from slotbench.draw.answer import Sentence
from slotbench.draw.profile import CellPage, Files, ProfilePage
from slotbench.records import PASSES
from slotbench.report import _facts
from slotbench.report._figures import Figure, figures
from slotbench.store import StoredProfile

VIEWER: Final = drawn.VIEWER


@dataclass(frozen=True, slots=True)
class Linked:
    """Files of the profile's folder.

    Attributes:
        title: what they are, of whom.
        links: address, relative to the page, and name, relative to the folder.
        note: what is missing, or what went wrong; "".
    """

    title: str
    links: tuple[tuple[str, str], ...]
    note: str


@dataclass(frozen=True, slots=True)
class ProfileChapter:
    """One profile.

    Attributes:
        answer: what explains the difference, in each cell.
        about: how its numbers are to be read.
        facts: name → value: what was profiled, on what.
        environment: every recorded fact.
        remarks: skipped contenders, notes on the record.
        figures: in order.
        phases, counts: what each phase, and each row of the ledger, means.
        cells: every cell in full.
        folder: that the files are in.
        commands: shell lines that profile and show again.
        scenario: the file, verbatim.
        contenders: labels, the baseline first.
        marked: those to mark in sentences; a floor's name is also a word.
    """

    record_id: str
    title: str
    question: str
    state: str
    answer: tuple[Sentence, ...]
    about: str
    facts: Mapping[str, str]
    environment: Mapping[str, str]
    remarks: tuple[str, ...]
    figures: tuple[Figure, ...]
    phases: tuple[tuple[str, str], ...]
    counts: tuple[tuple[str, str], ...]
    cells: tuple[CellPage, ...]
    folder: str
    timelines: tuple[Linked, ...]
    tools: tuple[Linked, ...]
    commands: tuple[str, ...]
    scenario: str
    contenders: tuple[str, ...]
    marked: tuple[str, ...]
    kind: Literal["profile"] = "profile"


def chapter(
    stored: StoredProfile, baseline: str | None, page_dir: Path | None
) -> ProfileChapter:
    """Gather what the report says of a profile.

    Args:
        stored: the profile.
        baseline: label of the contender to hold the fastest against; None is the scenario's.
        page_dir: the folder of the page; None is the profile's own.

    Raises:
        SlotbenchError: no such contender.
    """
    record = stored.profile
    scenario = record.scenario
    shown = drawn.page(stored, baseline=baseline, full=True)
    labels = [one.label for one in scenario.contenders]
    base = baseline or next((c.label for c in scenario.contenders if c.baseline), labels[0])
    ordered = in_order(scenario.contenders, base)
    return ProfileChapter(
        record_id=record.profile_id,
        title=f"{scenario.title}: profile",
        question=" ".join(scenario.question.split()),
        state=stored.state,
        answer=tuple(_answer(shown)),
        about=drawn.ABOUT_PROBES,
        facts=_profiled(stored, base),
        environment={
            name: str(value) for name, value in sorted(record.environment.items())
        },
        remarks=(*stored.notes, *shown.remarks),
        figures=tuple(figures(stored, baseline=baseline)),
        phases=drawn.phase_legend(),
        counts=drawn.ledger_legend(),
        cells=shown.cells,
        folder=str(stored.path),
        timelines=tuple(_linked(stored.path, page_dir, shown.timelines)),
        tools=tuple(_linked(stored.path, page_dir, shown.tools)),
        commands=shown.commands,
        scenario=scenario.text,
        contenders=tuple(one.label for one in ordered),
        marked=tuple(one.label for one in ordered if one.name != FLOOR),
    )


def _answer(shown: ProfilePage) -> Iterable[Sentence]:
    """All that is said of the one cell; of several, what is first to be known of each."""
    if len(shown.cells) == 1:
        yield from shown.cells[0].sentences
        return
    for cell in shown.cells:
        first = [one.text for one in cell.sentences if one.about in {"Why", "Left out"}]
        yield Sentence(cell.name, " ".join(first))


def _profiled(stored: StoredProfile, baseline: str) -> dict[str, str]:
    record = stored.profile
    cells, contenders = record.scenario.cells, record.scenario.contenders
    took = "" if record.total_s is None else f", in {units.duration(record.total_s)}"
    facts = {
        "profile": f"{record.profile_id}, {stored.state}",
        "measured": f"{record.created_at}{took}",
        "grid": _facts.grid(cells),
        "trials": (
            f"{len(stored.trials)} recorded, {record.num_trials} planned: "
            f"{units.count(len(cells), 'cell')} × "
            f"{units.count(len(contenders), 'contender')} × {len(PASSES)} passes "
            f"({', '.join(PASSES)}) × {units.count(record.rounds, 'round')}"
        ),
        "contenders": ", ".join(who.label for who in contenders),
        "baseline": baseline,
        "window": _facts.window(cells),
    }
    if record.scenario.citation:
        facts["constants from"] = record.scenario.citation
    if record.scenario.overrides:
        facts["changed"] = ", ".join(record.scenario.overrides)
    return facts | _facts.machine(record.environment)


def _linked(
    folder: Path, page_dir: Path | None, files: Sequence[Files]
) -> Iterable[Linked]:
    place = Path() if page_dir is None else Path(os.path.relpath(folder, page_dir))
    for one in files:
        # Quoted, so that no name is an address of another kind.
        links = [
            (urllib.parse.quote((place / name).as_posix()), name) for name in one.names
        ]
        note = one.note or ("" if links else "nothing")
        yield Linked(one.title, tuple(links), note)
