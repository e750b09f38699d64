"""What stands in a report of a search and in which order; not how it looks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from slotbench.compute.comparison import FLOOR
from slotbench.draw import slo as drawn
from slotbench.draw import units
from slotbench.draw.answer import Sentence
from slotbench.draw.cell_table import CellTable
from slotbench.report import _facts
from slotbench.report._figures import Figure, figures
from slotbench.store import StoredSlo


@dataclass(frozen=True, slots=True)
class SloChapter:
    """One search.

    Attributes:
        answer: what was found, in each cell.
        facts: name → value: what was searched, on what.
        environment: every recorded fact.
        remarks: skipped contenders, notes on the record.
        figures: in order.
        tables: every cell in full.
        legend: of the tables.
        commands: shell lines that search and show again.
        scenario: the file, verbatim.
        contenders: labels in the scenario's order.
        marked: those to mark in sentences; a floor's name is also a word.
    """

    record_id: str
    title: str
    question: str
    state: str
    answer: tuple[Sentence, ...]
    facts: Mapping[str, str]
    environment: Mapping[str, str]
    remarks: tuple[str, ...]
    figures: tuple[Figure, ...]
    tables: tuple[CellTable, ...]
    legend: str
    commands: tuple[str, ...]
    scenario: str
    contenders: tuple[str, ...]
    marked: tuple[str, ...]
    kind: Literal["slo"] = "slo"


def chapter(stored: StoredSlo) -> SloChapter:
    """Gather what the report says of a search."""
    record = stored.record
    scenario, shown = record.scenario, drawn.page(stored)
    return SloChapter(
        record_id=record.slo_id,
        title=scenario.title,
        question=scenario.question,
        state=stored.state,
        answer=drawn.sentences(stored),
        facts=_searched(stored),
        environment={
            name: str(value) for name, value in sorted(record.environment.items())
        },
        remarks=shown.remarks,
        figures=tuple(figures(stored)),
        tables=shown.tables,
        legend=shown.legend,
        commands=shown.commands,
        scenario=scenario.text,
        contenders=tuple(who.label for who in scenario.contenders),
        marked=tuple(who.label for who in scenario.contenders if who.name != FLOOR),
    )


def _searched(stored: StoredSlo) -> dict[str, str]:
    record = stored.record
    cells, plan = record.scenario.cells, record.plan
    took = "" if record.total_s is None else f", in {units.duration(record.total_s)}"
    steps = len({one.trial.round for one in stored.trials})
    facts = {
        "search": f"{record.slo_id}, {stored.state}",
        "measured": f"{record.created_at}{took}",
        "limits": drawn.limits(record),
        "arrivals": cells[0].workload.load.arrivals,
        "precision": f"{units.percent(plan.precision)} between two neighbouring loads",
        "confidence": f"{units.percent(plan.confidence)}, of all intervals at once",
        "grid": _facts.grid(cells),
        "trials": f"{len(stored.trials)} in {units.count(steps, 'step')}, a fresh worker each",
        "contenders": ", ".join(who.label for who in record.scenario.contenders),
        "window": _facts.window(cells),
    }
    if record.scenario.citation:
        facts["constants from"] = record.scenario.citation
    if record.scenario.overrides:
        facts["changed"] = ", ".join(record.scenario.overrides)
    return facts | _facts.machine(record.environment)
