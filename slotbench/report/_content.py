"""What stands in a report and in which order; not how it looks."""

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import slotbench
from slotbench.compute import answers, between, comparison, validity
from slotbench.compute.comparison import Comparison
from slotbench.draw import answer as answer_words
from slotbench.draw import cell_table, page, units
from slotbench.draw.answer import Sentence
from slotbench.draw.cell_table import CellTable
from slotbench.errors import SlotbenchError
from slotbench.plots import Facet, Plot
from slotbench.plots import available as available_plots
from slotbench.plots import get as get_plot
from slotbench.records import Scalar
from slotbench.store import StoredRun

_ORDER: Final[tuple[str, ...]] = (
    *("throughput", "ratio_map", "preallocate", "loss"),
    *("latency", "batch_sizes", "fairness"),
)
"""Of the plots, the most wanted first; one that is not here comes after them."""

_OF_A_CELL: Final = frozenset({"latency", "batch_sizes", "loss"})
"""Plots of one cell each, of which a page of a large grid shows a few."""

_MACHINE: Final = {
    "machine": (
        "cpu_model_name",
        "cpu_count",
        "cpu_affinity_count",
        "platform",
    ),
    "versions": (
        "python_version",
        "torch_version",
        "tensordict_version",
        "torchrl_version",
    ),
    "code": ("git_commit", "git_dirty", "code_sha256"),
}
"""What is shown first of the environment; the rest is a click away."""

_MAX_NAMED: Final = 3
"""Contenders that a rule's line names before it counts them."""

_SEVERITIES: Final = ("INVALID", "failed", "DISTURBED", "warning")


@dataclass(frozen=True, slots=True)
class Figure:
    """One plot with its facets.

    Attributes:
        facets: those shown.
        note: what is not shown, and how to see it; "".
    """

    plot: Plot
    facets: tuple[Facet, ...]
    note: str


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
        commands: shell lines that measure and compare again.
        scenario: the file, verbatim.
        contenders: labels in the comparison's order.
        marked: those to mark in sentences; a floor's name is also a word.
    """

    run_id: str
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
    commands: tuple[str, ...]
    scenario: str
    contenders: tuple[str, ...]
    marked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """One page.

    Attributes:
        between: what changed from the first run to each further one, or why that is not said.
        version: of slotbench, which wrote it.
    """

    title: str
    chapters: tuple[Chapter, ...]
    between: tuple[str, ...]
    version: str


def build(
    runs: Sequence[StoredRun], *, baseline: str | None, threshold: float | None
) -> Report:
    """Gather what the report says of each run, and between them.

    Raises:
        SlotbenchError: no such contender, or a threshold outside 0 to 1.
    """
    chapters = tuple(_chapter(stored, baseline, threshold) for stored in runs)
    title = chapters[0].title
    if len(chapters) > 1:
        title = f"{title} and {units.count(len(chapters) - 1, 'more run')}"
    return Report(
        title=title,
        chapters=chapters,
        between=tuple(_between(runs, baseline, threshold)),
        version=slotbench.__version__,
    )


def _chapter(stored: StoredRun, baseline: str | None, threshold: float | None) -> Chapter:
    run = stored.run
    compared = comparison.compare(
        run, stored.trials, baseline=baseline, threshold=threshold
    )
    compared = dataclasses.replace(compared, status=stored.state)
    found = answers.answer(run, stored.trials, baseline=baseline, threshold=threshold)
    shown = page.page(compared)
    return Chapter(
        run_id=run.run_id,
        title=run.scenario.title,
        question=" ".join(run.scenario.question.split()),
        state=stored.state,
        answer=answer_words.sentences(found, compared),
        facts=_facts(stored, compared),
        environment={name: _text(value) for name, value in sorted(run.environment.items())},
        rules=tuple(_rules(compared)),
        remarks=tuple(_remarks(stored, compared)),
        figures=tuple(_figures(stored, baseline, threshold)),
        tables=shown.tables,
        legend=shown.legend,
        commands=(*shown.commands, shlex.join(("slotbench", "report", run.run_id))),
        scenario=run.scenario.text,
        contenders=tuple(who.label for who in compared.contenders),
        marked=tuple(
            who.label for who in compared.contenders if who.name != comparison.FLOOR
        ),
    )


def _between(
    runs: Sequence[StoredRun], baseline: str | None, threshold: float | None
) -> Iterable[str]:
    first = runs[0]
    for other in runs[1:]:
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


def _facts(stored: StoredRun, compared: Comparison) -> dict[str, str]:
    run, environment = stored.run, stored.run.environment
    scenario = run.scenario
    facts = {
        "run": f"{run.run_id}, {stored.state}",
        "measured": run.created_at,
        "grid": "; ".join(_axes(compared)) or "one cell",
        "trials": (
            f"{len(stored.trials)} recorded, {run.design.num_trials} planned: "
            f"{units.count(len(compared.cells), 'cell')} × "
            f"{units.count(len(compared.contenders), 'contender')} (the baseline twice) × "
            f"{units.count(run.design.rounds, 'round')}"
        ),
        "contenders": ", ".join(who.label for who in compared.contenders),
        "baseline": compared.baseline,
        "δ": cell_table.deltas(compared.thresholds),
        "window": _window(compared),
    }
    if scenario.overrides:
        facts["changed"] = ", ".join(scenario.overrides)
    for title, names in _MACHINE.items():
        said = [
            f"{name} {_text(environment[name])}" for name in names if name in environment
        ]
        if said:
            facts[title] = ", ".join(said)
    return facts


def _axes(compared: Comparison) -> Iterable[str]:
    """Every axis with its values, as the cells have them."""
    found: dict[str, dict[str, None]] = {}
    for cell in compared.cells:
        for axis, value in cell.coordinates.items():
            found.setdefault(axis, {})[_text(value)] = None
    for axis, values in found.items():
        yield f"{axis} {', '.join(values)}"


def _window(compared: Comparison) -> str:
    spans = sorted({cell.workload.window.measure_s for cell in compared.cells})
    warm = sorted({cell.workload.window.warmup_s for cell in compared.cells})
    return (
        f"{', '.join(units.seconds(span) for span in spans)} after "
        f"{', '.join(units.seconds(span) for span in warm)} of warm-up, longer where too few "
        "replies came"
    )


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
    yield from map(cell_table.resumed, compared.resumptions)
    yield from (f"skipped: {who.label} ({who.reason})" for who in compared.skipped)


def _figures(
    stored: StoredRun, baseline: str | None, threshold: float | None
) -> Iterable[Figure]:
    """Every plot that has something to show."""
    known = available_plots()
    names = [name for name in _ORDER if name in known]
    names += [name for name in known if name not in _ORDER]
    few = {cell.name for cell in answers.spread(stored.run.scenario.cells)}
    frames: dict[Any, Any] = {}
    for name in names:
        plot = get_plot(name)
        if plot.frame not in frames:
            frames[plot.frame] = plot.frame(stored, baseline=baseline, threshold=threshold)
        facets = plot.split(frames[plot.frame])
        shown = [f for f in facets if name not in _OF_A_CELL or f.title in few]
        if not shown:
            continue
        note = ""
        if len(shown) < len(facets):
            command = f"slotbench plot {stored.run.run_id} {name}"
            note = f"{len(shown)} of {len(facets)} cells; any other: {command} --where AXIS=VALUE"
        yield Figure(plot, tuple(shown), note)


def _text(value: Scalar | object) -> str:
    return str(value)
