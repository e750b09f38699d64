"""What stands in a report and in which order; not how it looks."""

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import slotbench
from slotbench.compute import (
    answers,
    between,
    comparison,
    interpreters,
    loads,
    nodes,
    predictions,
    scalability,
    twins,
    validity,
)
from slotbench.compute.comparison import Comparison
from slotbench.draw import answer as answer_words
from slotbench.draw import cell_table, looks, page, prediction_check, units
from slotbench.draw.answer import Sentence
from slotbench.draw.cell_table import CellTable
from slotbench.draw.page import Section
from slotbench.errors import SlotbenchError
from slotbench.report import _facts, _profile, _slo
from slotbench.report._figures import Figure, figures
from slotbench.report._profile import ProfileChapter
from slotbench.report._slo import SloChapter
from slotbench.store import StoredProfile, StoredRun, StoredSlo

_MAX_NAMED: Final = 3
"""Contenders that a rule's line names before it counts them."""

_SEVERITIES: Final = ("INVALID", "failed", "DISTURBED", "warning")


@dataclass(frozen=True, slots=True)
class RuleCount:
    """What one rule said over a run.

    Attributes:
        trials: in words: how many, of whom.
        example: one of them, with numbers.
    """

    severity: str
    rule: str
    why: str
    trials: str
    example: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """One run.

    Attributes:
        answer: its answers in words.
        facts: name → value: what was measured, on what.
        environment: every recorded fact.
        rules: what spoke, the worst first.
        remarks: resumptions, skipped contenders, notes on the record.
        figures: in order.
        tables: every cell in full.
        legend: of the tables.
        sections: where throughput went, and what else there is to say of it.
        commands: shell lines that measure and compare again.
        scenario: the file, verbatim.
        contenders: labels in the comparison's order.
        marked: those to mark in sentences; a floor's name is also a word.
    """

    record_id: str
    title: str
    question: str
    state: str
    answer: tuple[Sentence, ...]
    facts: Mapping[str, str]
    environment: Mapping[str, str]
    rules: tuple[RuleCount, ...]
    remarks: tuple[str, ...]
    figures: tuple[Figure, ...]
    tables: tuple[CellTable, ...]
    legend: str
    sections: tuple[Section, ...]
    commands: tuple[str, ...]
    scenario: str
    contenders: tuple[str, ...]
    marked: tuple[str, ...]
    kind: Literal["run"] = "run"


AnyChapter = Chapter | ProfileChapter | SloChapter

_NOUNS: Final = {"run": "run", "profile": "profile", "slo": "search"}


@dataclass(frozen=True, slots=True)
class Report:
    """One page.

    Attributes:
        chapters: a run, a profile or a search each, in the order given.
        between: what changed from the first run to each further run, or why that is not said.
        records: what it was written from, in words.
        version: of slotbench, which wrote it.
    """

    title: str
    chapters: tuple[AnyChapter, ...]
    between: tuple[str, ...]
    records: str
    version: str


def build(
    recorded: Sequence[StoredRun | StoredProfile | StoredSlo],
    *,
    baseline: str | None,
    threshold: float | None,
    page_dir: Path | None,
) -> Report:
    """Gather what the report says of each run and profile, and between runs.

    Raises:
        SlotbenchError: no such contender, or a threshold outside 0 to 1.
    """
    chapters = tuple(
        _any_chapter(stored, baseline, threshold, page_dir) for stored in recorded
    )
    # A profile's trials carry probes: nothing is said between it and anything.
    runs = [stored for stored in recorded if isinstance(stored, StoredRun)]
    return Report(
        title=_title(chapters),
        chapters=chapters,
        between=tuple(_between(runs, baseline, threshold)),
        records=" and ".join(
            f"recorded {noun}{'es' if noun.endswith('h') else 's'}"
            for kind, noun in _NOUNS.items()
            if any(one.kind == kind for one in chapters)
        ),
        version=slotbench.__version__,
    )


def _any_chapter(
    stored: StoredRun | StoredProfile | StoredSlo,
    baseline: str | None,
    threshold: float | None,
    page_dir: Path | None,
) -> AnyChapter:
    if isinstance(stored, StoredSlo):
        return _slo.chapter(stored)
    if isinstance(stored, StoredProfile):
        return _profile.chapter(stored, baseline, page_dir)
    return _chapter(stored, baseline, threshold)


def _title(chapters: Sequence[AnyChapter]) -> str:
    first, *others = chapters
    if not others:
        return first.title
    kinds = {one.kind for one in others}
    if len(kinds) > 1 or "slo" in kinds:
        return f"{first.title} and {len(others)} more"
    return f"{first.title} and {units.count(len(others), f'more {kinds.pop()}')}"


def _chapter(stored: StoredRun, baseline: str | None, threshold: float | None) -> Chapter:
    run = stored.run
    compared = comparison.compare(
        run, stored.trials, baseline=baseline, threshold=threshold
    )
    compared = dataclasses.replace(compared, status=stored.state)
    found = answers.answer(
        run,
        stored.trials,
        calibrations=stored.calibrations,
        baseline=baseline,
        threshold=threshold,
    )
    predicted = twins.predictions(
        run, stored.trials, stored.calibrations, baseline=baseline, threshold=threshold
    )
    scaling = scalability.scalability(run, stored.trials, baseline=baseline)
    compared = dataclasses.replace(
        compared,
        losses=found.losses,
        twins=predicted,
        loads=loads.points(run, stored.trials),
        interpreters=interpreters.compare(run, stored.trials, compared.thresholds),
        scalability=scaling,
    )
    shown = page.page(compared)
    predicted_rows = _predicted(stored)
    commands = (*shown.commands, shlex.join(("slotbench", "report", run.run_id)))
    if predicted_rows:
        commands += (shlex.join(("slotbench", "predict", run.run_id, "--check")),)
    return Chapter(
        record_id=run.run_id,
        title=run.scenario.title,
        question=" ".join(run.scenario.question.split()),
        state=stored.state,
        answer=answer_words.sentences(found, compared),
        facts=_measured(stored, compared),
        environment={name: str(value) for name, value in sorted(run.environment.items())},
        rules=tuple(_rules(compared)),
        remarks=tuple(_remarks(stored, compared)),
        figures=tuple(figures(stored, baseline=baseline, threshold=threshold)),
        tables=shown.tables,
        legend=shown.legend,
        sections=(*shown.sections, *predicted_rows),
        commands=commands,
        scenario=run.scenario.text,
        contenders=tuple(who.label for who in compared.contenders),
        marked=tuple(
            who.label for who in compared.contenders if who.name != comparison.FLOOR
        ),
    )


def _predicted(stored: StoredRun) -> tuple[Section, ...]:
    """What a simulation says of cells that were calibrated; it is not what the free transport is held for."""
    if not stored.calibrations:
        return ()
    _, rows = predictions.check(stored.run, stored.trials, stored.calibrations)
    rows = tuple(one for one in rows if one.is_calibrated)
    if not rows:
        return ()
    return (
        Section(
            name="predictions",
            title="Predicted and measured",
            option="",
            tables=prediction_check.tables(rows),
            legend=prediction_check.LEGEND,
        ),
    )


def _between(
    runs: Sequence[StoredRun], baseline: str | None, threshold: float | None
) -> Iterable[str]:
    for first, other in ((runs[0], other) for other in runs[1:]):
        names = f"From {first.run.run_id} to {other.run.run_id}"
        try:
            two = between.compare(
                (first.run, first.trials),
                (other.run, other.trials),
                baseline=baseline,
                threshold=threshold,
            )
        except SlotbenchError as error:
            yield f"{names} nothing is compared: {error}."
        else:
            yield f"{names}: {page.page(two).opening}"


def _measured(stored: StoredRun, compared: Comparison) -> dict[str, str]:
    run, environment = stored.run, stored.run.environment
    scenario = run.scenario
    facts = {
        "run": f"{run.run_id}, {stored.state}",
        "measured": run.created_at,
        "grid": _facts.grid(compared.cells),
        "trials": (
            f"{len(stored.trials)} recorded, {run.design.num_trials} planned: "
            f"{units.count(len(compared.cells), 'cell')} × "
            f"{units.count(len(compared.contenders), 'contender')} (the baseline twice) × "
            f"{looks.rounds(compared)}"
        ),
        "contenders": ", ".join(who.label for who in compared.contenders),
        "baseline": compared.baseline,
        "δ": cell_table.deltas(compared.thresholds),
        "window": _facts.window(compared.cells),
    }
    if scenario.citation:
        facts["constants from"] = scenario.citation
    if scenario.overrides:
        facts["changed"] = ", ".join(scenario.overrides)
    return facts | _facts.machine(environment) | _facts.nodes(run, stored.trials)


def _rules(compared: Comparison) -> Iterable[RuleCount]:
    """Every rule that spoke of a trial that counts, the worst first."""
    why = {rule.name: rule.why for rule in validity.RULES}
    found: dict[tuple[str, str], list[Any]] = {}
    for problem in compared.problems:
        found.setdefault((problem.kind, problem.rule), []).append(problem)
    for kind, rule in sorted(found, key=lambda key: _SEVERITIES.index(key[0])):
        hits = found[kind, rule]
        counted = {p.trial_id for p in hits if p.is_counted}
        again = {p.trial_id for p in hits} - counted
        who = list(dict.fromkeys(p.contender for p in hits))
        names = ", ".join(who) if len(who) <= _MAX_NAMED else f"{len(who)} contenders"
        text = f"{units.count(len(counted | again), 'trial')} of {names}"
        if again:
            text += f", {len(again)} of them measured again"
        first = hits[0]
        yield RuleCount(
            severity=kind,
            rule=rule,
            why=why.get(rule, "the trial gave no numbers" if kind == "failed" else ""),
            trials=text,
            example=f"{first.trial_id} ({first.cell}): {first.detail}",
            remedy=first.remedy,
        )


def _remarks(stored: StoredRun, compared: Comparison) -> Iterable[str]:
    yield from stored.notes
    yield from nodes.notes(stored.run.nodes)
    yield from looks.lines(stored.run, stored.trials)
    yield from map(cell_table.resumed, compared.resumptions)
    yield from (f"skipped: {who.label} ({who.reason})" for who in compared.skipped)
